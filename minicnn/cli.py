"""The command line: train a network, test a checkpoint, print a network's table, fetch a data set.

    python -m minicnn train cnn1 --data plankton:PATH --epochs 62 --out runs/cnn1
    python -m minicnn evaluate runs/cnn1/net.npz --data plankton:PATH
    python -m minicnn summary cnn1
    python -m minicnn data fetch mnist --to data/mnist

`train` leaves in its folder, besides what `minicnn.training` describes: ``net.npz`` (the network of the best
validation epoch), ``split.json`` (which images were trained on, validated on, tested on), ``history.png``,
``predictions.png`` and ``run.json`` (command, seeds, versions, results). The folder belongs to one command at a
time, and may not lie among the images. The same command again continues a run that was stopped. `evaluate` tests on
the images that ``split.json`` beside the network holds out. A mistake of the user is one line on stderr and exit
status 2, Ctrl-C is 130.
"""
from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from minicnn import commands, models, recipes
from minicnn.arguments import counts, positive, setting, whole
from minicnn.backend import BACKENDS, set_backend
from minicnn.data import SPECS, fetch
from minicnn.optim import learning_rate, momentum_factor, norm_limit


class _Parser(argparse.ArgumentParser):
    """An argument parser that answers a mistake with one line, not with the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        0 when all went well, 2 after a mistake in arguments or data, 130 after Ctrl-C.

    Examples
    --------
    >>> main(["summary", "cnn1", "--classes", "10", "--backend", "numpy"])  # doctest: +ELLIPSIS
    cnn1: 1x28x28 images, 10 classes
    ...
    0
    """
    parser = _build_parser()
    options = parser.parse_args(arguments)
    if options.run is None:
        options.parser.print_help()
        return 0
    options.command = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if getattr(options, "backend", None):
            set_backend(options.backend)
        options.run(options)
    except KeyboardInterrupt as interrupt:
        print(f"\nminicnn: {interrupt}" if str(interrupt) else "\nminicnn: stopped", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, MemoryError) as error:
        print(f"minicnn: error: {_one_line(error)}", file=sys.stderr)
        return 2
    return 0


def _one_line(error: Exception) -> str:
    """Return an error's message without line breaks, and without the number that `OSError` puts before it."""
    text = f"out of memory: {error}" if isinstance(error, MemoryError) else str(error)
    if isinstance(error, OSError) and error.errno is not None:
        text = f"{error.strerror}" + (f": {error.filename}" if error.filename is not None else "")
    return " ".join(text.split())


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m minicnn",
                     description="Convolutional networks in which nothing is hidden.")
    parser.set_defaults(run=None, parser=parser)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND")

    train = verbs.add_parser("train", help="train a network and test it once",
                             description="Train a network, keep the best validation epoch, test it once.")
    _add_model(train)
    _add_data(train)
    train.add_argument("--epochs", type=positive, default=25, metavar="N",
                       help="epochs in the whole run (default: 25)")
    train.add_argument("--out", required=True, metavar="DIR", help="folder for everything the run leaves")
    train.add_argument("--batch-size", type=positive, default=128, metavar="N",
                       help="images in a step (default: 128)")
    train.add_argument("--lr", type=setting(learning_rate), metavar="X",
                       help=f"first learning rate (default: {recipes.LR}; cnn3: its recipe's)")
    train.add_argument("--momentum", type=setting(momentum_factor), metavar="X",
                       help=f"momentum (default: {recipes.MOMENTUM}; cnn3: its recipe's)")
    train.add_argument("--max-norm", type=setting(norm_limit), metavar="X",
                       help=f"largest norm of a filter (default: {recipes.MAX_NORM}; cnn3: its recipe's)")
    train.add_argument("--no-resume", action="store_true", help="start again, removing the run in DIR")
    train.set_defaults(run=commands.train)

    evaluate = verbs.add_parser("evaluate", help="test a saved network",
                                description="Print loss and accuracy of a saved network.")
    evaluate.add_argument("checkpoint", metavar="CHECKPOINT",
                          help="a network file, such as net.npz or epoch-010.npz")
    _add_data(evaluate, size=False)
    evaluate.add_argument("--part", choices=("train", "valid", "test", "all"), default="test",
                          help="which part of the split (default: test)")
    evaluate.set_defaults(run=commands.evaluate, seed=None)

    summary = verbs.add_parser("summary", help="print the table of a network",
                               description="Print layers, output shapes and parameters of a network.")
    _add_model(summary)
    summary.add_argument("--classes", type=positive, default=121, metavar="K", help="classes (default: 121)")
    summary.add_argument("--size", type=positive, metavar="PIXELS", help="height and width of an image")
    summary.add_argument("--backend", choices=BACKENDS, help="default: numba, or $MINICNN_BACKEND")
    summary.set_defaults(run=commands.summary)

    data = verbs.add_parser("data", help="fetch a public data set", description="Fetch a public data set.")
    data.set_defaults(parser=data)
    actions = data.add_subparsers(title="commands", metavar="COMMAND")
    get = actions.add_parser("fetch", help="download, check and unpack",
                             description="Download a public data set, check it, and unpack it.")
    fetch.add_arguments(get)
    get.set_defaults(run=commands.fetch_data)
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", choices=sorted(models.MODELS), metavar="MODEL",
                        help=f"one of {', '.join(sorted(models.MODELS))}")
    parser.add_argument("--dropout", choices=("first", "all", "none"), help="cnn3 only (default: first)")


def _add_data(parser: argparse.ArgumentParser, size: bool = True) -> None:
    parser.add_argument("--data", default="synthetic", metavar="SPEC",
                        help=f"one of {', '.join(SPECS)} (default: synthetic)")
    parser.add_argument("--counts", type=counts, metavar="N,N,N",
                        help="training, validation and test images (default: 25000,1500,3800 of the "
                             "plankton, and the same proportions of other sets)")
    parser.add_argument("--seed", type=whole, default=0, metavar="N",
                        help="seed of the split, the first weights, dropout and the data order (default: 0; when "
                             "evaluating, the split that was recorded beside the network)")
    if size:
        parser.add_argument("--size", type=positive, metavar="PIXELS",
                            help="height and width of an image (default: cnn2 40, others 28)")
    parser.add_argument("--skip-bad", action="store_true", help="leave out image files that cannot be read")
    parser.add_argument("--cache-dir", metavar="DIR",
                        help="keep decoded images there (default when training: a folder beside the run's files)")
    parser.add_argument("--backend", choices=BACKENDS, help="default: numba, or $MINICNN_BACKEND")
