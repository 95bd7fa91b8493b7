"""`cupy.ndarray`: an array that lives where NumPy cannot reach, so that only what CuPy allows can be done with it.

Whatever needs the numbers on the host (``float()``, ``bool()``, ``.get()``, a boolean mask as an index) is a
synchronisation.
"""
from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.fake_cupy.computing import SCALARS, Array, apply, as_array, check_overlap, unwrap
from tests.fake_cupy.memory import Memory, allocate
from tests.fake_cupy.state import KernelError, execute, state, synchronise
from tests.fake_cupy.transfers import copy_from_host, copy_to_host


class ndarray(Array):
    """As `cupy.ndarray`."""

    __hash__ = None     # type: ignore[assignment]

    def __init__(self, shape: Any, dtype: Any = float):
        self._memory, self._data = allocate(shape if isinstance(shape, tuple) else (shape,), dtype)

    # ------------------------------------------------------------------ what costs nothing

    shape = property(lambda self: self._data.shape)
    strides = property(lambda self: self._data.strides)
    dtype = property(lambda self: self._data.dtype)
    ndim = property(lambda self: self._data.ndim)
    size = property(lambda self: self._data.size)
    itemsize = property(lambda self: self._data.itemsize)
    nbytes = property(lambda self: self._data.nbytes)
    flags = property(lambda self: types.SimpleNamespace(
        **{key: getattr(self._data.flags, key) for key in ("c_contiguous", "f_contiguous", "owndata")}))
    T = property(lambda self: self.transpose())

    @property
    def data(self) -> Any:
        """The memory pointer."""
        return types.SimpleNamespace(ptr=self._data.ctypes.data, device_id=0, mem=self._memory)

    @property
    def device(self) -> Any:
        """The device."""
        from tests.fake_cupy.cuda import Device
        return Device(0)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[ndarray]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[k] for k in range(len(self)))

    # ------------------------------------------------------------------ NumPy keeps out

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy "
                        "array explicitly.")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = (), **kwargs: Any) -> Any:
        from tests.fake_cupy.functions import FUNCTIONS
        function = FUNCTIONS.get(ufunc.__name__)
        if method != "__call__" or function is None or len(out) > 1:
            return NotImplemented
        unwrap((*inputs, *out))                                         # refuses NumPy arrays
        return function(*inputs, **kwargs, **({"out": out[0]} if out else {}))

    def __array_function__(self, func: Any, types_: Any, args: Any, kwargs: Any) -> Any:
        from tests.fake_cupy.functions import FUNCTIONS
        function = FUNCTIONS.get(func.__name__)
        return NotImplemented if function is None else function(*args, **kwargs)

    # ------------------------------------------------------------------ to the host

    def get(self, stream: Any = None, order: str = "C", out: np.ndarray | None = None,
            blocking: bool = True) -> np.ndarray:
        """Return a copy on the host; with ``blocking=False`` it is complete after the next synchronisation."""
        return copy_to_host(self, stream, order, out, blocking)

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        """Copy an array of the host into this one."""
        copy_from_host(self, arr, stream)

    def item(self, *args: Any) -> Any:
        """Return one element as a Python number."""
        return self.get().item(*args)

    def tolist(self) -> Any:
        """Return nested lists of Python numbers."""
        return self.get().tolist()

    def tobytes(self) -> bytes:
        """Return the bytes."""
        return self.get().tobytes()

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError("The truth value of an array with more than one element is ambiguous. Use a.any() or "
                             "a.all()")
        return bool(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __index__(self) -> int:
        return self.get().__index__()

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __format__(self, spec: str) -> str:
        return format(self.get(), spec)

    def __copy__(self) -> ndarray:
        return apply("copy", np.ndarray.copy, self)

    def __deepcopy__(self, memo: Any) -> ndarray:
        return apply("copy", np.ndarray.copy, self)

    def __reduce__(self) -> Any:
        from tests.fake_cupy.functions import FUNCTIONS
        return FUNCTIONS["array"], (self.get(),)

    # ------------------------------------------------------------------ parts

    def __getitem__(self, index: Any) -> ndarray:
        plain, used, waits = _plain_index(index)
        if not used:
            return as_array(self._data[plain], self._memory)
        if waits:
            synchronise("an index that is a mask")
        return apply("getitem", lambda data, *_: data[plain].copy(), self, *used)

    def __setitem__(self, index: Any, value: Any) -> None:
        plain, used, waits = _plain_index(index)
        if waits:
            synchronise("an index that is a mask")
        if not isinstance(value, (ndarray, *SCALARS)):
            if not (isinstance(value, np.ndarray) and value.ndim == 0):
                raise ValueError(f"non-scalar {type(value).__module__}.{type(value).__name__} cannot be used for fill: "
                                 "move it with cupy.asarray")
            value = value.item()
        sources = [value] if isinstance(value, ndarray) else []
        if not used:
            target = self._data[plain]
            if sources and (target.ctypes.data, target.shape, target.strides) == \
                    (value._data.ctypes.data, value.shape, value.strides):
                return                                                  # x[0] += 1 ends with such an assignment
            check_overlap("setitem", target, sources)
        elif sources and value.size > 1:
            positions = np.arange(self.size).reshape(self.shape)[plain]
            if len(np.unique(positions)) != positions.size:
                raise KernelError("setitem: an index names a place twice; CuPy leaves undefined who wins")

        data, plain_value = self._data, unwrap(value)

        def write() -> None:
            with np.errstate(all="ignore"):
                data[plain] = plain_value
        execute("setitem", write, self._memory, *(a._memory for a in (*sources, *used)))

    def fill(self, value: Any) -> None:
        """Set every element to a number."""
        self[...] = value

    def astype(self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None,
               copy: bool = True) -> ndarray:
        """Return the array in another dtype."""
        if not copy and self.dtype == np.dtype(dtype):
            return self
        return apply("astype", lambda data: data.astype(dtype, order), self)

    def __neg__(self) -> ndarray:
        return apply("negative", np.negative, self)

    def __pos__(self) -> ndarray:
        return self

    def __abs__(self) -> ndarray:
        return apply("absolute", np.absolute, self)

    def __invert__(self) -> ndarray:
        return apply("invert", np.invert, self)


def _plain_index(index: Any) -> tuple[Any, list[ndarray], bool]:
    """Return an index for NumPy that never yields a scalar, the arrays in it, and whether one is a mask.

    As in CuPy, NumPy arrays and lists are taken: they are copied to the device.
    """
    plain, used = [], []
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, (list, np.ndarray, bool, np.bool_)):
            part = as_array(*reversed(_on_device(np.asarray(part))))
        if isinstance(part, ndarray):
            if part.dtype.kind not in "biu":
                raise IndexError(f"arrays used as indices must be of integer or boolean type. (actual: {part.dtype})")
            used.append(part)
            part = part._data
        plain.append(part)
    if not any(part is Ellipsis for part in plain):
        plain.append(Ellipsis)
    return tuple(plain), used, any(a.dtype.kind == "b" for a in used)


