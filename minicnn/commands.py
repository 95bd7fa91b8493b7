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
from minicnn.optim import SGD, MaxNorm
from minicnn.plumbing.files import remove_unfinished, writable_folder, write_atomically
from minicnn.plumbing.folders import owned, refuse_among_data
from minicnn.run_folder import NETWORKS, STATE, remove_run
from minicnn.training import fit

Parts = tuple[Dataset, Dataset, Dataset]
SPLIT = "split.json"
RESULTS = ("net.npz", "run.json", SPLIT, "history.png", "predictions.png")  # what `train` adds to the files of `fit`


def train(options: argparse.Namespace) -> None:
    """Train a network, keep the best validation epoch, test that once, and write down everything."""
    if (images := data.place(options.data)) is not None:
        refuse_among_data(options.out, images)
    out = writable_folder(options.out)  # found out now, and not after minutes of decoding images
    with owned(out):
        _train(options, out)


def _train(options: argparse.Namespace, out: Path) -> None:
    """Do the work of `train` in a folder that is ours."""
    if not (options.no_resume or (out / STATE).exists()) and (out / "net.npz").exists():
        raise ValueError(f"{out} holds net.npz, but not {STATE}, which says how its run goes on: put {STATE} back to "
                         "continue it, choose another folder, or start again with --no-resume, which replaces net.npz")
    build = _model(options)
    size = options.size or build(n_classes=2).input_shape[1]
    remove_unfinished(out / "cache", "*.npz")
    parts = _load_splits(options, size)
    training, valid, test = parts
    print(f"{training.name}: {len(training.class_names)} classes; {len(training)} training, {len(valid)} "
          f"validation and {len(test)} test images of {size}x{size} pixels")
    net = build(n_classes=len(training.class_names), seed=options.seed, input_shape=training.images.shape[1:])
    recipe = _recipe(options, net)
    net.summary()
    _begin(out, options, parts)
    quiet = not sys.stderr.isatty()  # a log file gets one line for each epoch instead of a moving bar
    begin = time.perf_counter()
    try:
        history = fit(net, training, valid, options.epochs, **recipe._asdict(),
                      batch_size=options.batch_size, seed=options.seed, checkpoint_dir=out,
                      resume=not options.no_resume, callbacks=[_print_epoch] if quiet else [],
                      progress=not quiet)
    except KeyboardInterrupt:
        again = [word for word in options.command if word != "--no-resume"]
        raise KeyboardInterrupt("training stopped; the epochs done are saved. Continue with: "
                                f"python -m minicnn {shlex.join(again)}") from None
    seconds = time.perf_counter() - begin
    data.save_split(out / SPLIT, parts)  # the run was continued, so its training images were these
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


def _begin(out: Path, options: argparse.Namespace, parts: Parts) -> None:
    """Record the split of a run that is new, after all its settings were accepted.

    That of a run to be continued stays until `fit` has found these to be its images. What a failed command left of a
    run that never began is replaced.
    """
    if options.no_resume:
        remove_run(out)
        for name in RESULTS:
            (out / name).unlink(missing_ok=True)
    for name in RESULTS:
        remove_unfinished(out, name)
    if not (out / STATE).exists() and not any(out.glob(NETWORKS)):  # with networks but no state, `fit` refuses
        data.save_split(out / SPLIT, parts)


def evaluate(options: argparse.Namespace) -> None:
    """Print loss and accuracy of a saved network on one part of a data set, split as it was for training."""
    net = load(options.checkpoint)
    height, width = net.input_shape[1:]
    size: Any = height if height == width else (height, width)
    if options.part == "all":
        part = data.load(options.data, size, skip_bad=options.skip_bad, cache_dir=options.cache_dir)
    else:
        part = _part(options, net, size)
    _check_classes(options, net, part)
    loss, accuracy = evaluation.evaluate(net, part)
    print(f"{net.name} on {part.name}, {options.part}: accuracy {accuracy:.4f}, loss {loss:.4f}, "
          f"{len(part)} images")


def _check_classes(options: argparse.Namespace, net: Network, part: Dataset) -> None:
    classes = len(part.class_names)
    if classes > net.n_classes or (classes < net.n_classes and net.class_names is None):
        raise ValueError(f"{options.checkpoint} is a network for {net.n_classes} classes, but {options.data} "
                         f"has {classes}: give the data it was trained on")


def _part(options: argparse.Namespace, net: Network, size: Any) -> Dataset:
    """Return the training, validation or test images: those of the run that `net` lies in, unless others are asked for.

    Raises
    ------
    ValueError
        Which images the network was trained on is not known, so none can be called test images.
    """
    record, published = Path(options.checkpoint).with_name(SPLIT), data.has_parts(options.data)
    asked = options.seed is not None or options.counts is not None
    which = ("train", "valid", "test").index(options.part)
    if not asked and not record.exists() and not (published and options.part == "test"):
        raise ValueError(f"{record} does not exist, so it is not known which images {options.checkpoint} was trained "
                         "on: put the file back, take all images with --part all, or split them as `train --seed N` "
                         "does with --seed N (and --counts)")
    loaded = [data.load(options.data, size, part, options.skip_bad, options.cache_dir)
              for part in (("train", "test") if published else (None,))]
    _check_classes(options, net, loaded[0])
    if not asked:
        return data.load_split(record, *loaded)[which] if record.exists() else loaded[1]
    part = _load_splits(options, size)[which]
    if options.part == "test" and record.exists() and not published:
        train, valid, _ = data.load_split(record, *loaded)
        known = {*train.source["indices"], *valid.source["indices"]} & {*part.source["indices"]}
        if known:
            print(f"minicnn: warning: {len(known)} of these {len(part)} test images were trained or validated on, says "
                  f"{record}; leave out --seed and --counts for the images that were not", file=sys.stderr)
    return part


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
    return data.load_splits(options.data, size, options.counts, options.seed or 0, options.skip_bad, cache)


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
