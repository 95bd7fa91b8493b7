"""A whole layer of the paper on the GPU: convolution, bias, ReLU or maxout, max-pooling, and back.

Why it is fast. A dense library launches a kernel for each of the four operations, and writes and reads the convolution,
four to sixteen times as large as what is left after pooling, between them. Here a block of threads convolves a tile of
one image, pools it in shared memory, and writes the pooled values and one byte each that says who won, as
`numba_fused` does. Backward, the gradient of the convolution exists in shared memory alone.

==========================  =====================================================  ==============================
source in ``cuda/``         one block                                              who writes an element
==========================  =====================================================  ==============================
conv_forward.cu             pooled rows of some filters of one image               y: one thread
conv_input_gradient.cu      rows of dx of some channels of one image               dx: one thread
conv_weight_gradient.cu     some filters and maps, over a part of the batch        a part's dw: one thread
==========================  =====================================================  ==============================

So results are the same bits every time: nothing is added atomically, parts of the batch are added in order, and how
many there are depends on the layer's sizes, not on the device. Images are channels first here, (N, C, H, W):
neighbouring threads read neighbouring pixels.

The sizes of a layer decide how a block is made (`_forward_plan` and its siblings): as many sums in the registers of
a thread as there are pixels and filters for, slabs of maps that fit into the 48 KiB of shared memory that every device
has. A layer of which not even one row fits (an image wider than some thousand pixels) has no plan; it takes the way of
the page `minicnn.ops.conv`, columns and a matrix product.
"""
from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from minicnn.kernels.cuda_source import LIMIT, blocks, kernel, real
from minicnn.kernels.geometry import Geometry

SHARED = 48 * 2**10 - 256   # bytes of shared memory in a block, and a little for the compiler's own
THREADS = 256               # in a block, at most
BLOCKS = 264                # that a weight gradient is cut into, about: two for each multiprocessor of a large device


class FusedCache(NamedTuple):
    """What the backward pass needs: images, weights, winners (None: every value is its own), and the geometry."""

    x: Any
    w: Any
    winners: Any
    geometry: Geometry


class Plan(NamedTuple):
    """How a kernel is launched: its constants, threads in a block, and blocks along the rows and the filters."""

    constants: dict[str, Any]
    threads: int
    rows: int
    filters: int


def _sizes(x: Any, w: Any, g: Geometry, keep_winners: bool) -> tuple[Any, ...]:
    """Return what decides a plan, as something that can be looked up."""
    return x.shape[1:], w.shape, g, keep_winners, x.dtype.name


def _constants(image: tuple[int, ...], kernel_shape: tuple[int, ...], g: Geometry, winners: bool,
               dtype: str) -> dict[str, Any]:
    """Return the constants that all three sources share."""
    (C, H, W), (F, _, KH, KW) = image, kernel_shape
    OH, OW, PH, PW = g.sizes((H, W), (KH, KW))
    return {"real": real(dtype), "C": C, "H": H, "W": W, "F": F, "KH": KH, "KW": KW, "OH": OH, "OW": OW, "PH": PH,
            "PW": PW, "SY": g.stride[0], "SX": g.stride[1], "PY": g.pad[0], "PX": g.pad[1], "WY": g.window[0],
            "WX": g.window[1], "QY": g.pool_stride[0], "QX": g.pool_stride[1], "RY": g.pool_pad[0],
            "RX": g.pool_pad[1], "PIECES": g.pieces, "WINNERS": int(winners)}


