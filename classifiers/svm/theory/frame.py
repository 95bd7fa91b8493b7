"""Where kernel values are computed: near the origin and near 1, so that float32 loses nothing that matters.

A column of years has values near 2000 that differ by 10, so a . b is 4,000,000 and what separates two samples is a
unit: float32 keeps seven digits, and all of the information is in the last. In metres or nanometres the same samples
have inner products of 1e18 or 1e-18, which soon leave the range of float32. Neither changes the SVM: a *frame* moves
the samples to z = (x - origin) * scale, computes k'(z, z') there, and the answer is undone exactly.

============  =====================================  ============================  ==================================
name          in the frame                           origin                        unit = k / k'
============  =====================================  ============================  ==================================
linear        z . z'                                 mean of the samples           1 / scale^2
rbf           exp(-gamma' |z - z'|^2)                mean of the samples           1      gamma' = gamma / scale^2
poly          (gamma' z . z' + coef0')^degree        stays: k depends on it        a power that makes k' about 1
sigmoid       tanh(gamma' z . z' + coef0)            stays                         1      gamma' = gamma / scale^2
precomputed   a value of the given matrix            stays                         a power of 2 that makes it about 1
============  =====================================  ============================  ==================================

Why the origin is free for "linear": each dual problem has sum(beta) = 0. Then F = K beta - y changes by the same number
for all samples when K[i, j] loses u[i] + u[j], and only differences of F count. The number goes into the bias::

    sum_j beta_j x_j . x + b  =  sum_j beta_j (x_j - m) . (x - m) + b'      b' = b + sum_j beta_j (x_j - m) . m

Why the unit is free: with K = unit K' and beta' = unit beta, F = K' beta' - y is the same F. So the bound C becomes
C' = unit C, and `tol`, the biases and the decisions stay what they are.

Scales are powers of 2: a product with one rounds nothing.
"""
from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from classifiers.svm.theory.kernel_functions import Kernel

__all__ = ["Frame", "frame_of", "shifts"]

_ROWS = 1024                # samples that are moved at a time
_LARGEST = 1e300            # of gamma': beyond it k' is what it is at this value
_END = 1e150                # of features: float64 holds the squares of what lies between 1 / _END and _END
_FAR = 1e15                 # |z| from which float32 might not hold |z|^2 times a coefficient
_STEEP = 1e30               # gamma', coef0' and k' that float32 holds, with room for a product
_EPSILON = 2.0**-24         # relative error of a rounding to float32


class Frame(NamedTuple):
    """A place and a scale for samples, and the kernel function there.

    Attributes
    ----------
    kernel : Kernel
        k', the kernel function of placed samples.
    origin : (d,) float64 or None
        The point that becomes 0; None leaves it where it is.
    scale : float
        Factor of the samples after that.
    unit : float
        k / k', which is C' / C and beta' / beta, too.
    norms : (n,) float64
        |z| of each of the samples that the frame was made for; for "precomputed" the roots of |k'(z, z)|.
    """

    kernel: Kernel
    origin: np.ndarray | None
    scale: float
    unit: float
    norms: np.ndarray

    @property
    def largest(self) -> float:
        """About the largest |k'| of these samples; 1 for a function of the user's, of which nothing is known."""
        square = float(self.norms.max(initial=0))**2
        if self.kernel.name == "poly":
            return (self.kernel.gamma * square + abs(self.kernel.coef0))**self.kernel.degree
        return square if self.kernel.name in ("linear", "precomputed") else 1.0

    @property
    def rounding(self) -> float:
        """About the largest error of k' in float32, as far as it comes from how k' is computed."""
        square = float(self.norms.max(initial=0))**2
        if self.kernel.name == "poly":                      # an error of the base counts `degree` times
            return _EPSILON * self.kernel.degree * self.largest
        if self.kernel.name in ("rbf", "sigmoid"):          # what stands in the exponent, and has an error of its own
            return _EPSILON * (self.kernel.gamma * square + abs(self.kernel.coef0))
        return _EPSILON * self.largest if self.kernel.name == "linear" else 0.0

    @property
    def wide(self) -> bool:
        """Whether float32 cannot hold what is computed here."""
        return max(float(self.norms.max(initial=0)) / _FAR, self.kernel.gamma / _STEEP,
                   abs(self.kernel.coef0) / _STEEP, self.largest / _STEEP) > 1

    def place(self, X: np.ndarray, dtype: Any) -> np.ndarray:
        """Return samples in the frame.

        Parameters
        ----------
        X : (n, d) float32 or float64
            Samples as the user has them, or rows of a precomputed matrix.
        dtype : dtype
            Type of the result.

        Returns
        -------
        (n, d) array of `dtype`
            `X` itself where there is nothing to do.

        Examples
        --------
        >>> X = np.array([[1990.0], [2010.0]])
        >>> frame_of(Kernel("linear"), X).place(X, np.float32).ravel()
        array([-1.25,  1.25], dtype=float32)
        """
        factor = self.scale if self.kernel.name != "precomputed" else 1 / self.unit
        with np.errstate(over="ignore"):        # what float32 cannot hold is found where it is used
            if self.origin is None and factor == 1:
                return X.astype(dtype, copy=False)
            placed = np.empty(X.shape, dtype)
            for start in range(0, len(X), _ROWS):
                placed[start:start + _ROWS] = _moved(X[start:start + _ROWS], self.origin) * factor
        return placed


