"""Dropout: the mask, its expectation, gradient against torch, version against version, errors."""
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
DROP_PROBS = st.floats(0, 0.95)
SCALES = st.none() | st.floats(0.5, 2)


def values(shape, seed, dtype):
    rng = np.random.default_rng(seed + 1)  # not the stream that draws the mask
    return rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=200)
@given(shape=SHAPES, seed=SEEDS, drop_prob=DROP_PROBS, scale=SCALES)
def test_output_and_gradient_are_those_of_torch(torch, version, dtype, shape, seed, drop_prob, scale):
    x, dy = values(shape, seed, dtype)
    kept = torch.tensor(np.random.default_rng(seed).random(shape, dtype=np.float32) >= drop_prob)
    tensor = torch.tensor(x, requires_grad=True)
    expected = tensor * kept * (1 / (1 - drop_prob) if scale is None else scale)
    expected.backward(torch.tensor(dy))

    y, cache = call(version, "dropout", x, drop_prob, np.random.default_rng(seed), scale=scale)
    dx = call(version, "dropout_backward", dy, cache)

    assert_close(y, expected.detach(), "y", dtype)
    assert_close(dx, tensor.grad, "dx", dtype)
    np.testing.assert_array_equal(dx, cache.factor * dy)


@pytest.mark.parametrize("backward", VERSIONS)
@pytest.mark.parametrize("forward", VERSIONS)
@settings(max_examples=25)
@given(shape=SHAPES, seed=SEEDS, drop_prob=DROP_PROBS)
def test_all_versions_draw_the_same_mask_and_share_caches(forward, backward, shape, seed, drop_prob):
    x, dy = values(shape, seed, "float32")
    rng, reference_rng = np.random.default_rng(seed), np.random.default_rng(seed)
    for _ in range(2):  # also from wherever the first pass has left the generator
        y, cache = call(forward, "dropout", x, drop_prob, rng)
        expected, reference = call("numpy", "dropout", x, drop_prob, reference_rng)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(cache.factor, reference.factor)
        np.testing.assert_array_equal(call(backward, "dropout_backward", dy, cache), dy * reference.factor)
    assert rng.bit_generator.state == reference_rng.bit_generator.state


@pytest.mark.parametrize("version", VERSIONS)
def test_the_example_computed_by_hand_on_the_page(version):
    """The generator's numbers are 0.67 0.81 0.02 / 0.81 0.47 0.52: those below 0.5 drop."""
    y, cache = call(version, "dropout", [[1, 2, 3], [4, 5, 6]], 0.5, np.random.default_rng(5))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, [[2, 4, 0], [8, 0, 12]])
    np.testing.assert_array_equal(cache.factor, [[2, 2, 0], [2, 0, 2]])
    dx = call(version, "dropout_backward", [[1, 1, 1], [1, 2, 3]], cache)
    np.testing.assert_array_equal(dx, [[2, 2, 0], [2, 0, 6]])


@pytest.mark.parametrize("version", ["numpy", "numba"])
@pytest.mark.parametrize("drop_prob", [0.2, 0.5, 0.9])
def test_the_expectation_stays(version, drop_prob):
    """The mean of y has standard deviation sqrt(p / (1 - p) / n): 5 of them are allowed."""
    n = 100_000
    y, cache = call(version, "dropout", np.ones(n), drop_prob, np.random.default_rng(0))
    assert abs(y.mean() - 1) < 5 * np.sqrt(drop_prob / (1 - drop_prob) / n)
    kept = (cache.factor > 0).mean()
    assert abs(kept - (1 - drop_prob)) < 5 * np.sqrt(drop_prob * (1 - drop_prob) / n)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_mask_depends_on_the_generator_only(version):
    x = np.ones((20, 30), "f4")
    first, _ = call(version, "dropout", x, 0.5, np.random.default_rng(1))
    again, _ = call(version, "dropout", x.astype("f8"), 0.5, np.random.default_rng(1))
    other, _ = call(version, "dropout", x, 0.5, np.random.default_rng(2))
    rng = np.random.default_rng(1)
    call(version, "dropout", x, 0.5, rng)
    second, _ = call(version, "dropout", x, 0.5, rng)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() and (first != second).any()
    transposed, _ = call(version, "dropout", np.asfortranarray(x), 0.5, np.random.default_rng(1))
    np.testing.assert_array_equal(first, transposed)  # drawn in the order of indices, not of memory


