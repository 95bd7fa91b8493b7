"""Samples and labels as arrays that a kernel can be given: checked, because a kernel does not check.

A compiled kernel does not know NaN, text or a ragged list, and reads past the end of an array that is too narrow.
Every array that reaches one has passed through here. Errors say what was wrong, where, what was expected and how
to mend it; where scikit-learn has a wording of its own that its conformance checks or its users look for ("Reshape
your data", "Input X contains NaN"), the message begins with it.
"""
from __future__ import annotations

import math
import sys
import warnings
from typing import Any

import numpy as np
from scipy.sparse import issparse

__all__ = ["compare_names", "dense_samples", "feature_names", "label_vector"]


def feature_names(X: Any) -> np.ndarray | None:
    """Return the column names of a data frame, (n_features,) objects, or None where there are none of text.

    A data frame is whatever has ``columns`` beside a two-dimensional ``shape``: pandas and polars are told apart
    from arrays without importing either.

    Raises
    ------
    TypeError
        Some names are text and others are not.

    Examples
    --------
    >>> feature_names(np.zeros((2, 3))) is None
    True
    """
    columns = getattr(X, "columns", None)
    if columns is None or len(getattr(X, "shape", ())) != 2:
        return None
    names = np.asarray(list(columns), dtype=object)
    text = [isinstance(name, str) for name in names]
    if any(text) and not all(text):
        kinds = sorted({type(name).__name__ for name in names})
        raise TypeError("Feature names are only supported if all input features have string names, but X has column "
                        f"names of types {kinds}: rename the columns with X.columns = X.columns.astype(str)")
    return names if len(names) and all(text) else None


def dense_samples(X: Any, dtype: Any, allow_nan: bool, asker: str) -> np.ndarray:
    """Return `X` as a C-contiguous matrix of floats.

    Parameters
    ----------
    X : array-like, (n_samples, n_features)
        Numbers; data frames and lists of lists included. Not copied when it is such a matrix already. Among
        objects, None and ``pandas.NA`` are NaN.
    dtype : dtype or None
        The float type of the result; None is float32 where each value of `X` is one, and float64 elsewhere.
    allow_nan : bool
        Let NaN, a missing value, pass.
    asker : str
        Who asks, for the error message.

    Returns
    -------
    array, (n_samples, n_features), of `dtype`

    Raises
    ------
    TypeError
        X is sparse, or holds objects that are not numbers.
    ValueError
        X is complex, text or dates, not two-dimensional, empty, or holds NaN, infinity or a value that `dtype`
        cannot hold.

    Examples
    --------
    >>> dense_samples([[1, 2], [3, 4]], np.float32, False, "SVC")
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    if issparse(X):
        raise TypeError(f"Sparse data was passed for X, but {asker} needs dense data. Use '.toarray()' to convert "
                        "to a dense numpy array")
    raw = _plain_array(X, "X")
    if raw.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: X has dtype {raw.dtype}, and {asker} needs real numbers. "
                         "Pass its real and imaginary parts as features of their own")
    if raw.dtype.kind not in "biufO":
        raise ValueError(f"X has dtype {raw.dtype}: {asker} needs numbers. Encode text and dates as numbers first")
    if raw.ndim != 2:
        raise ValueError(f"Expected 2D array, got {raw.ndim}D array instead: {asker} needs X of shape (n_samples, "
                         f"n_features), not {raw.shape}. Reshape your data either using X.reshape(-1, 1) if it has "
                         "a single feature or X.reshape(1, -1) if it contains a single sample")
    for extent, what in zip(raw.shape, ("sample", "feature")):
        if extent == 0:
            raise ValueError(f"Found array with 0 {what}(s) (shape={raw.shape}) while a minimum of 1 is required. "
                             f"{asker} needs X of shape (n_samples, n_features)")
    if raw.dtype.kind == "O":
        raw = np.where(_is_missing(raw), np.nan, raw)
    try:
        with np.errstate(over="ignore"):            # too large for `dtype`: becomes inf, and is reported as such
            array = np.ascontiguousarray(raw, dtype=dtype or (np.float32 if raw.dtype == np.float32 else np.float64))
    except TypeError as error:
        raise TypeError(f"X holds objects that are not numbers ({error}): {asker} needs numbers") from error
    except (ValueError, OverflowError) as error:
        raise ValueError(f"X holds objects that are not numbers ({error}): {asker} needs numbers") from error
    _refuse_non_finite(array, allow_nan, asker)
    return _narrowed(array) if dtype is None else array


def _narrowed(array: np.ndarray) -> np.ndarray:
    """Return `array` in float32 if that changes no value."""
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    return narrow if np.array_equal(narrow, array) else array


def _is_missing(objects: np.ndarray) -> np.ndarray:
    """Return which of `objects` mark a missing value: None, and ``pandas.NA`` where this process has loaded pandas."""
    mark = getattr(sys.modules.get("pandas"), "NA", None)
    return np.array([value is None or value is mark for value in objects.ravel()], bool).reshape(objects.shape)


def _plain_array(values: Any, name: str) -> np.ndarray:
    """Return `values` as an array of NumPy's own choice of dtype."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} is not an array ({error}): expected rows of one length") from error


