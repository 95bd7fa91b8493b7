"""Break the CUDA sources on purpose, and see the tests of this folder fail: a barrier left out, a bound, a sign.

A missing barrier often gives the right numbers on one machine and wrong ones on another. The stand-in runs every launch
with the threads in two orders and compares; this page shows that it sees each barrier that is taken away.
"""
from __future__ import annotations

import re

import numpy as np
import pytest

from minicnn import ops, use_backend
from minicnn.kernels import cuda_source, cupy_fused, cupy_optim, cupy_softmax
from minicnn.kernels.geometry import Geometry

FILES = sorted(path.name for path in cuda_source.FOLDER.glob("*.cu"))
BARRIER = "__syncthreads();"


def layer(cupy):
    """A layer whose slabs and images come in several rounds, whose windows overlap, and one pixel is no number."""
    rng = np.random.default_rng(0)
    x, w, b = (cupy.asarray(rng.normal(size=shape)) for shape in ((3, 9, 8, 8), (17, 9, 3, 3), (17,)))
    x[0, 0, 0, 0] = np.nan
    g = Geometry((1, 1), (1, 1), 1, True, (2, 2), (1, 1), (0, 0), False)
    y, cache = cupy_fused.forward(x, w, b, g)
    return [y, *cupy_fused.backward(cupy.asarray(rng.normal(size=y.shape)), cache)]


def fully_connected(cupy):
    rng = np.random.default_rng(0)
    x, w, dy = (cupy.asarray(rng.normal(size=shape)) for shape in ((40, 70), (35, 70), (40, 35)))
    y, cache = ops.linear(x, w, None)
    return [y, *ops.linear_backward(dy, cache)[:2]]


def loss(cupy):
    rng = np.random.default_rng(0)
    totals, logits = cupy.zeros(2, np.float64), rng.normal(size=(200, 300))
    logits[np.arange(200), (logits.argmax(axis=1) + 128) % 300] = logits.max(axis=1)  # twice, seen by one thread
    labels = cupy.asarray(logits.argmax(axis=1))  # the first: all are hits
    return [cupy_softmax.train_step(cupy.asarray(logits), labels, totals), totals]


def update(cupy):
    rng = np.random.default_rng(0)
    w, g, v = (cupy.asarray(rng.normal(size=4 * 300)) for _ in range(3))
    rows = cupy_optim.Rows([(4, 300)], [1.0], w.dtype)
    rows.update(w, g, v, cupy.asarray(np.array([[0.1, 0.9]])), cupy.zeros(1, np.int64), False, 0.0)
    other = cupy.asarray(rng.normal(size=(4, 300)))
    cupy_optim.limit_norms(other, 1.0)
    return [w, v, other]


USERS = {"conv_forward.cu": layer, "conv_input_gradient.cu": layer, "conv_weight_gradient.cu": layer,
         "gemm.cu": fully_connected, "softmax.cu": loss, "update.cu": update}
BARRIERS = [pytest.param(file, k, id=f"{file}: barrier {k}") for file in FILES
            for k in range(cuda_source.source(file).count(BARRIER))]
MISTAKES = [
    ("conv_forward.cu", "best == best", "true"),
    ("conv_forward.cu", "+ (f < F ? b[f] : real(0))", ""),
    ("conv_input_gradient.cu", "TAPS - 1 - tap", "tap"),
    ("conv_input_gradient.cu", "sum += dy[o]", "sum = dy[o]"),
    ("conv_weight_gradient.cu", "sums[j] += dz[j]", "sums[j] = dz[j]"),
    ("gemm.cu", "k0 + ak < K", "true"),
    ("softmax.cu", "(p - real(k == label)) / N", "p - real(k == label)"),
    ("softmax.cu", "place = min(place, k)", "place = k"),
    ("update.cu", "v[i] * momentum + gi", "v[i] + gi"),
]


def results(cupy, file):
    with use_backend("cupy"):
        return [a.get() for a in USERS[file](cupy)]


def mutate(monkeypatch, file, text):
    really = cuda_source.source
    cuda_source.kernel.cache_clear()
    monkeypatch.setattr(cuda_source, "source", lambda name: text if name == file else really(name))


def noticed(cupy, monkeypatch, file, text):
    """Whether a launch is refused or a number differs when `text` is the source of `file`."""
    monkeypatch.setattr(cupy_fused, "BLOCKS", 1)  # the sum over the batch is not cut into parts
    right = results(cupy, file)
    mutate(monkeypatch, file, text)
    try:
        wrong = results(cupy, file)
    except AssertionError:  # the stand-in: the order of threads decides, or something is written outside an array
        return True
    finally:
        cuda_source.kernel.cache_clear()
    return any(not np.allclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True) for a, b in zip(right, wrong))


def test_every_source_with_a_barrier_is_used_here():
    assert {file for file in FILES if BARRIER in cuda_source.source(file)} == set(USERS)


@pytest.mark.parametrize("file, k", BARRIERS)
def test_a_barrier_that_is_left_out_is_noticed(standin, monkeypatch, file, k):
    text = cuda_source.source(file)
    place = [match.start() for match in re.finditer(re.escape(BARRIER), text)][k]
    assert noticed(standin, monkeypatch, file, text[:place] + " " * len(BARRIER) + text[place + len(BARRIER):])


@pytest.mark.parametrize("file, old, new", MISTAKES)
def test_a_mistake_is_noticed(standin, monkeypatch, file, old, new):
    text = cuda_source.source(file)
    assert text.count(old) == 1, f"{file} has {old!r} {text.count(old)} times: mend this mutant"
    assert noticed(standin, monkeypatch, file, text.replace(old, new))
