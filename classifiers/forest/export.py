"""A tree in words and as a picture: what it asks, and what it answers.

The words are laid out as in scikit-learn's ``export_text``, so that whoever reads the one reads the other::

    |--- area <= 2.50
    |   |--- class: copepod
    |--- area >  2.50
    |   |--- length <= 3.50
    |   |   |--- class: chain
    |   |--- length >  3.50
    |   |   |--- class: copepod

A node of a forest may have thousands below it. Both forms stop at `max_depth` and say what they leave out.
The threshold "inf" asks whether the value is known: all values are on its left, missing ones on its right.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from classifiers.forest.splitting import LARGEST
from classifiers.forest.tree import Tree

BLUE = "#0072B2"  # of Okabe and Ito, Color universal design, 2008


def _names(names: Sequence[Any] | None, count: int, what: str, prefix: str) -> list[str]:
    """Return `count` names as strings, numbers behind `prefix` if there are none."""
    if names is None:
        return [f"{prefix}{i}" for i in range(count)]
    if len(names) != count:
        raise ValueError(f"{what}_names has {len(names)} names: expected {count}, one for each {what} of the tree")
    return [str(name) for name in names]


def _thresholds(tree: Tree, decimals: int) -> list[str]:
    return ["inf" if t == np.float32(LARGEST) else f"{t:.{decimals}f}" for t in tree.threshold]


def _levels_below(tree: Tree) -> Any:
    """Return the levels of each node's branch, itself included: 1 in leaves."""
    levels = np.ones(tree.node_count, np.int64)
    for node, child in reversed(list(enumerate(tree.children_left.tolist()))):
        if child >= 0:
            levels[node] = 1 + levels[child:child + 2].max()
    return levels


def _heaviest(tree: Tree) -> tuple[Any, Any]:
    """Return each node's heaviest class, the first of equals, and its share."""
    value = tree.value
    return value.argmax(axis=1), value.max(axis=1)


def export_text(tree: Tree, feature_names: Sequence[Any] | None = None, class_names: Sequence[Any] | None = None,
                max_depth: int = 10, decimals: int = 2) -> str:
    """Write a tree as indented questions.

    Parameters
    ----------
    tree : Tree
        One of a forest's ``estimators_``.
    feature_names : sequence of str, optional
        ``feature_0``, ``feature_1``, ... by default.
    class_names : sequence of str, optional
        Such as the forest's ``classes_``; numbers by default.
    max_depth : int
        Deepest split that is written.
    decimals : int
        Of the thresholds.

    Returns
    -------
    str
        One line for each leaf, two for each split.

    Raises
    ------
    ValueError
        Names that are too many or too few.

    Examples
    --------
    >>> import numpy as np
    >>> from classifiers.forest.growing import grow_loops
    >>> X = np.array([[1], [2], [3], [4], [5]], np.float32)
    >>> tree, _ = grow_loops(X, np.array([0, 0, 1, 0, 1]), np.ones(5, np.int64), n_classes=2,
    ...                      seed_state=np.array([2026], np.uint64), max_features=1)
    >>> print(export_text(tree, ["length"], ["copepod", "chain"], max_depth=1))
    |--- length <= 2.50
    |   |--- class: copepod
    |--- length >  2.50
    |   |--- length <= 3.50
    |   |   |--- class: chain
    |   |--- length >  3.50
    |   |   |--- truncated branch of depth 2
    <BLANKLINE>
    """
    features = _names(feature_names, tree.n_features, "feature", "feature_")
    classes = _names(class_names, tree.n_classes, "class", "")
    feature, child, thresholds = tree.feature, tree.children_left, _thresholds(tree, decimals)
    levels, (heaviest, _) = _levels_below(tree), _heaviest(tree)

    lines = []
    todo: list[tuple[int, int, str]] = [(0, 0, "")]  # node, its depth, and the question that leads to it
    while todo:
        node, depth, question = todo.pop()
        if question:
            lines.append("|   " * (depth - 1) + "|--- " + question)
        indent = "|   " * depth + "|--- "
        if feature[node] < 0:
            lines.append(f"{indent}class: {classes[heaviest[node]]}")
        elif depth > max_depth:
            lines.append(f"{indent}truncated branch of depth {levels[node]}")
        else:
            name, threshold = features[feature[node]], thresholds[node]
            todo.append((child[node] + 1, depth + 1, f"{name} >  {threshold}"))
            todo.append((child[node], depth + 1, f"{name} <= {threshold}"))  # the last one comes first
    return "\n".join(lines) + "\n"


