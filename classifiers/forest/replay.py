"""How a tree grew, step by step: what each node tried, what it chose, and how the plane fell apart.

For lessons: `replay` grows a tree with `classifiers.forest.growing.grow_loops` and keeps every step. Print it
to read the growth, or draw the plane of two features after each split in turn and flip through the pictures:
a split cuts one rectangle in two, parallel to an axis, and later splits never move it. That is all that a tree
can do, and why it takes a staircase to follow a slanted border.
"""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from classifiers.forest.growing import Step, grow_loops
from classifiers.forest.splitting import LARGEST, Split, node_sums
from classifiers.forest.tree import Tree

# Of Okabe and Ito, Color universal design, 2008; with a marker each, so that nobody depends on the colour.
COLOURS = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#999999"
MARKERS = "o", "^", "s", "D", "v", "P", "X", "*"


class Replay(NamedTuple):
    """A tree with the story of its growth; `str` of it tells the whole.

    Attributes
    ----------
    tree : Tree
    importances : array (D,)
        Decrease in impurity by each feature, not normalised.
    steps : list of Step
        One for every node, in the order in which they were settled: depth first, left before right.
    X, codes, weights : array
        The training samples.
    """

    tree: Tree
    importances: Any
    steps: list[Step]
    X: Any
    codes: Any
    weights: Any

    def __str__(self) -> str:
        return "\n".join(self.describe(step) for step in self.steps)

    def describe(self, step: Step) -> str:
        """Tell one step in words.

        Parameters
        ----------
        step : Step
            One of `steps`.

        Returns
        -------
        str
            One line for a leaf; for a split also the best threshold of each feature that was tried, and the
            choice.
        """
        T, n, _ = node_sums(step.samples, self.codes.tolist(), self.weights.tolist())
        classes = ", ".join(f"class {k}: {T[k]:g}" for k in sorted(T))
        kind = "split" if step.best else "leaf"
        lines = [f"node {step.node}, depth {step.depth}, {kind}: samples {len(step.samples)}, weight {n:g} "
                 f"({classes})"]
        for f in dict.fromkeys(split.feature for split in step.tried):
            splits = [split for split in step.tried if split.feature == f]
            best = max(splits, key=lambda split: split.score)
            lines.append(f"    feature {f}: {len(splits)} candidates, best score {best.score:.4g} at "
                         f"{_threshold(best.threshold)}")
        if step.best:
            missing = "left" if self.tree.missing_left[step.node] else "right"
            lines.append(f"    chosen: feature {step.best.feature} <= {_threshold(step.best.threshold)} (missing: "
                         f"{missing}), decrease {step.decrease:.4g}, samples {len(step.left)} left, "
                         f"{len(step.right)} right")
        return "\n".join(lines)

    @property
    def n_splits(self) -> int:
        """Splits of the whole tree."""
        return sum(step.best is not None for step in self.steps)

    def figure(self, splits: int | None = None) -> Figure:
        """Draw the plane after so many splits.

        Parameters
        ----------
        splits : int, optional
            From 0 to `n_splits`, in the order in which they were made; all by default.

        Returns
        -------
        Figure
            A matplotlib figure: each region in the colour of the class that weighs most in it, the last cut in black.
            Samples are as large as their weight; those out of bag are hollow.

        Raises
        ------
        ValueError
            Not two features, more than eight classes (there would be too many colours to tell apart), or a
            number of splits that the tree does not have.
        """
        if self.tree.n_features != 2 or self.tree.n_classes > len(COLOURS):
            raise ValueError(f"the tree has {self.tree.n_features} features and {self.tree.n_classes} classes: "
                             f"expected 2 features, which span the plane, and at most {len(COLOURS)} classes, "
                             "which colours can tell apart")
        made = [(step, step.best) for step in self.steps if step.best]
        splits = len(made) if splits is None else splits
        if not 0 <= splits <= len(made):
            raise ValueError(f"splits={splits}: expected 0 to {len(made)}, the splits of the tree")

        figure = Figure(figsize=(6, 5.4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        codes, weights = self.codes.tolist(), self.weights.tolist()
        regions, cut = self._regions(made[:splits])
        for corner, opposite, samples in regions:
            T, _, _ = node_sums(samples, codes, weights)
            heaviest = max(sorted(T), key=lambda k: T[k])
            axes.add_patch(Rectangle(corner, opposite[0] - corner[0], opposite[1] - corner[1], linewidth=0.8,
                                     facecolor=to_rgba(COLOURS[heaviest], 0.25), edgecolor="0.4"))
        if cut:
            axes.plot(*zip(*cut), color="black", linewidth=3, zorder=2)
        for k in np.unique(self.codes).tolist():
            for these, fill, edge, label in (
                    ((self.codes == k) & (self.weights > 0), COLOURS[k], "black", f"class {k}"),
                    ((self.codes == k) & (self.weights == 0), "none", COLOURS[k], None)):
                axes.scatter(self.X[these, 0], self.X[these, 1], s=15 + 15 * self.weights[these], label=label,
                             marker=MARKERS[k], facecolors=fill, edgecolors=edge, linewidths=0.8, zorder=3)
        title = f"{splits} of {len(made)} splits"
        if splits:
            last, best = made[splits - 1]
            title += (f"; the last: node {last.node}, feature {best.feature} <= {_threshold(best.threshold)}, "
                      f"decrease {last.decrease:.3g}")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("feature 0")
        axes.set_ylabel("feature 1")
        axes.margins(0)
        figure.legend(loc="outside lower center", ncols=4, fontsize=9)
        return figure

    def _regions(self, made: list[tuple[Step, Split]]) -> tuple[list[Any], Any]:
        """Return (lower corner, upper corner, samples) of each leaf after the splits `made`, and the last cut."""
        low, high = np.nanmin(self.X, axis=0), np.nanmax(self.X, axis=0)
        margin = np.where(high > low, 0.05 * (high - low), 0.5)
        regions = {0: ((low - margin).tolist(), (high + margin).tolist(), self.steps[0].samples)}
        cut: Any = None
        for step, best in made:
            corner, opposite, _ = regions.pop(step.node)
            f = best.feature
            # "Is the value known?" (threshold inf) cuts off nothing that the plane could show.
            at = min(best.threshold, opposite[f])
            left_opposite, right_corner = opposite.copy(), corner.copy()
            left_opposite[f] = right_corner[f] = at
            child = int(self.tree.nodes[step.node]["child"])
            regions[child] = corner, left_opposite, step.left
            regions[child + 1] = right_corner, opposite, step.right
            cut = right_corner, left_opposite
        return list(regions.values()), cut


def _threshold(value: float) -> str:
    return "inf" if value == LARGEST else f"{value:.6g}"


def replay(X: Any, codes: Any, weights: Any, n_classes: int, seed_state: Any, max_features: int,
           **parameters: Any) -> Replay:
    """Grow a tree and keep every step.

    Parameters
    ----------
    X, codes, weights, n_classes, seed_state, max_features
        The same as in `classifiers.forest.growing.grow_loops`.
    **parameters
        The others of `grow_loops`: criterion, max_depth, min_samples_split, min_samples_leaf.

    Returns
    -------
    Replay

    Raises
    ------
    ValueError
        The same as in `grow_loops`.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[1], [2], [3], [4], [5]], np.float32)
    >>> print(replay(X, np.array([0, 0, 1, 0, 1]), np.ones(5, np.int64), n_classes=2,
    ...              seed_state=np.array([2026], np.uint64), max_features=1, max_depth=1))
    node 0, depth 0, split: samples 5, weight 5 (class 0: 3, class 1: 2)
        feature 0: 4 candidates, best score 3.667 at 2.5
        chosen: feature 0 <= 2.5 (missing: right), decrease 1.067, samples 2 left, 3 right
    node 1, depth 1, leaf: samples 2, weight 2 (class 0: 2)
    node 2, depth 1, leaf: samples 3, weight 3 (class 0: 1, class 1: 2)
    """
    steps: list[Step] = []
    tree, importances = grow_loops(X, codes, weights, n_classes, seed_state, max_features, observer=steps.append,
                                   **parameters)
    return Replay(tree, importances, steps, X, codes, weights)
