"""ReLU: against torch, against the page's hand-computed example, version against version, NaN, errors."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from minicnn.ops.dropout import DropoutCache
from minicnn.ops.relu import ReluCache

from .versions import VERSIONS, assert_close, call

SHAPES = array_shapes(min_dims=1, max_dims=4, max_side=5)
SEEDS = st.integers(0, 2**32 - 1)


def values(shape, seed, dtype):
    """Draw x, with exact zeros among its elements, and dy."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape) * rng.integers(0, 2, shape)
    return x.astype(dtype), rng.normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=200)
@given(shape=SHAPES, seed=SEEDS)
def test_output_and_gradient_are_those_of_torch(torch, version, dtype, shape, seed):
    x, dy = values(shape, seed, dtype)
    tensor = torch.tensor(x, requires_grad=True)
    expected = torch.relu(tensor)
    expected.backward(torch.tensor(dy))

    y, cache = call(version, "relu", x)
    dx = call(version, "relu_backward", dy, cache)

    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, expected.detach())
    assert_close(dx, tensor.grad, "dx", dtype)


@pytest.mark.parametrize("backward", VERSIONS)
@pytest.mark.parametrize("forward", VERSIONS)
@settings(max_examples=25)
@given(shape=SHAPES, seed=SEEDS)
def test_any_backward_accepts_the_cache_of_any_forward(forward, backward, shape, seed):
    x, dy = values(shape, seed, "float64")
    _, cache = call(forward, "relu", x)
    assert cache.positive.dtype == bool
    np.testing.assert_array_equal(cache.positive, x > 0)
    np.testing.assert_array_equal(call(backward, "relu_backward", dy, cache), np.where(x > 0, dy, 0))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_example_computed_by_hand_on_the_page(version):
    y, cache = call(version, "relu", [[-2, 3, 0], [1, -1, 4]])
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, [[0, 3, 0], [1, 0, 4]])
    dx = call(version, "relu_backward", [[5, 6, 7], [8, 9, 10]], cache)
    np.testing.assert_array_equal(dx, [[0, 6, 0], [8, 0, 10]])


@pytest.mark.parametrize("version", VERSIONS)
def test_nan_and_infinity_pass(version):
    y, cache = call(version, "relu", np.array([np.nan, np.inf, -np.inf, -0.0]))
    np.testing.assert_array_equal(y, [np.nan, np.inf, 0, 0])
    np.testing.assert_array_equal(cache.positive, [False, True, False, False])


@pytest.mark.parametrize("version", VERSIONS)
def test_any_layout_and_any_number_of_axes(version):
    rng = np.random.default_rng(1)
    x, dy = rng.normal(size=(5, 4, 6)).T[::-1, ::2], rng.normal(size=(5, 2, 6)).T
    y, cache = call(version, "relu", x)
    np.testing.assert_array_equal(y, x * (x > 0))
    np.testing.assert_array_equal(call(version, "relu_backward", dy, cache), dy * (x > 0))
    fortran = ReluCache(np.asfortranarray(cache.positive))
    np.testing.assert_array_equal(call(version, "relu_backward", dy, fortran), dy * (x > 0))
    for x in (np.array(3.0), np.zeros((0, 3))):
        y, cache = call(version, "relu", x)
        np.testing.assert_array_equal(y, x)
        assert y.shape == call(version, "relu_backward", x, cache).shape == x.shape


@pytest.mark.parametrize("version", VERSIONS)
def test_neither_pass_changes_its_arguments(version):
    x, dy = values((3, 4), 0, "float64")
    saved = x.copy(), dy.copy()
    _, cache = call(version, "relu", x)
    call(version, "relu_backward", dy, cache)
    np.testing.assert_array_equal((x, dy), saved)


@pytest.mark.parametrize("version", VERSIONS)
def test_errors_say_what_and_where(version):
    with pytest.raises(TypeError, match="x has dtype float16: expected float32"):
        call(version, "relu", np.ones(3, "f2"))
    with pytest.raises(TypeError, match="cache is a DropoutCache: expected the ReluCache that relu returned"):
        call(version, "relu_backward", np.ones(3), DropoutCache(None))
    with pytest.raises(TypeError, match="dy has dtype complex128"):
        call(version, "relu_backward", np.ones(3, complex), ReluCache(np.ones(3, bool)))
    with pytest.raises(ValueError, match=r"dy has shape \(3,\) but cache.positive is bool of shape \(4,\)"):
        call(version, "relu_backward", np.ones(3), ReluCache(np.ones(4, bool)))
    with pytest.raises(ValueError, match=r"dy has shape \(3,\) but cache.positive is float64 of"):
        call(version, "relu_backward", np.ones(3), ReluCache(np.ones(3)))
