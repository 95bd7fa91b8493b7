"""Maxout: against torch, against the hand-computed example, version against version, ties, NaN, errors."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import ops
from minicnn.ops.maxout import MaxoutCache

from .versions import VERSIONS, assert_close, call


@st.composite
def cases(draw_from):
    """Shape of x, (N, C) or (N, C, ...), the pieces, whether values tie, and a seed."""
    def some(low, high):
        return draw_from(st.integers(low, high))

    pieces, rest = some(1, 5), draw_from(st.lists(st.integers(1, 5), max_size=2))
    return (some(1, 3), some(1, 4) * pieces, *rest), pieces, draw_from(st.booleans()), some(0, 2**32 - 1)


def values(case, dtype):
    shape, _, tied, seed = case
    rng = np.random.default_rng(seed)
    return (rng.integers(-1, 2, shape) if tied else rng.normal(size=shape)).astype(dtype), rng


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=200)
@given(case=cases())
def test_output_and_gradient_are_those_of_torch(torch, version, dtype, case):
    x, rng = values(case, dtype)
    (N, C, *rest), pieces, tied, _ = case
    tensor = torch.tensor(x, requires_grad=True)
    expected = tensor.reshape(N, C // pieces, pieces, *rest).max(dim=2).values
    dy = rng.normal(size=expected.shape).astype(dtype)
    expected.backward(torch.tensor(dy))

    y, cache = call(version, "maxout", x, pieces)
    dx = call(version, "maxout_backward", dy, cache)

    assert y.dtype == x.dtype and cache.winners.dtype == np.uint8
    np.testing.assert_array_equal(y, expected.detach())
    if tied:  # which of equals wins is left open by torch.max: only the sum over each group is comparable
        groups = N, C // pieces, pieces, *rest
        assert_close(dx.reshape(groups).sum(axis=2), tensor.grad.reshape(groups).sum(dim=2), "sum", dtype)
    else:
        assert_close(dx, tensor.grad, "dx", dtype)


@pytest.mark.parametrize("backward", VERSIONS)
@pytest.mark.parametrize("forward", VERSIONS)
@settings(max_examples=25)
@given(case=cases())
def test_any_backward_accepts_the_cache_of_any_forward(forward, backward, case):
    x, rng = values(case, "float64")
    y, cache = call(forward, "maxout", x, case[1])
    reference, reference_cache = call("loops", "maxout", x, case[1])
    np.testing.assert_array_equal(y, reference)
    np.testing.assert_array_equal(cache.winners, reference_cache.winners)
    assert cache[1:] == reference_cache[1:] == (case[1], case[0])

    dy = rng.normal(size=y.shape)
    np.testing.assert_array_equal(call(backward, "maxout_backward", dy, cache),
                                  call("loops", "maxout_backward", dy, reference_cache))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_example_computed_by_hand_on_the_page(version):
    x = np.array([[[1.0, 7, 2], [5, 3, 2], [-4, 0, 9], [-1, -3, 8]]])
    y, cache = call(version, "maxout", x, 2)
    np.testing.assert_array_equal(y, [[[5, 7, 2], [-1, 0, 9]]])
    np.testing.assert_array_equal(cache.winners, [[[1, 0, 0], [1, 0, 0]]])
    dx = call(version, "maxout_backward", np.array([[[5.0, 6, 7], [8, 9, 10]]]), cache)
    np.testing.assert_array_equal(dx, [[[0, 6, 7], [5, 0, 0], [0, 9, 10], [8, 0, 0]]])


@pytest.mark.parametrize("version", VERSIONS)
def test_the_first_nan_wins_and_so_does_the_first_minus_infinity(version):
    x = np.array([[9, np.nan, np.nan, np.inf, -np.inf, -np.inf, np.nan, 1]])
    y, cache = call(version, "maxout", x, 2)
    np.testing.assert_array_equal(y, [[np.nan, np.nan, -np.inf, np.nan]])
    np.testing.assert_array_equal(cache.winners, [[1, 0, 0, 0]])


@pytest.mark.parametrize("version", VERSIONS)
def test_all_256_pieces_are_counted_in_a_byte(version):
    x = np.arange(512.0).reshape(1, 512)
    y, cache = call(version, "maxout", x, 256)
    np.testing.assert_array_equal(y, [[255, 511]])
    dx = call(version, "maxout_backward", np.array([[2.0, 3.0]]), cache)
    assert dx[0, 255] == 2 and dx[0, 511] == 3 and dx.sum() == 5


@pytest.mark.parametrize("version", VERSIONS)
def test_arrays_that_are_not_contiguous_integer_input_and_an_empty_batch(version):
    rng = np.random.default_rng(3)
    x = rng.integers(-99, 99, (5, 4, 6, 2)).T[:, ::-1]
    y, cache = call(version, "maxout", x, 3)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, x.reshape(2, 2, 3, 4, 5).max(axis=2))
    dy = rng.normal(size=y.shape[::-1]).T
    dx = call(version, "maxout_backward", dy, cache)
    assert_close(dx, call("loops", "maxout_backward", dy.copy(), cache), "dx", "float64")  # the dtype of dy

    y, cache = call(version, "maxout", np.zeros((0, 6, 4, 4)), 3)
    assert y.shape == (0, 2, 4, 4)
    assert call(version, "maxout_backward", y, cache).shape == (0, 6, 4, 4)


@pytest.mark.parametrize("version", VERSIONS)
def test_neither_pass_changes_its_arguments(version):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 6)), rng.normal(size=(2, 3))
    saved = x.copy(), dy.copy()
    _, cache = call(version, "maxout", x, 2)
    winners = cache.winners.copy()
    call(version, "maxout_backward", dy, cache)
    for after, before in zip((x, dy, cache.winners), (*saved, winners)):
        np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("x, pieces, error, message", [
    (np.ones((2, 6), "f2"), 2, TypeError, "x has dtype float16: expected float32"),
    (np.ones((2, 6)), 0, ValueError, "pieces=0: expected an integer from 1 to 256"),
    (np.ones((2, 6)), 257, ValueError, "pieces=257: expected an integer from 1 to 256"),
    (np.ones((2, 6)), 2.0, ValueError, r"pieces=2\.0: expected an integer from 1 to 256"),
    (np.ones((2, 6)), True, ValueError, "pieces=True: expected an integer from 1 to 256"),
    (np.ones((2, 6)), 4, ValueError, r"x has shape \(2, 6\) with pieces=4: expected .* C divisible by"),
    (np.ones(6), 2, ValueError, r"x has shape \(6,\) with pieces=2: expected \(N, C, ...\)"),
])
@pytest.mark.parametrize("version", VERSIONS)
def test_forward_errors_say_what_and_where(version, x, pieces, error, message):
    with pytest.raises(error, match=message):
        call(version, "maxout", x, pieces)


WON = np.array([[1, 0, 1]], np.uint8)
ALTERED = r"cache.winners \({}, shape {}\) does not fit x of shape \(1, 6\): expected uint8 of shape \(1, 3\)"


@pytest.mark.parametrize("dy, winners, message", [
    (np.ones((1, 6)), WON, r"dy has shape \(1, 6\): expected \(1, 3\), that of maxout's output"),
    (np.ones((1, 3)), WON * np.uint8(2), ALTERED.format("uint8", r"\(1, 3\)")),
    (np.ones((1, 3)), WON.astype(int), ALTERED.format("int64", r"\(1, 3\)")),
    (np.ones((1, 3)), WON[:, :2], ALTERED.format("uint8", r"\(1, 2\)")),
])
@pytest.mark.parametrize("version", VERSIONS)
def test_backward_errors_say_what_and_where(version, dy, winners, message):
    with pytest.raises(ValueError, match=message):
        call(version, "maxout_backward", dy, MaxoutCache(winners, 2, (1, 6)))


@pytest.mark.parametrize("version", VERSIONS)
def test_backward_refuses_the_cache_of_another_operation(version):
    _, cache = ops.relu(np.ones((1, 3)))
    with pytest.raises(TypeError, match="cache is a ReluCache: expected the MaxoutCache"):
        call(version, "maxout_backward", np.ones((1, 3)), cache)
