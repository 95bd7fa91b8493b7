"""Every version of every operation against torch's float64 answers, kept in files: see make_golden.py."""
from __future__ import annotations

import importlib
import json

import numpy as np
import pytest

from minicnn import ops
from minicnn.backend import use_backend

from .versions import GOLDEN, VERSIONS, assert_close, call


def load():
    """Return {"operation-case": (operation, arrays of the case)} of all golden files."""
    found = {}
    for path in sorted(GOLDEN.glob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            for key in file.files:
                name, _, array = key.partition("/")
                found.setdefault(f"{path.stem}-{name}", (path.stem, {}))[1][array] = file[key]
    return found


CASES = load()


class Replay(np.random.Generator):
    """A generator that returns the recorded uniform numbers, one by one or all at once."""

    def __init__(self, uniform):
        super().__init__(np.random.PCG64(0))
        self.left = uniform.ravel()

    def random(self, size=None, dtype=np.float64, out=None):
        assert dtype == np.float32
        count = int(np.prod(size)) if size is not None else 1
        taken, self.left = self.left[:count], self.left[count:]
        return taken[0] if size is None else taken.reshape(size)


@pytest.fixture
def device(version):
    """Return what moves an array to where `version` computes."""
    if version != "cupy":
        return np.asarray
    try:
        with use_backend("cupy"):
            return importlib.import_module("cupy").asarray
    except ImportError as error:
        pytest.skip(str(error))


def on_host(array):
    return array.get() if hasattr(array, "get") else array


def test_every_operation_has_a_golden_file():
    backward = {name for name in ops.__all__ if name.endswith("_backward") and "_loops" not in name}
    operations = {name.removesuffix("_backward") for name in backward} | {"im2col"}
    assert {operation for operation, _ in CASES.values()} == operations


@pytest.mark.parametrize("version", [*VERSIONS, pytest.param("cupy", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("operation, golden", CASES.values(), ids=CASES)
def test_golden(operation, golden, dtype, version, device):
    arrays = {name: device(a.astype(dtype) if a.dtype == np.float64 else a) for name, a in golden.items()
              if name != "options"}
    options = json.loads(str(golden["options"]))
    if operation == "softmax_cross_entropy":
        loss, cache = call(version, operation, arrays["logits"], arrays["labels"])
        y, expected = np.asarray(loss, dtype), golden["loss"]
        assert_close(on_host(cache.probabilities), golden["probabilities"], "probabilities", dtype)
        gradients = {"dlogits": call(version, f"{operation}_backward", cache)}
    elif operation == "im2col":
        y, expected = call(version, operation, arrays["x"], **options), golden["y"]
        gradients = {"dx": call(version, "col2im", arrays["dy"], arrays["x"].shape, **options)}
    else:
        inputs = [arrays[name] for name in ("x", "w", "b") if name in arrays]
        if operation in ("conv2d", "linear") and "b" not in arrays:
            inputs.append(None)
        if operation == "dropout":
            options["rng"] = Replay(golden["uniform"])
        y, cache = call(version, operation, *inputs, **options)
        expected = golden["y"]
        result = call(version, f"{operation}_backward", arrays["dy"], cache)
        gradients = dict(zip(("dx", "dw", "db"), result if isinstance(result, tuple) else (result,)))
    assert_close(on_host(y), expected, "y", dtype)
    for name, gradient in gradients.items():
        assert (gradient is None) == (name not in golden)
        if gradient is not None:
            assert_close(on_host(gradient), golden[name], name, dtype)
