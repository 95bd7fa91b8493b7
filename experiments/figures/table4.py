"""Table IV: CNN3, with maxout and dropout, and classifiers on the features of its last layer.

The caption of the paper's Table III says only that dropout is used at the first layer. CNN3 is trained in both
readings: ``"first"``, dropout of the pixels alone, and ``"all"``, dropout before every layer, as the authors of maxout
published it. The classifiers are fitted to the 24 x 3 x 3 features of layer 3 of each.

CNN3 and CNN1 see the test images with 28 x 28 pixels, CNN2 sees the same ones with 40 x 40. McNemar's test needs them
in the same order: that labels and rows are equal is checked, not assumed.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.analysis.claims import NAMES as SHORT
from experiments.analysis.comparison import mcnemar, spread
from experiments.figures.layers import CLASSIFIERS, STYLES, network_right, right
from experiments.pipeline.lab import Lab
from experiments.pipeline.stage import Stage
from experiments.pipeline.stages import Choose, Forest, Machines, Train
from experiments.settings import SIZES, Preset

TITLE = "Table IV: CNN3 and classifiers on its last layer"
LAYER = 3
NETWORKS = {"cnn1": ("cnn1", None), "cnn2": ("cnn2", None), "first": ("cnn3", None), "all": ("cnn3", "all")}
READINGS = {"first": None, "all": "all"}        # of the caption: what `Train` calls them
NAMES = {"cnn1": "CNN1", "cnn2": "CNN2", "first": "CNN3", "all": "CNN3, dropout everywhere"}
PAPER = {"cnn1": 0.5263, "cnn2": 0.5597, "first": 0.64052, "all": 0.64052, "forest": 0.65526, "ovr": 0.65368,
         "ovo": 0.57184}
ON_FEATURES = {f"{reading}-{c}": (reading, c) for reading in READINGS for c in CLASSIFIERS}


def needs(sizes: Preset) -> list[Stage]:
    """Return the training of all three networks, CNN3 in both readings, and the classifiers on CNN3's layer 3."""
    stages: list[Stage] = [Train(model, seed, dropout) for model, dropout in NETWORKS.values()
                           for seed in range(sizes.seeds[model])]
    for dropout in READINGS.values():
        stages.append(Choose("cnn3", 0, LAYER, dropout=dropout))
        for seed in range(sizes.seeds["cnn3"]):
            stages += [kind("cnn3", seed, LAYER, dropout=dropout) for kind in (Machines, Forest)]
    return stages


def compute(lab: Lab) -> dict[str, Any]:
    """Return the accuracy of networks and classifiers, and the comparisons for claim 7, of the first seed.

    Raises
    ------
    ValueError
        The test images of the two sizes are not the same ones in the same order.
    """
    check_same_images(lab)
    rights = {who: [network_right(lab, Train(model, seed, dropout)) for seed in range(lab.sizes.seeds[model])]
              for who, (model, dropout) in NETWORKS.items()}
    rights |= {who: [right(lab, c, "cnn3", seed, LAYER, dropout=READINGS[reading])
                     for seed in range(lab.sizes.seeds["cnn3"])] for who, (reading, c) in ON_FEATURES.items()}
    accuracy = {who: spread([one.mean() for one in each]) for who, each in rights.items()}
    first = {who: each[0] for who, each in rights.items()}
    names = NAMES | {who: f"{CLASSIFIERS[c]}, layer {LAYER} of {NAMES[reading]}"
                     for who, (reading, c) in ON_FEATURES.items()}
    paper = PAPER | {who: PAPER[c] for who, (_, c) in ON_FEATURES.items()}
    return {
        "accuracy": accuracy, "paper": {who: paper[who] for who in names},
        "cnn3_against": {who: mcnemar(first["first"], first[who]) for who in ("cnn1", "cnn2", "all")},
        "all_against": {who: mcnemar(first["all"], first[who]) for who in ("cnn1", "cnn2")},
        "classifiers_against_network": {
            reading: {c: mcnemar(first[f"{reading}-{c}"], first[reading]) for c in CLASSIFIERS}
            for reading in READINGS},
        "rows": [{"what": name, "paper": paper[who], "ours": accuracy[who]} for who, name in names.items()],
    }


def check_same_images(lab: Lab) -> None:
    """Raise ValueError unless CNN2's test images are those of CNN1 and CNN3, in the same order."""
    small, large = (lab.parts(SIZES[model])[2] for model in ("cnn3", "cnn2"))
    same_rows = small.source.get("indices") == large.source.get("indices")
    if not same_rows or not np.array_equal(small.labels, large.labels):
        raise ValueError(f"{small.name}: the test images of {SIZES['cnn3']} and of {SIZES['cnn2']} pixels are not the "
                         "same ones in the same order: expected one split of the same files; delete the cached images")


def draw(found: dict[str, Any]) -> Figure:
    """Draw two bars for each network and classifier: the paper's number and ours."""
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    axes = figure.subplots()
    whose = list(found["paper"])
    labels = [NAMES[who] if who in NAMES else SHORT[ON_FEATURES[who][1]] for who in whose]
    colours = ["#555555" if who in NAMES else STYLES[ON_FEATURES[who][1]][0] for who in whose]
    ours = [found["accuracy"][who]["mean"] for who in whose]
    paper = [found["paper"][who] for who in whose]
    error = [found["accuracy"][who]["std"] or np.nan for who in whose]
    x = np.arange(len(whose))
    axes.bar(x - 0.2, paper, 0.4, color="white", edgecolor=colours, hatch="///", label="paper")
    axes.bar(x + 0.2, ours, 0.4, color=colours, yerr=error, capsize=3, label="ours")
    for place, values in ((x - 0.2, paper), (x + 0.2, ours)):
        for where, value in zip(place, values):
            axes.text(where, 0.02, f"{value:.4f}", rotation=90, ha="center", va="bottom", fontsize=8,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
    axes.set(ylabel="test accuracy", ylim=(0, max(*paper, *ours) + 0.15))
    axes.set_xticks(x, ["\n".join(label.replace(",", "").split()) for label in labels], fontsize=8)
    for k, reading in enumerate(READINGS):
        start = len(NETWORKS) + k * len(CLASSIFIERS) - 0.5
        axes.axvline(start, color="#888888", linewidth=1)
        axes.annotate(f"on features of\n{NAMES[reading]}", (start + 0.05, 0.97), va="top", fontsize=9,
                      xycoords=("data", "axes fraction"))
    legend = axes.legend(loc="upper left")
    for handle, (face, hatch) in zip(legend.get_patches(), (("white", "///"), ("#555555", ""))):
        handle.set(facecolor=face, edgecolor="#555555", hatch=hatch)
    return figure
