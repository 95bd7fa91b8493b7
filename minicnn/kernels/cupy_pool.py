"""Max-pooling on the GPU; backward, each cell of dx gathers what it won. The page is `minicnn.ops.pool`."""
from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.kernels.cuda_source import blocks, kernel, real
from minicnn.ops.im2col import output_size
from minicnn.ops.pool import PoolCache

THREADS = 256


def max_pool2d(x: Any, size: Any, stride: Any = None, pad: Any = 0,
               ceil_mode: bool = False) -> tuple[Any, PoolCache]:
    """Maximum over windows; same contract as `minicnn.ops.max_pool2d`, whose validation has run."""
    import cupy

    N, C, H, W = x.shape
    OH, OW = (output_size(n, k, s, p, ceil_mode) for n, k, s, p in zip((H, W), size, stride, pad))
    y, winners = cupy.empty((N, C, OH, OW), x.dtype), cupy.empty((N, C, OH, OW), np.int32)
    sizes = (np.int32(n) for n in (H, W, OH, OW, *size, *stride, *pad))
    run = kernel("pool.cu", "max_pool2d", real=real(x.dtype))
    run(blocks(y.size, THREADS), (THREADS,), (cupy.ascontiguousarray(x), y, winners, np.int64(y.size), *sizes))
    return y, PoolCache(x.shape, winners, size, stride, pad)


def max_pool2d_backward(dy: Any, cache: PoolCache) -> Any:
    """Gradient of `max_pool2d`; same contract as `minicnn.ops.max_pool2d_backward`, whose validation has run."""
    import cupy

    H, W = cache.x_shape[2:]
    dx = cupy.empty(cache.x_shape, dy.dtype)
    sizes = (np.int32(n) for n in (H, W, *dy.shape[2:], *cache.size, *cache.stride, *cache.pad))
    run = kernel("pool.cu", "max_pool2d_backward", real=real(dy.dtype))
    run(blocks(dx.size, THREADS), (THREADS,), (cupy.ascontiguousarray(dy), cupy.ascontiguousarray(cache.winners), dx,
                                               np.int64(dx.size), *sizes))
    return dx
