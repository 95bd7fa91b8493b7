"""The random forest as an estimator: scikit-learn's parameters and attributes, the paper's first classifier.

A forest (Breiman 2001) is the average of many trees. Each is grown on a bootstrap sample, and at each node may choose
only among a few features drawn at random; so the trees err differently, and their errors cancel where single trees,
grown until their leaves are pure, would have overfitted. How a tree grows is shown in `classifiers.forest.growing`,
line by line; what grows here is the same tree from `classifiers.forest.numba_grow`.
"""
from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from classifiers.base import Classifier, check_sample_weight, effective_jobs, seed_sequence
from classifiers.forest import numba_predict, outofbag, storage
from classifiers.forest.ensemble import Ensemble
from classifiers.forest.fitting import grow_forest, tree_state
from classifiers.forest.parameters import check_parameters, make_plan
from classifiers.forest.tree import Tree

BLOCK_BYTES = 1 << 24   # of samples for which a tree is unpacked once; measured, flat from 8 MB on


class RandomForestClassifier(Classifier):
    """A random forest for many classes.

    Parameters
    ----------
    n_estimators : int
        Trees.
    criterion : {"gini", "entropy"}
        Impurity that a split lowers.
    max_depth : int or None
        Splits on the way to a leaf at most; None grows until leaves are pure.
    min_samples_split, min_samples_leaf : int or float
        Distinct samples that a node needs to be split, and that each child needs; a float is a share of all samples.
    max_features : {"sqrt", "log2"}, int, float or None
        Features that each node may choose from: the root or the logarithm of their number, so many, a share, all.
    bootstrap : bool
        Grow each tree on samples drawn with replacement; False: on all samples.
    oob_score : bool
        Classify each training sample by the trees that have not seen it.
    max_samples : int, float or None
        Samples to draw for each tree: so many, a share, or as many as there are.
    class_weight : dict, "balanced", "balanced_subsample" or None
        Weights of classes by label; or all classes alike, over all samples or within each bootstrap sample.
    warm_start : bool
        Keep the trees of the last fit and add more; the result is that of one fit.
    random_state : int, None, or a SeedSequence, Generator or RandomState of numpy.random
    n_jobs : int or None
        Trees grown at once, -1 for one on each core. The forest does not depend on it.
    verbose : int
        How much joblib prints about its progress: 0 is nothing, above 10 it is a line for each block of trees.
    max_bins : int or None
        Features are compared by the thresholds between at most `max_bins` bins of each, 2 to 255; the threshold of
        the best feature is then sought between single values (`classifiers.forest.splitting`). With None features are
        compared by all their values, too: 2 to 3 times as slow where they have many, and hardly ever better.

    Attributes
    ----------
    classes_, n_classes_, n_features_in_, n_outputs_
    estimators_ : list of Tree
        Readable views of the trees.
    feature_importances_ : array (n_features,) float64
        Mean decrease in impurity, sum 1.
    oob_score_ : float
        With `oob_score`: accuracy out of bag; and oob_decision_function_, the probabilities (n_samples, n_classes).
    ensemble_ : Ensemble
        All trees as arrays.

    Notes
    -----
    Samples are used as float32. A missing value (NaN; among objects also None and ``pandas.NA``) goes where it lowered
    the impurity more. Ctrl-C during a fit is heard within a tenth of a second or so, and leaves no half-fitted forest:
    none, or with `warm_start` the last one.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 5))
    >>> y = np.where(X[:, 0] > 0, "copepod", "diatom")
    >>> forest = RandomForestClassifier(20, random_state=0).fit(X, y)
    >>> forest.predict([[2, 0, 0, 0, 0], [-2, 0, 0, 0, 0]])
    array(['copepod', 'diatom'], dtype='<U7')
    >>> int(forest.feature_importances_.argmax())
    0
    """

    accepts_nan = True
    ensemble_: Ensemble

    def __init__(self, n_estimators: int = 100, *, criterion: str = "gini", max_depth: int | None = None,
                 min_samples_split: int | float = 2, min_samples_leaf: int | float = 1,
                 max_features: Any = "sqrt", bootstrap: bool = True, oob_score: bool = False,
                 max_samples: int | float | None = None, class_weight: Any = None, warm_start: bool = False,
                 random_state: Any = None, n_jobs: int | None = None, verbose: int = 0, max_bins: int | None = 255):
        self.n_estimators = n_estimators
        self.criterion = criterion
        self.max_depth = max_depth
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.bootstrap = bootstrap
        self.oob_score = oob_score
        self.max_samples = max_samples
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.max_bins = max_bins

    # ---------------------------------------------------------------------------------------------------- growing

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> RandomForestClassifier:
        """Grow the forest.

        Parameters
        ----------
        X : array-like (n_samples, n_features)
            Samples; NaN is a missing value.
        y : array-like (n_samples,)
            Their labels.
        sample_weight : array-like (n_samples,) or None
            Their weights, not below 0; class weights are factors of them. A bootstrap draws in proportion to them;
            without bootstrap they count in the impurity and in the leaves, whole numbers as so many equal samples.

        Raises
        ------
        ValueError, TypeError
            Parameters, samples, labels or weights that cannot be used.
        """
        with self._keeping_last_forest() if self._is_warm() else self.fitting():
            known = self.classes_ if self._is_warm() else None
            X = self.check_samples(X, reset=known is None, allow_nan=True)
            codes = self.check_targets(y, len(X))
            if known is not None and not np.array_equal(known, self.classes_):
                raise ValueError("warm_start=True: the labels differ from those of the last fit, whose trees do not "
                                 "know the new ones. Fit with warm_start=False")
            self._grow(X, codes, check_sample_weight(sample_weight, len(X)))
        return self

    def _is_warm(self) -> bool:
        return bool(self.warm_start) and self.__sklearn_is_fitted__()

    @contextmanager
    def _keeping_last_forest(self) -> Iterator[None]:
        """Run a fit that adds trees; an error or Ctrl-C leaves everything as it was."""
        last = vars(self).copy()
        try:
            yield
        except BaseException:
            vars(self).clear()
            vars(self).update(last)
            raise

    def _grow(self, X: Any, codes: Any, sample_weight: Any) -> None:
        """Grow the trees that are not there yet, and write the attributes."""
        check_parameters(self)
        kept = len(self.ensemble_) if self.warm_start and hasattr(self, "ensemble_") else 0
        if self.n_estimators < kept:
            raise ValueError(f"n_estimators={self.n_estimators} is less than the {kept} trees of the last fit, which "
                             "warm_start=True keeps: raise it, or fit with warm_start=False")
        if kept == self.n_estimators:
            warnings.warn("Warm-start fitting without increasing n_estimators does not fit new trees.", stacklevel=3)
        if kept == 0:
            seed = seed_sequence(self.random_state)
            self._seed = seed.entropy, seed.spawn_key
        order = np.argsort(codes, kind="stable")    # samples of a class side by side: see `numba_grow`
        plan = make_plan(self, X, codes, sample_weight, order)
        states = [tree_state(*self._seed, tree) for tree in range(self.n_estimators)]
        if kept < self.n_estimators:
            grown = grow_forest(plan, states[kept:], self.n_jobs, self.verbose)
            last = [self.ensemble_.tree(t, 0, 0) for t in range(kept)]
            self.ensemble_ = Ensemble.join([*last, *grown])
            if kept == 0:
                self._decrease = np.zeros(X.shape[1])
            for tree in grown:      # one after another: in a fit that is continued the same sum, bit for bit
                self._decrease += tree.importances
        self._in_bag = states, order, plan.bootstrap
        self.n_classes_, self.n_outputs_ = len(self.classes_), 1
        for name in ("oob_score_", "oob_decision_function_"):   # of an earlier fit
            vars(self).pop(name, None)
        if self.oob_score:
            self._score_out_of_bag(X, codes)

    # ------------------------------------------------------------------------------------------------- out of bag

    def _score_out_of_bag(self, X: Any, codes: Any) -> None:
        states, order, bootstrap = self._in_bag
        parts = self._in_threads(len(X), lambda rows: outofbag.out_of_bag_votes(
            X, self.ensemble_, states, order, bootstrap, rows, len(self.classes_)), blocks=effective_jobs(self.n_jobs))
        proba, trees = (np.concatenate(arrays) for arrays in zip(*parts))
        if not trees.all():
            warnings.warn("Some inputs do not have OOB scores. This probably means too few trees were used to compute "
                          "any reliable OOB estimates.", stacklevel=4)
        self.oob_decision_function_ = proba / np.maximum(trees, 1)[:, None]
        self.oob_score_ = float(np.mean(self.oob_decision_function_.argmax(axis=1) == codes))

    def oob_permutation_importances(self, X: Any, y: Any) -> Any:
        """Return by how much permuting a feature lowers the out-of-bag accuracy of a tree (Breiman 2001, section 10).

        Parameters
        ----------
        X, y
            The samples and labels of the fit, in the same order.

        Returns
        -------
        array (n_estimators, n_features) float64
            The importances of each tree; the mean over trees is the importance, their spread its uncertainty.

        Raises
        ------
        ValueError
            The forest was fitted without bootstrap, was loaded from a file, or X and y are not those of the fit.
        """
        self.check_fitted()
        X = self.check_samples(X, reset=False, allow_nan=True)
        labels = np.asarray(y)
        if not hasattr(self, "_in_bag") or not self._in_bag[2].draws or len(labels) != len(self._in_bag[1]) or \
                len(X) != len(labels):
            raise ValueError(f"oob_permutation_importances: got {len(X)} samples and {len(labels)} labels, expected "
                             "those of a fit with bootstrap=True, made in this process")
        unknown = ~np.isin(labels, self.classes_)
        if unknown.any():
            raise ValueError(f"oob_permutation_importances: y holds {labels[unknown][0]} at row {unknown.argmax()}, "
                             "which the fit did not have: expected the labels of the fit")
        codes = np.searchsorted(self.classes_, labels)
        states, order, bootstrap = self._in_bag
        depths = np.array([tree.max_depth for tree in self.estimators_])
        parts = self._in_threads(len(states), lambda trees: outofbag.permutation_importances(
            X, codes, self.ensemble_, states, order, bootstrap, range(trees.start, trees.stop), depths), blocks=64)
        return np.concatenate(parts)

    @property
    def feature_importances_(self) -> Any:
        """Mean over trees of each feature's share in the decrease of impurity, float64 (n_features,)."""
        self.check_fitted()
        total = self._decrease.sum()    # the number of trees but those that are a single leaf
        return self._decrease / total if total > 0 else self._decrease.copy()

    @property
    def estimators_(self) -> list[Tree]:
        """The trees, as views of the forest's arrays."""
        self.check_fitted()
        return [self.ensemble_.tree(t, len(self.classes_), self.n_features_in_) for t in range(len(self.ensemble_))]

    # ------------------------------------------------------------------------------------------------- prediction

    def _in_threads(self, size: int, task: Any, blocks: int) -> list[Any]:
        """Return what `task` makes of each of so many ranges of equal length, threads sharing them."""
        edges = np.linspace(0, size, min(blocks, size) + 1).astype(int)
        parts = [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]
        # Not joblib's threads: a prediction may take less than the 10 ms after which those are asked how far they are.
        with ThreadPoolExecutor(effective_jobs(self.n_jobs)) as threads:
            return list(threads.map(task, parts))

    def _walk(self, X: Any, result: Any, kernel: Any) -> Any:
        """Let `kernel` fill `result` for blocks of rows."""
        blocks = max(effective_jobs(self.n_jobs), -(-X.nbytes // BLOCK_BYTES))
        self._in_threads(len(X), lambda rows: kernel(X[rows], result[rows]), blocks)
        return result

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class, float64 (n_samples, n_classes): the mean over trees of leaf shares."""
        self.check_fitted()
        X = self.check_samples(X, reset=False, allow_nan=True)
        ensemble = self.ensemble_
        votes = self._walk(X, np.zeros((len(X), len(self.classes_))), lambda X, proba: numba_predict.add_votes(
            X, *ensemble, proba))
        votes /= len(ensemble)
        return votes

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithm of `predict_proba`, -inf where no tree has voted for a class."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> Any:
        """Return the most probable label of each sample, (n_samples,)."""
        proba = self.predict_proba(X)   # first: it says so if there is no forest yet
        return self.classes_[proba.argmax(axis=1)]

    def apply(self, X: Any) -> Any:
        """Return the leaf in which each sample ends in each tree, int64 (n_samples, n_estimators)."""
        self.check_fitted()
        X = self.check_samples(X, reset=False, allow_nan=True)
        ensemble = self.ensemble_
        return self._walk(X, np.empty((len(X), len(ensemble)), np.int64), lambda X, leaves:
                          numba_predict.find_leaves(X, ensemble.tree_start, ensemble.nodes,
                                                    ensemble.missing_left, leaves))

    def decision_path(self, X: Any) -> tuple[csr_matrix, Any]:
        """Return the nodes that each sample passes, and where each tree's nodes begin among the columns.

        Returns
        -------
        indicator : CSR matrix (n_samples, nodes of all trees)
        n_nodes_ptr : array (n_estimators + 1,)
        """
        self.check_fitted()
        X = self.check_samples(X, reset=False, allow_nan=True)
        arrays = self.ensemble_.tree_start, self.ensemble_.nodes, self.ensemble_.missing_left
        row_start = np.zeros(len(X) + 1, np.int64)
        numba_predict.find_paths(X, *arrays, row_start, np.empty(0, np.int64))
        row_start = np.cumsum(row_start)
        passed = np.empty(row_start[-1], np.int64)
        numba_predict.find_paths(X, *arrays, row_start, passed)
        shape = len(X), len(self.ensemble_.nodes)
        return csr_matrix((np.ones(len(passed), np.int64), passed, row_start), shape), self.ensemble_.tree_start

    # ---------------------------------------------------------------------------------------------------- storage

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted forest to an ``.npz`` file, atomically; see `classifiers.forest.storage`."""
        self.check_fitted()
        storage.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RandomForestClassifier:
        """Read a forest that `save` wrote.

        Raises
        ------
        ArchiveError
            The file is not such a forest or is damaged; the message says what is wrong.
        OSError
            It cannot be opened.
        """
        return storage.load(cls, path)
