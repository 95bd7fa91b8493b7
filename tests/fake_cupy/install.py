"""The modules `cupy` and `cupyx` of the stand-in, put where ``import cupy`` finds them."""
from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest

from tests.cuda_emulator import compiling
from tests.fake_cupy import arrays, cuda, functions, kernels, transfers
from tests.fake_cupy.state import state

_FROM_NUMPY = """
    float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool_ complex64 complex128 intp uintp
    inf nan pi e newaxis dtype finfo iinfo can_cast promote_types issubdtype isscalar generic number integer floating
    broadcast_shapes
"""
_NOT_HERE = "ElementwiseKernel ReductionKernel fuse random fft sparse".split()


class _Cupy(types.ModuleType):
    """The module, with the counters as attributes that can be read and set.

    ``cupy.launches``: kernels and graphs that were launched. ``cupy.synchronisations``: times the host waited for the
    device. ``cupy.orders``: in which orders the threads of each launch run, of ascending, descending and shuffled.
    """

    launches = property(lambda self: state.launches, lambda self, value: setattr(state, "launches", value))
    synchronisations = property(lambda self: state.synchronisations,
                                lambda self, value: setattr(state, "synchronisations", value))
    orders = property(lambda self: state.orders, lambda self, value: setattr(state, "orders", tuple(value)))

    def __getattr__(self, name: str) -> Any:
        if name in _NOT_HERE:
            raise NotImplementedError(f"CuPy has cupy.{name}, the stand-in does not")
        raise AttributeError(f"module 'cupy' (the stand-in of the tests) has no attribute {name!r}; if CuPy has it, "
                             "add it to tests/fake_cupy")


def modules() -> dict[str, types.ModuleType]:
    """Return the modules of the stand-in by name."""
    cupy = _Cupy("cupy")
    cupy.__version__ = "13.0.0"     # type: ignore[attr-defined]
    for name in _FROM_NUMPY.split():
        setattr(cupy, name, getattr(np, name))
    for name, function in functions.FUNCTIONS.items():
        if name not in ("as_strided", "sliding_window_view"):
            setattr(cupy, name, function)
    cupy.__dict__.update(
        ndarray=arrays.ndarray, ufunc=functions.UFunc, RawModule=kernels.RawModule, RawKernel=kernels.RawKernel,
        linalg=types.SimpleNamespace(**functions.LINALG, LinAlgError=np.linalg.LinAlgError), is_available=lambda: True,
        get_default_memory_pool=lambda: cuda.default_memory_pool,
        get_default_pinned_memory_pool=lambda: cuda.default_pinned_memory_pool)
    cupy.__dict__["lib"] = types.SimpleNamespace(stride_tricks=types.SimpleNamespace(
        as_strided=functions.as_strided, sliding_window_view=functions.sliding_window_view))

    part = types.ModuleType("cupy.cuda")
    part.__dict__.update({name: getattr(cuda, name) for name in (
        "Device", "Stream", "Event", "Graph", "MemoryPool", "get_current_stream", "get_elapsed_time", "using_allocator",
        "set_allocator", "runtime")}, is_available=lambda: True, alloc_pinned_memory=transfers.alloc_pinned_memory,
        compiler=types.SimpleNamespace(CompileException=compiling.CompileException))
    cupy.__dict__["cuda"] = part

    cupyx = types.ModuleType("cupyx")
    cupyx.__dict__.update(empty_pinned=transfers.empty_pinned)
    return {"cupy": cupy, "cupy.cuda": part, "cupyx": cupyx}


def forget_kernels() -> None:
    """Clear what minicnn and classifiers keep of a module cupy: compiled kernels, and what replaces which operation."""
    for name, module in list(sys.modules.items()):
        package, _, page = name.partition(".")
        if package in ("minicnn", "classifiers") and page.rpartition(".")[2].startswith(("cupy", "cuda", "backend")):
            for value in list(vars(module).values()):
                if getattr(value, "__module__", None) == name and hasattr(value, "cache_clear"):
                    value.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make ``import cupy`` give the stand-in for the length of a test; return it, its counters at 0."""
    state.reset()
    found = modules()
    for name, module in found.items():
        monkeypatch.setitem(sys.modules, name, module)
    return found["cupy"]
