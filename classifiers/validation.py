"""Checks of weights, seeds and parameters; each raises a ValueError that names what was passed and what would do.

Parameters are checked by ``fit`` and not by ``__init__``, because a grid search sets them on copies, one by one.
"""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

__all__ = ["check_choice", "check_interval", "check_sample_weight", "class_weights", "seed_sequence"]


def check_sample_weight(sample_weight: Any, n_samples: int) -> np.ndarray | None:
    """Return weights of samples as a new array, (n_samples,) float64; None stays None, all samples alike.

    Raises
    ------
    ValueError
        Another shape, a weight that is negative or not finite, or only zeros.

    Examples
    --------
    >>> check_sample_weight([1, 2], 2)
    array([1., 2.])
    """
    if sample_weight is None:
        return None
    try:
        weight = np.array(sample_weight, dtype=np.float64)      # a copy, so that an estimator may change it
    except (TypeError, ValueError) as error:
        raise ValueError(f"sample_weight is not an array of numbers ({error}): expected one number for each "
                         "sample") from error
    if weight.shape != (n_samples,):
        raise ValueError(f"sample_weight has shape {weight.shape}: expected {(n_samples,)}, one number for each sample")
    for what, bad in (("contains NaN", np.isnan(weight)), ("contains infinity", np.isinf(weight)),
                      ("has Negative values in data", weight < 0)):
        if bad.any():
            row = bad.argmax()
            raise ValueError(f"Input sample_weight {what}, first {weight[row]} at row {row}: expected finite numbers "
                             ">= 0")
    if not weight.any():
        raise ValueError("Sample weights must contain at least one non-zero number: all of sample_weight is zero")
    return weight


def class_weights(class_weight: Any, classes: np.ndarray, codes: np.ndarray,
                  sample_weight: np.ndarray | None = None) -> np.ndarray:
    """Return the weight of each class, the factor of its samples' weights.

    Parameters
    ----------
    class_weight : dict of label to float, "balanced" or None
        Labels that a dict leaves out have weight 1; "balanced" gives all classes the same total weight, W_k <-
        W / (K W_k) for class k with total W_k of W in K classes; None is 1 for all.
    classes : array, (n_classes,)
        The labels.
    codes : array of int, (n_samples,)
        The index in `classes` of each sample's label.
    sample_weight : array of float, (n_samples,), or None
        Weights of samples, 1 for None.

    Returns
    -------
    array, (n_classes,) float64

    Raises
    ------
    ValueError
        Another string or type, a weight that is negative or not finite, or a dict with an unknown label that does
        not name all classes either: most likely the label is misspelt. (A dict that names all may name more: a
        fold of a cross-validation can lack a rare class.)

    Examples
    --------
    >>> class_weights("balanced", np.array(["cod", "eel"]), np.array([0, 0, 0, 1]))
    array([0.66666667, 2.        ])
    >>> class_weights({"eel": 5}, np.array(["cod", "eel"]), np.array([0, 0, 0, 1]))
    array([1., 5.])
    """
    weights = np.ones(len(classes))
    if class_weight is None:
        return weights
    if isinstance(class_weight, str) and class_weight == "balanced":
        totals = np.bincount(codes, weights=sample_weight, minlength=len(classes)).astype(np.float64)
        present = totals > 0                        # samples of weight 0 count as if they were not there
        weights[present] = totals.sum() / (np.count_nonzero(present) * totals[present])
        return weights
    if not isinstance(class_weight, Mapping):
        raise ValueError(f"class_weight={class_weight!r}: expected a dict of label to weight, 'balanced' or None")
    unknown = set(class_weight) - set(classes.tolist())
    if unknown and not set(classes.tolist()) <= set(class_weight):
        raise ValueError(f"class_weight has {sorted(unknown, key=repr)!r}, which are not labels in y: expected some "
                         f"of {classes.tolist()[:10]!r}{' ...' if len(classes) > 10 else ''}")
    for k, label in enumerate(classes.tolist()):
        weight = class_weight.get(label, 1.0)
        check_interval(f"class_weight of {label!r}", weight, 0)
        weights[k] = weight
    return weights


