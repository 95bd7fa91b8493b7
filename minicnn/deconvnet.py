"""DeConvNet: which part of the image made this feature fire? An activation projected back to the pixels.

The question
------------
A feature map is a picture of *where* a feature was found, not of *what* it is. Take the one activation of
interest, set all others to zero, and send it back through the layers that produced it, each undone as well as
it can be. What arrives at the pixels shows the pattern behind that one activation, in that one image.

Three steps
-----------
Let R be the signal on its way back, R^l on the output side of layer l. From the last layer to the first::

    1. unpool      R^{l-1}[n, c, i] = sum of R^l[n, c, oy, ox] over all (oy, ox) with switch[n, c, oy, ox] == i
    2. rectify     R^{l-1} = max(R^l, 0)
    3. filter      R^{l-1}[n, c, iy, ix] = sum over f and all (oy, ky, ox, kx) with oy*sy + ky - py = iy
                                           and ox*sx + kx - px = ix  of  R^l[n, f, oy, ox] * w[f, c, ky, kx]

Pooling cannot be inverted, but the forward pass knew which cell won each window: that is its *switch*. The
signal returns there, all other cells stay empty, and where windows overlap, what comes to one cell adds up::

    x                   y           switches       R, back from above      unpooled
    +---+---+---+---+
    | 1   5 | 2   0 |   +---+---+   +----+----+    +---+---+               .   9   .   .
    | 3   4 | 8   6 |   | 5 | 8 |   |  1 |  6 |    | 9 | 2 |               .   .   2   .
    +---+---+---+---+   +---+---+   +----+----+    +---+---+
    | 7   0 | 1   6 |   | 7 | 6 |   |  8 | 11 |    | 3 | 4 |               3   .   .   4
    | 2   3 | 4   5 |   +---+---+   +----+----+    +---+---+               .   .   .   .
    +---+---+---+---+

Is step 2 not idle, when unpooled activations are positive anyway? In the stage where the signal starts, yes.
But step 3 multiplies by weights of both signs, so the stage below receives negative values too, while feature
maps behind a ReLU never are negative: the ReLU brings the signal back among the things it can be.

How it relates to the gradient
------------------------------
Steps 1 and 3 *are* the backward passes of pooling and convolution (see "why is the kernel rotated?" on the page
of `minicnn.ops.conv`): this module calls those of `minicnn.ops`, with the caches of the forward pass. The one
difference is what a ReLU with input x does to the signal that comes back::

    gradient                  R^{l-1} = R^l * [x > 0]                    what the forward pass let through
    DeConvNet                 R^{l-1} = R^l * [R^l > 0]                  what is positive on the way back
    guided backpropagation    R^{l-1} = R^l * [x > 0] * [R^l > 0]        both

and that R starts with the activation itself, a, where the gradient starts with 1. So in a network without ReLU
the projection is a times the gradient of a, and likewise wherever every x > 0 and every R >= 0. Elsewhere they
differ, even in sign. Pixels (1, 2); three filters of one pixel with weights 1, -1, 1; ReLU; one filter of 1x2
pixels over the three maps with weights (2, 1), (3, 1), (-1, 0); ReLU. Then a = 2*1 + 1*2 + 0 - 1*1 = 3, and::

    x of the first ReLU    R = 3w    gradient      DeConvNet        guided
         1   2              6  3       6  3           6   3          6  3         times  1
        -1  -2              9  3       .  .           9   3          .  .         times -1
         1   2             -3  0      -3  0           .   .          .  .         times  1
                                      ------         -------        ------
    at the pixels:                     3  3          -3   0          6  3

Other layers
------------
* Fully connected: step 3 with the transposed matrix, after which Flatten's rows become maps again. Biases never
  take part. Dropout is the identity, as at inference.
* Maxout is not in the paper. It is rectifier and pooling in one, a maximum over the pieces of a feature, so the
  natural reading is both steps: rectify the signal, then send it to the piece that won. Maxout can be negative:
  a negative activation of it is a feature that is absent, and its projection is 0.

Pitfalls
--------
* The image enters through the switches and through a alone. Without pooling or maxout, one activation has the
  same projection in every image, but for its scale: a picture of the weights.
* A window that is 0 throughout, after a ReLU, is a tie, and its switch is the first cell by convention. A signal
  that comes there goes to the window's corner for no better reason.
* The values have no unit. Scale each projection by its own largest magnitude before looking at it; gray is 0.
* A projection is no proof. The switches alone redraw much of the image, whichever feature the signal came from
  (Mahendran and Vedaldi 2016, Salient deconvolutional networks). Compare several images of one feature, as
  `strongest` finds them, each beside the pixels that its activation saw, which `receptive_field` gives.

Where the paper uses it: Figure 8, features of CNN1's third layer, "rounded blobs" and "small tentacles".

Sources: Zeiler and Fergus 2014, Visualizing and understanding convolutional networks, section 2.1; the
comparison with the gradient: Simonyan, Vedaldi and Zisserman 2014, Deep inside convolutional networks,
section 4; guided backpropagation, and the pitfall of no pooling: Springenberg, Dosovitskiy, Brox and Riedmiller
2015, Striving for simplicity: the all convolutional net.
"""
from __future__ import annotations

