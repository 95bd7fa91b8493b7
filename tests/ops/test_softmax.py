"""Softmax cross-entropy: against torch, by hand, version against version, extreme logits; and the errors."""
from __future__ import annotations

import math
import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import ops
from minicnn.ops.softmax import SoftmaxCache

from .versions import TOLERANCE, VERSIONS, assert_close, call

CASES = st.tuples(st.integers(1, 8), st.integers(1, 12), st.integers(0, 2**32 - 1))
LOGITS = np.log([[1.0, 2, 1], [1, 1, 2]])  # the page's example: probabilities are these numbers over 4
OP, BACKWARD = "softmax_cross_entropy", "softmax_cross_entropy_backward"


def arrays(case, dtype):
    """Logits within one of each other: no p is so close to 1 that p - 1 loses float32's digits."""
    N, K, seed = case
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(N, K)) if dtype == "float64" else rng.uniform(-0.5, 0.5, (N, K))
    return (logits + rng.normal() * 3).astype(dtype), rng.integers(0, K, N)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=200)
@given(case=CASES)
def test_loss_probabilities_and_gradient_are_those_of_torch(torch, version, dtype, case):
    logits, labels = arrays(case, dtype)
    z = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(z, torch.tensor(labels))
    expected.backward()

    loss, cache = call(version, OP, logits, labels)
    assert isinstance(loss, float)
    assert loss == pytest.approx(expected.item(), rel=TOLERANCE[dtype], abs=TOLERANCE[dtype] / 100)
    assert_close(call(version, BACKWARD, cache), z.grad, "dlogits", dtype)
    for probabilities in (cache.probabilities, call(version, "softmax", logits)):
        assert_close(probabilities, torch.softmax(z.detach(), 1), "probabilities", dtype)


