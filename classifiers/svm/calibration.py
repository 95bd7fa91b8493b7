"""A support vector classifier with probabilities: sigmoids fitted to decisions about samples it has not seen.

Decisions on training samples will not do for fitting the sigmoids of `probability`: these samples lie outside the
margin because they were put there. So the samples are dealt into folds, and each fold gets its decisions from a
classifier that was trained on the other folds::

    fold 0   1   2   0   1   2 ...       all folds read the one Gram matrix of the fit: kernel values of
        [x] [ ] [ ] [x] [ ] [ ]          training samples among themselves, and of held out ([x]) with training
                                         samples, are entries of it

Then the classifier that is kept is trained on all of them. "ovo": each pair of classes gets a sigmoid, and the pairs
are coupled; "ovr": each class gets one, and the K probabilities are divided by their sum.

Cost: as many fits as there are folds, each on a part of the samples, and at prediction a K x K system for each sample.
"""
from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import expit

from classifiers.archive import load_archive, save_archive
from classifiers.base import Classifier, check_interval, seed_sequence
from classifiers.header import require
from classifiers.svm import storage
from classifiers.svm.cpu.gram import Gram
from classifiers.svm.cpu.precision import wide_gram
from classifiers.svm.cpu.training import attempt, gram_of, solve, warn
from classifiers.svm.svc import SVC, solver_of
from classifiers.svm.theory.certificates import outputs_in_pairs
from classifiers.svm.theory.probability import couple, platt
from classifiers.svm.theory.problems import TrainingSet, prepare

__all__ = ["CalibratedSVC"]

_FORMAT, _VERSION = "classifiers.CalibratedSVC", 1
_SURE = 1e-7                # no pair says 0 or 1: those would be statements that coupling could not weigh up
_BLOCK_BYTES = 1 << 25      # of kernel values, or of systems of equations, at a time
_ROWS = 512                 # samples predicted at a time: 121 classes make a 121 x 121 matrix of each, 60 MB


