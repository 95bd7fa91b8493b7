"""Convolution straight from the image into registers: what im2col + GEMM does, without the columns.

Why it is fast. A convolution is a matrix product whose left matrix, the columns, repeats every pixel KH*KW times.
Building it costs more memory traffic than the product itself. Stored channels last (NHWC), though, row ky of a
window *is* contiguous in the image: KW*C numbers, ready to be multiplied. So nothing is built; `tile` walks the image

        pixels of the output                weights (KH, KW*C, F)         registers
        m = 0..ROWS-1                       vectors v = 0..NV-1           ROWS x NV accumulators

        x[m, ky, j]  (one number,     *     w[ky, j, v]  (a vector   +->  acc[m, v]   for every ky, j
        broadcast to all lanes)             of filters)

and each output is written once. What lives where:

* registers: ROWS*NV accumulators, NV weight vectors. 8 x 3 vectors of 16 floats with AVX-512 (27 of 32 registers),
  4 x 3 vectors of 8 without it (15 of 16). Per step it loads ROWS + NV values for ROWS*NV fused multiply-adds,
  so the arithmetic units, not the load ports, are the limit.
* L1: the image rows under the tile. L2: the weights of one panel of filters, read by every tile.
* never in memory: columns, products, partial sums.

The rows of a tile are neighbouring pixels, or, where the image has a border of zeros, one pixel of several images: then
they all see the same part of the image, and what lies in the border is not multiplied (`convolve_images`).

The same tile gives the gradients. dx is the convolution of dy, bordered by zeros, with the rotated kernel; for dw
the roles change: the *taps* (ky, kx, c) take the place of the pixels, and the sum runs over the image.

Results do not depend on the number of threads: an image is computed by one thread, and the sum over images in dw has
a fixed partition (`PARTS`).
"""
from __future__ import annotations

from typing import Any

import numpy as np
from numba import get_num_threads, prange

from minicnn.kernels.numba_registers import ROWS, lanes_of, make_tile
from minicnn.kernels.threads import parallel_region
from minicnn.kernels.windows import Bordered, real_windows
from minicnn.ops.conv import ConvCache
from minicnn.ops.im2col import output_size
from minicnn.plumbing.compiled import njit

PARTS = 8  # partial sums of dw over the images of a batch, whatever the number of threads
PAGE, LINE = 4096, 16  # bytes after which places in L1 repeat; numbers that move the next filter to another place


_tile1, _tile2, _tile3 = (make_tile(NV, False) for NV in (1, 2, 3))
_add_tile1, _add_tile2, _add_tile3 = (make_tile(NV, True) for NV in (1, 2, 3))


@njit(cache=True, nogil=True)
def _panel(vectors):
    """Return how many vectors of filters a tile takes when so many are left: 2 + 2 is faster than 3 + 1."""
    return 2 if vectors == 4 else min(3, vectors)


@njit(cache=True, nogil=True)
def _tile(NV, a, at, a_r, w, w0, w_r, w_j, R, J, start, s0, out, o0, o_m, lanes):
    """Call the tile of NV vectors."""
    if NV == 3:
        _tile3(a, at, a_r, 1, w, w0, w_r, w_j, R, J, start, s0, out, o0, o_m, lanes)
    elif NV == 2:
        _tile2(a, at, a_r, 1, w, w0, w_r, w_j, R, J, start, s0, out, o0, o_m, lanes)
    else:
        _tile1(a, at, a_r, 1, w, w0, w_r, w_j, R, J, start, s0, out, o0, o_m, lanes)


@njit(cache=True, nogil=True)
def convolve(x, x0, pixel_at, pixels, x_r, w, R, J, Fp, start, z, lanes, at):
    """Fill z[p, :Fp] for p < pixels, in tiles of ROWS pixels by up to three vectors of filters.

    Pixel p starts at ``x[x0 + pixel_at[p]]``; its window is R rows, x_r apart, of J contiguous numbers. `at` is room
    for ROWS positions. A last tile that is not full repeats the last pixel into rows of `z` that nobody reads, so z
    has room for a multiple of ROWS pixels.
    """
    vectors = Fp // lanes
    v = 0
    while v < vectors:
        NV = _panel(vectors - v)
        f = v * lanes
        for p in range(0, pixels, ROWS):
            for m in range(ROWS):
                at[m] = x0 + pixel_at[min(p + m, pixels - 1)]
            _tile(NV, x, at, x_r, w, f, J * Fp, Fp, R, J, start, f, z, p * Fp + f, Fp, lanes)
        v += NV


