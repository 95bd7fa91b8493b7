"""Fused layers, forward and both ways backward, against torch over drawn shapes; and their independence of threads."""
from __future__ import annotations

import threading

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.kernels import numba_conv, numba_dense, numba_fused, numba_winners
from minicnn.kernels.geometry import Geometry
from minicnn.kernels.numba_fused import DEAD

EXAMPLES = 15 if numba.config.DISABLE_JIT else 200


@st.composite
def layers(draw):
    """A fused layer small enough to be interpreted, and a batch for it: sizes, geometry, seed.

    Filters and channels go past one register, so that whole vectors and their tails both occur; images go past the
    rows of a tile, so that with a border both kinds of tile occur.
    """
    def some(low, high):
        return draw(st.integers(low, high))

    kernel, stride, pad = (some(1, 4), some(1, 3)), (some(1, 2), some(1, 3)), (some(0, 2), some(0, 1))
    pieces = draw(st.sampled_from([1, 1, 2, 3]))
    pooled = draw(st.booleans())
    window = (some(1, 3), some(1, 3)) if pooled else (1, 1)
    pool_stride = (some(1, 3), some(1, 3)) if pooled else (1, 1)
    pool_pad = (some(0, window[0] // 2), some(0, window[1] // 2)) if pooled else (0, 0)
    geometry = Geometry(stride, pad, pieces, pieces == 1, window, pool_stride, pool_pad, draw(st.booleans()))
    low = [max(1, k + (w - 1) * s - 2 * p) for k, w, s, p in zip(kernel, window, stride, pad)]
    image = (low[0] + some(0, 4), low[1] + some(0, 4))
    return (some(1, 19), draw(st.sampled_from([1, 2, 9, 17]))), image, draw(st.sampled_from([1, 5, 16, 35])) * pieces, \
        kernel, geometry, some(0, 2**32 - 1)


def batch(case, dtype):
    (N, C), image, F, kernel, _, seed = case
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((N, *image, C)), rng.standard_normal((F, C, *kernel))
    return x.astype(dtype), w.astype(dtype), rng.standard_normal(F).astype(dtype), rng


def torch_layer(torch, x, w, b, g):
    """Convolution, maxout or ReLU, pooling, as torch does them: images (N, C, H, W) in, channels last out."""
    f = torch.nn.functional
    z = f.conv2d(x, w, b, g.stride, g.pad)
    if g.pieces > 1:
        z = z.view(len(x), -1, g.pieces, *z.shape[2:]).amax(2)
    if g.relu:
        z = f.relu(z)
    return f.max_pool2d(z, g.window, g.pool_stride, g.pool_pad, ceil_mode=g.ceil_mode).permute(0, 2, 3, 1)


def assert_close(ours, theirs, name, tolerance):
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape, name
    error, size = np.abs(ours - theirs).max(), np.abs(theirs).max()
    assert error <= tolerance * max(size, 1e-30), f"{name}: {error} of {size}"


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-10), ("float32", 1e-4)])
@settings(max_examples=EXAMPLES)
@given(case=layers())
def test_output_and_gradients_are_those_of_torch(torch, dtype, tolerance, case):
    x, w, b, rng = batch(case, dtype)
    # The copy matters: torch 2.13 convolves a permuted float32 view of one channel (strides 6, 1, 3, 1) wrongly.
    tensors = [torch.tensor(a, requires_grad=True) for a in (x.transpose(0, 3, 1, 2).copy(), w, b)]
    expected = torch_layer(torch, *tensors, case[4])
    dy = rng.standard_normal(tuple(expected.shape)).astype(dtype)
    expected.backward(torch.tensor(dy))

    y, cache = numba_fused.forward(x, w, b, case[4])
    gradients = numba_winners.backward(dy, cache)

    assert_close(y, expected, "y", tolerance)
    for name, ours, theirs in zip(("dx", "dw", "db"), gradients, (tensors[0].grad.permute(0, 2, 3, 1),
                                                                  tensors[1].grad, tensors[2].grad)):
        assert_close(ours, theirs, name, tolerance)


