"""The problems that classifiers are compared on: features of real images, written once and then read by each process.

    plankton layer 3     64 features of CNN1, what the paper feeds to its classifiers
    plankton layer 2     768 features of CNN1
    plankton layer 1     3,000 of the 4,608 features of CNN1, evenly spaced
    plankton pixels      784 pixels
    plankton copepods    layer 3 again, and two classes: is it a copepod?
    mnist                784 pixels, 60,000 digits

CNN1 is trained as in `benchmarks.accuracy`: 25 epochs, seed 0. Training samples come first, then test samples.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.harness import Options

NAMES = ("layer3", "layer2", "layer1", "pixels", "copepods", "mnist")
FOLDER = Path("runs/problems")


def prepare(options: Options) -> list[str]:
    """Write the problems whose data set is given, unless they are there; return the names of all that are there.

    Without any, and in a smoke run, there is one problem that is made up.
    """
    if options.quick:
        return ["made:300:8:5"]
    FOLDER.mkdir(parents=True, exist_ok=True)
    if options.mnist and not (FOLDER / "mnist.npz").exists():
        _write_mnist(options.mnist)
    if options.plankton and not (FOLDER / "layer3.npz").exists():
        _write_plankton(options.plankton)
    return [name for name in NAMES if (FOLDER / f"{name}.npz").exists()] or ["made:25000:64:121"]


def _write_mnist(spec: str) -> None:
    from minicnn import data

    train, test = (data.load(spec, part=part) for part in ("train", "test"))
    _write("mnist", train.images, train.labels, test.images, test.labels)


def _write_plankton(spec: str) -> None:
    from minicnn import data, models
    from minicnn.training import fit

    train, valid, test = data.load_splits(spec, size=28)
    net = models.cnn1(n_classes=len(train.class_names), seed=0)
    fit(net, train, valid, epochs=25)
    for name, stage in (("pixels", 0), ("layer1", 1), ("layer2", 2), ("layer3", 3)):
        X, X_test = net.features(train.images, stage), net.features(test.images, stage)
        if name == "layer1":
            some = np.linspace(0, X.shape[1] - 1, 3000).astype(int)
            X, X_test = X[:, some], X_test[:, some]
        _write(name, X, train.labels, X_test, test.labels)
        if name == "layer3":
            copepod = np.array(["copepod" in label for label in train.class_names]).astype(np.int64)
            _write("copepods", X, copepod[train.labels], X_test, copepod[test.labels])


def _write(name: str, X: np.ndarray, y: np.ndarray, X_test: np.ndarray, y_test: np.ndarray) -> None:
    part = FOLDER / f"{name}.part.npz"
    np.savez(part, X=X.reshape(len(X), -1), y=y, X_test=X_test.reshape(len(X_test), -1), y_test=y_test)
    part.replace(FOLDER / f"{name}.npz")


def read(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return X, y, X_test and y_test of a problem; ``made:N:D:K`` makes N samples of D features in K classes up."""
    if name.startswith("made:"):
        N, D, K = map(int, name.split(":")[1:])
        return _make(N, D, K)
    with np.load(FOLDER / f"{name}.npz") as file:
        return tuple(np.ascontiguousarray(file[key]) for key in ("X", "y", "X_test", "y_test"))  # type: ignore[return-value]


def _make(N: int, D: int, K: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return classes of equal size around centres in 16 dimensions, mixed into D rectified features."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(K, 16))
    y = rng.permutation(np.arange(N + N // 10) % K)
    hidden = centres[y] + 0.7 * rng.normal(size=(len(y), 16))
    X = hidden @ rng.normal(size=(16, D)) / 4 + 0.3 * rng.normal(size=(len(y), D))
    X = np.maximum(X, 0).astype(np.float32)
    return X[:N], y[:N], X[N:], y[N:]
