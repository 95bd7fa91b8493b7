"""How something is computed "on the device": by NumPy, after refusing what CuPy refuses, into memory of its own."""
from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tests.fake_cupy.memory import Memory, allocate
from tests.fake_cupy.state import KernelError, execute, refuse_in_capture, state, synchronise

REFUSED_KEYWORDS = {"where", "initial", "subok", "like", "mode"}
SCALARS = (bool, int, float, complex, np.generic)


class Array:
    """What a `cupy.ndarray` is here: NumPy's array `_data`, which lies in `_memory`.

    Work that a stream captures refers to `_data` only: like a graph of CUDA, it does not keep `_memory` alive.
    """

    _data: np.ndarray
    _memory: Memory


def unwrap(value: Any) -> Any:
    """Return an argument as NumPy takes it; refuse a NumPy array among the arguments."""
    if isinstance(value, Array):
        return value._data
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, (tuple, list)):
        return type(value)(unwrap(v) for v in value)
    return value


def arrays_in(*values: Any) -> Iterator[Array]:
    """Yield the arrays among arguments, those in lists and tuples too."""
    for value in values:
        if isinstance(value, Array):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from arrays_in(*value)


def fresh(shape: Any, dtype: Any) -> Any:
    """Return an uninitialised array."""
    memory, data = allocate(shape if isinstance(shape, tuple) else (shape,), dtype)
    return as_array(data, memory)


def as_array(data: np.ndarray, memory: Memory) -> Any:
    """Return NumPy's array `data`, which lies in `memory`, as a `cupy.ndarray`."""
    from tests.fake_cupy.arrays import ndarray  # which is made with the functions of this page
    array = object.__new__(ndarray)
    array._data, array._memory = data, memory
    return array


def apply(name: str, function: Callable[..., Any], *args: Any, out: Any = None, blas: bool = False,
          waits: bool = False, **kwargs: Any) -> Any:
    """Return ``function(*args, **kwargs)``, computed by NumPy: views of arguments as such, else as new arrays.

    Parameters
    ----------
    name : str
        For messages.
    function : callable
        NumPy's.
    out : Array, optional
        Where the result goes.
    blas, waits : bool
        Whether CuPy calls cuBLAS here, or waits for the device.
    """
    if refused := REFUSED_KEYWORDS & set(kwargs) - ({"mode"} if name == "pad" else set()):
        raise TypeError(f"{name} got an unexpected keyword argument {min(refused)!r}")
    sources = list(arrays_in(*args, *kwargs.values()))
    plain, keywords = unwrap(args), {key: unwrap(value) for key, value in kwargs.items()}
    if blas:
        refuse_in_capture(name)
    if waits:
        synchronise(name)
    memories = [a._memory for a in sources]
    if out is not None:
        if not isinstance(out, Array):
            raise TypeError(f"{name}: Output arguments type must be cupy.ndarray, not {type(out)}")
        target = out._data
        check_overlap(name, target, sources)

        def write() -> None:
            with np.errstate(all="ignore"):
                function(*plain, out=target, **keywords)
        execute(name, write, *memories, out._memory)
        return out
    with np.errstate(all="ignore"):
        result = function(*plain, **keywords)
    if isinstance(result, (tuple, list)):
        parts = [_wrap(name, part, sources, functools.partial(lambda k: function(*plain, **keywords)[k], number))
                 for number, part in enumerate(result)]
        return tuple(parts) if isinstance(result, tuple) else parts
    if not isinstance(result, (np.ndarray, np.generic)):
        return result
    return _wrap(name, result, sources, lambda: function(*plain, **keywords))


def _wrap(name: str, result: Any, sources: Sequence[Array], again: Callable[[], Any]) -> Any:
    """Return a view of a source if `result` is one, else a new array; a graph will compute it `again`."""
    result = np.asarray(result)
    for source in sources:
        if result.size and source._data.size and np.may_share_memory(result, source._data):
            return as_array(result, source._memory)
    new = fresh(result.shape, result.dtype)
    target, is_captured = new._data, state.capture is not None

    def fill() -> None:
        with np.errstate(all="ignore"):
            target[...] = again() if is_captured else result
    execute(name, fill, new._memory, *(s._memory for s in sources))
    return new


def check_overlap(name: str, target: np.ndarray, sources: Sequence[Array]) -> None:
    """Raise where an array is written while a shifted view of it is read: threads would race."""
    for source in sources:
        same = (source._data.ctypes.data, source._data.strides) == (target.ctypes.data, target.strides)
        if not same and np.may_share_memory(source._data, target) and np.shares_memory(source._data, target):
            raise KernelError(f"{name}: the array written and one that is read overlap; CuPy leaves that undefined")
