"""Pickles of plain data, such as the python version of CIFAR: dictionaries, lists, numbers, text and integer arrays.

A pickle is a program, and the ordinary loader runs whatever it says. This one knows the few names that plain data need,
and refuses all others before anything is called. For each name stands a class of our own: NumPy's would let a file
set strides, object pointers and the like before anyone has checked them. Each of these classes defines
``__setstate__``, or else a pickle could store attributes on the class itself and so alter what later files see.

Known are the names that Python 2 and 3 and NumPy 1 and 2 write, in all of pickle's protocols.
"""
from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

_INTEGERS = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8")


def load(where: str, content: bytes) -> dict[str, Any]:
    """Read a pickled dictionary.

    Parameters
    ----------
    where : str
        What to call the file in errors.
    content : bytes
        The whole file.

    Returns
    -------
    dict
        Keys are text; byte strings stay bytes; arrays are NumPy's, of integers.

    Raises
    ------
    ValueError
        A pickle that is damaged, holds something else, or asks for more than plain data.

    Examples
    --------
    >>> load("a file", pickle.dumps({b"data": np.arange(3), "labels": [1, 2]}))
    {'data': array([0, 1, 2]), 'labels': [1, 2]}
    """
    try:
        value = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        if not isinstance(value, dict):
            raise ValueError(f"it holds a {type(value).__name__}, expected a dictionary")
        return {_text(key): entry.array() if isinstance(entry, _Array) else entry for key, entry in value.items()}
    except Exception as error:  # the bytes of a damaged pickle are instructions, which can fail in any way
        raise ValueError(f"{where}: not a pickle of CIFAR, or damaged: {error}") from error


def integers(where: str, key: str, entry: Any) -> np.ndarray:
    """Return an entry as int64 array with one axis; raise ValueError unless it is a list or an array of integers.

    Examples
    --------
    >>> integers("a file", "labels", [3, 1])
    array([3, 1])
    """
    if isinstance(entry, np.ndarray) and entry.ndim == 1:
        return entry.astype(np.int64)
    if isinstance(entry, list) and all(type(value) is int and abs(value) < 2**63 for value in entry):
        return np.array(entry, dtype=np.int64)
    raise ValueError(f"{where}: entry {key!r} is a {type(entry).__name__}: expected a list of integers")


def texts(where: str, key: str, entry: Any) -> list[str]:
    """Return an entry as a list of str; raise ValueError unless it is a list of texts or byte strings.

    Examples
    --------
    >>> texts("a file", "label_names", [b"cat", "dog"])
    ['cat', 'dog']
    """
    if not isinstance(entry, list) or not all(isinstance(value, str | bytes) for value in entry):
        raise ValueError(f"{where}: entry {key!r} is a {type(entry).__name__}: expected a list of names")
    return [_text(value) for value in entry]


def _text(value: Any) -> str:
    """Return text, of Python 2 or 3."""
    if not isinstance(value, str | bytes):
        raise ValueError(f"it holds a key of type {type(value).__name__}, expected text")
    return value if isinstance(value, str) else value.decode(errors="replace")


class _Dtype:
    """Stands for `numpy.dtype`."""

    def __init__(self, code: str | bytes, *_: Any) -> None:
        self.code, self.order = _text(code).lstrip("<>=|"), "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = _text(state[1])

    def dtype(self) -> np.dtype[Any]:
        """Return the type, one of the integers."""
        if self.code not in _INTEGERS or self.order not in ("<", ">", "=", "|"):
            raise ValueError("it holds an array of another type than unsigned bytes or integers")
        return np.dtype(self.order + self.code)


class _Array:
    """Stands for `numpy.ndarray`: keeps what the file says until all of it is there."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def array(self) -> np.ndarray:
        """Return the array."""
        _, shape, dtype, fortran, content = self.state
        return _filled(content, dtype, shape, "F" if fortran else "C")


class _Reconstruct:
    """Stands for ``numpy.core.multiarray._reconstruct``, which makes the array that is then filled."""

    def __new__(cls, *_: Any) -> Any:
        """Make the stand-in for an array."""
        return _Array()

    def __setstate__(self, state: Any) -> None:
        """See the top of this module."""


class _FromBuffer(_Reconstruct):
    """Stands for ``numpy._core.numeric._frombuffer``, which protocol 5 uses."""

    def __new__(cls, content: Any, dtype: Any, shape: Any, order: Any) -> Any:
        """Return the array."""
        return _filled(content, dtype, shape, order)


class _Scalar(_Reconstruct):
    """Stands for ``numpy.core.multiarray.scalar``: one number, such as a label."""

    def __new__(cls, dtype: Any, content: Any) -> Any:
        """Return the number."""
        return _filled(content, dtype, (), "C").item()


class _Bytes(_Reconstruct):
    """Stands for bytes, bytearray and ``_codecs.encode``, by which protocols before 3 write byte strings."""

    def __new__(cls, text: Any = b"", encoding: Any = "latin1") -> Any:
        """Return the byte string."""
        # A number is refused: bytes(10**12) would fill the memory.
        if not isinstance(text, str | bytes | bytearray) or encoding not in ("latin1", "latin-1"):
            raise ValueError("it holds a byte string of a form that is not known")
        return text.encode("latin-1") if isinstance(text, str) else bytes(text)


def _filled(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """Return the array of this type and shape with these bytes."""
    if not isinstance(dtype, _Dtype) or not isinstance(content, bytes | bytearray) or order not in ("C", "F"):
        raise ValueError("it holds an array of a form that is not known")
    return np.frombuffer(content, dtype=dtype.dtype()).reshape(shape, order=order)


_ADMITTED: dict[tuple[str, str], type] = {
    ("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Dtype, ("_codecs", "encode"): _Bytes,
    **{(builtins, name): _Bytes for builtins in ("builtins", "__builtin__") for name in ("bytes", "bytearray")},
    **{(f"{core}.{name}", function): stand_in for core in ("numpy.core", "numpy._core")  # NumPy 1 and 2
       for name, function, stand_in in (("multiarray", "_reconstruct", _Reconstruct), ("multiarray", "scalar", _Scalar),
                                        ("numeric", "_frombuffer", _FromBuffer))}}


class _Unpickler(pickle._Unpickler):
    """Python's own, in Python: the compiled one takes memory for whatever index a damaged file names."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which plain data do not need: refused, nothing "
                                         "of it was run. If you wrote this file, write it again with dictionaries, "
                                         "lists and NumPy arrays of integers alone; if not, do not trust it") from None
