"""The backend switch: which code runs where, and what is said when it cannot."""
from __future__ import annotations

import os
import subprocess
import sys
import threading
import types

import numpy as np
import pytest

from minicnn import backend, ops
from minicnn.backend import array_module, as_floating, get_backend, operation, pair, set_backend, use_backend


@pytest.fixture(autouse=True)
def restore_default(monkeypatch):
    """`set_backend` is for the whole process: put back what was there."""
    monkeypatch.setattr(backend, "_default", backend._default)


@pytest.fixture
def fake_cupy(monkeypatch):
    """A stand-in for the module cupy, with one device, and an array class of its own."""
    cupy = types.ModuleType("cupy")
    cupy.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=lambda: 1))
    attributes = {"__module__": "cupy", "dtype": np.dtype("f4"), "ndim": 1, "shape": (3,)}
    cupy.ndarray = type("ndarray", (), attributes)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy


@pytest.mark.parametrize("switch", [set_backend, lambda name: use_backend(name).__enter__()])
def test_an_unknown_name_lists_the_known_ones(switch):
    with pytest.raises(ValueError, match="unknown backend 'torch': expected one of numpy, numba, cupy"):
        switch("torch")


@pytest.mark.parametrize("name", ["cupy", "numba"])
def test_a_missing_library_is_an_error_with_its_install_command(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)  # what Python does for a module that must not be found
    set_backend("numpy")
    message = rf"backend '{name}' is not available: .*\. Install it with: pip install .*{name}"
    with pytest.raises(ImportError, match=message):
        set_backend(name)
    assert get_backend() == "numpy"  # no silent change, and none to a third backend either


def test_cupy_without_a_device_and_with_a_broken_driver(fake_cupy):
    fake_cupy.cuda.runtime.getDeviceCount = lambda: 0
    with pytest.raises(ImportError, match=r"CuPy sees no CUDA device.*pip install cupy"):
        set_backend("cupy")

    def broken():
        raise RuntimeError("cudaErrorInsufficientDriver")

    fake_cupy.cuda.runtime.getDeviceCount = broken
    with pytest.raises(ImportError, match=r"cudaErrorInsufficientDriver.*pip install cupy"):
        set_backend("cupy")


def test_set_backend_lasts_and_use_backend_ends_with_its_block():
    set_backend("numba")
    with use_backend("numpy"):
        assert get_backend() == "numpy"
        with use_backend("numba"):
            assert get_backend() == "numba"
        assert get_backend() == "numpy"
    with pytest.raises(KeyError), use_backend("numpy"):
        raise KeyError  # an exception leaves the block too
    assert get_backend() == "numba"
    set_backend("numpy")
    assert get_backend() == "numpy"


def test_use_backend_is_seen_by_its_own_thread_only():
    set_backend("numba")
    seen = []
    with use_backend("numpy"):
        thread = threading.Thread(target=lambda: seen.append(get_backend()))
        thread.start()
        thread.join()
    assert seen == ["numba"]


@pytest.mark.parametrize("value, expected", [(None, "numba"), ("numpy", "numpy")])
def test_the_environment_chooses_for_the_process(value, expected):
    environment = {k: v for k, v in os.environ.items() if k != "MINICNN_BACKEND"}
    environment |= {} if value is None else {"MINICNN_BACKEND": value}
    code = "from minicnn.backend import get_backend; print(get_backend())"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True,
                          check=True)
    assert done.stdout.strip() == expected


def test_a_wrong_name_in_the_environment_is_an_error(monkeypatch):
    monkeypatch.setattr(backend, "_default", None)
    monkeypatch.setenv("MINICNN_BACKEND", "gpu")
    with pytest.raises(ValueError, match="unknown backend 'gpu'"):
        get_backend()


