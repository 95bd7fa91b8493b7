"""Dropout on the GPU with numbers that are drawn where they are needed. The page is `minicnn.ops.dropout`.

The generator is counter-based: element i of a mask is a function of a key and of i, so that each thread draws its own.
The operation takes its key from the NumPy generator it is given, and its mask is that of ``numpy.random.Philox`` with
this key: two draws on the host instead of one for each element, and nothing to copy. Within a training step that is
captured in a graph there is no host to ask: there a `Stream` has the key and the number of the step on the device.
"""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.kernels.cuda_source import blocks, kernel, real
from minicnn.ops.dropout import DropoutCache

THREADS = 128


class Stream(NamedTuple):
    """Where a layer's random numbers come from: ``Philox(key, counter=(0, step, number, 0))``, all on the device."""

    key: Any        # (2,) uint64
    step: Any       # (1,) int64: another stream of numbers in every step
    number: int     # and in every layer


def dropout(x: Any, drop_prob: float, rng: np.random.Generator, training: bool = True,
            scale: float | None = None) -> tuple[Any, DropoutCache]:
    """Drop elements; same contract as `minicnn.ops.dropout`, whose validation has run, but for the numbers drawn."""
    import cupy

    if not training:
        return x, DropoutCache(None)
    key = cupy.asarray(rng.integers(0, 2**64, 2, dtype=np.uint64))
    return dropout_of_stream(x, drop_prob, Stream(key, cupy.zeros(1, np.int64), 0), scale)


def dropout_of_stream(x: Any, drop_prob: float, stream: Stream, scale: float | None) -> tuple[Any, DropoutCache]:
    """Drop elements by the numbers of a stream: nothing is drawn on the host. `scale` as on the page."""
    import cupy

    scale = 1 / (1 - drop_prob) if scale is None else scale
    y, factor = cupy.empty(x.shape, x.dtype), cupy.empty(x.shape, x.dtype)
    if x.size:
        number = x.dtype.type
        run = kernel("dropout.cu", "dropout", real=real(x.dtype))
        run(blocks(-(-x.size // 8), THREADS), (THREADS,),
            (cupy.ascontiguousarray(x), y, factor, np.int64(x.size), number(drop_prob), number(scale), stream.key,
             stream.step, np.int64(stream.number)))
    return y, DropoutCache(factor)
