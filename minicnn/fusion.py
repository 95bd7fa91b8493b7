"""Recognise a whole layer of the paper, convolution + activation + pooling, and run it as one kernel.

`fuse` looks for these patterns in a stage and replaces each by a `FusedLayer`, which shares the parameters of the
layers it stands for and gives the same numbers up to float rounding:

    Conv2d, ReLU, MaxPool2d          CNN1, CNN2
    Conv2d, ReLU                     CNN2, layers 1 and 3
    Conv2d, Maxout, MaxPool2d        CNN3

On Numba, fused layers hand images to each other channels last, (N, H, W, C); `minicnn.kernels.numba_fused` says why.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.kernels.geometry import Geometry
from minicnn.layers import Conv2d, Layer, Maxout, MaxPool2d, ReLU


class FusedLayer(Layer):
    """A `Conv2d`, the `ReLU` or `Maxout` after it, and the `MaxPool2d` after that, where there is one, on Numba.

    Parameters
    ----------
    conv : Conv2d
        A built layer: its parameters are used and its gradients written.
    activation : ReLU or Maxout
    pooling : MaxPool2d or None
    """

    channels_last = True

    def __init__(self, conv: Conv2d, activation: Layer, pooling: MaxPool2d | None):
        one = (1, 1)
        self.parts: list[Layer] = [conv, activation, *([pooling] if pooling else [])]
        self.conv = conv
        self.geometry = Geometry(
            conv.stride, conv.pad, activation.pieces if isinstance(activation, Maxout) else 1,
            isinstance(activation, ReLU), pooling.size if pooling else one, pooling.stride if pooling else one,
            pooling.pad if pooling else (0, 0), pooling.ceil_mode if pooling else False)

    def forward(self, x: Any, training: bool = False) -> Any:
        """Return (N, PH, PW, F) for images x (N, H, W, C)."""
        from minicnn.kernels import numba_fused  # compiled code: imported only where it is used

        y, self.cache = numba_fused.forward(x, self.conv.w.value, self.conv.b.value, self.geometry)
        return y

    def backward(self, dy: Any, input_gradient: bool = True, overwrite_input: bool = False) -> Any:
        """Write the gradients of w and b; return dx (N, H, W, C), or None where `input_gradient` is False.

        With `overwrite_input`, dx may take the place of the images that `forward` was given.
        """
        from minicnn.kernels import numba_winners

        dx, dw, db = numba_winners.backward(dy, self.take_cache(), input_gradient, overwrite_input)
        self.conv.w.grad[...], self.conv.b.grad[...] = dw, db
        return dx


class GpuFusedLayer(FusedLayer):
    """The same on CuPy, where images stay channels first, (N, C, H, W).

    A layer whose images are too large for the kernels runs part by part.
    """

    channels_last = False
    captured = True  # a training step with it can be captured as a CUDA graph

    def forward(self, x: Any, training: bool = False) -> Any:
        """Return (N, F, PH, PW) for images x (N, C, H, W)."""
        from minicnn.kernels import cupy_fused

        w = self.conv.w.value
        self.captured = cupy_fused.has_plan(x.shape[1:], w.shape, self.geometry, x.dtype)
        if self.captured:
            x, self.cache = cupy_fused.forward(x, w, self.conv.b.value, self.geometry)
            return x
        for part in self.parts:
            x = part.forward(x, training)
        self.cache = ()     # the parts have theirs
        return x

    def backward(self, dy: Any, input_gradient: bool = True, overwrite_input: bool = False) -> Any:
        """Write the gradients of w and b; return dx (N, C, H, W), or None where `input_gradient` is False."""
        from minicnn.kernels import cupy_fused

        cache = self.take_cache()
        if isinstance(cache, cupy_fused.FusedCache):
            dx, _, _ = cupy_fused.backward(dy, cache, input_gradient, self.conv.w.grad, self.conv.b.grad)
            return dx
        for part in reversed(self.parts):
            dy = part.backward(dy)
        return dy if input_gradient else None


def fuse(stage: Sequence[Layer], kind: type[FusedLayer] = FusedLayer) -> list[Layer]:
    """Return the layers of `stage` with every pattern that a fused kernel covers replaced by a layer of `kind`.

    Examples
    --------
    >>> from minicnn import models
    >>> [type(layer).__name__ for layer in fuse(models.cnn1().stages[0])]
    ['FusedLayer']
    """
    fused: list[Layer] = []
    rest = list(stage)
    while rest:
        conv, activation, pooling = [*rest[:3], None, None][:3]
        if not (isinstance(conv, Conv2d) and isinstance(activation, (ReLU, Maxout))):
            fused.append(rest.pop(0))
            continue
        candidate = kind(conv, activation, pooling if isinstance(pooling, MaxPool2d) else None)
        if candidate.geometry.taps <= 255:  # a winner is one byte, and 255 says dead
            fused.append(candidate)
            del rest[:len(candidate.parts)]
        else:
            fused.append(rest.pop(0))
    return fused


def channels_last(x: Any) -> Any:
    """Return images (N, C, H, W) as a contiguous (N, H, W, C) array."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def channels_first(x: Any) -> Any:
    """Return images (N, H, W, C) as a contiguous (N, C, H, W) array."""
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
