"""The estimator contract of scikit-learn, kept without importing scikit-learn.

What its pipelines, searches and conformance checks expect of a classifier is little, and all of it is here:

* ``__init__`` only stores its keyword parameters, and `get_params` and `set_params` read and write them: a search
  makes its copies from these alone. Parameters are checked in ``fit``;
* ``fit`` writes attributes that end in an underscore, and returns the estimator; until it has, every question
  raises `NotFittedError`;
* samples at prediction must have as many features as those of the fit, under the same names.

A fit works inside `Classifier.fitting`, and is written whole or not at all::

    def fit(self, X, y, sample_weight=None):
        with self.fitting():
            X = self.check_samples(X, reset=True)           # (n, d) float32
            codes = self.check_targets(y, len(X))           # (n,) int64, indices in self.classes_
            ...
        return self

Source: scikit-learn, "Developing scikit-learn estimators"; Buitinck et al. 2013, "API design for machine learning
software".
"""
from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

import joblib
import numpy as np

from classifiers.inputs import compare_names, dense_samples, feature_names, label_vector
from classifiers.validation import check_choice, check_interval, check_sample_weight, class_weights, seed_sequence

__all__ = ["Classifier", "ConvergenceWarning", "DataConversionWarning", "NotFittedError", "check_choice",
           "check_interval", "check_sample_weight", "class_codes", "class_weights", "effective_jobs", "seed_sequence",
           "sklearn_twin"]

Self = TypeVar("Self", bound="Classifier")


class NotFittedError(ValueError, AttributeError):
    """An estimator was asked before it was fitted."""


class ConvergenceWarning(UserWarning):
    """An iteration stopped at its limit, before it had converged."""


class DataConversionWarning(UserWarning):
    """Input was understood, but in another form than the one it was passed in."""


def sklearn_twin(cls: Any) -> Any:
    """Return the class to raise or to warn with instead of `cls`.

    It is `cls` itself, or where this process has loaded scikit-learn, a subclass of both `cls` and scikit-learn's
    class of that name: ``except sklearn.exceptions.NotFittedError`` and its users' warning filters then work.

    Parameters
    ----------
    cls : type
        An exception or warning of this module.

    Examples
    --------
    >>> issubclass(sklearn_twin(NotFittedError), NotFittedError)
    True
    """
    peer = getattr(sys.modules.get("sklearn.exceptions"), cls.__name__, None)
    return cls if peer is None else _join(cls, peer)


@lru_cache
def _join(cls: Any, peer: Any) -> Any:
    """Make the subclass of both, under the name of `cls`."""
    def reduce(self: Any) -> tuple[Any, ...]:   # pickle looks classes up by name, where it would find only `cls`
        return _revive, (cls, self.args)
    return type(cls.__name__, (cls, peer), {"__module__": cls.__module__, "__doc__": cls.__doc__,
                                            "__reduce__": reduce})


def _revive(cls: type[Any], arguments: tuple[Any, ...]) -> Any:
    """Make the exception again that a worker process sent here."""
    return sklearn_twin(cls)(*arguments)


