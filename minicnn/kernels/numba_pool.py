"""Max-pooling on the CPU: a thread per plane. The page is `minicnn.ops.pool`."""
from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from minicnn.kernels.threads import parallel_region
from minicnn.ops.im2col import output_size
from minicnn.ops.pool import PoolCache
from minicnn.plumbing.compiled import njit


def max_pool2d(x: Any, size: Any, stride: Any = None, pad: Any = 0,
               ceil_mode: bool = False) -> tuple[Any, PoolCache]:
    """Maximum over windows; see `minicnn.ops.pool.max_pool2d`, whose page checks the arguments."""
    N, C, H, W = x.shape
    OH, OW = (output_size(n, k, s, p, ceil_mode) for n, k, s, p in zip((H, W), size, stride, pad))
    y, winners = np.empty((N, C, OH, OW), x.dtype), np.empty((N, C, OH, OW), np.int32)
    with parallel_region():
        _forward(np.ascontiguousarray(x).reshape(N * C, H, W), size, stride, pad,
                 y.reshape(N * C, OH, OW), winners.reshape(N * C, OH, OW))
    return y, PoolCache(x.shape, winners, size, stride, pad)


def max_pool2d_backward(dy: Any, cache: PoolCache) -> Any:
    """Gradient of `max_pool2d`; see `minicnn.ops.pool.max_pool2d_backward`, whose page checks the cache."""
    N, C, H, W = cache.x_shape
    OH, OW = dy.shape[2:]
    dx = np.empty((N, C, H, W), dy.dtype)
    winners = np.ascontiguousarray(cache.winners)
    with parallel_region():
        _backward(np.ascontiguousarray(dy).reshape(N * C, OH * OW), winners.reshape(N * C, OH * OW),
                  dx.reshape(N * C, H * W))
    return dx


# No fastmath: it would allow the compiler to assume that there is no NaN, and NaN must win.
@njit(parallel=True, cache=True, nogil=True)
def _forward(x, size, stride, pad, y, winners):
    (KH, KW), (sy, sx), (py, px) = size, stride, pad
    planes, H, W = x.shape
    OH, OW = y.shape[1:]
    for nc in prange(planes):
        for oy in range(OH):
            top, bottom = max(oy * sy - py, 0), min(oy * sy - py + KH, H)  # the window's real rows
            for ox in range(OW):
                left, right = max(ox * sx - px, 0), min(ox * sx - px + KW, W)
                best, winner = x[nc, top, left], top * W + left
                for iy in range(top, bottom):
                    for ix in range(left, right):
                        v = x[nc, iy, ix]
                        # "Not less or equal" is "greater, or one is NaN"; best != best once it is NaN.
                        if not v <= best and best == best:
                            best, winner = v, iy * W + ix
                y[nc, oy, ox] = best
                winners[nc, oy, ox] = winner


@njit(parallel=True, cache=True, nogil=True)
def _backward(dy, winners, dx):
    planes, windows = dy.shape
    for nc in prange(planes):
        for i in range(dx.shape[1]):
            dx[nc, i] = 0
        for o in range(windows):
            dx[nc, winners[nc, o]] += dy[nc, o]
