"""Convolution and im2col: against torch, by hand, version against version; and the errors."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config

from minicnn import ops
from minicnn.backend import use_backend
from minicnn.ops.conv import ConvCache

from .versions import VERSIONS, assert_close, call, draw


@st.composite
def cases(draw_from):
    """A convolution small enough for the loops: shapes of x and w, stride, pad, with a bias or not, seed."""
    def some(low, high):
        return draw_from(st.integers(low, high))

    KH, KW = some(1, 3), some(1, 4)
    stride, pad = (some(1, 5), some(1, 4)), (some(0, 2), some(0, 3))
    H, W = some(max(1, KH - 2 * pad[0]), 6), some(max(1, KW - 2 * pad[1]), 6)
    N, C, F = some(1, 3), some(1, 3), some(1, 4)
    return (N, C, H, W), (F, C, KH, KW), stride, pad, draw_from(st.booleans()), some(0, 2**32 - 1)


def arrays(case, dtype):
    x_shape, w_shape, _, _, bias, seed = case
    rng = np.random.default_rng(seed)
    b = draw(rng, w_shape[:1], dtype) if bias else None
    return draw(rng, x_shape, dtype), draw(rng, w_shape, dtype), b, rng


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=200)
@given(case=cases())
def test_output_and_gradients_are_those_of_torch(torch, version, dtype, case):
    x, w, b, rng = arrays(case, dtype)
    stride, pad = case[2:4]
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, w, b) if a is not None]
    expected = torch.nn.functional.conv2d(*tensors, stride=stride, padding=pad)
    dy = draw(rng, expected.shape, dtype)
    expected.backward(torch.tensor(dy))

    y, cache = call(version, "conv2d", x, w, b, stride, pad)
    gradients = call(version, "conv2d_backward", dy, cache)

    assert_close(y, expected.detach(), "y", dtype)
    for name, tensor, gradient in zip(("dx", "dw", "db"), tensors, gradients):
        assert_close(gradient, tensor.grad, name, dtype)
    assert b is not None or gradients[2] is None


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=200)
@given(case=cases())
def test_im2col_and_col2im_are_unfold_and_fold_of_torch(torch, version, case):
    (N, C, H, W), (_, _, KH, KW), stride, pad, _, _ = case
    x, _, _, rng = arrays(case, "float64")
    cols = call(version, "im2col", x, (KH, KW), stride, pad)
    expected = torch.nn.functional.unfold(torch.tensor(x), (KH, KW), padding=pad, stride=stride)
    assert_close(cols, expected, "cols", "float64")

    dcols = draw(rng, cols.shape, "float64")
    dx = call(version, "col2im", dcols, (N, C, H, W), (KH, KW), stride, pad)
    expected = torch.nn.functional.fold(torch.tensor(dcols), (H, W), (KH, KW), padding=pad, stride=stride)
    assert_close(dx, expected, "dx", "float64")


@pytest.mark.parametrize("backward", VERSIONS)
@pytest.mark.parametrize("forward", VERSIONS)
@settings(max_examples=20)
@given(case=cases())
def test_any_backward_accepts_the_cache_of_any_forward(forward, backward, case):
    x, w, b, rng = arrays(case, "float64")
    y, cache = call(forward, "conv2d", x, w, b, *case[2:4])
    dy = draw(rng, y.shape, "float64")
    for name, actual, expected in zip(("dx", "dw", "db"), call(backward, "conv2d_backward", dy, cache),
                                      call(forward, "conv2d_backward", dy, cache)):
        assert (actual is None) == (expected is None)
        if actual is not None:
            assert_close(actual, expected, name, "float64")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_example_computed_by_hand_on_the_page(version):
    x = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    y, cache = call(version, "conv2d", x, np.array([[[[1.0, 2], [3, 4]]]]), np.array([1.0]))
    dx, dw, db = call(version, "conv2d_backward", np.array([[[[1.0, -1], [2, 0]]]]), cache)
    np.testing.assert_array_equal(y, [[[[38, 48], [68, 78]]]])
    np.testing.assert_array_equal(dx, [[[[1, 1, -2], [5, 5, -4], [6, 8, 0]]]])
    np.testing.assert_array_equal(dw, [[[[7, 9], [13, 15]]]])
    np.testing.assert_array_equal(db, [2])

    np.testing.assert_array_equal(call(version, "im2col", x, 2)[0],
                                  [[1, 2, 4, 5], [2, 3, 5, 6], [4, 5, 7, 8], [5, 6, 8, 9]])
    np.testing.assert_array_equal(call(version, "col2im", call(version, "im2col", x, 2), x.shape, 2)[0, 0],
                                  [[1, 4, 3], [8, 20, 12], [7, 16, 9]])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_layers_of_the_paper_are_those_of_torch(torch, version, dtype):
    """CNN1's layers 1 to 3 with a batch of 16; thinned where Python runs every loop."""
    rng = np.random.default_rng(0)
    thin = 1 if version == "loops" or config.DISABLE_JIT else 16
    for C, F, extent, pad in ((1, 2 * thin, 28, 0), (2 * thin, 3 * thin, 12, 0), (3 * thin, 4 * thin, 4, 1)):
        x, w = draw(rng, (thin, C, extent, extent), dtype), draw(rng, (F, C, 5, 5), dtype)
        b = draw(rng, (F,), dtype)
        tensors = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
        expected = torch.nn.functional.conv2d(*tensors, padding=pad)
        dy = draw(rng, expected.shape, dtype)
        expected.backward(torch.tensor(dy))
        y, cache = call(version, "conv2d", x, w, b, 1, pad)
        assert_close(y, expected.detach(), "y", dtype)
        gradients = call(version, "conv2d_backward", dy, cache)
        for name, tensor, gradient in zip(("dx", "dw", "db"), tensors, gradients):
            assert_close(gradient, tensor.grad, name, dtype)


