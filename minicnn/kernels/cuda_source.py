"""Where the CUDA kernels come from: sources in ``kernels/cuda``, compiled for the sizes of a layer when first needed.

A kernel's sizes are constants of its source (``-DKH=5``), not arguments: loops over them unroll, and a division by
one of them becomes a multiplication. CuPy compiles with NVRTC and keeps the results on disk, so a second process finds
them there.
"""
from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.plumbing.cuda import compiled

FOLDER = Path(__file__).parent / "cuda"
LIMIT = 2**31  # elements of an array that a kernel's 32-bit positions can reach

Kernel = Callable[..., None]


@functools.cache
def source(file: str) -> str:
    """Return the text of ``cuda/<file>`` with what it includes in its place.

    Examples
    --------
    >>> "__global__" in source("conv_forward.cu"), '#include "' in source("conv_forward.cu")
    (True, False)
    """
    text = (FOLDER / file).read_text("utf-8")
    return re.sub(r'^#include "(.+)"$', lambda match: source(match[1]), text, flags=re.MULTILINE)


@functools.cache
def kernel(file: str, name: str, **constants: Any) -> Kernel:
    """Return kernel `name` of ``cuda/<file>``, compiled with ``constants``: called as ``(grid, block, arguments)``."""
    import cupy

    return compiled(cupy, source(file), name, constants)


def real(dtype: Any) -> str:
    """Return the C type of the numbers of an array: the constant ``real`` of every source.

    Examples
    --------
    >>> real(np.float32)
    'float'
    """
    return {"float32": "float", "float64": "double"}[np.dtype(dtype).name]


def blocks(elements: int, threads: int) -> tuple[int]:
    """Return the grid of a kernel that has one thread for each element."""
    return (-(-elements // threads),)
