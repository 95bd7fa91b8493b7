r"""The stages that experiments are made of: train a network, choose C and gamma of SVMs, fit classifiers to features.

    Train(cnn1, seed 0) --> Choose(cnn1, layer 3) --> Machines(cnn1, seed 0, layer 3, epoch best)
                       \--> Forest(cnn1, seed 0, layer 3, epoch best)

A stage is a description, equal to any other description of the same work. Its `key` names all that its result depends
on: its own fields, the sizes of the run, the images, the backend, and the keys of the stages before it. What a stage
computes is stored under that key (`experiments.pipeline.store`), so nothing is done twice.

Protocol. Networks train on the training images, and the validation images choose the epoch. The SVMs' C and gamma
are chosen on the validation images with the features of the first seed. Forest and SVMs are then fitted to
training and validation images together, as in the paper, and classify the test images once.
"""
from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from classifiers import RandomForestClassifier
from experiments.analysis.svms import NARROW, choose
from experiments.pipeline.stage import Stage, Workplace
from experiments.pipeline.store import Result
from experiments.settings import LAYERS, SIZES
from minicnn import checkpoint, models, recipes
from minicnn.evaluation import evaluate
from minicnn.training import fit

STRATEGIES = ("ovo", "ovr")
_GFLOPS = 120.0         # of a matrix product, for estimates
_IMAGES_PER_SECOND = {"cnn1": 12000.0, "cnn2": 1250.0, "cnn3": 2400.0}  # trained; for estimates


@dataclass(frozen=True)
class Train(Stage):
    """Train a network; keep every epoch; classify the test images with the best one."""

    model: str
    seed: int = 0
    dropout: str | None = None      # of cnn3: "first" is its own default, "all" and "none" are the alternatives

    def depends_on(self, lab: Workplace) -> dict[str, Any]:
        return {"model": self.model, "seed": self.seed, "dropout": self.dropout, "epochs": lab.sizes.epochs[self.model],
                "recipe": _recipe(self.model), "images": lab.fingerprint(SIZES[self.model])}

    def build(self, lab: Workplace) -> Any:
        """Return the network with its first weights."""
        train = lab.parts(SIZES[self.model])[0]
        extra: dict[str, Any] = {} if self.dropout is None else {"dropout": self.dropout}
        return models.MODELS[self.model](n_classes=len(train.class_names), seed=self.seed,
                                         input_shape=train.images.shape[1:], **extra)

    def run(self, lab: Workplace) -> Result:
        train, valid, test = lab.parts(SIZES[self.model])
        folder = lab.folder(self)
        net = self.build(lab)
        history = fit(net, train, valid, lab.sizes.epochs[self.model], seed=self.seed, checkpoint_dir=folder,
                      callbacks=[lab.epoch_done], progress=False)
        checkpoint.save(net, folder / "net.npz")
        plain = {"best_epoch": history.best["epoch"], "valid_accuracy": history.best["valid_accuracy"],
                 "test_accuracy": evaluate(net, test)[1], "seconds": sum(history["seconds"])}
        return Result(plain, {"test_proba": net.predict_proba(test.images)})

    def estimate(self, lab: Workplace) -> tuple[float, float]:
        n = len(lab.parts(SIZES[self.model])[0])
        return n * lab.sizes.epochs[self.model] / _IMAGES_PER_SECOND[self.model], 1e9

    def disk(self, lab: Workplace) -> float:
        weights = sum(parameter.value.nbytes for parameter in self.build(lab).parameters())
        return weights * (lab.sizes.epochs[self.model] + 4.0)


@dataclass(frozen=True)
class OfFeatures(Stage):
    """What the stages on features have in common: which features they are."""

    model: str
    seed: int
    layer: int
    epoch: int | None = None    # None is the best
    dropout: str | None = None  # as of `Train`

    def needs(self) -> list[Stage]:
        return [Train(self.model, self.seed, self.dropout)] if self.layer else []

    @property
    def name(self) -> str:
        if self.layer:
            return super().name
        seed = f"-seed{self.seed}" if isinstance(self, Forest) else ""
        return f"{type(self).__name__.lower()}-pixels{SIZES[self.model]}{seed}"

    @property
    def which(self) -> tuple[str, int, int, int | None, str | None]:
        """The arguments of `Lab.features`."""
        return self.model, self.seed, self.layer, self.epoch, self.dropout

    def features(self) -> dict[str, Any]:
        """Return which features they are; pixels are the same for all networks, seeds and epochs."""
        return {"layer": self.layer, "epoch": self.epoch} if self.layer else {}

    def width(self, lab: Workplace) -> int:
        """Return the number of features."""
        return int(np.prod(Train(self.model, self.seed).build(lab).shapes[self.layer]))


