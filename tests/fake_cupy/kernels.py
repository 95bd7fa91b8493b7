"""`cupy.RawModule` and `cupy.RawKernel`: kernels that run on the CPU, and are watched while they do.

Each launch runs once for each order of threads in ``state.orders``, from the same memory, and must leave the same
bytes: a missing ``__syncthreads`` rarely survives that. Nothing may change outside the arrays that the kernel got.
"""
from __future__ import annotations

import ctypes
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.cuda_emulator.compiling import Compiled, Parameter, check_options, compile_kernels
from tests.fake_cupy.arrays import ndarray
from tests.fake_cupy.memory import Memory
from tests.fake_cupy.state import ORDERS, KernelError, execute, state


class RawModule:
    """CUDA source with constants, compiled when a kernel is first asked for."""

    def __init__(self, *, code: str | None = None, path: str | None = None, options: tuple[str, ...] = (),
                 backend: str = "nvrtc", name_expressions: Any = None, **other: Any):
        if code is None or path is not None or name_expressions is not None or any(other.values()):
            raise NotImplementedError("the stand-in's RawModule takes code= and options= only")
        check_options(options)
        self.code, self.options, self.backend = code, options, backend

    def get_function(self, name: str) -> RawKernel:
        """Return the kernel `name`, declared ``extern "C" __global__ void``."""
        return RawKernel(self.code, name, self.options, self.backend)

    def compile(self, log_stream: Any = None) -> None:
        """Compile now."""
        compile_kernels(self.code, self.options)


class RawKernel:
    """A kernel; call it with grid, block and arguments."""

    def __init__(self, code: str, name: str, options: tuple[str, ...] = (), backend: str = "nvrtc", **other: Any):
        if any(other.values()):
            raise NotImplementedError("the stand-in's RawKernel takes code, name and options only")
        check_options(options)
        self.code, self.name, self.options, self.backend = code, name, options, backend
        kernels = compile_kernels(code, options)
        if name not in kernels:
            raise RuntimeError(f"CUDA_ERROR_NOT_FOUND: named symbol not found: {name}; the source has "
                               f"{', '.join(kernels)}")
        self._compiled = kernels[name]

    def compile(self, log_stream: Any = None) -> None:
        """Do nothing: it is compiled."""

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: Any, *, shared_mem: int = 0,
                 stream: Any = None) -> None:
        if shared_mem:
            raise NotImplementedError("shared_mem: the emulator has no dynamic shared memory")
        dims = (ctypes.c_uint * 6)(*_extents(self.name, "grid", grid, (2**31 - 1, 65535, 65535)),
                                   *_extents(self.name, "block", block, (1024, 1024, 64)))
        if dims[3] * dims[4] * dims[5] > 1024:
            raise ValueError(f"kernel {self.name}: block {block} has more than 1024 threads")
        launch = _Launch(self._compiled, dims, args)
        execute(self.name, launch.run, *(a._memory for a in args if isinstance(a, ndarray)), stream=stream)


def _extents(kernel: str, name: str, value: Any, limits: tuple[int, int, int]) -> tuple[int, ...]:
    if not isinstance(value, tuple) or not 1 <= len(value) <= 3 or not all(type(v) is int for v in value):
        raise TypeError(f"kernel {kernel}: {name}={value!r}: expected a tuple of one to three Python integers")
    value = (*value, 1, 1)[:3]
    if not all(1 <= v <= limit for v, limit in zip(value, limits)):
        raise ValueError(f"kernel {kernel}: {name}={value}: expected 1 to {limits} (CuPy takes 0 for 1)")
    return value


@dataclass(frozen=True)
class _Array:
    """An array among the arguments: `number` of the argument, address, size, and which buffer it lies in.

    Not the array itself: a graph that holds it would keep its memory alive, as no graph of CUDA does.
    """

    parameter: Parameter
    number: int
    ptr: int
    nbytes: int
    buffer: int

    def overlaps(self, other: _Array) -> bool:
        """Return whether the two share bytes."""
        return self.ptr < other.ptr + other.nbytes and other.ptr < self.ptr + self.nbytes


