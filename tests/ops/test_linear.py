"""Linear layer: against torch, against the page's hand-computed example, version against version, errors."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.ops.linear import LinearCache

from .versions import VERSIONS, assert_close, call, draw

CASES = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 7), st.booleans(),
                  st.integers(0, 2**32 - 1))  # N, D, F, whether there is a bias, seed


def arrays(case, dtype):
    N, D, F, bias, seed = case
    rng = np.random.default_rng(seed)
    b = draw(rng, (F,), dtype) if bias else None
    return draw(rng, (N, D), dtype), draw(rng, (F, D), dtype), b, draw(rng, (N, F), dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=200)
@given(case=CASES)
def test_output_and_gradients_are_those_of_torch(torch, version, dtype, case):
    x, w, b, dy = arrays(case, dtype)
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, w, b) if a is not None]
    expected = torch.nn.functional.linear(*tensors)
    expected.backward(torch.tensor(dy))

    y, cache = call(version, "linear", x, w, b)
    gradients = call(version, "linear_backward", dy, cache)

    assert_close(y, expected.detach(), "y", dtype)
    for name, tensor, gradient in zip(("dx", "dw", "db"), tensors, gradients):
        assert_close(gradient, tensor.grad, name, dtype)
    assert b is not None or gradients[2] is None


@pytest.mark.parametrize("backward", VERSIONS)
@pytest.mark.parametrize("forward", VERSIONS)
@settings(max_examples=20)
@given(case=CASES)
def test_any_backward_accepts_the_cache_of_any_forward(forward, backward, case):
    x, w, b, dy = arrays(case, "float64")
    _, cache = call(forward, "linear", x, w, b)
    for name, actual, expected in zip(("dx", "dw", "db"), call(backward, "linear_backward", dy, cache),
                                      call(forward, "linear_backward", dy, cache)):
        assert (actual is None) == (expected is None)
        if actual is not None:
            assert_close(actual, expected, name, "float64")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_example_computed_by_hand_on_the_page(version):
    y, cache = call(version, "linear", [[1, 2, 3], [0, 1, 0]], [[1, 0, -1], [2, 2, 0]], [10, 20])
    dx, dw, db = call(version, "linear_backward", [[1, 0], [2, -1]], cache)
    np.testing.assert_array_equal(y, [[8, 26], [10, 22]])
    np.testing.assert_array_equal(dx, [[1, 0, -1], [0, -2, -2]])
    np.testing.assert_array_equal(dw, [[1, 4, 3], [0, -1, 0]])
    np.testing.assert_array_equal(db, [3, -1])
    assert y.dtype == dx.dtype == dw.dtype == db.dtype == np.float32


@pytest.mark.parametrize("version", VERSIONS)
def test_neither_pass_changes_its_arguments(version):
    x, w, b, dy = arrays((4, 3, 2, True, 5), "float64")
    before = [a.copy() for a in (x, w, b, dy)]
    _, cache = call(version, "linear", x, w, b)
    call(version, "linear_backward", dy, cache)
    for after, saved in zip((x, w, b, dy), before):
        np.testing.assert_array_equal(after, saved)


X, W, B = np.ones((2, 3)), np.ones((4, 3)), np.ones(4)


@pytest.mark.parametrize("arguments, error, message", [
    ((X[:, None], W, B), ValueError, r"x has shape \(2, 1, 3\): expected 2 axes"),
    ((X, W[0], B), ValueError, r"w has shape \(3,\): expected 2 axes"),
    ((X, W, B[None]), ValueError, r"b has shape \(1, 4\): expected 1 axes"),
    ((X, W.T, B), ValueError,
     r"x has shape \(2, 3\), that is 3 features, but w has shape \(3, 4\): expected w of shape \(F, 3\)"),
    ((X, W, B[:3]), ValueError,
     r"b has shape \(3,\): expected \(4,\), one value for each row of w \(4, 3\), or None"),
    ((X, W.astype("f4"), B), TypeError, "w has dtype float32 but x has float64: expected one dtype"),
    ((X, W, B.astype("f4")), TypeError, "b has dtype float32 but x has float64: expected one dtype"),
    ((X * 1j, W, B), TypeError, "x has dtype complex128: expected float32"),
])
@pytest.mark.parametrize("version", VERSIONS)
def test_forward_errors_say_what_and_where(version, arguments, error, message):
    with pytest.raises(error, match=message):
        call(version, "linear", *arguments)


@pytest.mark.parametrize("dy, error, message", [
    (np.ones(4), ValueError, r"dy has shape \(4,\): expected 2 axes"),
    (np.ones((1, 4)), ValueError, r"dy has shape \(1, 4\): expected \(2, 4\), the shape of"),
    (np.ones((2, 4), "f4"), TypeError, "dy has dtype float32 but x has float64: expected one dtype"),
])
@pytest.mark.parametrize("version", VERSIONS)
def test_backward_errors_say_what_and_where(version, dy, error, message):
    with pytest.raises(error, match=message):
        call(version, "linear_backward", dy, LinearCache(X, W, True))
    with pytest.raises(TypeError, match="cache is a tuple: expected the LinearCache that linear returned"):
        call(version, "linear_backward", np.ones((2, 4)), (X, W))
