"""The NVIDIA GPU behind ``backend="cupy"``: CuPy itself, the kernels in ``*.cu``, and how much memory there is.

CuPy is imported by the first call that needs it, never with the package, which has to work where there is none. A
device that is asked for and is not there is an error with the command that installs it, never a silent fallback.

The kernels are CUDA C, compiled when they are first needed, with their sizes as constants (``-DTHREADS=128``): so loops
over them unroll, and arrays of that many numbers live in registers. CuPy compiles with NVRTC and keeps the results on
disk, where a second process finds them.
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minicnn.plumbing import cuda

__all__ = ["free_bytes", "kernel", "load_cupy"]

_FOLDER = Path(__file__).parent


def load_cupy() -> Any:
    """Return the module ``cupy``, if it can run here.

    Raises
    ------
    ImportError
        It is not installed, or sees no device; the message holds the install command.
    """
    try:
        return cuda.load_cupy()
    except ImportError as error:
        raise ImportError(f"backend='cupy' is not available: {error}; or use backend='numba'") from error


def kernel(file: str, name: str, **constants: Any) -> Callable[..., None]:
    """Return kernel `name` of `file`, compiled with `constants`; it is called as (grid, block, arguments)."""
    return _compiled(load_cupy(), file, name, tuple(sorted(constants.items())))


@functools.cache
def _compiled(cupy: Any, file: str, name: str, constants: tuple[tuple[str, Any], ...]) -> Callable[..., None]:
    return cuda.compiled(cupy, (_FOLDER / file).read_text("utf-8"), name, {"real": "float", **dict(constants)})


def free_bytes(cupy: Any) -> int:
    """Return how much memory of the device this process may still take.

    That is what no process uses, and what CuPy's pool holds without using it; less, if the pool was given a limit
    (``cupy.get_default_memory_pool().set_limit(size=...)``), by which a user leaves room for others.
    """
    pool = cupy.get_default_memory_pool()
    free = cupy.cuda.runtime.memGetInfo()[0] + pool.free_bytes()
    return int(min(free, pool.get_limit() - pool.used_bytes()) if pool.get_limit() else free)
