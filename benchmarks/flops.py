"""How many floating-point operations a network asks for: the dense arithmetic, which every library is measured by.

A multiplication and an addition count as two. What is counted is what the equations say, with every zero multiplied:
those of the border, and those that ReLU and pooling put into the gradient. A kernel that skips zeros does the same work
in less time, so its GFLOP/s may exceed what the machine can do; that is the gain of skipping them.
"""
from __future__ import annotations

from typing import Any

from minicnn import layers
from minicnn.ops.im2col import output_size


def convolution(N: int, C: int, F: int, kernel: tuple[int, int], output: tuple[int, int]) -> int:
    """Return the operations of a convolution of N images; each of its two gradients takes as many.

    Examples
    --------
    CNN1's second convolution, a batch of 128:

    >>> convolution(128, 32, 48, (5, 5), (8, 8))
    629145600
    """
    return 2 * N * F * output[0] * output[1] * C * kernel[0] * kernel[1]


def per_image(net: Any) -> tuple[int, int]:
    """Return the operations of convolutions and linear layers for one image: of classifying it, and of a training step.

    A training step takes three times as many: the output, the gradient of the weights, that of the input. Nobody needs
    the gradient of the image, so the first layer has two.

    Examples
    --------
    >>> from minicnn import models
    >>> inference, training = per_image(models.cnn1())
    >>> inference, 3 * inference - training == 2 * 24 * 24 * 25 * 32
    (6495970, True)
    """
    (_, H, W), each = net.input_shape, []
    for layer in (layer for stage in net.stages for layer in stage):
        match layer:
            case layers.Conv2d():
                F, C, KH, KW = layer.w.value.shape
                H, W = (output_size(n, k, s, p) for n, k, s, p in zip((H, W), (KH, KW), layer.stride, layer.pad))
                each.append(convolution(1, C, F, (KH, KW), (H, W)))
            case layers.MaxPool2d():
                H, W = (output_size(n, k, s, p, layer.ceil_mode)
                        for n, k, s, p in zip((H, W), layer.size, layer.stride, layer.pad))
            case layers.Linear():
                each.append(2 * layer.w.value.size)
    return sum(each), 3 * sum(each) - each[0]