def _tiles(rows: int) -> Iterator[int]:
    """Yield how many rows a tile may have, from all of them down to one, each about half of the one before."""
    yield rows
    while rows > 1:
        rows = -(-rows // 2)
        yield rows


def _tiled(pixels: int, filters: int, unit: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (TP, PT, TF, FB): pixels in a thread, threads along the pixels, filters in a thread, and in a block.

    The first are the best: many sums in a thread, then many threads, but no more than there is work for.
    """
    TF = unit * max(1, 8 // unit)
    for groups in (8, 4, 2, 1):
        if groups > 1 and (groups - 1) * TF >= filters:
            continue
        for TP in (1, 2, 4, 6, 8):
            PT = -(-pixels // TP)
            if PT * groups <= THREADS:
                yield TP, PT, TF, TF * groups
                break


@functools.cache
def _forward_plan(image: tuple[int, ...], kernel_shape: tuple[int, ...], g: Geometry, winners: bool,
                  dtype: str) -> Plan | None:
    constants, number = _constants(image, kernel_shape, g, winners, dtype), np.dtype(dtype).itemsize
    (C, _, _), (F, _, KH, KW), (OW, PH) = image, kernel_shape, (constants["OW"], constants["PH"])
    for tile in _tiles(PH):
        z_rows = (tile - 1) * g.pool_stride[0] + g.window[0]
        slab = ((z_rows - 1) * g.stride[0] + KH) * ((OW - 1) * g.stride[1] + KW)
        for TP, PT, TF, FB in _tiled(z_rows * OW, F, g.pieces):
            for CB in (8, 4, 2, 1):
                room = max(CB * (slab + KH * KW * FB), FB * z_rows * OW)
                if (CB == 1 or CB <= C) and room * number <= SHARED:
                    constants.update(RELU=int(g.relu), TILE=tile, CB=CB, FB=FB, TF=TF, TP=TP, PT=PT)
                    return Plan(constants, PT * FB // TF, -(-PH // tile), -(-F // FB))
    return None


@functools.cache
def _input_gradient_plan(image: tuple[int, ...], kernel_shape: tuple[int, ...], g: Geometry, winners: bool,
                         dtype: str) -> Plan | None:
    constants, number = _constants(image, kernel_shape, g, winners, dtype), np.dtype(dtype).itemsize
    (C, H, W), (F, _, KH, KW) = image, kernel_shape
    for tile in _tiles(H):
        slab = (tile + KH - 1) * (W + KW - 1)
        for TP, PT, TF, FB in _tiled(tile * W, C, 1):
            for CB in (8, 4, 2, 1):
                if (CB == 1 or CB <= F) and CB * (slab + KH * KW * FB) * number <= SHARED:
                    constants.update(TILE=tile, CB=CB, FB=FB, TF=TF, TP=TP, PT=PT)
                    return Plan(constants, PT * FB // TF, -(-H // tile), -(-C // FB))
    return None


@functools.cache
def _weight_gradient_plan(image: tuple[int, ...], kernel_shape: tuple[int, ...], g: Geometry, winners: bool,
                          dtype: str) -> Plan | None:
    """As the others; `rows` counts the blocks along the maps."""
    constants, number = _constants(image, kernel_shape, g, winners, dtype), np.dtype(dtype).itemsize
    (C, _, _), (F, _, KH, KW), (OH, OW) = image, kernel_shape, (constants["OH"], constants["OW"])
    TF = 4
    for FB in (16, 8, 4):
        if FB > 4 and FB - TF >= F:
            continue
        for CB in (8, 4, 2, 1):
            TK = -(-CB * KH * KW * (FB // TF) // THREADS)
            if (CB > 1 and CB > C) or (CB > 1 and TK > 2):
                continue
            for tile in _tiles(OH):
                slab = CB * ((tile - 1) * g.stride[0] + KH) * ((OW - 1) * g.stride[1] + KW)
                if (slab + tile * OW * FB) * number <= SHARED:
                    constants.update(TILE=tile, CB=CB, FB=FB, TF=TF, TK=TK)
                    return Plan(constants, -(-CB * KH * KW // TK) * (FB // TF), -(-C // CB), -(-F // FB))
    return None


def has_plan(image: tuple[int, ...], kernel_shape: tuple[int, ...], g: Geometry, dtype: Any) -> bool:
    """Return whether these kernels can compute a layer, forward and backward, of images (C, H, W)."""
    sizes = tuple(image), tuple(kernel_shape), g, True, np.dtype(dtype).name
    return None not in (_forward_plan(*sizes), _input_gradient_plan(*sizes), _weight_gradient_plan(*sizes))


def forward(x: Any, w: Any, b: Any, geometry: Geometry, keep_winners: bool = True) -> tuple[Any, FusedCache]:
    """Return the layer's output (N, F/pieces, PH, PW) for images x (N, C, H, W), and the cache of the backward pass.

    w is (F, C, KH, KW) and b (F,), of the dtype of x; all are CuPy arrays. Without `keep_winners` the layer must be a
    bare convolution: no pieces, no ReLU, no pooling.
    """
    import cupy

    plan = _forward_plan(*_sizes(x, w, geometry, keep_winners))
    assert plan is not None  # see `has_plan`
    x, w, N = _contiguous(x), _contiguous(w), len(x)
    PH, PW = plan.constants["PH"], plan.constants["PW"]
    y = cupy.empty((N, w.shape[0] // geometry.pieces, PH, PW), x.dtype)
    winners = cupy.empty(y.shape, np.uint8) if keep_winners else None
    run = kernel("conv_forward.cu", "conv_forward", **plan.constants)
    for batch in _batches(N, max(x[0].size, y[0].size)):
        won = cupy.empty(1, np.uint8) if winners is None else winners[batch]
        run((plan.rows, plan.filters, len(x[batch])), (plan.threads,), (x[batch], w, b, y[batch], won))
    return y, FusedCache(x, w, winners, geometry)


def input_gradient(dy: Any, cache: FusedCache) -> Any:
    """Return dx (N, C, H, W) for dy (N, F/pieces, PH, PW)."""
    import cupy

    x, w, winners, g = cache
    plan = _input_gradient_plan(*_sizes(x, w, g, winners is not None))
    assert plan is not None
    dx = cupy.empty_like(x)
    run = kernel("conv_input_gradient.cu", "conv_input_gradient", **plan.constants)
    for batch in _batches(len(x), max(x[0].size, dy[0].size)):
        won = cupy.empty(1, np.uint8) if winners is None else winners[batch]
        run((plan.rows, plan.filters, len(x[batch])), (plan.threads,), (dy[batch], won, w, dx[batch]))
    return dx


def weight_gradient(dy: Any, cache: FusedCache, dw: Any = None, db: Any = None) -> tuple[Any, Any]:
    """Return dw (F, C, KH, KW) and db (F,), in the arrays that are given, if they are."""
    import cupy

    x, w, winners, g = cache
    plan = _weight_gradient_plan(*_sizes(x, w, g, winners is not None))
    assert plan is not None
    N, F = len(x), w.shape[0]
    dw = cupy.empty_like(w) if dw is None else dw
    db = cupy.empty(F, w.dtype) if db is None else db
    batches = list(_batches(N, max(x[0].size, dy[0].size)))
    parts = max(1, min(-(-BLOCKS // (plan.rows * plan.filters)), -(-N // len(batches))))
    dw_parts = cupy.empty((len(batches), parts, w.size), w.dtype)
    db_parts = cupy.empty((len(batches), parts, F), w.dtype)
    run = kernel("conv_weight_gradient.cu", "conv_weight_gradient", **plan.constants)
    for k, batch in enumerate(batches):
        won = cupy.empty(1, np.uint8) if winners is None else winners[batch]
        run((plan.filters, plan.rows, parts), (plan.threads,),
            (x[batch], dy[batch], won, dw_parts[k], db_parts[k], np.int32(len(x[batch]))))
    add = kernel("conv_weight_gradient.cu", "add_parts", **plan.constants)
    add(blocks(w.size + F, THREADS), (THREADS,), (dw_parts, db_parts, dw, db, np.int32(len(batches) * parts)))
    return dw, db


def backward(dy: Any, cache: FusedCache, need_dx: bool = True, dw: Any = None, db: Any = None) -> tuple[Any, Any, Any]:
    """Return (dx, dw, db); dx is None where it is not needed. dw and db are written where arrays are given for them."""
    dy = _contiguous(dy)
    return input_gradient(dy, cache) if need_dx else None, *weight_gradient(dy, cache, dw, db)


def _contiguous(array: Any) -> Any:
    import cupy

    return cupy.ascontiguousarray(array)


def _batches(N: int, per_image: int) -> Iterator[slice]:
    """Yield ranges of images small enough for 32-bit positions: in practice one, of all images."""
    size = max(1, min(N, 65_535, (LIMIT - 1) // per_image))  # 65,535: the largest grid along z, one for each image
    for start in range(0, N, size):
        yield slice(start, start + size)
