"""The fully connected layer on the GPU by a matrix product of our own. The page is `minicnn.ops.linear`.

cuBLAS is faster where matrices are large, so those are left to it. The paper's are 128 x 121, no work for either, and
a training step that is to be captured in a graph must do without cuBLAS.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import ops
from minicnn.kernels.cuda_source import blocks, kernel, real
from minicnn.ops.linear import LinearCache

TILE, SIDE = 32, 16
LARGE = 2**28   # multiply-adds of a product that is handed to cuBLAS

_OPS: Any = ops  # whose functions have their vectorised form as an attribute


def _product(a: Any, a_strides: tuple[int, int], b: Any, b_strides: tuple[int, int], M: int, N: int, K: int,
             bias: Any = None) -> Any:
    """Return A (M, K) times B (K, N), plus bias (N,); strides are counted in numbers."""
    import cupy

    c = cupy.empty((M, N), a.dtype)
    run = kernel("gemm.cu", "gemm", real=real(a.dtype), TILE=TILE, SIDE=SIDE)
    run((-(-N // TILE), -(-M // TILE)), (SIDE * SIDE,),
        (a, b, a if bias is None else bias, c, *(np.int32(n) for n in (M, N, K)),
         *(np.int64(n) for n in (*a_strides, *b_strides)), np.int32(bias is not None)))
    return c


def linear(x: Any, w: Any, b: Any) -> tuple[Any, LinearCache]:
    """Return ``x @ w.T + b``; same contract as `minicnn.ops.linear`, whose validation has run."""
    import cupy

    (N, D), F = x.shape, len(w)
    if N * D * F == 0 or N * D * F > LARGE:
        return _OPS.linear.vectorised(x, w, b)
    x, w = cupy.ascontiguousarray(x), cupy.ascontiguousarray(w)
    return _product(x, (D, 1), w, (1, D), N, F, D, b), LinearCache(x, w, b is not None)


def linear_backward(dy: Any, cache: LinearCache) -> tuple[Any, Any, Any]:
    """Return (dx, dw, db); same contract as `minicnn.ops.linear_backward`, whose validation has run."""
    import cupy

    x, w, has_bias = cache
    (N, D), F = x.shape, len(w)
    if N * D * F == 0 or N * D * F > LARGE:
        return _OPS.linear_backward.vectorised(dy, cache)
    dy, x, w = (cupy.ascontiguousarray(a) for a in (dy, x, w))
    dx = _product(dy, (F, 1), w, (D, 1), N, D, F)
    dw = _product(dy, (1, F), x, (D, 1), F, D, N)
    if not has_bias:
        return dx, dw, None
    db = cupy.empty(F, dy.dtype)
    run = kernel("gemm.cu", "column_sums", real=real(dy.dtype), TILE=TILE, SIDE=SIDE)
    run(blocks(F, 128), (128,), (dy, db, np.int32(N), np.int32(F)))
    return dx, dw, db
