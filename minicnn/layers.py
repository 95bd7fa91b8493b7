"""Layers: thin holders of parameters around the operations of `minicnn.ops`.

A layer knows its hyper-parameters when it is made, and its sizes when `build` tells it the shape that comes in; so a
network is written down without counting a single channel. `forward` keeps what the operation's backward pass needs,
and `backward` uses it once.
"""
from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.backend import pair, to_backend
from minicnn.inputs import flag, integer, number

Shape = tuple[int, ...]


class Parameter:
    """A learnable array with its gradient.

    Attributes
    ----------
    name : str
        Where it lives in the network, such as ``"stage1.conv2d.w"``.
    value : array
        Updated in place by the optimizer.
    grad : array
        Same shape; overwritten by every backward pass.
    """

    def __init__(self, name: str, value: Any):
        self.name = name
        self.value = value
        self.grad = value * 0

    def __repr__(self) -> str:
        return f"Parameter({self.name!r}, shape={self.value.shape}, dtype={self.value.dtype})"


class Layer:
    """One operation with its parameters. Subclasses define what a forward and a backward pass do."""

    cache: Any = None
    channels_last = False  # whether it takes and returns images as (N, H, W, C)
    placed: int | None = None  # its own `id` once a network has it, for one place alone; a copy is free again

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: Any) -> Shape:
        """Create the parameters for one sample of shape `input_shape` and return the shape of its output."""
        raise NotImplementedError

    def forward(self, x: Any, training: bool = False) -> Any:
        """Return the output for a batch `x` of shape (N, *input_shape)."""
        raise NotImplementedError

    def backward(self, dy: Any) -> Any:
        """Write the gradients of the parameters and return the gradient of the input of the last forward pass."""
        raise NotImplementedError

    def parameters(self) -> list[Parameter]:
        """Return the learnable parameters, weights first."""
        return []

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data: each is kept in the attribute of its own name.

        Examples
        --------
        >>> MaxPool2d(3, stride=2).config()
        {'size': [3, 3], 'stride': [2, 2], 'pad': [0, 0], 'ceil_mode': False}
        """
        if type(self).__init__ is object.__init__:
            return {}
        values = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def size_text(self) -> str:
        """Return the entry of this layer in the size column of the summary."""
        return ""

    def take_cache(self) -> Any:
        """Return what the last forward pass kept, and forget it: it is large, and valid for one backward pass."""
        if self.cache is None:
            raise RuntimeError(f"{type(self).__name__}.backward called without a forward pass before it: "
                               "call forward(x, training=True) first, once for each backward")
        cache, self.cache = self.cache, None
        return cache

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.config().items())})"


def uniform(rng: np.random.Generator, shape: Shape, limit: float, dtype: Any) -> Any:
    """Draw initial weights from U(-limit, limit)."""
    return rng.uniform(-limit, limit, shape).astype(dtype)


class _Weighted(Layer):
    """What `Conv2d` and `Linear` share: a weight array `w`, whose first axis is the output, and a bias `b`.

    Weights start from U(-limit, limit). Where no limit is given it is sqrt(6 / fan_in), which keeps the variance of
    the activations through a ReLU (He et al. 2015, equation 10). Biases start at 0.
    """

    w: Parameter
    b: Parameter

    def __init__(self, init_limit: float | None):
        self.init_limit = None if init_limit is None else number(
            init_limit, "init_limit", lambda limit: limit > 0, "a positive number, or None for He's rule")

    def make_parameters(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> None:
        limit = math.sqrt(6 / math.prod(shape[1:])) if self.init_limit is None else self.init_limit
        name = type(self).__name__.lower()
        self.w = Parameter(f"{name}.w", to_backend(uniform(rng, shape, limit, dtype)))
        self.b = Parameter(f"{name}.b", to_backend(np.zeros(shape[0], dtype)))

    def parameters(self) -> list[Parameter]:
        return [self.w, self.b]


class Conv2d(_Weighted):
    """Convolution of every image with `filters` learned kernels; see `minicnn.ops.conv`.

    Parameters
    ----------
    filters : int
        Number of output channels.
    size : int or (int, int)
        Height and width of the kernel, in pixels.
    stride, pad : int or (int, int)
    init_limit : float, optional
        Weights start from U(-init_limit, init_limit); by default He's rule.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv2d(32, 5)
    >>> layer.build((1, 28, 28), np.random.default_rng(0), np.float32)
    (32, 24, 24)
    """

    def __init__(self, filters: int, size: Any, stride: Any = 1, pad: Any = 0, init_limit: float | None = None):
        super().__init__(init_limit)
        self.filters = positive(filters, "filters")
        self.size = pair(size, "size", 1)
        self.stride = pair(stride, "stride", 1)
        self.pad = pair(pad, "pad", 0)

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: Any) -> Shape:
        C, H, W = image_shape(self, input_shape)
        (KH, KW), (SH, SW), (PH, PW) = self.size, self.stride, self.pad
        self.make_parameters((self.filters, C, KH, KW), rng, dtype)
        return self.filters, ops.output_size(H, KH, SH, PH), ops.output_size(W, KW, SW, PW)

    def forward(self, x: Any, training: bool = False) -> Any:
        y, self.cache = ops.conv2d(x, self.w.value, self.b.value, self.stride, self.pad)
        return y

    def backward(self, dy: Any) -> Any:
        dx, self.w.grad[...], self.b.grad[...] = ops.conv2d_backward(dy, self.take_cache())
        return dx

    def size_text(self) -> str:
        return f"{self.filters} {by(self.size)} filters" + stride_and_pad(self.stride, (1, 1), self.pad)


class MaxPool2d(Layer):
    """Maximum over windows; see `minicnn.ops.pool`. The stride defaults to the window's size."""

    def __init__(self, size: Any, stride: Any = None, pad: Any = 0, ceil_mode: bool = False):
        self.size = pair(size, "size", 1)
        self.stride = self.size if stride is None else pair(stride, "stride", 1)
        self.pad = pair(pad, "pad", 0)
        self.ceil_mode = flag(ceil_mode, "ceil_mode")

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: Any) -> Shape:
        C, H, W = image_shape(self, input_shape)
        OH, OW = (ops.output_size(n, k, s, p, self.ceil_mode)
                  for n, k, s, p in zip((H, W), self.size, self.stride, self.pad))
        return C, OH, OW

    def forward(self, x: Any, training: bool = False) -> Any:
        y, self.cache = ops.max_pool2d(x, self.size, self.stride, self.pad, self.ceil_mode)
        return y

    def backward(self, dy: Any) -> Any:
        return ops.max_pool2d_backward(dy, self.take_cache())

    def size_text(self) -> str:
        return by(self.size) + stride_and_pad(self.stride, None, self.pad)