def class_codes(y: Any, n_samples: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted labels, (K,), and each sample's index in them, (n_samples,) int64.

    Parameters
    ----------
    y : array-like, (n_samples,)
        Labels: integers, booleans, whole floats or strings. A column, (n_samples, 1), is taken with a warning.
    n_samples : int
        How many labels are expected.
    name : str
        Name of the estimator, for messages.

    Raises
    ------
    ValueError
        `classifiers.inputs.label_vector` refuses the labels, or all labels are equal.
    """
    labels = label_vector(y, n_samples, name)
    if np.asarray(y).ndim == 2:
        warnings.warn("A column-vector y was passed when a 1d array was expected. Please change the shape of y to "
                      "(n_samples,), for example using ravel().", sklearn_twin(DataConversionWarning), stacklevel=4)
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"The number of classes has to be greater than one; got 1 class, {classes[0]!r}: "
                         f"{name} needs samples of two classes at least")
    return classes, codes.astype(np.int64, copy=False)


def effective_jobs(n_jobs: Any) -> int:
    """Return how many tasks joblib will run at once: -1 is one for each core, None 1 or as its context says.

    Raises
    ------
    ValueError
        Neither None nor an integer other than 0.

    Examples
    --------
    >>> effective_jobs(2)
    2
    """
    if n_jobs is not None:
        check_interval("n_jobs", n_jobs, None, integer=True)
        if n_jobs == 0:
            raise ValueError("n_jobs=0, expected how many tasks run at once, -1 for one on each core, or None")
    return int(joblib.effective_n_jobs(n_jobs))


class Classifier:
    """What all classifiers have in common: parameters, checks of their input, accuracy.

    A subclass has an ``__init__`` with explicit keyword parameters that are stored under their names and nothing
    else, ``fit`` and ``predict``.

    Attributes
    ----------
    classes_ : array, (n_classes,)
        The labels, sorted; written by `check_targets`.
    n_features_in_ : int
        Width of the samples of the fit.
    feature_names_in_ : array of str, (n_features_in_,)
        Their column names; only after a fit on a data frame whose names are strings.

    Examples
    --------
    >>> class Majority(Classifier):
    ...     def __init__(self, *, tie="first"):
    ...         self.tie = tie
    ...     def fit(self, X, y):
    ...         with self.fitting():
    ...             X = self.check_samples(X, reset=True)
    ...             self.winner_ = np.bincount(self.check_targets(y, len(X))).argmax()
    ...         return self
    ...     def predict(self, X):
    ...         self.check_fitted()
    ...         return np.full(len(self.check_samples(X, reset=False)), self.classes_[self.winner_])
    >>> Majority().fit([[0], [1], [2]], ["eel", "cod", "eel"]).score([[3], [4]], ["eel", "cod"])
    0.5
    >>> Majority(tie="last")
    Majority(tie='last')
    """

    _estimator_type = "classifier"
    accepts_nan = False         # whether `fit` and `predict` take NaN as a missing value
    n_features_in_: int
    feature_names_in_: np.ndarray
    classes_: np.ndarray

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        """Return the names of the parameters, in the order of the signature, and their defaults."""
        if cls.__init__ is object.__init__:
            return {}
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        return {parameter.name: parameter.default for parameter in parameters}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; `deep` adds those of a parameter that is an estimator, as ``name__its``.

        Examples
        --------
        >>> Classifier().get_params()
        {}
        """
        found = {}
        for name in self._defaults():
            value = getattr(self, name)
            found[name] = value
            if deep and hasattr(value, "get_params") and not isinstance(value, type):
                found.update({f"{name}__{inner}": part for inner, part in value.get_params().items()})
        return found

    def set_params(self: Self, **parameters: Any) -> Self:
        """Set parameters by name, ``name__its`` for one of a parameter that is an estimator; return the estimator.

        Raises
        ------
        ValueError
            There is no parameter of that name; none is set then.
        """
        names = list(self._defaults())
        for key in parameters:
            if key.partition("__")[0] not in names:
                raise ValueError(f"Invalid parameter {key!r} for estimator {type(self).__name__}: expected one of "
                                 f"{', '.join(names)}")
        inner: dict[str, dict[str, Any]] = {}
        for key, value in parameters.items():
            name, nested, rest = key.partition("__")
            if nested:
                inner.setdefault(name, {})[rest] = value
            else:
                setattr(self, name, value)
        for name, values in inner.items():      # last, because the estimator itself may have been set just now
            getattr(self, name).set_params(**values)
        return self

    def __repr__(self) -> str:
        # By their texts, because `==` of a parameter that holds an array has no single truth.
        changed = [f"{name}={getattr(self, name)!r}" for name, default in self._defaults().items()
                   if repr(getattr(self, name)) != repr(default)]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn, the only caller, what this estimator is and takes."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(estimator_type="classifier", target_tags=TargetTags(required=True),
                    classifier_tags=ClassifierTags(), input_tags=InputTags(allow_nan=self.accepts_nan))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "classes_")

    @contextmanager
    def fitting(self) -> Iterator[None]:
        """Run a fit that leaves the estimator unfitted, not half fitted, when an error or Ctrl-C ends it."""
        try:
            yield
        except BaseException:
            for name in list(vars(self)):
                if name.startswith("_") or name.endswith("_"):      # what a fit may write; the rest are parameters
                    delattr(self, name)
            raise

    def check_fitted(self) -> None:
        """Raise unless the estimator has been fitted.

        Raises
        ------
        NotFittedError
            It has not.
        """
        if not self.__sklearn_is_fitted__():
            raise sklearn_twin(NotFittedError)(f"This {type(self).__name__} instance is not fitted yet. Call 'fit' "
                                               "with samples and labels before using this estimator")

    def check_samples(self, X: Any, *, reset: bool, dtype: Any = np.float32, allow_nan: bool = False) -> np.ndarray:
        """Return samples as a C-contiguous matrix, (n_samples, n_features).

        Parameters
        ----------
        X : array-like, (n_samples, n_features)
            Numbers, a data frame included.
        reset : bool
            True in ``fit``: note the features of `X`. False elsewhere: compare with them.
        dtype : dtype or None
            Float type of the result; None is float32 where that changes no value, and float64 elsewhere.
        allow_nan : bool
            Let NaN, a missing value, pass.

        Raises
        ------
        TypeError, ValueError
            As `classifiers.inputs.dense_samples`, or the features are not those of the fit.
        """
        names = feature_names(X)
        if not reset:
            compare_names(names, getattr(self, "feature_names_in_", None), type(self).__name__)
        array = dense_samples(X, dtype, allow_nan, type(self).__name__)
        if not reset:
            if array.shape[1] != self.n_features_in_:
                raise ValueError(f"X has {array.shape[1]} features, but {type(self).__name__} is expecting "
                                 f"{self.n_features_in_} features as input, as many as it was fitted on")
            return array
        self.note_features(array.shape[1], names)
        return array

    def note_features(self, n_features: int, names: np.ndarray | None) -> None:
        """Write `n_features_in_`, and `feature_names_in_` where the features have names."""
        self.n_features_in_ = n_features
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def check_targets(self, y: Any, n_samples: int) -> np.ndarray:
        """Write the sorted labels to `classes_`, and return each sample's index in them, (n_samples,) int64.

        Parameters
        ----------
        y : array-like, (n_samples,)
            Labels: integers, booleans, whole floats or strings. A column, (n_samples, 1), is taken with a warning.
        n_samples : int
            How many labels are expected.

        Raises
        ------
        ValueError
            As `classifiers.inputs.label_vector`, or all labels are equal.
        """
        self.classes_, codes = class_codes(y, n_samples, type(self).__name__)
        return codes

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy: the share, by weight, of samples whose label `predict` finds.

        Parameters
        ----------
        X : array-like, (n_samples, n_features)
            Samples.
        y : array-like, (n_samples,)
            Their true labels.
        sample_weight : array-like, (n_samples,), or None
            Their weights, 1 for None.

        Raises
        ------
        ValueError
            The lengths differ, or as `predict` or `check_sample_weight`.
        """
        found = self.predict(X)
        labels = label_vector(y, len(found), type(self).__name__)
        return float(np.average(found == labels, weights=check_sample_weight(sample_weight, len(found))))

    def predict(self, X: Any) -> np.ndarray:
        """Return a label for each sample, (n_samples,)."""
        raise NotImplementedError(f"{type(self).__name__} does not define predict")
