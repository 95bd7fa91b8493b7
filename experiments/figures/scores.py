"""Figures 7 and 10: samples of some classes, and the average score of each of CNN1's layer-3 features in the class.

The score of a feature is its activation, and a class's scores are its centroid (`analysis.centroids`): what the tree
of classes compares. The paper finds the same features on top throughout a part of the tree: 16, 24 and 40 in the four
copepods, 5 and 36 in the three partly visible animals. The order of a network's features is that of its random first
weights, so those numbers mean nothing in another network. What can be compared is whether look-alikes have their top
features in common. `sharing` measures that over all classes, not only those that a figure shows.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from experiments.analysis import centroids, trees
from experiments.analysis.centroids import LAYER
from experiments.analysis.comparison import spread
from experiments.pipeline.lab import Lab
from experiments.pipeline.stage import Stage
from experiments.pipeline.stages import Train
from experiments.settings import SIZES, Preset

TITLE = "Figures 7 and 10: samples of classes and their feature scores"
SAMPLES = 4             # images of a class
TOP = 3                 # features
PAPER = {"Figure 6": "16, 24, 40", "Figure 9": "5, 36"}
FIGURES = {"Figure 6": "Figure 7", "Figure 9": "Figure 10"}     # where the paper shows the scores of a part
GREY, RED = "#999999", "#D55E00"


def needs(sizes: Preset) -> list[Stage]:
    """Return the stages that `compute` asks for."""
    return [Train("cnn1", seed) for seed in range(sizes.seeds["cnn1"])]


def compute(lab: Lab) -> dict[str, Any]:
    """Return scores and samples of the classes in the parts of the tree, and how far look-alikes share top features."""
    spaces = [centroids.of(*lab.known("cnn1", seed, LAYER), lab.class_names)
              for seed in range(lab.sizes.seeds["cnn1"])]
    alike, meaning = centroids.look_alikes(spaces[0], centroids.true_tree(lab.parts(SIZES["cnn1"])[0].source))
    shared = [sharing(space.values, alike, np.random.default_rng(0)) for space in spaces]
    images, y = lab.parts(SIZES["cnn1"])[0].images, lab.parts(SIZES["cnn1"])[0].labels
    parts, samples = [], {}
    for title, names in centroids.parts(spaces[0].names, centroids.tree_of(spaces[0].values)):
        rows = [spaces[0].names.index(name) for name in names]
        part = describe(spaces[0].values[rows], names)
        parts.append({"title": title, **part})
        for name, row in zip(names, rows):
            samples[name] = images[np.flatnonzero(y == spaces[0].labels[row])[:SAMPLES]]
    return {"parts": parts, "sharing": shared[0], "meaning": meaning, "rows": _rows(parts, shared, meaning),
            "arrays": samples}


def describe(scores: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the top features of some classes together and of each, and how far the two agree.

    Parameters
    ----------
    scores : array (K, D)
        Centroids of the classes.
    names : tuple of K str
        Their names.

    Returns
    -------
    dict
        ``top``, the features whose mean over the classes is largest; ``common``, how many of each class's own are among
        them, as a share; and for each of ``classes`` its ``name``, ``top`` features and all ``scores``.

    Examples
    --------
    >>> found = describe(np.array([[5.0, 0, 3, 4], [7, 3, 2, 4]]), ("a", "b"))
    >>> found["top"], [one["top"] for one in found["classes"]], round(found["common"], 3)
    ([0, 3, 2], [[0, 3, 2], [0, 3, 1]], 0.833)
    """
    together = centroids.top(scores.mean(axis=0), TOP)
    each = [centroids.top(row, TOP) for row in scores]
    return {"top": together.tolist(), "common": float(np.mean([np.isin(own, together).mean() for own in each])),
            "classes": [{"name": name, "top": own.tolist(), "scores": row.tolist()}
                        for name, own, row in zip(names, each, scores)]}


def sharing(scores: np.ndarray, alike: np.ndarray, rng: np.random.Generator) -> dict[str, Any] | None:
    """Return what share of their top features two classes have in common, look-alikes and others.

    Parameters
    ----------
    scores : array (K, D)
        Centroids.
    alike : bool array (K, K)
        Row i tells which other classes are look-alikes of class i; a pair is alike if one is the other's.
    rng : Generator
        Draws the permutations of the classes.

    Returns
    -------
    dict or None
        The mean over pairs that are ``alike``, the mean over ``others``, how many ``pairs`` are alike, and ``p``: how
        often pairs of classes dealt out at random share at least as much. None if no or all pairs are alike.

    Examples
    --------
    >>> a, b = [3.0, 2, 1, 0, 0, 0], [0, 0, 0, 1, 2, 3.0]
    >>> found = sharing(np.array([a, a, b, b]), trees.same_word(["x_1", "x_2", "y_1", "y_2"]), np.random.default_rng(0))
    >>> found["alike"], found["others"], found["pairs"]
    (1.0, 0.0, 2)
    """
    first, second = np.triu_indices(len(scores), 1)
    pairs = (alike | alike.T)[first, second]
    if pairs.all() or not pairs.any():
        return None
    tops = np.zeros(scores.shape)
    for row, own in zip(tops, scores):
        row[centroids.top(own, TOP)] = 1
    overlap = tops @ tops.T / tops[0].sum()                                                       # (K, K)
    found = overlap[first, second]
    a, b = first[pairs], second[pairs]
    places = trees.permutations(len(scores), trees.PERMUTATIONS, rng)                             # (permutations, K)
    beaten = sum(int((overlap[block[:, a], block[:, b]].mean(axis=1) >= found[pairs].mean() - 1e-9).sum())
                 for block in np.array_split(places, 20))
    return {"alike": float(found[pairs].mean()), "others": float(found[~pairs].mean()), "pairs": int(pairs.sum()),
            "p": (1 + beaten) / (1 + trees.PERMUTATIONS)}


