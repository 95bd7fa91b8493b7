"""The paper's three networks (Tables I to III).

The shapes are those the paper prints. Two of them say more than its text:

* CNN1, layer 3: a 5x5 convolution of 4x4 images is impossible without padding. Padding 1 makes it 2x2, which the
  pooling takes to the printed 1x1.
* CNN3: the printed 10x10, 4x4 and 3x3 are those of the maxout authors' MNIST network as published with Pylearn2:
  padding 0, 3 and 3; 2, 2 and 4 pieces; and pooling that keeps a ragged last window (21 -> 10, 9 -> 4).

`n_classes` and `input_shape` adapt the networks to other data; a size too small for the layers is an error that
names the layer.
"""
from __future__ import annotations

from typing import Any, Literal

import numpy as np

from minicnn.layers import Conv2d, Dropout, Flatten, Layer, Linear, Maxout, MaxPool2d, ReLU
from minicnn.network import Network

Shape = tuple[int, int, int]


def cnn1(n_classes: int = 121, seed: int = 0, input_shape: Shape = (1, 28, 28), dtype: Any = np.float32,
         fuse: bool = True) -> Network:
    """Return CNN1 (Table I): three layers of convolution, ReLU and pooling, one fully connected, softmax.

    Parameters
    ----------
    n_classes : int
        Outputs of the last layer.
    seed : int
        Seed of the generator that draws the initial weights.
    input_shape : (int, int, int)
        Channels, height, width.
    dtype, fuse
        The same as for `minicnn.Network`.

    Examples
    --------
    >>> cnn1().shapes
    [(1, 28, 28), (32, 12, 12), (48, 4, 4), (64, 1, 1), (121,), (121,)]
    """
    return Network([
        [Conv2d(32, 5), ReLU(), MaxPool2d(2)],
        [Conv2d(48, 5), ReLU(), MaxPool2d(2)],
        [Conv2d(64, 5, pad=1), ReLU(), MaxPool2d(2)],
        [Flatten(), Linear(121), ReLU()],
        [Linear(n_classes)],
    ], input_shape, seed, dtype, fuse, name="cnn1")


def cnn2(n_classes: int = 121, seed: int = 0, input_shape: Shape = (1, 40, 40), dtype: Any = np.float32,
         fuse: bool = True) -> Network:
    """Return CNN2 (Table II): five convolutions, three of them pooled, one fully connected layer, softmax.

    Parameters as for `cnn1`.

    Examples
    --------
    >>> cnn2().shapes[:6]
    [(1, 40, 40), (32, 36, 36), (32, 16, 16), (48, 12, 12), (48, 4, 4), (64, 1, 1)]
    """
    return Network([
        [Conv2d(32, 5), ReLU()],
        [Conv2d(32, 5), ReLU(), MaxPool2d(2)],
        [Conv2d(48, 5), ReLU()],
        [Conv2d(48, 5), ReLU(), MaxPool2d(2)],
        [Conv2d(64, 3), ReLU(), MaxPool2d(2)],
        [Flatten(), Linear(121), ReLU()],
        [Linear(n_classes)],
    ], input_shape, seed, dtype, fuse, name="cnn2")


def cnn3(n_classes: int = 121, seed: int = 0, input_shape: Shape = (1, 28, 28), dtype: Any = np.float32,
         fuse: bool = True, dropout: Literal["first", "all", "none"] = "first") -> Network:
    """Return CNN3 (Table III): three layers of convolution, maxout and overlapping pooling, softmax, with dropout.

    Weights start from U(-0.005, 0.005), as in the recipe that `minicnn.recipes.maxout` completes.

    Parameters
    ----------
    n_classes, seed, input_shape, dtype, fuse
        The same as for `cnn1`.
    dropout : {"first", "all", "none"}
        Two readings of the caption "dropout used at first layer". ``"first"``: only the pixels, kept with probability
        0.8 and not rescaled. ``"all"``: also the input of every later stage, kept with probability 0.5, as in the
        recipe. ``"none"``: no dropout, to measure what it costs.

    Examples
    --------
    >>> cnn3().shapes
    [(1, 28, 28), (48, 10, 10), (48, 4, 4), (24, 3, 3), (121,)]
    """
    if not isinstance(dropout, str) or dropout not in ("first", "all", "none"):
        raise ValueError(f"dropout={dropout!r}: expected 'first', 'all' or 'none'")
    limit = 0.005
    stages: list[list[Layer]] = [
        [Conv2d(96, 8, init_limit=limit), Maxout(2), MaxPool2d(4, 2, ceil_mode=True)],
        [Conv2d(96, 8, pad=3, init_limit=limit), Maxout(2), MaxPool2d(4, 2, ceil_mode=True)],
        [Conv2d(96, 5, pad=3, init_limit=limit), Maxout(4), MaxPool2d(2)],
        [Flatten(), Linear(n_classes, init_limit=limit)],
    ]
    if dropout != "none":
        stages[0].insert(0, Dropout(0.2, scale=1.0))
    if dropout == "all":
        for stage in stages[1:]:
            stage.insert(0, Dropout(0.5))
    return Network(stages, input_shape, seed, dtype, fuse, name="cnn3")


MODELS = {"cnn1": cnn1, "cnn2": cnn2, "cnn3": cnn3}
