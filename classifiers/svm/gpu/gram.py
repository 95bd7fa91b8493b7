"""Kernel values in the memory of a GPU: blocks of a Gram matrix, and values of samples with support vectors.

All four kernels see the samples only through inner products (``kernel_functions.py``), so a block is two steps::

    K = A B'                one matrix product, which CuPy hands to cuBLAS
    K = kernel(K)           one pass in place, ``gram.cu``: reads an entry once and writes it once

Nothing else of the size of K exists, as it would if the pass were written as array operations: distances, their
exponents, a copy for the powers of "poly". The product is the one step of the SVMs here that is not written by hand:
it is a dense product like any other, and what this project is about begins behind it. It is float32 throughout (CuPy
uses the shorter TF32 only where the environment variable CUPY_TF32 asks for it).

A kernel that is a function takes NumPy arrays, and a precomputed one lies in the host's memory: their blocks are
computed or read there, some rows at a time, and copied.

Pitfall: cuBLAS may choose another order of summation for matrices of another shape. So an entry can differ in its last
bits when it is computed as part of another block; the same block has the same bits each time.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from classifiers.svm.cpu.gram import Gram
from classifiers.svm.gpu.device import kernel, load_cupy
from classifiers.svm.theory.kernel_functions import Kernel

__all__ = ["DeviceGram", "kernel_values"]

_THREADS, _SPAN = 256, 1024     # of a block of threads; entries that it finishes
_ENTRIES = 1 << 24              # of a block that the host computes, copied at a time: 64 MB


class DeviceGram:
    """Where blocks of a Gram matrix come from: the samples in the memory of the device, or else the host.

    Parameters
    ----------
    gram : Gram
        Gram matrix of all samples, sorted by class.

    Attributes
    ----------
    nbytes : int
        Memory of the device that the samples take, or would take a second time when some of them are copied.
    """

    def __init__(self, gram: Gram) -> None:
        self._gram, self._X, self._squares = gram, None, None
        if not (callable(gram.kernel.name) or gram.kernel.name == "precomputed"):
            cupy, (X, squares) = load_cupy(), gram.samples
            self._X = cupy.asarray(np.ascontiguousarray(X))
            self._squares = None if squares is None else cupy.asarray(squares)

    @property
    def nbytes(self) -> int:
        return 0 if self._X is None else int(self._X.nbytes)

    def matrix(self, parts: Sequence[slice]) -> Any:
        """Return the Gram matrix of some of the samples.

        Parameters
        ----------
        parts : sequence of slice
            Ranges of samples, which become neighbours.

        Returns
        -------
        cupy array, (N, N) float32
        """
        cupy = load_cupy()
        if self._X is not None:
            X, squares = (None if whole is None else whole[parts[0]] if len(parts) == 1 else
                          cupy.concatenate([whole[part] for part in parts]) for whole in (self._X, self._squares))
            return kernel_values(self._gram.kernel, X, X, (squares, squares))
        rows = np.concatenate([np.arange(part.start, part.stop) for part in parts])
        K = cupy.empty((len(rows), len(rows)), np.float32)
        step = max(1, _ENTRIES // len(rows))
        for start in range(0, len(rows), step):
            K[start:start + step] = cupy.asarray(self._gram.block(rows[start:start + step], rows))
        return K


def kernel_values(kernel_: Kernel, A: Any, B: Any, squares: tuple[Any, Any] = (None, None)) -> Any:
    """Return k(a, b) of all rows of two sets of samples: `kernel_block` on the device.

    Parameters
    ----------
    kernel_ : Kernel
        One of those with a formula.
    A, B : cupy array, (m, d) and (n, d) float32
        Samples.
    squares : pair of cupy array, (m,) and (n,) float32
        `squared_norms` of each, for "rbf".

    Returns
    -------
    cupy array, (m, n) float32
    """
    K = load_cupy().matmul(A, B.T)                                                          # (m, n): a . b
    if kernel_.name == "linear" or not K.size:
        return K
    gamma, coef0 = np.float32(kernel_.gamma), np.float32(kernel_.coef0)
    own = {"rbf": (*squares, gamma), "poly": (gamma, coef0, np.int32(kernel_.degree)),
           "sigmoid": (gamma, coef0)}[str(kernel_.name)]
    (m, n), spans = K.shape, -(-K.shape[1] // _SPAN)
    finish = kernel("gram.cu", str(kernel_.name), THREADS=_THREADS, SPAN=_SPAN)
    finish((m * spans,), (_THREADS,), (K, *own, np.int32(n), np.int32(spans)))
    return K
