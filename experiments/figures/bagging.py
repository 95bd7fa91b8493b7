"""Bagging: the class probabilities of several CNN1, averaged.

The networks differ in their first weights and in the order of their training images, so they err differently, and a
mean of their probabilities errs less than each (L. Breiman 1996, "Bagging predictors", also draws another sample of
images for each; the paper, and so we, train all on the same images). The paper asks whether eight networks do as well
as one network whose features are given to a random forest or a support vector machine, and finds that they do not.

Each classifier competes with its best layer, chosen as in Figure 2 by the mean test accuracy over seeds. To choose by
the numbers that are then compared favours the classifiers: bagging that holds its own against them does so truly.
"""
from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.analysis.comparison import mcnemar, spread
from experiments.figures import fig2, layers
from experiments.pipeline.lab import Lab
from experiments.pipeline.stage import Stage
from experiments.pipeline.stages import Train
from experiments.settings import SIZES, Preset

TITLE = "Bagging: several CNN1 averaged"
MODEL = "cnn1"
PAPER = {"single": 0.5263, "bagged": 0.55526, "best": "0.6 or above"}
SUBSETS = 50            # of each size, at most


def needs(sizes: Preset) -> list[Stage]:
    """Return the training of all networks, and what Figure 2 needs."""
    return [*(Train(MODEL, seed) for seed in range(sizes.bag)), *fig2.needs(sizes)]


def subsets(n: int, k: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Return all sets of `k` of `n` networks, or 50 random ones where there are more.

    Examples
    --------
    >>> subsets(3, 2, np.random.default_rng(0))
    [(0, 1), (0, 2), (1, 2)]
    """
    if math.comb(n, k) <= SUBSETS:
        return list(combinations(range(n), k))
    return [tuple(rng.permutation(n)[:k].tolist()) for _ in range(SUBSETS)]


def averaged(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which images the mean of several networks gets right, bool (N,).

    Parameters
    ----------
    probabilities : array (k, N, K)
        The probabilities that k networks give to K classes of N images.
    labels : int array (N,)
        The images' classes.

    Examples
    --------
    Each network is right once; where they disagree, the surer one decides.

    >>> averaged(np.array([[[0.9, 0.1], [0.6, 0.4]], [[0.4, 0.6], [0.1, 0.9]]]), np.array([0, 1]))
    array([ True,  True])
    """
    return probabilities.mean(axis=0, dtype=np.float64).argmax(axis=1) == labels


def curve(probabilities: np.ndarray, labels: np.ndarray) -> list[dict[str, Any]]:
    """Return for each number of networks the accuracy of the ``first`` k, and how that of other ``subsets`` spreads.

    Parameters as for `averaged`.
    """
    n, rng = len(probabilities), np.random.default_rng(0)
    points: list[dict[str, Any]] = []
    for k in range(1, n + 1):
        values = [averaged(probabilities[list(subset)], labels).mean() for subset in subsets(n, k, rng)]
        points.append({"networks": k, "first": float(averaged(probabilities[:k], labels).mean()),
                       "subsets": spread(values)})
    return points


def compute(lab: Lab) -> dict[str, Any]:
    """Return the accuracy of one network and of the bag, and how the bag compares with networks and classifiers."""
    labels = lab.parts(SIZES[MODEL])[2].labels
    probabilities = np.stack([lab.result(Train(MODEL, seed)).arrays["test_proba"] for seed in range(lab.sizes.bag)])
    singles = [averaged(one[None], labels) for one in probabilities]
    bag = averaged(probabilities, labels)
    single, bagged = spread([one.mean() for one in singles]), float(bag.mean())
    gain = 100 * (bagged - single["mean"])
    cells = fig2.compute(lab)
    against = {}
    for classifier, layer in cells["best_layer"].items():
        theirs = layers.right(lab, classifier, MODEL, 0, layer)
        against[classifier] = {"layer": layer, "accuracy": float(theirs.mean()), **mcnemar(bag, theirs)}
    best = cells["best"]
    best_name = f"{layers.CLASSIFIERS[best['classifier']]}, layer {best['layer']}"
    return {
        "networks": len(singles), "single": single, "bagged": bagged, "gain_points": gain,
        "curve": curve(probabilities, labels), "against_single": [mcnemar(bag, one) for one in singles],
        "best": {**best, "name": best_name}, "against_classifiers": against,
        "rows": [{"what": "one CNN1", "paper": PAPER["single"], "ours": single},
                 {"what": f"{len(singles)} CNN1 averaged", "paper": PAPER["bagged"], "ours": spread([bagged])},
                 {"what": "gain in points", "paper": 2.9, "ours": spread([gain])},
                 {"what": f"best on features of one CNN1: {best_name}", "paper": PAPER["best"],
                  "ours": best["accuracy"]}],
    }


def draw(found: dict[str, Any]) -> Figure:
    """Draw accuracy over the number of networks, and the best classifier on one network's features."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    points = found["curve"]
    k = [point["networks"] for point in points]
    low, mean, high = ([f(point["subsets"]["values"]) for point in points] for f in (min, np.mean, max))
    axes.fill_between(k, low, high, color="#56B4E9", alpha=0.35, label=f"least to most of up to {SUBSETS} subsets")
    axes.plot(k, mean, color="#0072B2", marker="s", linestyle="--", label="mean of the subsets")
    axes.plot(k, [point["first"] for point in points], color="#D55E00", marker="^", label="the first networks")
    best = found["best"]
    axes.axhline(best["accuracy"]["mean"], color="#009E73", linestyle="-.",
                 label=f"{best['name']}, of one CNN1, {best['accuracy']['mean']:.4f}")
    axes.set(xlabel="networks averaged", ylabel="test accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