def _on_device(host: np.ndarray) -> tuple[Memory, np.ndarray]:
    if state.capture is not None:
        synchronise("an index from the host")
    memory, data = allocate(host.shape, host.dtype if host.size else np.int64)
    data[...] = host
    return memory, data


def _add_operators() -> None:
    """Give `ndarray` the binary operators: between arrays and numbers only."""
    names = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
             "mod": "remainder", "pow": "power", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
             "lshift": "left_shift", "rshift": "right_shift"}
    comparisons = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal",
                   "ne": "not_equal"}

    def operator(name: str, swapped: bool = False, in_place: bool = False, blas: bool = False) -> Callable[..., Any]:
        function = getattr(np, name)

        def run(self: ndarray, other: Any) -> Any:
            if not isinstance(other, (ndarray, *SCALARS)):
                unwrap(other)                                           # its error for a NumPy array
                return NotImplemented
            pair = (other, self) if swapped else (self, other)
            return apply(name, function, *pair, out=self if in_place else None, blas=blas)
        return run

    for short, name in names.items():
        setattr(ndarray, f"__{short}__", operator(name))
        setattr(ndarray, f"__r{short}__", operator(name, swapped=True))
        setattr(ndarray, f"__i{short}__", operator(name, in_place=True))
    for short, name in comparisons.items():
        setattr(ndarray, f"__{short}__", operator(name))
    ndarray.__matmul__ = operator("matmul", blas=True)                  # type: ignore[operator]


def _add_methods() -> None:
    """Give `ndarray` the methods that are NumPy's."""
    def method(name: str, **how: bool) -> Callable[..., Any]:
        function = getattr(np.ndarray, name)
        return lambda self, *args, **kwargs: apply(name, function, self, *args, **how, **kwargs)

    for name in ("reshape", "ravel", "flatten", "transpose", "swapaxes", "squeeze", "view", "repeat", "take", "argmax",
                 "argmin", "sum", "mean", "max", "min", "prod", "all", "any", "cumsum", "cumprod", "clip", "diagonal",
                 "trace", "argsort", "round", "std", "var", "copy", "conj"):
        setattr(ndarray, name, method(name))
    ndarray.dot, ndarray.nonzero = method("dot", blas=True), method("nonzero", waits=True)  # type: ignore[attr-defined]


_add_operators()
_add_methods()
ndarray.__module__ = "cupy"
