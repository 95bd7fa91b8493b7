"""From what a user passes to binary problems: the samples sorted by class, the problems' names, order and solutions.

The samples are sorted by class once, so that each class is a range of rows of one Gram matrix, and a one-vs-one pair is
two such ranges. Everything that trains starts here: `SVC.fit`, a path of values of C, and the folds of a calibration,
all of them on the same `TrainingSet`.

Sample i has the upper bound C_i = C * (weight of its class) * (its own weight). A sample of weight 0 would be bound to
alpha_i = 0: it is left out.

Layout of the coefficients (LIBSVM's): beta of a sample of class a in the problem against class b is
``coef[b - 1 if a < b else b, sample]``: K - 1 numbers for each sample, one for each other class.
"""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from classifiers.base import (
    check_choice,
    check_interval,
    check_sample_weight,
    class_codes,
    class_weights,
    effective_jobs,
)
from classifiers.inputs import dense_samples, feature_names
from classifiers.svm.theory.frame import Frame, frame_of
from classifiers.svm.theory.kernel_functions import KERNELS, Kernel, resolve_gamma

__all__ = ["BACKENDS", "MulticlassSolution", "TrainingSet", "check_parameters", "coef_rows", "from_numbers", "pairs",
           "places", "prepare", "problem_names"]

BACKENDS = ("numba", "cupy")


class TrainingSet(NamedTuple):
    """Checked samples, sorted by class.

    Attributes
    ----------
    X : array, (n, d) float32 or float64
        The samples; for a precomputed kernel their Gram matrix, (n, n).
    rows : array of int, (n,)
        Row of the user's X that each sample comes from.
    starts : array of int, (K + 1,)
        Class k is ``X[starts[k]:starts[k + 1]]``.
    weight : array, (n,)
        C_i / C, positive.
    class_weight : array, (K,)
        Factor of C for each class, which `weight` contains.
    kernel : Kernel
        Kernel function of X, with the value of gamma.
    frame : Frame
        The place and the scale at which kernel values are computed; what is solved is beta' and b' there (see `frame`).
    strategy : {"ovo", "ovr"}
        The way in which the K classes become binary problems; two classes are always one problem, "ovo".
    classes : array, (K,)
        The labels of the classes, sorted.
    n_features : int
        Number of columns of the user's X.
    feature_names : array of str, (n_features,), or None
        Names of these columns, where X is a data frame that names them.
    """

    X: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    weight: np.ndarray
    class_weight: np.ndarray
    kernel: Kernel
    frame: Frame
    strategy: str
    classes: np.ndarray
    n_features: int
    feature_names: np.ndarray | None


class MulticlassSolution(NamedTuple):
    """The solutions of all binary problems of a fit.

    Attributes
    ----------
    coef : float64
        beta of each problem: one-vs-one (K - 1, n) in LIBSVM's layout, one-vs-rest (K, n).
    intercept : (n_problems,) float64
        Bias of each problem.
    iterations : (n_problems,) int64
        Number of iterations that each problem took.
    violation : (n_problems,) float64
        Remaining violation of the KKT conditions of each problem.
    worst : (n_problems, 2) int64
        The pair of samples that violates most: where F is smallest over `up`, and where it is largest over `low`.
    F : (n_problems, 2) float64
        F = K beta - y of the solver at these two.
    precise : bool
        Whether the rounding of float32 kernel values shows in these numbers, so that decisions need float64 as well.
    """

    coef: np.ndarray
    intercept: np.ndarray
    iterations: np.ndarray
    violation: np.ndarray
    worst: np.ndarray
    F: np.ndarray
    precise: bool = False

    @property
    def beta(self) -> np.ndarray:
        """The coefficients, from which the fit for another C may start."""
        return self.coef


def pairs(n_classes: int) -> np.ndarray:
    """Return the classes (a, b) of each one-vs-one problem, (K (K - 1) / 2, 2).

    Examples
    --------
    >>> pairs(3).tolist()
    [[0, 1], [0, 2], [1, 2]]
    """
    return np.stack(np.triu_indices(n_classes, 1), axis=1)