@pytest.mark.parametrize("version", VERSIONS)
def test_arrays_that_are_not_contiguous_and_integer_input(version):
    rng = np.random.default_rng(3)
    x, w = rng.integers(-4, 5, (5, 6, 3, 2)), rng.integers(-4, 5, (2, 3, 4, 4))
    x, w = x.T[:, :, ::-1], w.T[:, 1:]
    y, cache = call(version, "conv2d", x, w, None)  # integers become float32
    expected, _ = call("loops", "conv2d", x.copy(), w.copy(), None)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, expected)
    dy = rng.normal(size=y.shape[::-1]).T.astype(np.float32)
    for actual, reference in zip(call(version, "conv2d_backward", dy, cache)[:2],
                                 call("loops", "conv2d_backward", dy.copy(), cache)[:2]):
        assert_close(actual, reference, "gradient", "float32")


@pytest.mark.parametrize("version", VERSIONS)
def test_neither_pass_changes_its_arguments(version):
    case = (2, 2, 5, 4), (3, 2, 3, 2), (2, 1), (1, 1), True, 5
    x, w, b, rng = arrays(case, "float64")
    before = x.copy(), w.copy(), b.copy()
    y, cache = call(version, "conv2d", x, w, b, (2, 1), 1)
    dy = draw(rng, y.shape, "float64")
    dy_before = dy.copy()
    call(version, "conv2d_backward", dy, cache)
    for after, saved in zip((x, w, b, dy), (*before, dy_before)):
        np.testing.assert_array_equal(after, saved)


@settings(max_examples=300)
@given(n=st.integers(1, 12), size=st.integers(1, 8), stride=st.integers(1, 9), pad=st.integers(0, 4),
       ceil_mode=st.booleans())
