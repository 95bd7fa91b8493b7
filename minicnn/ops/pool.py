"""Max-pooling: each output is the largest value of a small window.

Equation
--------
With windows of KH x KW, strides (sy, sx) and padding (py, px)::

    y[n, c, oy, ox] =  max over ky < KH, kx < KW  of  x[n, c, oy*sy + ky - py, ox*sx + kx - px]

Cells outside x count as minus infinity, so padding moves windows but never wins.

Worked example
--------------
One plane, windows of 2 x 2, stride 1: the windows overlap, and the 8 lies in four of them. `winners` holds
each maximum's flat index iy*W + ix in the plane (the 8 is at row 1, column 2: 1*4 + 2 = 6)::

    x                       y               winners         dy              dx
    +---+---+---+---+
    | 1 | 5 | 2 | 0 |       +---+---+---+   +---+---+---+   +---+---+---+   0   1   0   0
    +---+---+---+---+       | 5 | 8 | 8 |   | 1 | 6 | 6 |   | 1 | 2 | 3 |
    | 3 | 4 | 8 | 6 |       +---+---+---+   +---+---+---+   +---+---+---+   0   0  16   0    16 = 2+3+5+6
    +---+---+---+---+       | 7 | 8 | 8 |   | 8 | 6 | 6 |   | 4 | 5 | 6 |
    | 7 | 0 | 1 | 6 |       +---+---+---+   +---+---+---+   +---+---+---+   4   0   0   0
    +---+---+---+---+

Ceil mode keeps the ragged last window, floor mode (the default) drops it. Five cells, size 2, stride 2::

    floor    [a b] [c d]  e          2 outputs; e is never looked at and its gradient is 0
    ceil     [a b] [c d] [e  ]       3 outputs; the last window has one cell

Shapes
------
===============  =====================  ====================================================================
array            shape                  what
===============  =====================  ====================================================================
x, dx            (N, C, H, W)           feature maps
y, dy            (N, C, OH, OW)         OH = output_size(H, KH, sy, py, ceil_mode), see `minicnn.ops.conv`
cache.winners    (N, C, OH, OW) int32   flat index of the first maximum in the H x W plane, without padding
===============  =====================  ====================================================================

Gradient
--------
Around any x without a tie the winner of a window stays the same, so the output *is* that cell of x::

    d(y[n, c, oy, ox]) / d(x[n, c, i]) = 1 if i == winners[n, c, oy, ox] else 0

One cell may win several windows, and the chain rule sums over all the ways in which it reaches the loss::

    dx[n, c, i] = sum of dy[n, c, oy, ox] over all (oy, ox) with winners[n, c, oy, ox] == i

At a tie, any way to share dy among the equal cells is a subgradient; we give it all to the first in reading
order.

Cost
----
Forward: KH*KW - 1 comparisons per output; reads 4 bytes per cell of x, writes 4 + 4 per output (float32).
Backward: one addition per output; reads 8 bytes per output, writes 4 per cell of dx. On the first layer of
CNN1 with a batch of 128 (32 planes of 24 x 24 to 12 x 12): 1.8 MFLOP against 14 MB, bound by memory and not
by arithmetic.

Pitfalls
--------
* Padding with zeros instead of minus infinity: right until all values of a border window are negative.
* ``dx[winners] = dy`` instead of ``+=``: right until windows overlap (4 x 4 with stride 2 in CNN3), then
  silently small. NumPy's ``dx[winners] += dy`` is just as wrong: with repeated indices only the last
  addition survives.
* Winners counted in the padded plane, or a ragged last window that is read beyond the border.
* A padding of more than half the window could leave a window without a single real cell: it is refused.
* Starting the search from minus infinity instead of from a cell: a window that is -inf throughout has no
  winner then.
* NaN compares false with everything: unless asked for it, a maximum skips it and hides that the network
  diverged.

Where the paper uses it: CNN1 and CNN2 pool 2 x 2 with stride 2. CNN3 pools 4 x 4 with stride 2 in its first
two layers, where the printed shapes (21 -> 10, 9 -> 4) need ceil mode.

Source: Krizhevsky, Sutskever and Hinton 2012, ImageNet classification with deep convolutional neural
networks, section 3.4 (overlapping windows).
"""
from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import InputTypeError, array_module, as_floating, operation, pair
from minicnn.ops.im2col import output_size

Pair = tuple[int, int]


class PoolCache(NamedTuple):
    """What the backward pass of `max_pool2d` needs: which cell won each window, and the geometry."""

    x_shape: tuple[int, int, int, int]
    winners: Any
    size: Pair
    stride: Pair
    pad: Pair


