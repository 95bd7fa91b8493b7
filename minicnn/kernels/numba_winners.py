"""The backward pass of a fused layer, over the winners only.

Why it is fast. Pooling hands its gradient to the winner alone. After 2x2 pooling at most a quarter of the
convolution's gradient is not zero, about half of that after ReLU, and a tenth after CNN3's maxout and overlapping
pooling. A dense library multiplies all those zeros. Here both gradients run over lists of winners::

    dx: winners listed by position of the output;  rows of w, scaled by the gradient, are added to a window of dx
    dw: winners listed by filter;                  windows of x, scaled by the gradient, are added to a row of w

Both are one loop, `add_rows`, whose sums stay in registers while it walks a list. Only the part of a window that lies
in the image gets a gradient: the border costs nothing.

* Who writes what: one thread writes the whole dx of an image; one thread writes the whole dw of a filter, and goes
  through the images in order. So the result does not depend on the number of threads, and there are no partial sums to
  add up.
* A winner is stored as one number, its code. Small tables (`_tap_tables`) give the row and the column in the window
  that belong to a code: computing them takes a division, which would cost more than the arithmetic on the gradient.

A layer without pooling has a winner everywhere and takes another way, that of `numba_dense`. Images are channels last,
(N, H, W, C).
"""
from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import get_num_threads, prange

from minicnn.kernels import numba_dense
from minicnn.kernels.geometry import Geometry
from minicnn.kernels.numba_fused import DEAD, FusedCache
from minicnn.kernels.numba_registers import SHORT_BYTES, lanes_of, make_add_rows, make_add_windows
from minicnn.kernels.threads import parallel_region
from minicnn.kernels.windows import Bordered, real_windows
from minicnn.plumbing.compiled import njit

L1_BYTES = 32 * 2**10  # of the nearest cache, as most processors have it at least
LIST = 32  # winners of a filter that are worth loading and storing its dw for

_add_rows10, _add_rows8, _add_rows6, _add_rows5, _add_rows4, _add_rows3, _add_rows2, _add_rows1 = (
    make_add_rows(NV) for NV in (10, 8, 6, 5, 4, 3, 2, 1))
# How many vectors to add first where so many are left. A multiply-add takes four cycles, one can begin in each: fewer
# than four sums wait for themselves, so 10 is not 8 + 2, and 9 is 5 + 4.
FIRST = (0, 1, 2, 3, 4, 5, 6, 4, 8, 5, 10, 6, 6, 8, 8, 10, 10, 10, 10)
_add_windows8, _add_windows5, _add_windows3, _add_windows1 = (make_add_windows(KH) for KH in (8, 5, 3, 1))


@njit(cache=True, nogil=True)
def add_rows(out, o0, length, rows, at, g, first, last, shift, lanes):
    """out[o0 : + length] += sum over u in [first, last) of g[u] * rows[at[u] + shift : + length]."""
    vectors, v = length // lanes, 0
    while v < vectors:
        NV = FIRST[min(vectors - v, len(FIRST) - 1)]
        o, s = o0 + v * lanes, shift + v * lanes
        if NV == 10:
            _add_rows10(out, o, rows, at, g, first, last, s, lanes)
        elif NV == 8:
            _add_rows8(out, o, rows, at, g, first, last, s, lanes)
        elif NV == 6:
            _add_rows6(out, o, rows, at, g, first, last, s, lanes)
        elif NV == 5:
            _add_rows5(out, o, rows, at, g, first, last, s, lanes)
        elif NV == 4:
            _add_rows4(out, o, rows, at, g, first, last, s, lanes)
        elif NV == 3:
            _add_rows3(out, o, rows, at, g, first, last, s, lanes)
        elif NV == 2:
            _add_rows2(out, o, rows, at, g, first, last, s, lanes)
        else:
            _add_rows1(out, o, rows, at, g, first, last, s, lanes)
        v += NV
    for i in range(vectors * lanes, length):
        total = out[o0 + i]
        for u in range(first, last):
            total += g[u] * rows[at[u] + shift + i]
        out[o0 + i] = total


@njit(cache=True, nogil=True)
def add_windows(out, o0, KH, x, at, g, first, last, shift, x_r, lanes):
    """For ky < KH: out[o0 + ky*lanes : + lanes] += sum over u of g[u] * x[at[u] + shift + ky*x_r : + lanes].

    Several rows of a window are added at once: one alone would wait for its own last sum.
    """
    ky = 0
    while KH - ky >= 8:
        _add_windows8(out, o0 + ky * lanes, x, at, g, first, last, shift + ky * x_r, x_r, lanes)
        ky += 8
    if KH - ky >= 5:
        _add_windows5(out, o0 + ky * lanes, x, at, g, first, last, shift + ky * x_r, x_r, lanes)
        ky += 5
    if KH - ky >= 3:
        _add_windows3(out, o0 + ky * lanes, x, at, g, first, last, shift + ky * x_r, x_r, lanes)
        ky += 3
    while ky < KH:
        _add_windows1(out, o0 + ky * lanes, x, at, g, first, last, shift + ky * x_r, x_r, lanes)
        ky += 1


