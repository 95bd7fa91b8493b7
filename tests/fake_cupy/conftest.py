"""What the tests of the stand-in share."""
from __future__ import annotations

import numpy as np
import pytest

cp = pytest.fixture(lambda standin: standin)        # as short as people write it


@pytest.fixture
def x(cp):
    """Twelve numbers."""
    return cp.asarray(np.arange(12, dtype="f4").reshape(3, 4))


@pytest.fixture
def xy(cp):
    """64 numbers, and room for 64."""
    return cp.arange(64, dtype="f4"), cp.zeros(64, "f4")


@pytest.fixture
def launch(cp):
    """A function that runs a kernel, given as the lines between its braces, on some arrays."""
    def run(body, *args, parameters="const float* x, float* y", grid=1, block=64, before=""):
        code = f'{before}\nextern "C" __global__ void k({parameters}) {{\n{body}\n}}'
        cp.RawModule(code=code, options=("-DN=64",)).get_function("k")((grid,), (block,), args)
    return run
