"""C-support vector classification with scikit-learn's interface, for many classes at once.

A binary problem separates samples x_i with labels y_i = +-1 by the function f(x) = sum_i y_i alpha_i k(x_i, x) + b
that solves::

    maximise   sum_i alpha_i - 1/2 sum_ij y_i y_j alpha_i alpha_j k(x_i, x_j)
    subject to 0 <= alpha_i <= C_i   and   sum_i y_i alpha_i = 0

K classes become many such problems, all of them on one Gram matrix (k(x_i, x_j)):

========  ==============  ===========================  ==========================================================
strategy  problems        rows of dual_coef_           prediction
========  ==============  ===========================  ==========================================================
"ovo"     K (K - 1) / 2   K - 1, LIBSVM's layout       each pair votes; equal votes: the larger sum of decisions
"ovr"     K               K, problem k is row k        the largest decision
========  ==============  ===========================  ==========================================================

In LIBSVM's layout a support vector of class c has K - 1 coefficients, one for each pair it takes part in: row d - 1
for the pair with a class d > c, row d for one with d < c.

Pitfall: features must have a common scale, because the kernel function compares distances; "scale" makes gamma fit
their overall variance, but not each of them. Their unit and where they lie do not matter: kernel values are computed in
a frame of their own (`frame`), in float32, and each problem for which that is not enough is solved again in float64
(`precision`).

The way of a fit: `theory.problems.prepare` checks the input and sorts the samples by class, `cpu.training.solve` finds
the coefficients (`theory.smo` solves one problem in plain Python; `cpu.multiclass` or `gpu.solver` solves all of them),
and `SVC.adopt` writes the attributes. Predictions go through `cpu.decision` or `gpu.decision`. `theory.certificates`
proves the answer, `storage` saves it.

Source: Boser, Guyon and Vapnik 1992; Cortes and Vapnik 1995; Chang and Lin 2011, "LIBSVM", for conventions.
"""
from __future__ import annotations

import os
from itertools import pairwise
from typing import Any

import numpy as np

from classifiers.base import Classifier, check_choice
from classifiers.svm import storage
from classifiers.svm.cpu import decision, multiclass
from classifiers.svm.cpu.training import FitProblems, gram_of, solve
from classifiers.svm.gpu import decision as gpu_decision
from classifiers.svm.gpu import solver as gpu_solver
from classifiers.svm.theory.certificates import Certificates, Solved, certify
from classifiers.svm.theory.frame import shifts
from classifiers.svm.theory.kernel_functions import Kernel
from classifiers.svm.theory.problems import BACKENDS, MulticlassSolution, TrainingSet, prepare, problem_names

__all__ = ["SVC", "solver_of"]


