"""A lab whose images, features and network are planted: nothing is trained, and centroids are what a test says."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from experiments.pipeline.lab import Lab
from experiments.pipeline.stage import Parts
from experiments.settings import Settings
from minicnn import models
from minicnn.data import Dataset
from minicnn.network import Network

EACH = (5, 1, 2)        # training, validation and test images of a class


class Planted(Lab):
    """A lab with eight images of each class.

    Parameters
    ----------
    out : path
        For the store, which stays empty.
    names : sequence of str
        Class names.
    centroids : dict
        For a layer, or (layer, seed), the centroids (K, D). The five training images and the validation image of a
        class lie around its own, the test images far away, where they must not be looked at.
    source : dict
        What the data set says of where it comes from.
    channels : int
        Of the images, which are noise.
    """

    def __init__(self, out: Path, names: Any, centroids: dict[Any, np.ndarray], source: dict[str, Any] | None = None,
                 channels: int = 1):
        super().__init__(Settings("smoke", out=out))
        self.centroids, self.names = centroids, tuple(names)
        rng = np.random.default_rng(0)
        self.three = tuple(Dataset(rng.random((count * len(names), channels, 28, 28), np.float32),
                                   np.repeat(np.arange(len(names)), count), self.names, "planted", source or {})
                           for count in EACH)

    def parts(self, size: int) -> Parts:
        assert size == 28 and len(self.three) == 3
        return self.three

    def features(self, model: str, seed: int, layer: int, epoch: int | None = None) -> np.ndarray:
        assert model == "cnn1" and epoch is None
        values = self.centroids.get((layer, seed), self.centroids.get(layer))
        away = np.array([[1.0], [-1.0], [0.5], [-0.5], [0.25]])
        train = [centre + away for centre in values]
        test = np.full((2 * len(values), values.shape[1]), 1e3)
        return np.concatenate([*train, values - 0.25, test]).astype(np.float32)

    def network(self, model: str, seed: int, epoch: int | None = None, dropout: str | None = None) -> Network:
        return models.cnn1(n_classes=len(self.names), seed=seed, input_shape=self.three[0].images.shape[1:])


def with_distances(distances: np.ndarray) -> np.ndarray:
    """Return points (K, K) whose Euclidean distances are those given: classical scaling."""
    K = len(distances)
    centre = np.eye(K) - 1 / K
    values, vectors = np.linalg.eigh(-centre @ distances ** 2 @ centre / 2)
    return vectors * np.sqrt(values.clip(0))
