"""The cases that the gradient checker runs: an operation bound to its settings, with random inputs.

Two kinds of input are made on purpose:

* random numbers, on which ties have probability zero;
* for max-pooling and maxout, every number twice (or `pieces` times), side by side, so that every window holds a tie.
  The *pairs* are the variables: both of a pair move together, the winner stays, and the slope is that of one winner. A
  backward pass that pays every one of several equal maxima is wrong by a factor there, and right everywhere else.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minicnn.gradcheck.checker import check_gradients
from minicnn.gradcheck.report import GradientReport

Shape = tuple[int, ...]
SHAPES: dict[str, Shape] = {"conv2d": (2, 2, 5, 6), "max_pool2d": (2, 2, 6, 7), "relu": (3, 2, 4, 5),
                            "maxout": (2, 6, 3, 4), "dropout": (3, 2, 4, 5), "linear": (4, 7),
                            "softmax_cross_entropy": (5, 6)}

# What `all` runs of each operation: overlapping windows, gaps between windows, ragged edges, padding, one
# side unlike the other. Every mutant in tests/test_mutations.py fails on one of them.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "conv2d": [{"size": (3, 2), "pad": (1, 0)}, {"size": (2, 3), "stride": (2, 1), "pad": (0, 2)},
               {"size": (1, 2), "stride": (2, 3)}, {"size": (3, 3), "stride": (2, 2), "pad": (1, 1)}],
    "max_pool2d": [{"size": (3, 2), "stride": (1, 1), "pad": (1, 1)}, {"size": (2, 2), "stride": (3, 3)},
                   {"size": (4, 3), "stride": (3, 2), "ceil_mode": True}],
    "relu": [{}],
    "maxout": [{"pieces": 2}, {"pieces": 3}],
    "dropout": [{"drop_prob": 0.5}, {"drop_prob": 0.2, "scale": 1.0}],
    "linear": [{"units": 3}],
    "softmax_cross_entropy": [{}],
}


class Case(NamedTuple):
    """What `check_gradients` takes."""

    title: str
    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[[Any, Any], Any]
    inputs: dict[str, np.ndarray]
    generators: tuple[np.random.Generator, ...] = ()

    def check(self, rng: np.random.Generator, raise_on_failure: bool = False) -> GradientReport:
        """Run the check."""
        return check_gradients(self.forward, self.backward, self.inputs, rng=rng, generators=self.generators,
                               title=self.title, raise_on_failure=raise_on_failure)


def cases(op: str, forward: Any, backward: Any, shape: Shape, rng: np.random.Generator, *, size: Any = 3,
          stride: Any = None, pad: Any = 0, filters: int = 3, ceil_mode: bool = False, pieces: int = 2,
          drop_prob: float = 0.5, scale: float | None = None, units: int = 3) -> Iterator[Case]:
    """Yield the checks of operation `op`, of which `forward` and `backward` are any one version.

    Parameters
    ----------
    op : str
        A key of `SHAPES`.
    forward, backward : callable
        With the signature of ``minicnn.ops.<op>`` and ``<op>_backward``.
    shape : tuple of int
        Shape of x, or of the logits.
    rng : numpy.random.Generator
        Draws the inputs.
    size, stride, pad, filters, ceil_mode, pieces, drop_prob, scale, units
        Settings of the operations that have them. A convolution's stride defaults to 1, a pooling's to its
        size.

    Examples
    --------
    >>> from minicnn import ops
    >>> [case] = cases("relu", ops.relu, ops.relu_backward, (2, 3), np.random.default_rng(0))
    >>> case.check(np.random.default_rng(0)).passed
    True
    """
    x = rng.standard_normal(shape)
    if op == "conv2d":
        w = rng.standard_normal((filters, shape[1], *((size, size) if np.ndim(size) == 0 else size)))
        stride = 1 if stride is None else stride
        yield Case(f"conv2d, size {_text(size)}, stride {_text(stride)}, pad {_text(pad)}",
                   lambda x, w, b: forward(x, w, b, stride, pad), backward,
                   {"x": x, "w": w, "b": rng.standard_normal(filters)})
        yield Case("conv2d without bias, else the same", lambda x, w: forward(x, w, None, stride, pad),
                   backward, {"x": x, "w": w})
    elif op == "max_pool2d":
        title = (f"max_pool2d, size {_text(size)}, stride {_text(size if stride is None else stride)}, "
                 f"pad {_text(pad)}{', ceil mode' if ceil_mode else ''}")
        yield Case(title, lambda x: forward(x, size, stride, pad, ceil_mode), backward, {"x": x})
        yield Case(f"{title}, tied",
                   lambda pairs: forward(np.repeat(pairs, 2, axis=3), size, stride, pad, ceil_mode),
                   lambda dy, cache: backward(dy, cache).reshape(*shape, 2).sum(axis=4), {"pairs": x})
    elif op == "relu":
        yield Case("relu", forward, backward, {"x": x})
    elif op == "maxout":
        yield Case(f"maxout, {pieces} pieces", lambda x: forward(x, pieces), backward, {"x": x})
        yield Case(f"maxout, {pieces} pieces, tied",
                   lambda group: forward(np.repeat(group, pieces, axis=1), pieces),
                   lambda dy, cache: backward(dy, cache).reshape(*shape[:2], pieces, *shape[2:]).sum(axis=2),
                   {"group": x})
    elif op == "dropout":
        generator = np.random.default_rng(rng.integers(2**32))
        scale_text = "usual scale" if scale is None else f"scale {scale:g}"
        yield Case(f"dropout, drop_prob {drop_prob:g}, {scale_text}",
                   lambda x: forward(x, drop_prob, generator, True, scale), backward, {"x": x}, (generator,))
    elif op == "linear":
        w, b = rng.standard_normal((units, shape[1])), rng.standard_normal(units)
        yield Case("linear", forward, backward, {"x": x, "w": w, "b": b})
        yield Case("linear without bias", lambda x, w: forward(x, w, None), backward, {"x": x, "w": w})
    else:
        labels = rng.integers(shape[1], size=shape[0])
        yield Case("softmax_cross_entropy", lambda logits: forward(logits, labels),
                   lambda dy, cache: dy * backward(cache), {"logits": x})


def _text(size: Any) -> str:
    return str(size) if np.ndim(size) == 0 else "x".join(map(str, size))
