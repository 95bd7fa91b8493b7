"""Windows to columns and back on the GPU, one thread for an entry. The page is `minicnn.ops.im2col`."""
from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.kernels.cuda_source import blocks, kernel, real
from minicnn.ops.im2col import window_counts

THREADS = 256


def _launch(name: str, source: Any, target: Any, maps: tuple[int, int], size: Any, stride: Any, pad: Any,
            counts: tuple[int, int]) -> None:
    sizes = (np.int32(n) for n in (*maps, *size, *counts, *stride, *pad))
    run = kernel("im2col.cu", name, real=real(target.dtype))
    run(blocks(target.size, THREADS), (THREADS,), (source, target, np.int64(target.size), *sizes))


def im2col(x: Any, size: Any, stride: Any = 1, pad: Any = 0) -> Any:
    """Unroll windows; same contract as `minicnn.ops.im2col`, whose validation has run."""
    import cupy

    N, C, H, W = x.shape
    OH, OW = window_counts("x", x.shape, size, stride, pad)
    cols = cupy.empty((N, C * size[0] * size[1], OH * OW), x.dtype)
    _launch("im2col", cupy.ascontiguousarray(x), cols, (H, W), size, stride, pad, (OH, OW))
    return cols


def col2im(cols: Any, x_shape: tuple[int, ...], size: Any, stride: Any = 1, pad: Any = 0) -> Any:
    """Add columns back to their pixels; same contract as `minicnn.ops.col2im`, whose validation has run."""
    import cupy

    H, W = x_shape[2:]
    x = cupy.empty(x_shape, cols.dtype)
    _launch("col2im", cupy.ascontiguousarray(cols), x, (H, W), size, stride, pad,
            window_counts("x", x_shape, size, stride, pad))
    return x