def _rows(parts: list[dict[str, Any]], shared: list[dict[str, Any] | None], meaning: str) -> list[dict[str, Any]]:
    rows = []
    for part in parts:
        numbers = ", ".join(map(str, part["top"]))
        if part["title"] in PAPER:
            numbers += f", of another network than the paper's {PAPER[part['title']]}"
        rows.append({"what": f"{_title(part)}: share of each class's top {TOP} features that are the top {TOP} of all "
                             f"(features {numbers})", "paper": None, "ours": spread([part["common"]])})
    for key, pairs in (("alike", f"pairs of a class and {meaning}"), ("others", "other pairs")):
        values = [one[key] for one in shared if one is not None]
        if values:
            rows.append({"what": f"share of the top {TOP} features in common: {pairs}", "paper": None,
                         "ours": spread(values)})
    return rows


def _title(part: dict[str, Any]) -> str:
    title: str = part["title"]
    return FIGURES.get(title, title)


def draw(found: dict[str, Any]) -> Figure:
    """Draw a row for each class, samples and scores; the top features of a part are shaded in all its rows."""
    counts = [len(part["classes"]) for part in found["parts"]]
    heights = [1.15 * count + 0.6 for count in counts]
    figure = Figure(figsize=(10, sum(heights)), layout="constrained")
    pieces: Any = figure.subfigures(len(counts), 1, height_ratios=heights, squeeze=False)
    highest = max(max(one["scores"]) for part in found["parts"] for one in part["classes"])
    for piece, part in zip(pieces[:, 0], found["parts"]):
        _part(piece, part, found["arrays"], 1.25 * highest or 1.0)
    return figure


def _part(piece: SubFigure, part: dict[str, Any], samples: dict[str, np.ndarray], limit: float) -> None:
    top = ", ".join(map(str, part["top"]))
    piece.suptitle(f"{_title(part)}: top features of these classes together {top} (shaded)", fontsize=10)
    grid = piece.subplots(len(part["classes"]), SAMPLES + 1, squeeze=False, width_ratios=[1] * SAMPLES + [6])
    for row, (line, one) in enumerate(zip(grid, part["classes"])):
        for axes in line[:SAMPLES]:
            axes.set_axis_off()
        for axes, image in zip(line, samples[one["name"]]):
            axes.set_axis_on()
            axes.set(xticks=[], yticks=[])
            axes.imshow(as_seen(image), interpolation="nearest")
        axes = line[SAMPLES]
        _bars(axes, one, part["top"], limit)
        if row == len(grid) - 1:
            axes.set_xlabel(f"feature of CNN1's layer {LAYER}", fontsize=8)


def _bars(axes: Axes, one: dict[str, Any], shaded: list[int], limit: float) -> None:
    """Draw the scores of a class, its own top features dark and numbered."""
    scores = one["scores"]
    for feature in shaded:
        axes.axvspan(feature - 0.5, feature + 0.5, color="#56B4E9", alpha=0.35, linewidth=0)
    axes.bar(range(len(scores)), scores, color=[RED if f in one["top"] else GREY for f in range(len(scores))])
    for feature in one["top"]:
        nearby = {-1: "right", 0: "center", 1: "left"}                 # numbers of neighbours lean away from each other
        lean = sum(feature - 2 <= other < feature for other in one["top"])
        lean -= sum(feature < other <= feature + 2 for other in one["top"])
        axes.annotate(str(feature), (feature, scores[feature]), (0, 1), textcoords="offset points",
                      ha=nearby[int(np.sign(lean))], fontsize=7)
    axes.set(xlim=(-1, len(scores)), ylim=(0, limit))
    axes.tick_params(labelsize=7)
    axes.set_ylabel("score", fontsize=8)
    axes.set_title(one["name"].replace("_", " "), fontsize=8, loc="left", pad=2)


def as_seen(image: np.ndarray) -> np.ndarray:
    """Return an image (C, H, W) as a picture (H, W, 3): one channel dark on white, as under the microscope."""
    return np.moveaxis(np.repeat(1 - image, 3, axis=0) if len(image) == 1 else image, 0, -1)
