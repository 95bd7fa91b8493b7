"""Copies between host and device, and pinned memory.

Copies that do not wait are done late: one to the host when the host next waits, and pinned memory that the host changes
while the device may still copy from it is an error.
"""
from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from tests.fake_cupy.computing import Array
from tests.fake_cupy.state import KernelError, execute, state, synchronise

_pinned: dict[int, int] = {}        # address and bytes of the arrays that `empty_pinned` made


def empty_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    """Return an array of the host in pinned memory."""
    array: np.ndarray = np.empty(shape, dtype, order)       # type: ignore[call-overload]
    _pinned[array.ctypes.data] = array.nbytes
    weakref.finalize(array, _pinned.pop, array.ctypes.data, None)
    return array


def alloc_pinned_memory(size: int) -> np.ndarray:
    """Return pinned memory, for `numpy.frombuffer`."""
    return empty_pinned(size, np.uint8)


def _is_pinned(array: np.ndarray) -> bool:
    address = array.ctypes.data
    return any(start <= address < start + size for start, size in _pinned.items())


def copy_to_host(array: Array, stream: Any, order: str, out: np.ndarray | None, blocking: bool) -> np.ndarray:
    """As `cupy.ndarray.get`."""
    if out is None:
        host = np.empty(array._data.shape, array._data.dtype, order)    # type: ignore[call-overload]
    elif not isinstance(out, np.ndarray) or out.dtype != array._data.dtype or out.shape != array._data.shape:
        raise TypeError(f"out is not a numpy.ndarray of dtype {array._data.dtype} and shape {array._data.shape}")
    else:
        host = out
    if blocking:
        synchronise("get")
        host[...] = array._data
        return host

    device = array._data

    def enqueue() -> None:
        data = device.copy()
        host.fill(np.nan if host.dtype.kind == "f" else np.iinfo(host.dtype).max if host.dtype.kind in "iu" else 1)
        state.pending.append(lambda: np.copyto(host, data))
    execute("get", enqueue, array._memory, stream=stream)
    state.launches -= state.capture is None                 # a copy is not a kernel
    return host


def copy_from_host(array: Array, host: np.ndarray, stream: Any) -> None:
    """As `cupy.ndarray.set`."""
    if not isinstance(host, np.ndarray):
        raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
    if array._data.dtype != host.dtype:
        raise TypeError(f"{host.dtype} array cannot be set to {array._data.dtype} array")
    if array._data.shape != host.shape:
        raise ValueError(f"Shape mismatch. Old shape: {array._data.shape}, new shape: {host.shape}")
    if not array._data.flags.c_contiguous:
        raise RuntimeError("Cannot set to non-contiguous array")
    if not _is_pinned(host):
        if state.capture is not None:
            synchronise("a copy from memory that is not pinned")
        array._data[...] = host
        return

    device = array._data

    def enqueue() -> None:
        sent = host.copy()
        device[...] = sent

        def complete() -> None:
            if host.tobytes() != sent.tobytes():
                raise KernelError("the host changed pinned memory while the device may still have copied from it")
        state.pending.append(complete)
    execute("set", enqueue, array._memory, stream=stream)
    state.launches -= state.capture is None
