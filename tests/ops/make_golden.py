"""Write tests/ops/golden/*.npz: what torch answers in float64, for machines without torch.

    python -m tests.ops.make_golden

Run it only to add cases; the files are checked in. One file for each operation, one prefix for each case::

    CASE/options   JSON: the arguments that are not arrays
    CASE/NAME      input arrays (x, w, b, ...), result (y or loss), upstream gradient dy, gradients (dx, ...)

Inputs are multiples of 1/64, so the files compress well. Those of ReLU, pooling and maxout are all different
and none is 0: at a tie or a kink, the gradient is a convention, which those operations' tests check by hand.
"""
from __future__ import annotations

import json

import numpy as np
import torch
from torch.nn import functional

from .versions import GOLDEN

RNG = np.random.default_rng(20150316)


def numbers(*shape):
    return RNG.integers(-128, 129, shape) / 64


def distinct(*shape):
    size = int(np.prod(shape))
    return (RNG.permutation(size) - size // 2 + 0.5).reshape(shape) / 64


def case(function, inputs, **options):
    """Return the arrays of one case: inputs, options, y = function(tensors), random dy, and the gradients."""
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in inputs.items()}
    y = function(*tensors.values())
    dy = torch.tensor(numbers(*y.shape))
    y.backward(dy)
    gradients = {f"d{name}": tensor.grad for name, tensor in tensors.items()}
    results = {name: tensor.numpy() for name, tensor in {"y": y.detach(), "dy": dy, **gradients}.items()}
    return {"options": json.dumps(options), **inputs, **results}


def conv2d(N, C, H, W, F, KH, KW, stride, pad, bias=True):
    inputs = {"x": numbers(N, C, H, W), "w": numbers(F, C, KH, KW), **({"b": numbers(F)} if bias else {})}
    return case(lambda x, w, b=None: functional.conv2d(x, w, b, stride, pad), inputs, stride=stride, pad=pad)


def im2col(N, C, H, W, size, stride, pad):
    return case(lambda x: functional.unfold(x, size, padding=pad, stride=stride), {"x": numbers(N, C, H, W)},
                size=size, stride=stride, pad=pad)


def max_pool2d(N, C, H, W, size, stride, pad, ceil_mode):
    x = distinct(N, C, H, W) - (3 if pad != 0 else 0)  # nearly all negative: padding with 0 would win
    return case(lambda x: functional.max_pool2d(x, size, stride, pad, ceil_mode=ceil_mode), {"x": x},
                size=size, stride=stride, pad=pad, ceil_mode=ceil_mode)


def maxout(pieces, N, C, *rest):
    return case(lambda x: x.reshape(N, C // pieces, pieces, *rest).amax(2), {"x": distinct(N, C, *rest)},
                pieces=pieces)


def dropout(drop_prob, scale, *shape):
    """The uniform numbers are in the file: NumPy does not promise that its streams never change."""
    uniform = RNG.random(shape, dtype=np.float32)
    factor = torch.tensor((uniform >= drop_prob) * (1 / (1 - drop_prob) if scale is None else scale))
    made = case(lambda x: x * factor, {"x": numbers(*shape)}, drop_prob=drop_prob, scale=scale)
    return {**made, "uniform": uniform}


def linear(N, D, F, bias=True):
    inputs = {"x": numbers(N, D), "w": numbers(F, D), **({"b": numbers(F)} if bias else {})}
    return case(functional.linear, inputs)


def softmax_cross_entropy(N, K, spread):
    logits = numbers(N, K) * spread
    labels = RNG.integers(0, K, N)
    z = torch.tensor(logits, requires_grad=True)
    loss = functional.cross_entropy(z, torch.tensor(labels))
    loss.backward()
    return {"options": "{}", "logits": logits, "labels": labels, "loss": loss.detach().numpy(),
            "probabilities": torch.softmax(z.detach(), 1).numpy(), "dlogits": z.grad.numpy()}


def cases():
    """Return {operation: {case: arrays}}."""
    return {
        "conv2d": {
            "plain": conv2d(2, 2, 6, 5, 3, 3, 3, stride=1, pad=0),
            "strided_and_padded": conv2d(2, 3, 7, 6, 2, 3, 2, stride=2, pad=1),
            "stride_beyond_kernel": conv2d(1, 2, 8, 9, 2, 2, 1, stride=[3, 4], pad=0),
            "pairs": conv2d(2, 1, 5, 8, 3, 2, 4, stride=[1, 3], pad=[2, 1]),
            "one_pixel_without_bias": conv2d(3, 4, 3, 3, 5, 3, 3, stride=1, pad=0, bias=False),
            "smaller_than_its_kernel_but_padded": conv2d(2, 3, 4, 4, 2, 5, 5, stride=1, pad=1),
        },
        "im2col": {
            "overlapping": im2col(2, 2, 5, 4, [3, 2], 1, [1, 0]),
            "ragged_edge": im2col(1, 3, 6, 7, 2, [3, 4], 0),
        },
        "max_pool2d": {
            "plain": max_pool2d(2, 2, 6, 4, 2, 2, 0, False),
            "overlapping": max_pool2d(1, 2, 7, 6, 3, 1, 0, False),
            "overlapping_padded": max_pool2d(2, 2, 6, 5, 3, 2, 1, False),
            "ceil": max_pool2d(2, 2, 9, 7, 4, 2, 0, True),
            "ceil_padded_pairs": max_pool2d(2, 1, 7, 8, [3, 2], [2, 3], [1, 1], True),
            "ragged_edge": max_pool2d(1, 2, 7, 8, 2, 3, 0, False),
        },
        "relu": {"images": case(functional.relu, {"x": distinct(2, 2, 3, 4)}),
                 "rows": case(functional.relu, {"x": distinct(3, 5)})},
        "maxout": {"images": maxout(2, 2, 6, 3, 2), "rows": maxout(4, 3, 8), "one_piece": maxout(1, 2, 3)},
        "dropout": {"inverted": dropout(0.5, None, 2, 3, 4, 2), "of_the_recipe": dropout(0.2, 1.0, 4, 6)},
        "linear": {"batch": linear(4, 6, 3), "one_sample": linear(1, 5, 2),
                   "without_bias": linear(3, 2, 4, bias=False)},
        "softmax_cross_entropy": {"batch": softmax_cross_entropy(5, 7, 1),
                                  "one_sample": softmax_cross_entropy(1, 3, 1),
                                  "far_apart": softmax_cross_entropy(4, 5, 400)},
    }


if __name__ == "__main__":
    for operation, made in cases().items():
        arrays = {f"{name}/{key}": array for name, entry in made.items() for key, array in entry.items()}
        np.savez_compressed(GOLDEN / f"{operation}.npz", **arrays)
