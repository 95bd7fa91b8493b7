"""All trees of a forest in six arrays, one behind another, and the check that they may be walked.

Tree t has the nodes ``nodes[tree_start[t]:tree_start[t + 1]]`` and the impure leaves ``impure_start[t]`` to
``impure_start[t + 1]``; impure leaf k (numbered through the forest here, from 0 in each tree in its nodes) has the
classes ``leaf_class[leaf_start[k]:leaf_start[k + 1]]``. What a node holds is described in `classifiers.forest.tree`.

Kernels follow these indices without looking at bounds, so arrays that come from a file pass `Ensemble.check` first.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from classifiers.forest.tree import Tree


class Ensemble(NamedTuple):
    """T trees over D features and K classes."""

    tree_start: Any     # (T + 1,) int64
    nodes: Any          # (nodes of all trees,) NODE
    missing_left: Any   # (nodes of all trees,) uint8
    impure_start: Any   # (T + 1,) int64
    leaf_start: Any     # (impure leaves of all trees + 1,) int64
    leaf_class: Any     # (leaf_start[-1],) int32
    leaf_weight: Any    # (leaf_start[-1],) float32

    @classmethod
    def join(cls, trees: Sequence[Any]) -> Ensemble:
        """Put the arrays of `trees` (anything with the five arrays of a `Tree`) behind one another."""
        sizes = np.array([[len(tree.nodes), len(tree.leaf_start) - 1, len(tree.leaf_class)] for tree in trees])
        starts = np.vstack([np.zeros((1, 3), np.int64), np.cumsum(sizes, axis=0)])      # (T + 1, 3)
        return cls(starts[:, 0].copy(), np.concatenate([tree.nodes for tree in trees]),
                   np.concatenate([tree.missing_left for tree in trees]), starts[:, 1].copy(),
                   np.concatenate([[0]] + [tree.leaf_start[1:] + begin for tree, begin in zip(trees, starts[:, 2])]),
                   np.concatenate([tree.leaf_class for tree in trees]),
                   np.concatenate([tree.leaf_weight for tree in trees]))

    def __len__(self) -> int:
        return len(self.tree_start) - 1

    def tree(self, t: int, n_classes: int, n_features: int) -> Tree:
        """Return tree `t` as a view."""
        first, last = self.tree_start[t:t + 2]
        leaf_start = self.leaf_start[self.impure_start[t]:self.impure_start[t + 1] + 1]
        entries = slice(leaf_start[0], leaf_start[-1])
        return Tree(self.nodes[first:last], self.missing_left[first:last], leaf_start - leaf_start[0],
                    self.leaf_class[entries], self.leaf_weight[entries], n_classes, n_features)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self)

    def check(self, n_classes: int, n_features: int) -> None:
        """Make sure that a walk from any root ends in a leaf of that tree, and reads nothing else.

        Raises
        ------
        ValueError
            It would not; the message names the array and the place.
        """
        for name in ("tree_start", "impure_start", "leaf_start"):
            _check_starts(name, getattr(self, name))
        T = len(self)
        _require(T >= 1, f"tree_start has {len(self.tree_start)} entries: expected one more than there are trees")
        _require(len(self.impure_start) == T + 1, f"impure_start has {len(self.impure_start)} entries for {T} trees")
        for name, array, starts in (("nodes", self.nodes, self.tree_start),
                                    ("missing_left", self.missing_left, self.tree_start),
                                    ("leaf_class", self.leaf_class, self.leaf_start),
                                    ("leaf_weight", self.leaf_weight, self.leaf_start)):
            _require(len(array) == starts[-1], f"{name} has {len(array)} entries, expected {starts[-1]}")
        _require(self.impure_start[-1] == len(self.leaf_start) - 1,
                 f"leaf_start has {len(self.leaf_start)} entries, expected {self.impure_start[-1] + 1}")
        _require(np.all(np.diff(self.tree_start) >= 1), "tree_start: a tree has no nodes")
        _require(np.all(np.diff(self.leaf_start) >= 2), "leaf_start: an impure leaf has less than two classes")
        _check_all("missing_left", self.missing_left <= 1, self.missing_left)
        _check_all("leaf_class", (self.leaf_class >= 0) & (self.leaf_class < n_classes), self.leaf_class)
        _check_all("leaf_weight", np.isfinite(self.leaf_weight) & (self.leaf_weight > 0), self.leaf_weight)
        feature, child = self.nodes["feature"].astype(np.int64), self.nodes["child"].astype(np.int64)
        _check_all("feature", (feature >= -1) & (feature < n_features), feature)
        _check_all("threshold", np.isfinite(self.nodes["threshold"]), self.nodes["threshold"])
        tree = np.repeat(np.arange(T), np.diff(self.tree_start))                # of each node
        own = np.arange(len(self.nodes)) - self.tree_start[tree]                # its number in the tree
        split = feature >= 0
        # Children come behind their parent, so a walk never turns round; and each has one parent.
        _check_all("child", ~split | ((child > own) & (child + 1 < np.diff(self.tree_start)[tree])), child)
        children = (child + self.tree_start[tree])[split]
        parents = np.bincount(np.append(children, children + 1), minlength=len(self.nodes))
        parents[self.tree_start[:-1]] += 1      # a root, which has none, is counted as if it had one
        _require(np.all(parents == 1),
                 f"child: node {np.argmax(parents != 1)} has two parents, or none")
        leaf_ok = np.where(child < 0, -1 - child < n_classes, child < np.diff(self.impure_start)[tree])
        _check_all("child", split | leaf_ok, child)


def _require(condition: Any, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _check_starts(name: str, starts: Any) -> None:
    _require(len(starts) >= 1 and starts[0] == 0 and np.all(np.diff(starts) >= 0), f"{name} does not ascend from 0")


def _check_all(name: str, good: Any, values: Any) -> None:
    if not good.all():
        place = int(np.argmin(good))
        raise ValueError(f"{name} is {values[place]} at {place}: out of range")
