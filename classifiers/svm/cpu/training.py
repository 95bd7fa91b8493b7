"""Solve all binary problems of a fit: in float32, checked in float64, and twice where there may be several optima."""
from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from classifiers.base import ConvergenceWarning, sklearn_twin
from classifiers.svm.cpu import multiclass
from classifiers.svm.cpu.gram import Gram
from classifiers.svm.cpu.precision import SLACK, refined
from classifiers.svm.theory.optima import better_of, in_order, is_convex, reversed_classes
from classifiers.svm.theory.problems import MulticlassSolution, TrainingSet, problem_names
from minicnn.plumbing.threads import one_blas_thread

__all__ = ["FitProblems", "attempt", "gram_of", "solve", "warn"]

FitProblems = Callable[..., MulticlassSolution]     # `fit_problems` of `cpu.multiclass` or of `gpu.solver`

_NAMED = 3          # number of problems that a warning names
_FIRST = 1_000_000  # iterations in float32, before a problem goes on in float64: rounding may be what keeps it moving


def gram_of(svc: Any, data: TrainingSet) -> Gram:
    """Return the Gram matrix of `data` in its frame: in float32, or in float64 where float32 cannot hold its values.

    Parameters
    ----------
    svc : SVC
        The estimator whose `cache_size` and `n_jobs` the matrix has.
    data : TrainingSet
        The samples.
    """
    placed = data.frame.place(data.X, np.float64 if data.frame.wide else np.float32)
    if svc.kernel == "precomputed" and not np.isfinite(placed).all():
        placed = data.frame.place(data.X, np.float64)
    return Gram(placed, data.frame.kernel, svc.cache_size, svc.n_jobs)


def solve(svc: Any, data: TrainingSet, gram: Gram, fit_problems: FitProblems,
          beta: np.ndarray | None = None) -> MulticlassSolution:
    """Solve all binary problems of `data`, check them in float64, and solve those again that float32 cannot.

    Parameters
    ----------
    svc : SVC
        The estimator whose parameters are used.
    data : TrainingSet
        The problems.
    gram : Gram
        `gram_of` of `data`.
    fit_problems : callable
        `fit_problems` of `cpu.multiclass` or of `gpu.solver`.
    beta : array, optional
        `MulticlassSolution.beta` of an earlier solution, from which this one starts; by default from 0.

    Returns
    -------
    MulticlassSolution
        In the frame of `data`.

    Warns
    -----
    ConvergenceWarning
        The KKT violation of some problems, in float64, is more than `tol`; the worst of them are named. Or kernel
        values are no inner products, so that a problem may have several optima.
    """
    found = _checked(svc, data, gram, fit_problems, beta)
    warn(svc, data, found)
    return found if beta is not None or is_convex(data) else _better(svc, data, gram, fit_problems, found)


def _checked(svc: Any, data: TrainingSet, gram: Gram, fit_problems: FitProblems,
             beta: np.ndarray | None = None) -> MulticlassSolution:
    """Solve all binary problems of `data` and check them in float64; the parameters are those of `solve`."""
    found = attempt(svc, data, gram, fit_problems, beta)
    return refined(data, gram, found, svc.C * data.weight, svc.tol, iteration_limit(svc), svc.n_jobs)


def _better(svc: Any, data: TrainingSet, gram: Gram, fit_problems: FitProblems,
            found: MulticlassSolution) -> MulticlassSolution:
    """Solve problems that are not convex a second time in another order, and return the better solution of each.

    Warns
    -----
    ConvergenceWarning
        The two solutions of a problem are different optima; there may be better ones than either.
    """
    other, order = reversed_classes(data)
    again = in_order(_checked(svc, other, gram.restrict(order), fit_problems), order)
    with one_blas_thread():
        found, apart = better_of(data, found, again, svc.n_jobs)
    if len(apart):
        names = problem_names(data.classes, data.strategy)
        told = "; ".join(names[p] for p in apart[:_NAMED])
        warnings.warn(f"{type(svc).__name__}: kernel={svc.kernel!r} is no inner product on these samples, and "
                      f"{len(apart)} of {len(names)} binary problems have several optima: {told}"
                      f"{'; ...' if len(apart) > _NAMED else ''}. The better one of two is taken, and a better one may "
                      "exist. Use kernel='rbf', or other parameters of this kernel", sklearn_twin(ConvergenceWarning),
                      stacklevel=4)
    return found


def attempt(svc: Any, data: TrainingSet, gram: Gram, fit_problems: FitProblems,
            beta: np.ndarray | None = None) -> MulticlassSolution:
    """Solve all binary problems of `data` on `gram`, unchecked; the parameters are those of `solve`."""
    limit = iteration_limit(svc)
    if gram.dtype == np.float32:
        limit = min(limit, max(_FIRST, 100 * gram.n))
    else:
        fit_problems = multiclass.fit_problems      # the kernels of the device work in float32
    return fit_problems(gram, data.starts, svc.C * data.weight * data.frame.unit, data.strategy, svc.tol, limit,
                        svc.n_jobs, beta=beta, verbose=int(svc.verbose), shrinking=bool(svc.shrinking))


def iteration_limit(svc: Any) -> int:
    """Return the largest number of iterations of each binary problem."""
    return svc.max_iter if svc.max_iter > 0 else sys.maxsize


def warn(svc: Any, data: TrainingSet, found: MulticlassSolution) -> None:
    """Name the binary problems whose KKT violation is more than `tol`, where there are any."""
    left = np.flatnonzero(~(found.violation <= (1 + SLACK) * svc.tol))
    if len(left):
        names = problem_names(data.classes, data.strategy)
        worst = left[np.argsort(-found.violation[left], kind="stable")][:_NAMED]
        told = "; ".join(f"{names[p]}: {found.violation[p]:.3g} after {found.iterations[p]} iterations" for p in worst)
        warnings.warn(f"{type(svc).__name__}: {len(left)} of {len(names)} binary problems stopped before their KKT "
                      f"violation fell to tol={svc.tol:g}. What is left of it: {told}"
                      f"{'; ...' if len(left) > _NAMED else ''}. Scale the features to a common range, lower C, or "
                      f"raise tol or max_iter={svc.max_iter}", sklearn_twin(ConvergenceWarning), stacklevel=4)