@njit(cache=True, nogil=True)
def convolve_images(x, x0, per_image, images, windows, x_r, w, J, Fp, start, z, lanes, at):
    """Fill z[m, p, :Fp] for up to ROWS images m and their pixels p: the rows of a tile are one pixel of ROWS images.

    All of them see the same part of their window inside the image. So the border, where there is nothing but zeros, is
    never multiplied: in CNN3's second layer it is a third of the work, in its third nearly two. `windows` (pixels, 4)
    says for each pixel where in the image the real part of its window begins, where in the weights, its rows, and
    its numbers in a row; see `real_windows`. z has room for ROWS images.
    """
    vectors, pixels = Fp // lanes, len(windows)
    v = 0
    while v < vectors:
        NV = _panel(vectors - v)
        f = v * lanes
        for p in range(pixels):
            x_p, w_p, rows, numbers = windows[p]
            if rows * numbers == 0:  # a window that lies wholly in the border
                for m in range(ROWS):
                    o = (m * pixels + p) * Fp + f
                    z[o:o + NV * lanes] = start[f:f + NV * lanes]
                continue
            for m in range(ROWS):
                at[m] = x0 + min(m, images - 1) * per_image + x_p
            _tile(NV, x, at, x_r, w, w_p * Fp + f, J * Fp, Fp, rows, numbers, start, f, z, p * Fp + f, pixels * Fp,
                  lanes)
        v += NV


@njit(cache=True, nogil=True)
def correlate(x, x0, tap_at, taps, x_r, x_j, dz, dz0, dz_r, dz_j, R, J, Fp, dw, dw0, lanes, at):
    """Add to dw[k, :Fp], for every tap k, the sum over R x J pixels of x at that tap times dz: one image's share.

    The tile of `convolve` with the taps in the place of the pixels. dw has room for a multiple of ROWS taps.
    """
    vectors = Fp // lanes
    v = 0
    while v < vectors:
        NV = _panel(vectors - v)
        f = v * lanes
        for k in range(0, taps, ROWS):
            for m in range(ROWS):
                at[m] = x0 + tap_at[min(k + m, taps - 1)]
            o = dw0 + k * Fp + f
            if NV == 3:
                _add_tile3(x, at, x_r, x_j, dz, dz0 + f, dz_r, dz_j, R, J, dw, 0, dw, o, Fp, lanes)
            elif NV == 2:
                _add_tile2(x, at, x_r, x_j, dz, dz0 + f, dz_r, dz_j, R, J, dw, 0, dw, o, Fp, lanes)
            else:
                _add_tile1(x, at, x_r, x_j, dz, dz0 + f, dz_r, dz_j, R, J, dw, 0, dw, o, Fp, lanes)
        v += NV