def frame_of(kernel: Kernel, X: np.ndarray) -> Frame:
    """Return the frame in which the kernel values of some samples are best computed.

    Parameters
    ----------
    kernel : Kernel
        Kernel function of the samples as the user has them.
    X : (n, d) float32 or float64
        Samples; for "precomputed" their kernel values, (n, n).

    Returns
    -------
    Frame

    Raises
    ------
    ValueError
        Features are too large for float64 to hold their squares, or values of "poly" too large for float32.
    """
    if callable(kernel.name) or not len(X):
        return Frame(kernel, None, 1.0, 1.0, np.ones(len(X)))
    if kernel.name == "precomputed":
        values = np.abs(np.diagonal(X)).astype(np.float64)
        typical = _middle(values)
        unit = 1.0 if 2**-16 <= typical <= 2**16 else _power_of_two(typical)
        return Frame(kernel, None, 1.0, unit, np.sqrt(values / unit))
    if (largest := float(np.abs(X).max())) > _END:
        raise ValueError(f"X has values as large as {largest:.3g}, whose squares are not finite in float64: scale the "
                         "features to a common range")
    origin = X.mean(axis=0, dtype=np.float64) if kernel.name in ("linear", "rbf") else None
    norms = np.concatenate([_norms(X[i:i + _ROWS], origin) for i in range(0, len(X), _ROWS)])
    typical = _middle(norms)
    scale = 1 / _power_of_two(typical) if typical > 1 / _END else 1.0
    norms *= scale
    if kernel.name == "linear":
        return Frame(kernel, origin, scale, 1 / scale / scale, norms)
    gamma, coef0, unit = min(kernel.gamma / scale / scale, _LARGEST), kernel.coef0, 1.0
    if kernel.name == "poly" and kernel.degree:
        _refuse_overflow(kernel, gamma * float(norms.max())**2 + abs(coef0))
        root = _power_of_two(abs(gamma * _middle(norms)**2 + coef0))
        gamma, coef0, unit = gamma / root, coef0 / root, root**kernel.degree
    return Frame(dataclasses.replace(kernel, gamma=gamma, coef0=coef0), origin, scale, unit, norms)


def shifts(frame: Frame, vectors: np.ndarray, coef: np.ndarray, starts: np.ndarray, strategy: str) -> Any:
    """Return b' - b of each binary problem: what the bias gains in the frame.

    Parameters
    ----------
    frame : Frame
        The frame in which the bias is b'.
    vectors : (m, d) array
        Support vectors as the user has them, sorted by class.
    coef : (K - 1, m) for "ovo", (K, m) for "ovr"
        Their beta, not beta'.
    starts : (K + 1,) int
        Class k has the support vectors from ``starts[k]`` to ``starts[k + 1]``.
    strategy : {"ovo", "ovr"}
        What the binary problems are: one for each pair of classes, or one for each class.

    Returns
    -------
    (n_problems,) float64, or 0.0 where the bias stays
    """
    if frame.kernel.name != "linear" or frame.origin is None:
        return 0.0
    along = (vectors - frame.origin) @ frame.origin                             # (m,): (x_j - m) . m
    if strategy == "ovr":
        return coef @ along
    n_classes = len(starts) - 1
    parts = np.zeros((n_classes, n_classes - 1))                                # what each class adds to its pairs
    for k in range(n_classes):
        of_k = slice(starts[k], starts[k + 1])
        parts[k] = coef[:, of_k] @ along[of_k]
    a, b = np.triu_indices(n_classes, 1)
    return parts[a, b - 1] + parts[b, a]


def _moved(X: np.ndarray, origin: np.ndarray | None) -> np.ndarray:
    return X.astype(np.float64) if origin is None else X - origin


def _norms(X: np.ndarray, origin: np.ndarray | None) -> np.ndarray:
    """Return |x - origin| of each row."""
    moved = _moved(X, origin)
    return np.sqrt(np.einsum("ij,ij->i", moved, moved))


def _middle(values: np.ndarray) -> float:
    """Return the median of the values that are not 0, or 1 without any: one that is far away does not move it."""
    values = values[values > 0]
    return float(np.median(values)) if len(values) else 1.0


def _power_of_two(value: float) -> float:
    """Return the power of 2 nearest to a positive number; 1 for 0."""
    return 2.0**round(math.log2(value)) if value else 1.0


def _refuse_overflow(kernel: Kernel, base: float) -> None:
    """Raise if base**degree, the largest value there can be, is more than float32 holds."""
    if base > 1 and kernel.degree * math.log10(base) > 38:
        raise ValueError(f"kernel='poly' with degree={kernel.degree}, gamma={kernel.gamma:.3g} and coef0="
                         f"{kernel.coef0:.3g} has values of up to 1e{kernel.degree * math.log10(base):.0f} on these "
                         "samples, which are not finite in float32. Scale the features to a common range, or lower "
                         "gamma or degree")
