"""Maxout on the GPU, one thread for an output. The page is `minicnn.ops.maxout`."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.kernels.cuda_source import blocks, kernel, real
from minicnn.ops.maxout import MaxoutCache

THREADS = 256


def maxout(x: Any, pieces: int) -> tuple[Any, MaxoutCache]:
    """Maximum of each group of channels; same contract as `minicnn.ops.maxout`, whose validation has run."""
    import cupy

    N, C, *rest = x.shape
    y, winners = (cupy.empty((N, C // pieces, *rest), dtype) for dtype in (x.dtype, np.uint8))
    if y.size:
        run = kernel("maxout.cu", "maxout", real=real(x.dtype), PIECES=pieces)
        run(blocks(y.size, THREADS), (THREADS,), (cupy.ascontiguousarray(x), y, winners, np.int64(y.size),
                                                  np.int64(math.prod(rest))))
    return y, MaxoutCache(winners, pieces, x.shape)


def maxout_backward(dy: Any, cache: MaxoutCache) -> Any:
    """Gradient of `maxout`; same contract as `minicnn.ops.maxout_backward`, whose validation has run."""
    import cupy

    winners, pieces, x_shape = cache
    dx = cupy.empty(x_shape, dy.dtype)
    if dy.size:
        run = kernel("maxout.cu", "maxout_backward", real=real(dy.dtype), PIECES=pieces)
        run(blocks(dy.size, THREADS), (THREADS,), (cupy.ascontiguousarray(dy), cupy.ascontiguousarray(winners), dx,
                                                   np.int64(dy.size), np.int64(math.prod(x_shape[2:]))))
    return dx
