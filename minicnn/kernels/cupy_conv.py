"""Convolution on the GPU: the fused kernel without anything to fuse. The page is `minicnn.ops.conv`."""
from __future__ import annotations

from typing import Any

from minicnn import ops
from minicnn.kernels import cupy_fused
from minicnn.kernels.geometry import Geometry
from minicnn.ops.conv import ConvCache

_OPS: Any = ops  # whose functions have their vectorised form as an attribute


def _geometry(stride: Any, pad: Any) -> Geometry:
    return Geometry(stride, pad, 1, False, (1, 1), (1, 1), (0, 0), False)


def conv2d(x: Any, w: Any, b: Any, stride: Any = 1, pad: Any = 0) -> tuple[Any, ConvCache]:
    """Convolve; same contract as `minicnn.ops.conv2d`, whose validation has run."""
    import cupy

    g = _geometry(stride, pad)
    if not cupy_fused.has_plan(x.shape[1:], w.shape, g, x.dtype):
        return _OPS.conv2d.vectorised(x, w, b, stride, pad)
    bias = cupy.zeros(len(w), x.dtype) if b is None else b
    y, _ = cupy_fused.forward(x, w, bias, g, keep_winners=False)
    return y, ConvCache(x, w, b is not None, stride, pad)


def conv2d_backward(dy: Any, cache: ConvCache) -> tuple[Any, Any, Any]:
    """Return (dx, dw, db); same contract as `minicnn.ops.conv2d_backward`, whose validation has run."""
    import cupy

    x, w, has_bias, stride, pad = cache
    g = _geometry(stride, pad)
    if not cupy_fused.has_plan(x.shape[1:], w.shape, g, x.dtype):
        return _OPS.conv2d_backward.vectorised(dy, cache)
    fused = cupy_fused.FusedCache(cupy.ascontiguousarray(x), cupy.ascontiguousarray(w), None, g)
    dx, dw, db = cupy_fused.backward(dy, fused)
    return dx, dw, db if has_bias else None
