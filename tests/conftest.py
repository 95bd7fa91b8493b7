"""What every test shares: reproducible hypothesis runs, and torch where it is installed."""
from __future__ import annotations

import importlib
import os

# Idle OpenMP threads spin by default, which is fast on a quiet machine; on a busy one, such as a CI worker, each
# small parallel kernel then waits for a time slice. Must be set before Numba starts its threads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import signal

import hypothesis
import pytest

import minicnn
from tests.fake_cupy import install

# A shell ignores Ctrl-C for what it starts in the background, and processes hand that on to those they start. The
# tests that send it to a process of their own need it heard.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

collect_ignore = ["ops/make_golden.py"]  # a script that needs torch, not a page with examples

# derandomize: the same examples in every run and for every parameter of a test, so a red test stays red until
# it is mended. No deadline: the first example of a test pays for Numba's compilation.
hypothesis.settings.register_profile("minicnn", derandomize=True, deadline=None)
hypothesis.settings.load_profile("minicnn")


@pytest.fixture(scope="session")
def torch():
    """The module torch, our reference; tests that need it are skipped where it is absent."""
    module = pytest.importorskip("torch", reason="torch is not installed (pip install torch==2.13.0); "
                                                 "tests/ops/golden holds some of its answers")
    module.set_num_threads(1)  # on arrays this small, waking threads takes longer than the work
    return module


@pytest.fixture
def standin(monkeypatch):
    """`tests.fake_cupy` as the module cupy: without a GPU, but with counters of launches and synchronisations."""
    install.forget_kernels()
    yield install.install(monkeypatch)
    install.forget_kernels()


@pytest.fixture(params=["stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def cupy(request):
    """The module cupy: the stand-in, and CuPy itself where there is a GPU."""
    if request.param == "stand-in":
        return request.getfixturevalue("standin")
    try:
        module = importlib.import_module("cupy")
        devices = module.cuda.runtime.getDeviceCount()
    except Exception as error:  # a driver that is missing raises CuPy's own errors, not ImportError
        pytest.skip(f"no NVIDIA GPU: {error}")
    if devices < 1:
        pytest.skip("no NVIDIA GPU: CuPy sees no CUDA device")
    return module


@pytest.fixture
def numpy_backend():
    """The readable code: tests of what surrounds the kernels neither wait for a compiler nor depend on one."""
    with minicnn.use_backend("numpy"):
        yield