class ReLU(Layer):
    """max(x, 0) of every element; see `minicnn.ops.relu`."""

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: Any) -> Shape:
        return input_shape

    def forward(self, x: Any, training: bool = False) -> Any:
        y, self.cache = ops.relu(x)
        return y

    def backward(self, dy: Any) -> Any:
        return ops.relu_backward(dy, self.take_cache())


class Maxout(Layer):
    """Maximum over groups of `pieces` consecutive channels; see `minicnn.ops.maxout`."""

    def __init__(self, pieces: int):
        self.pieces = positive(pieces, "pieces")

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: Any) -> Shape:
        if input_shape[0] % self.pieces:
            raise ValueError(f"Maxout(pieces={self.pieces}) after {input_shape[0]} channels: "
                             "expected a number of channels that the pieces divide")
        return input_shape[0] // self.pieces, *input_shape[1:]

    def forward(self, x: Any, training: bool = False) -> Any:
        y, self.cache = ops.maxout(x, self.pieces)
        return y

    def backward(self, dy: Any) -> Any:
        return ops.maxout_backward(dy, self.take_cache())

    def size_text(self) -> str:
        return f"{self.pieces} pieces"


class Dropout(Layer):
    """Zero each element with probability `drop_prob` while training; see `minicnn.ops.dropout`.

    `scale` multiplies what is kept: by default 1 / (1 - drop_prob), so that the expectation stays. The network
    gives the layer its generator (`rng`), which makes a run repeatable and lets a checkpoint continue it.
    """

    rng: np.random.Generator
    stream: Any = None  # on a GPU, while `minicnn.device` trains: its random numbers, drawn there

    def __init__(self, drop_prob: float, scale: float | None = None):
        self.drop_prob = number(drop_prob, "drop_prob", lambda p: 0 <= p < 1, "a probability, 0 <= drop_prob < 1")
        self.scale = None if scale is None else number(
            scale, "scale", lambda factor: factor > 0, "a positive number, or None for 1 / (1 - drop_prob)")

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: Any) -> Shape:
        self.rng = rng
        return input_shape

    def forward(self, x: Any, training: bool = False) -> Any:
        if training and self.stream is not None:
            from minicnn.kernels.cupy_dropout import dropout_of_stream

            y, self.cache = dropout_of_stream(x, self.drop_prob, self.stream, self.scale)
        else:
            y, self.cache = ops.dropout(x, self.drop_prob, self.rng, training, self.scale)
        return y

    def backward(self, dy: Any) -> Any:
        return ops.dropout_backward(dy, self.take_cache())

    def size_text(self) -> str:
        return f"drop {self.drop_prob:g}"