def _refuse_non_finite(array: np.ndarray, allow_nan: bool, asker: str) -> None:
    """Raise for infinity, and for NaN unless `allow_nan`.

    Minimum and maximum tell it in two fast passes without the mask, a byte for each value, that `isfinite` makes;
    `np.minimum` hands NaN on, `np.fmin` passes over it.
    """
    low, high = (np.fmin, np.fmax) if allow_nan else (np.minimum, np.maximum)
    lowest, highest = low.reduce(array, axis=None), high.reduce(array, axis=None)
    if np.isfinite(lowest) and np.isfinite(highest):
        return
    if allow_nan and np.isnan(lowest):          # nothing but NaN
        return
    if not allow_nan and np.isnan(lowest):
        row, column = np.argwhere(np.isnan(array))[0]
        raise ValueError(f"Input X contains NaN, first at row {row}, column {column}: {asker} does not accept missing "
                         "values. Impute them, or drop those samples")
    row, column = np.argwhere(np.isinf(array))[0]
    raise ValueError(f"Input X contains infinity or a value too large for {array.dtype!r}, first at row {row}, column "
                     f"{column}: {asker} needs finite values. Clip or rescale that feature")


def label_vector(y: Any, n_samples: int, asker: str) -> np.ndarray:
    """Return labels as an array of one axis; a column vector is one, too.

    Parameters
    ----------
    y : array-like, (n_samples,) or (n_samples, 1)
        Integers, booleans, whole floats or strings.
    n_samples : int
        How many labels are expected.
    asker : str
        Who asks, for the error message.

    Raises
    ------
    ValueError
        y is None, sparse, of another shape or length, holds missing values, fractions (a regression target), or
        objects that are not strings.

    Examples
    --------
    >>> label_vector(["cod", "eel"], 2, "SVC").tolist()
    ['cod', 'eel']
    """
    if y is None:
        raise ValueError(f"{asker} requires y to be passed, but the target y is None. Pass a label for each sample")
    if issparse(y):
        raise ValueError("Sparse data was passed for y: expected a dense array of labels. Use '.toarray().ravel()'")
    array = _plain_array(y, "y")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"y should be a 1d array, got an array of shape {array.shape} instead: {asker} needs one "
                         "label for each sample")
    if len(array) != n_samples:
        raise ValueError(f"Found input variables with inconsistent numbers of samples: X has {n_samples} rows and y "
                         f"has {len(array)} labels")
    variable = array.dtype.kind == "T"              # NumPy's strings of variable width, which may have missing ones
    if variable:
        array = array.astype(object)
    if array.dtype.kind == "f":
        _refuse_fractions(array, asker)
    elif array.dtype.kind == "O":
        _refuse_objects(array, asker)
    elif array.dtype.kind not in "biuU":
        how = ": decode bytes with numpy.char.decode(y, 'utf-8')" if array.dtype.kind == "S" else ""
        raise ValueError(f"Unknown label type: {array.dtype}. {asker} needs integers, booleans or strings in y{how}")
    return array.astype(str) if variable else array


def _refuse_fractions(y: np.ndarray, asker: str) -> None:
    """Raise for floats that are no labels."""
    for what, bad in (("NaN", np.isnan(y)), ("infinity", np.isinf(y))):
        if bad.any():
            raise ValueError(f"Input y contains {what}, first at row {bad.argmax()}: {asker} needs a label for each "
                             "sample. Drop those samples")
    fractions = y != np.trunc(y)
    if fractions.any():
        row = fractions.argmax()
        raise ValueError(f"Unknown label type: continuous. y holds {y[row]} at row {row}: {asker} needs discrete "
                         "classes, and this looks like a target of a regression. Bin it, or use a regressor")


def _refuse_objects(y: np.ndarray, asker: str) -> None:
    """Raise for objects that are no strings; they have no order that all programs agree on."""
    missing = _is_missing(y) | [isinstance(label, float) and math.isnan(label) for label in y]
    if missing.any():
        row = int(missing.argmax())
        raise ValueError(f"Input y contains NaN, first at row {row} ({y[row]!r}): {asker} needs a label for each "
                         "sample. Drop those samples")
    for row, label in enumerate(y):
        if not isinstance(label, str):
            raise ValueError(f"Unknown label type: unknown. y is an array of objects, with {type(label).__name__} "
                         f"{label!r} at row {row}: {asker} needs strings or numbers. Convert it with y.astype(str) "
                         "or y.astype(int)")


def compare_names(names: np.ndarray | None, fitted: np.ndarray | None, asker: str) -> None:
    """Raise unless the column names of samples are those of the fit; warn when only one of the two has names.

    Parameters
    ----------
    names, fitted : array of str, (n_features,), or None
        What `feature_names` returns for the samples, and for those of the fit.
    asker : str
        Who asks, for the error message.

    Raises
    ------
    ValueError
        Other names, or the same in another order.

    Examples
    --------
    >>> compare_names(np.array(["length", "width"]), np.array(["width", "length"]), "SVC")
    Traceback (most recent call last):
    ...
    ValueError: The feature names should match those that were passed during fit.
    Feature names must be in the same order as they were in fit.
    """
    if names is None or fitted is None:
        if names is not None:
            warnings.warn(f"X has feature names, but {asker} was fitted without feature names", stacklevel=4)
        if fitted is not None:
            warnings.warn(f"X does not have valid feature names, but {asker} was fitted with feature names",
                          stacklevel=4)
        return
    if np.array_equal(names, fitted):
        return
    lines = ["The feature names should match those that were passed during fit."]
    for title, extra in (("Feature names unseen at fit time:", set(names) - set(fitted)),
                         ("Feature names seen at fit time, yet now missing:", set(fitted) - set(names))):
        if extra:
            lines += [title, *(f"- {name}" for name in sorted(extra)[:5]), *(["- ..."] if len(extra) > 5 else [])]
    if len(lines) == 1:
        lines.append("Feature names must be in the same order as they were in fit.")
    raise ValueError("\n".join(lines))