class SVC(Classifier):
    """Support vector classifier.

    Parameters
    ----------
    C : float
        Price of a violated margin, positive: the larger, the closer the fit to the training samples.
    kernel : {"linear", "poly", "rbf", "sigmoid", "precomputed"} or callable
        k(a, b) = <a, b>; (gamma <a, b> + coef0)^degree; exp(-gamma |a - b|^2); tanh(gamma <a, b> + coef0).
        "precomputed": X is (n, n_train), the kernel values with the training samples. A callable takes two matrices
        of samples and returns the matrix of their kernel values.
    degree : int
        Exponent of the kernel function "poly", by default 3; the other kernel functions ignore it.
    gamma : {"scale", "auto"} or float
        "scale" is 1 / (n_features * X.var()), "auto" is 1 / n_features.
    coef0 : float
        What "poly" and "sigmoid" add to gamma <a, b>, by default 0; the other kernel functions ignore it.
    strategy : {"ovo", "ovr"}
        One problem per pair of classes, or one per class against all others. Two classes are one problem either way.
    tol : float
        The iterations of a problem stop once no KKT condition is violated by more than `tol`; by default 0.001.
    cache_size : float
        Memory for kernel values in MB (2^20 bytes), by default 200. With ``backend="cupy"`` the kernel values take what
        is free on the device instead.
    class_weight : dict, "balanced" or None
        Factor of C for each class: a dict from label to factor, or "balanced" for n_samples / (n_classes * samples of
        the class). None, the default, is 1 for each class.
    max_iter : int
        Largest number of iterations of each binary problem, by default 10 million; -1 is no limit.
    break_ties : bool
        Decides about equal votes of strategy "ovo". True, the default, takes the class with the largest sum of
        decisions (the largest value of the "ovr"-shaped decision function); False takes the first of the classes, as
        LIBSVM does.
    shrinking : bool
        Leave samples that stay at a bound out of the iteration; the result is the same to within `tol`.
    decision_function_shape : {"ovr", "ovo"}
        Columns that `decision_function` returns for strategy "ovo": "ovr", the default, is one for each class, and
        "ovo" is one for each pair of classes.
    random_state : None or int
        Without effect (nothing here is random); scikit-learn's name is kept so that code written for it runs.
    n_jobs : int or None
        Number of binary problems that are solved at the same time: -1 is one for each core, and None, the default, is 1
        or what the surrounding ``joblib.parallel_config`` says. The result does not depend on it. With "ovr" and a Gram
        matrix larger than `cache_size`, two groups of problems share that memory, and more than 2 jobs do not help.
    verbose : bool
        Print progress while fitting; by default False.
    backend : {"numba", "cupy"}
        Place where `fit` and predictions compute: "numba", the default, is the processor, and "cupy" is an NVIDIA GPU,
        where `n_jobs` and `shrinking` have no effect. Arrays that go in and come out are NumPy's either way.

    Attributes
    ----------
    classes_ : array, (K,)
        The labels, sorted.
    support_ : array of int, (n_SV,)
        Rows of the training samples that are support vectors, grouped by class.
    support_vectors_ : array, (n_SV, n_features) float32 or float64
        Those rows, float32 where that changes no value; empty for a precomputed kernel.
    n_support_ : array of int, (K,)
        Number of support vectors of each class.
    dual_coef_ : array, (K - 1, n_SV) or (K, n_SV)
        y_i alpha_i, laid out as the table above says. For two classes, classes_[1] is the positive one.
    intercept_ : array, (n_problems,)
        b; pairs are in the order (0, 1), (0, 2), ..., (1, 2), ..., the first class of a pair is the positive one.
    n_iter_ : array of int, (n_problems,)
        Iterations taken.
    class_weight_ : array, (K,)
        Factor of C for each class.

    Examples
    --------
    >>> svc = SVC(kernel="linear", C=10.0).fit([[-1.0], [-3.0], [1.0], [2.0]], ["eel", "eel", "ray", "ray"])
    >>> svc.support_, svc.dual_coef_, svc.intercept_
    (array([0, 2]), array([[-0.5,  0.5]]), array([0.]))
    >>> svc.decision_function([[3.0]]), svc.predict([[3.0]])
    (array([3.]), array(['ray'], dtype='<U3'))
    """

    def __init__(self, C: float = 1.0, kernel: Any = "rbf", degree: int = 3, gamma: Any = "scale", coef0: float = 0.0,
                 strategy: str = "ovo", tol: float = 1e-3, cache_size: float = 200, class_weight: Any = None,
                 max_iter: int = 10_000_000, break_ties: bool = True, shrinking: bool = True,
                 decision_function_shape: str = "ovr", random_state: Any = None, n_jobs: int | None = None,
                 verbose: bool = False, backend: str = "numba") -> None:
        self.C = C
        self.kernel = kernel
        self.degree = degree
        self.gamma = gamma
        self.coef0 = coef0
        self.strategy = strategy
        self.tol = tol
        self.cache_size = cache_size
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.break_ties = break_ties
        self.shrinking = shrinking
        self.decision_function_shape = decision_function_shape
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.backend = backend

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SVC:
        """Solve all binary problems.

        Parameters
        ----------
        X : array-like, (n, n_features), or (n, n) for a precomputed kernel
            Training samples.
        y : array-like, (n,)
            Their labels.
        sample_weight : array-like, (n,), or None
            Factor of C for each sample.

        Returns
        -------
        SVC
            This estimator. An error or Ctrl-C leaves it unfitted.

        Raises
        ------
        ValueError
            Input or a parameter makes no sense.
        ImportError
            ``backend="cupy"`` without CuPy or a device.
        """
        with self.fitting():
            data = prepare(self, X, y, sample_weight)
            found = solve(self, data, gram_of(self, data), solver_of(self))
            self.adopt(data, found)
        return self

    def adopt(self, data: TrainingSet, found: MulticlassSolution) -> None:
        """Write the attributes of a fit from its training set and the solution of its problems."""
        self.classes_ = data.classes
        self.note_features(data.n_features, data.feature_names)
        support = np.flatnonzero(found.coef.any(axis=0))
        coef = found.coef[:, support] / data.frame.unit
        edges = np.searchsorted(support, data.starts)
        intercept = found.intercept - shifts(data.frame, data.X[support], coef, edges, data.strategy)
        sign = -1 if len(self.classes_) == 2 else 1         # LIBSVM's +1 is classes_[0], scikit-learn's classes_[1]
        self.support_ = data.rows[support]
        self.support_vectors_ = data.X[:0, :0] if data.kernel.name == "precomputed" else data.X[support]
        self.n_support_ = np.diff(edges).astype(np.int32)
        self.dual_coef_ = sign * coef
        self.intercept_ = sign * intercept + 0.0            # + 0.0: no bias of -0
        self.n_iter_ = found.iterations
        self.class_weight_ = data.class_weight
        self._kernel_, self._problems_, self._precise_ = data.kernel, data.strategy, found.precise
        self._certificates_: Certificates | None = None
        self._solved_: Solved | None = Solved(data.kernel, data.X, data.starts, self.C * data.weight, support, coef,
                                              intercept, data.strategy)

    @property
    def certificates_(self) -> Certificates:
        """The certificate of each binary problem, recomputed in float64 from scratch when it is first asked for.

        It takes about as long as the fit, and needs the training samples: an estimator keeps them until it is asked,
        but not when it is pickled, copied or saved. See `certificates` for what the numbers mean.

        Raises
        ------
        AttributeError
            The estimator was pickled, copied or saved before it was asked.
        """
        self.check_fitted()
        if self._certificates_ is None:
            if self._solved_ is None:
                raise AttributeError("certificates_ needs the training samples, which are not kept when an SVC is "
                                     "pickled, copied or saved: ask for certificates_ first, or fit again")
            self._certificates_ = Certificates(certify(**self._solved_._asdict()),
                                               problem_names(self.classes_, self._problems_))
            self._solved_ = None
        return self._certificates_

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_solved_": None} if hasattr(self, "_solved_") else vars(self).copy()

    @property
    def coef_(self) -> np.ndarray:
        """Weights of the features of a linear kernel, (n_problems, n_features).

        Raises
        ------
        AttributeError
            The kernel is another one.
        """
        self.check_fitted()
        if self._kernel_.name != "linear":
            raise AttributeError(f"coef_ is only there for kernel='linear', and this is {self._kernel_.name!r}")
        if self._problems_ == "ovr" or len(self.classes_) == 2:
            return self.dual_coef_ @ self.support_vectors_
        edges = np.concatenate([[0], np.cumsum(self.n_support_)])
        parts = np.stack([self.dual_coef_[:, a:b] @ self.support_vectors_[a:b] for a, b in pairwise(edges)])
        first, second = np.triu_indices(len(self.classes_), 1)                          # parts: (K, K-1, n_features)
        return parts[first, second - 1] + parts[second, first]

    def decision_function(self, X: Any) -> np.ndarray:
        """Return how far, and on which side of each boundary, samples are.

        Parameters
        ----------
        X : array-like, (n, n_features)
            Samples; for a precomputed kernel (n, n_train), their kernel values with all training samples.

        Returns
        -------
        array
            (n,) for two classes, positive for classes_[1]. Else (n, K), the larger the better; for strategy "ovo"
            these are votes plus a share below 1/2 that ranks equal votes. (n, K (K - 1) / 2) for
            ``decision_function_shape="ovo"``, positive for the first class of a pair.

        Raises
        ------
        NotFittedError, ValueError
            Before `fit`, or the samples make no sense.
        """
        self.check_fitted()
        X = self.check_samples(X, reset=False, dtype=None)
        if len(self.classes_) == 2:
            return self.decisions(X)[:, 0]
        if self._problems_ == "ovr" or self.decision_function_shape == "ovo":
            return self.decisions(X)
        return self._scores(X)

    def decisions(self, X: np.ndarray) -> np.ndarray:
        """Return the decision on each sample in each binary problem, (n, n_problems); X has been checked before."""
        values = gpu_decision.decision_values if self._on_device() else decision.decision_values
        return values(*self._model(), self._columns(X), self._problems_, self.n_jobs, self._precise_)[:len(X)]

    def _scores(self, X: np.ndarray) -> np.ndarray:
        """Return the score of each class of strategy "ovo", (n, K); X has been checked before."""
        scores = gpu_decision.decision_scores if self._on_device() else decision.decision_scores
        return scores(*self._model(), self._columns(X), self.n_jobs, self._precise_)[:len(X)]

    def _on_device(self) -> bool:
        """Return whether predictions compute on the GPU; `backend` may have been set after the fit."""
        check_choice(f"{type(self).__name__}: backend", self.backend, BACKENDS)
        return self.backend == "cupy"

    def _model(self) -> tuple[Kernel, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return kernel function, support vectors, coefficients, the edges of the classes among them, and biases."""
        edges = np.concatenate([[0], np.cumsum(self.n_support_)])
        return self._kernel_, self.support_vectors_, self.dual_coef_, edges, self.intercept_

    def _columns(self, X: np.ndarray) -> np.ndarray:
        """Return the columns of X that decisions need, and at least two rows."""
        if len(X) == 1:         # BLAS multiplies a single row by another routine, and would round it differently
            X = np.repeat(X, 2, axis=0)
        return X[:, self.support_] if self._kernel_.name == "precomputed" else X

    def predict(self, X: Any) -> np.ndarray:
        """Return the label of each sample, (n,).

        Parameters
        ----------
        X : array-like, (n, n_features)
            Samples; for a precomputed kernel (n, n_train), their kernel values with all training samples.
        """
        self.check_fitted()
        X = self.check_samples(X, reset=False, dtype=None)
        if len(self.classes_) == 2:
            return self.classes_[(self.decisions(X)[:, 0] >= 0).astype(np.intp)]    # 0: classes_[1], as in LIBSVM
        if self._problems_ == "ovr":
            return self.classes_[self.decisions(X).argmax(axis=1)]
        scores = self._scores(X)
        if not self.break_ties:
            scores = np.rint(scores)            # the votes alone; argmax takes the first of equal ones
        return self.classes_[scores.argmax(axis=1)]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a file; see `classifiers.svm.storage`."""
        storage.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SVC:
        """Return the estimator that `save` wrote.

        Raises
        ------
        ArchiveError
            The file is not one, is damaged, or says impossible things; nothing in it is believed.
        OSError
            It cannot be opened.
        """
        svc = cls()
        storage.load_into(svc, path)
        return svc

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.kernel == "precomputed"
        return tags


def solver_of(svc: SVC) -> FitProblems:
    """Return the function that solves the binary problems on the backend of `svc`."""
    return gpu_solver.fit_problems if svc.backend == "cupy" else multiclass.fit_problems
