"""The backward pass of a fused layer without pooling, where every output is its own winner.

Half of its gradient, or more, is not zero, so walking lists of winners would not pay: the tiles of `numba_conv` are
twice as fast per multiply-add. Why it is fast. The gradient is laid out for the tiles, with ReLU's mask applied and
zeros around it, a few images at a time in a buffer that stays in L2: memory sees it once, as it came, and there is no
copy of the whole batch. Who writes what: an image's dx belongs to one thread; each of `PARTS` partial sums of dw to
one thread, and they are added in order, so the result does not depend on the number of threads.

Images are channels last, (N, H, W, C).
"""
from __future__ import annotations

import numpy as np
from numba import get_num_threads, prange

from minicnn.kernels.numba_conv import (
    PARTS,
    convolve_images,
    correlate,
    pixel_positions,
    rotate_weights,
    round_up,
    unpack_weights,
)
from minicnn.kernels.numba_fused import DEAD, FusedCache
from minicnn.kernels.numba_registers import ROWS, lanes_of
from minicnn.kernels.threads import parallel_region
from minicnn.kernels.windows import Bordered, real_windows
from minicnn.plumbing.compiled import njit


@njit(cache=True, nogil=True)
def _lay_out(dy, winners, o, OH, OW, F, dz, z0, z_r, z_j):
    """dz[z0 + oy*z_r + ox*z_j + f] = dy of one image, which begins at o, where ReLU let it through, else 0.

    Slices from 0 on, as long as they can be: Numba asks of any other index whether it is negative, and then the loop
    stays scalar, a tenth as fast.
    """
    run = OW * F if z_j == F else F
    for oy in range(OH):
        for s in range(0, OW * F, run):
            z = z0 + oy * z_r + s // F * z_j
            gradient, winner, target = dy[o + s:o + s + run], winners[o + s:o + s + run], dz[z:z + run]
            for i in range(run):
                target[i] = gradient[i] if winner[i] != DEAD else 0
        o += OW * F


@njit(cache=True, nogil=True, parallel=True)
def _input_gradient(dy, winners, dx, windows, w, KH, J, HZ, WZ, Fp, top, left, stride, Cp, tasks, lanes):
    """dx (N, H*W, C): dz of ROWS images, bordered by zeros, is convolved with the rotated kernel w (KH, J, Cp).

    dz is (HZ, WZ, Fp); output (0, 0) lies in row `top` and column `left` of it, the others `stride` apart.
    """
    N, OH, OW, F = dy.shape
    pixels, C = dx.shape[1:]
    per_image = HZ * WZ * Fp
    dy_flat, winners_flat = dy.reshape(-1), winners.reshape(-1)
    for t in prange(tasks):
        dz = np.zeros(ROWS * per_image, dy.dtype)
        z = np.empty(ROWS * pixels * Cp, dy.dtype)
        start = np.zeros(Cp, dy.dtype)
        at = np.empty(ROWS, np.int64)
        last = N * (t + 1) // tasks
        for n in range(N * t // tasks, last, ROWS):
            images = min(ROWS, last - n)
            for k in range(images):
                _lay_out(dy_flat, winners_flat, (n + k) * OH * OW * F, OH, OW, F,
                         dz, k * per_image + (top * WZ + left) * Fp, stride[0] * WZ * Fp, stride[1] * Fp)
            convolve_images(dz, 0, per_image, images, windows, WZ * Fp, w, J, Cp, start, z, lanes, at)
            for k in range(images):
                for p in range(pixels):
                    o = (k * pixels + p) * Cp
                    dx[n + k, p] = z[o:o + C]


@njit(cache=True, nogil=True, parallel=True)
def _weight_gradient(x, dy, winners, tap_at, dw, db, Fp, stride, lanes):
    """dw (parts, taps, Fp) and db (parts, Fp): each image's dz is correlated with x (N, HP, WP, C)."""
    N, OH, OW, F = dy.shape
    HP, WP, C = x.shape[1:]
    x_flat, dw_flat, dy_flat, winners_flat = x.reshape(-1), dw.reshape(-1), dy.reshape(-1), winners.reshape(-1)
    parts = dw.shape[0]
    for part in prange(parts):
        dz = np.zeros(OH * OW * Fp, dy.dtype)
        at = np.empty(ROWS, np.int64)
        sums = np.zeros(Fp, dy.dtype)
        for n in range(N * part // parts, N * (part + 1) // parts):
            _lay_out(dy_flat, winners_flat, n * OH * OW * F, OH, OW, F, dz, 0, OW * Fp, Fp)
            sums[:] = 0
            for q in range(0, OH * OW * Fp, Fp):
                pixel = dz[q:q + Fp]
                for f in range(Fp):
                    sums[f] += pixel[f]
            correlate(x_flat, n * HP * WP * C, tap_at, len(tap_at), stride[0] * WP * C, stride[1] * C,
                      dz, 0, OW * Fp, Fp, OH, OW, Fp, dw_flat, part * dw.shape[1] * Fp, lanes, at)
            for f in range(F):
                db[part, f] += sums[f]


def input_gradient(dy: np.ndarray, cache: FusedCache, dx: np.ndarray) -> np.ndarray:
    """Fill and return dx (N, H, W, C), contiguous, for dy (N, OH, OW, F)."""
    x, w, winners, g, (H, W) = cache
    (F, C, KH, KW), (HP, WP) = w.shape, x.shape[1:3]
    lanes = lanes_of(w.dtype)
    rotated, Fp = rotate_weights(w), round_up(F, lanes)
    HZ, WZ = HP + KH - 1, WP + KW - 1
    bordered = Bordered((HZ, WZ), (KH - 1, HP), (KW - 1, WP), Fp)
    windows = real_windows((H, W), (1, 1), g.pad, (KH, KW), bordered, skip=True)
    with parallel_region():
        _input_gradient(dy, winners, dx.reshape(len(dx), H * W, C), windows, rotated.reshape(-1), KH, KW * Fp, HZ, WZ,
                        Fp, KH - 1, KW - 1, g.stride, rotated.shape[3], get_num_threads(), lanes)
    return dx


def weight_gradient(dy: np.ndarray, cache: FusedCache) -> tuple[np.ndarray, np.ndarray]:
    """Return dw (F, C, KH, KW) and db (F,)."""
    x, w, winners, g, _ = cache
    F, C, KH, KW = w.shape
    taps = pixel_positions(KH, KW * C, x.shape[2] * C, 1)
    parts, Fp = min(PARTS, len(x)), round_up(F, lanes_of(x.dtype))
    dw, db = np.zeros((parts, round_up(len(taps), ROWS), Fp), w.dtype), np.zeros((parts, Fp), w.dtype)
    with parallel_region():
        _weight_gradient(x, dy, winners, taps, dw, db, Fp, g.stride, lanes_of(x.dtype))
    return unpack_weights(dw, w.shape), db.sum(axis=0)[:F]
