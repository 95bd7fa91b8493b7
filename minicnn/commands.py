"""What the commands of `minicnn.cli` do: each takes the parsed options and prints; errors are raised."""
from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shlex
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from minicnn import __version__, data, evaluation, models, recipes
from minicnn.backend import get_backend
from minicnn.checkpoint import load, save
from minicnn.data import Dataset, fetch
from minicnn.network import Network
from minicnn.npz import writable_folder, write_atomically
from minicnn.optim import SGD, MaxNorm
from minicnn.training import fit

Parts = tuple[Dataset, Dataset, Dataset]


def train(options: argparse.Namespace) -> None:
    """Train a network, keep the best validation epoch, test that once, and write down everything."""
    out = writable_folder(options.out)  # found out now, and not after minutes of decoding images
    build = _model(options)
    size = options.size or build(n_classes=2).input_shape[1]
    parts = _load_splits(options, size)
    training, valid, test = parts
    print(f"{training.name}: {len(training.class_names)} classes; {len(training)} training, {len(valid)} "
          f"validation and {len(test)} test images of {size}x{size} pixels")
    split = out / "split.json"
    if options.no_resume or not split.exists():  # a run's own stays: `fit` checks that the images are those
        data.save_split(split, parts)
    net = build(n_classes=len(training.class_names), seed=options.seed, input_shape=training.images.shape[1:])
    net.summary()
    quiet = not sys.stderr.isatty()  # a log file gets one line for each epoch instead of a moving bar
    begin = time.perf_counter()
    try:
        history = fit(net, training, valid, options.epochs, **_recipe(options, net)._asdict(),
                      batch_size=options.batch_size, seed=options.seed, checkpoint_dir=out,
                      resume=not options.no_resume, callbacks=[_print_epoch] if quiet else [],
                      progress=not quiet)
    except KeyboardInterrupt:
        again = [word for word in options.command if word != "--no-resume"]
        raise KeyboardInterrupt("training stopped; the epochs done are saved. Continue with: "
                                f"python -m minicnn {shlex.join(again)}") from None
    seconds = time.perf_counter() - begin
    test_loss, test_accuracy = evaluation.evaluate(net, test)
    best = history.best
    print(f"best epoch {best['epoch']} of {len(history)}: validation accuracy {best['valid_accuracy']:.4f}")
    print(f"test accuracy {test_accuracy:.4f} (loss {test_loss:.4f}, {len(test)} images, used once)")
    save(net, out / "net.npz")
    results = {"best_epoch": best["epoch"], "epochs": len(history), "valid_accuracy": best["valid_accuracy"],
               "test_accuracy": test_accuracy, "test_loss": test_loss, "seconds": seconds}
    _write_run(out, options, net, parts, results)
    history.plot(out / "history.png")
    _draw_predictions(out, net, test)
    print(f"{out}: net.npz, every epoch, split.json, run.json, history.jsonl, history.png, predictions.png")


def evaluate(options: argparse.Namespace) -> None:
    """Print loss and accuracy of a saved network on one part of a data set."""
    net = load(options.checkpoint)
    height, width = net.input_shape[1:]
    size: Any = height if height == width else (height, width)
    if options.part == "all":
        part = data.load(options.data, size, skip_bad=options.skip_bad, cache_dir=options.cache_dir)
    else:
        part = dict(zip(("train", "valid", "test"), _load_splits(options, size)))[options.part]
    if len(part.class_names) != net.n_classes:
        raise ValueError(f"{options.checkpoint} is a network for {net.n_classes} classes, but {options.data} "
                         f"has {len(part.class_names)}: give the data it was trained on")
    loss, accuracy = evaluation.evaluate(net, part)
    print(f"{net.name} on {part.name}, {options.part}: accuracy {accuracy:.4f}, loss {loss:.4f}, "
          f"{len(part)} images")


def summary(options: argparse.Namespace) -> None:
    """Print the table of a network."""
    build = _model(options)
    shape = {} if options.size is None else {"input_shape": (1, options.size, options.size)}
    build(n_classes=options.classes, **shape).summary()


def fetch_data(options: argparse.Namespace) -> None:
    """Download a public data set."""
    for file in fetch.fetch(options.name, options.to, options.base_url):
        print(file)
    print(f"now: python -m minicnn train cnn1 --data {shlex.quote(f'{options.name}:{options.to}')} --out DIR")


def _model(options: argparse.Namespace) -> Any:
    """Return the function that builds the asked model."""
    build: Any = models.MODELS[options.model]
    if options.dropout is None:
        return build
    if options.model != "cnn3":
        raise ValueError(f"--dropout {options.dropout}: {options.model} has no dropout, only cnn3 has")
    return lambda **arguments: build(dropout=options.dropout, **arguments)


def _load_splits(options: argparse.Namespace, size: Any) -> Parts:
    cache = options.cache_dir or (Path(options.out) / "cache" if "out" in options else None)
    return data.load_splits(options.data, size, options.counts, options.seed, options.skip_bad, cache)


def _recipe(options: argparse.Namespace, net: Network) -> recipes.Recipe:
    """Return the network's recipe, changed where the command line says so."""
    optimizer, constraints = recipes.default(net)
    lr: Any = optimizer.lr  # of both recipes an exponential schedule
    if options.lr is not None:
        lr = dataclasses.replace(lr, start=options.lr)
    momentum = optimizer.momentum if options.momentum is None else options.momentum
    if options.max_norm is not None:
        constraints = [MaxNorm(net.parameters(), options.max_norm)]
    return recipes.Recipe(SGD(net.parameters(), lr, momentum), constraints)


def _print_epoch(record: dict[str, Any], **_: Any) -> None:
    line = ("epoch {epoch}: loss {loss:.4f}, accuracy {accuracy:.4f}; validation loss {valid_loss:.4f}, "
            "accuracy {valid_accuracy:.4f}; {images_per_second:,.0f} images/s")
    print(line.format(**record), flush=True)


def _write_run(out: Path, options: argparse.Namespace, net: Network, parts: Parts,
               results: dict[str, Any]) -> None:
    """Write down what is needed to run this again, and what came out."""
    training = parts[0]
    names = ("numpy", "numba", "scipy", "matplotlib", "Pillow")
    run = {
        "command": f"python -m minicnn {shlex.join(options.command)}",
        "model": net.name,
        "data": {"spec": options.data, "name": training.name, "classes": len(training.class_names),
                 "images": [len(part) for part in parts], "split": "split.json"},
        "seed": options.seed,
        "versions": {"minicnn": __version__, "python": platform.python_version(),
                     **{name: metadata.version(name) for name in names}},
        "machine": {"system": platform.platform(), "cpus": os.cpu_count(), "backend": get_backend()},
        "results": results,
    }
    write_atomically(out / "run.json", (json.dumps(run, indent=2) + "\n").encode())


def _draw_predictions(out: Path, net: Network, test: Dataset) -> None:
    """Draw test images: the first ones, which the split has put in random order."""
    from minicnn import figures  # matplotlib takes a while to import, and only this command draws

    some = test.subset(range(min(24, len(test))))
    figures.predictions(some.images, some.labels, net.predict_proba(some.images), some.class_names,
                        out / "predictions.png")
