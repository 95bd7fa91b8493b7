"""The lab: images, trained networks, features and results of stages, for the experiments to work with."""
from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from experiments.analysis.svms import Distances
from experiments.pipeline.stage import Parts, Stage
from experiments.pipeline.stages import Train
from experiments.pipeline.store import Result, Store
from experiments.settings import SIZES, Settings
from minicnn import checkpoint, data
from minicnn.network import Network
from minicnn.plumbing.folders import refuse_among_data


class Lab:
    """What experiments compute with.

    Parameters
    ----------
    settings : Settings
    epoch_done : callable
        Called after each epoch of a training as ``epoch_done(net=, epoch=, history=, record=)``.
    """

    def __init__(self, settings: Settings, epoch_done: Callable[..., Any] = lambda **_: None):
        self.settings, self.sizes = settings, settings.sizes
        if (images := data.place(self.sizes.data)) is not None:
            refuse_among_data(settings.out, images)
        self.store = Store(Path(settings.out) / "cache")
        self.epoch_done = epoch_done
        self._parts: dict[int, Parts] = {}
        self._fingerprints: dict[int, str] = {}
        self._results: dict[str, Result] = {}
        self._features: tuple[Any, np.ndarray] | None = None        # the last ones asked for: they can be gigabytes
        self._distances: tuple[Any, Distances] | None = None

    # -------------------------------------------------------------------------------------------------------- images

    def parts(self, size: int) -> Parts:
        """Return training, validation and test images of ``size`` x ``size`` pixels; the split is that of seed 0."""
        if size not in self._parts:
            spec, limit = self.sizes.data, self.sizes.images
            parts = data.load_splits(spec, size, cache_dir=self.store.folder)
            total = sum(map(len, parts))
            if limit is not None and total > limit:
                counts = [max(1, round(limit * len(part) / total)) for part in parts]
                parts = data.load_splits(spec, size, counts, cache_dir=self.store.folder)
            self._parts[size] = parts
        return self._parts[size]

    def fingerprint(self, size: int) -> str:
        """Return a checksum of all images and labels of a size: other files of the same name are other data."""
        if size not in self._fingerprints:
            checksum = 0
            for part in self.parts(size):
                checksum = zlib.crc32(part.labels.data, zlib.crc32(part.images.data, checksum))
            self._fingerprints[size] = f"{size}:{self.count(size)}:{checksum:08x}"
        return self._fingerprints[size]

    def count(self, size: int) -> int:
        """Return the number of images in all three parts."""
        return sum(map(len, self.parts(size)))

    def rows(self, size: int) -> tuple[slice, slice, slice]:
        """Return the rows of the training, of the training and validation, and of the test images in `features`."""
        train, valid, _ = map(len, self.parts(size))
        return slice(0, train), slice(0, train + valid), slice(train + valid, self.count(size))

    def labels(self, size: int) -> np.ndarray:
        """Return the classes of all images (N,): training, then validation, then test."""
        return np.concatenate([part.labels for part in self.parts(size)])

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.parts(SIZES["cnn1"])[0].class_names

    # ------------------------------------------------------------------------------------------ networks and features

    def folder(self, stage: Stage) -> Path:
        """Return the folder of what a stage writes besides its result."""
        return self.store.path(stage.name, stage.key(self), "")

    def network(self, model: str, seed: int, epoch: int | None = None, dropout: str | None = None) -> Network:
        """Return a trained network; epoch 0 has random weights, None is the best on the validation images."""
        folder = self.folder(Train(model, seed, dropout))
        return checkpoint.load(folder / ("net.npz" if epoch is None else f"epoch-{epoch:03d}.npz"))

    def features(self, model: str, seed: int, layer: int, epoch: int | None = None,
                 dropout: str | None = None) -> np.ndarray:
        """Return the features of all images, (N, D) float32: training, then validation, then test."""
        which = _which(model, seed, layer, epoch, dropout)
        if self._features is None or self._features[0] != which:
            self._features = None                                   # free the old ones before the new ones are made
            parts = self.parts(SIZES[model])
            if layer == 0:
                X = np.concatenate([part.images.reshape(len(part), -1) for part in parts])
            else:
                net = self.network(model, seed, epoch, dropout)
                X = np.empty((self.count(SIZES[model]), int(np.prod(net.shapes[layer]))), np.float32)
                start = 0
                for part in parts:
                    X[start:start + len(part)] = net.features(part.images, layer)
                    start += len(part)
            self._features = which, X
        return self._features[1]

    def known(self, model: str, seed: int, layer: int) -> tuple[np.ndarray, np.ndarray]:
        """Return features (N, D) and classes (N,) of the images that are not test images."""
        rows = self.rows(SIZES[model])[1]
        return self.features(model, seed, layer)[rows], self.labels(SIZES[model])[rows]

    def distances(self, model: str, seed: int, layer: int, epoch: int | None = None,
                  dropout: str | None = None) -> Distances:
        """Return the distances of all images in a space of features."""
        which = _which(model, seed, layer, epoch, dropout)
        if self._distances is None or self._distances[0] != which:
            self._distances = None
            self._distances = which, Distances(self.features(model, seed, layer, epoch, dropout))
        return self._distances[1]

    # -------------------------------------------------------------------------------------------------------- results

    def result(self, stage: Stage) -> Result:
        """Return what a stage found.

        Raises
        ------
        LookupError
            It was not run: the experiment that asks does not list it among its needs.
        """
        key = stage.key(self)
        if key not in self._results:
            found = self.store.read(stage.name, key)
            if found is None:
                raise LookupError(f"{stage.name} has not been run: list it in the needs of the experiment")
            self._results[key] = found
        return self._results[key]

    def right(self, predicted: np.ndarray, size: int) -> np.ndarray:
        """Return which test images were classified rightly, bool (N,)."""
        return np.asarray(predicted) == self.parts(size)[2].labels


def _which(model: str, seed: int, layer: int, epoch: int | None, dropout: str | None) -> tuple[Any, ...]:
    """Return what tells features apart: pixels are the same for all networks, seeds and epochs."""
    return (model, seed, layer, epoch, dropout) if layer else (SIZES[model],)
