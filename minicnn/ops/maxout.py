"""Maxout: the largest of a few linear functions, an activation that is learned.

Equation
--------
Channels are taken in groups of `pieces` = P consecutive ones, and each group keeps its largest value::

    y[n, f, s] = max over p = 0 ... P-1 of  x[n, f*P + p, s]        f = 0 ... F-1,   F = C / P

where s stands for the position (oy, ox) in an image, or for nothing where x is (N, D).

Worked example
--------------
One sample of 4 channels, 3 positions each, `pieces` = 2::

            x               winners     y               dy              dx
    c=0     1   7   2                                                   0   6   7
    c=1     5   3   2       1   0   0   5   7   2       5   6   7       5   0   0       f=0
    -----------------------------------------------------------------------------
    c=2    -4   0   9                                                   0   9  10
    c=3    -1  -3   8       1   0   0  -1   0   9       8   9  10       8   0   0       f=1

In the last column of f=0 the pieces tie (2 and 2): the first one wins, and takes the whole gradient.

Shapes
------
===============  ==============================  ==========================================================
array            shape                           what
===============  ==============================  ==========================================================
x, dx            (N, F*P, H, W) or (N, F*P)      the linear functions' values; any number of further axes
y, dy            (N, F, H, W) or (N, F)          their maxima
cache.winners    shape of y, uint8               the piece, 0 ... P-1, that won
===============  ==============================  ==========================================================

Gradient
--------
Around any x without a tie, the winner of a group stays the same, so y *is* that element and ignores the
others::

    d(y[n, f, s]) / d(x[n, f*P + p, s]) = 1 if p == winners[n, f, s] else 0

    dx[n, f*P + p, s] = dy[n, f, s] * [p == winners[n, f, s]]

An element of x belongs to exactly one group, so nothing is ever added up, unlike in pooling, whose windows
overlap. At a tie, any way to share dy among the equal pieces is a subgradient; we give it all to the first.

Cost
----
P - 1 comparisons per output; 4 bytes read per element of x, 4 + 1 written per element of y (float32). With
P = 2 that is 1 FLOP per 13 bytes: bound by memory. On the first layer of CNN3 with a batch of 128 (96
channels of 21 x 21 to 48): 2.7 MFLOP, 35 MB. The real price of maxout is paid before it: P times the
filters, in the convolution below.

Pitfalls
--------
* *Which* channels form a group is a convention: consecutive ones here (channels 0 and 1 with P = 2), as
  reshaping (N, C, ...) to (N, F, P, ...) gives. Weights trained with the other convention, c = p*F + f,
  need their filters reordered.
* If the pieces of a group start out equal (all zero, say), they tie everywhere: the first takes every
  gradient, and the others never learn. Start from random weights.
* No activation follows: maxout is the activation, and can be negative.
* The winner is kept in one byte, so there are at most 256 pieces.

Where the paper uses it: after the three convolutions of CNN3, with 2, 2 and 4 pieces.

Source: Goodfellow, Warde-Farley, Mirza, Courville and Bengio 2013, Maxout networks, section 3.
"""
from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import InputTypeError, array_module, as_floating, operation


class MaxoutCache(NamedTuple):
    """What the backward pass of `maxout` needs: who won, and the shape of `x`."""

    winners: Any
    pieces: int
    x_shape: tuple[int, ...]


def _check_maxout(x: Any, pieces: Any) -> tuple[Any, int]:
    """Return the arguments of `maxout` checked and normalised."""
    x = as_floating(x, "x")
    if isinstance(pieces, bool) or not isinstance(pieces, (int, np.integer)) or not 1 <= pieces <= 256:
        raise ValueError(f"pieces={pieces!r}: expected an integer from 1 to 256")
    if x.ndim < 2 or x.shape[1] % pieces:
        raise ValueError(f"x has shape {x.shape} with pieces={pieces}: expected (N, C, ...) with C "
                         "divisible by the pieces")
    return x, int(pieces)


