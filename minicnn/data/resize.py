r"""Resizing by area averaging: every output pixel is the mean of the image over the rectangle that it covers.

Think of the image as piecewise constant: pixel (y, x) is a unit square of value ``image[y, x]``. Shrinking 5
columns to 2 makes output columns that are 2.5 input columns wide::

    input    |  0  |  1  |  2  |  3  |  4  |        y[0] = (x[0] + x[1] + x[2]/2) / 2.5
    output   |      0       |      1       |        y[1] = (x[2]/2 + x[3] + x[4]) / 2.5

In general, with a(oy, y) the length that output row oy and input row y have in common, and likewise b(ox,
x)::

    out[oy, ox] = sum_y sum_x a(oy, y) b(ox, x) image[y, x] / (area of an output pixel)

The weight is a product, so the double sum is two matrix products, ``A @ image @ B.T`` (`resize`). The mean
over the whole image is kept exactly, no pixel is left out however much the image shrinks (unlike
interpolation between a few neighbours), and no value leaves the range of the input. Enlarging is the same
formula: output pixels that lie inside one input pixel repeat it. The aspect ratio is kept only if `size`
keeps it.

Cost: ``OH*H*W + OH*W*OW`` multiply-adds an image. All sums are float64, whatever the input: in float32 a
white image could come out as 1.0000001.
"""
from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..backend import pair

_BLOCK = 1024  # images resized at a time: bounds the float64 copies at some megabytes


def resize_loops(image: Any, size: int | tuple[int, int]) -> np.ndarray:
    """Resize one image by area averaging, as explicit loops.

    Parameters
    ----------
    image : array of shape (H, W)
        Any real numbers.
    size : int or (height, width)
        Size of the result.

    Returns
    -------
    array of shape (OH, OW), float64

    Examples
    --------
    >>> resize_loops([[0, 1, 2, 3, 4]], (1, 2)).tolist()
    [[0.8, 3.2]]
    """
    image = np.asarray(image, dtype=np.float64)
    H, W = image.shape
    OH, OW = pair(size, "size", 1)
    out = np.zeros((OH, OW))
    for oy in range(OH):
        for ox in range(OW):
            # Lengths are counted in 1/OH of a row and 1/OW of a column: then every edge is an integer.
            for y in range(oy * H // OH, -(-(oy + 1) * H // OH)):
                height = min((oy + 1) * H, (y + 1) * OH) - max(oy * H, y * OH)
                for x in range(ox * W // OW, -(-(ox + 1) * W // OW)):
                    width = min((ox + 1) * W, (x + 1) * OW) - max(ox * W, x * OW)
                    out[oy, ox] += height * width * image[y, x]
            out[oy, ox] /= H * W
    return out


def resize(images: Any, size: int | tuple[int, int]) -> np.ndarray:
    """Resize images by area averaging, as two matrix products.

    Parameters
    ----------
    images : array of shape (..., H, W)
        Any number of leading axes; float32, float64 or integers.
    size : int or (height, width)
        Size of the results.

    Returns
    -------
    array of shape (..., OH, OW)
        float64 if `images` are, else float32.

    Raises
    ------
    ValueError
        Fewer than two axes, an extent of 0, or a size less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> resize(np.array([[0.0, 4.0], [8.0, 12.0]]), 1)
    array([[6.]])
    >>> resize(np.array([[1.0, 2.0]]), (1, 3))              # the middle pixel covers a third of each
    array([[1. , 1.5, 2. ]])
    """
    images = np.asarray(images)
    if images.ndim < 2 or 0 in images.shape[-2:]:
        raise ValueError(f"images have shape {images.shape}: expected (..., H, W) with H and W at least 1")
    *leading, H, W = images.shape
    OH, OW = pair(size, "size", 1)
    A, B = _weights(H, OH), _weights(W, OW)                             # (OH, H), (OW, W)
    flat = images.reshape(-1, H, W)
    out = np.empty((len(flat), OH, OW), dtype=np.float64 if images.dtype == np.float64 else np.float32)
    for start in range(0, len(flat), _BLOCK):
        block = flat[start:start + _BLOCK].astype(np.float64)           # (n, H, W)
        out[start:start + _BLOCK] = A @ block @ B.T                     # (n, OH, OW)
    return out.reshape(*leading, OH, OW)


def from_bytes(images: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Return 8-bit images as float32 in [0, 1], resized by area averaging unless they have that size already.

    Parameters
    ----------
    images : uint8 array of shape (..., H, W)
        Any number of leading axes.
    size : int or (height, width)
        Size of the results.

    Returns
    -------
    float32 array of shape (..., OH, OW)

    Examples
    --------
    >>> import numpy as np
    >>> from_bytes(np.array([[0, 255]], dtype=np.uint8), (1, 2))
    array([[0., 1.]], dtype=float32)
    """
    if images.shape[-2:] != pair(size, "size", 1):
        images = resize(images, size)
    return np.divide(images, np.float32(255), dtype=np.float32)


@functools.lru_cache(maxsize=4096)
def _weights(n: int, size: int) -> np.ndarray:
    """Return the (size, n) matrix that averages n pixels into `size`; its rows sum to 1."""
    o, i = np.arange(size)[:, None], np.arange(n)[None, :]
    overlap = np.minimum((o + 1) * n, (i + 1) * size) - np.maximum(o * n, i * size)     # in 1/size of a pixel
    weights = np.maximum(overlap, 0) / n
    weights.flags.writeable = False  # shared by every later call
    return weights