@pytest.mark.parametrize("version", VERSIONS)
def test_not_training_is_the_identity_and_draws_nothing(version):
    x, dy = values((3, 4), 0, "float64")
    rng = np.random.default_rng(1)
    state = rng.bit_generator.state
    y, cache = call(version, "dropout", x, 0.5, rng, training=False, scale=3.0)
    assert y is x and cache == DropoutCache(None)
    assert call(version, "dropout_backward", dy, cache) is dy
    assert rng.bit_generator.state == state
    assert call(version, "dropout", x, 0.5, None, training=False)[0] is x


@pytest.mark.parametrize("version", VERSIONS)
def test_scale_replaces_the_default(version):
    x = np.full((8, 8), 3.0)
    for scale, expected in ((None, 3 / (1 - 0.25)), (1, 3), (0.5, 1.5)):
        y, cache = call(version, "dropout", x, 0.25, np.random.default_rng(0), scale=scale)
        np.testing.assert_array_equal(np.unique(y), [0, expected])
        np.testing.assert_array_equal(np.unique(cache.factor), [0, expected / 3])


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_is_dropped_with_probability_zero(version):
    x, _ = values((4, 5), 0, "float32")
    y, cache = call(version, "dropout", x, np.float32(0), np.random.default_rng(0))
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(cache.factor, 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_neither_pass_changes_its_arguments(version):
    x, dy = values((3, 4), 0, "float64")
    saved = x.copy(), dy.copy()
    _, cache = call(version, "dropout", x, 0.5, np.random.default_rng(0))
    factor = cache.factor.copy()
    call(version, "dropout_backward", dy, cache)
    np.testing.assert_array_equal((x, dy, cache.factor), (*saved, factor))


@pytest.mark.parametrize("arguments, error, message", [
    ((np.ones(3, "f2"), 0.5, 0), TypeError, "x has dtype float16: expected float32"),
    ((np.ones(3), -0.1, 0), ValueError, r"drop_prob=-0\.1: expected a probability, 0 <= drop_prob < 1"),
    ((np.ones(3), 1, 0), ValueError, "drop_prob=1: expected a probability"),
    ((np.ones(3), np.nan, 0), ValueError, "drop_prob=nan: expected a probability"),
    ((np.ones(3), "0.5", 0), ValueError, "drop_prob='0.5': expected a probability"),
    ((np.ones(3), 0.5, 0, True, 0), ValueError,
     r"scale=0: expected a positive number, or None for 1 / \(1 - drop_prob\)"),
    ((np.ones(3), 0.5, 0, True, np.inf), ValueError, "scale=inf: expected a positive number"),
    ((np.ones(3), 0.5, 0, True, "1"), ValueError, "scale='1': expected a positive number"),
    ((np.ones(3), 0.5, 0), TypeError, r"rng is of type int: expected a numpy\.random\.Generator, such as"),
    ((np.ones(3), 0.5, np.random.RandomState(0)), TypeError, "rng is of type RandomState: expected"),
])
@pytest.mark.parametrize("version", VERSIONS)
def test_forward_errors_say_what_and_where(version, arguments, error, message):
    with pytest.raises(error, match=message):
        call(version, "dropout", *arguments)


@pytest.mark.parametrize("version", VERSIONS)
def test_backward_errors_say_what_and_where(version):
    with pytest.raises(TypeError, match="cache is a ReluCache: expected the DropoutCache"):
        call(version, "dropout_backward", np.ones(3), ReluCache(np.ones(3, bool)))
    for dy in (np.ones(4), np.ones(3, "f4")):
        message = rf"dy is {dy.dtype} of shape \({dy.size},\): expected float64 of shape \(3,\)"
        with pytest.raises(ValueError, match=message):
            call(version, "dropout_backward", dy, DropoutCache(np.ones(3)))
