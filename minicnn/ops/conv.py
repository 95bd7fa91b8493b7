"""Convolution: slide F small kernels over an image and write down how well each one matches, everywhere.

Equation
--------
With strides (sy, sx) and zero padding (py, px)::

    y[n,f,oy,ox] = b[f] + sum over c,ky,kx of  w[f,c,ky,kx] * x[n, c, oy*sy + ky - py, ox*sx + kx - px]

where x is zero outside the image. Strictly this is cross-correlation; neural networks call it convolution.
Each side gives ``OH = floor((H + 2*py - KH) / sy) + 1`` outputs: see `output_size` on the page of im2col.

A worked example: one image, one channel, one 2x2 kernel, b = 1::

    x           w          y                                  dy          dx              dw         db
    1 2 3                                                                  1  1 -2
    4 5 6       1 2        38 48    38 = 1 + 1*1 + 2*2        1 -1         5  5 -4         7  9       2
    7 8 9       3 4        68 78           + 3*4 + 4*5        2  0         6  8  0        13 15

Shapes
------
=========  =========================  =========================================================
x, dx      (N, C, H, W)               images of C channels
w, dw      (F, C, KH, KW)             F kernels, each as deep as the image
b, db      (F,) or None               one number for each kernel
y, dy      (N, F, OH, OW)             one map for each kernel
columns    (N, C*KH*KW, OH*OW)        `im2col`: each window unrolled into one column
=========  =========================  =========================================================

Gradient
--------
Every product w*x in the equation adds, when L is differentiated, dy*x to that w and dy*w to that x::

    dw[f,c,ky,kx] = sum over n,oy,ox of  dy[n,f,oy,ox] * x[n, c, oy*sy + ky - py, ox*sx + kx - px]
    db[f]         = sum over n,oy,ox of  dy[n,f,oy,ox]
    dx[n,c,iy,ix] = sum over f and all (oy,ky,ox,kx) with  oy*sy + ky - py = iy  and  ox*sx + kx - px = ix
                             of  dy[n,f,oy,ox] * w[f,c,ky,kx]

*Why is the kernel rotated?* Take one dimension, stride 1, no padding: y[o] = sum_k w[k] x[o+k]. An output
looks *right* to the inputs o, o+1, ...; so an input i is seen from its *left*, by the outputs i, i-1, ...::

    x[i] meets  w[0] in y[i],  w[1] in y[i-1],  w[2] in y[i-2]:

    dx[i] = w[0] dy[i] + w[1] dy[i-1] + w[2] dy[i-2]

    read dy from left to right:    dy[i-2]  dy[i-1]  dy[i]
    and the kernel runs backward:   w[2]     w[1]    w[0]            that is w, rotated

In two dimensions both axes are reversed, a turn by 180 degrees: dx is the correlation of dy, padded with
KH-1-py zeros, with the rotated kernel, f and c swapped. In the example, dx[1,1] = 1*4 - 1*3 + 2*2 + 0*1 = 5.
With a stride, sy-1 zeros are first put between the rows of dy. Code need not rotate anything: scattering dy*w
back to where its x came from (`col2im`) gives the same sum.

Cost
----
Forward ``2*N*F*OH*OW * C*KH*KW`` FLOPs; backward twice that (once for dw, once for dx). The least traffic is
x + w + y; `im2col` writes and reads KH*KW/(sy*sx) copies of x besides. CNN1's second convolution (N=128,
C=32, F=48, 5x5, 12x12 to 8x8, float32): 0.63 GFLOP forward, x is 2.4 MB, its columns are 26 MB. The cache
therefore keeps x, not the columns: the backward pass unrolls again, one more copy against 11 times the
memory.

Pitfalls
--------
* Forgetting to add where windows overlap (stride < kernel): ``dx[...] = ...`` keeps the last window only.
* Rows that no window reaches (stride > kernel, or a ragged edge) have gradient 0; they still belong to dx.
* A bias right before a normalisation or a softmax over f is redundant; b may be None, and then db is None.
* The sum over N*OH*OW products in dw is long: check gradients in float64.

Where the paper uses it: the first three layers of CNN1, the first five of CNN2, the first three of CNN3.

Source: LeCun et al. 1998, Gradient-based learning applied to document recognition, section II; unrolling into
a matrix product: Chellapilla, Puri and Simard 2006, High performance convolutional neural networks for
document processing.
"""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import InputTypeError, array_module, as_floating, operation, pair
from minicnn.ops.im2col import Pair, col2im, im2col, window_counts


class ConvCache(NamedTuple):
    """What the backward pass of a convolution needs. The columns are not kept: see Cost on this page."""

    x: Any
    w: Any
    has_bias: bool
    stride: tuple[int, int]
    pad: tuple[int, int]


