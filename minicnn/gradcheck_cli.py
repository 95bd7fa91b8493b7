"""The command line of the gradient checker, and the cases it runs: ``python -m minicnn.gradcheck OP
[options]``.

A case is an operation bound to its settings, with random inputs. Two kinds of input are made on purpose:

* random numbers, on which ties have probability zero; * for max-pooling and maxout, every number twice (or
`pieces` times), side by side, so that every window holds a tie.
  The *pairs* are the variables: both of a pair move together, the winner stays, and the slope is that of one
  winner. A backward pass that pays every one of several equal maxima is wrong by a factor there, and right
  everywhere else.
"""
from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from minicnn import models, ops
from minicnn.backend import get_backend, use_backend
from minicnn.gradcheck import GradientReport, check_gradients, check_network

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
        Of x, or of the logits.
    rng : numpy.random.Generator
        Draws the inputs.
    size, stride, pad, filters, ceil_mode, pieces, drop_prob, scale, units
        Settings of the operations that have them. A convolution's stride defaults to 1, a pooling's to its
        size.

    Examples
    --------
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


def _pair(text: str) -> int | tuple[int, int]:
    """Parse ``3`` or ``3,2``."""
    numbers = _integers(text, 0)
    if len(numbers) > 2:
        raise argparse.ArgumentTypeError(f"{text!r}: expected an integer or a pair height,width")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _shape(text: str) -> Shape:
    """Parse ``2,3,7,8``."""
    return _integers(text, 1)


def _seed(text: str) -> int:
    """Parse a seed, which NumPy wants not negative."""
    return _one(text, 0)


def _count(text: str) -> int:
    """Parse a number of things."""
    return _one(text, 1)


def _one(text: str, minimum: int) -> int:
    numbers = _integers(text, minimum)
    if len(numbers) != 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected one integer")
    return numbers[0]


def _integers(text: str, minimum: int) -> Shape:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < minimum:
        raise argparse.ArgumentTypeError(f"{text!r}: expected integers, not less than {minimum}, "
                                         "separated by commas")
    return numbers


