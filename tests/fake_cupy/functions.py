"""``cupy.<function>``: NumPy's functions that CuPy has too, on arrays of the stand-in.

A name that is not in these lists is an AttributeError here, even where CuPy has it: add it when something needs it,
after a look at CuPy's reference. What CuPy computes with cuBLAS or cuSOLVER, and what makes it wait for the device, is
marked, since neither may be captured and waiting is counted.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.fake_cupy.arrays import ndarray
from tests.fake_cupy.computing import apply, arrays_in, fresh
from tests.fake_cupy.state import execute, synchronise
from tests.fake_cupy.transfers import copy_from_host

_UFUNCS = """
    absolute abs add arccos arcsin arctan arctan2 bitwise_and bitwise_or bitwise_xor ceil copysign cos cosh divide equal
    exp exp2 expm1 fabs floor floor_divide fmax fmin fmod greater greater_equal hypot invert isfinite isinf isnan
    left_shift less less_equal log log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor maximum
    minimum multiply negative nextafter not_equal power reciprocal remainder right_shift rint sign signbit sin sinh sqrt
    square subtract tan tanh true_divide trunc
"""
_FUNCTIONS = """
    all allclose amax amin any append argmax argmin argpartition argsort around array_equal array_split atleast_1d
    atleast_2d atleast_3d broadcast_arrays broadcast_to clip concatenate count_nonzero cumprod cumsum diag diagonal diff
    dstack expand_dims flip fliplr flipud hsplit hstack isclose lexsort max mean median meshgrid min moveaxis nan_to_num
    nanargmax nanargmin nanmax nanmean nanmin nansum outer pad partition prod ravel reshape roll rollaxis rot90 round
    searchsorted sort split squeeze stack std sum swapaxes take_along_axis tile trace transpose tril triu var vsplit
    vstack