def _check(x: Any, w: Any, b: Any, stride: Pair, pad: Pair) -> tuple[Any, ...]:
    """Return the arguments of `conv2d` checked and normalised."""
    x, w = as_floating(x, "x", 4), as_floating(w, "w", 4)
    b = None if b is None else as_floating(b, "b", 1)
    stride, pad = pair(stride, "stride", 1), pair(pad, "pad", 0)
    for name, array, axes in (("x", x, "(N, C, H, W)"), ("w", w, "(F, C, KH, KW)")):
        if min(array.shape) < 1:
            raise ValueError(f"{name} has shape {array.shape}: expected {axes}, each at least 1")
    if w.shape[1] != x.shape[1]:
        raise ValueError(f"x has shape {x.shape}, that is {x.shape[1]} channels, but w has shape {w.shape}: "
                         f"expected w of shape (F, {x.shape[1]}, KH, KW)")
    if b is not None and b.shape != w.shape[:1]:
        raise ValueError(f"b has shape {b.shape}: expected {w.shape[:1]}, one value for each kernel of "
                         f"w {w.shape}, or None")
    for name, array in (("w", w), ("b", b)):
        if array is not None and array.dtype != x.dtype:
            raise InputTypeError(f"{name} has dtype {array.dtype} but x has {x.dtype}: expected one dtype, "
                                 "convert one of them with .astype")
    window_counts("x", x.shape, w.shape[2:], stride, pad)
    return x, w, b, stride, pad


def _check_backward(dy: Any, cache: Any) -> tuple[Any, ConvCache]:
    """Return the arguments of `conv2d_backward`, `dy` checked to be shaped like y."""
    if not isinstance(cache, ConvCache):
        raise InputTypeError(f"cache is a {type(cache).__name__}: expected the ConvCache that conv2d returned")
    dy = as_floating(dy, "dy", 4)
    x, w, _, stride, pad = cache
    expected = (x.shape[0], w.shape[0], *window_counts("x", x.shape, w.shape[2:], stride, pad))
    if dy.shape != expected:
        raise ValueError(f"dy has shape {dy.shape}: expected {expected}, the shape of this convolution's y")
    if dy.dtype != x.dtype:
        raise InputTypeError(f"dy has dtype {dy.dtype} but x has {x.dtype}: expected one dtype, use "
                             f"dy.astype({str(x.dtype)!r})")
    return dy, cache


# ----------------------------------------------------------------------------- loops: the equation, literally

def conv2d_loops(x: Any, w: Any, b: Any, stride: Pair = 1, pad: Pair = 0) -> tuple[Any, ConvCache]:
    """Compute `conv2d` term by term, as the equation at the top of this page is written."""
    x, w, b, (sy, sx), (py, px) = _check(x, w, b, stride, pad)
    (N, C, H, W), (F, _, KH, KW) = x.shape, w.shape
    OH, OW = window_counts("x", x.shape, (KH, KW), (sy, sx), (py, px))
    y = array_module(x).zeros((N, F, OH, OW), x.dtype)
    for n, f, oy, ox in np.ndindex(N, F, OH, OW):
        if b is not None:
            y[n, f, oy, ox] = b[f]
        for c, ky, kx in np.ndindex(C, KH, KW):
            iy, ix = oy * sy + ky - py, ox * sx + kx - px
            if 0 <= iy < H and 0 <= ix < W:  # x is zero outside the image
                y[n, f, oy, ox] += w[f, c, ky, kx] * x[n, c, iy, ix]
    return y, ConvCache(x, w, b is not None, (sy, sx), (py, px))


def conv2d_loops_backward(dy: Any, cache: ConvCache) -> tuple[Any, Any, Any]:
    """Compute `conv2d_backward` by sending each dy back along every product of the forward pass."""
    dy, (x, w, has_bias, (sy, sx), (py, px)) = _check_backward(dy, cache)
    (_, C, H, W), (F, _, KH, KW) = x.shape, w.shape
    xp = array_module(x)
    dx, dw, db = xp.zeros_like(x), xp.zeros_like(w), xp.zeros(F, x.dtype)
    for n, f, oy, ox in np.ndindex(dy.shape):
        db[f] += dy[n, f, oy, ox]
        for c, ky, kx in np.ndindex(C, KH, KW):
            iy, ix = oy * sy + ky - py, ox * sx + kx - px
            if 0 <= iy < H and 0 <= ix < W:
                dw[f, c, ky, kx] += dy[n, f, oy, ox] * x[n, c, iy, ix]
                dx[n, c, iy, ix] += dy[n, f, oy, ox] * w[f, c, ky, kx]
    return dx, dw, db if has_bias else None


# -------------------------------------------------------------- vectorised: unroll the windows, then one GEMM