def test_an_operation_runs_its_kernel_only_on_that_backend(monkeypatch):
    def double(x, times=2):
        return "vectorised", x, times

    def kernel(x, times=2):
        return "kernel", x, times

    double.__module__ = "minicnn.ops.twice"  # its kernels would live in minicnn.kernels.<backend>_twice
    kernels = {("numba", "twice", "double"): kernel}
    monkeypatch.setattr(backend, "_kernel", lambda *where: kernels.get(where))
    doubled = operation(lambda x, times: (x + 1, times))(double)
    with use_backend("numpy"):
        assert doubled(1) == ("vectorised", 2, 2)  # validated, defaults filled in
        assert doubled(times=3, x=1) == ("vectorised", 2, 3)
    with use_backend("numba"):
        assert doubled(1) == ("kernel", 2, 2)
    assert doubled.vectorised is double and doubled.__name__ == "double"
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        doubled()


def test_kernels_are_found_by_page_and_name():
    kernel = backend._kernel("numba", "softmax", "softmax_cross_entropy_backward")
    assert kernel.__module__ == "minicnn.kernels.numba_softmax"
    assert backend._kernel("numba", "softmax", "softmax_cross_entropy") is None  # the page has others
    assert backend._kernel("numba", "linear", "linear") is None  # the page has none


def test_an_array_of_the_wrong_library_is_refused_not_copied(fake_cupy):
    device_array = fake_cupy.ndarray()
    for name in ("numpy", "numba"):
        message = rf"x is a cupy.ndarray, but backend '{name}' takes NumPy arrays: .*cupy.asnumpy"
        with use_backend(name), pytest.raises(TypeError, match=message):
            as_floating(device_array, "x")
    with use_backend("cupy"):
        message = r"x is a numpy.ndarray, but backend 'cupy' takes CuPy arrays: .*cupy.asarray"
        with pytest.raises(TypeError, match=message):
            as_floating(np.ones(3), "x")
        assert as_floating(device_array, "x", 1) is device_array


def test_array_module(fake_cupy):
    assert array_module(np.ones(2)) is np
    assert array_module([1, 2]) is np
    assert array_module(fake_cupy.ndarray()) is fake_cupy
    elsewhere = type("ndarray", (), {"__module__": "cupyx_lookalike"})
    assert array_module(elsewhere()) is np


@pytest.mark.parametrize("value, dtype", [([1, 2], "f4"), ([True], "f4"), (np.arange(3, dtype="u1"), "f4"),
                                          (np.ones(2, "f4"), "f4"), (np.ones(2), "f8"), ([0.5], "f8")])
def test_as_floating_makes_integers_float32_and_keeps_floats(value, dtype):
    array = as_floating(value, "x")
    assert array.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(array, value)
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        assert array is value


@pytest.mark.parametrize("value", [np.ones(2, complex), np.ones(2, "f2"), np.array(["a"]), np.array([None]),
                                   np.ones(2, np.longdouble)])
def test_as_floating_refuses_other_dtypes(value):
    with pytest.raises(TypeError, match=f"logits has dtype {value.dtype}: expected float32.*or float64"):
        as_floating(value, "logits")


def test_as_floating_counts_axes():
    assert as_floating(1.5, "x", 0).shape == ()
    with pytest.raises(ValueError, match=r"x has shape \(2, 3\): expected 4 axes"):
        as_floating(np.ones((2, 3)), "x", 4)


@pytest.mark.parametrize("value, expected", [(2, (2, 2)), ((2, 3), (2, 3)), ([2, 3], (2, 3)),
                                             (np.int64(4), (4, 4)), (np.array([1, 2]), (1, 2))])
def test_pair(value, expected):
    result = pair(value, "size", 1)
    assert result == expected and all(type(v) is int for v in result)


@pytest.mark.parametrize("value", [1.0, "3", None, (1,), (1, 2, 3), (1, 2.5), (1, True), True])
def test_pair_refuses_what_is_not_one(value):
    with pytest.raises(ValueError, match=r"size=.*: expected an integer or a \(height, width\) pair"):
        pair(value, "size", 1)


def test_pair_refuses_what_is_too_small():
    with pytest.raises(ValueError, match=r"size=\(1, 0\): expected values not less than 1"):
        pair((1, 0), "size", 1)


def test_operations_keep_to_the_backend_of_their_arrays(fake_cupy):
    with use_backend("cupy"), pytest.raises(TypeError, match=r"numpy.ndarray, but backend 'cupy' takes"):
        ops.linear(np.ones((1, 2)), np.ones((1, 2)), None)