class _Launch:
    """One launch with its arguments: checked when it is made, run now or by a graph."""

    def __init__(self, kernel: Compiled, dims: Any, args: Any):
        self.kernel, self.dims = kernel, dims
        if not isinstance(args, (tuple, list)):
            raise TypeError(f"kernel {kernel.name}: args is a {type(args).__name__}: expected a tuple")
        if len(args) != len(kernel.parameters):
            raise TypeError(f"kernel {kernel.name} takes {len(kernel.parameters)} arguments, "
                            f"({', '.join(p.name for p in kernel.parameters)}), but got {len(args)}")
        self.packed = [_packed(kernel.name, p, a) for p, a in zip(kernel.parameters, args)]
        arrays = [(k, a) for k, a in enumerate(args) if isinstance(a, ndarray) and a.size]
        memories = {id(a._memory): a._memory for _, a in arrays}
        self.buffers = [m.buffer for m in memories.values()]
        numbers = {key: number for number, key in enumerate(memories)}
        self.arrays = [_Array(kernel.parameters[k], k, a.data.ptr, a.nbytes, numbers[id(a._memory)]) for k, a in arrays]

    def run(self) -> None:
        """Run the kernel in each order of threads, and compare."""
        before = [buffer.copy() for buffer in self.buffers]
        first: list[np.ndarray] = []
        for order in state.orders:
            if error := self._run_once(before, self.packed, order):
                raise KernelError(f"kernel {self.kernel.name}: {error}")
            self._check_outside(before)
            first = first or [buffer.copy() for buffer in self.buffers]
            self._check_same(first, order)
        self._check_restrict(before, first)

    def _run_once(self, before: list[np.ndarray], packed: list[np.ndarray], order: str) -> str:
        """Run the kernel on memory as it was; return what went wrong."""
        for buffer, bytes_before in zip(self.buffers, before):
            buffer[:] = bytes_before
        pointers = (ctypes.c_void_p * max(1, len(packed)))(*(p.ctypes.data for p in packed))
        error = self.kernel.launch(pointers, self.dims, ORDERS.index(order))
        return error.decode() if error else ""

    def _check_outside(self, before: list[np.ndarray]) -> None:
        """Raise if a byte changed that lies in no array the kernel may write."""
        for number, (buffer, bytes_before) in enumerate(zip(self.buffers, before)):
            changed, base = buffer != bytes_before, buffer.ctypes.data
            mine = [a for a in self.arrays if a.buffer == number]
            for a in mine:
                if not a.parameter.is_const:
                    changed[a.ptr - base:a.ptr - base + a.nbytes] = False
            if not changed.any():
                continue
            where = base + int(np.flatnonzero(changed)[0])
            distances = [where - a.ptr if where < a.ptr else max(0, where - a.ptr - a.nbytes + 1) for a in mine]
            nearest = min(range(len(mine)), key=lambda k: abs(distances[k]))
            distance, name = distances[nearest], mine[nearest].parameter.name
            side = f"{abs(distance)} byte(s) {'before' if distance < 0 else 'behind'}" if distance else "in the const"
            raise KernelError(f"kernel {self.kernel.name}: wrote outside its arrays, {side} argument {name}")

    def _check_same(self, first: list[np.ndarray], order: str) -> None:
        """Raise if the memory is not what the first order left."""
        for number, (buffer, expected) in enumerate(zip(self.buffers, first)):
            if (different := np.flatnonzero(buffer != expected)).size:
                position = buffer.ctypes.data + int(different[0])
                name, byte = next((a.parameter.name, position - a.ptr) for a in self.arrays
                                  if a.buffer == number and a.ptr <= position < a.ptr + a.nbytes)
                raise KernelError(f"kernel {self.kernel.name} depends on the order of threads: {state.orders[0]} and "
                                  f"{order} differ in {len(different)} bytes, first at byte {byte} of {name}")

    def _check_restrict(self, before: list[np.ndarray], expected: list[np.ndarray]) -> None:
        """Raise where an array is written, another parameter reaches it too, and one of the two says restrict.

        An array may stand in for one that the kernel does not touch: with garbage there, the result is the same.
        """
        for a, b in itertools.combinations(self.arrays, 2):
            p, q = a.parameter, b.parameter
            if a.overlaps(b) and not (p.is_const and q.is_const) and (p.is_restrict or q.is_restrict) \
                    and self._touches(a, before, expected) and self._touches(b, before, expected):
                raise KernelError(f"kernel {self.kernel.name}: {p.name} and {q.name} overlap, one of them is written, "
                                  "and one of them is declared __restrict__")

    def _touches(self, array: _Array, before: list[np.ndarray], expected: list[np.ndarray]) -> bool:
        """Return whether the kernel reads or writes through this argument; leave the memory as the launch did."""
        memory = Memory(array.nbytes)
        untouched = memory.buffer.copy()
        packed = list(self.packed)
        packed[array.number] = np.array([memory.ptr], np.uint64)
        error = self._run_once(before, packed, state.orders[0])
        same = all(np.array_equal(buffer, bytes_) for buffer, bytes_ in zip(self.buffers, expected))
        for buffer, bytes_ in zip(self.buffers, expected):
            buffer[:] = bytes_
        return bool(error) or not same or not np.array_equal(memory.buffer, untouched)


def _packed(kernel: str, parameter: Parameter, argument: Any) -> np.ndarray:
    """Return the bytes of an argument, if it is of the parameter's type."""
    where = f"kernel {kernel}, parameter {parameter.name}"
    if parameter.is_pointer:
        if argument is None:
            return np.zeros(1, np.uint64)
        if not isinstance(argument, ndarray):
            raise TypeError(f"{where}: expected a cupy.ndarray, got a {type(argument).__module__}."
                            f"{type(argument).__name__}")
        if parameter.number not in ("any", argument.dtype.str[1:]):
            raise TypeError(f"{where}: points to {parameter.number}, but the array has dtype {argument.dtype}")
        if not argument.flags.c_contiguous:
            raise TypeError(f"{where}: the array is not contiguous: shape {argument.shape}, strides {argument.strides}")
        if argument.size and argument.data.ptr % parameter.alignment:
            raise TypeError(f"{where}: the array is not aligned to {parameter.alignment} bytes")
        return np.array([argument.data.ptr], np.uint64)
    if not isinstance(argument, np.generic):
        raise TypeError(f"{where}: expected a NumPy scalar of type {parameter.number}, got a "
                        f"{type(argument).__name__}; CuPy would guess its width")
    if argument.dtype.str[1:] != parameter.number:
        raise TypeError(f"{where}: is a {parameter.number}, but the argument is a {argument.dtype}")
    return np.array([argument])