@njit(cache=True, nogil=True, parallel=True)
def _input_gradient(dy, winners, w, dx, windows, OW, KH, row, pieces, tap_q, tap_piece, stride, pad, tasks, lanes):
    """dx (N, H, W, C): winners are sorted by output position q, then rows of w are added to the windows of dx.

    `row` = KW*C; w is (F, KH, row) laid flat; `windows` is the table of `real_windows`, for images without border: what
    would fall into the border is not computed. Going through ky first keeps a slab of w in L1 for all positions.
    """
    N, PH, PW, Fo = dy.shape
    image, line, pixels = dx[0].size, dx[0, 0].size, len(windows)
    dx_flat, dy_flat, winners_flat = dx.reshape(-1), dy.reshape(-1), winners.reshape(-1)
    for t in prange(tasks):
        begin = np.empty(pixels + 1, np.int64)
        free = np.empty(pixels, np.int64)
        at = np.empty(PH * PW * Fo, np.int64)
        g = np.empty(PH * PW * Fo, dy.dtype)
        for n in range(N * t // tasks, N * (t + 1) // tasks):
            begin[:] = 0
            for py in range(PH):
                for px in range(PW):
                    window_q = (py * stride[0] - pad[0]) * OW + px * stride[1] - pad[1]
                    o = ((n * PH + py) * PW + px) * Fo
                    for f in range(Fo):
                        code = winners_flat[o + f]
                        if code != DEAD:
                            begin[window_q + tap_q[code] + 1] += 1
            for q in range(pixels):
                begin[q + 1] += begin[q]
                free[q] = begin[q]
            for py in range(PH):
                for px in range(PW):
                    window_q = (py * stride[0] - pad[0]) * OW + px * stride[1] - pad[1]
                    o = ((n * PH + py) * PW + px) * Fo
                    for f in range(Fo):
                        code = winners_flat[o + f]
                        if code != DEAD:
                            q = window_q + tap_q[code]
                            u = free[q]
                            free[q] = u + 1
                            at[u] = (f * pieces + tap_piece[code]) * KH * row
                            g[u] = dy_flat[o + f]
            dx[n] = 0
            for ky in range(KH):
                for q in range(pixels):
                    dx_q, w_q, rows, numbers = windows[q]
                    r = ky - w_q // row
                    if begin[q + 1] > begin[q] and 0 <= r < rows:
                        add_rows(dx_flat, n * image + dx_q + r * line, numbers, w, at, g, begin[q], begin[q + 1],
                                 w_q + r * row, lanes)


@njit(cache=True, nogil=True, parallel=True)
def _weight_gradient(x, HP, WP, C, dy, winners, dw, db, conv_stride, pieces, tap_x, tap_piece, stride, pad, group,
                     tasks, lanes, short):
    """dw (F, slices, KH, width) and db (F,): winners are listed by filter, then windows of x are added to rows of dw.

    A task owns a range of filters and goes through all images in order, several small ones together: the longer a
    list, the less often dw is loaded and stored. Rows of KW*C numbers that fill a register are
    one slice, as wide as they are. Narrower ones are cut into slices of a short vector, of `short` numbers, and the
    KH rows of a slice are added at once; what the last slice holds beyond the row is nobody's. x is flat, with room
    for a vector behind it.
    """
    N, PH, PW, Fo = dy.shape
    slices, KH, width = dw.shape[1:]
    dw_flat, dy_flat, winners_flat = dw.reshape(-1), dy.reshape(-1), winners.reshape(-1)
    dw[:] = 0
    db[:] = 0
    for t in prange(tasks):
        f0, f1 = Fo * t // tasks, Fo * (t + 1) // tasks
        own, room = (f1 - f0) * pieces, group * PH * PW
        count = np.empty(own, np.int64)
        at = np.empty(own * room, np.int64)
        g = np.empty(own * room, dy.dtype)
        sums = np.empty(own, dy.dtype)
        for start in range(0, N, group):
            count[:] = 0
            sums[:] = 0
            for p in range(start * PH * PW, min(N, start + group) * PH * PW):
                n, py, px = p // (PH * PW), p // PW % PH, p % PW
                window_x = ((n * HP + (py * stride[0] - pad[0]) * conv_stride[0]) * WP
                            + (px * stride[1] - pad[1]) * conv_stride[1]) * C
                for f in range(f0, f1):
                    code = winners_flat[p * Fo + f]
                    if code != DEAD:
                        i = (f - f0) * pieces + tap_piece[code]
                        u = i * room + count[i]
                        count[i] += 1
                        at[u] = window_x + tap_x[code]
                        g[u] = dy_flat[p * Fo + f]
                        sums[i] += dy_flat[p * Fo + f]
            for i in range(own):
                f = f0 * pieces + i
                first, last = i * room, i * room + count[i]
                if width == short:
                    for s in range(slices):
                        add_windows(dw_flat, (f * slices + s) * KH * short, KH, x, at, g, first, last,
                                    s * short, WP * C, short)
                else:
                    for ky in range(KH):
                        add_rows(dw_flat, (f * KH + ky) * width, width, x, at, g, first, last, ky * WP * C, lanes)
                db[f] += sums[i]


@functools.cache
def _tap_tables(g: Geometry, row: int, column: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each code, how far the winner is from its window's corner, and its piece.

    `row` and `column` are what a step down and a step right are worth in the array that is addressed.
    """
    tap, piece = np.divmod(np.arange(g.taps), g.pieces)
    return tap // g.window[1] * row + tap % g.window[1] * column, piece


def input_gradient(dy: np.ndarray, cache: FusedCache, dx: np.ndarray) -> np.ndarray:
    """Fill and return dx (N, H, W, C), contiguous, over the winners, for dy (N, PH, PW, F/pieces)."""
    _, w, winners, g, image = cache
    _, C, KH, KW = w.shape
    OH, OW, _, _ = g.sizes(image, (KH, KW))
    whole = Bordered(image, (0, image[0]), (0, image[1]), C)
    windows = real_windows((OH, OW), g.stride, (-g.pad[0], -g.pad[1]), (KH, KW), whole, skip=True)
    with parallel_region():
        _input_gradient(dy, winners, w.transpose(0, 2, 3, 1).reshape(-1), dx, windows, OW, KH, KW * C, g.pieces,
                        *_tap_tables(g, OW, 1), g.pool_stride, g.pool_pad, get_num_threads(), lanes_of(w.dtype))
    return dx


def weight_gradient(dy: np.ndarray, cache: FusedCache) -> tuple[np.ndarray, np.ndarray]:
    """Return dw (F, C, KH, KW) and db (F,) over the winners."""
    x, w, winners, g, _ = cache
    (_, HP, WP, C), (F, _, KH, KW) = x.shape, w.shape
    lanes, short = lanes_of(x.dtype), lanes_of(x.dtype, SHORT_BYTES)
    row, flat = KW * C, x.reshape(-1)
    slices, width = 1, row
    if row < lanes or row <= short:
        slices, width = -(-row // short), short
        flat = np.concatenate([flat, np.zeros(short, x.dtype)])
    dw, db = np.empty((F, slices, KH, width), w.dtype), np.empty(F, w.dtype)
    group = max(1, min(LIST // dy[0, :, :, 0].size, L1_BYTES // x[0].nbytes))
    tables = _tap_tables(g, g.stride[0] * WP * C, g.stride[1] * C)
    with parallel_region():
        _weight_gradient(flat, HP, WP, C, dy, winners, dw, db, g.stride, g.pieces, *tables, g.pool_stride, g.pool_pad,
                         group, get_num_threads(), lanes, short)
    dw = dw.transpose(0, 2, 1, 3).reshape(F, KH, slices * width)[:, :, :row]
    return dw.reshape(F, KH, KW, C).transpose(0, 3, 1, 2), db


def backward(dy: np.ndarray, cache: FusedCache, need_dx: bool = True,
             overwrite_x: bool = False) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return (dx, dw, db) for the gradient dy (N, PH, PW, F/pieces); dx is None where it is not needed.

    A pooled layer goes over the winners. Where every output is its own winner, the dense way is faster. With
    `overwrite_x`, dx is written over the images, which nobody else may need any more: memory that is in the cache
    already, and that need not be found anew.
    """
    dy = np.ascontiguousarray(dy)
    pooled = cache.geometry.pooled
    dw, db = weight_gradient(dy, cache) if pooled else numba_dense.weight_gradient(dy, cache)
    if not need_dx:
        return None, dw, db
    shape = (len(dy), *cache.image, cache.w.shape[1])
    dx = cache.x if overwrite_x and cache.x.shape == shape else np.empty(shape, dy.dtype)
    return input_gradient(dy, cache, dx) if pooled else numba_dense.input_gradient(dy, cache, dx), dw, db