def _check_max_pool2d(x: Any, size: Any, stride: Any, pad: Any,
                      ceil_mode: Any) -> tuple[Any, Pair, Pair, Pair, bool]:
    """Return the arguments of `max_pool2d` checked and normalised."""
    x = as_floating(x, "x", 4)
    size = pair(size, "size", 1)
    stride = size if stride is None else pair(stride, "stride", 1)
    pad = pair(pad, "pad", 0)
    half = size[0] // 2, size[1] // 2
    if pad[0] > half[0] or pad[1] > half[1]:
        raise ValueError(f"pad={pad} with size={size}: expected at most half the window, {half}, or a window "
                         "could lie wholly in the padding")
    if not 1 <= x.shape[2] * x.shape[3] < 2**31:
        raise ValueError(f"x has shape {x.shape}: expected planes of 1 to 2**31 - 1 cells, whose indices fit "
                         "in int32")
    return x, size, stride, pad, bool(ceil_mode)


def _check_max_pool2d_backward(dy: Any, cache: Any) -> tuple[Any, PoolCache]:
    """Return the arguments of `max_pool2d_backward`; a kernel can trust the cache."""
    if not isinstance(cache, PoolCache):
        raise InputTypeError(f"cache is a {type(cache).__name__}: expected the PoolCache that max_pool2d returned")
    dy = as_floating(dy, "dy", 4)
    winners, (N, C, H, W) = cache.winners, cache.x_shape
    if dy.shape != winners.shape:
        raise ValueError(f"dy has shape {dy.shape}: expected {winners.shape}, that of max_pool2d's output")
    # Kernels check no bounds: a winner outside the plane would write into somebody else's memory.
    inside = winners.size == 0 or (winners.min() >= 0 and winners.max() < H * W)
    if winners.dtype != np.int32 or winners.shape[:2] != (N, C) or not inside:
        raise ValueError(f"cache.winners ({winners.dtype}, shape {winners.shape}) does not fit x of shape "
                         f"{cache.x_shape}: expected int32 of shape ({N}, {C}, OH, OW), values from 0 to "
                         f"{H * W - 1}; was the cache altered?")
    return dy, cache


# ----------------------------------------------------------------------------- loops: the equation, literally

def max_pool2d_loops(x: Any, size: Any, stride: Any = None, pad: Any = 0,
                     ceil_mode: bool = False) -> tuple[Any, PoolCache]:
    """Maximum of each window, one cell at a time: `max_pool2d` as explicit loops."""
    x, size, stride, pad, ceil_mode = _check_max_pool2d(x, size, stride, pad, ceil_mode)
    xp = array_module(x)
    (N, C, H, W), (KH, KW), (sy, sx), (py, px) = x.shape, size, stride, pad
    OH, OW = output_size(H, KH, sy, py, ceil_mode), output_size(W, KW, sx, px, ceil_mode)
    y, winners = xp.empty((N, C, OH, OW), x.dtype), xp.empty((N, C, OH, OW), xp.int32)
    for n, c, oy, ox in np.ndindex(N, C, OH, OW):
        best, winner = -math.inf, None
        for ky, kx in np.ndindex(KH, KW):
            iy, ix = oy * sy + ky - py, ox * sx + kx - px
            if not (0 <= iy < H and 0 <= ix < W):
                continue  # padding: minus infinity never wins
            v = x[n, c, iy, ix]
            # >, not >=: the first of equals wins. The first real cell wins even if it is -inf itself.
            if winner is None or v > best or (math.isnan(v) and not math.isnan(best)):
                best, winner = v, iy * W + ix
        y[n, c, oy, ox], winners[n, c, oy, ox] = best, winner
    return y, PoolCache(x.shape, winners, size, stride, pad)


def max_pool2d_loops_backward(dy: Any, cache: PoolCache) -> Any:
    """Gradient of `max_pool2d`, one window at a time."""
    dy, cache = _check_max_pool2d_backward(dy, cache)
    dx = array_module(dy).zeros(cache.x_shape, dy.dtype)
    W = cache.x_shape[3]
    for n, c, oy, ox in np.ndindex(dy.shape):
        iy, ix = divmod(int(cache.winners[n, c, oy, ox]), W)
        dx[n, c, iy, ix] += dy[n, c, oy, ox]  # += because a cell may win several windows
    return dx


# ----------------------------------------------------------------------------- vectorised, for NumPy and CuPy