@operation(_check)
def conv2d(x: Any, w: Any, b: Any, stride: Any = 1, pad: Any = 0) -> tuple[Any, ConvCache]:
    """Convolve a batch of images with F kernels (cross-correlation, as everywhere in deep learning).

    Parameters
    ----------
    x : array (N, C, H, W)
        Images, float32 or float64.
    w : array (F, C, KH, KW)
        Kernels, of the dtype of x.
    b : array (F,) or None
        One number added to each map.
    stride, pad : int or (height, width)
        Step between windows, at least 1; zeros added on both sides, at least 0.

    Returns
    -------
    y : array (N, F, OH, OW)
    cache : ConvCache
        For `conv2d_backward` or `conv2d_loops_backward`.

    Raises
    ------
    ValueError, TypeError
        Axes, channel counts, dtypes or extents that do not fit each other; the message names them.

    Examples
    --------
    >>> x = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    >>> y, cache = conv2d(x, np.array([[[[1.0, 2.0], [3.0, 4.0]]]]), np.array([1.0]))
    >>> y[0, 0]
    array([[38., 48.],
           [68., 78.]])

    Source: LeCun et al. 1998, section II; the equation at the top of this page.
    """
    xp = array_module(x)
    N, (F, C, KH, KW) = x.shape[0], w.shape
    OH, OW = window_counts("x", x.shape, (KH, KW), stride, pad)
    cols = im2col(x, (KH, KW), stride, pad)                                              # (N, C*KH*KW, OH*OW)
    y = xp.matmul(w.reshape(F, C * KH * KW), cols)                                          # (N, F, OH*OW)
    if b is not None:
        y += b[:, None]                                                                     # (F, 1)
    return y.reshape(N, F, OH, OW), ConvCache(x, w, b is not None, stride, pad)


@operation(_check_backward)
def conv2d_backward(dy: Any, cache: ConvCache) -> tuple[Any, Any, Any]:
    """Return the gradients of a convolution with respect to its image, kernels and bias.

    Parameters
    ----------
    dy : array (N, F, OH, OW)
        Gradient of the loss with respect to y.
    cache : ConvCache
        From the forward pass of any version of this operation.

    Returns
    -------
    dx, dw, db : arrays shaped like x, w and b
        `db` is None where b was None.

    Raises
    ------
    ValueError, TypeError
        `dy` is not shaped like y, its dtype is not that of x, or `cache` is of another operation.

    Examples
    --------
    >>> x = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    >>> y, cache = conv2d(x, np.array([[[[1.0, 2.0], [3.0, 4.0]]]]), np.array([1.0]))
    >>> dx, dw, db = conv2d_backward(np.array([[[[1.0, -1.0], [2.0, 0.0]]]]), cache)
    >>> dw[0, 0], db
    (array([[ 7.,  9.],
           [13., 15.]]), array([2.]))

    Source: the derivation at the top of this page; LeCun et al. 1998, section II.
    """
    x, w, has_bias, stride, pad = cache
    xp = array_module(x)
    N, (F, C, KH, KW) = x.shape[0], w.shape
    dy_flat = dy.reshape(N, F, dy.shape[2] * dy.shape[3])                                   # (N, F, OH*OW)
    cols = im2col(x, (KH, KW), stride, pad)                                              # (N, C*KH*KW, OH*OW)
    dw = xp.tensordot(dy_flat, cols, axes=((0, 2), (0, 2)))                                 # (F, C*KH*KW)
    dcols = xp.matmul(w.reshape(F, C * KH * KW).T, dy_flat)                              # (N, C*KH*KW, OH*OW)
    dx = col2im(dcols, x.shape, (KH, KW), stride, pad)                                      # (N, C, H, W)
    return dx, dw.reshape(w.shape), dy.sum(axis=(0, 2, 3)) if has_bias else None


# ---------------------------------------------------------------------------------------------------- kernels
#
# numba (kernels/numba_conv.py). The loop over images n runs in parallel, so each thread owns the y[n] and
# dx[n] it writes, and no two threads write to one place. Inside, images lie channels last: row ky of a window
# is then KW*C contiguous numbers that can be multiplied where they are, so columns are never materialised. A
# tile of output pixels times filters stays in registers until its sum is complete, and every output is
# written once. With padding, the pixels of a tile are one pixel of several images, which all see the same part
# of their windows inside the image, so the zeros around it are never multiplied. dx here *is* the textbook form
# of this page: the same forward kernel, run over dy bordered (and, with a stride, interleaved) with zeros, with
# the rotated w. dw sums over images, which several threads share: each of a fixed number of parts of the batch has
# its own partial dw, added up in the end in a fixed order, so that results do not depend on the number of
# threads.
#
# cupy (kernels/cupy_conv.py, whose kernels are those of cupy_fused.py). A block of threads owns a tile of one image's
# output; slabs of maps and their weights pass through shared memory, and a thread keeps several pixels times
# several filters in registers. Again there are no columns, and each output is written once, by one thread; partial sums
# of dw over parts of the batch are added up in a fixed order.
