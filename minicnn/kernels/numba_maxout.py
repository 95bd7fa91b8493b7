"""Maxout on the CPU: a thread per group of channels. The page is `minicnn.ops.maxout`."""
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange

from minicnn.kernels.threads import parallel_region
from minicnn.ops.maxout import MaxoutCache
from minicnn.plumbing.compiled import njit


def maxout(x: Any, pieces: int) -> tuple[Any, MaxoutCache]:
    """Maximum of each group of channels; see `minicnn.ops.maxout.maxout`."""
    N, C, *rest = x.shape
    F, S = C // pieces, math.prod(rest)
    y, winners = np.empty((N, F, *rest), x.dtype), np.empty((N, F, *rest), np.uint8)
    with parallel_region():
        _forward(np.ascontiguousarray(x).reshape(N * F, pieces, S),
                 y.reshape(N * F, S), winners.reshape(N * F, S))
    return y, MaxoutCache(winners, pieces, x.shape)


def maxout_backward(dy: Any, cache: MaxoutCache) -> Any:
    """Gradient of `maxout`; see `minicnn.ops.maxout.maxout_backward`."""
    N, F, *rest = dy.shape
    S = math.prod(rest)
    dx = np.empty(cache.x_shape, dy.dtype)
    winners = np.ascontiguousarray(cache.winners)
    with parallel_region():
        _backward(np.ascontiguousarray(dy).reshape(N * F, S), winners.reshape(N * F, S),
                  dx.reshape(N * F, cache.pieces, S))
    return dx


# No fastmath: it would allow the compiler to assume that there is no NaN, and NaN must win.
@njit(parallel=True, cache=True, nogil=True)
def _forward(x, y, winners):
    groups, pieces, S = x.shape
    for nf in prange(groups):
        for s in range(S):
            y[nf, s] = x[nf, 0, s]
            winners[nf, s] = 0
        for p in range(1, pieces):
            for s in range(S):
                v, best = x[nf, p, s], y[nf, s]
                # "Not less or equal" is "greater, or one is NaN"; best != best once it is NaN, which stays.
                better = (not v <= best) & (best == best)
                y[nf, s] = v if better else best
                winners[nf, s] = np.uint8(p) if better else winners[nf, s]


@njit(parallel=True, cache=True, nogil=True)
def _backward(dy, winners, dx):
    groups, pieces, S = dx.shape
    zero = dy.dtype.type(0)
    for nf in prange(groups):
        for p in range(pieces):
            for s in range(S):
                dx[nf, p, s] = dy[nf, s] if winners[nf, s] == p else zero