"""
_BLAS = "matmul dot vdot inner tensordot einsum kron"
_WAITING = "nonzero flatnonzero argwhere unique bincount compress extract"
_FREE = "ndim shape size may_share_memory shares_memory"
_LINALG = "norm"
_CUSOLVER = "cholesky det eigh inv lstsq pinv qr slogdet solve svd"

FUNCTIONS: dict[str, Callable[..., Any]] = {}
LINALG: dict[str, Callable[..., Any]] = {}


class UFunc:
    """A universal function; `at` where CuPy has it."""

    _AT = frozenset(("add", "subtract", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor"))

    def __init__(self, name: str):
        self.__name__ = self.name = name
        self._ufunc = getattr(np, name)
        self.nin, self.nout = self._ufunc.nin, 1

    def __call__(self, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        if len(args) > self.nin:
            *args, out = args       # type: ignore[assignment]
        if any(isinstance(a, (tuple, list)) for a in args):
            raise TypeError(f"{self.name}: Unsupported type {list}: move lists with cupy.asarray")
        return apply(self.name, self._ufunc, *args, out=out, **kwargs)

    def at(self, a: ndarray, indices: Any, b: Any = None) -> None:
        """Apply in place at `indices`, also where one occurs twice (then CuPy's order of the terms is any)."""
        if self.name not in self._AT:
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        used, values = list(arrays_in(indices)), list(arrays_in(b))
        plain = indices._data if isinstance(indices, ndarray) else \
            tuple(i._data if isinstance(i, ndarray) else i for i in indices)
        value = b._data if isinstance(b, ndarray) else b
        data = a._data
        execute(f"{self.name}.at", lambda: self._ufunc.at(data, plain, value), a._memory,
                *(v._memory for v in (*used, *values)))


def _function(name: str, module: Any = np, **how: bool) -> Callable[..., Any]:
    function = getattr(module, name)

    def run(*args: Any, **kwargs: Any) -> Any:
        return apply(name, function, *args, **how, **kwargs)
    run.__name__ = run.__qualname__ = name
    return run


FUNCTIONS.update({name: UFunc(name) for name in _UFUNCS.split()})
FUNCTIONS.update({name: _function(name) for name in _FUNCTIONS.split()})
FUNCTIONS.update({name: _function(name, blas=True) for name in _BLAS.split()})
FUNCTIONS.update({name: _function(name, waits=True) for name in _WAITING.split()})
FUNCTIONS.update({name: _function(name) for name in _FREE.split()})
LINALG.update({name: _function(name, np.linalg) for name in _LINALG.split()})
LINALG.update({name: _function(name, np.linalg, blas=True) for name in _CUSOLVER.split()})


def _public(function: Callable[..., Any]) -> Callable[..., Any]:
    FUNCTIONS[function.__name__] = function
    return function


# ---------------------------------------------------------------------------- where arrays come from

@_public
def array(obj: Any, dtype: Any = None, copy: bool | None = True, order: str = "K", ndmin: int = 0) -> ndarray:
    """Return an array on the device, from numbers, lists, or an array of either side."""
    if isinstance(obj, ndarray):
        wanted = obj.dtype if dtype is None else np.dtype(dtype)
        same = wanted == obj.dtype and (order in "KA" or (order == "C" and obj.flags.c_contiguous))
        new: Any = obj if same and not copy else apply("array", lambda data: data.astype(wanted, order), obj)
    else:
        if any(True for _ in arrays_in(obj)):
            raise NotImplementedError("the stand-in makes no array of a list of arrays: use cupy.stack")
        host: np.ndarray = np.array(obj, dtype, order="C")
        new = fresh(host.shape, host.dtype)
        copy_from_host(new, host, None)
    return new if new.ndim >= ndmin else new.reshape((1,) * (ndmin - new.ndim) + new.shape)


@_public
def asarray(a: Any, dtype: Any = None, order: str = "K", **kwargs: Any) -> ndarray:
    """Return `a` on the device; itself if it is there."""
    return array(a, dtype, copy=False, order=order)


@_public
def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    """Return `a` on the device and contiguous; itself if it is."""
    return array(a, dtype, copy=False, order="C", ndmin=1)


@_public
def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> np.ndarray:
    """Return `a` on the host."""
    if isinstance(a, ndarray):
        return a.get(stream, order, out, blocking)
    return np.asarray(a, order=order)                   # type: ignore[call-overload]


@_public
def copy(a: ndarray, order: str = "K") -> ndarray:
    """Return a copy on the device."""
    return array(_required(a, "copy"), order=order)


@_public
def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """Return an array of garbage: NaN, or 0x7f in each byte of an integer."""
    if order != "C":
        raise NotImplementedError("the stand-in makes arrays in C order")
    return fresh(tuple(shape) if isinstance(shape, (tuple, list)) else shape, dtype)


@_public
def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> ndarray:
    """Return an array of one number."""
    new = empty(shape, np.array(fill_value).dtype if dtype is None else dtype, order)
    new.fill(fill_value)
    return new


@_public
def zeros(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """Return an array of zeros."""
    return full(shape, 0, dtype, order)


@_public
def ones(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """Return an array of ones."""
    return full(shape, 1, dtype, order)


def _like(name: str) -> None:
    make = FUNCTIONS[name]

    def run(a: Any, *value: Any, dtype: Any = None, order: str = "K", shape: Any = None) -> ndarray:
        a = _required(a, f"{name}_like")
        return make(a.shape if shape is None else shape, *value, dtype=a.dtype if dtype is None else dtype)
    FUNCTIONS[f"{name}_like"] = run


for _name in ("empty", "full", "zeros", "ones"):
    _like(_name)


def _made(name: str) -> None:
    function = getattr(np, name)
    FUNCTIONS[name] = lambda *args, **kwargs: apply(name, lambda: function(*args, **kwargs))


for _name in ("arange", "linspace", "eye", "identity", "tri"):
    _made(_name)


# ---------------------------------------------------------------------------- what differs from NumPy

def _required(a: Any, name: str) -> ndarray:
    if not isinstance(a, ndarray):
        raise TypeError(f"{name}: Unsupported type {type(a)}")
    return a


@_public
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """Choose; with the condition alone, as `nonzero`."""
    if x is None and y is None:
        synchronise("where")
        return apply("where", np.where, condition)
    return apply("where", np.where, condition, x, y)


@_public
def take(a: Any, indices: Any, axis: int | None = None, out: Any = None) -> ndarray:
    """Take along an axis; CuPy wraps indices that are outside, NumPy raises, and so does this."""
    indices = indices if isinstance(indices, (ndarray, int, np.integer)) else array(indices)
    return apply("take", lambda data, i, **k: np.array(np.take(data, i, axis, **k)), _required(a, "take"), indices,
                 **({} if out is None else {"out": out}))


@_public
def repeat(a: Any, repeats: Any, axis: int | None = None) -> ndarray:
    """Repeat elements; CuPy takes numbers and lists of them only."""
    if not isinstance(repeats, (int, np.integer, list, tuple)):
        raise ValueError(f"repeats is a {type(repeats).__name__}: `repeats` must be int or sequence")
    return apply("repeat", np.repeat, _required(a, "repeat"), repeats, axis)


@_public
def copyto(dst: ndarray, src: Any, casting: str = "same_kind") -> None:
    """Copy within the device."""
    if isinstance(src, np.ndarray):
        raise TypeError(f"Unsupported type {type(src)}")
    _required(dst, "copyto")[...] = src


@_public
def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    """Return the dtype of a result."""
    return np.result_type(*(a.dtype if isinstance(a, ndarray) else a for a in arrays_and_dtypes))


@_public
def get_array_module(*args: Any) -> Any:
    """Return the module of the arrays."""
    import cupy
    return cupy if any(True for _ in arrays_in(*args)) else np


@_public
def as_strided(x: ndarray, shape: Any = None, strides: Any = None) -> ndarray:
    """Return a view of any shape and strides."""
    return apply("as_strided", np.lib.stride_tricks.as_strided, _required(x, "as_strided"), shape=shape,
                 strides=strides)


@_public
def sliding_window_view(x: ndarray, window_shape: Any, axis: Any = None) -> ndarray:
    """Return a view of all windows."""
    return apply("sliding_window_view", np.lib.stride_tricks.sliding_window_view, _required(x, "sliding_window_view"),
                 window_shape, axis)


del _name
