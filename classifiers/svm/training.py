"""From what a user passes to the binary problems: check, sort by class, weigh, solve, and warn.

The samples are sorted by class once, so that each class is a range of rows of one Gram matrix and a one-vs-one
pair is two such ranges. Everything that trains goes through here: `SVC.fit`, a path of values of C, and the folds of
a calibration, all of them on the same `TrainingSet`.

Sample i has the upper bound C_i = C * (weight of its class) * (its own weight). A sample of weight 0 would be bound
to alpha_i = 0: it is left out altogether.
"""
from __future__ import annotations

import sys
import warnings
from typing import Any, NamedTuple

import numpy as np

from classifiers.base import (
    ConvergenceWarning,
    check_choice,
    check_interval,
    check_sample_weight,
    class_weights,
    effective_jobs,
    sklearn_twin,
)
from classifiers.svm.cpu import multiclass
from classifiers.svm.cpu.frame import Frame, frame_of
from classifiers.svm.cpu.gram import Gram
from classifiers.svm.cpu.kernel_functions import Kernel, resolve_gamma
from classifiers.svm.cpu.multiclass import MulticlassSolution
from classifiers.svm.cpu.optima import better_of, in_order, is_convex, reversed_classes
from classifiers.svm.cpu.precision import SLACK, refined
from classifiers.svm.gpu import solver as cupy_solver
from classifiers.svm.theory.certificates import problem_names

__all__ = ["BACKENDS", "KERNELS", "TrainingSet", "attempt", "check_parameters", "prepare", "solve", "warn"]

KERNELS = ("linear", "poly", "rbf", "sigmoid", "precomputed")
BACKENDS = ("numba", "cupy")
_NAMED = 3      # how many problems a warning names
_FIRST = 1_000_000  # iterations in float32, before a problem goes on in float64: rounding may be what keeps it moving


class TrainingSet(NamedTuple):
    """Checked samples, sorted by class.

    Attributes
    ----------
    X : array, (n, d) float32 or float64
        The samples; for a precomputed kernel their Gram matrix, (n, n).
    rows : array of int, (n,)
        Which row of the user's X each is.
    starts : array of int, (K + 1,)
        Class k is ``X[starts[k]:starts[k + 1]]``.
    weight : array, (n,)
        C_i / C, positive.
    class_weight : array, (K,)
        The share of the class in it.
    kernel : Kernel
        Kernel function of X, with the value of gamma.
    frame : Frame
        Where kernel values are computed; what is solved is beta' and b' there, see `classifiers.svm.cpu.frame`.
    gram : Gram
        The Gram matrix of X in the frame, made when it is first needed.
    strategy : {"ovo", "ovr"}
        How the K classes become binary problems; two classes are always one problem, "ovo".
    """

    X: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    weight: np.ndarray
    class_weight: np.ndarray
    kernel: Kernel
    frame: Frame
    gram: Gram
    strategy: str

    def wide(self) -> Gram:
        """Return the Gram matrix in float64."""
        if self.gram.dtype == np.float64:
            return self.gram
        return Gram(self.frame.place(self.X, np.float64), self.frame.kernel, self.gram.budget / 2**20,
                    self.gram.n_jobs)


def check_parameters(svc: Any) -> None:
    """Raise ValueError unless all parameters of an `SVC` make sense."""
    name = type(svc).__name__
    check_interval(f"{name}: C", svc.C, 0, exclude_low=True)
    if not callable(svc.kernel):
        check_choice(f"{name}: kernel", svc.kernel, KERNELS)
    check_interval(f"{name}: degree", svc.degree, 0, integer=True)
    if not isinstance(svc.gamma, str):
        check_interval(f"{name}: gamma", svc.gamma, 0)
    else:
        check_choice(f"{name}: gamma", svc.gamma, ("scale", "auto"))
    check_interval(f"{name}: coef0", svc.coef0, None)
    check_choice(f"{name}: strategy", svc.strategy, ("ovo", "ovr"))
    check_interval(f"{name}: tol", svc.tol, 0, exclude_low=True)
    check_interval(f"{name}: cache_size", svc.cache_size, 0, exclude_low=True)
    check_interval(f"{name}: max_iter", svc.max_iter, -1, integer=True)
    check_choice(f"{name}: backend", svc.backend, BACKENDS)
    if svc.max_iter == 0:
        raise ValueError(f"{name}: max_iter=0, expected a number of iterations, or -1 for no limit")
    effective_jobs(svc.n_jobs)
    check_choice(f"{name}: decision_function_shape", svc.decision_function_shape, ("ovo", "ovr"))
    if svc.strategy == "ovr" and svc.decision_function_shape == "ovo":
        raise ValueError(f"{name}: decision_function_shape='ovo' with strategy='ovr', which has no pairs to show: "
                         "use strategy='ovo', or decision_function_shape='ovr'")


