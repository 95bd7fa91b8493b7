"""Area averaging: against arithmetic by hand, Pillow, and repetition followed by block means."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minicnn.data import resize, resize_loops
from minicnn.data.resize import from_bytes

extent = st.integers(1, 23)


def test_by_hand():
    # 5 -> 2: each output covers 2.5 pixels. (1 + 2 + 4/2) / 2.5 = 2; (4/2 + 8 + 16) / 2.5 = 10.4
    assert resize(np.array([[1.0, 2.0, 4.0, 8.0, 16.0]]), (1, 2)).tolist() == [[2.0, 10.4]]
    # 2 -> 3: 2/3 of a pixel each; the middle one is half of both
    assert resize(np.array([[0.0], [6.0]]), (3, 1)).ravel().tolist() == pytest.approx([0, 3, 6])
    # 3 -> 2 both ways: corner = (1*0 + .5*1 + .5*3 + .25*4) / 2.25 for the image 0..8
    assert resize(np.arange(9.0).reshape(3, 3), 2)[0, 0] == pytest.approx(3 / 2.25)


@given(extent, extent, extent, extent, st.integers(0, 2**32 - 1))
def test_loops_and_matrices_equal_repeat_then_mean(H, W, OH, OW, seed):
    image = np.random.default_rng(seed).random((H, W))
    # Every pixel repeated OH x OW times makes the extents multiples of the output's: plain block means.
    expected = image.repeat(OH, 0).repeat(OW, 1).reshape(OH, H, OW, W).mean(axis=(1, 3))
    np.testing.assert_allclose(resize_loops(image, (OH, OW)), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(resize(image, (OH, OW)), expected, rtol=0, atol=1e-12)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 6), st.integers(1, 6))
def test_equals_pillow_box_and_reduce_for_whole_factors(OH, OW, fy, fx):
    pixels = (
        np.random.default_rng(OH * 1000 + OW * 100 + fy * 10 + fx)
        .random((OH * fy, OW * fx))
        .astype(np.float32)
    )
    image = Image.fromarray(pixels)
    np.testing.assert_allclose(
        resize(pixels, (OH, OW)), image.resize((OW, OH), Image.Resampling.BOX), atol=2e-6
    )
    np.testing.assert_allclose(resize(pixels, (OH, OW)), image.reduce((fx, fy)), atol=2e-6)


@given(extent, extent, st.integers(1, 40))
def test_mean_is_kept_and_white_stays_white(H, W, size):
    pixels = np.random.default_rng(H * W).random((H, W))
    assert resize(pixels, size).mean() == pytest.approx(pixels.mean(), abs=1e-12)
    assert np.all(resize(np.ones((H, W), np.float32), size) == 1)


def test_leading_axes_and_dtypes():
    images = np.random.default_rng(0).integers(0, 256, (1030, 2, 3, 4), dtype=np.uint8)  # more than one block
    small = resize(images, (2, 3))
    assert small.shape == (1030, 2, 2, 3) and small.dtype == np.float32
    for n in (0, 511, 512, 1029):
        np.testing.assert_allclose(small[n, 1], resize_loops(images[n, 1], (2, 3)), rtol=1e-6)
    assert resize(np.ones((2, 2)), 1).dtype == np.float64


def test_from_bytes_divides_by_255_and_resizes_only_if_needed():
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    same = from_bytes(every, 16)
    assert same.dtype == np.float32 and np.array_equal(np.rint(same * 255), every)
    assert (same.min(), same.max()) == (0, 1)
    assert from_bytes(every, 1).item() == pytest.approx(127.5 / 255)


@pytest.mark.parametrize(
    "shape, size, said", [((4,), 2, r"shape \(4,\)"), ((0, 3), 2, "at least 1"), ((3, 3), 0, "size=0")]
)
def test_impossible_sizes(shape, size, said):
    with pytest.raises(ValueError, match=said):
        resize(np.zeros(shape), size)
