"""Device memory of the stand-in: every allocation lies between canaries, and these between pages nobody may touch.

    | guard, 4 MB | canary ... | the array's bytes | canary, 256 to 511 bytes | guard, 4 MB |

A kernel that writes just outside an array changes a canary; one that reads there gets NaN (the canary is 0xff); one
that goes farther meets a guard, which is only addresses without memory, and is stopped. New memory is full of garbage.
"""
from __future__ import annotations

import ctypes
import math
import mmap
from typing import Any

import numpy as np

from tests.fake_cupy.state import state

CANARY, PAGE, GUARD = 256, mmap.PAGESIZE, 4 << 20
_libc = ctypes.CDLL(None)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def _rounded(n: int, to: int) -> int:
    return -(-n // to) * to


class Memory:
    """An allocation: `buffer` is all that may be touched, canaries included; the array begins at `start`."""

    def __init__(self, nbytes: int):
        inside = _rounded(2 * CANARY + _rounded(nbytes, 256), PAGE)
        mapped = mmap.mmap(-1, inside + 2 * GUARD, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        everything = np.frombuffer(mapped, np.uint8)
        for edge in (0, GUARD + inside):
            _libc.mprotect(everything.ctypes.data + edge, GUARD, 0)         # PROT_NONE
        self.buffer = everything[GUARD:GUARD + inside]
        self.start, self.nbytes = inside - CANARY - _rounded(nbytes, 256), nbytes
        self.buffer[:] = 0xFF
        self.buffer[self.start:self.start + nbytes] = 0x7F
        self.ptr = self.buffer.ctypes.data + self.start

    def array(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return the memory as a NumPy array, floats NaN and the others 0x7f in every byte."""
        data: np.ndarray = np.ndarray(shape, dtype, self.buffer, self.start)
        if data.dtype.kind == "f":
            data.fill(np.nan)
        return data


def allocate(shape: tuple[int, ...], dtype: Any) -> tuple[Memory, np.ndarray]:
    """Return new memory and the array in it, from the allocator in use."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {dtype}")
    memory = Memory(math.prod(shape) * dtype.itemsize)
    if state.allocators:
        state.allocators[-1](memory)
    return memory, memory.array(shape, dtype)
