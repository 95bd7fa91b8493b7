"""ReLU on the CPU: one pass over a flat array, in parallel. The page is `minicnn.ops.relu`."""
from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from minicnn.kernels.threads import parallel_region
from minicnn.ops.relu import ReluCache
from minicnn.plumbing.compiled import njit


def relu(x: Any) -> tuple[Any, ReluCache]:
    """Rectify `x`; see `minicnn.ops.relu.relu`."""
    y, positive = np.empty(x.shape, x.dtype), np.empty(x.shape, np.bool_)
    with parallel_region():
        _forward(np.ascontiguousarray(x).reshape(-1), y.reshape(-1), positive.reshape(-1))
    return y, ReluCache(positive)


def relu_backward(dy: Any, cache: ReluCache) -> Any:
    """Gradient of `relu`; see `minicnn.ops.relu.relu_backward`."""
    dx = np.empty(dy.shape, dy.dtype)
    positive = np.ascontiguousarray(cache.positive)
    with parallel_region():
        _backward(np.ascontiguousarray(dy).reshape(-1), positive.reshape(-1), dx.reshape(-1))
    return dx


# No fastmath: it would allow the compiler to assume that there is no NaN, and NaN must pass.
@njit(parallel=True, cache=True, nogil=True)
def _forward(x, y, positive):
    zero = x.dtype.type(0)
    for i in prange(x.size):
        positive[i] = x[i] > zero
        y[i] = zero if x[i] <= zero else x[i]


@njit(parallel=True, cache=True, nogil=True)
def _backward(dy, positive, dx):
    for i in prange(dy.size):
        dx[i] = dy[i] * positive[i]