@operation(_check_max_pool2d)
def max_pool2d(x: Any, size: Any, stride: Any = None, pad: Any = 0,
               ceil_mode: bool = False) -> tuple[Any, PoolCache]:
    """Maximum over windows of each feature map.

    Parameters
    ----------
    x : array, (N, C, H, W)
        float32 or float64.
    size : int or (int, int)
        Height and width of the window, in cells.
    stride : int or (int, int), optional
        Step between windows; `size` by default, so that they tile the plane.
    pad : int or (int, int)
        Rows and columns of minus infinity on each side; at most half the window.
    ceil_mode : bool
        Keep a ragged last window (`minicnn.ops.conv.output_size` has the rule).

    Returns
    -------
    y : array, (N, C, OH, OW)
        dtype of `x`. A NaN in the window wins.
    cache : PoolCache
        For `max_pool2d_backward`.

    Raises
    ------
    TypeError
        `x` is not a real floating-point (or integer, or boolean) array of the backend in use.
    ValueError
        Wrong number of axes, impossible size, stride or padding, or a window larger than the padded plane.

    Examples
    --------
    >>> y, cache = max_pool2d([[[[1, 5, 2, 0], [3, 4, 8, 6], [7, 0, 1, 6]]]], size=2, stride=1)
    >>> y[0, 0].tolist(), cache.winners[0, 0].tolist()
    ([[5.0, 8.0, 8.0], [7.0, 8.0, 8.0]], [[1, 6, 6], [8, 6, 6]])
    """
    xp = array_module(x)
    (H, W), (KH, KW), (sy, sx), (py, px) = x.shape[2:], size, stride, pad
    OH, OW = output_size(H, KH, sy, py, ceil_mode), output_size(W, KW, sx, px, ceil_mode)
    below, right = max((OH - 1) * sy + KH - py - H, 0), max((OW - 1) * sx + KW - px - W, 0)
    border = (0, 0), (0, 0), (py, below), (px, right)
    padded = xp.pad(x, border, constant_values=-math.inf)                 # N C py+H+below px+W+right

    # Start from the first real cell of each window, so that a winner is never in the padding; then offer cell
    # after cell of all windows at once. "Not less or equal" is "greater, or one is NaN"; y == y keeps a NaN
    # once it is there.
    oy, ox = xp.arange(OH)[:, None] * sy - py, xp.arange(OW) * sx - px    # OH 1 and OW: corner of each window
    iy, ix = xp.maximum(oy, 0), xp.maximum(ox, 0)                         # OH 1 and OW: its first real cell
    y = x[:, :, iy, ix]                                                   # N C OH OW
    winners = xp.broadcast_to((iy * W + ix).astype(xp.int32), y.shape)    # N C OH OW
    for ky in range(KH):
        for kx in range(KW):
            v = padded[:, :, ky:ky + (OH - 1) * sy + 1:sy, kx:kx + (OW - 1) * sx + 1:sx]    # N C OH OW
            index = ((oy + ky) * W + ox + kx).astype(xp.int32)            # OH OW
            better = ~(v <= y) & (y == y)                                 # N C OH OW
            y = xp.where(better, v, y)                                    # N C OH OW
            winners = xp.where(better, index, winners)                    # N C OH OW
    return y, PoolCache(x.shape, winners, size, stride, pad)


@operation(_check_max_pool2d_backward)
def max_pool2d_backward(dy: Any, cache: PoolCache) -> Any:
    """Gradient of `max_pool2d`: every dy goes to the cell that won its window, and adds up there.

    Parameters
    ----------
    dy : array, (N, C, OH, OW)
        Gradient of the loss with respect to `y`.
    cache : PoolCache
        From the forward pass.

    Returns
    -------
    dx : array, (N, C, H, W)
        dtype of `dy`; 0 for cells that won no window.

    Raises
    ------
    TypeError
        `cache` is no PoolCache, or `dy` no floating-point array.
    ValueError
        `dy` has not the shape of the forward pass's output, or the cache was altered.

    Examples
    --------
    >>> y, cache = max_pool2d([[[[1, 5, 2, 0], [3, 4, 8, 6], [7, 0, 1, 6]]]], size=2, stride=1)
    >>> max_pool2d_backward([[[[1, 2, 3], [4, 5, 6]]]], cache)[0, 0].tolist()
    [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 16.0, 0.0], [4.0, 0.0, 0.0, 0.0]]
    """
    xp = array_module(dy)
    N, C, H, W = cache.x_shape
    planes = xp.arange(N * C).reshape(N, C, 1, 1) * (H * W)               # N C 1 1: where each plane begins
    dx = xp.zeros(N * C * H * W, dy.dtype)                                # N*C*H*W
    xp.add.at(dx, (planes + cache.winners).ravel(), dy.ravel())           # += also where an index repeats
    return dx.reshape(N, C, H, W)


# ---------------------------------------------------------------------------------------------------- kernels
#
# numba_pool.py: the loop over the N*C planes is parallel. The thread that owns a plane writes all of its y
# and winners, and backward all of its dx, so overlapping windows add up without atomics and in the same
# order every time. Windows are clipped to the plane instead of reading a padded copy, and `padded`,
# `better`, and the intermediate y and winners of each window cell are never materialised: x is read once
# from memory, y and winners are written once.
#
# cupy_pool.py: one thread for each output. Backward one thread for each cell of dx, which gathers what the few
# windows that cover it hand to their winner: nothing is ever added to one place by two threads, so there are no
# atomics, and the sums come in the same order every time.