@dataclass(frozen=True)
class Forest(OfFeatures):
    """A random forest on features: test predictions, importance of each feature."""

    def depends_on(self, lab: Workplace) -> dict[str, Any]:
        return {**self.features(), "trees": lab.sizes.trees, "seed": self.seed,
                "images": lab.fingerprint(SIZES[self.model])}

    def run(self, lab: Workplace) -> Result:
        X, y = lab.features(*self.which), lab.labels(SIZES[self.model])
        _, known, test = lab.rows(SIZES[self.model])
        forest = RandomForestClassifier(lab.sizes.trees, random_state=self.seed, n_jobs=lab.settings.jobs)
        start = time.perf_counter()
        forest.fit(X[known], y[known])
        seconds = time.perf_counter() - start
        predicted = forest.predict(X[test])
        plain = {"test_accuracy": float((predicted == y[test]).mean()), "seconds": seconds}
        return Result(plain, {"predicted": predicted, "importances": forest.feature_importances_})

    def estimate(self, lab: Workplace) -> tuple[float, float]:
        n, D = lab.count(SIZES[self.model]), self.width(lab)
        return n / 25e3 * lab.sizes.trees / 400 * 0.7 * D ** 0.5, 5.0 * n * D + 3e8


@dataclass(frozen=True)
class Choose(OfFeatures):
    """C and gamma of both kinds of SVMs, best on the validation images."""

    version = 2

    def depends_on(self, lab: Workplace) -> dict[str, Any]:
        return {**self.features(), "C": list(lab.sizes.C), "gamma": list(lab.sizes.gamma),
                "images": lab.fingerprint(SIZES[self.model])}

    def run(self, lab: Workplace) -> Result:
        distances, y = lab.distances(*self.which), lab.labels(SIZES[self.model])
        train, known, _ = lab.rows(SIZES[self.model])
        valid = slice(train.stop, known.stop)
        start = time.perf_counter()
        plain: dict[str, Any] = {strategy: choose(distances, y, train, valid, strategy, lab.sizes.C, lab.sizes.gamma,
                                                  lab.settings.jobs) for strategy in STRATEGIES}
        return Result({**plain, "seconds": time.perf_counter() - start}, {})

    def estimate(self, lab: Workplace) -> tuple[float, float]:
        tried = len(lab.sizes.C) + len(lab.sizes.gamma) - 1
        return _machines(lab.count(SIZES[self.model]), self.width(lab), tried)


@dataclass(frozen=True)
class Machines(OfFeatures):
    """Both kinds of SVMs on features, with the chosen C and gamma: test predictions."""

    version = 2

    def needs(self) -> list[Stage]:
        # One choice for each layer, on the first seed and the best epoch: the others would choose the same or noise.
        return [*super().needs(), self.choice()]

    def choice(self) -> Choose:
        """Return the choice of C and gamma that it follows."""
        return Choose(self.model, 0, self.layer, dropout=self.dropout)

    def depends_on(self, lab: Workplace) -> dict[str, Any]:
        return {**self.features(), "images": lab.fingerprint(SIZES[self.model])}

    def run(self, lab: Workplace) -> Result:
        distances, y = lab.distances(*self.which), lab.labels(SIZES[self.model])
        _, known, test = lab.rows(SIZES[self.model])
        chosen = lab.result(self.choice()).plain
        plain: dict[str, Any] = {"seconds": 0.0}
        arrays = {}
        for strategy in STRATEGIES:
            start = time.perf_counter()
            C, gamma = chosen[strategy]["C"], chosen[strategy]["gamma"]
            (arrays[strategy],) = distances.predictions(y, known, test, strategy, gamma, [C], lab.settings.jobs)
            plain[strategy] = {"C": C, "gamma": gamma, "test_accuracy": float((arrays[strategy] == y[test]).mean())}
            plain["seconds"] += time.perf_counter() - start
        return Result(plain, arrays)

    def estimate(self, lab: Workplace) -> tuple[float, float]:
        return _machines(lab.count(SIZES[self.model]), self.width(lab), 1)


@functools.cache
def _recipe(model: str) -> dict[str, Any]:
    """Return the recipe in which a network is trained, as JSON values."""
    optimizer, constraints = recipes.default(models.MODELS[model]())
    return {"optimizer": optimizer.settings(), "constraints": [repr(each) for each in constraints]}


def _machines(n: int, D: int, fits: int) -> tuple[float, float]:
    """Return roughly the seconds and the bytes of `fits` fits of both kinds to n samples of D features."""
    share = (n / 30e3) ** 2
    if D <= NARROW:
        return 8 * share * fits, 4.0 * n * D + 2.5e9 * share
    return n * n * D / _GFLOPS / 1e9 + (8 + 13 * fits) * share, 8.0 * n * D + 8.0 * n * n


def all_layers(model: str) -> range:
    """Return the paper's numbers of the layers whose features are classified: pixels to the one before softmax.

    Examples
    --------
    >>> list(all_layers("cnn1"))
    [0, 1, 2, 3, 4]
    """
    return range(LAYERS[model])
