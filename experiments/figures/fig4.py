"""Figure 4: what share of a layer's features is significant, for CNN1 and CNN2.

A random forest scores each of n features by the decrease in impurity of all splits that use it. The scores sum to 1, so
if all features were equally good, each would have 1/n. The paper calls a feature significant if its score is above a
hundredth of that::

    score > (1 / 100) (1 / n)

The bar is low: what stays below it is a feature that hardly any split uses, such as that of a ReLU which is 0 for all
images, or of a pixel in the corner. ``never_used`` counts those that no split of any tree uses.

The paper compares the first fully connected layer with the convolutional layer below it and gives no test. Ours is
Fisher's exact test on the two-by-two table of significant and other features of the two layers, of the first seed. That
is one reading: it takes features for independent draws, which those of one network are not, so its p-value is a guide,
and the shares of several seeds say more.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import fisher_exact

from experiments.analysis.comparison import Spread, spread
from experiments.pipeline.lab import Lab
from experiments.pipeline.stage import Stage
from experiments.pipeline.stages import Forest, all_layers
from experiments.settings import Preset

TITLE = "Figure 4: share of significant features"
FULLY_CONNECTED = {"cnn1": 4, "cnn2": 6}    # the first such layer; the one below it is a convolution


def needs(sizes: Preset) -> list[Stage]:
    """Return the forests on all layers of both networks: those of Figures 2 and 3."""
    return [Forest(model, seed, layer) for model in FULLY_CONNECTED for seed in range(sizes.seeds[model])
            for layer in all_layers(model)]


def count(importances: np.ndarray) -> dict[str, int]:
    """Return how many ``features`` there are, how many are ``significant``, and how many were ``never_used``.

    Parameters
    ----------
    importances : array (n,)
        A forest's scores, with sum 1.

    Examples
    --------
    Of four features those above 1 / 400 count:

    >>> count(np.array([0.9957, 0.0026, 0.0017, 0.0]))
    {'features': 4, 'significant': 2, 'never_used': 1}
    """
    n = len(importances)
    return {"features": n, "significant": int((importances > 1 / (100 * n)).sum()),
            "never_used": int((importances == 0).sum())}


def compute(lab: Lab) -> dict[str, Any]:
    """Return counts and shares of each layer, and how the first fully connected layer compares with the one below."""
    found: dict[str, Any] = {"counts": {}, "share": {}, "comparison": {}, "rows": []}
    for model, top in FULLY_CONNECTED.items():
        counts = [[count(lab.result(Forest(model, seed, layer)).arrays["importances"])
                   for seed in range(lab.sizes.seeds[model])] for layer in all_layers(model)]
        share = [spread([c["significant"] / c["features"] for c in layer]) for layer in counts]
        paper = {top: "lower than the layer below"}
        found["counts"][model] = counts
        found["share"][model] = share
        found["comparison"][model] = compare(share, counts, top)
        found["rows"] += [{"what": f"{model.upper()}, share of significant features in layer {layer}",
                           "paper": paper.get(layer), "ours": share[layer]} for layer in all_layers(model)]
    return found


def compare(share: list[Spread], counts: list[list[dict[str, int]]], top: int) -> dict[str, Any]:
    """Return what claim 3 needs: shares of layer `top` and of the layer below, for each seed, and a p-value.

    Parameters
    ----------
    share : list of dict
        The `spread` over seeds of each layer.
    counts : list of list of dict
        What `count` returned for each layer and seed.
    top : int
        The first fully connected layer.
    """
    table = [[c["significant"], c["features"] - c["significant"]] for c in (counts[top][0], counts[top - 1][0])]
    return {"fully_connected": {"layer": top, "share": share[top]},
            "convolution": {"layer": top - 1, "share": share[top - 1]},
            "difference": spread(np.subtract(share[top]["values"], share[top - 1]["values"])),
            "table": table, "p": float(fisher_exact(table)[1])}


def draw(found: dict[str, Any]) -> Figure:
    """Draw a panel for each network and a bar for each layer; the first fully connected layer is hatched."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    panels = figure.subplots(1, len(found["share"]), sharey=True,
                             width_ratios=[len(share) for share in found["share"].values()])
    for axes, (model, share) in zip(panels, found["share"].items()):
        top = found["comparison"][model]["fully_connected"]["layer"]
        mean = [cell["mean"] for cell in share]
        bars = axes.bar(range(len(share)), mean, yerr=[cell["std"] or np.nan for cell in share], capsize=3,
                        color=["#D55E00" if layer == top else "#0072B2" for layer in range(len(share))])
        bars[top].set(hatch="//", edgecolor="white")
        for layer, value in enumerate(mean):
            axes.text(layer, 0.02, f"{value:.2f}", ha="center", color="white", fontsize=8, weight="bold",
                      bbox={"facecolor": "#333333", "edgecolor": "none", "pad": 1})
        axes.set(title=model.upper(), xticks=range(len(share)))
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
    panels[0].set(ylabel="share of significant features", ylim=(0, 1.05))
    figure.supxlabel("layer (0: pixels; hatched: the first fully connected)", fontsize=10)
    return figure
