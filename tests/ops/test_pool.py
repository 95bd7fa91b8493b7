"""Max-pooling: against torch, against hand-computed examples, version against version, ties, NaN, errors."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import ops
from minicnn.ops.pool import PoolCache

from .versions import VERSIONS, assert_close, call


@st.composite
def cases(draw_from):
    """Shape of x, (size, stride, pad, ceil_mode), do values tie, are all negative, and a seed."""
    def some(low, high):
        return draw_from(st.integers(low, high))

    size, stride = (some(1, 4), some(1, 4)), (some(1, 5), some(1, 5))
    pad = some(0, size[0] // 2), some(0, size[1] // 2)
    H, W = (some(max(1, k - 2 * p), 9) for k, p in zip(size, pad))
    geometry = size, stride, pad, draw_from(st.booleans())
    tied, negative = draw_from(st.booleans()), draw_from(st.booleans())
    return (some(1, 3), some(1, 3), H, W), geometry, tied, negative, some(0, 2**32 - 1)


def values(case, dtype):
    """Draw x: real numbers, or a few integers; sometimes all negative, so that a padded 0 would win."""
    shape, _, tied, negative, seed = case
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 2, shape) if tied else rng.normal(size=shape)
    return (x - 10 * negative).astype(dtype), rng


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=200)
@given(case=cases())
def test_output_winners_and_gradient_are_those_of_torch(torch, version, dtype, case):
    x, rng = values(case, dtype)
    size, stride, pad, ceil_mode = case[1]
    tensor = torch.tensor(x, requires_grad=True)
    expected, winners = torch.nn.functional.max_pool2d(tensor, size, stride, pad, ceil_mode=ceil_mode,
                                                       return_indices=True)
    dy = rng.normal(size=expected.shape).astype(dtype)
    expected.backward(torch.tensor(dy))

    y, cache = call(version, "max_pool2d", x, *case[1])
    dx = call(version, "max_pool2d_backward", dy, cache)

    assert y.dtype == x.dtype and cache.winners.dtype == np.int32
    np.testing.assert_array_equal(y, expected.detach())
    np.testing.assert_array_equal(cache.winners, winners)  # torch, too, lets the first of equals win
    assert_close(dx, tensor.grad, "dx", dtype)


@pytest.mark.parametrize("backward", VERSIONS)
@pytest.mark.parametrize("forward", VERSIONS)
@settings(max_examples=25)
@given(case=cases())
def test_any_backward_accepts_the_cache_of_any_forward(forward, backward, case):
    x, rng = values(case, "float64")
    y, cache = call(forward, "max_pool2d", x, *case[1])
    reference, reference_cache = call("loops", "max_pool2d", x, *case[1])
    np.testing.assert_array_equal(y, reference)
    np.testing.assert_array_equal(cache.winners, reference_cache.winners)
    assert cache[0] == reference_cache[0] and cache[2:] == reference_cache[2:]

    dy = rng.normal(size=y.shape)
    assert_close(call(backward, "max_pool2d_backward", dy, cache),
                 call("loops", "max_pool2d_backward", dy, reference_cache), "dx", "float64")


PLANE = np.array([[[[1.0, 5, 2, 0], [3, 4, 8, 6], [7, 0, 1, 6]]]])


@pytest.mark.parametrize("version", VERSIONS)
def test_the_overlapping_example_computed_by_hand_on_the_page(version):
    y, cache = call(version, "max_pool2d", PLANE, 2, 1)
    np.testing.assert_array_equal(y, [[[[5, 8, 8], [7, 8, 8]]]])
    np.testing.assert_array_equal(cache.winners, [[[[1, 6, 6], [8, 6, 6]]]])
    dx = call(version, "max_pool2d_backward", np.array([[[[1.0, 2, 3], [4, 5, 6]]]]), cache)
    np.testing.assert_array_equal(dx, [[[[0, 1, 0, 0], [0, 0, 16, 0], [4, 0, 0, 0]]]])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ragged_last_window_is_kept_in_ceil_mode_only(version):
    row = np.array([[[[3.0, 1, 2, 5, 4]]]])
    y, cache = call(version, "max_pool2d", row, (1, 2))
    np.testing.assert_array_equal(y, [[[[3, 5]]]])
    np.testing.assert_array_equal(call(version, "max_pool2d_backward", np.array([[[[7.0, 8]]]]), cache),
                                  [[[[7, 0, 0, 8, 0]]]])
    y, cache = call(version, "max_pool2d", row, (1, 2), ceil_mode=True)
    np.testing.assert_array_equal(y, [[[[3, 5, 4]]]])
    np.testing.assert_array_equal(call(version, "max_pool2d_backward", np.array([[[[7.0, 8, 9]]]]), cache),
                                  [[[[7, 0, 0, 8, 9]]]])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("extent, out", [(21, 10), (9, 4)])
def test_the_poolings_of_cnn3_give_the_printed_shapes(version, extent, out):
    y, _ = call(version, "max_pool2d", np.zeros((1, 2, extent, extent), "f4"), 4, 2, ceil_mode=True)
    assert y.shape == (1, 2, out, out)


@pytest.mark.parametrize("version", VERSIONS)
def test_padding_never_wins_not_even_against_minus_infinity(version):
    x = np.full((1, 1, 2, 2), -np.inf)
    y, cache = call(version, "max_pool2d", x, 3, 2, 1)
    np.testing.assert_array_equal(y, [[[[-np.inf]]]])
    np.testing.assert_array_equal(cache.winners, [[[[0]]]])  # the first real cell
    np.testing.assert_array_equal(call(version, "max_pool2d_backward", np.array([[[[2.0]]]]), cache),
                                  [[[[2, 0], [0, 0]]]])


@pytest.mark.parametrize("version", VERSIONS)
def test_the_first_nan_wins(version):
    x = np.array([[[[9.0, np.nan, 1], [np.nan, np.inf, 2], [3, 4, 5]]]])
    y, cache = call(version, "max_pool2d", x, 2, 1, 1)
    np.testing.assert_array_equal(cache.winners[0, 0],
                                  [[0, 1, 1, 2], [3, 1, 1, 5], [3, 3, 4, 8], [6, 7, 8, 8]])
    np.testing.assert_array_equal(y[0, 0], x.ravel()[cache.winners[0, 0]])


@pytest.mark.parametrize("version", VERSIONS)
def test_size_and_stride_defaults_pairs_and_integers(version):
    x = np.random.default_rng(0).normal(size=(2, 2, 6, 6))
    by_default, cache = call(version, "max_pool2d", x, (2, 3))
    assert cache.size == cache.stride == (2, 3) and cache.pad == (0, 0)
    np.testing.assert_array_equal(by_default, x.reshape(2, 2, 3, 2, 2, 3).max(axis=(3, 5)))
    np.testing.assert_array_equal(call(version, "max_pool2d", x, 3, 2, 1)[0],
                                  call(version, "max_pool2d", x, (3, 3), (2, 2), (1, 1))[0])


@pytest.mark.parametrize("version", VERSIONS)
def test_arrays_that_are_not_contiguous_integer_input_and_an_empty_batch(version):
    rng = np.random.default_rng(3)
    x = rng.integers(-99, 99, (5, 8, 3, 2)).T[:, :, ::-1]
    y, cache = call(version, "max_pool2d", x, 3, 2)
    expected, _ = call("loops", "max_pool2d", x.astype("f4").copy(), 3, 2)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, expected)
    dy = rng.normal(size=y.shape[::-1]).T
    dx = call(version, "max_pool2d_backward", dy, cache)
    # x was float32 and dy is float64: dx follows dy
    assert_close(dx, call("loops", "max_pool2d_backward", dy.copy(), cache), "dx", "float64")

    y, cache = call(version, "max_pool2d", np.zeros((0, 3, 4, 4)), 2)
    assert y.shape == (0, 3, 2, 2)
    assert call(version, "max_pool2d_backward", y, cache).shape == (0, 3, 4, 4)


@pytest.mark.parametrize("version", VERSIONS)
def test_neither_pass_changes_its_arguments(version):
    x, dy = PLANE.copy(), np.ones((1, 1, 2, 3))
    _, cache = call(version, "max_pool2d", x, 2, 1)
    winners = cache.winners.copy()
    call(version, "max_pool2d_backward", dy, cache)
    for after, saved in ((x, PLANE), (dy, np.ones((1, 1, 2, 3))), (cache.winners, winners)):
        np.testing.assert_array_equal(after, saved)


@pytest.mark.parametrize("arguments, error, message", [
    ((PLANE[0], 2), ValueError, r"x has shape \(1, 3, 4\): expected 4 axes"),
    ((PLANE.astype("c16"), 2), TypeError, "x has dtype complex128: expected float32"),
    ((PLANE, 0), ValueError, "size=0: expected values not less than 1"),
    ((PLANE, (2, 2, 2)), ValueError, r"size=\(2, 2, 2\): expected an integer or a \(height, width\) pair"),
    ((PLANE, 2, 0), ValueError, "stride=0: expected values not less than 1"),
    ((PLANE, 2, 1, -1), ValueError, "pad=-1: expected values not less than 0"),
    ((PLANE, (3, 2), 1, (2, 0)), ValueError,
     r"pad=\(2, 0\) with size=\(3, 2\): expected at most half the window, \(1, 1\), or a window could"),
    ((PLANE, (2, 3), 1, (0, 2)), ValueError, r"pad=\(0, 2\) with size=\(2, 3\): expected at most half"),
    ((PLANE[:, :, :0], 2, 1, 1), ValueError,
     r"x has shape \(1, 1, 0, 4\): expected planes of 1 to 2\*\*31 - 1 cells"),
    ((np.broadcast_to(np.float32(0), (1, 1, 2**16, 2**15)), 2), ValueError, "whose indices fit in int32"),
    ((PLANE, 5), ValueError, "n=3, window size=5, stride=5, pad=0.* no window fits"),
])
@pytest.mark.parametrize("version", VERSIONS)
def test_forward_errors_say_what_and_where(version, arguments, error, message):
    with pytest.raises(error, match=message):
        call(version, "max_pool2d", *arguments)


WON = np.array([[[[1, 6, 6], [8, 6, 6]]]], np.int32)
DY = np.ones((1, 1, 2, 3))
ALTERED = r"cache.winners \({}, shape {}\) does not fit x of shape {}: expected int32 .* from 0 to 11"


@pytest.mark.parametrize("dy, winners, x_shape, message", [
    (DY[0], WON, PLANE.shape, r"dy has shape \(1, 2, 3\): expected 4 axes"),
    (DY[:, :, :1], WON, PLANE.shape, r"dy has shape \(1, 1, 1, 3\): expected \(1, 1, 2, 3\)"),
    (DY, WON + np.int32(4), PLANE.shape, ALTERED.format("int32", r"\(1, 1, 2, 3\)", r"\(1, 1, 3, 4\)")),
    (DY, WON - np.int32(2), PLANE.shape, ALTERED.format("int32", r"\(1, 1, 2, 3\)", r"\(1, 1, 3, 4\)")),
    (DY, WON.astype(float), PLANE.shape, ALTERED.format("float64", r"\(1, 1, 2, 3\)", r"\(1, 1, 3, 4\)")),
    (DY, WON, (2, 1, 3, 4), ALTERED.format("int32", r"\(1, 1, 2, 3\)", r"\(2, 1, 3, 4\)")),
])
@pytest.mark.parametrize("version", VERSIONS)
def test_backward_errors_say_what_and_where(version, dy, winners, x_shape, message):
    with pytest.raises(ValueError, match=message):
        call(version, "max_pool2d_backward", dy, PoolCache(x_shape, winners, (2, 2), (1, 1), (0, 0)))


@pytest.mark.parametrize("version", VERSIONS)
def test_backward_refuses_the_cache_of_another_operation(version):
    _, cache = ops.relu(PLANE)
    with pytest.raises(TypeError, match="cache is a ReluCache: expected the PoolCache"):
        call(version, "max_pool2d_backward", DY, cache)
