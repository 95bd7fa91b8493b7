"""Images, labels and settings as users have them: turned into what a network computes with, or refused by name.

One rule for pixels holds wherever a network is given images, in `fit`, `evaluate`, `predict`, `predict_proba`,
`features` and `deconvnet`:

=============================  =====================================================================================
pixels                         what happens
=============================  =====================================================================================
floats in [0, 1]               taken; any width and byte order, any layout in memory
floats, some of them negative  taken: they are standardised, and no range is known
floats from 0 to above 8       refused: they are grey levels that were not divided by 255 (or 65535, 16, 100)
integers                       refused, as `minicnn.data.Dataset` refuses them: 1 can be white, or nearly black
booleans                       taken: 0 is black and 1 is white
NaN, infinity                  refused; the message names the image
=============================  =====================================================================================

The rule is in `check_pixels`. Labels are class numbers, and `class_numbers` says which containers it takes them from.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from numbers import Integral, Real
from typing import Any

import numpy as np

from minicnn.backend import array_module, as_array, as_floating

BRIGHT = 8.0    # an image of standardised pixels may have none below 0; its brightest is then about 3
LARGEST = float(np.finfo(np.float32).max)


def images_of(value: Any, name: str) -> Any:
    """Return `value` as an array that may be images: of numbers, on the side where it is. `check_pixels` is to follow.

    Parameters
    ----------
    value : array_like
        An array of any library that NumPy can read, or nested lists.
    name : str
        What to call it in an error message.

    Raises
    ------
    ValueError
        It is no array of real numbers, or some of them are masked.

    Examples
    --------
    >>> images_of([[[0.5, True]]], "images")
    array([[[0.5, 1. ]]])
    """
    if array_module(value) is not np:
        return as_floating(value, name)
    if hasattr(value, "images"):
        raise ValueError(f"{name} is a {type(value).__name__}: expected an array (N, C, H, W); pass its .images")
    array = as_array(value, name)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} has pixels of dtype {array.dtype}: expected float32 in [0, 1]")
    return array.astype(np.float32) if array.dtype.kind == "b" else array


def axes_hint(shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """Return what to do about images of `shape` where (N, *wanted) was expected, or "" where nobody knows.

    Examples
    --------
    >>> axes_hint((5, 32, 32, 3), (3, 32, 32))
    '; the channels come first: images.transpose(0, 3, 1, 2)'
    """
    C, H, W = wanted
    if shape == (C, H, W):
        return "; for one image: images[None]"
    if C == 1 and shape == (H, W):
        return "; for one grey image: images[None, None]"
    if C == 1 and len(shape) == 3 and shape[1:] == (H, W):
        return "; grey images have a channel: images[:, None]"
    if len(shape) == 4 and shape[1:] == (H, W, C):
        return "; the channels come first: images.transpose(0, 3, 1, 2)"
    return f"; pixels in rows: images.reshape(-1, {C}, {H}, {W})" if shape[1:] == (C * H * W,) else ""


def check_pixels(images: Any, name: str) -> None:
    """Raise unless a network can be given these pixels: the rule at the top of this module.

    It costs one pass for the minimum and one for the maximum, 0.3 % of the time that CNN1 takes to classify them.

    Parameters
    ----------
    images : array (N, C, H, W)
        Images from `images_of`, on the host or on a device.
    name : str
        What to call them in an error message.

    Raises
    ------
    ValueError
        Integers, a pixel that is not finite, or values from 0 to above 8; the first such pixel is named.

    Examples
    --------
    >>> check_pixels(np.full((1, 1, 2, 2), 255.0), "images")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: images: pixel (0, 0) of channel 0 of image 0 is 255.0 (4 such in all), and no pixel is negative: ...
    """
    if images.dtype.kind != "f":
        raise ValueError(f"{name} has pixels of dtype {images.dtype}: expected float32 in [0, 1]; divide 8-bit values "
                         "by 255, 16-bit values by 65535")
    if not images.size:
        return
    low, high = float(images.min()), float(images.max())
    if not (low >= -LARGEST and high <= LARGEST):       # NaN is in both, and fails every comparison
        with np.errstate(over="ignore"):                # a long double may be infinite in double precision
            bad = ~(abs(images.astype(np.float64)) <= LARGEST)
        _refuse(images, bad, name, "", "expected finite numbers")
    if low >= 0 and high > BRIGHT:
        _refuse(images, images > BRIGHT, name, ", and no pixel is negative",
                "expected values in [0, 1], or standardised ones; divide 8-bit values by 255")


def _refuse(images: Any, bad: Any, name: str, and_what: str, expected: str) -> None:
    """Raise the error that names the first pixel of the mask `bad`."""
    n, c, y, x = (int(i[0]) for i in array_module(images).nonzero(bad))
    raise ValueError(f"{name}: pixel ({y}, {x}) of channel {c} of image {n} is {float(images[n, c, y, x])} "
                     f"({int(bad.sum())} such in all){and_what}: {expected}")


def class_numbers(labels: Any, n_images: int, name: str) -> np.ndarray:
    """Return labels as an integer array (n_images,), whatever holds them.

    Parameters
    ----------
    labels : array_like, (n_images,)
        Integers: in an array, a list, a pandas Series (of an extension type, too) or a tensor.
    n_images : int
        How many labels are expected.
    name : str
        What to call the data in an error message.

    Returns
    -------
    array (n_images,) of integers
        Not copied where it is such an array already; whether they are classes of a network is not checked.

    Raises
    ------
    ValueError
        Another number of labels, one row for each image, or labels that are not integers: text, floats, booleans,
        missing values. The message says how to convert them.

    Examples
    --------
    >>> class_numbers((0, 2, 1), 3, "train")
    array([0, 2, 1])
    >>> class_numbers(["eel", "cod"], 2, "train")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: train has labels of shape (2,) and dtype <U3: expected 2 integers, one for each image; ...
    """
    array = as_array(labels, f"{name}: labels")
    numbers = _whole_objects(array, name) if array.dtype.kind == "O" and array.ndim == 1 else array
    if numbers.shape != (n_images,) or numbers.dtype.kind not in "iu":
        raise ValueError(f"{name} has labels of shape {array.shape} and dtype {array.dtype}: expected {n_images} "
                         f"integers, one for each image{_label_hint(array, n_images)}")
    return numbers


def _whole_objects(array: np.ndarray, name: str) -> np.ndarray:
    """Return an array of Python objects as int64, if all are integers; text is left for the caller to refuse."""
    for n, label in enumerate(array):
        if isinstance(label, str):
            return array
        if isinstance(label, bool) or not isinstance(label, Integral):
            raise ValueError(f"{name}: label {label!r} of image {n} is a {type(label).__name__}: expected an integer; "
                             "give each image its class, and leave out those without one")
        if not -2**63 <= int(label) < 2**63:
            raise ValueError(f"{name}: label {label} of image {n} is no class number")
    return array.astype(np.int64)


def _label_hint(array: np.ndarray, n_images: int) -> str:
    """Return how to make class numbers of what was given as labels."""
    if array.shape == (n_images, 1):
        return "; numpy.ravel(labels) is the column alone"
    if array.ndim == 2 and len(array) == n_images:
        return "; of one-hot rows: numpy.argmax(labels, axis=1)"
    if array.dtype.kind in "USTO":
        return "; number the names, as with numpy.unique(labels, return_inverse=True)[1]"
    if array.dtype.kind == "f" and np.isnan(array).any():
        return f"; the label of image {int(np.isnan(array).argmax())} is missing"
    return "; convert them with numpy.asarray(labels, int)" if array.dtype.kind in "fb" else ""


def integer(value: Any, name: str, minimum: int) -> int:
    """Return `value`, a setting called `name`, as an int not less than `minimum`; raise ValueError otherwise.

    Examples
    --------
    >>> integer(np.int64(3), "epochs", 1)
    3
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < minimum:
        expected = "a positive integer" if minimum == 1 else f"an integer not less than {minimum}"
        raise ValueError(f"{name}={value!r}: expected {expected}")
    return int(value)


