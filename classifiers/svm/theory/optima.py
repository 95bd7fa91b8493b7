"""Kernel functions that are no inner products: several optima, and which of two is better.

The dual problem of an SVM has one optimum because its Gram matrix has no negative eigenvalue. The matrix of "sigmoid"
has some for most parameters, and one that the user gives may have any. Then the KKT conditions hold at each local
optimum, the solver stops at the one it comes to first, and nothing in its numbers says that there are others.

So such problems are solved twice, with the samples in two different orders: ties of the first iterations are broken by
order, and go to the first sample here and to the last one in LIBSVM, so that the second order gives LIBSVM's steps.
Where the two dual objectives differ, there are several optima: the better solution is taken, and the user is told.

Source: H.-T. Lin, C.-J. Lin 2003, "A study on sigmoid kernels for SVM and the training of non-PSD kernels by SMO-type
methods".
"""
from __future__ import annotations

from itertools import pairwise

import joblib
import numpy as np

from classifiers.svm.theory.frame import Frame
from classifiers.svm.theory.kernel_functions import Kernel, kernel_values
from classifiers.svm.theory.problems import MulticlassSolution, TrainingSet, places

__all__ = ["better_of", "in_order", "is_convex", "reversed_classes"]

_SAMPLED = 256      # samples whose kernel matrix is asked for negative eigenvalues
_ENTRIES = 1 << 21  # kernel values at a time: 16 MB
_APART = 5e-4       # relative difference of dual objectives that two ways to one optimum do not have at tol=1e-3


def is_convex(data: TrainingSet) -> bool:
    """Return whether the kernel matrix of some samples has no negative eigenvalue, but for rounding.

    Parameters
    ----------
    data : TrainingSet
        The problems that are to be solved.
    """
    kernel = data.kernel
    if kernel.name in ("linear", "rbf") or (kernel.name == "poly" and kernel.coef0 >= 0):
        return True
    some = np.unique(np.linspace(0, len(data.rows) - 1, _SAMPLED).astype(np.int64))
    X = data.X[np.ix_(some, some)] if kernel.name == "precomputed" else data.X[some]
    K, = joblib.Parallel(prefer="threads")([joblib.delayed(_matrix)(data.frame, X)])   # a user's function on a cluster
    eigenvalues = np.linalg.eigvalsh((K + K.T) / 2)
    rounding = max(1e-10, np.finfo(data.X.dtype).eps * len(some) if kernel.name == "precomputed" else 0.0)
    return bool(eigenvalues[0] >= -rounding * np.abs(eigenvalues).max())


def _matrix(frame: Frame, X: np.ndarray) -> np.ndarray:
    """Return the kernel matrix of samples, in their frame, in float64."""
    placed = frame.place(X, np.float64)
    return placed if frame.kernel.name == "precomputed" else kernel_values(frame.kernel, placed, placed)


def reversed_classes(data: TrainingSet) -> tuple[TrainingSet, np.ndarray]:
    """Return a `TrainingSet` whose classes have their samples in reverse order, and that order, (n,)."""
    starts = data.starts
    order = np.concatenate([np.arange(stop - 1, start - 1, -1) for start, stop in pairwise(starts)])
    X = data.X[np.ix_(order, order)] if data.kernel.name == "precomputed" else data.X[order]
    return data._replace(X=X, rows=data.rows[order], weight=data.weight[order],
                         frame=data.frame._replace(norms=data.frame.norms[order])), order


def in_order(found: MulticlassSolution, order: np.ndarray) -> MulticlassSolution:
    """Return a solution of reordered samples with its coefficients in the order of the original ones."""
    coef = np.empty_like(found.coef)
    coef[:, order] = found.coef
    return found._replace(coef=coef, worst=order[found.worst])


def better_of(data: TrainingSet, one: MulticlassSolution, other: MulticlassSolution,
              n_jobs: int | None) -> tuple[MulticlassSolution, np.ndarray]:
    """Return the better of two solutions for each binary problem.

    Parameters
    ----------
    data : TrainingSet
        The problems that were solved.
    one, other : MulticlassSolution
        Two solutions of them.
    n_jobs : int or None
        Number of threads: -1 is one for each core, None is 1 or what joblib's context says.

    Returns
    -------
    MulticlassSolution
    apart : array of int
        The problems whose dual objectives differ.
    """
    placed, problems = data.frame.place(data.X, np.float64), range(len(one.intercept))
    duals = np.array(joblib.Parallel(n_jobs=n_jobs, prefer="threads")(
        joblib.delayed(_dual)(data.frame.kernel, placed, *_support(data, found.coef, p))
        for found in (one, other) for p in problems)).reshape(2, -1)
    better = duals[1] > duals[0]
    coef = one.coef.copy()
    for p in np.flatnonzero(better).tolist():
        for row, samples in places(data.starts, data.strategy, p):
            coef[row, samples] = other.coef[row, samples]
    chosen = {name: np.where(better.reshape(-1, *[1] * (getattr(one, name).ndim - 1)), getattr(other, name),
                             getattr(one, name)) for name in ("intercept", "iterations", "violation", "worst", "F")}
    apart = np.abs(duals[1] - duals[0]) > _APART * np.abs(duals).max(axis=0)
    return one._replace(coef=coef, precise=one.precise or other.precise, **chosen), np.flatnonzero(apart)


def _support(data: TrainingSet, coef: np.ndarray, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the support vectors of problem p, as indices of samples, and their beta."""
    parts = places(data.starts, data.strategy, p)
    beta = np.concatenate([coef[row, samples] for row, samples in parts])
    samples = np.concatenate([np.arange(part.start, part.stop) for _, part in parts])
    return samples[beta != 0], beta[beta != 0]


def _dual(kernel: Kernel, placed: np.ndarray, support: np.ndarray, beta: np.ndarray) -> float:
    """Return the dual objective of a problem, sum |beta| - beta' K beta / 2, from samples placed in their frame."""
    total, step = 0.0, max(1, _ENTRIES // max(1, len(support)))
    for start in range(0, len(support), step):
        some = support[start:start + step]
        K = placed[np.ix_(some, support)] if kernel.name == "precomputed" else \
            kernel_values(kernel, placed[some], placed[support])
        total += beta[start:start + step] @ (K @ beta)
    return float(np.abs(beta).sum() - total / 2)
