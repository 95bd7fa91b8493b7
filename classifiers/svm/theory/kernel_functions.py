"""Kernel functions: the inner product of two samples in a feature space that is never built.

===========  =====================================  ==================================================
name         k(a, b)                                what it can express
===========  =====================================  ==================================================
linear       a . b                                  hyperplanes
poly         (gamma a . b + coef0) ** degree        products of up to `degree` features
rbf          exp(-gamma |a - b|^2)                  anything, by bumps of radius 1 / sqrt(gamma)
sigmoid      tanh(gamma a . b + coef0)              for history: no inner product for most parameters, so that a
                                                    problem can have several optima, of which one is found
===========  =====================================  ==================================================

The Gram matrix K[i, j] = k(A[i], B[j]) of m and n samples with d features costs 2 m n d FLOPs when it is written as one
matrix product, because all four functions see the samples only through a . b::

    |a - b|^2 = |a|^2 + |b|^2 - 2 a . b

Pitfall: if the samples lie far from the origin, the right side is a small difference of large numbers. The distance
does not change when all samples are shifted together, so `frame` shifts them before they come here.

`kernel_loops` is the table in Python, `kernel_values` is the same for matrices in float64. What changes in the fast
version (``cpu/kernel_blocks.py``): it works in float32, slab by slab, and has an exponential of its own.

Source: B. Schoelkopf, A. J. Smola 2002, "Learning with kernels", chapter 2.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

__all__ = ["KERNELS", "Kernel", "kernel_loops", "kernel_values", "resolve_gamma"]

KERNELS = ("linear", "poly", "rbf", "sigmoid", "precomputed")
_EXPANDED = 1e4     # gamma |x|^2 up to which expanded distances are exact to 1e-11


@dataclass(frozen=True)
class Kernel:
    """A kernel function with its parameters.

    Parameters
    ----------
    name : {"linear", "poly", "rbf", "sigmoid", "precomputed"} or callable
        Name of the function. A callable takes two matrices A and B and returns the kernel values of their rows,
        (len(A), len(B)). For "precomputed" the samples *are* rows of the Gram matrix, and there is nothing to compute.
    gamma : float
        Factor of a . b or of |a - b|^2. It is a number already; `resolve_gamma` makes one of "scale" and "auto".
    degree : int
        Exponent of "poly"; the other functions ignore it.
    coef0 : float
        What "poly" and "sigmoid" add to gamma a . b; the other functions ignore it.

    Examples
    --------
    >>> kernel_values(Kernel("rbf", gamma=0.5), np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[0.0, 0.0]])).round(4)
    array([[1.    ],
           [0.3679]])
    """

    name: str | Callable[..., Any]
    gamma: float = 1.0
    degree: int = 3
    coef0: float = 0.0


def kernel_loops(kernel: Kernel, a: np.ndarray, b: np.ndarray) -> float:
    """Return k(a, b) for two samples in float64: the table above, in Python.

    Parameters
    ----------
    kernel : Kernel
        The kernel function and its parameters.
    a, b : (d,) array
        Two samples.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        The kernel function has no formula ("precomputed").

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


def kernel_values(kernel: Any, A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return k(a, b) of all rows of `A` and `B` in float64, (len(A), len(B)).

    Parameters
    ----------
    kernel : Kernel
        The kernel function and its parameters; it is not "precomputed".
    A, B : array, (n, d) and (m, d)
        Samples.

    Examples
    --------
    >>> kernel_values(Kernel("poly", gamma=0.5, degree=2, coef0=1.0), np.array([[2.0]]), np.array([[3.0]]))
    array([[16.]])
    """
    A, B = A.astype(np.float64), B.astype(np.float64)
    if callable(kernel.name):
        return np.asarray(kernel.name(A, B), dtype=np.float64)
    products = A @ B.T                                                              # (n, m)
    if kernel.name == "linear":
        return products
    if kernel.name == "rbf":
        of_a, of_b = (A * A).sum(1), (B * B).sum(1)
        if kernel.gamma * (of_a.max(initial=0) + of_b.max(initial=0)) < _EXPANDED:
            squares = of_a[:, None] + of_b - 2 * products                           # (n, m)
            return np.exp(-kernel.gamma * np.maximum(squares, 0))   # rounding can leave -1e-16 where a == b
        squares = np.zeros((len(A), len(B)))
        for a, b in zip(A.T, B.T):
            squares += (a[:, None] - b)**2
        return np.exp(-kernel.gamma * squares)
    products = kernel.gamma * products + kernel.coef0
    return products ** kernel.degree if kernel.name == "poly" else np.tanh(products)


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