def number(value: Any, name: str, fits: Callable[[float], bool], expected: str) -> float:
    """Return `value`, a setting called `name`, as a finite float for which `fits` is true; raise ValueError otherwise.

    Examples
    --------
    >>> number(-1, "lr", lambda lr: lr >= 0, "a learning rate not less than 0")
    Traceback (most recent call last):
    ValueError: lr=-1: expected a learning rate not less than 0
    """
    try:
        real = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    except OverflowError:       # an integer or a fraction of more than 308 digits
        real = math.nan
    if not math.isfinite(real) or not fits(real):
        raise ValueError(f"{name}={value!r}: expected {expected}")
    return real


def flag(value: Any, name: str) -> bool:
    """Return `value`, a setting called `name`, as a bool; raise ValueError for text, of which "False" would be true.

    Examples
    --------
    >>> flag(np.True_, "nesterov")
    True
    """
    if not isinstance(value, (int, np.bool_, np.integer)) or value not in (0, 1):
        raise ValueError(f"{name}={value!r}: expected True or False")
    return bool(value)


def sequence(value: Any) -> tuple[Any, ...] | None:
    """Return what `value` holds, in its order, or None if it is no sequence: text and sets are none, nor is a scalar.

    Examples
    --------
    >>> sequence([1, 2]), sequence("ab"), sequence({1, 2}), sequence(3)
    ((1, 2), None, None, None)
    """
    if isinstance(value, (str, bytes, Mapping, Set)):
        return None
    try:
        return tuple(value)
    except TypeError:
        return None


def image_shape(shape: Any) -> tuple[int, ...]:
    """Return the shape of an image, (channels, height, width), as plain integers; raise ValueError if it is none.

    Examples
    --------
    >>> image_shape([1, np.int64(28), 28.0])
    (1, 28, 28)
    """
    sizes = sequence(shape) or ()
    kinds = (int, float, np.integer, np.floating)
    if len(sizes) != 3 or not all(isinstance(n, kinds) and not isinstance(n, bool) and n >= 1 and n % 1 == 0
                                  for n in sizes):
        raise ValueError(f"input_shape={shape!r}: expected (channels, height, width), all positive")
    return tuple(int(n) for n in sizes)


def working_type(dtype: Any) -> np.dtype[Any]:
    """Return the type in which a network computes, float32 or float64; raise ValueError for any other.

    Examples
    --------
    >>> working_type("float32")
    dtype('float32')
    """
    try:
        found = None if dtype is None else np.dtype(dtype)      # NumPy takes None for float64
    except TypeError:
        found = None
    if found not in (np.float32, np.float64):
        raise ValueError(f"dtype={dtype!r}: expected float32 or float64")
    return found
