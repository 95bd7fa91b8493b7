"""Decision values of all problems at once, by matrix products.

One-vs-one with K classes has K (K - 1) / 2 problems (7,260 for 121 classes), each a sum over the support vectors of
two classes. Looking at it from the support vectors instead: those of class a take part in K - 1 problems, with the
K - 1 coefficients of their column of `coef`. So one product for each *class* gives everything::

    S[a] = K(X, support vectors of a) @ coef[:, support vectors of a].T        (n, K - 1)

    f[a, b] = S[a][:, b - 1] + S[b][:, a] + intercept                          the pair a < b

A loop over pairs would read each kernel value K - 1 times; here the kernel block of some hundred rows is computed
once, and BLAS reads it once.

From pairs to classes: each problem votes for one of its two classes, and ties are broken by the sum of the decision
values in favour of a class, squashed so that it never outweighs a vote::

    score[k] = votes[k] + confidence[k] / (3 (|confidence[k]| + 1))            a number within +-1/3 of the votes

Source: the aggregate is the one scikit-learn documents for ``decision_function_shape="ovr"``.
"""
from __future__ import annotations

from collections.abc import Callable

import joblib
import numpy as np

from classifiers.svm.gram import OneBlasThread
from classifiers.svm.kernels import Kernel
from classifiers.svm.numba_decision import class_scores, pair_values

__all__ = ["decision_scores", "decision_values", "ovr_from_ovo", "votes"]

_ENTRIES = 1 << 22  # kernel values computed at a time: 16 MB


def decision_values(kernel: Kernel, X_support: np.ndarray, coef: np.ndarray, starts: np.ndarray, intercept: np.ndarray,
                    X: np.ndarray, strategy: str, n_jobs: int | None = None) -> np.ndarray:
    """Return the decision value of each problem for each sample.

    Parameters
    ----------
    kernel : Kernel
        With its parameters.
    X_support : (n_support, d) float32
        Support vectors sorted by class; for the kernel "precomputed" it is not used, and X has the kernel values.
    coef : (K - 1, n_support) for "ovo", (K, n_support) for "ovr"
        Their coefficients.
    starts : (K + 1,) int
        Class k has the support vectors from ``starts[k]`` to ``starts[k + 1]``.
    intercept : (n_problems,) array
        Biases.
    X : (n, d) float32
        Samples; (n, n_support) kernel values for "precomputed".
    strategy : {"ovo", "ovr"}
        Which problems these are.
    n_jobs : int or None
        Threads, as joblib counts them.

    Returns
    -------
    (n, n_problems) float64

    Examples
    --------
    >>> X_support, coef = np.array([[1.0], [-1.0]], np.float32), np.array([[0.5, -0.5]])
    >>> decision_values(Kernel("linear"), X_support, coef, [0, 1, 2], np.zeros(1), np.array([[3.0]], np.float32), "ovo")
    array([[3.]])
    """
    return _in_blocks(kernel, X_support, coef, starts, intercept, X, strategy, n_jobs, len(intercept), pair_values)


def decision_scores(kernel: Kernel, X_support: np.ndarray, coef: np.ndarray, starts: np.ndarray, intercept: np.ndarray,
                    X: np.ndarray, n_jobs: int | None = None) -> np.ndarray:
    """Return the score of each class by one-vs-one, as `ovr_from_ovo` of `decision_values`, in bounded memory.

    Parameters
    ----------
    kernel, X_support, coef, starts, intercept, X, n_jobs
        As for `decision_values`.

    Returns
    -------
    (n, K) float64
    """
    return _in_blocks(kernel, X_support, coef, starts, intercept, X, "ovo", n_jobs, len(starts) - 1, class_scores)


def _in_blocks(kernel: Kernel, X_support: np.ndarray, coef: np.ndarray, starts: np.ndarray, intercept: np.ndarray,
               X: np.ndarray, strategy: str, n_jobs: int | None, width: int,
               finish: Callable[[np.ndarray, np.ndarray, np.ndarray], None]) -> np.ndarray:
    starts, intercept = np.asarray(starts, np.int64), np.asarray(intercept, np.float64)
    n_classes = len(starts) - 1
    origin = kernel.origin(X_support) if len(X_support) and kernel.name != "precomputed" else None
    if origin is not None:
        X_support = X_support - origin
    squares = None if kernel.name == "precomputed" else kernel.squares(X_support)
    columns = np.ascontiguousarray(coef.T, np.float32)                          # (n_support, K - 1 or K)
    out = np.empty((len(X), width))
    step = max(16, _ENTRIES // max(1, len(columns), len(intercept)))

    def fill(start: int) -> None:
        rows = X[start:start + step]
        if kernel.name != "precomputed":
            rows = kernel(rows if origin is None else rows - origin, X_support, None, (None, squares))
        part = out[start:start + step]
        if strategy == "ovr":
            np.add(rows @ columns, intercept, out=part)
            return
        S = np.empty((n_classes, len(rows), n_classes - 1), np.float32)
        for k in range(n_classes):
            of_k = slice(starts[k], starts[k + 1])
            np.matmul(rows[:, of_k], columns[of_k], out=S[k])
        finish(S, intercept, part)

    with OneBlasThread():
        joblib.Parallel(n_jobs=n_jobs, require="sharedmem")(
            joblib.delayed(fill)(start) for start in range(0, len(X), step))
    return out


def ovr_from_ovo(decisions: np.ndarray, n_classes: int) -> np.ndarray:
    """Return a score for each class from the decisions of all pairs: votes, ties broken by confidence.

    Parameters
    ----------
    decisions : (n, K (K - 1) / 2) array
        Positive: the first class of the pair.
    n_classes : int
        K.

    Returns
    -------
    (n, K) float64
        Its argmax is the prediction.

    Examples
    --------
    >>> ovr_from_ovo(np.array([[1.0, -2.0, 3.0]]), n_classes=3)     # one vote each: the confidences -1, 2, -1 decide
    array([[0.83333333, 1.22222222, 0.83333333]])
    """
    confidence = np.zeros((len(decisions), n_classes))
    problem = 0
    for a in range(n_classes - 1):
        against = decisions[:, problem:problem + n_classes - 1 - a]             # b = a + 1, ..., K - 1
        confidence[:, a] += against.sum(axis=1)
        confidence[:, a + 1:] -= against
        problem += n_classes - 1 - a
    return votes(decisions, n_classes) + confidence / (3 * (np.abs(confidence) + 1))


def votes(decisions: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the number of pairs that each class wins.

    Parameters
    ----------
    decisions : (n, K (K - 1) / 2) array
        Not negative: the first class of the pair wins.
    n_classes : int
        K.

    Returns
    -------
    (n, K) int64

    Examples
    --------
    >>> votes(np.array([[1.0, 2.0, 3.0]]), n_classes=3)
    array([[2, 1, 0]])
    """
    won = np.zeros((len(decisions), n_classes), np.int64)
    problem = 0
    for a in range(n_classes - 1):
        first = decisions[:, problem:problem + n_classes - 1 - a] >= 0
        won[:, a] += first.sum(axis=1)
        won[:, a + 1:] += ~first
        problem += n_classes - 1 - a
    return won