@pytest.mark.parametrize("backward", VERSIONS)
@pytest.mark.parametrize("forward", VERSIONS)
@settings(max_examples=20)
@given(case=CASES)
def test_any_backward_accepts_the_cache_of_any_forward(forward, backward, case):
    _, cache = call(forward, OP, *arrays(case, "float64"))
    assert_close(call(backward, BACKWARD, cache), call(forward, BACKWARD, cache), "dlogits", "float64")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_example_computed_by_hand_on_the_page(version):
    loss, cache = call(version, OP, LOGITS, [1, 0])
    assert loss == pytest.approx((math.log(2) + math.log(4)) / 2, rel=1e-14)
    np.testing.assert_allclose(cache.probabilities, [[1/4, 1/2, 1/4], [1/4, 1/4, 1/2]], rtol=1e-14)
    dlogits = call(version, BACKWARD, cache)
    np.testing.assert_allclose(dlogits, [[1/8, -1/4, 1/8], [-3/8, 1/8, 1/4]], rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("version", VERSIONS)
def test_logits_whose_exponentials_overflow_or_underflow(version, dtype):
    """exp(1e4) overflows; p of row 1's label underflows to 0, its loss is still a difference of logits."""
    logits = np.array([[1e4, 1e4, -1e4], [0, -1e4, 0], [-1e4, -1e4, -1e4]], dtype)
    loss, cache = call(version, OP, logits, [0, 1, 2])
    assert loss == pytest.approx((math.log(2) + (1e4 + math.log(2)) + math.log(3)) / 3, rel=1e-6)
    np.testing.assert_allclose(cache.probabilities, [[1/2, 1/2, 0], [1/2, 0, 1/2], [1/3, 1/3, 1/3]],
                               rtol=1e-6)
    np.testing.assert_allclose(call(version, BACKWARD, cache) * 3,
                               [[-1/2, 1/2, 0], [1/2, -1, 1/2], [1/3, 1/3, -2/3]], rtol=1e-6)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_masked_class_gets_probability_zero_and_a_nan_is_not_hidden(version):
    probabilities = call(version, "softmax", [[0.0, -math.inf, 0.0], [0.0, math.nan, 0.0]])
    np.testing.assert_array_equal(probabilities[0], [0.5, 0, 0.5])
    assert np.isnan(probabilities[1]).all()
    loss, _ = call(version, OP, [[0.0, 1.0], [0.0, math.nan]], [0, 0])
    assert math.isnan(loss)


@pytest.mark.parametrize("version", VERSIONS)
def test_labels_of_every_integer_dtype(version):
    expected, _ = call("loops", OP, LOGITS, [2, 0])
    for dtype in (np.uint8, np.int8, np.int32, np.uint64):
        loss, cache = call(version, OP, LOGITS, np.array([2, 0], dtype))
        assert loss == pytest.approx(expected, rel=1e-14)
        np.testing.assert_allclose(call(version, BACKWARD, cache) * 8, [[1, 2, -3], [-3, 1, 2]], rtol=1e-13)


@pytest.mark.parametrize("version", VERSIONS)
def test_neither_pass_changes_its_arguments(version):
    logits, labels = LOGITS.copy(), np.array([2, 0])
    _, cache = call(version, OP, logits, labels)
    probabilities = cache.probabilities.copy()
    call(version, BACKWARD, cache)
    np.testing.assert_array_equal(logits, LOGITS)
    np.testing.assert_array_equal(labels, [2, 0])
    np.testing.assert_array_equal(cache.probabilities, probabilities)  # a second backward pass gives the same


@pytest.mark.parametrize("logits, labels, error, message", [
    (LOGITS[0], [0], ValueError, r"logits has shape \(3,\): expected 2 axes"),
    (LOGITS[:0], [], ValueError, r"logits has shape \(0, 3\): expected \(N, K\) with at least one sample"),
    (LOGITS[:, :0], [0, 0], ValueError, r"logits has shape \(2, 0\): expected \(N, K\) with at least one"),
    (LOGITS, [0], ValueError,
     r"labels has shape \(1,\): expected \(2,\), one class for each row of logits \(2, 3\)"),
    (LOGITS, [[0, 1, 0], [1, 0, 0]], ValueError, r"labels has shape \(2, 3\): expected \(2,\)"),  # one-hot
    (LOGITS, [0.0, 1.0], TypeError, "labels has dtype float64: expected integers"),
    (LOGITS, [True, False], TypeError, "labels has dtype bool: expected integers"),
    (LOGITS, [0, 3], ValueError, r"labels\[1\] is 3: expected a class from 0 to 2"),
    (LOGITS, [-1, 3], ValueError, r"labels\[0\] is -1: expected a class from 0 to 2"),
])
@pytest.mark.parametrize("version", VERSIONS)
def test_forward_errors_say_what_and_where(version, logits, labels, error, message):
    with pytest.raises(error, match=message):
        call(version, OP, logits, labels)


@pytest.mark.parametrize("version", VERSIONS)
def test_labels_on_the_device_beside_logits_on_the_host_are_refused(version, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", types.ModuleType("cupy"))
    labels = type("ndarray", (), {"__module__": "cupy"})()  # a library is known by its array class's module
    with pytest.raises(TypeError, match=r"labels is a cupy.ndarray, but logits is a numpy.ndarray: expected"):
        call(version, OP, LOGITS, labels)


@pytest.mark.parametrize("version", VERSIONS)
def test_backward_errors_say_what_and_where(version):
    with pytest.raises(TypeError, match="cache is a tuple: expected the SoftmaxCache that softmax_cross_ent"):
        call(version, BACKWARD, (LOGITS, [0, 1]))
    with pytest.raises(ValueError, match=r"cache.probabilities has shape \(3,\): expected 2 axes"):
        call(version, BACKWARD, SoftmaxCache(LOGITS[0], [0]))


def test_softmax_refuses_what_the_loss_refuses():
    with pytest.raises(ValueError, match=r"logits has shape \(2, 0\)"):
        ops.softmax(LOGITS[:, :0])