def test_output_size_is_that_of_torch(torch, n, size, stride, pad, ceil_mode):
    pad = min(pad, size // 2)  # torch refuses more for pooling
    image = torch.zeros(1, 1, n)
    try:
        expected = torch.nn.functional.max_pool1d(image, size, stride, pad, ceil_mode=ceil_mode).shape[2]
    except RuntimeError:
        given = f"n={n}, window size={size}, stride={stride}, pad={pad}"
        with pytest.raises(ValueError, match=rf"{given}.* no window fits"):
            ops.output_size(n, size, stride, pad, ceil_mode)
    else:
        assert ops.output_size(n, size, stride, pad, ceil_mode) == expected


@pytest.mark.parametrize("arguments", [(0, 1, 1, 0), (5, 0, 1, 0), (5, 1, 0, 0), (5, 1, 1, -1)])
def test_output_size_refuses_extents_that_cannot_be(arguments):
    n, size, stride, pad = arguments
    with pytest.raises(ValueError, match=f"n={n}, window size={size}, stride={stride}, pad={pad}.*at least"):
        ops.output_size(*arguments)


X, W, B = np.ones((2, 3, 5, 6)), np.ones((4, 3, 3, 2)), np.ones(4)


@pytest.mark.parametrize("arguments, error, message", [
    ((X[0], W, B), ValueError, r"x has shape \(3, 5, 6\): expected 4 axes"),
    ((X, W[0], B), ValueError, r"w has shape \(3, 3, 2\): expected 4 axes"),
    ((X, W, B[None]), ValueError, r"b has shape \(1, 4\): expected 1 axes"),
    ((X[:0], W, B), ValueError, r"x has shape \(0, 3, 5, 6\): expected \(N, C, H, W\), each at least 1"),
    ((X, W[:, :, :0], B), ValueError, r"w has shape \(4, 3, 0, 2\): expected \(F, C, KH, KW\), each"),
    ((X, W[:, :2], B), ValueError,
     r"x has shape \(2, 3, 5, 6\), that is 3 channels, but w has shape \(4, 2, 3, 2\): "
     r"expected w of shape \(F, 3, KH, KW\)"),
    ((X, W, B[:3]), ValueError,
     r"b has shape \(3,\): expected \(4,\), one value for each kernel of w \(4, 3, 3, 2\), or None"),
    ((X, W.astype("f4"), B), TypeError, "w has dtype float32 but x has float64: expected one dtype"),
    ((X, W, B.astype("f4")), TypeError, "b has dtype float32 but x has float64: expected one dtype"),
    ((X.astype("f2"), W, B), TypeError, "x has dtype float16: expected float32"),
    ((X, W, B, 0), ValueError, "stride=0: expected values not less than 1"),
    ((X, W, B, 1.5), ValueError, r"stride=1.5: expected an integer or a \(height, width\) pair"),
    ((X, W, B, (1, 2, 3)), ValueError, r"stride=\(1, 2, 3\): expected an integer or a \(height, width"),
    ((X, W, B, 1, -1), ValueError, "pad=-1: expected values not less than 0"),
    ((X, W, B, 1, True), ValueError, r"pad=True: expected an integer"),
    ((X[:, :, :2], W, B), ValueError,
     r"x has shape \(2, 3, 2, 6\): its 2x6 images, with pad \(0, 0\), are smaller than the 3x2 kernel "
     r"\(stride \(1, 1\)\)"),
    ((X[..., :1], W, B, 2, (1, 0)), ValueError, r"its 5x1 images, with pad \(1, 0\), are smaller than"),
])
@pytest.mark.parametrize("version", VERSIONS)
def test_forward_errors_say_what_and_where(version, arguments, error, message):
    with pytest.raises(error, match=message):
        call(version, "conv2d", *arguments)


@pytest.mark.parametrize("dy, error, message", [
    (np.ones((2, 4, 3)), ValueError, r"dy has shape \(2, 4, 3\): expected 4 axes"),
    (np.ones((2, 4, 3, 6)), ValueError, r"dy has shape \(2, 4, 3, 6\): expected \(2, 4, 3, 5\), the shape"),
    (np.ones((2, 4, 3, 5), "f4"), TypeError, "dy has dtype float32 but x has float64: expected one dtype"),
])
@pytest.mark.parametrize("version", VERSIONS)
def test_backward_errors_say_what_and_where(version, dy, error, message):
    with pytest.raises(error, match=message):
        call(version, "conv2d_backward", dy, ConvCache(X, W, True, (1, 1), (0, 0)))
    with pytest.raises(TypeError, match="cache is a tuple: expected the ConvCache that conv2d returned"):
        call(version, "conv2d_backward", np.ones((2, 4, 3, 5)), (X, W))


@pytest.mark.parametrize("version", VERSIONS)
def test_im2col_and_col2im_errors_say_what_and_where(version):
    for arguments, message in (
            ((X, 0), "size=0: expected values not less than 1"),
            ((X[0], 2), r"x has shape \(3, 5, 6\): expected 4 axes"),
            ((X, (6, 2)), r"its 5x6 images, with pad \(0, 0\), are smaller than the 6x2 kernel")):
        with pytest.raises(ValueError, match=message):
            call(version, "im2col", *arguments)
    cols = np.ones((2, 12, 20))
    for arguments, message in (
            ((cols[0], X.shape, 2), r"cols has shape \(12, 20\): expected 3 axes"),
            ((cols, X.shape[1:], 2), r"x_shape=\(3, 5, 6\): expected \(N, C, H, W\)"),
            ((cols, X.shape, 6), "images, with pad .* are smaller than the 6x6 kernel"),
            ((cols, X.shape, 2, 2), r"cols has shape \(2, 12, 20\): expected .* = \(2, 12, 6\) for images")):
        with pytest.raises(ValueError, match=message):
            call(version, "col2im", *arguments)


def test_the_cache_does_not_hold_the_columns():
    with use_backend("numpy"):
        _, cache = ops.conv2d(X, W, B)
    assert cache.x is X and cache.w is W  # no copy, and nothing else that grows with the batch
    assert ConvCache._fields == ("x", "w", "has_bias", "stride", "pad")