import copy
from itertools import chain
from typing import Any, Literal, NamedTuple

import numpy as np

from minicnn import ops
from minicnn.backend import array_module, on_other_side, to_backend
from minicnn.inputs import axes_hint, check_pixels, images_of
from minicnn.layers import Conv2d, Dropout, Flatten, Layer, Linear, Maxout, MaxPool2d, ReLU, positive
from minicnn.network import Network
from minicnn.npz import to_host

_BATCH = 256  # images in one forward pass of `strongest`: bounds its memory


class Strongest(NamedTuple):
    """The images in which a feature is strongest, the strongest first."""

    rows: np.ndarray         # (k,) int64: which images
    activations: np.ndarray  # (k,): the largest activation in each
    positions: np.ndarray    # (k, 2) int64: row and column of that activation in its feature map


def project(net: Network, x: Any, stage: int, channel: int,
            position: tuple[int, int] | Literal["all"] | None = None) -> Any:
    """Project an activation of a feature map back to image space.

    The layers are run one by one, unfused, on any backend. The network is only read: its weights, gradients,
    generator, and a forward pass that still waits for its backward pass stay as they are.

    Parameters
    ----------
    net : Network
        The network, in the state to be looked at.
    x : array (N, C, H, W) or (C, H, W)
        Images, or one image. Those on the host go to a device that is used, and the projection comes back.
    stage : int
        Whose output to project, counted as in `Network.features`: 1 to ``len(net.stages)``.
    channel : int
        The feature map; in a fully connected stage, the unit.
    position : (row, column), "all" or None
        Which activations of the map to keep; all others are set to zero. None: the strongest in each image (the
        first, if several are equal). "all": the whole map. A fully connected unit is a map of 1x1.

    Returns
    -------
    array of the shape of `x`
        The projection, in the network's dtype (float32 unless it was built otherwise). It has both signs, and is 0
        outside the receptive field.

    Raises
    ------
    ValueError
        No such stage, channel or position, images that do not fit the network or whose pixels are not finite or not
        scaled (`minicnn.inputs` says which are), or a layer with no known way back.

    Examples
    --------
    The worked example at the top of this page:

    >>> from minicnn.layers import Conv2d, Flatten, Linear, ReLU
    >>> net = Network([[Conv2d(3, 1), ReLU()], [Conv2d(1, (1, 2)), ReLU()], [Flatten(), Linear(2)]], (1, 1, 2))
    >>> net.stages[0][0].w.value[...] = [[[[1]]], [[[-1]]], [[[1]]]]
    >>> net.stages[1][0].w.value[...] = [[[[2, 1]], [[3, 1]], [[-1, 0]]]]
    >>> project(net, [[[1.0, 2.0]]], stage=2, channel=0).tolist()
    [[[-3.0, 0.0]]]

    Source: Zeiler and Fergus 2014, section 2.1.
    """
    height, width = _map_size(net, stage, channel)
    cell = _cell(position, height, width)
    x = images_of(x, "x")
    if x.shape == net.input_shape:
        return project(net, x[None], stage, channel, position)[0]
    _check_images(net, x, "x")
    if on_other_side(x):
        return to_host(project(net, to_backend(x.astype(net.dtype)), stage, channel, position))

    y, trail = _forward(net, x, stage)
    xp = array_module(y)
    maps = y.reshape(len(y), -1, height * width)                          # (N, F, OH*OW)
    signal = xp.zeros_like(maps)                                          # (N, F, OH*OW)
    kept: Any = (slice(None), channel, cell)
    if cell is None:
        kept = (xp.arange(len(y)), channel, maps[:, channel].argmax(axis=1))
    signal[kept] = maps[kept]
    signal = signal.reshape(y.shape)                                      # (N, F, OH, OW) or (N, D)
    for layer in reversed(trail):
        signal = _back(layer, signal)
    return signal


