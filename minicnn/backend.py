"""One switch between three ways to compute the same thing: ``numpy`` (readable), ``numba`` (CPU), ``cupy`` (GPU).

    minicnn.set_backend("numpy")              from here on
    with minicnn.use_backend("numba"): ...    inside this block, in this thread
    MINICNN_BACKEND=numpy python ...          for the whole process; the default is numba

How a call finds its code::

    minicnn.ops.conv2d(x, w, b)
        |
        |  1. `validate` of the page ops/conv.py: shapes, dtypes, (height, width) pairs
        |  2. which backend?
        v
    numpy   ->  the body of ops/conv.py: conv2d                  (vectorised, array module `xp`)
    numba   ->  kernels/numba_conv.py: conv2d, where it exists   (same name, same arguments)
    cupy    ->  kernels/cupy_conv.py: conv2d, where it exists; else the vectorised body, on CuPy arrays

There is no silent fallback from one backend to another: asking for one that cannot run here is an error that says
how to install it. Caches have one format per operation, so a forward pass of one version can be followed by the
backward pass of any other.
"""
from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import numpy as np

from minicnn.plumbing.cuda import load_cupy
from minicnn.plumbing.threads import one_blas_thread

BACKENDS = ("numpy", "numba", "cupy")

_default: str | None = None
_local: ContextVar[str | None] = ContextVar("minicnn_backend", default=None)


class InputTypeError(TypeError, ValueError):
    """An argument of a kind that cannot be taken: Python's TypeError, and the ValueError that all bad input is."""


def _available(name: str) -> str:
    """Return `name` if that backend can run here; raise otherwise."""
    if name not in BACKENDS:
        raise ValueError(f"unknown backend {name!r}: expected one of {', '.join(BACKENDS)}")
    if name == "numpy":
        return name
    try:
        if name == "cupy":
            load_cupy()
        else:
            _load_numba()
    except ImportError as error:
        raise ImportError(f"backend {name!r} is not available: {error}") from error
    return name


def _load_numba() -> None:
    try:
        importlib.import_module("numba")
    except Exception as error:  # what a broken installation raises is its own
        raise ImportError(f'{error}. Install it with: pip install "numba>=0.61"') from error


def set_backend(name: str) -> None:
    """Use backend `name` (``"numpy"``, ``"numba"`` or ``"cupy"``) from here on.

    Raises
    ------
    ValueError
        Unknown name.
    ImportError
        The backend cannot run on this machine; the message holds the install command.

    Examples
    --------
    >>> import minicnn
    >>> minicnn.set_backend("numba")
    >>> minicnn.get_backend()
    'numba'
    """
    global _default
    _default = _available(name)


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Use backend `name` inside a ``with`` block, in this thread only.

    Examples
    --------
    >>> import minicnn
    >>> with minicnn.use_backend("numpy"):
    ...     minicnn.get_backend()
    'numpy'
    """
    token = _local.set(_available(name))
    try:
        yield
    finally:
        _local.reset(token)


def get_backend() -> str:
    """Return the name of the backend in use."""
    global _default
    if (chosen := _local.get()) is not None:
        return chosen
    if _default is None:
        _default = _available(os.environ.get("MINICNN_BACKEND", "numba"))
    return _default


@functools.cache
def _kernel(backend: str, page: str, name: str) -> Callable[..., Any] | None:
    """Return the kernel that replaces operation `name` of page ``ops/<page>.py`` on `backend`, if there is one."""
    module = f"minicnn.kernels.{backend}_{page}"
    if importlib.util.find_spec(module) is None:
        return None
    return getattr(importlib.import_module(module), name, None)


def operation(validate: Callable[..., tuple[Any, ...]]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make the decorated vectorised function an operation that the backend in use may replace by a kernel.

    Parameters
    ----------
    validate
        Takes the operation's arguments (positionally, defaults filled in) and returns them checked and normalised.
        It runs before every version, so kernels, which do not check bounds, can trust what they get.

    Returns
    -------
    decorator
        The operation it returns keeps the vectorised body as ``.vectorised`` and `validate` as ``.validate``.
    """
    def decorate(vectorised: Callable[..., Any]) -> Callable[..., Any]:
        page = vectorised.__module__.rpartition(".")[2]
        signature = inspect.signature(vectorised)

        @functools.wraps(vectorised)
        def run(*args: Any, **kwargs: Any) -> Any:
            if kwargs or len(args) != len(signature.parameters):    # else they are bound already
                bound = signature.bind(*args, **kwargs)
                bound.apply_defaults()
                args = tuple(bound.arguments.values())
            checked = validate(*args)
            kernel = _kernel(get_backend(), page, vectorised.__name__)
            return (kernel or vectorised)(*checked)

        run.vectorised = vectorised  # type: ignore[attr-defined]
        run.validate = validate  # type: ignore[attr-defined]
        return run
    return decorate


