"""Every operation on the cupy backend against NumPy in float64, over drawn shapes.

Without a GPU, `cupy` is the stand-in of `tests.fake_cupy`, which runs the CUDA sources on the CPU: each launch in two
orders of threads, with guards around its arrays.
"""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minicnn import device, ops, use_backend
from minicnn.kernels import cupy_dropout
from minicnn.layers import Parameter
from minicnn.optim import limit_norms, sgd_update

few = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
FLOATS = ["float32", "float64"]


def close(actual, expected, dtype):
    """Within 1e-5 of the largest in float32, 1e-12 in float64; the same shape and dtype; nothing left out."""
    actual = actual.get()
    assert actual.shape == np.shape(expected) and actual.dtype == dtype
    scale = np.abs(expected).max(initial=0) or 1
    error = np.abs(actual - expected).max(initial=0)
    assert error <= (1e-5 if dtype == "float32" else 1e-12) * scale, f"{error / scale:.1e} of the largest"


def numbers(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def both(cupy, name, dtype, arrays, *options):
    """Call an operation on float64 arrays in NumPy, and on arrays of `dtype` on the device."""
    with use_backend("numpy"):
        expected = getattr(ops, name)(*arrays, *options)
    with use_backend("cupy"):
        moved = [None if a is None else cupy.asarray(a.astype(dtype) if a.dtype.kind == "f" else a) for a in arrays]
        return expected, getattr(ops, name)(*moved, *options)


# (N, C, H, W), (F, KH, KW), stride, pad: a stride wider than the kernel, padding beyond it, one pixel, many filters
CONVOLUTIONS = [((2, 3, 7, 6), (5, 3, 2), (1, 1), (0, 0)), ((3, 1, 9, 9), (17, 5, 5), (1, 1), (2, 1)),
                ((2, 2, 8, 7), (3, 2, 2), (3, 2), (1, 0)), ((1, 9, 4, 4), (4, 4, 4), (1, 1), (3, 3)),
                ((2, 4, 1, 1), (6, 1, 1), (1, 1), (0, 0)), ((5, 2, 6, 6), (2, 1, 1), (2, 2), (0, 0))]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("x_shape, kernel, stride, pad", CONVOLUTIONS)
def test_convolution(cupy, x_shape, kernel, stride, pad, bias, dtype):
    x, w = numbers(0, *x_shape), numbers(1, kernel[0], x_shape[1], *kernel[1:])
    b = numbers(2, kernel[0]) if bias else None
    (y, cache), (y_device, cache_device) = both(cupy, "conv2d", dtype, (x, w, b), stride, pad)
    close(y_device, y, dtype)
    dy = numbers(3, *y.shape)
    with use_backend("numpy"):
        expected = ops.conv2d_backward(dy, cache)
    with use_backend("cupy"):
        gradients = ops.conv2d_backward(cupy.asarray(dy.astype(dtype)), cache_device)
    for ours, theirs in zip(gradients, expected):
        if theirs is not None:
            close(ours, theirs, dtype)
    assert (gradients[2] is None) == (b is None)


@few
@given(seed=st.integers(0, 99), C=st.integers(1, 3), H=st.integers(3, 8), W=st.integers(3, 8),
       size=st.tuples(st.integers(1, 3), st.integers(1, 3)), stride=st.tuples(st.integers(1, 3), st.integers(1, 4)),
       pad=st.tuples(st.integers(0, 2), st.integers(0, 1)))
def test_columns_and_back(cupy, seed, C, H, W, size, stride, pad):
    x = numbers(seed, 2, C, H, W)
    cols, cols_device = both(cupy, "im2col", "float64", (x,), size, stride, pad)
    close(cols_device, cols, "float64")
    expected, image = both(cupy, "col2im", "float64", (numbers(seed + 1, *cols.shape),), x.shape, size, stride, pad)
    close(image, expected, "float64")


@pytest.mark.parametrize("dtype", FLOATS)
@few
@given(seed=st.integers(0, 99), H=st.integers(4, 9), W=st.integers(4, 9),
       size=st.tuples(st.integers(1, 4), st.integers(2, 4)), stride=st.tuples(st.integers(1, 4), st.integers(1, 3)),
       padded=st.booleans(), ceil_mode=st.booleans())
def test_pooling(cupy, dtype, seed, H, W, size, stride, padded, ceil_mode):
    """Small integers, negative too: ties, overlap, and a padding of 0 that would win."""
    x = np.random.default_rng(seed).integers(-4, 1, (2, 3, H, W)).astype(float)
    pad = (size[0] // 2, size[1] // 2) if padded else (0, 0)
    (y, cache), (y_device, cache_device) = both(cupy, "max_pool2d", dtype, (x,), size, stride, pad, ceil_mode)
    assert (y_device.get() == y).all() and (cache_device.winners.get() == cache.winners).all()
    dy = numbers(seed, *y.shape)
    with use_backend("numpy"):
        expected = ops.max_pool2d_backward(dy, cache)
    with use_backend("cupy"):
        close(ops.max_pool2d_backward(cupy.asarray(dy.astype(dtype)), cache_device), expected, dtype)


@pytest.mark.parametrize("pieces, shape", [(2, (3, 4, 5, 2)), (3, (2, 6)), (1, (2, 3, 4)), (4, (5, 8, 1, 1)),
                                           (2, (2, 4, 0, 3))])
def test_maxout(cupy, pieces, shape):
    x = np.random.default_rng(0).integers(-3, 4, shape).astype(float)
    (y, cache), (y_device, cache_device) = both(cupy, "maxout", "float32", (x,), pieces)
    assert (y_device.get() == y).all() and (cache_device.winners.get() == cache.winners).all()
    dy = numbers(1, *y.shape)
    with use_backend("numpy"):
        expected = ops.maxout_backward(dy, cache)
    with use_backend("cupy"):
        close(ops.maxout_backward(cupy.asarray(dy.astype("f4")), cache_device), expected, "float32")


@pytest.mark.parametrize("name, options", [("relu", ()), ("maxout", (2,)), ("max_pool2d", (2,))])
def test_not_a_number_is_never_hidden(cupy, name, options):
    """A maximum that ignores NaN would hide a diverged network."""
    x = np.arange(16.0).reshape(1, 2, 2, 4) - 4
    for place in range(16):
        x_bad = x.copy()
        x_bad.flat[place] = np.nan
        expected, actual = both(cupy, name, "float32", (x_bad,), *options)
        np.testing.assert_array_equal(actual[0].get(), expected[0])


@pytest.mark.parametrize("shape", [(7,), (3, 5, 2), (300,)])
def test_relu(cupy, shape):
    x = numbers(0, *shape)
    x.flat[0] = 0
    (y, _), (y_device, cache_device) = both(cupy, "relu", "float32", (x,))
    close(y_device, y, "float32")
    dy = numbers(1, *shape)
    with use_backend("cupy"):
        close(ops.relu_backward(cupy.asarray(dy.astype("f4")), cache_device), dy * (x > 0), "float32")


@pytest.mark.parametrize("dtype", FLOATS)
@few
@given(N=st.integers(1, 70), D=st.integers(1, 70), F=st.integers(1, 70), bias=st.booleans())
def test_fully_connected(cupy, dtype, N, D, F, bias):
    x, w, b, dy = numbers(0, N, D), numbers(1, F, D), numbers(2, F) if bias else None, numbers(3, N, F)
    (y, cache), (y_device, cache_device) = both(cupy, "linear", dtype, (x, w, b))
    close(y_device, y, dtype)
    with use_backend("numpy"):
        expected = ops.linear_backward(dy, cache)
    with use_backend("cupy"):
        for ours, theirs in zip(ops.linear_backward(cupy.asarray(dy.astype(dtype)), cache_device), expected):
            assert (ours is None) == (theirs is None)
            if theirs is not None:
                close(ours, theirs, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("N, K", [(1, 1), (5, 3), (7, 300), (200, 121)])
def test_softmax_cross_entropy(cupy, N, K, dtype):
    logits, labels = 30 * numbers(0, N, K), np.random.default_rng(1).integers(0, K, N)
    (loss, cache), (loss_device, cache_device) = both(cupy, "softmax_cross_entropy", dtype, (logits, labels))
    assert isinstance(loss_device, float) and loss_device == pytest.approx(loss, rel=1e-5, abs=1e-6)
    with use_backend("numpy"):
        expected = ops.softmax_cross_entropy_backward(cache)
    with use_backend("cupy"):
        close(cache_device.probabilities, cache.probabilities, dtype)
        close(ops.softmax_cross_entropy_backward(cache_device), expected, dtype)


# ---------------------------------------------------------------------------------------------- dropout's numbers

@pytest.mark.parametrize("n", [1, 8, 9, 1000])
def test_the_mask_is_numpys_philox(cupy, n):
    """Another generator, but a known one: the same bits as NumPy's for the same key."""
    x = np.full(n, 3, np.float32)
    with use_backend("cupy"):
        y, cache = ops.dropout(cupy.asarray(x), 0.3, np.random.default_rng(5), scale=2.0)
        key = np.random.default_rng(5).integers(0, 2**64, 2, dtype=np.uint64)
        kept = np.random.Generator(np.random.Philox(key=key)).random(n, dtype=np.float32) >= 0.3
        np.testing.assert_array_equal(y.get(), 6.0 * kept)
        dx = ops.dropout_backward(cupy.asarray(x), cache)
    np.testing.assert_array_equal(dx.get(), 6.0 * kept)


def test_every_step_and_every_layer_draws_other_numbers_of_one_key(cupy):
    key, masks = cupy.asarray(np.array([3, 4], np.uint64)), []
    x = cupy.ones(500, np.float32)
    for step, number in [(0, 0), (1, 0), (0, 1), (7, 2)]:
        stream = cupy_dropout.Stream(key, cupy.asarray(np.array([step])), number)
        masks.append(cupy_dropout.dropout_of_stream(x, 0.5, stream, 1.0)[0].get())
        philox = np.random.Philox(key=[3, 4], counter=[0, step, number, 0])
        np.testing.assert_array_equal(masks[-1], np.random.Generator(philox).random(500, dtype=np.float32) >= 0.5)
    assert len({mask.tobytes() for mask in masks}) == 4


# --------------------------------------------------------------------------------------------------------- updates

@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("nesterov", [False, True])
def test_one_update(cupy, nesterov, dtype):
    w, g, v = (numbers(k, 4, 300) for k in range(3))
    arrays = [cupy.asarray(a.astype(dtype)) for a in (w, g, v)]
    with use_backend("numpy"):
        sgd_update(w, g, v, 0.1, 0.9, nesterov, 0.01)
        limit_norms(w, 10.0)
    with use_backend("cupy"):
        sgd_update(*arrays, 0.1, 0.9, nesterov, 0.01)
        limit_norms(arrays[0], 10.0)
    close(arrays[0], w, dtype)
    close(arrays[2], v, dtype)


def test_one_launch_updates_all_parameters_with_the_rates_of_its_step(cupy):
    """Biases and long rows have no limit; the others are scaled back to theirs; rates are those of the step."""
    shapes, limits = [(3, 2, 5), (3,), (2, 5000), (4, 1)], [0.5, 0.0, 0.0, 3.0]
    w, g, v = ([numbers(10 * k + j, *shape) for j, shape in enumerate(shapes)] for k in range(3))
    parameters = [Parameter(str(k), cupy.asarray(a)) for k, a in enumerate(w)]
    velocities = [cupy.asarray(a) for a in v]
    update = device.Update(parameters, velocities, limits, False, 0.0)
    for parameter, gradient in zip(parameters, g):
        parameter.grad[...] = cupy.asarray(gradient)
    before = cupy.launches if hasattr(cupy, "launches") else None
    update(cupy.asarray(np.array([[9.0, 9.0], [0.1, 0.9]])), cupy.asarray(np.array([1])))
    assert before is None or cupy.launches == before + 1
    with use_backend("numpy"):
        for value, grad, velocity, limit in zip(w, g, v, limits):
            sgd_update(value, grad, velocity, 0.1, 0.9)
            if limit:
                limit_norms(value, limit)
    for ours, theirs in zip([*(p.value for p in parameters), *velocities], [*w, *v]):
        close(ours, theirs, "float64")