def plot_tree(tree: Tree, feature_names: Sequence[Any] | None = None, class_names: Sequence[Any] | None = None,
              max_depth: int = 3, decimals: int = 2) -> Figure:
    """Draw a tree: a box for every node, darker the purer it is.

    Parameters
    ----------
    tree : Tree
        One of a forest's ``estimators_``.
    feature_names : sequence of str, optional
        ``feature_0``, ``feature_1``, ... by default.
    class_names : sequence of str, optional
        Such as the forest's ``classes_``; numbers by default.
    max_depth : int
        Depth of the last row of boxes; a split in it has a dashed border.
    decimals : int
        Of the thresholds.

    Returns
    -------
    Figure
        A matplotlib figure, as large as its text needs; ``figure.savefig(path)`` writes it. A box shows the question,
        the distinct training samples, and the class that weighs most with its share.

    Raises
    ------
    ValueError
        Names that are too many or too few.

    Examples
    --------
    >>> import numpy as np
    >>> from classifiers.forest.growing import grow_loops
    >>> X = np.array([[1], [2], [3], [4], [5]], np.float32)
    >>> tree, _ = grow_loops(X, np.array([0, 0, 1, 0, 1]), np.ones(5, np.int64), n_classes=2,
    ...                      seed_state=np.array([2026], np.uint64), max_features=1)
    >>> figure = plot_tree(tree, ["length"], ["copepod", "chain"])
    >>> print(figure.axes[0].texts[0].get_text())
    length <= 2.50
    5 samples
    copepod 60 %
    """
    features = _names(feature_names, tree.n_features, "feature", "feature_")
    classes = _names(class_names, tree.n_classes, "class", "class ")
    feature, child, thresholds = tree.feature, tree.children_left, _thresholds(tree, decimals)
    samples, levels, (heaviest, share) = tree.n_node_samples, _levels_below(tree), _heaviest(tree)

    # Boxes in a row stand one unit apart; a parent stands in the middle above its children.
    depth, order = {0: 0}, [0]
    for node in order:
        if feature[node] >= 0 and depth[node] < max_depth:
            depth[child[node]] = depth[child[node] + 1] = depth[node] + 1
            order += [child[node], child[node] + 1]
    place: dict[int, float] = {}
    todo = [0]
    while todo:
        node = todo.pop()
        if child[node] not in depth:
            place[node] = len(place)
        else:
            todo += [child[node] + 1, child[node]]
    columns = len(place)
    for node in reversed(order):
        if node not in place:
            place[node] = (place[child[node]] + place[child[node] + 1]) / 2

    labels = {}
    for node in order:
        question = [f"{features[feature[node]]} <= {thresholds[node]}"] if feature[node] >= 0 else []
        deeper = levels[node] - 1
        hidden = feature[node] >= 0 and child[node] not in depth
        below = [f"... {deeper} level{'' if deeper == 1 else 's'} below"] if hidden else []
        count = [f"{samples[node]} sample" + ("" if samples[node] == 1 else "s")]
        percent = 100 if share[node] == 1 else min(round(100 * share[node]), 99)  # 100 % is said of pure nodes only
        labels[node] = "\n".join(question + count + [f"{classes[heaviest[node]]} {percent} %"] + below)

    longest = max(len(line) for label in labels.values() for line in label.split("\n"))
    rows = max(depth.values()) + 1
    figure = Figure(figsize=(columns * (0.085 * longest + 0.5) + 0.2, 1.35 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(-rows + 0.5, 0.5)
    for node in order:
        x, y = place[node], -depth[node]
        # From white to a blue light enough for black letters, by how far the share is above that of chance.
        purity = 0.6 * (share[node] - 1 / tree.n_classes) / max(1 - 1 / tree.n_classes, 1e-9)
        face = tuple(1 - purity * (1 - c) for c in to_rgb(BLUE))
        axes.text(x, y, labels[node], ha="center", va="center", fontsize=9, zorder=3, linespacing=1.3,
                  bbox={"boxstyle": "round,pad=0.4", "facecolor": face, "edgecolor": "black", "linewidth": 0.8,
                        "linestyle": "--" if "..." in labels[node] else "-"})
        for side, answer in enumerate(("yes", "no")) if child[node] in depth else ():
            to = child[node] + side
            axes.plot([x, place[to]], [y, y - 1], color="0.5", linewidth=1, zorder=1)
            axes.annotate(answer, ((x + place[to]) / 2, y - 0.5), ha="center", va="center", fontsize=8, zorder=2,
                          bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"})
    return figure