class Flatten(Layer):
    """Lay each sample out as one row: (N, C, H, W) -> (N, C*H*W)."""

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: Any) -> Shape:
        return (math.prod(input_shape),)

    def forward(self, x: Any, training: bool = False) -> Any:
        self.cache = x.shape
        return x.reshape(x.shape[0], -1)

    def backward(self, dy: Any) -> Any:
        return dy.reshape(self.take_cache())


class Linear(_Weighted):
    """Fully connected layer of `units` outputs; see `minicnn.ops.linear`. `init_limit` as in `Conv2d`."""

    def __init__(self, units: int, init_limit: float | None = None):
        super().__init__(init_limit)
        self.units = positive(units, "units")

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: Any) -> Shape:
        if len(input_shape) != 1:
            raise ValueError(f"Linear({self.units}) after an output of shape {input_shape}: put Flatten() before it")
        self.make_parameters((self.units, input_shape[0]), rng, dtype)
        return (self.units,)

    def forward(self, x: Any, training: bool = False) -> Any:
        y, self.cache = ops.linear(x, self.w.value, self.b.value)
        return y

    def backward(self, dy: Any) -> Any:
        dx, self.w.grad[...], self.b.grad[...] = ops.linear_backward(dy, self.take_cache())
        return dx

    def size_text(self) -> str:
        return f"{self.units} units"


LAYERS: dict[str, type[Layer]] = {
    kind.__name__: kind for kind in (Conv2d, MaxPool2d, ReLU, Maxout, Dropout, Flatten, Linear)}


def positive(value: Any, name: str) -> int:
    """Return `value` as an int if it is a positive integer; raise otherwise."""
    return integer(value, name, 1)


def image_shape(layer: Layer, shape: Shape) -> tuple[int, int, int]:
    """Return `shape` as (C, H, W), or raise if `layer` is not fed images."""
    if len(shape) != 3:
        raise ValueError(f"{layer!r} after an output of shape {shape}: expected images (channels, height, width)")
    return shape[0], shape[1], shape[2]


def by(size: tuple[int, int]) -> str:
    """Write a pair as the paper does: 5x5."""
    return f"{size[0]}x{size[1]}"


def stride_and_pad(stride: tuple[int, int], usual: tuple[int, int] | None, pad: tuple[int, int]) -> str:
    """Write stride and padding where they differ from the usual ones (`usual` None: always write the stride)."""
    short = [str(p[0]) if p[0] == p[1] else by(p) for p in (stride, pad)]
    return (f", stride {short[0]}" if stride != usual else "") + (f", pad {short[1]}" if pad != (0, 0) else "")