def prepare(svc: Any, X: Any, y: Any, sample_weight: Any = None) -> TrainingSet:
    """Check what was passed to ``fit``, note classes and features in `svc`, and sort the samples by class.

    Parameters
    ----------
    svc : SVC
        Whose parameters count, and which gets ``classes_`` and ``n_features_in_``.
    X, y, sample_weight : array-like
        As `SVC.fit`.

    Returns
    -------
    TrainingSet

    Raises
    ------
    ValueError
        A parameter, sample, label or weight makes no sense, or a class has only samples of weight 0.
    """
    check_parameters(svc)
    X = svc.check_samples(X, reset=True, dtype=None)
    codes = svc.check_targets(y, len(X))
    if svc.kernel == "precomputed" and X.shape[0] != X.shape[1]:
        raise ValueError(f"Precomputed matrix must be a square matrix, of kernel values of all pairs of samples. "
                         f"X is a {X.shape[0]}x{X.shape[1]} matrix")
    sample_weight = check_sample_weight(sample_weight, len(X))
    of_class = class_weights(svc.class_weight, svc.classes_, codes, sample_weight)
    weight = of_class[codes] if sample_weight is None else of_class[codes] * sample_weight
    rows = np.argsort(codes, kind="stable")
    rows = rows[weight[rows] > 0]
    sizes = np.bincount(codes[rows], minlength=len(svc.classes_))
    if not sizes.all():
        label = svc.classes_.tolist()[np.argmin(sizes)]
        raise ValueError(f"all samples of class {label!r} have weight 0: each class needs a sample of positive weight. "
                         "Drop the samples of that class, or mend sample_weight and class_weight")
    kernel = Kernel(svc.kernel, resolve_gamma(svc.gamma, X), int(svc.degree), float(svc.coef0))
    if svc.kernel != "precomputed":
        X = X[rows]
    elif not np.array_equal(rows, np.arange(len(X))):       # a matrix that is sorted already may be gigabytes: no copy
        X = X[np.ix_(rows, rows)]
    frame = frame_of(kernel, X)
    placed = frame.place(X, np.float64 if frame.wide else np.float32)
    if svc.kernel == "precomputed" and not np.isfinite(placed).all():
        placed = frame.place(X, np.float64)
    return TrainingSet(X, rows, np.concatenate([[0], np.cumsum(sizes)]), weight[rows], of_class, kernel, frame,
                       Gram(placed, frame.kernel, svc.cache_size, svc.n_jobs),
                       "ovo" if len(sizes) == 2 else svc.strategy)


def solve(svc: Any, data: TrainingSet, beta: Any = None) -> MulticlassSolution:
    """Solve all binary problems of `data`, check them in float64, and solve those again that float32 cannot.

    Parameters
    ----------
    svc : SVC
        Whose parameters count.
    data : TrainingSet
        What to solve.
    beta : array, optional
        Where to start: the `beta` of an earlier solution.

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
    found = _checked(svc, data, beta)
    warn(svc, data, found)
    return found if beta is not None or is_convex(data) else _better(svc, data, found)


def _checked(svc: Any, data: TrainingSet, beta: Any = None) -> MulticlassSolution:
    """Solve all binary problems of `data`, and check them in float64; parameters as `solve`."""
    return refined(data, attempt(svc, data, beta), svc.C * data.weight, svc.tol, iteration_limit(svc), svc.n_jobs)


def _better(svc: Any, data: TrainingSet, found: MulticlassSolution) -> MulticlassSolution:
    """Solve problems that are not convex once more on another way, and return the better solution of each.

    Warns
    -----
    ConvergenceWarning
        The two ways have ended at different optima; there may be better ones than either.
    """
    other, order = reversed_classes(data)
    again = in_order(_checked(svc, other), order)
    found, apart = better_of(data, found, again, svc.n_jobs)
    if len(apart):
        names = problem_names(svc.classes_, data.strategy)
        told = "; ".join(names[p] for p in apart[:_NAMED])
        warnings.warn(f"{type(svc).__name__}: kernel={svc.kernel!r} is no inner product on these samples, and "
                      f"{len(apart)} of {len(names)} binary problems have several optima: {told}"
                      f"{'; ...' if len(apart) > _NAMED else ''}. The better one of two is taken, and a better one may "
                      "exist. Use kernel='rbf', or other parameters of this kernel", sklearn_twin(ConvergenceWarning),
                      stacklevel=4)
    return found


def attempt(svc: Any, data: TrainingSet, beta: Any = None) -> MulticlassSolution:
    """Solve all binary problems of `data` on its Gram matrix; parameters as `solve`."""
    solver = cupy_solver if svc.backend == "cupy" and data.gram.dtype == np.float32 else multiclass
    limit = iteration_limit(svc)
    if data.gram.dtype == np.float32:
        limit = min(limit, max(_FIRST, 100 * data.gram.n))
    return solver.fit_problems(data.gram, data.starts, svc.C * data.weight * data.frame.unit, data.strategy, svc.tol,
                               limit, svc.n_jobs, beta=beta, verbose=int(svc.verbose), shrinking=bool(svc.shrinking))


def iteration_limit(svc: Any) -> int:
    """Return how many iterations each binary problem may take."""
    return svc.max_iter if svc.max_iter > 0 else sys.maxsize


def warn(svc: Any, data: TrainingSet, found: MulticlassSolution) -> None:
    """Name the binary problems whose KKT violation is more than `tol`, where there are any."""
    left = np.flatnonzero(~(found.violation <= (1 + SLACK) * svc.tol))
    if len(left):
        names = problem_names(svc.classes_, data.strategy)
        worst = left[np.argsort(-found.violation[left], kind="stable")][:_NAMED]
        told = "; ".join(f"{names[p]}: {found.violation[p]:.3g} after {found.iterations[p]} iterations" for p in worst)
        warnings.warn(f"{type(svc).__name__}: {len(left)} of {len(names)} binary problems stopped before their KKT "
                      f"violation fell to tol={svc.tol:g}. What is left of it: {told}"
                      f"{'; ...' if len(left) > _NAMED else ''}. Scale the features to a common range, lower C, or "
                      f"raise tol or max_iter={svc.max_iter}", sklearn_twin(ConvergenceWarning), stacklevel=4)