@settings(max_examples=EXAMPLES)
@given(case=layers())
def test_going_over_the_winners_equals_the_dense_way(case):
    """Both ways to each gradient; the dense one only exists where every output is its own winner."""
    g = case[4]._replace(window=(1, 1), pool_stride=(1, 1), pool_pad=(0, 0), pieces=1)
    x, w, b, rng = batch(case, "float64")
    y, cache = numba_fused.forward(x, w, b, g)
    dy = rng.standard_normal(y.shape)
    for sparse, dense in zip(numba_winners.weight_gradient(dy, cache),
                             numba_dense.weight_gradient(dy, cache)):
        np.testing.assert_allclose(sparse, dense, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(numba_winners.input_gradient(dy, cache, np.full_like(x, np.nan)),
                               numba_dense.input_gradient(dy, cache, np.full_like(x, np.nan)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("pad", [0, 1])
def test_the_images_are_overwritten_only_where_that_is_allowed(pooled, pad):
    """The gradients are the same bits; with a border, or without permission, the images stay as they are."""
    window = (2, 2) if pooled else (1, 1)
    g = Geometry((1, 1), (pad, pad), 1, True, window, window, (0, 0), False)
    x, w, b, rng = batch(((9, 3), (6, 7), 5, (3, 3), g, 4), "float32")
    y, cache = numba_fused.forward(x, w, b, g)
    dy, before = rng.standard_normal(y.shape, dtype=np.float32), x.copy()
    kept = numba_winners.backward(dy, cache)
    assert (x == before).all()
    over = numba_winners.backward(dy, cache, overwrite_x=True)
    assert [a.tobytes() for a in over] == [a.tobytes() for a in kept]
    assert np.shares_memory(over[0], x) == (pad == 0)
    assert (x == (over[0] if pad == 0 else before)).all()


@pytest.mark.parametrize("vectors", range(24))
def test_rows_of_every_length_are_added_whole(vectors):
    """However `FIRST` divides a row among registers, each of its numbers is added once."""
    lanes = numba_conv.lanes_of(np.float64)
    length = vectors * lanes + vectors % 3
    rng = np.random.default_rng(vectors)
    rows, at, g = rng.standard_normal(length + 40), np.array([3, 0, 31]), rng.standard_normal(3)
    out = np.zeros(length + 8)
    numba_winners.add_rows(out, 5, length, rows, at, g, 0, 3, 4, lanes)
    np.testing.assert_allclose(out[5:5 + length], sum(k * rows[a + 4:][:length] for a, k in zip(at, g)), atol=1e-12)
    assert not out[:5].any() and not out[5 + length:].any()


def test_ties_go_to_the_first_maximum_and_zeros_of_relu_to_nobody():
    """Hand-made: a 1x1 convolution by 1 shows the image itself to a 2x2 window with ReLU."""
    image = np.array([[5, 5, -1, 0], [5, 5, -2, 0]], np.float32).reshape(1, 2, 4, 1)
    g = Geometry((1, 1), (0, 0), 1, True, (2, 2), (2, 2), (0, 0), False)
    y, cache = numba_fused.forward(image, np.ones((1, 1, 1, 1), np.float32), np.zeros(1, np.float32), g)
    assert y.ravel().tolist() == [5, 0]
    assert cache.winners.ravel().tolist() == [0, DEAD]
    dx, dw, db = numba_winners.backward(np.array([3, 7], np.float32).reshape(y.shape), cache)
    assert dx.ravel().tolist() == [3, 0, 0, 0, 0, 0, 0, 0]
    assert (dw.ravel().tolist(), db.tolist()) == ([15], [3])


@pytest.mark.parametrize("filters", [1, 16, 21])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_not_a_number_is_never_hidden_by_pooling(filters, place):
    """In every place of the window, in whole vectors and in their tails: a maximum that ignored NaN would hide
    a diverged network."""
    image = np.array([1, 2, 3, 4], np.float32)
    image[place] = np.nan
    g = Geometry((1, 1), (0, 0), 1, True, (2, 2), (2, 2), (0, 0), False)
    y, cache = numba_fused.forward(image.reshape(1, 2, 2, 1), np.ones((filters, 1, 1, 1), np.float32),
                                   np.zeros(filters, np.float32), g)
    assert np.isnan(y).all()
    assert (cache.winners == place).all()


def one_step(case, threads):
    numba.set_num_threads(threads)
    try:
        x, w, b, rng = batch(case, "float32")
        y, cache = numba_fused.forward(x, w, b, case[4])
        return [y, *numba_winners.backward(rng.standard_normal(y.shape, dtype=np.float32), cache)]
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)


@pytest.mark.skipif(numba.config.DISABLE_JIT or numba.config.NUMBA_NUM_THREADS < 2,
                    reason="interpreted, or one processor: there is one number of threads")
@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("C", [1, 20])
def test_the_number_of_threads_does_not_change_a_bit(C, pooled):
    window = (2, 2) if pooled else (1, 1)
    case = (37, C), (9, 11), 40, (3, 3), Geometry((1, 1), (1, 1), 1, True, window, window, (0, 0), False), 5
    for one, many in zip(one_step(case, 1), one_step(case, numba.config.NUMBA_NUM_THREADS)):
        assert one.tobytes() == many.tobytes()


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="interpreted: there are no parallel regions")
def test_several_python_threads_may_call_at_once():
    """Without the lock of `parallel_region`, Numba's workqueue layer aborts the process here."""
    case = (16, 3), (9, 9), 8, (3, 3), Geometry((1, 1), (0, 0), 1, True, (2, 2), (2, 2), (0, 0), False), 1
    expected = one_step(case, numba.get_num_threads())
    failures: list[object] = []

    def work():
        for _ in range(5):
            if any(a.tobytes() != b.tobytes() for a, b in zip(expected, one_step(case, numba.get_num_threads()))):
                failures.append("differs")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_filters_a_page_apart_are_packed_as_all_are():
    """They are copied first, to lie otherwise: with the same result."""
    w = np.random.default_rng(0).random((6, 16, 8, 8), dtype=np.float32)  # 4,096 bytes each
    packed = numba_conv.pack_weights(w, pieces=2)
    np.testing.assert_array_equal(packed[3, 5 * 16 + 7, :6], w[[0, 2, 4, 1, 3, 5], 7, 3, 5])
    assert packed[:, :, :6].sum() == pytest.approx(w.sum())


def test_weights_are_packed_by_piece_and_padded_to_registers():
    w = np.arange(4 * 2 * 1 * 1, dtype=np.float32).reshape(4, 2, 1, 1)
    packed = numba_conv.pack_weights(w, pieces=2)
    assert packed.shape[2] % numba_conv.lanes_of(np.float32) == 0
    assert packed[0, :, :4].tolist() == [[0, 4, 2, 6], [1, 5, 3, 7]]
    assert not packed[0, :, 4:].any()
