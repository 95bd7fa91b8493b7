"""What the window of each output sees of a bordered image: tables that the convolution kernels read.

    0 0 0 0 0 0      the window of output (0, 0) of a 3x3 kernel: its first row and column lie in the border,
    0 a b c d 0      so its real part is 2 x 2, begins at pixel a, and meets the weights from (1, 1) on
    0 e f g h 0
    0 0 0 0 0 0

All outputs of one place in different images see the same part, so one table serves a whole batch.
"""
from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

Pair = tuple[int, int]


class Bordered(NamedTuple):
    """Images (N, HP, WP, C) with a border: the size with it, and first and last + 1 of the real rows and columns."""

    size: Pair
    rows: Pair
    columns: Pair
    C: int


@functools.cache
def real_windows(outputs: Pair, stride: Pair, first: Pair, kernel: Pair, images: Bordered, skip: bool) -> np.ndarray:
    """Return for each output which part of its window is wanted, int64 (OH*OW, 4), row by row.

    Parameters
    ----------
    outputs, stride, kernel : (int, int)
        (OH, OW), (SH, SW), (KH, KW).
    first : (int, int)
        Row and column where the window of the first output begins, in the bordered image.
    images : Bordered
        What the windows look at.
    skip : bool
        Leave the border out; otherwise all of the window is wanted.

    Returns
    -------
    array
        Columns: where the part begins in the image, counted in numbers; where in the weights, counted in taps
        (KH, KW, C); its rows; its numbers in a row.

    Examples
    --------
    The picture above: 4 outputs in a row, of images of 2 x 4 pixels with a border of 1.

    >>> images = Bordered(size=(4, 6), rows=(1, 3), columns=(1, 5), C=1)
    >>> real_windows((1, 4), (1, 1), (0, 0), (3, 3), images, skip=True).tolist()
    [[7, 4, 2, 2], [7, 3, 2, 3], [8, 3, 2, 3], [9, 3, 2, 2]]
    """
    real = (images.rows, images.columns) if skip else ((0, images.size[0]), (0, images.size[1]))
    (y, ky, rows), (x, kx, columns) = (
        _real_parts(*axis) for axis in zip(outputs, stride, first, kernel, real))
    y, ky, rows = y[:, None], ky[:, None], rows[:, None]
    table = np.broadcast_arrays((y * images.size[1] + x) * images.C, (ky * kernel[1] + kx) * images.C, rows,
                                columns * images.C)
    windows = np.stack([part.reshape(-1) for part in table], axis=1)
    windows.setflags(write=False)  # it is kept for the next batch
    return windows


def _real_parts(outputs: int, stride: int, first: int, kernel: int, real: Pair) -> tuple[np.ndarray, ...]:
    """Return along one axis, for each output, where the real part begins, at which tap, and how long it is."""
    begin = first + np.arange(outputs, dtype=np.int64) * stride
    tap = np.maximum(0, real[0] - begin)
    return begin + tap, tap, np.maximum(0, np.minimum(kernel, real[1] - begin) - tap)