def seed_sequence(random_state: Any) -> np.random.SeedSequence:
    """Return a source of seeds that trees, folds and problems can be given their own from, by ``spawn``.

    Parameters
    ----------
    random_state : int, None, SeedSequence, Generator or RandomState
        An integer or a SeedSequence gives the same seeds every time; None takes fresh ones from the operating
        system; a Generator or RandomState is drawn from, so that its next use gives others.

    Raises
    ------
    ValueError
        Anything else, or a negative integer.

    Examples
    --------
    >>> seed_sequence(7).generate_state(1) == seed_sequence(7).generate_state(1)
    array([ True])
    """
    if random_state is None:
        return np.random.SeedSequence()
    if isinstance(random_state, np.random.SeedSequence):
        # A new one that has spawned nothing yet: otherwise a second fit would get the next children, not the same.
        return np.random.SeedSequence(random_state.entropy, spawn_key=random_state.spawn_key,
                                      pool_size=random_state.pool_size)
    if isinstance(random_state, np.random.Generator):
        return np.random.SeedSequence(random_state.integers(2**32, size=4, dtype=np.uint32).tolist())
    if isinstance(random_state, np.random.RandomState):
        return np.random.SeedSequence(random_state.randint(2**32, size=4, dtype=np.uint32).tolist())
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool) and random_state >= 0:
        return np.random.SeedSequence(int(random_state))
    raise ValueError(f"random_state={random_state!r}: expected None, an integer >= 0, or a SeedSequence, Generator or "
                     "RandomState of numpy.random")


def check_interval(name: str, value: Any, low: float | None, high: float | None = None, *,
                   exclude_low: bool = False, exclude_high: bool = False, integer: bool = False) -> None:
    """Raise unless `value` is a number from `low` to `high`, ends included unless excluded.

    Parameters
    ----------
    name : str
        Name of the estimator and its parameter for the message, such as "SVC: C".
    value : object
        What was passed.
    low, high : float or None
        The ends; None is an end at infinity that is itself no value, so that ``high=None`` refuses infinity and
        ``high=math.inf`` lets it pass.
    exclude_low, exclude_high : bool
        Whether an end is itself no value.
    integer : bool
        Whether only integers will do.

    Raises
    ------
    ValueError
        It is not.

    Examples
    --------
    >>> check_interval("SVC: C", -1, 0, exclude_low=True)
    Traceback (most recent call last):
    ...
    ValueError: SVC: C=-1, expected a finite number > 0
    """
    kind: type = Integral if integer else Real
    fits = isinstance(value, kind) and not isinstance(value, bool) and value == value      # NaN is not itself
    if fits and low is not None:
        fits = value > low if exclude_low else value >= low
    if fits and high is not None:
        fits = value < high if exclude_high else value <= high
    if fits and (low is None or high is None):
        fits = abs(value) != math.inf
    if fits:
        return
    finite = "" if integer or high is not None else "finite "
    ends = [f"{'>' if exclude_low else '>='} {low}"] if low is not None else []
    ends += [f"{'<' if exclude_high else '<='} {high}"] if high is not None else []
    noun = "an integer" if integer else f"a {finite}number"
    raise ValueError(f"{name}={value!r}, expected {noun} {' and '.join(ends)}".rstrip())


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise unless `value` is one of `choices`.

    Raises
    ------
    ValueError
        It is not.

    Examples
    --------
    >>> check_choice("SVC: strategy", "all", ("ovo", "ovr"))
    Traceback (most recent call last):
    ...
    ValueError: SVC: strategy='all', expected one of 'ovo', 'ovr'
    """
    if not any(isinstance(value, type(choice)) and value == choice for choice in choices):
        raise ValueError(f"{name}={value!r}, expected one of {', '.join(map(repr, choices))}")
