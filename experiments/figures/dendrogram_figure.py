"""The picture of `figures.dendrogram`: the parts on top, below them the whole tree in features and in pixels."""
from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.cluster.hierarchy import dendrogram

from experiments.analysis.trees import first_words

# The largest groups: colours of Okabe and Ito, told apart by their shapes as well.
MARKS = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#56B4E9", "v"), ("#E69F00", "P"),
         ("#000000", "X"))
LETTERS = "abcdefgh"
_LEAF = 0.125           # inches for a leaf of the whole tree
_BIG_LEAF = 0.24        # of a part


def draw(found: dict[str, Any]) -> Figure:
    """Draw the parts of the feature tree, then both trees whole; classes of a part are bold and lettered."""
    K = len(found["classes"])
    tallest = max(len(place["drawn"]) for place in found["features"]["parts"])
    heights = [_BIG_LEAF * tallest + 0.9, max(_LEAF, min(_BIG_LEAF, 4 / K)) * K + 0.9]
    figure = Figure(figsize=(10, sum(heights) + 0.4), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=heights)
    above, below = halves
    letters = {name: letter for letter, part in zip(LETTERS, found["parts"]) for name in part["names"]}
    marks, legend = _marks(found["classes"])

    all_axes = above.subplots(1, len(found["parts"]), squeeze=False)[0]
    for letter, axes, part, place in zip(LETTERS, all_axes, found["parts"], found["features"]["parts"]):
        _tree(axes, found["arrays"]["features"], found["classes"], letters, marks, 8, place["drawn"])
        shown, size = sum(name in part["names"] for name in place["drawn"]), place["size"]
        where = "together" if place["together"] else f"in a subtree of {size}"
        if shown < len(part["names"]):
            where = f"{shown} of {len(part['names'])} (all: {where})"
        axes.set_title(f"({letter}) {part['title']}, layer 3: {where}", fontsize=9, loc="left")
    titles = {"features": "CNN1 layer 3", "pixels": "pixels"}
    for axes, (space, title) in zip(below.subplots(1, 2), titles.items()):
        _tree(axes, found["arrays"][space], found["classes"], letters, marks, 6.5 if K > 30 else 8)
        if found["measure"]:
            agreement = found[space]["agreement"]
            title += f": nearest class a look-alike {agreement['share']:.0%}, by chance {agreement['chance']:.0%}"
        axes.set_title(title, fontsize=9, loc="left")
    if legend:
        below.legend(handles=legend, loc="outside lower center", ncols=len(legend), fontsize=8, frameon=False,
                     title="first word of the name (classes)", title_fontsize=8, handletextpad=0.1)
    return figure


def _marks(names: list[str]) -> tuple[dict[str, tuple[str, str]], list[Line2D]]:
    """Return colour and shape of the classes of the largest groups, and what to put in the legend."""
    words = first_words(names)
    largest = [(word, count) for word, count in Counter(words).most_common(len(MARKS)) if count > 1]
    marks, legend = {}, []
    for (word, count), (colour, shape) in zip(largest, MARKS):
        marks.update({name: (colour, shape) for name, own in zip(names, words) if own == word})
        legend.append(Line2D([], [], color=colour, marker=shape, linestyle="", markersize=5, label=f"{word} ({count})"))
    return marks, legend


def _tree(axes: Axes, tree: np.ndarray, names: list[str], letters: dict[str, str], marks: dict[str, tuple[str, str]],
          fontsize: float, only: list[str] | None = None) -> None:
    """Draw a tree with the root on the left, or only the subtree whose leaves are named."""
    drawn = dendrogram(tree, no_plot=True)
    leaves = [names[leaf] for leaf in drawn["leaves"]]                 # from bottom to top, 10 apart, first at 5
    low, high = 0, len(leaves)
    if only is not None:
        low = min(leaves.index(name) for name in only)
        high = low + len(only)
    y, x = np.array(drawn["icoord"]) / 10 - 0.5, np.array(drawn["dcoord"])         # (K - 1, 4): corners of each join
    inside = (y > low - 1).all(axis=1) & (y < high).all(axis=1)
    height = x[inside].max()
    axes.add_collection(LineCollection([*np.stack([x[inside], y[inside]], axis=2)], colors="0.35", linewidths=0.9))
    axes.set(xlim=(1.04 * height, 0), ylim=(low - 0.7, high - 0.3), xlabel="mean distance of centroids")
    axes.yaxis.tick_right()
    shown = leaves[low:high]
    labels = [name.replace("_", " ") + (f"  ({letters[name]})" if name in letters else "") for name in shown]
    axes.set_yticks(range(low, high), labels, fontsize=fontsize)
    axes.tick_params(axis="y", length=0, pad=6)
    axes.tick_params(axis="x", labelsize=8)
    for tick, name, position in zip(axes.get_yticklabels(), shown, range(low, high)):
        tick.set_fontweight("bold" if name in letters else "normal")
        if name in marks:
            colour, shape = marks[name]
            axes.plot(0, position, shape, color=colour, markersize=4, clip_on=False, zorder=3)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