def cores_for_kernels() -> AbstractContextManager[None]:
    """Return a context in which the backend in use has the processor's cores to itself: beside Numba, BLAS has one."""
    return one_blas_thread() if get_backend() == "numba" else nullcontext()


def to_backend(array: np.ndarray) -> Any:
    """Return a NumPy array as one of the backend in use: itself, or, on cupy, its copy on the device."""
    return importlib.import_module("cupy").asarray(array) if get_backend() == "cupy" else array


def on_other_side(x: Any) -> bool:
    """Return whether `x` is on the host while the backend in use computes on a device.

    What works batch by batch, as prediction does, then sends the batches there; a single operation refuses.
    """
    return get_backend() == "cupy" and array_module(x) is np


def array_module(x: Any) -> Any:
    """Return the module, ``numpy`` or ``cupy``, whose array `x` is (the `xp` of the vectorised code)."""
    return importlib.import_module("cupy") if type(x).__module__.partition(".")[0] == "cupy" else np


def as_array(value: Any, name: str) -> np.ndarray:
    """Return `value` as a NumPy array.

    Raises
    ------
    InputTypeError
        It cannot be read as one: rows of unlike length, a tensor that records gradients or lies on a device.
    ValueError
        A masked array with masked values: as an array it would show what the mask hides.
    """
    if type(value) is np.ndarray:
        return value
    if np.ma.is_masked(value) or (isinstance(value, (list, tuple)) and any(map(np.ma.is_masked, value))):
        where = tuple(int(i[0]) for i in np.nonzero(np.ma.getmaskarray(np.ma.array(value))))
        raise ValueError(f"{name} has a masked value at {where}: expected one everywhere; fill it in with .filled(...)")
    try:
        return np.asarray(value)
    except Exception as error:  # what another library's array raises is its own
        raise InputTypeError(f"{name} is a {type(value).__name__} that is no array ({error})") from error


def as_floating(value: Any, name: str, ndim: int | None = None) -> Any:
    """Return `value` as a floating-point array that the backend in use can take.

    Lists and integer arrays become float32, the working type; float32 and float64 pass unchanged. Nothing is ever
    copied between host and device: an array that lives on the wrong side is an error, not a slow surprise.

    Parameters
    ----------
    value : array_like
        What the caller was given.
    name : str
        What to call it in an error message.
    ndim : int, optional
        Required number of axes.

    Raises
    ------
    InputTypeError
        Array of the wrong library for this backend, or complex, object, half-precision or string dtype.
    ValueError
        Wrong number of axes, or masked values.
    """
    backend = get_backend()
    on_device = array_module(value) is not np
    if on_device != (backend == "cupy"):
        wanted = "CuPy arrays: move it with cupy.asarray(...)" if backend == "cupy" else \
            "NumPy arrays: move it with cupy.asnumpy(...), or use_backend('cupy')"
        raise InputTypeError(f"{name} is a {type(value).__module__}.{type(value).__name__}, but backend {backend!r} "
                             f"takes {wanted}")
    array = value if on_device else as_array(value, name)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind in "bui":
        array = array.astype(np.float32)
    if array.dtype not in (np.float32, np.float64):
        raise InputTypeError(f"{name} has dtype {array.dtype}: expected float32 (the working type) or float64")
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} has shape {array.shape}: expected {ndim} axes")
    return array


def pair(value: Any, name: str, minimum: int) -> tuple[int, int]:
    """Return `value`, an integer or a (height, width) pair, as a pair of integers not less than `minimum`.

    Examples
    --------
    >>> pair(3, "stride", 1)
    (3, 3)
    >>> pair((2, 1), "pad", 0)
    (2, 1)
    """
    both = (value, value) if np.ndim(value) == 0 else tuple(value)
    if len(both) != 2 or not all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in both):
        raise ValueError(f"{name}={value!r}: expected an integer or a (height, width) pair of integers")
    if min(both) < minimum:
        raise ValueError(f"{name}={value!r}: expected values not less than {minimum}")
    return int(both[0]), int(both[1])