@njit(cache=True, nogil=True, parallel=True)
def convolve_batch(x, per_image, windows, x_r, w, R, J, Fp, start, y, F, lanes, by_images, tasks):
    """y[n, p, f] for every image n, pixel p and filter f < F, channels last; one task a thread, images whole.

    `by_images` says whether the rows of a tile are images or, with whole windows, the pixels of one.
    """
    N, pixels = y.shape[0], y.shape[1]
    pixel_at = np.ascontiguousarray(windows[:, 0])
    group = ROWS if by_images else 1
    for t in prange(tasks):
        z = np.empty((group * pixels + ROWS) * Fp, x.dtype)
        at = np.empty(ROWS, np.int64)
        last = N * (t + 1) // tasks
        for n in range(N * t // tasks, last, group):
            images = min(group, last - n)
            if by_images:
                convolve_images(x, n * per_image, per_image, images, windows, x_r, w, J, Fp, start, z, lanes, at)
            else:
                convolve(x, n * per_image, pixel_at, pixels, x_r, w, R, J, Fp, start, z, lanes, at)
            for k in range(images):
                for p in range(pixels):
                    o = (k * pixels + p) * Fp
                    y[n + k, p] = z[o:o + F]


@njit(cache=True, nogil=True, parallel=True)
def correlate_batch(x, x_image, tap_at, x_r, x_j, dz, dz_image, dz_first, dz_r, dz_j, R, J, Fp, dw, N, lanes):
    """dw[part, k, f]: the gradient of the weights, summed over the images of each of the fixed parts."""
    parts, taps = dw.shape[0], len(tap_at)
    flat = dw.reshape(-1)
    for part in prange(parts):
        at = np.empty(ROWS, np.int64)
        for n in range(N * part // parts, N * (part + 1) // parts):
            correlate(x, n * x_image, tap_at, taps, x_r, x_j, dz, n * dz_image + dz_first, dz_r, dz_j, R, J, Fp,
                      flat, part * dw.shape[1] * Fp, lanes, at)


def round_up(n: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is not less than `n`."""
    return -(-n // multiple) * multiple


def pack_weights(w: np.ndarray, pieces: int = 1) -> np.ndarray:
    """Return w (F, C, KH, KW) as (KH, KW*C, Fp): filters last, padded with zeros to whole registers.

    With maxout the filters are ordered by piece, then by output channel, so that a piece is contiguous.
    """
    F, C, KH, KW = w.shape
    if w[0].nbytes % PAGE == 0:
        # Filters a multiple of 4 KiB apart have the same places in L1: read side by side, they evict each other.
        apart = np.empty((F, w[0].size + LINE), w.dtype)
        apart[:, :-LINE] = w.reshape(F, -1)
        w = apart[:, :-LINE].reshape(w.shape)
    packed = np.zeros((KH, KW * C, round_up(F, lanes_of(w.dtype))), w.dtype)
    by_piece = w.reshape(F // pieces, pieces, C, KH, KW).transpose(3, 4, 2, 1, 0)  # (KH, KW, C, pieces, F/pieces)
    packed[:, :, :F] = by_piece.reshape(KH, KW * C, F)
    return packed


def rotate_weights(w: np.ndarray) -> np.ndarray:
    """Return w (F, C, KH, KW) as (KH, KW, Fp, Cp), rotated by 180 degrees: the kernel of the input gradient.

    Filters and channels are padded with zeros to whole registers.
    """
    (F, C, KH, KW), lanes = w.shape, lanes_of(w.dtype)
    rotated = np.zeros((KH, KW, round_up(F, lanes), round_up(C, lanes)), w.dtype)
    rotated[:, :, :F, :C] = w[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
    return rotated


def unpack_weights(parts: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the sum of dw (parts, taps, Fp) over its parts, in order, as (F, C, KH, KW)."""
    F, C, KH, KW = shape
    return parts.sum(axis=0)[:KH * KW * C, :F].reshape(KH, KW, C, F).transpose(3, 2, 0, 1)


def pixel_positions(rows: int, columns: int, row_step: int, column_step: int) -> np.ndarray:
    """Return where each pixel of a (rows, columns) grid starts, for steps in elements; row by row, int64."""
    grid = np.arange(rows)[:, None] * row_step + np.arange(columns) * column_step
    return grid.reshape(-1).astype(np.int64)


def forward_windows(shape: tuple[int, ...], pad: tuple[int, int], kernel: tuple[int, int],
                    stride: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """Return the windows of a convolution of bordered images (N, HP, WP, C), and whether tiles go across images.

    They do where there is a border to skip and there are images enough to fill a tile.
    """
    N, HP, WP, C = shape
    outputs = (HP - kernel[0]) // stride[0] + 1, (WP - kernel[1]) // stride[1] + 1
    by_images = N >= ROWS and pad != (0, 0)
    images = Bordered((HP, WP), (pad[0], HP - pad[0]), (pad[1], WP - pad[1]), C)
    return real_windows(outputs, stride, (0, 0), kernel, images, by_images), by_images


def border(x: np.ndarray, pad: tuple[int, int]) -> np.ndarray:
    """Return images x (N, H, W, C) with `pad` rows and columns of zeros on each side; x itself if there is none."""
    PH, PW = pad
    if not (PH or PW):
        return np.ascontiguousarray(x)
    N, H, W, C = x.shape
    bordered = np.zeros((N, H + 2 * PH, W + 2 * PW, C), x.dtype)
    bordered[:, PH:PH + H, PW:PW + W] = x
    return bordered


def input_gradient(dz: np.ndarray, w: np.ndarray, pad: tuple[int, int], input_size: tuple[int, int]) -> np.ndarray:
    """Return dx (N, H, W, C): the convolution of the bordered gradient `dz` of `spread` with the rotated kernel."""
    (N, HZ, WZ, Fp), (_, C, KH, KW), (H, W) = dz.shape, w.shape, input_size
    lanes, rotated = lanes_of(w.dtype), rotate_weights(w)
    dx = np.empty((N, H, W, C), w.dtype)
    by_images = N >= ROWS
    bordered = Bordered((HZ, WZ), (KH - 1, HZ - KH + 1), (KW - 1, WZ - KW + 1), Fp)
    windows = real_windows((H, W), (1, 1), pad, (KH, KW), bordered, by_images)
    with parallel_region():
        convolve_batch(dz.reshape(-1), HZ * WZ * Fp, windows, WZ * Fp, rotated.reshape(-1), KH, KW * Fp,
                       rotated.shape[3], np.zeros(rotated.shape[3], w.dtype), dx.reshape(N, H * W, C), C, lanes,
                       by_images, get_num_threads())
    return dx


def weight_gradient(x: np.ndarray, dz: np.ndarray, w: np.ndarray, stride: tuple[int, int]) -> np.ndarray:
    """Return dw (F, C, KH, KW) from bordered images x (N, HP, WP, C) and the bordered gradient `dz` of `spread`."""
    (N, HP, WP, C), (_, HZ, WZ, Fp), (KH, KW) = x.shape, dz.shape, w.shape[2:]
    (SH, SW), lanes = stride, lanes_of(w.dtype)
    OH, OW = (HP - KH) // SH + 1, (WP - KW) // SW + 1
    taps = pixel_positions(KH, KW * C, WP * C, 1)
    dw = np.zeros((min(PARTS, N), round_up(len(taps), ROWS), Fp), w.dtype)
    with parallel_region():
        correlate_batch(x.reshape(-1), HP * WP * C, taps, SH * WP * C, SW * C, dz.reshape(-1), HZ * WZ * Fp,
                        ((KH - 1) * WZ + KW - 1) * Fp, SH * WZ * Fp, SW * Fp, OH, OW, Fp, dw, N, lanes)
    return unpack_weights(dw, w.shape)


def spread(dy: np.ndarray, w: np.ndarray, stride: tuple[int, int], bordered: tuple[int, int]) -> np.ndarray:
    """Return dy (N, OH, OW, F) with its pixels `stride` apart, KH-1 and KW-1 zeros around, filters padded to Fp.

    Then every pixel of dx sees, through a window of the kernel's size, just the outputs it took part in.
    `bordered` is the size of the bordered input.
    """
    (N, OH, OW, F), (KH, KW) = dy.shape, w.shape[2:]
    dz = np.zeros((N, bordered[0] + KH - 1, bordered[1] + KW - 1, round_up(F, lanes_of(w.dtype))), w.dtype)
    dz[:, KH - 1:KH - 1 + OH * stride[0]:stride[0], KW - 1:KW - 1 + OW * stride[1]:stride[1], :F] = dy
    return dz


def conv2d(x: Any, w: Any, b: Any, stride: Any = 1, pad: Any = 0) -> tuple[Any, ConvCache]:
    """Convolve; same contract as `minicnn.ops.conv2d`, whose validation has run."""
    (N, C, H, W), (F, _, KH, KW), (SH, SW) = x.shape, w.shape, stride
    OH, OW = output_size(H, KH, SH, pad[0]), output_size(W, KW, SW, pad[1])
    xp, packed, lanes = border(x.transpose(0, 2, 3, 1), pad), pack_weights(w), lanes_of(x.dtype)
    WP, Fp = xp.shape[2], packed.shape[2]
    start = np.zeros(Fp, x.dtype)
    if b is not None:
        start[:F] = b
    y = np.empty((N, OH * OW, F), x.dtype)
    windows, by_images = forward_windows(xp.shape, pad, (KH, KW), stride)
    with parallel_region():
        convolve_batch(xp.reshape(-1), xp[0].size, windows, WP * C, packed.reshape(-1), KH, KW * C, Fp, start, y, F,
                       lanes, by_images, get_num_threads())
    y = np.ascontiguousarray(y.transpose(0, 2, 1)).reshape(N, F, OH, OW)
    return y, ConvCache(x, w, b is not None, stride, pad)


def conv2d_backward(dy: Any, cache: ConvCache) -> tuple[Any, Any, Any]:
    """Return (dx, dw, db); same contract as `minicnn.ops.conv2d_backward`, whose validation has run."""
    x, w, has_bias, stride, pad = cache
    xp = border(x.transpose(0, 2, 3, 1), pad)
    dz = spread(dy.transpose(0, 2, 3, 1), w, stride, xp.shape[1:3])
    dx = input_gradient(dz, w, pad, x.shape[2:]).transpose(0, 3, 1, 2)
    dw = weight_gradient(xp, dz, w, stride)
    db = dy.sum(axis=(2, 3)).sum(axis=0) if has_bias else None
    return np.ascontiguousarray(dx), np.ascontiguousarray(dw), db