def _check_maxout_backward(dy: Any, cache: Any) -> tuple[Any, MaxoutCache]:
    """Return the arguments of `maxout_backward`; a kernel can trust the cache."""
    if not isinstance(cache, MaxoutCache):
        raise InputTypeError(f"cache is a {type(cache).__name__}: expected the MaxoutCache that maxout returned")
    dy = as_floating(dy, "dy")
    winners, pieces, (N, C, *rest) = cache
    expected = (N, C // pieces, *rest)
    if dy.shape != expected:
        raise ValueError(f"dy has shape {dy.shape}: expected {expected}, that of maxout's output")
    if winners.dtype != np.uint8 or winners.shape != dy.shape or (winners.size and winners.max() >= pieces):
        raise ValueError(f"cache.winners ({winners.dtype}, shape {winners.shape}) does not fit x of shape "
                         f"{cache.x_shape}: expected uint8 of shape {dy.shape}, values less than "
                         f"pieces={pieces}; was the cache altered?")
    return dy, cache


# ----------------------------------------------------------------------------- loops: the equation, literally

def maxout_loops(x: Any, pieces: int) -> tuple[Any, MaxoutCache]:
    """Maximum of each group of channels, one output at a time: `maxout` as explicit loops."""
    x, pieces = _check_maxout(x, pieces)
    xp = array_module(x)
    N, C, *rest = x.shape
    y = xp.empty((N, C // pieces, *rest), x.dtype)
    winners = xp.empty(y.shape, np.uint8)
    for n, f, *s in np.ndindex(y.shape):
        best, winner = x[n, f * pieces, *s], 0
        for p in range(1, pieces):
            v = x[n, f * pieces + p, *s]
            if v > best or (math.isnan(v) and not math.isnan(best)):  # >, not >=: the first of equals wins
                best, winner = v, p
        y[n, f, *s], winners[n, f, *s] = best, winner
    return y, MaxoutCache(winners, pieces, x.shape)


def maxout_loops_backward(dy: Any, cache: MaxoutCache) -> Any:
    """Gradient of `maxout`, one output at a time."""
    dy, (winners, pieces, x_shape) = _check_maxout_backward(dy, cache)
    dx = array_module(dy).zeros(x_shape, dy.dtype)
    for n, f, *s in np.ndindex(dy.shape):
        dx[n, f * pieces + int(winners[n, f, *s]), *s] = dy[n, f, *s]
    return dx


# ----------------------------------------------------------------------------- vectorised, for NumPy and CuPy

@operation(_check_maxout)
def maxout(x: Any, pieces: int) -> tuple[Any, MaxoutCache]:
    """Maximum over groups of `pieces` consecutive channels.

    Parameters
    ----------
    x : array, (N, C) or (N, C, H, W)
        float32 or float64. Any number of axes after the channels will do.
    pieces : int
        Size of a group; divides C.

    Returns
    -------
    y : array, (N, C // pieces) or (N, C // pieces, H, W)
        dtype of `x`. A NaN in the group wins.
    cache : MaxoutCache
        For `maxout_backward`.

    Raises
    ------
    TypeError
        `x` is not a real floating-point (or integer, or boolean) array of the backend in use.
    ValueError
        `pieces` is no integer from 1 to 256, or does not divide the channels.

    Examples
    --------
    >>> y, cache = maxout([[1, 5, -4, -1]], pieces=2)
    >>> y.tolist(), cache.winners.tolist()
    ([[5.0, -1.0]], [[1, 1]])
    """
    xp = array_module(x)
    N, C, *rest = x.shape
    grouped = x.reshape(N, C // pieces, pieces, *rest)                    # N F P H W
    winners = grouped.argmax(axis=2)                                      # N F H W: first maximum or NaN
    y = xp.take_along_axis(grouped, winners[:, :, None], axis=2)          # N F 1 H W
    return y[:, :, 0], MaxoutCache(winners.astype(xp.uint8), pieces, x.shape)


@operation(_check_maxout_backward)
def maxout_backward(dy: Any, cache: MaxoutCache) -> Any:
    """Gradient of `maxout`.

    Parameters
    ----------
    dy : array, (N, C // pieces) or (N, C // pieces, H, W)
        Gradient of the loss with respect to `y`.
    cache : MaxoutCache
        From the forward pass.

    Returns
    -------
    dx : array
        Shape of `x`, dtype of `dy`; 0 for every piece that did not win.

    Raises
    ------
    TypeError
        `cache` is no MaxoutCache, or `dy` no floating-point array.
    ValueError
        `dy` has not the shape of the forward pass's output, or the cache was altered.

    Examples
    --------
    >>> y, cache = maxout([[1, 5, -4, -1]], pieces=2)
    >>> maxout_backward([[5, 8]], cache).tolist()
    [[0.0, 5.0, 0.0, 8.0]]
    """
    xp = array_module(dy)
    winners, pieces, x_shape = cache
    piece = xp.arange(pieces).reshape(pieces, *[1] * (dy.ndim - 2))       # P 1 1
    won = winners[:, :, None] == piece                                    # N F P H W
    dx = xp.where(won, dy[:, :, None], dy.dtype.type(0))                  # N F P H W
    return dx.reshape(x_shape)


# ---------------------------------------------------------------------------------------------------- kernels
#
# numba_maxout.py: the loop over the N*F groups is parallel, and the thread that owns a group reads its P
# channels and writes y[n, f] and winners[n, f] (backward: the P channels of dx), so no two threads write to
# one place. Inside, the positions s are the inner loop, contiguous in every array, which the compiler turns
# into vector instructions. The mask `won`, as large as x, and the 8-byte winners of argmax are never
# materialised.
#
# cupy_maxout.py: one thread for each output, which backward writes the P entries of dx that belong to it.
