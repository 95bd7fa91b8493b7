"""From the parameters of a forest to the plan that every tree is grown by: checked, and as numbers."""
from __future__ import annotations

import math
from numbers import Integral
from typing import Any

import numpy as np

from classifiers.base import check_choice, check_interval, class_weights, effective_jobs
from classifiers.forest.binning import bin_samples
from classifiers.forest.fitting import SUM_OF_WEIGHTS, Bootstrap, Plan

UNLIMITED = 2**31 - 1   # splits on the way to a leaf


def check_parameters(forest: Any) -> None:
    """Raise ValueError unless all parameters make sense on their own; `make_plan` compares them with the samples."""
    name = type(forest).__name__
    check_interval(f"{name}: n_estimators", forest.n_estimators, 1, integer=True)
    check_choice(f"{name}: criterion", forest.criterion, ("gini", "entropy"))
    for parameter, low, high in (("max_depth", 1, None), ("max_bins", 2, 255)):
        if getattr(forest, parameter) is not None:
            check_interval(f"{name}: {parameter}", getattr(forest, parameter), low, high, integer=True)
    effective_jobs(forest.n_jobs)
    if isinstance(forest.class_weight, str):
        check_choice(f"{name}: class_weight", forest.class_weight, ("balanced", "balanced_subsample"))
    if forest.oob_score and not forest.bootstrap:
        raise ValueError("oob_score=True needs bootstrap=True: without it every tree has seen every sample")
    if not forest.bootstrap and forest.max_samples is not None:
        raise ValueError(f"max_samples={forest.max_samples!r} needs bootstrap=True, otherwise all samples are used")


def _number(forest: Any, parameter: str, whole: int, low: int) -> int:
    """Return a parameter that is a number, or a share of `whole`, as a number."""
    value = getattr(forest, parameter)
    name = f"{type(forest).__name__}: {parameter}"
    if isinstance(value, Integral):
        check_interval(name, value, low, integer=True)
        return int(value)
    check_interval(name, value, 0, 1, exclude_low=True)
    return max(low, math.ceil(value * whole) if parameter.startswith("min") else int(value * whole))


def _features(forest: Any, D: int) -> int:
    """Return how many features a node chooses from."""
    value = forest.max_features
    if isinstance(value, str):
        check_choice(f"{type(forest).__name__}: max_features", value, ("sqrt", "log2"))
        return max(1, int(math.sqrt(D) if value == "sqrt" else math.log2(D)))
    number = D if value is None else _number(forest, "max_features", D, 1)
    if number > D:
        raise ValueError(f"max_features={value}, but X has only {D} features")
    return number


def _draws(forest: Any, N: int) -> int:
    """Return how many samples are drawn for a tree, 0 without bootstrap."""
    if not forest.bootstrap:
        return 0
    draws = N if forest.max_samples is None else _number(forest, "max_samples", N, 1)
    if draws > N:
        raise ValueError(f"max_samples={forest.max_samples}, but X has only {N} samples")
    return draws


def make_plan(forest: Any, X: Any, codes: Any, sample_weight: Any, order: Any) -> Plan:
    """Return what all trees of a fit share.

    Parameters
    ----------
    forest : RandomForestClassifier
        Its parameters and ``classes_`` are read.
    X : array (N, D) float32
        Samples.
    codes : array (N,) int64
        Their classes.
    sample_weight : array (N,) float64 or None
        Their weights.
    order : array (N,) int64
        The samples sorted by class: the order in which trees know them.

    Raises
    ------
    ValueError
        A parameter makes no sense, or not with these samples.
    """
    N, D = X.shape
    max_features, draws = _features(forest, D), _draws(forest, N)
    balanced = forest.class_weight == "balanced_subsample" if isinstance(forest.class_weight, str) else False
    weights = sample_weight
    if forest.class_weight is not None and not balanced:
        factor = class_weights(forest.class_weight, forest.classes_, codes, sample_weight)[codes]
        weights = factor if weights is None else weights * factor
    bootstrap = Bootstrap(N, draws)
    if weights is not None and draws:
        if not np.all(weights == weights[0]):
            bootstrap = Bootstrap(N, draws, np.cumsum(weights[order], dtype=np.float64))
        weights = None
    elif weights is not None:
        weights = weights[order]
        if np.all(weights == np.trunc(weights)) and weights.sum() < SUM_OF_WEIGHTS:
            weights = weights.astype(np.int64)      # whole weights are exact, and faster
    return Plan(bin_samples(X, forest.max_bins, order, effective_jobs(forest.n_jobs)), codes[order].astype(np.int32),
                weights, len(forest.classes_), forest.criterion == "entropy", bootstrap, balanced, max_features,
                UNLIMITED if forest.max_depth is None else int(forest.max_depth),
                _number(forest, "min_samples_split", N, 2), _number(forest, "min_samples_leaf", N, 1))
