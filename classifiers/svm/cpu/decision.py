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
from typing import Any, NamedTuple

import joblib
import numpy as np

from classifiers.svm.cpu.compiled_decision import class_scores, pair_values
from classifiers.svm.cpu.kernel_blocks import kernel_block, squared_norms
from classifiers.svm.theory.frame import Frame, frame_of, shifts
from classifiers.svm.theory.kernel_functions import Kernel
from minicnn.plumbing.threads import one_blas_thread

__all__ = ["MOST", "decision_scores", "decision_values", "ovr_from_ovo", "refuse_infinite", "votes"]

MOST = 1e15     # of features and coefficients in float32, whose products then stay finite

_ENTRIES = 1 << 22  # kernel values computed at a time: 16 MB


def decision_values(kernel: Kernel, X_support: np.ndarray, coef: np.ndarray, starts: np.ndarray, intercept: np.ndarray,
                    X: np.ndarray, strategy: str, n_jobs: int | None = None, precise: bool = False) -> np.ndarray:
    """Return the decision value of each problem for each sample.

    Parameters
    ----------
    kernel : Kernel
        The kernel function of samples as the user has them.
    X_support : (n_support, d) float32 or float64
        Support vectors sorted by class; for the kernel "precomputed" it is not used, and X has the kernel values.
    coef : (K - 1, n_support) for "ovo", (K, n_support) for "ovr"
        Their coefficients.
    starts : (K + 1,) int
        Class k has the support vectors from ``starts[k]`` to ``starts[k + 1]``.
    intercept : (n_problems,) array
        Biases.
    X : (n, d) float32 or float64
        Samples; (n, n_support) kernel values for "precomputed".
    strategy : {"ovo", "ovr"}
        What the binary problems are: one for each pair of classes, or one for each class.
    n_jobs : int or None
        Number of threads: -1 is one for each core, None, the default, is 1 or what joblib's context says.
    precise : bool
        Compute in float64 instead of float32.

    Returns
    -------
    (n, n_problems) float64

    Raises
    ------
    ValueError
        A decision is not finite in float64: features are too large for this kernel function.

    Examples
    --------
    >>> X_support, coef = np.array([[1.0], [-1.0]], np.float32), np.array([[0.5, -0.5]])
    >>> decision_values(Kernel("linear"), X_support, coef, [0, 1, 2], np.zeros(1), np.array([[3.0]], np.float32), "ovo")
    array([[3.]])
    """
    return _in_blocks(kernel, X_support, coef, starts, intercept, X, strategy, n_jobs, precise, len(intercept),
                      pair_values)


def decision_scores(kernel: Kernel, X_support: np.ndarray, coef: np.ndarray, starts: np.ndarray, intercept: np.ndarray,
                    X: np.ndarray, n_jobs: int | None = None, precise: bool = False) -> np.ndarray:
    """Return the score of each class by one-vs-one, as `ovr_from_ovo` of `decision_values`, in bounded memory.

    Parameters
    ----------
    kernel, X_support, coef, starts, intercept, X, n_jobs, precise
        The same as in `decision_values`.

    Returns
    -------
    (n, K) float64
    """
    return _in_blocks(kernel, X_support, coef, starts, intercept, X, "ovo", n_jobs, precise, len(starts) - 1,
                      class_scores)


def _in_blocks(kernel: Kernel, X_support: np.ndarray, coef: np.ndarray, starts: np.ndarray, intercept: np.ndarray,
               X: np.ndarray, strategy: str, n_jobs: int | None, precise: bool, width: int,
               finish: Callable[[np.ndarray, np.ndarray, np.ndarray], None]) -> np.ndarray:
    starts = np.asarray(starts, np.int64)
    frame = frame_of(kernel, X_support)
    kernel, given = frame.kernel, frame.kernel.name == "precomputed"
    bias = np.asarray(intercept, np.float64) + shifts(frame, X_support, coef, starts, strategy)
    columns = coef.T * frame.unit                                               # (n_support, K - 1 or K): beta'
    if frame.wide or float(np.abs(columns).max(initial=0)) > MOST:
        precise = True
    model = _model(frame, X_support, columns, np.float64 if precise else np.float32)
    out = np.empty((len(X), width))
    step = max(16, _ENTRIES // max(1, len(columns), len(bias)))

    def fill(start: int) -> None:
        rows, part = frame.place(X[start:start + step], model.coef.dtype), out[start:start + step]
        with np.errstate(over="ignore", invalid="ignore"):                      # what is not finite is refused below
            if np.abs(rows).max(initial=0) <= MOST or precise:
                decide(rows, model, part)
                if precise or np.isfinite(part).all():
                    return
            rows = frame.place(X[start:start + step], np.float64)               # too far away for float32
            decide(rows, _model(frame, X_support, columns, np.float64), part)

    def decide(rows: np.ndarray, model: _Model, part: np.ndarray) -> None:
        block = rows if given else kernel_block(kernel, rows, model.vectors, None, (None, model.squares))
        if strategy == "ovr":
            np.add(block @ model.coef, bias, out=part)
            return
        S = np.empty((len(starts) - 1, len(rows), len(starts) - 2), model.coef.dtype)
        for k in range(len(S)):
            of_k = slice(starts[k], starts[k + 1])
            np.matmul(block[:, of_k], model.coef[of_k], out=S[k])
        finish(S, bias, part)

    with one_blas_thread():
        joblib.Parallel(n_jobs=n_jobs, require="sharedmem")(
            joblib.delayed(fill)(start) for start in range(0, len(X), step))
    refuse_infinite(out)
    return out


class _Model(NamedTuple):
    """Support vectors in their frame, `squared_norms` of them, and their beta', all of one type."""

    vectors: np.ndarray
    squares: np.ndarray | None
    coef: np.ndarray


def _model(frame: Frame, X_support: np.ndarray, columns: np.ndarray, real: Any) -> _Model:
    """Return what decisions are computed from, of type `real`."""
    vectors = frame.place(X_support, real)
    squares = None if frame.kernel.name == "precomputed" else squared_norms(frame.kernel, vectors)
    return _Model(vectors, squares, np.ascontiguousarray(columns, real))


def refuse_infinite(decisions: np.ndarray) -> None:
    """Raise for decisions that are no finite numbers.

    Raises
    ------
    ValueError
        It names the first sample.
    """
    finite = np.isfinite(decisions).all(axis=1)
    if not finite.all():
        raise ValueError(f"the decisions on the sample in row {int(np.argmin(finite))} of X are not finite in float64: "
                         "its features are too large for this kernel function. Scale the features to a common range")


def ovr_from_ovo(decisions: np.ndarray, n_classes: int) -> np.ndarray:
    """Return a score for each class from the decisions of all pairs: votes, ties broken by confidence.

    Parameters
    ----------
    decisions : (n, K (K - 1) / 2) array
        Decision of each pair; it is positive for the first class of the pair.
    n_classes : int
        Number of classes, K.

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
        Decision of each pair; the first class of the pair wins unless it is negative.
    n_classes : int
        Number of classes, K.

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
