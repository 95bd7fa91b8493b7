"""Kernels: the inner product of two samples in a feature space that is never built.

===========  =====================================  ==================================================
name         k(a, b)                                what it can express
===========  =====================================  ==================================================
linear       a . b                                  hyperplanes
poly         (gamma a . b + coef0) ** degree        products of up to `degree` features
rbf          exp(-gamma |a - b|^2)                  anything, by bumps of radius 1 / sqrt(gamma)
sigmoid      tanh(gamma a . b + coef0)              for history: no inner product for most parameters, so that a
                                                    problem can have several optima, of which one is found
===========  =====================================  ==================================================

A Gram block K[i, j] = k(A[i], B[j]) of m x n entries over d features costs 2 m n d FLOPs when written as one matrix
product, because all four kernels see the samples only through a . b::

    |a - b|^2 = |a|^2 + |b|^2 - 2 a . b

and the rest is a few elementwise steps in place over the block while it is in cache. Pitfall: if the samples lie far
from the origin, the right side is a small difference of large numbers. The distance does not change when all samples
are shifted together, so ``frame.py`` shifts them before they come here. And where gamma is large, exp(-gamma |a - b|^2)
magnifies what the difference loses: in float64 the distances are computed feature by feature instead, which is slower
and exact for equal samples.

Source: B. Schoelkopf, A. J. Smola 2002, "Learning with kernels", chapter 2.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from classifiers.svm.cpu.compiled_gram import finish_rbf, squared_distances

__all__ = ["NAMES", "Kernel", "kernel_loops", "resolve_gamma"]

NAMES = ("linear", "poly", "rbf", "sigmoid", "precomputed")
_SLAB = 1 << 16  # entries finished at a time: 256 KB, which stays in cache between the steps
_PRODUCT, _ROWS = 1 << 19, 128  # entries, but at least so many rows, of a product at a time: 2 MB


@dataclass(frozen=True)
class Kernel:
    """A kernel with its parameters: call it on two sets of samples for a block of the Gram matrix.

    Parameters
    ----------
    name : {"linear", "poly", "rbf", "sigmoid", "precomputed"} or callable
        A callable takes (A, B) and returns the block (len(A), len(B)). For "precomputed" the samples *are* rows
        of the Gram matrix, and there is nothing to compute.
    gamma : float
        Already a number; see `resolve_gamma`.
    degree : int
        Exponent of the kernel function poly; the others ignore it.
    coef0 : float
        What poly and sigmoid add to gamma a . b; the others ignore it.

    Examples
    --------
    >>> A = np.array([[0.0, 0.0], [1.0, 1.0]], np.float32)
    >>> Kernel("rbf", gamma=0.5)(A, A).round(4)
    array([[1.    , 0.3679],
           [0.3679, 1.    ]], dtype=float32)
    """

    name: str | Callable[..., Any]
    gamma: float = 1.0
    degree: int = 3
    coef0: float = 0.0

    def __call__(self, A: np.ndarray, B: np.ndarray, out: np.ndarray | None = None,
                 squares: tuple[np.ndarray | None, np.ndarray | None] = (None, None)) -> np.ndarray:
        """Return the Gram block of two sets of samples.

        Parameters
        ----------
        A : (m, d) float32 or float64
            Samples, one a row.
        B : (n, d) array of the same type
            The other samples, one a row.
        out : (m, n) array of the same type, optional
            Where to write the block.
        squares : pair of (m,) and (n,) float32, optional
            `squares` of A and B, if they are known already; float64 does without them.

        Returns
        -------
        (m, n) array of the type of A

        Raises
        ------
        ValueError
            A callable returned a block of another shape, or one that is not finite.
        """
        if callable(self.name):
            return self._call(A, B, out)
        if self.name == "rbf" and A.dtype == np.float64:
            K = np.empty((len(A), len(B))) if out is None else out
            squared_distances(A, B, K)
            K *= -self.gamma
            return np.exp(K, out=K)
        if self.name == "rbf":
            norms_a, norms_b = (np.einsum("ij,ij->i", part, part) if norms is None else norms
                                for part, norms in zip((A, B), squares))
            K = np.empty((len(A), len(B)), np.float32) if out is None else out
            for start in range(0, len(K), rows := max(_ROWS, _PRODUCT // max(1, K.shape[1]))):
                slab = slice(start, start + rows)              # still in the second-level cache for its exponentials
                finish_rbf(np.matmul(A[slab], B.T, out=K[slab]), norms_a[slab], norms_b, self.gamma)
            return K
        K = np.matmul(A, B.T, out=out)                                                            # (m, n): a . b
        if self.name == "linear":
            return K
        for start in range(0, len(K), rows := max(1, _SLAB // max(1, K.shape[1]))):
            self._finish(K[start:start + rows])
        return K

    def squares(self, X: np.ndarray) -> np.ndarray | None:
        """Return |x|^2 of each sample, (n,) float32, where `__call__` uses it: by "rbf" on float32; else None."""
        return np.einsum("ij,ij->i", X, X) if self.name == "rbf" and X.dtype == np.float32 else None

    def _finish(self, K: np.ndarray) -> None:
        """Turn the inner products `K` into kernel values, in place."""
        K *= K.dtype.type(self.gamma)
        K += K.dtype.type(self.coef0)
        if self.name == "sigmoid":
            np.tanh(K, out=K)
        else:
            base = K.copy()
            K[...] = 1
            for _ in range(self.degree):                     # a handful of products is faster than a power
                K *= base

    def _call(self, A: np.ndarray, B: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        K = np.asarray(self.name(A, B))  # type: ignore[operator]
        if K.shape != (len(A), len(B)):
            raise ValueError(f"the kernel {self.name!r} returned shape {K.shape} for {len(A)} and {len(B)} samples: "
                             f"expected {(len(A), len(B))}")
        with np.errstate(over="ignore"):
            K = np.ascontiguousarray(K, A.dtype)
        if not np.isfinite(K).all():
            raise ValueError(f"the kernel {self.name!r} returned values that are not finite in {A.dtype}: "
                             "expected a finite number for each pair of samples")
        if out is None:
            return K
        out[...] = K
        return out


def kernel_loops(kernel: Kernel, a: np.ndarray, b: np.ndarray) -> float:
    """Return k(a, b) for two samples in float64: the table above, in Python.

    Parameters
    ----------
    kernel : Kernel
        With its parameters.
    a, b : (d,) array
        Two samples.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        The kernel has no formula (precomputed).

    Examples
    --------
    >>> kernel_loops(Kernel("poly", gamma=0.5, degree=2, coef0=1.0), np.array([1.0, 2.0]), np.array([2.0, 0.0]))
    4.0
    """
    if callable(kernel.name):
        return float(kernel.name(a[None], b[None])[0, 0])
    product = sum(float(s) * float(t) for s, t in zip(a, b))
    if kernel.name == "linear":
        return product
    if kernel.name == "poly":
        return float((kernel.gamma * product + kernel.coef0) ** kernel.degree)
    if kernel.name == "rbf":
        return math.exp(-kernel.gamma * sum((float(s) - float(t)) ** 2 for s, t in zip(a, b)))
    if kernel.name == "sigmoid":
        return math.tanh(kernel.gamma * product + kernel.coef0)
    raise ValueError(f"kernel {kernel.name!r} has no formula: expected linear, poly, rbf, sigmoid or a callable")


def resolve_gamma(gamma: Any, X: np.ndarray) -> float:
    """Return gamma as a number.

    Parameters
    ----------
    gamma : {"scale", "auto"} or float
        "scale" is 1 / (d * variance of all entries of X), or 1 if they are all equal; "auto" is 1 / d.
    X : (n, d) array
        Samples.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        Another word, or a number that is not finite or negative.

    Examples
    --------
    >>> resolve_gamma("scale", np.array([[0.0, 2.0], [2.0, 0.0]])), resolve_gamma("auto", np.zeros((5, 4)))
    (0.5, 0.25)
    """
    if isinstance(gamma, str):
        if gamma == "auto":
            return 1.0 / X.shape[1]
        if gamma == "scale":
            with np.errstate(over="ignore"):                      # `frame_of` refuses features as large as that
                mean = X.mean(dtype=np.float64)
                squares = sum(float(np.square(X[i:i + 256] - mean).sum()) for i in range(0, len(X), 256))
            variance = squares / X.size                          # in slices: X.var would make a float64 copy of X
            return 1.0 / (X.shape[1] * variance) if variance else 1.0
    elif isinstance(gamma, Real) and not isinstance(gamma, bool) and 0 <= float(gamma) < math.inf:
        return float(gamma)
    raise ValueError(f"gamma={gamma!r}: expected 'scale', 'auto' or a finite number not less than 0")
