"""Figures 6 and 9: the tree of classes, clustered by CNN1's layer-3 features and, for comparison, by pixels.

The paper shows two parts of its tree, four copepods and three partly visible animals, and says that clustering pixels
performs poorly: the centroid of rotated animals is a blob. Here both trees are drawn whole, and judged by
`experiments.analysis.trees`:

* Are the classes of each part together? The smallest subtree that holds them, and the chance of one so small.
* Is the nearest class a look-alike: a closest relative in the true family tree of synthetic plankton, of other data one
  whose name begins with the same word? Features against pixels, McNemar's test on the classes.
* Where the true tree is known, how well does the whole tree agree with it? The correlation of cophenetic distances, and
  Baker's gamma, which looks only at the order in which leaves join.

Baker's gamma is taken as in R's dendextend: for each pair of leaves the largest number of clusters into which a tree
can be cut with both still in one, and Spearman's correlation of these levels in the two trees. (F. Baker 1974,
"Stability of two hierarchical grouping techniques", correlates the same levels by Goodman and Kruskal's gamma.)
"""
from __future__ import annotations

from typing import Any

import numpy as np
from scipy.cluster.hierarchy import cophenet
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata

from experiments.analysis import centroids, trees
from experiments.analysis.centroids import Centroids, Part, tree_of
from experiments.analysis.comparison import mcnemar, spread
from experiments.figures.dendrogram_figure import draw
from experiments.pipeline.lab import Lab
from experiments.pipeline.stage import Stage
from experiments.pipeline.stages import Train
from experiments.settings import SIZES, Preset

__all__ = ["TITLE", "compute", "draw", "needs"]

TITLE = "Figures 6 and 9: the tree of classes"
SPACES = {"features": f"layer-{centroids.LAYER} features", "pixels": "pixels"}
METHODS = ("average", "single", "complete", "ward")
READABLE = 16           # leaves of a part that is drawn on its own


def needs(sizes: Preset) -> list[Stage]:
    """Return the stages that `compute` asks for."""
    return [Train("cnn1", seed) for seed in range(sizes.seeds["cnn1"])]


def compute(lab: Lab) -> dict[str, Any]:
    """Return how well the trees group look-alike classes; all but ``rows`` is of the first seed."""
    pixels = centroids.of(*lab.known("cnn1", 0, 0), lab.class_names)
    features = [centroids.of(*lab.known("cnn1", seed, centroids.LAYER), lab.class_names)
                for seed in range(lab.sizes.seeds["cnn1"])]
    parts = centroids.parts(pixels.names, tree_of(features[0].values))
    truth = centroids.true_tree(lab.parts(SIZES["cnn1"])[0].source)
    alike, meaning = centroids.look_alikes(pixels, truth)
    judged = [_judge(space, alike, parts) for space in (pixels, *features)]
    for space, agreement in zip(judged, _with_truth([pixels, *features], truth)):
        space["truth"] = agreement
    agrees = [space["agreement"] and space["agreement"].pop("agrees") for space in judged]
    return {
        "classes": list(pixels.names), "absent": [name for name in lab.class_names if name not in pixels.names],
        "parts": [part._asdict() for part in parts],
        "measure": f"share of classes whose nearest class is {meaning}" if alike.any() else None,
        "classes_with_look_alikes": int(alike.any(axis=1).sum()),
        "features": judged[1], "pixels": judged[0],
        "difference": mcnemar(agrees[1], agrees[0]) if alike.any() else None,
        "rows": _rows(parts, meaning, {"features": judged[1:], "pixels": judged[:1]}),
        "arrays": {"features": tree_of(features[0].values), "pixels": tree_of(pixels.values)},
    }


def _judge(space: Centroids, alike: np.ndarray, parts: list[Part]) -> dict[str, Any]:
    """Return what centroids and their tree say of look-alikes and parts."""
    tree, distances = tree_of(space.values), pdist(space.values)
    methods = {}
    for method in METHODS:
        other = tree_of(space.values, method)
        methods[method] = {"cophenetic_correlation": _correlation(cophenet(other), distances),
                           "sizes": [_place(other, space.names, part)["size"] for part in parts]}
    return {"agreement": trees.agreement(space.values, alike, np.random.default_rng(0)),
            "cophenetic_correlation": methods["average"]["cophenetic_correlation"], "methods": methods,
            "parts": [_place(tree, space.names, part) for part in parts]}


def _place(tree: np.ndarray, names: tuple[str, ...], part: Part) -> dict[str, Any]:
    """Return where the classes of a part are: the smallest subtree that holds them, and the one to draw.

    If the subtree that holds all is too large to read, that which holds most of them is drawn, at least two.
    """
    below, leaves = trees.members(tree), [names.index(name) for name in part.names]
    nodes = [trees.smallest_subtree(tree, leaves, least) for least in range(len(leaves), 1, -1)]
    drawn = next((node for node in nodes if len(below[node]) <= READABLE), nodes[-1])
    size = len(below[nodes[0]])
    # Subtrees that were chosen because they are low are small for that reason: no test of them means anything.
    tested = part.title in centroids.PAPER_PARTS
    return {"size": size, "together": size == len(leaves), "subtree": [names[leaf] for leaf in below[nodes[0]]],
            "p": trees.chance_of_subtree(tree, size, len(leaves)) if tested else None,
            "drawn": [names[leaf] for leaf in below[drawn]]}


def _with_truth(spaces: list[Centroids], truth: np.ndarray | None) -> list[dict[str, Any] | None]:
    """Return how well the tree of each space agrees with the true one, None where none is known."""
    if truth is None:
        return [None] * len(spaces)
    found, here = [tree_of(space.values) for space in spaces], np.ix_(spaces[0].labels, spaces[0].labels)
    rng = np.random.default_rng(0)
    heights = trees.mantel([trees.heights(tree) for tree in found], trees.heights(truth)[here], rng)
    levels = trees.mantel([_ranks(trees.levels(tree)) for tree in found], _ranks(trees.levels(truth)[here]), rng)
    return [{"cophenetic": cophenetic, "baker": baker} for cophenetic, baker in zip(heights, levels)]


def _ranks(matrix: np.ndarray) -> np.ndarray:
    """Return a symmetric matrix of the ranks of its pairs, whose correlation is Spearman's; 0 on the diagonal."""
    return squareform(rankdata(squareform(matrix)))


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else None


def _at(value: Any, keys: tuple[Any, ...]) -> Any:
    """Return what is below `keys` in nested dicts and lists, None if the way there ends in None."""
    for key in keys:
        value = None if value is None else value[key]
    return value


def _rows(parts: list[Part], meaning: str, spaces: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return what a reader compares with the paper, spread over seeds. The paper's parts hold their classes alone."""
    rows: list[dict[str, Any]] = []

    def add(what: str, paper: int | None, *keys: str | int) -> None:
        for space, judged in spaces.items():
            values = [_at(one, keys) for one in judged]
            if None not in values:
                rows.append({"what": f"{what} ({SPACES[space]})", "paper": paper if space == "features" else None,
                             "ours": spread(values)})

    add(f"share of classes whose nearest class is {meaning}", None, "agreement", "share")
    for p, part in enumerate(parts):
        add(f"{part.title}: classes in the smallest subtree that holds these {len(part.names)}",
            len(part.names) if part.title in centroids.PAPER_PARTS else None, "parts", p, "size")
    add("correlation of cophenetic distances with the true tree's", None, "truth", "cophenetic", "r")
    add("Baker's gamma with the true tree", None, "truth", "baker", "r")
    add("cophenetic correlation of tree and distances", None, "cophenetic_correlation")
    return rows
