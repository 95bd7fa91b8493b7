"""Figure 5: CNN1, and classifiers on the features of its layer 3, at every epoch of its training.

Epoch 0 is the network with random weights. Each later epoch is one more pass over the training images. At each of them
a random forest and both kinds of support vector machines are fitted anew to what layer 3 then puts out; the SVMs
take the C and gamma that were chosen at the best epoch. Two claims are read off:

* *early epochs* (claim 4): the paper finds forest and SVMs high already at epoch 24 of 62. A run of another
  length looks at the epoch nearest to the same share of it.
* *random weights* (claim 5): the paper finds the forest good at epoch 0. Good compared with what? With the forest on
  raw pixels, with always naming the most frequent class, and with the forest at the last epoch.

All comparisons are on the same test images, by McNemar's test, for the network of seed 0.
"""
from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.analysis.comparison import mcnemar, spread
from experiments.figures.layers import CLASSIFIERS, STYLES, right
from experiments.pipeline.lab import Lab
from experiments.pipeline.stage import Stage, Workplace
from experiments.pipeline.stages import Forest, Machines, Train
from experiments.pipeline.store import Result
from experiments.settings import SIZES, Preset

TITLE = "Figure 5: accuracy at each epoch of CNN1"
MODEL, SEED, LAYER = "cnn1", 0, 3
EARLY = 24 / 62         # of the run
PAPER = {("forest", "early"): "high", ("ovr", "early"): "high", ("ovo", "early"): "high",
         ("network", "early"): "still rising", ("forest", "first"): "quite good"}


@dataclass(frozen=True)
class EpochAccuracy(Stage):
    """Classify the test images with the network of each epoch: array ``predicted``, (1 + epochs, N)."""

    model: str
    seed: int

    def needs(self) -> list[Stage]:
        return [Train(self.model, self.seed)]

    def depends_on(self, lab: Workplace) -> dict[str, Any]:
        return {}       # but the training before it

    def run(self, lab: Workplace) -> Result:
        start = time.perf_counter()
        images = lab.parts(SIZES[self.model])[2].images
        predicted = np.stack([lab.network(self.model, self.seed, epoch).predict(images)
                              for epoch in range(lab.sizes.epochs[self.model] + 1)])
        return Result({"seconds": time.perf_counter() - start}, {"predicted": predicted})

    def estimate(self, lab: Workplace) -> tuple[float, float]:
        train, _, test = lab.parts(SIZES[self.model])
        seconds, memory = Train(self.model, self.seed).estimate(lab)
        return seconds * len(test) / len(train) / 3, memory     # a training step is three passes, and this is one


def epochs_of(sizes: Preset) -> list[int]:
    """Return the epochs to look at: each `every`-th one from 0, and the last.

    Examples
    --------
    >>> from experiments.settings import PRESETS
    >>> epochs_of(PRESETS["quick"])
    [0, 4, 8, 12, 16]
    """
    last = sizes.epochs[MODEL]
    return sorted({*range(0, last + 1, sizes.every), last})


def early_epoch(epochs: list[int]) -> int:
    """Return the epoch nearest to 24/62 of the run, the earlier one of two.

    Examples
    --------
    >>> early_epoch(list(range(63))), early_epoch([0, 4, 8, 12, 16])
    (24, 8)
    """
    return min(epochs, key=lambda epoch: abs(epoch - EARLY * epochs[-1]))


def needs(sizes: Preset) -> list[Stage]:
    """Return the network's accuracy, that of forest and SVMs at each epoch, and the forest on pixels."""
    stages: list[Stage] = [EpochAccuracy(MODEL, SEED), Forest(MODEL, SEED, 0)]
    for epoch in epochs_of(sizes):
        stages += [Machines(MODEL, SEED, LAYER, epoch), Forest(MODEL, SEED, LAYER, epoch)]
    return stages


def compute(lab: Lab) -> dict[str, Any]:
    """Return the accuracy at each epoch of network and classifiers, and the comparisons for claims 4 and 5."""
    epochs = epochs_of(lab.sizes)
    early, last = early_epoch(epochs), epochs[-1]
    network = lab.result(EpochAccuracy(MODEL, SEED)).arrays["predicted"]
    rights = {"network": {epoch: lab.right(network[epoch], SIZES[MODEL]) for epoch in epochs}}
    rights |= {c: {epoch: right(lab, c, MODEL, SEED, LAYER, epoch) for epoch in epochs} for c in CLASSIFIERS}
    accuracy = {who: [float(values[epoch].mean()) for epoch in epochs] for who, values in rights.items()}
    names = {"network": MODEL.upper(), **CLASSIFIERS}
    rows = [{"what": f"{name}, epoch {epoch}", "paper": PAPER.get((who, when)),
             "ours": spread([rights[who][epoch].mean()])}
            for when, epoch in (("first", 0), ("early", early), ("last", last)) for who, name in names.items()]
    others = {"pixels": right(lab, "forest", MODEL, SEED, 0), "chance": chance(lab), "last": rights["forest"][last]}
    return {
        "model": MODEL, "layer": LAYER, "epochs": epochs, "early": early, "last": last, "accuracy": accuracy,
        "early_against_last": {who: mcnemar(values[early], values[last]) for who, values in rights.items()},
        "untrained": {"accuracy": accuracy["forest"][0],
                      "others": {who: float(values.mean()) for who, values in others.items()},
                      "against": {who: mcnemar(rights["forest"][0], values) for who, values in others.items()}},
        "rows": rows,
    }


def chance(lab: Lab) -> np.ndarray:
    """Return which test images are of the class that is most frequent among training and validation images."""
    size = SIZES[MODEL]
    _, known, _ = lab.rows(size)
    most_frequent = np.bincount(lab.labels(size)[known]).argmax()
    return lab.right(np.full(len(lab.parts(size)[2]), most_frequent), size)


def draw(found: dict[str, Any]) -> Figure:
    """Draw accuracy over epochs, a line each for the network and the classifiers."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    names = {**{c: f"{name}, layer {found['layer']}" for c, name in CLASSIFIERS.items()},
             "network": f"{found['model'].upper()} itself"}
    for who, name in names.items():
        colour, marker, line = STYLES.get(who, ("black", "D", ":"))
        axes.plot(found["epochs"], found["accuracy"][who], color=colour, marker=marker, markersize=4, linestyle=line,
                  markevery=max(1, len(found["epochs"]) // 16), label=name)
    pixels = found["untrained"]["others"]["pixels"]
    axes.axhline(pixels, color="#888888", linewidth=1, label=f"random forest, pixels, {pixels:.4f}")
    axes.axvline(found["early"], color="#888888", linewidth=1, linestyle=(0, (6, 4)))
    axes.annotate(f"epoch {found['early']}", (found["early"], 0.01), xycoords=("data", "axes fraction"),
                  xytext=(3, 2), textcoords="offset points", fontsize=8, color="#555555")
    axes.set(xlabel="epoch (0: random weights)", ylabel="test accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