def strongest(net: Network, images: Any, stage: int, channel: int, count: int = 9) -> Strongest:
    """Return the images in which a feature is strongest: those whose projections are worth looking at.

    Parameters
    ----------
    net : Network
        The network; only read, as by `project`.
    images : array (N, C, H, W)
        Where to look.
    stage, channel
        The same as for `project`.
    count : int
        How many; fewer come back where there are fewer images.

    Returns
    -------
    Strongest
        `rows` into `images`, `activations` and `positions`, the strongest first; among equals, the first image.

    Raises
    ------
    ValueError
        The same errors as in `project`, or a `count` that is not positive.

    Examples
    --------
    The figure of Zeiler and Fergus: each projection beside the pixels that its activation saw.

    >>> from minicnn import models
    >>> net, images = models.cnn1(), np.random.default_rng(0).random((20, 1, 28, 28), np.float32)
    >>> best = strongest(net, images, stage=2, channel=16, count=3)
    >>> for projection, n, position in zip(project(net, images[best.rows], 2, 16), best.rows, best.positions):
    ...     top, bottom, left, right = receptive_field(net, 2, *position)
    ...     picture, beside = images[n, :, top:bottom, left:right], projection[:, top:bottom, left:right]
    >>> picture.shape, beside.shape
    ((1, 16, 16), (1, 16, 16))
    """
    height, width = _map_size(net, stage, channel)
    count = positive(count, "count")
    images = images_of(images, "images")
    _check_images(net, images, "images")
    activations, cells = [], []
    for start in range(0, len(images), _BATCH):
        batch = images[start:start + _BATCH]
        y, _ = _forward(net, to_backend(batch) if on_other_side(batch) else batch, stage)
        maps = y[:, channel].reshape(len(y), height * width)              # (n, OH*OW)
        activations.append(to_host(maps.max(axis=1)))
        cells.append(to_host(maps.argmax(axis=1)))
    activation, cell = np.concatenate(activations), np.concatenate(cells)
    rows = np.argsort(-activation, kind="stable")[:count]
    return Strongest(rows, activation[rows], np.stack(np.divmod(cell[rows], width), axis=1))


def receptive_field(net: Network, stage: int, row: int, column: int) -> tuple[int, int, int, int]:
    """Return the smallest rectangle that holds every pixel which an activation depends on.

    Parameters
    ----------
    net : Network
        The network.
    stage : int
        The same as for `project`.
    row, column : int
        Position in the feature map; 0, 0 in a fully connected stage, which sees what all its inputs see.

    Returns
    -------
    top, bottom, left, right : int
        Clipped to the image; `bottom` and `right` are exclusive, so ``image[:, top:bottom, left:right]`` crops it.
        0, 0, 0, 0 for an activation that sees nothing but padding.

    Raises
    ------
    ValueError
        No such stage, row or column.

    Examples
    --------
    A 5x5 convolution and 2x2 pooling: two convolutions, one pixel apart, see 6 pixels.

    >>> from minicnn import models
    >>> receptive_field(models.cnn1(), stage=1, row=0, column=3)
    (0, 6, 6, 12)
    >>> receptive_field(models.cnn1(), stage=3, row=0, column=0)
    (0, 28, 0, 28)
    """
    _cell((row, column), *_map_size(net, stage))
    ys, xs = _seen(net, stage, 0)[row], _seen(net, stage, 1)[column]
    if not ys or not xs:
        return 0, 0, 0, 0
    return min(ys), max(ys) + 1, min(xs), max(xs) + 1