def coef_rows(a: int, b: int) -> tuple[int, int]:
    """Return the rows of `coef` with the pair a < b: for the samples of class a, and for those of class b.

    Examples
    --------
    >>> coef_rows(0, 2)
    (1, 0)
    """
    return b - 1, a


def places(starts: np.ndarray, strategy: str, p: int) -> list[tuple[int, slice]]:
    """Return the rows and the samples of `MulticlassSolution.coef` that hold the beta of problem p."""
    if strategy == "ovr":
        return [(p, slice(0, int(starts[-1])))]
    a, b = pairs(len(starts) - 1)[p]
    row_a, row_b = coef_rows(a, b)
    return [(row_a, slice(starts[a], starts[a + 1])), (row_b, slice(starts[b], starts[b + 1]))]


def problem_names(classes: Any, strategy: str) -> list[str]:
    """Return what to call each binary problem, in the order of the intercepts.

    Examples
    --------
    >>> problem_names(["cod", "eel", "ray"], "ovo")
    ['classes cod and eel', 'classes cod and ray', 'classes eel and ray']
    >>> problem_names([3, 7, 8], "ovr")[1]
    'class 7 against the rest'
    """
    if strategy == "ovr":
        return [f"class {label} against the rest" for label in classes]
    return [f"classes {classes[a]} and {classes[b]}" for a, b in zip(*np.triu_indices(len(classes), 1))]


def from_numbers(coef: np.ndarray, numbers: np.ndarray) -> MulticlassSolution:
    """Return a `MulticlassSolution` from (n_problems, 7): bias, iterations, violation, the worst pair and F there."""
    whole = np.nan_to_num(numbers[:, [1, 3, 4]]).astype(np.int64)
    return MulticlassSolution(coef, numbers[:, 0], whole[:, 0], numbers[:, 2], whole[:, 1:], numbers[:, 5:])


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
    """Check what was passed to ``fit``, and sort the samples by class; nothing is written into `svc`.

    Parameters
    ----------
    svc : SVC
        The estimator whose parameters are checked and used.
    X, y, sample_weight : array-like
        Samples, labels and weights, in the forms that `SVC.fit` takes.

    Returns
    -------
    TrainingSet

    Raises
    ------
    ValueError
        A parameter, sample, label or weight makes no sense, or a class has only samples of weight 0.
    """
    check_parameters(svc)
    name, names = type(svc).__name__, feature_names(X)
    X = dense_samples(X, None, False, name)
    classes, codes = class_codes(y, len(X), name)
    if svc.kernel == "precomputed" and X.shape[0] != X.shape[1]:
        raise ValueError(f"Precomputed matrix must be a square matrix, of kernel values of all pairs of samples. "
                         f"X is a {X.shape[0]}x{X.shape[1]} matrix")
    sample_weight = check_sample_weight(sample_weight, len(X))
    of_class = class_weights(svc.class_weight, classes, codes, sample_weight)
    weight = of_class[codes] if sample_weight is None else of_class[codes] * sample_weight
    rows = np.argsort(codes, kind="stable")
    rows = rows[weight[rows] > 0]
    sizes = np.bincount(codes[rows], minlength=len(classes))
    if not sizes.all():
        label = classes.tolist()[np.argmin(sizes)]
        raise ValueError(f"all samples of class {label!r} have weight 0: each class needs a sample of positive weight. "
                         "Drop the samples of that class, or mend sample_weight and class_weight")
    kernel = Kernel(svc.kernel, resolve_gamma(svc.gamma, X), int(svc.degree), float(svc.coef0))
    n_features = X.shape[1]
    if svc.kernel != "precomputed":
        X = X[rows]
    elif not np.array_equal(rows, np.arange(len(X))):       # a matrix that is sorted already may be gigabytes: no copy
        X = X[np.ix_(rows, rows)]
    return TrainingSet(X, rows, np.concatenate([[0], np.cumsum(sizes)]), weight[rows], of_class, kernel,
                       frame_of(kernel, X), "ovo" if len(sizes) == 2 else svc.strategy, classes, n_features, names)
