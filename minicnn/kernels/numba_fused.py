"""A whole layer of the paper in one pass: convolution, bias, ReLU or maxout, and max-pooling.

Why it is fast. Of a convolution followed by pooling only the pooled values are wanted. Here an image's convolution
goes to a scratch buffer `z` that stays in L2 and is pooled at once; memory sees the pooled values `y` and one byte
each, `winners`, which says where the value came from::

    winners[n, py, px, f] = (ky * window width + kx) * pieces + piece      the first maximum of the window
                          = DEAD (255)                                     ReLU made it 0: no gradient

ReLU costs nothing: the maximum of ReLUs is the ReLU of the maximum. Small images are convolved several at a time,
so that they fill the tiles. Each image's y and winners are written by one thread.

The byte is also what makes the backward pass fast: see `numba_winners`. Images here are channels last, (N, H, W, C).
"""
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import get_num_threads, prange

from minicnn.kernels.geometry import Geometry
from minicnn.kernels.numba_conv import border, convolve, convolve_images, forward_windows, pack_weights
from minicnn.kernels.numba_registers import ROWS, lanes_of, make_max_rows
from minicnn.kernels.threads import parallel_region
from minicnn.plumbing.compiled import njit

DEAD = 255  # the winner's code where ReLU made the value 0
FILL = 32  # pixels that are convolved together, at least


class FusedCache(NamedTuple):
    """What the backward pass needs: bordered images, weights, winners, and the size of the images without border."""

    x: np.ndarray
    w: np.ndarray
    winners: np.ndarray
    geometry: Geometry
    image: tuple[int, int]


_max_rows = make_max_rows()


@njit(cache=True, nogil=True)
def pool(z, z0, OH, OW, Fp, y, winners, o0, PH, PW, Fo, pieces, relu, window, stride, pad, at, codes, lanes):
    """Pool one image's convolution z (OH*OW, Fp), piece by piece Fo wide, into y and winners (PH*PW, Fo).

    `at` and `codes` are room for the taps of a window: where in z they are, and their codes.
    """
    for py in range(PH):
        for px in range(PW):
            top, left = py * stride[0] - pad[0], px * stride[1] - pad[1]
            taps = 0
            for oy in range(max(0, top), min(OH, top + window[0])):
                for ox in range(max(0, left), min(OW, left + window[1])):
                    for piece in range(pieces):
                        at[taps] = (oy * OW + ox) * Fp + piece * Fo
                        codes[taps] = ((oy - top) * window[1] + ox - left) * pieces + piece
                        taps += 1
            o = o0 + (py * PW + px) * Fo
            whole = Fo // lanes * lanes
            for f in range(0, whole, lanes):
                _max_rows(z, z0 + f, at, codes, taps, relu, DEAD, y, winners, o + f, lanes)
            for f in range(whole, Fo):
                y[o + f], winners[o + f] = z[z0 + at[0] + f], codes[0]
                for u in range(1, taps):
                    value = z[z0 + at[u] + f]
                    if not value <= y[o + f] and y[o + f] == y[o + f]:
                        y[o + f], winners[o + f] = value, codes[u]
                if relu and y[o + f] <= 0:
                    y[o + f], winners[o + f] = 0, DEAD


@njit(cache=True, nogil=True)
def rectify(z, z0, pixels, Fp, y, winners, o0, F, relu):
    """What `pool` does where a window is one value of z: y is ReLU of z, if `relu` is 1, and every winner is 0 or DEAD.

    It copies runs of numbers that lie together in both arrays: where filters fill their registers, the whole image.
    """
    run = pixels * F if F == Fp else F
    for p in range(0, pixels * F, run):
        source, target, winner = z[z0 + p // F * Fp:][:run], y[o0 + p:o0 + p + run], winners[o0 + p:o0 + p + run]
        for i in range(run):
            dead = relu and source[i] <= 0
            target[i] = 0 if dead else source[i]
            winner[i] = DEAD if dead else 0


@njit(cache=True, nogil=True, parallel=True)
def _forward(x, per_image, windows, x_r, w, R, J, Fp, start, y, winners, OH, OW, pieces, relu, window, stride, pad,
             pooled, group, by_images, tasks, lanes):
    """y and winners (N, PH, PW, Fo), `group` images at a time; a task owns a range of images.

    `by_images` says whether the rows of a tile are images or pixels.
    """
    N, PH, PW, Fo = y.shape
    y_flat, winners_flat = y.reshape(-1), winners.reshape(-1)
    pixel_at = np.empty(group * OH * OW, np.int64)
    for k in range(group):
        pixel_at[k * OH * OW:(k + 1) * OH * OW] = k * per_image + windows[:, 0]
    for t in prange(tasks):
        z = np.empty((group * OH * OW + ROWS) * Fp, x.dtype)
        rows_at = np.empty(ROWS, np.int64)
        taps_at = np.empty(window[0] * window[1] * pieces, np.int64)
        codes = np.empty(window[0] * window[1] * pieces, np.uint8)
        last = N * (t + 1) // tasks
        for n in range(N * t // tasks, last, group):
            images = min(group, last - n)
            if by_images:
                convolve_images(x, n * per_image, per_image, images, windows, x_r, w, J, Fp, start, z, lanes, rows_at)
            else:
                convolve(x, n * per_image, pixel_at, images * OH * OW, x_r, w, R, J, Fp, start, z, lanes, rows_at)
            for k in range(images):
                z0, o0 = k * OH * OW * Fp, (n + k) * PH * PW * Fo
                if pooled:
                    pool(z, z0, OH, OW, Fp, y_flat, winners_flat, o0, PH, PW, Fo, pieces, relu, window, stride, pad,
                         taps_at, codes, lanes)
                else:
                    rectify(z, z0, OH * OW, Fp, y_flat, winners_flat, o0, Fo, relu)


def forward(x: np.ndarray, w: np.ndarray, b: np.ndarray, geometry: Geometry) -> tuple[np.ndarray, FusedCache]:
    """Return the layer's output (N, PH, PW, F/pieces) for images x (N, H, W, C), and the cache of the backward pass.

    w is (F, C, KH, KW) and b (F,), of the dtype of x.
    """
    N, H, W, C = x.shape
    F, _, KH, KW = w.shape
    OH, OW, PH, PW = geometry.sizes((H, W), (KH, KW))
    pieces = geometry.pieces
    xp, packed = border(x, geometry.pad), pack_weights(w, pieces)
    WP, Fp = xp.shape[2], packed.shape[2]
    start = np.zeros(Fp, x.dtype)
    start[:F] = b.reshape(-1, pieces).T.reshape(-1)
    y = np.empty((N, PH, PW, F // pieces), x.dtype)
    winners = np.empty(y.shape, np.uint8)
    windows, by_images = forward_windows(xp.shape, geometry.pad, (KH, KW), geometry.stride)
    group = ROWS if by_images else -(-FILL // (OH * OW))
    with parallel_region():
        _forward(xp.reshape(-1), xp[0].size, windows, WP * C, packed.reshape(-1), KH, KW * C, Fp, start, y, winners,
                 OH, OW, pieces, int(geometry.relu), geometry.window, geometry.pool_stride, geometry.pool_pad,
                 geometry.pooled, group, by_images, get_num_threads(), lanes_of(x.dtype))
    return y, FusedCache(xp, w, winners, geometry, (H, W))