def build_parser() -> argparse.ArgumentParser:
    """Return the argument parser: one subcommand for each operation, ``network`` and ``all``."""
    parser = argparse.ArgumentParser(
        prog="python -m minicnn.gradcheck",
        description="Compare hand-written backward passes with central differences of their forward passes, "
        "in float64. The exit status is 0 if all gradients are right, 1 if one is wrong.",
        epilog="Each subcommand has its own options: python -m minicnn.gradcheck conv2d --help")
    commands = parser.add_subparsers(dest="op", required=True, metavar="OP",
                                     help=f"{', '.join(SHAPES)}, network NAME, or all")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--seed", type=_seed, default=0,
                        help="of inputs, upstream gradient and directions (default 0)")
    common.add_argument("--backend", choices=("numpy", "numba"),
                        help="run on this backend instead of the default one")
    one = argparse.ArgumentParser(add_help=False, parents=[common])
    one.add_argument("--version", choices=("loops", "vectorised"),
                     help="check the explicit loops, or the array code, instead of what the backend runs")
    own: dict[str, list[tuple[str, dict[str, Any]]]] = {
        "conv2d": [("--size", {"type": _pair, "default": 3, "help": "of the kernel (default 3)"}),
                   ("--stride", {"type": _pair, "default": 1, "help": "integer or height,width (default 1)"}),
                   ("--pad", {"type": _pair, "default": 0, "help": "integer or height,width (default 0)"}),
                   ("--filters", {"type": _count, "default": 3, "help": "output channels (default 3)"})],
        "max_pool2d": [("--size", {"type": _pair, "default": 2, "help": "of the window (default 2)"}),
                       ("--stride", {"type": _pair, "help": "integer or height,width (default: the size)"}),
                       ("--pad", {"type": _pair, "default": 0, "help": "of minus infinity (default 0)"}),
                       ("--ceil-mode", {"action": "store_true", "help": "keep a ragged last window"})],
        "relu": [],
        "maxout": [("--pieces", {"type": _count, "default": 2, "help": "channels in a group (default 2)"})],
        "dropout": [("--drop-prob", {"type": float, "default": 0.5, "help": "default 0.5"}),
                    ("--scale", {"type": float, "help": "of what is kept (default 1 / (1 - drop_prob))"})],
        "linear": [("--units", {"type": _count, "default": 3, "help": "outputs (default 3)"})],
        "softmax_cross_entropy": [],
    }
    for op, options in own.items():
        command = commands.add_parser(op, parents=[one], help=f"check {op}")
        command.add_argument("--shape", type=_shape, default=SHAPES[op],
                             help=f"of x, separated by commas (default {','.join(map(str, SHAPES[op]))})")
        for name, settings in options:
            command.add_argument(name, **settings)
    network = commands.add_parser("network", parents=[common], help="check a whole network, loss included")
    names = sorted(models.MODELS)
    network.add_argument("name", choices=names, metavar="NAME", help=", ".join(names))
    network.add_argument("--batch", type=_count, default=2, help="number of images (default 2)")
    commands.add_parser("all", parents=[common],
                        help="check every operation in every version, and every network")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` and return the exit status: 0 if all gradients are right, 1 otherwise."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if getattr(args, "version", None) and args.backend == "numba":
        parser.error(f"--version {args.version} is NumPy code, which --backend numba does not run: give "
                     "one of the two")
    passed = True
    try:
        with use_backend(args.backend) if args.backend else nullcontext():
            for report in _reports(args):
                print(report, end="\n\n", flush=True)
                passed &= report.passed
    except (ValueError, ImportError, MemoryError) as error:     # what does not fit the shape: the op says which
        parser.error(str(error) or "out of memory")
    print("all gradients are right" if passed else "a gradient is WRONG: see FAILED above")
    return 0 if passed else 1


def _reports(args: argparse.Namespace) -> Iterator[GradientReport]:
    """Yield the report of each check that the command line asks for."""
    if args.op == "network":
        yield _check_model(args.name, args.batch, args.seed)
    elif args.op == "all":
        for op, settings in SETTINGS.items():
            for version in ("loops", "vectorised", None):
                for options in settings:
                    yield from _check_op(op, version, SHAPES[op], args.seed, options)
        for name in models.MODELS:
            yield _check_model(name, 2, args.seed)
    else:
        shared = ("op", "seed", "backend", "version", "shape")
        options = {name: value for name, value in vars(args).items() if name not in shared}
        yield from _check_op(args.op, args.version, args.shape, args.seed, options)


def _check_op(op: str, version: str | None, shape: Shape, seed: int, options: dict[str, Any],
              ) -> Iterator[GradientReport]:
    """Yield the reports of one operation: its `version`, or, where that is None, what the backend runs."""
    if len(shape) != len(SHAPES[op]) and op not in ("relu", "dropout", "maxout"):
        raise ValueError(f"--shape {','.join(map(str, shape))}: {op} takes {len(SHAPES[op])} numbers, as in "
                         f"{','.join(map(str, SHAPES[op]))}")
    name = f"{op}_loops" if version == "loops" else op
    rng = np.random.default_rng(seed)
    with use_backend("numpy") if version == "vectorised" else nullcontext():
        for case in cases(op, getattr(ops, name), getattr(ops, f"{name}_backward"), shape, rng, **options):
            yield case._replace(title=f"{case.title} [{version or get_backend()}]").check(rng)


def _check_model(name: str, batch: int, seed: int) -> GradientReport:
    rng = np.random.default_rng(seed)
    net = models.MODELS[name](seed=seed, dtype=np.float64)
    images, labels = rng.random((batch, *net.input_shape)), rng.integers(net.n_classes, size=batch)
    return check_network(net, images, labels, rng=rng, raise_on_failure=False)
