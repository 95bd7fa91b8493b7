"""What every fitted classifier has to write beside its arrays: parameters, labels and feature names, as JSON.

Written by `describe`, read by `restore`, which believes nothing: each value must be one that the estimator could have
been given, and the labels must be sorted.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from classifiers.archive import ArchiveError

__all__ = ["describe", "require", "restore"]

_NUMBERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
            "float16", "float32", "float64")
_FIELDS = {"parameters", "labels", "n_features_in", "feature_names"}


def require(condition: Any, path: Any, message: str) -> None:
    """Raise ArchiveError with `message` unless `condition`."""
    if not condition:
        raise ArchiveError(f"{path}: {message}")


def describe(estimator: Any, advice: dict[str, str] | None = None) -> dict[str, Any]:
    """Return parameters, labels and features of a fitted estimator, ready for JSON.

    Parameters
    ----------
    estimator : Classifier
        Fitted.
    advice : dict of parameter to str
        What to do when that parameter cannot be written.

    Raises
    ------
    ArchiveError
        A parameter is neither text nor a number.
    """
    parameters = {}
    for name, value in estimator.get_params(deep=False).items():
        if isinstance(value, np.generic):
            value = value.item()
        if name == "class_weight" and isinstance(value, dict):  # JSON would make every label of a dict a string
            value = [[label.item() if isinstance(label, np.generic) else label, float(weight)]
                     for label, weight in value.items()]
        elif not isinstance(value, (str, bool, int, float, type(None))):
            raise ArchiveError(f"{type(estimator).__name__}: {name}={value!r} cannot be written to a file, which holds "
                               "only text and numbers. " + (advice or {}).get(name, f"Set {name} to one"))
        parameters[name] = value
    classes = estimator.classes_
    if classes.dtype.kind not in "UO" and classes.dtype.name not in _NUMBERS:
        raise ArchiveError(f"{type(estimator).__name__}: labels of dtype {classes.dtype} cannot be written to a file, "
                           "which holds text, integers and floats up to 64 bits. Convert y and fit again")
    names = getattr(estimator, "feature_names_in_", None)
    return {"parameters": parameters, "n_features_in": estimator.n_features_in_,
            "labels": {"dtype": classes.dtype.kind if classes.dtype.kind in "UO" else classes.dtype.name,
                       "values": classes.tolist()},
            "feature_names": None if names is None else [str(name) for name in names]}


def restore(estimator: Any, header: dict[str, Any], path: Any, check_parameters: Callable[[Any], None]) -> None:
    """Set parameters, ``classes_``, ``n_features_in_`` and ``feature_names_in_`` from what `describe` returned.

    Parameters
    ----------
    estimator : Classifier
        Changed.
    header : dict
        May hold more than `describe` wrote.
    path : path-like
        For messages.
    check_parameters : callable
        Called with the estimator; raises ValueError if a parameter is not one that it takes.

    Raises
    ------
    ArchiveError
        Something is missing or makes no sense.
    """
    require(set(header) >= _FIELDS, path, f"the header lacks {sorted(_FIELDS - set(header))}")
    _restore_parameters(estimator, header["parameters"], path, check_parameters)
    d, names = header["n_features_in"], header["feature_names"]
    require(type(d) is int and d >= 1, path, f"n_features_in is {d!r}: expected an integer >= 1")
    require(names is None or (isinstance(names, list) and len(names) == d and all(type(n) is str for n in names)),
            path, f"feature_names is not a list of {d} names")
    estimator.classes_, estimator.n_features_in_ = _labels(header["labels"], path), d
    if names is not None:
        estimator.feature_names_in_ = np.array(names, dtype=object)


def _restore_parameters(estimator: Any, parameters: Any, path: Any, check: Callable[[Any], None]) -> None:
    """Set the parameters, if they are all of them and of the kinds that the defaults are."""
    known = estimator.get_params(deep=False)
    require(isinstance(parameters, dict) and set(parameters) == set(known), path,
            f"the header's parameters are not those of {type(estimator).__name__}: {', '.join(sorted(known))}")
    weight = parameters.get("class_weight")
    if isinstance(weight, list):
        require(all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], (str, bool, int, float))
                    and type(pair[1]) is float for pair in weight), path,
                "class_weight is not a list of label and weight")
        parameters = {**parameters, "class_weight": {label: value for label, value in weight}}
    for name, value in parameters.items():
        require(type(value) is bool or type(known[name]) is not bool, path, f"{name} is neither true nor false")
    estimator.set_params(**parameters)
    try:
        check(estimator)
    except (ValueError, TypeError) as error:
        raise ArchiveError(f"{path}: {error}") from error


def _labels(labels: Any, path: Any) -> np.ndarray:
    """Return the array of labels, if they are sorted."""
    require(isinstance(labels, dict) and set(labels) == {"dtype", "values"} and isinstance(labels["values"], list)
            and len(labels["values"]) >= 2, path, "labels are not a dtype and at least two values")
    dtype, values = labels["dtype"], labels["values"]
    if dtype in ("U", "O"):
        require(all(type(value) is str for value in values), path, "labels are not all text, as they should be")
        classes = np.array(values, dtype=object if dtype == "O" else np.str_)
    else:
        require(dtype in _NUMBERS and all(type(value) in (bool, int, float) for value in values), path,
                f"labels are not numbers of dtype {dtype!r}")
        try:
            with np.errstate(all="ignore"):     # what overflows is not itself any more
                classes = np.array(values, dtype=dtype)
        except OverflowError as error:
            raise ArchiveError(f"{path}: labels do not fit dtype {dtype} ({error})") from error
        require(classes.tolist() == values and np.isfinite(classes).all(), path, f"labels do not fit dtype {dtype}")
    require((classes[:-1] < classes[1:]).all(), path, "labels are not sorted, or one is there twice")
    return classes
