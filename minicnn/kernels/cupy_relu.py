"""ReLU on the GPU, one thread for an element. The page is `minicnn.ops.relu`."""
from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.kernels.cuda_source import blocks, kernel, real
from minicnn.ops.relu import ReluCache

THREADS = 256


def relu(x: Any) -> tuple[Any, ReluCache]:
    """Rectify `x`; same contract as `minicnn.ops.relu`, whose validation has run."""
    import cupy

    y, positive = cupy.empty(x.shape, x.dtype), cupy.empty(x.shape, np.bool_)
    if x.size:
        run = kernel("relu.cu", "relu", real=real(x.dtype))
        run(blocks(x.size, THREADS), (THREADS,), (cupy.ascontiguousarray(x), y, positive, np.int64(x.size)))
    return y, ReluCache(positive)


def relu_backward(dy: Any, cache: ReluCache) -> Any:
    """Gradient of `relu`; same contract as `minicnn.ops.relu_backward`, whose validation has run."""
    import cupy

    dx = cupy.empty(dy.shape, dy.dtype)
    if dy.size:
        run = kernel("relu.cu", "relu_backward", real=real(dy.dtype))
        run(blocks(dy.size, THREADS), (THREADS,), (cupy.ascontiguousarray(dy), cupy.ascontiguousarray(cache.positive),
                                                   dx, np.int64(dy.size)))
    return dx