def _seen(net: Network, stage: int, axis: int) -> list[set[int]]:
    """Return, for each index of the stage's maps along `axis` (0: rows, 1: columns), the pixel indices it sees."""
    seen = [{i} for i in range(net.input_shape[1 + axis])]
    for layer in chain(*net.stages[:stage]):
        if isinstance(layer, (Conv2d, MaxPool2d)):
            size = layer.size[axis]
            step, pad = layer.stride[axis], layer.pad[axis]
            windows = ops.output_size(len(seen), size, step, pad, isinstance(layer, MaxPool2d) and layer.ceil_mode)
            corners = [o * step - pad for o in range(windows)]
            # A window sees what its cells see; those in the padding, or past a ragged edge, do not exist.
            seen = [set().union(*seen[max(i, 0):max(i + size, 0)]) for i in corners]
        elif isinstance(layer, Flatten):
            seen = [set().union(*seen)]
    return seen


def _forward(net: Network, x: Any, stage: int) -> tuple[Any, list[Layer]]:
    """Return the output of `stage` and the layers, unfused, that made it, each with the cache of this pass."""
    x, trail = x.astype(net.dtype, copy=False), []
    for layer in chain(*net.stages[:stage]):
        own = copy.copy(layer)  # shares the weights; its cache is its own, so the network's stays as it is
        x = own.forward(x)
        trail.append(own)
    return x, trail


def _back(layer: Layer, signal: Any) -> Any:
    """Return the signal on the input side of `layer`. Only the two activation functions differ from the gradient."""
    cache = layer.take_cache()
    if isinstance(layer, MaxPool2d):
        return ops.max_pool2d_backward(signal, cache)              # to the switches; adds up where windows overlap
    if isinstance(layer, ReLU):
        return ops.relu(signal)[0]                                 # the signal is rectified; the cache plays no part
    if isinstance(layer, Maxout):
        return ops.maxout_backward(ops.relu(signal)[0], cache)     # rectified, then to the piece that won
    if isinstance(layer, Conv2d):
        return ops.conv2d_backward(signal, cache)[0]               # the transposed filters, no bias
    if isinstance(layer, Linear):
        return ops.linear_backward(signal, cache)[0]               # the transposed weights, no bias
    if isinstance(layer, Dropout):
        return ops.dropout_backward(signal, cache)                 # the identity: the forward pass dropped nothing
    if isinstance(layer, Flatten):
        return signal.reshape(cache)
    raise ValueError(f"{layer!r}: the DeConvNet has no way back through a {type(layer).__name__}")


def _map_size(net: Network, stage: int, channel: int = 0) -> tuple[int, int]:
    """Return the height and width of the maps of `stage`, once it is clear that there is such a stage and channel."""
    _check_index("stage", stage, 1, len(net.stages), f"{net.name!r}")
    channels, height, width = (*net.shapes[stage], 1, 1)[:3]  # a fully connected unit is a map of 1x1
    _check_index("channel", channel, 0, channels - 1, f"stage {stage} of {net.name!r}")
    return height, width


def _cell(position: Any, height: int, width: int) -> int | slice | None:
    """Return what `position` selects in a flat map: one index, all of them, or None for the strongest."""
    if position is None:
        return None
    if isinstance(position, str) and position == "all":
        return slice(None)
    if np.shape(position) != (2,):
        raise ValueError(f"position={position!r}: expected (row, column), 'all', or None for the strongest")
    row, column = position
    _check_index("row", row, 0, height - 1, f"maps of {height}x{width}")
    _check_index("column", column, 0, width - 1, f"maps of {height}x{width}")
    return int(row) * width + int(column)


def _check_index(name: str, value: Any, first: int, last: int, where: str) -> None:
    # A negative index would silently be taken as one from the end.
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not first <= value <= last:
        raise ValueError(f"{name}={value!r}: expected an integer from {first} to {last}, for {where}")


def _check_images(net: Network, x: Any, name: str) -> None:
    if x.ndim != 4 or x.shape[1:] != net.input_shape or len(x) == 0:
        C, H, W = net.input_shape
        raise ValueError(f"{name} has shape {x.shape}: {net.name!r} expects (N, {C}, {H}, {W}), at least one image"
                         + (f", or one image ({C}, {H}, {W})" if name == "x" else "")
                         + axes_hint(x.shape, net.input_shape))
    check_pixels(x, name)
