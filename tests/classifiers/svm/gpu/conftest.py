"""What the tests of the machines on a GPU share."""
from __future__ import annotations

import pytest

from classifiers.svm.gpu import plan as cupy_plan
from classifiers.svm.gpu.plan import Shape


@pytest.fixture
def device(cupy, monkeypatch):
    """CuPy or its stand-in, with blocks of 64 threads, whose registers hold 64 samples: emulated threads are slow."""
    monkeypatch.setattr(cupy_plan, "_SHAPES", (Shape(64, 1), Shape(64, 0)))
    return cupy
