"""im2col: unroll every window of an image into a column, so that convolution becomes one matrix product.

Equation
--------
With strides (sy, sx), zero padding (py, px), and x zero outside the image::

    cols[n, (c*KH + ky)*KW + kx, oy*OW + ox] = x[n, c, oy*sy + ky - py, ox*sx + kx - px]

A row belongs to one kernel entry (c, ky, kx), a column to one output pixel (oy, ox). A 3x3 image, 2x2
windows::

    x                   cols                        col2im(cols)
              kernel entry   window 00 01 10 11
    1 2 3     (0, 0)                 1  2  4  5       1  4  3       the centre lies in 4 windows,
    4 5 6     (0, 1)                 2  3  5  6       8 20 12       edges in 2, corners in 1
    7 8 9     (1, 0)                 4  5  7  8       7 16  9
              (1, 1)                 5  6  8  9

Shapes
------
====  ======================  ====================================================
x     (N, C, H, W)            images
cols  (N, C*KH*KW, OH*OW)     OH and OW from `output_size`, which pooling shares
====  ======================  ====================================================

Gradient
--------
Each entry of cols copies one x, so dL/dx sums dL/dcols over all its copies: that sum is `col2im`, the
transpose of im2col. It is not the inverse: a pixel in k windows comes back k times (the example), one in no
window as 0.

Cost
----
No FLOPs forward, N*C*KH*KW*OH*OW additions back. cols holds KH*KW/(sy*sx) times as many numbers as x: that
memory, and the time to write and read it, is the price of handing the whole sum to one matrix product.

Pitfalls
--------
* ``=`` for ``+=`` in col2im is right only where windows do not overlap.
* An extent that the stride does not divide leaves a ragged edge that no window reaches; it must come back as
  0.
* Ceil mode is for pooling. A last window must start inside the image or its left padding, or it would hold
  padding only.

Where the paper uses it: it is not named there; on the numpy backend every convolution of the three networks
is computed this way.

Source: Chellapilla, Puri and Simard 2006, High performance convolutional neural networks for document
processing.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.backend import array_module, as_floating, operation, pair
from minicnn.inputs import sequence

Pair = int | tuple[int, int]


def output_size(n: int, size: int, stride: int, pad: int, ceil_mode: bool = False) -> int:
    """Return how many windows fit along one side of an image; convolution and pooling share this rule.

    Parameters
    ----------
    n : int
        Extent of the image, in pixels.
    size, stride, pad : int
        Extent of the window, step from one window to the next, and pixels added on *both* sides.
    ceil_mode : bool
        Keep a last window that reaches beyond the right edge, provided that it starts inside the image or
        its left padding.

    Raises
    ------
    ValueError
        No window fits, or an argument is out of range.

    Examples
    --------
    >>> output_size(28, 5, 1, 0)
    24
    >>> output_size(21, 4, 2, 0), output_size(21, 4, 2, 0, ceil_mode=True)    # CNN3's first pooling
    (9, 10)
    """
    given = f"input extent n={n}, window size={size}, stride={stride}, pad={pad}, ceil_mode={ceil_mode}"
    if not all(isinstance(k, (int, np.integer)) for k in (n, size, stride, pad)) or \
            min(n, size, stride) < 1 or pad < 0:
        raise ValueError(f"{given}: expected integers, n, size and stride of at least 1 and pad of at least 0")
    room = n + 2 * pad - size
    out = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (out - 1) * stride >= n + pad:
        out -= 1
    if out < 1:
        raise ValueError(f"{given}: no window fits, expected n + 2*pad >= size; enlarge the input or pad, "
                         "or use a smaller window")
    return out


def window_counts(name: str, shape: tuple[int, ...], size: tuple[int, ...], stride: tuple[int, int],
             pad: tuple[int, int]) -> tuple[int, int]:
    """Return (OH, OW) for images of `shape`, or say which image is smaller than the window."""
    H, W = shape[2:]
    if H + 2 * pad[0] < size[0] or W + 2 * pad[1] < size[1]:
        raise ValueError(f"{name} has shape {tuple(shape)}: its {H}x{W} images, with pad {pad}, are smaller "
                         f"than the {size[0]}x{size[1]} kernel (stride {stride}); use larger images, a "
                         "smaller kernel, or pad")
    return output_size(H, size[0], stride[0], pad[0]), output_size(W, size[1], stride[1], pad[1])


def _check_im2col(x: Any, size: Pair, stride: Pair, pad: Pair) -> tuple[Any, ...]:
    """Return the arguments of `im2col` checked and normalised."""
    x = as_floating(x, "x", 4)
    size, stride, pad = pair(size, "size", 1), pair(stride, "stride", 1), pair(pad, "pad", 0)
    window_counts("x", x.shape, size, stride, pad)
    return x, size, stride, pad


def _check_col2im(cols: Any, x_shape: tuple[int, ...], size: Pair, stride: Pair,
                  pad: Pair) -> tuple[Any, ...]:
    """Return the arguments of `col2im` checked and normalised."""
    cols = as_floating(cols, "cols", 3)
    size, stride, pad = pair(size, "size", 1), pair(stride, "stride", 1), pair(pad, "pad", 0)
    x_shape = sequence(x_shape) or ()
    if len(x_shape) != 4 or not all(isinstance(n, (int, np.integer)) and n >= 1 for n in x_shape):
        raise ValueError(f"x_shape={x_shape!r}: expected (N, C, H, W), each at least 1")
    N, C = x_shape[:2]
    OH, OW = window_counts("x", x_shape, size, stride, pad)
    expected = (N, C * size[0] * size[1], OH * OW)
    if cols.shape != expected:
        raise ValueError(f"cols has shape {cols.shape}: expected (N, C*KH*KW, OH*OW) = {expected} for "
                         f"images of shape {tuple(x_shape)}, size {size}, stride {stride} and pad {pad}")
    return cols, tuple(x_shape), size, stride, pad


# ----------------------------------------------------------------------------- loops: the equation, literally

def im2col_loops(x: Any, size: Pair, stride: Pair = 1, pad: Pair = 0) -> Any:
    """Compute `im2col` entry by entry: kernel entry (c, ky, kx) of window (oy, ox) copies one pixel."""
    x, (KH, KW), (sy, sx), (py, px) = _check_im2col(x, size, stride, pad)
    N, C, H, W = x.shape
    OH, OW = window_counts("x", x.shape, (KH, KW), (sy, sx), (py, px))
    cols = array_module(x).zeros((N, C * KH * KW, OH * OW), x.dtype)
    for n, c, ky, kx, oy, ox in np.ndindex(N, C, KH, KW, OH, OW):
        iy, ix = oy * sy + ky - py, ox * sx + kx - px
        if 0 <= iy < H and 0 <= ix < W:
            cols[n, (c * KH + ky) * KW + kx, oy * OW + ox] = x[n, c, iy, ix]
    return cols


def col2im_loops(cols: Any, x_shape: tuple[int, ...], size: Pair, stride: Pair = 1, pad: Pair = 0) -> Any:
    """Compute `col2im` entry by entry: `im2col_loops` turned round, with ``+=`` because windows overlap."""
    cols, (N, C, H, W), (KH, KW), (sy, sx), (py, px) = _check_col2im(cols, x_shape, size, stride, pad)
    OH, OW = window_counts("x", x_shape, (KH, KW), (sy, sx), (py, px))
    x = array_module(cols).zeros((N, C, H, W), cols.dtype)
    for n, c, ky, kx, oy, ox in np.ndindex(N, C, KH, KW, OH, OW):
        iy, ix = oy * sy + ky - py, ox * sx + kx - px
        if 0 <= iy < H and 0 <= ix < W:
            x[n, c, iy, ix] += cols[n, (c * KH + ky) * KW + kx, oy * OW + ox]
    return x


# ------------------------------------------------------------------------------------------------- vectorised

@operation(_check_im2col)
def im2col(x: Any, size: Pair, stride: Any = 1, pad: Any = 0) -> Any:
    """Unroll every window of an image into one column, so that convolution becomes a matrix product.

    Parameters
    ----------
    x : array (N, C, H, W)
        Images, float32 or float64.
    size, stride, pad : int or (height, width)
        Extent and step of the windows, and zeros on both sides.

    Returns
    -------
    cols : array (N, C*KH*KW, OH*OW)
        Rows run over (c, ky, kx), columns over (oy, ox), the last one fastest.

    Raises
    ------
    ValueError, TypeError
        Not four axes, a size below 1, or images smaller than the window.

    Examples
    --------
    >>> im2col(np.array([[[[1, 2, 3], [4, 5, 6]]]]), size=2)[0]      # two windows, side by side
    array([[1., 2.],
           [2., 3.],
           [4., 5.],
           [5., 6.]], dtype=float32)

    Source: Chellapilla, Puri and Simard 2006.
    """
    (KH, KW), (sy, sx), (py, px) = size, stride, pad  # type: ignore[misc]
    xp = array_module(x)
    N, C = x.shape[:2]
    OH, OW = window_counts("x", x.shape, (KH, KW), (sy, sx), (py, px))
    padded = xp.pad(x, ((0, 0), (0, 0), (py, py), (px, px)))                            # (N, C, H+2py, W+2px)
    cols = xp.empty((N, C, KH, KW, OH, OW), x.dtype)
    for ky in range(KH):  # KH*KW strided copies of whole maps, instead of OH*OW copies of small windows
        for kx in range(KW):
            cols[:, :, ky, kx] = padded[:, :, ky:ky + sy * OH:sy, kx:kx + sx * OW:sx]       # (N, C, OH, OW)
    return cols.reshape(N, C * KH * KW, OH * OW)


@operation(_check_col2im)
def col2im(cols: Any, x_shape: tuple[int, ...], size: Any, stride: Any = 1, pad: Any = 0) -> Any:
    """Add every column back to the pixels it was read from: the transpose of `im2col`, not its inverse.

    Parameters
    ----------
    cols : array (N, C*KH*KW, OH*OW)
        Columns, from `im2col`.
    x_shape : (N, C, H, W)
        Shape of the images to return.
    size, stride, pad : int or (height, width)
        The same as for `im2col`.

    Returns
    -------
    x : array (N, C, H, W)
        A pixel covered by k windows is the sum of k entries; one covered by none is 0.

    Raises
    ------
    ValueError, TypeError
        `cols` does not belong to images of `x_shape`.

    Examples
    --------
    >>> col2im(np.ones((1, 4, 2)), (1, 1, 2, 3), size=2)[0, 0]     # the middle column lies in both windows
    array([[1., 2., 1.],
           [1., 2., 1.]])

    Source: the derivation at the top of this page.
    """
    (KH, KW), (sy, sx), (py, px) = size, stride, pad
    xp = array_module(cols)
    N, C, H, W = x_shape
    OH, OW = window_counts("x", x_shape, (KH, KW), (sy, sx), (py, px))
    cols = cols.reshape(N, C, KH, KW, OH, OW)
    padded = xp.zeros((N, C, H + 2 * py, W + 2 * px), cols.dtype)
    for ky in range(KH):  # inside one (ky, kx) no two windows share a pixel, so one += adds them all
        for kx in range(KW):
            padded[:, :, ky:ky + sy * OH:sy, kx:kx + sx * OW:sx] += cols[:, :, ky, kx]      # (N, C, OH, OW)
    return padded[:, :, py:py + H, px:px + W]                                               # (N, C, H, W)


# ---------------------------------------------------------------------------------------------------- kernels
#
# None on the CPU: the loops over (ky, kx) above are already long strided copies, and the fast convolution
# does without columns altogether (see the page of conv).
#
# cupy_im2col.py: one thread owns one entry of cols, or, in col2im, one pixel of x, which gathers its own k entries, so
# that no two threads ever add to the same place. Large images, which do not fit the convolution kernels, need them.
