"""Blocks of the Gram matrix made fast: the kernel functions of ``theory/kernel_functions.py``, mostly in float32.

A block is one matrix product and a few elementwise steps, which are done in place, slab by slab, while the slab is in
cache. Pitfall: where gamma is large, exp(-gamma |a - b|^2) magnifies what the difference |a|^2 + |b|^2 - 2 a . b loses.
In float64 the distances are computed feature by feature instead, which is slower and exact for equal samples.
"""
from __future__ import annotations

import numpy as np

from classifiers.svm.cpu.compiled_gram import finish_rbf, squared_distances
from classifiers.svm.theory.kernel_functions import Kernel

__all__ = ["kernel_block", "squared_norms"]

_SLAB = 1 << 16                 # entries that are finished at a time: 256 KB, which stays in cache between the steps
_PRODUCT, _ROWS = 1 << 19, 128  # entries of a product at a time, 2 MB, but at least this number of rows


def kernel_block(kernel: Kernel, A: np.ndarray, B: np.ndarray, out: np.ndarray | None = None,
                 squares: tuple[np.ndarray | None, np.ndarray | None] = (None, None)) -> np.ndarray:
    """Return the kernel values of two sets of samples.

    Parameters
    ----------
    kernel : Kernel
        The kernel function; it is not "precomputed".
    A : (m, d) float32 or float64
        Samples, one a row.
    B : (n, d) array of the same type
        The other samples, one a row.
    out : (m, n) array of the same type, optional
        Memory that the block is written to; by default it is new.
    squares : pair of (m,) and (n,) float32, optional
        `squared_norms` of A and B, if they are known already; in float64 they are not used.

    Returns
    -------
    (m, n) array of the type of A

    Raises
    ------
    ValueError
        A callable returned a block of another shape, or one that is not finite.

    Examples
    --------
    >>> A = np.array([[0.0, 0.0], [1.0, 1.0]], np.float32)
    >>> kernel_block(Kernel("rbf", gamma=0.5), A, A).round(4)
    array([[1.    , 0.3679],
           [0.3679, 1.    ]], dtype=float32)
    """
    if callable(kernel.name):
        return _called(kernel, A, B, out)
    if kernel.name == "rbf" and A.dtype == np.float64:
        K = np.empty((len(A), len(B))) if out is None else out
        squared_distances(A, B, K)
        K *= -kernel.gamma
        return np.exp(K, out=K)
    if kernel.name == "rbf":
        norms_a, norms_b = (np.einsum("ij,ij->i", part, part) if norms is None else norms
                            for part, norms in zip((A, B), squares))
        K = np.empty((len(A), len(B)), np.float32) if out is None else out
        for start in range(0, len(K), rows := max(_ROWS, _PRODUCT // max(1, K.shape[1]))):
            slab = slice(start, start + rows)              # still in the second-level cache for its exponentials
            finish_rbf(np.matmul(A[slab], B.T, out=K[slab]), norms_a[slab], norms_b, kernel.gamma)
        return K
    K = np.matmul(A, B.T, out=out)                                                            # (m, n): a . b
    if kernel.name == "linear":
        return K
    for start in range(0, len(K), rows := max(1, _SLAB // max(1, K.shape[1]))):
        _finish(kernel, K[start:start + rows])
    return K


def squared_norms(kernel: Kernel, X: np.ndarray) -> np.ndarray | None:
    """Return |x|^2 of each sample, (n,) float32, where `kernel_block` uses it: for "rbf" in float32; else None."""
    return np.einsum("ij,ij->i", X, X) if kernel.name == "rbf" and X.dtype == np.float32 else None


def _finish(kernel: Kernel, K: np.ndarray) -> None:
    """Turn the inner products `K` into kernel values, in place."""
    K *= K.dtype.type(kernel.gamma)
    K += K.dtype.type(kernel.coef0)
    if kernel.name == "sigmoid":
        np.tanh(K, out=K)
    else:
        base = K.copy()
        K[...] = 1
        for _ in range(kernel.degree):                     # a handful of products is faster than a power
            K *= base


def _called(kernel: Kernel, A: np.ndarray, B: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    """Return what a function of the user's makes of `A` and `B`, checked and of the type of `A`."""
    K = np.asarray(kernel.name(A, B))  # type: ignore[operator]
    if K.shape != (len(A), len(B)):
        raise ValueError(f"the kernel {kernel.name!r} returned shape {K.shape} for {len(A)} and {len(B)} samples: "
                         f"expected {(len(A), len(B))}")
    with np.errstate(over="ignore"):
        K = np.ascontiguousarray(K, A.dtype)
    if not np.isfinite(K).all():
        raise ValueError(f"the kernel {kernel.name!r} returned values that are not finite in {A.dtype}: "
                         "expected a finite number for each pair of samples")
    if out is None:
        return K
    out[...] = K
    return out
