"""The command line of the gradient checker: ``python -m minicnn.gradcheck OP [options]``; its cases are in `cases`."""
from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from minicnn import models, ops
from minicnn.backend import get_backend, use_backend
from minicnn.gradcheck.cases import SETTINGS, SHAPES, Shape, cases
from minicnn.gradcheck.checker import check_network
from minicnn.gradcheck.report import GradientReport


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


if __name__ == "__main__":
    sys.exit(main())
