"""Decision values of all problems at once on a GPU: `decision`, with the same functions, kernel block by kernel block.

Some thousand samples at a time go to the device, and their answers come back::

    samples  ->  K(X, support vectors)   ->  S[a] = K[:, support vectors of a] @ coef'   ->  pairs or scores  ->  host
                 gram.py                      a product for each class                        decision.cu

K and S are forgotten before the next ones are computed, and neither is ever on the host. Support vectors and
coefficients are copied to the device by each call: an estimator holds NumPy arrays alone, so it can be pickled, saved
and used by another backend.

Rounding is that of `decision`: values and coefficients are float32, sums of the two classes of a pair and what follows
float64 in the same order.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from classifiers.svm.cpu import decision
from classifiers.svm.cpu.kernel_blocks import kernel_block, squared_norms
from classifiers.svm.gpu.device import kernel, load_cupy
from classifiers.svm.gpu.gram import kernel_values
from classifiers.svm.theory.frame import frame_of, shifts
from classifiers.svm.theory.kernel_functions import Kernel

__all__ = ["decision_scores", "decision_values"]

_ENTRIES = 1 << 26      # kernel values, and sums, computed at a time: 256 MB of each
_THREADS = 128


def decision_values(kernel: Kernel, X_support: np.ndarray, coef: np.ndarray, starts: np.ndarray, intercept: np.ndarray,
                    X: np.ndarray, strategy: str, n_jobs: int | None = None, precise: bool = False) -> np.ndarray:
    """Return the decision value of each problem for each sample, as `classifiers.svm.cpu.decision.decision_values`.

    Parameters
    ----------
    kernel, X_support, coef, starts, intercept, X, strategy
        The parameters of `cpu.decision.decision_values`, as NumPy arrays.
    n_jobs : int or None
        Number of threads on the processor, where `precise` has the decisions computed there.
    precise : bool
        Compute in float64, on the processor: the kernels of the device are float32.

    Returns
    -------
    (n, n_problems) float64

    Raises
    ------
    ImportError
        There is no CuPy, or no device.
    """
    if precise:
        return decision.decision_values(kernel, X_support, coef, starts, intercept, X, strategy, n_jobs, precise)
    return _in_blocks(kernel, X_support, coef, starts, intercept, X, strategy, len(intercept), "pair_values")


def decision_scores(kernel: Kernel, X_support: np.ndarray, coef: np.ndarray, starts: np.ndarray, intercept: np.ndarray,
                    X: np.ndarray, n_jobs: int | None = None, precise: bool = False) -> np.ndarray:
    """Return the score of each class by one-vs-one, as `classifiers.svm.cpu.decision.decision_scores`.

    Parameters
    ----------
    kernel, X_support, coef, starts, intercept, X, n_jobs, precise
        The same as in `decision_values`.

    Returns
    -------
    (n, K) float64
    """
    if precise:
        return decision.decision_scores(kernel, X_support, coef, starts, intercept, X, n_jobs, precise)
    return _in_blocks(kernel, X_support, coef, starts, intercept, X, "ovo", len(starts) - 1, "class_scores")


def _in_blocks(kernel_: Kernel, X_support: np.ndarray, coef: np.ndarray, starts: np.ndarray, intercept: np.ndarray,
               X: np.ndarray, strategy: str, width: int, finish: str) -> np.ndarray:
    cupy = load_cupy()
    starts, frame = np.asarray(starts, np.int64), frame_of(kernel_, X_support)
    intercept = np.asarray(intercept, np.float64) + shifts(frame, X_support, coef, starts, strategy)
    kernel_, X, X_support = frame.kernel, frame.place(X, np.float32), frame.place(X_support, np.float32)
    on_host = callable(kernel_.name) or kernel_.name == "precomputed"
    support = None if on_host else _on_device(kernel_, X_support)
    columns = cupy.asarray(np.ascontiguousarray(coef.T * frame.unit, np.float32))       # (n_support, K - 1 or K): beta'
    bias = cupy.asarray(intercept)
    n_classes = len(starts) - 1
    step = max(16, _ENTRIES // max(1, len(columns), n_classes * (n_classes - 1)))
    out = np.empty((len(X), width))
    for start in range(0, len(X), step):
        rows = X[start:start + step]
        if support is None:                                                     # (rows, n_support) either way
            values = kernel_block(kernel_, rows, X_support) if callable(kernel_.name) else rows
            K = cupy.asarray(np.ascontiguousarray(values))
        else:
            (A, squares), (B, squares_b) = _on_device(kernel_, rows), support
            K = kernel_values(kernel_, A, B, (squares, squares_b))
        if strategy == "ovr":
            np.add(cupy.asnumpy(cupy.matmul(K, columns)), intercept, out=out[start:start + step])
        else:
            part = _pairs(K, columns, starts, bias, width, finish)
            out[start:start + step] = cupy.asnumpy(part)
    decision.refuse_infinite(out)
    return out


def _on_device(kernel_: Kernel, X: np.ndarray) -> tuple[Any, Any]:
    """Return copies of samples (n, d) and of their `squared_norms`, (n,) or None."""
    cupy, squares = load_cupy(), squared_norms(kernel_, X)
    return cupy.asarray(np.ascontiguousarray(X, np.float32)), None if squares is None else cupy.asarray(squares)


def _pairs(K: Any, columns: Any, starts: np.ndarray, bias: Any, width: int, finish: str) -> Any:
    """Return what the kernel `finish` of ``decision.cu`` makes of the kernel values K, (rows, width) float64."""
    cupy, n_classes = load_cupy(), len(starts) - 1
    S = cupy.zeros((n_classes, len(K), n_classes - 1), np.float32)              # zeros: of classes without any
    for k in range(n_classes):
        of_k = slice(int(starts[k]), int(starts[k + 1]))
        if of_k.stop > of_k.start:
            S[k] = cupy.matmul(K[:, of_k], columns[of_k])
    out = cupy.empty((len(K), width), np.float64)
    run = kernel("decision.cu", finish, THREADS=_THREADS)
    run((len(K),), (_THREADS,), (S, bias, out, np.int32(len(K)), np.int32(n_classes)))
    return out