class CalibratedSVC(Classifier):
    """Support vector classifier with probabilities.

    Parameters
    ----------
    svc : SVC or None
        The classifier whose parameters are used; None, the default, is ``SVC()``. It is copied, and not fitted itself.
    folds : int
        Number of parts that the samples are dealt into, at least 2, by default 5. A class needs at least 2 samples.
    random_state : int, None, SeedSequence, Generator or RandomState
        Deals the samples of each class into the folds; 0 deals them the same way each time.

    Attributes
    ----------
    svc_ : SVC
        Fitted on all samples.
    probA_, probB_ : array, (n_problems,)
        The sigmoid of each binary problem; its positive class is that of the decisions of `svc_`.
    classes_ : array, (K,)
        The labels, sorted.

    Examples
    --------
    >>> X = [[-2.0], [-1.5], [-1.0], [-0.5], [0.5], [1.0], [1.5], [2.0]]
    >>> model = CalibratedSVC(SVC(kernel="linear"), folds=4).fit(X, ["eel"] * 4 + ["ray"] * 4)
    >>> model.predict_proba([[2.0]]).round(1), model.predict([[2.0]])
    (array([[0.1, 0.9]]), array(['ray'], dtype='<U3'))
    """

    def __init__(self, svc: SVC | None = None, folds: int = 5, random_state: Any = 0) -> None:
        self.svc = svc
        self.folds = folds
        self.random_state = random_state

    def _copy_of_svc(self) -> SVC:
        """Return an unfitted copy of the parameter `svc`."""
        if not isinstance(self.svc, SVC | None):
            raise ValueError(f"CalibratedSVC: svc={self.svc!r}, expected an SVC or None")
        return SVC() if self.svc is None else type(self.svc)(**self.svc.get_params(deep=False))

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> CalibratedSVC:
        """Fit the classifier on all samples, and the sigmoids on cross-validated decisions.

        Parameters
        ----------
        X, y, sample_weight : array-like
            Samples, labels and weights, in the forms that `SVC.fit` takes. Weights of samples count in the sigmoids,
            too; those of classes do not, because they say what an error costs and not how often a class occurs.

        Returns
        -------
        CalibratedSVC
            This estimator. An error or Ctrl-C leaves it unfitted.

        Raises
        ------
        ValueError
            A class has fewer than 2 samples, or `SVC.fit` would refuse the input.
        """
        with self.fitting():
            check_interval("CalibratedSVC: folds", self.folds, 2, integer=True)
            svc = self._copy_of_svc()
            data = prepare(svc, X, y, sample_weight)
            fold = _deal(np.diff(data.starts), self.folds, np.random.default_rng(seed_sequence(self.random_state)),
                         data.classes)
            gram = gram_of(svc, data)
            found = solve(svc, data, gram, solver_of(svc))
            svc.adopt(data, found)
            gram = wide_gram(data, gram) if found.precise else gram
            decisions = np.empty((len(fold), len(data.starts) - 1 - (data.strategy == "ovo")))
            for part in np.unique(fold):
                held = np.flatnonzero(fold == part)
                decisions[held] = _decisions_on_held_out(svc, data, gram, np.flatnonzero(fold != part), held)
            sigmoids = [platt(*problem) for problem in _problems(data, decisions)]
            self._adopt(svc, np.array([A for A, _ in sigmoids]), np.array([B for _, B in sigmoids]))
        return self

    def _adopt(self, svc: SVC, A: np.ndarray, B: np.ndarray) -> None:
        self.svc_, self.probA_, self.probB_ = svc, A, B
        self.classes_, self.n_features_in_ = svc.classes_, svc.n_features_in_
        if hasattr(svc, "feature_names_in_"):
            self.feature_names_in_ = svc.feature_names_in_
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, (n, K).

        Parameters
        ----------
        X : array-like, (n, n_features)
            Samples, in the forms that `SVC.decision_function` takes.

        Raises
        ------
        NotFittedError, ValueError
            Before `fit`, or the samples make no sense.
        """
        self.check_fitted()
        X = self.check_samples(X, reset=False, dtype=None)
        return np.concatenate([self._probabilities(X[i:i + _ROWS]) for i in range(0, len(X), _ROWS)])

    def _probabilities(self, X: np.ndarray) -> np.ndarray:
        K = len(self.classes_)
        r = expit(-(self.svc_.decisions(X) * self.probA_ + self.probB_))                    # (n, n_problems)
        r = np.clip(r, _SURE, 1 - _SURE)
        if K == 2:
            return np.concatenate([1 - r, r], axis=1)
        if self.svc_._problems_ == "ovr":
            return r / r.sum(axis=1, keepdims=True)
        first, second = np.triu_indices(K, 1)
        pairs = np.zeros((len(r), K, K))
        pairs[:, first, second], pairs[:, second, first] = r, 1 - r
        step = max(1, _BLOCK_BYTES // (8 * K * K))
        return np.concatenate([couple(pairs[i:i + step]) for i in range(0, len(r), step)])

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of `predict_proba`, (n, K); -inf for a probability of 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable label of each sample, (n,); it can differ from what `svc_` predicts."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a file; see `classifiers.svm.storage`."""
        self.check_fitted()
        header, arrays = storage.pack(self.svc_)
        save_archive(path, _FORMAT, _VERSION, {"svc": header, "folds": int(self.folds)},
                     {**arrays, "probA": self.probA_, "probB": self.probB_})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CalibratedSVC:
        """Return the estimator that `save` wrote; `random_state` is not kept.

        Raises
        ------
        ArchiveError
            The file is not one of a CalibratedSVC, is damaged, or what it says does not fit together.
        OSError
            The file cannot be opened.
        """
        header, arrays = load_archive(path, _FORMAT, _VERSION)
        require(set(header) == {"svc", "folds"} and isinstance(header["svc"], dict)
                and type(header["folds"]) is int and header["folds"] >= 2, path,
                "the header is not that of a CalibratedSVC")
        require({"probA", "probB"} <= set(arrays), path, "probA or probB is missing")
        A, B = arrays.pop("probA"), arrays.pop("probB")
        svc = SVC()
        storage.unpack(svc, header["svc"], arrays, path)
        for name, values in (("probA", A), ("probB", B)):
            require(values.dtype == np.float64 and values.shape == svc.intercept_.shape, path,
                    f"{name} is {values.dtype} of shape {values.shape}: expected float64, one for each of "
                    f"{len(svc.intercept_)} problems")
        model = cls(type(svc)(**svc.get_params(deep=False)), folds=header["folds"])
        model._adopt(svc, A, B)
        return model

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.svc is not None and self.svc.kernel == "precomputed"
        return tags


