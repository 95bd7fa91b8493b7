"""One way to call each version of an operation, and one measure of how far two results lie apart."""
from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np

from minicnn import ops
from minicnn.backend import use_backend

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = ("loops", "numpy", "numba")
TOLERANCE = {"float64": 1e-10, "float32": 1e-4}


def loops_name(name):
    """conv2d -> conv2d_loops, conv2d_backward -> conv2d_loops_backward."""
    return name.removesuffix("_backward") + "_loops" + ("_backward" if name.endswith("_backward") else "")


def call(version, name, *args, **kwargs):
    """Call operation `name`, such as "conv2d_backward": its loops, or what a backend puts in its place."""
    if version == "loops":
        page = importlib.import_module(getattr(ops, name).__module__)
        return getattr(page, loops_name(name))(*args, **kwargs)
    with use_backend(version):
        return getattr(ops, name)(*args, **kwargs)


def draw(rng, shape, dtype):
    """Random numbers whose sums keep their relative precision in `dtype`.

    A sum of both signs may nearly cancel, and a relative error then says nothing; float64 has digits to spare
    for that, float32 gets positive numbers.
    """
    numbers = rng.normal(size=shape) if np.dtype(dtype) == np.float64 else rng.uniform(0.1, 1, shape)
    return numbers.astype(dtype)


def assert_close(actual, expected, what, dtype):
    """Same shape and dtype, and max |actual - expected| / max |expected| below the tolerance of `dtype`."""
    expected = np.asarray(expected)
    assert actual.shape == expected.shape, f"{what} has shape {actual.shape}, reference {expected.shape}"
    assert actual.dtype == np.dtype(dtype), f"{what} has dtype {actual.dtype}, expected {dtype}"
    scale = np.abs(expected).max(initial=0) or 1
    error = np.abs(actual - expected).max(initial=0) / scale
    assert error < TOLERANCE[str(np.dtype(dtype))], f"{what}: relative error {error:.2e}"  # NaN fails