def _deal(sizes: np.ndarray, folds: int, rng: np.random.Generator, classes: np.ndarray) -> np.ndarray:
    """Return the fold of each sample, (n,): each class is dealt out like cards, from where the last one ended."""
    if sizes.min() < 2:
        label = classes.tolist()[sizes.argmin()]
        raise ValueError(f"class {label!r} has 1 sample: CalibratedSVC holds samples out, and needs 2 of each class at "
                         "least. Add samples, drop that class, or use SVC")
    ends = np.cumsum(sizes)
    return np.concatenate([rng.permutation(np.arange(end - size, end) % folds) for size, end in zip(sizes, ends)])


def _decisions_on_held_out(svc: SVC, data: TrainingSet, gram: Gram, train: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Train on the samples `train`, and return decisions on the samples `held`.

    Returns
    -------
    array, (len(held), K - 1) or (len(held), K)
        "ovo": in the pairs of the sample's class, a column for each other class; "ovr": in all problems.
    """
    starts = np.searchsorted(train, data.starts)
    # `X` stays as it is: what is solved is in the Gram matrix, and a copy for each fold would cost memory. That float32
    # is enough, or not, was found out with all samples.
    found = attempt(svc, data._replace(starts=starts, weight=data.weight[train], rows=data.rows[train]),
                    gram.restrict(train), solver_of(svc))
    warn(svc, data, found)
    support = np.flatnonzero(found.coef.any(axis=0))
    coef, edges = found.coef[:, support], np.searchsorted(support, starts)
    K = len(starts) - 1
    decisions = np.empty((len(held), len(found.coef) if data.strategy == "ovr" else K - 1))
    for c, rows in _rows_of_classes(held, data.starts, max(1, _BLOCK_BYTES // (4 * max(len(support), 1)))):
        block = gram.block(held[rows], train[support])                                      # (rows, m)
        if data.strategy == "ovr":
            decisions[rows] = block @ coef.T + found.intercept
        else:
            decisions[rows] = outputs_in_pairs(block, coef, edges, c) + _square(found.intercept, K)[c]
    sign = -1 if K == 2 else 1                                  # as SVC.adopt: classes_[1] is the positive one of two
    return sign * decisions


def _rows_of_classes(held: np.ndarray, starts: np.ndarray, step: int) -> Iterator[tuple[int, slice]]:
    """Yield each class and a range of at most `step` of its samples in `held`, until all have been there."""
    edges = np.searchsorted(held, starts)
    for c in range(len(starts) - 1):
        for start in range(edges[c], edges[c + 1], step):
            yield c, slice(start, min(start + step, edges[c + 1]))


def _square(pairs: np.ndarray, K: int) -> np.ndarray:
    """Return values of pairs as a matrix with a row for each class and a column for each other class, (K, K - 1)."""
    matrix = np.zeros((K, K))
    matrix[np.triu_indices(K, 1)] = pairs
    matrix += matrix.T
    return matrix[~np.eye(K, dtype=bool)].reshape(K, K - 1)


def _problems(data: TrainingSet, decisions: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield decisions, whether the sample is positive, and its weight for each binary problem."""
    K = len(data.starts) - 1
    codes = np.repeat(np.arange(K), np.diff(data.starts))
    weight = data.weight / data.class_weight[codes]
    if data.strategy == "ovr":
        for k in range(K):
            yield decisions[:, k], codes == k, weight
        return
    for a, b in zip(*np.triu_indices(K, 1)):
        i, j = slice(data.starts[a], data.starts[a + 1]), slice(data.starts[b], data.starts[b + 1])
        positive = np.repeat([K > 2, K == 2], [i.stop - i.start, j.stop - j.start])
        yield (np.concatenate([decisions[i, b - 1], decisions[j, a]]), positive,
               np.concatenate([weight[i], weight[j]]))
