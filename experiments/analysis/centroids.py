"""Class centroids, and the parts of the class tree that Figures 6 to 10 look at.

The centroid of a class is the mean of its training and validation images in some space: 64 features of CNN1's layer
3, or 784 pixels. The tree joins the two nearest clusters of centroids again and again, and the height of a node is the
mean Euclidean distance between the classes on its two sides ("average" linkage, UPGMA).

Why average? The paper names the distance, but not the linkage. With *single* linkage one chain of neighbours swallows
class after class; *complete* linkage and *Ward* judge a cluster by its extremes or its spread, which makes clusters of
equal size whether or not there are any. Average linkage distorts the distances least, as its cophenetic correlation
says (Sokal and Rohlf 1962; `figures.dendrogram` reports all four), and in expectation it recovers a tree whose
leaves are all equally far from the root, as those of the synthetic plankton are.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.cluster.hierarchy import linkage

from experiments.analysis import trees
from minicnn.data.synthetic import phylogeny

LAYER = 3                       # of CNN1: the features that the paper clusters
PAPER_PARTS = {
    "Figure 6": ("copepod_calanoid_octomoms", "copepod_calanoid_frillyAntennae", "copepod_calanoid_flatheads",
                 "copepod_calanoid"),
    "Figure 9": ("tunicate_partial", "hydromedusae_partial_dark", "siphonophore_partial"),
}
CLOSEST = (3, 4)                # leaves of the subtrees that are shown of other data: as many as the paper's


class Centroids(NamedTuple):
    """The centroids of the classes that have images."""

    labels: np.ndarray          # (K,) int64: their labels, ascending
    names: tuple[str, ...]
    values: np.ndarray          # (K, D) float64


class Part(NamedTuple):
    """Some classes to look at together."""

    title: str
    names: tuple[str, ...]


def of(X: np.ndarray, y: np.ndarray, class_names: Sequence[str]) -> Centroids:
    """Return the centroids of the classes that have images.

    Parameters
    ----------
    X : array (N, D)
        The features of N images: one row for each.
    y : int array (N,)
        The label of each image, which is its class's place in `class_names`.
    class_names : sequence of str
        The names of all classes, those without images included.

    Raises
    ------
    ValueError
        Fewer than two classes have images.

    Examples
    --------
    >>> of(np.array([[1.0], [3.0], [8.0]]), np.array([0, 0, 2]), ("copepod", "shrimp", "tunicate")).values.tolist()
    [[2.0], [8.0]]
    """
    labels = np.unique(y)
    if len(labels) < 2:
        raise ValueError(f"{len(labels)} class has training images: expected at least two to cluster")
    values = np.stack([X[y == label].mean(axis=0, dtype=np.float64) for label in labels])
    return Centroids(labels, tuple(class_names[label] for label in labels), values)


def tree_of(values: np.ndarray, method: str = "average") -> np.ndarray:
    """Return the tree of centroids (K, D) as a linkage matrix (K - 1, 4)."""
    return linkage(values, method, metric="euclidean")


def true_tree(source: Mapping[str, Any]) -> np.ndarray | None:
    """Return the family tree of synthetic plankton as a linkage matrix, or None if the images are others.

    Parameters
    ----------
    source : dict
        Where the images come from: the attribute `source` of their `minicnn.data.Dataset`.

    Returns
    -------
    array (n_classes - 1, 4) or None
        The leaves are all classes, those without images included.
    """
    return phylogeny(source["n_classes"], source["seed"]).linkage() if source.get("spec") == "synthetic" else None


def look_alikes(classes: Centroids, truth: np.ndarray | None) -> tuple[np.ndarray, str]:
    """Return for each class (row) which others count as its look-alikes, bool (K, K), and what that means in words."""
    if truth is None:
        return trees.same_word(classes.names), "one whose name begins with the same word"
    return trees.closest_relatives(trees.heights(truth)[np.ix_(classes.labels, classes.labels)]), \
        "a closest relative in the true tree"


def parts(names: tuple[str, ...], tree: np.ndarray) -> list[Part]:
    """Return the classes that the paper's figures show, or of data without them the closest classes.

    Parameters
    ----------
    names : tuple of K str
        The names of the classes.
    tree : array (K - 1, 4)
        The tree of their centroids in layer 3. It is used for data without the paper's classes: the two lowest
        subtrees of 3 or 4 classes are taken, or the lowest pairs if there are none.

    Examples
    --------
    >>> tree = tree_of(np.array([[0.0], [1.0], [2.5], [10.0], [20.0]]))
    >>> parts(("a", "b", "c", "d", "e"), tree)
    [Part(title='closest classes', names=('a', 'b', 'c'))]
    """
    found = [Part(title, tuple(name for name in wanted if name in names)) for title, wanted in PAPER_PARTS.items()]
    found = [part for part in found if len(part.names) > 1]
    return found or _closest(names, tree)


def _closest(names: tuple[str, ...], tree: np.ndarray) -> list[Part]:
    shown: list[list[int]] = []
    for sizes in (CLOSEST, (2,)):
        for leaves in trees.members(tree):                              # from the lowest node up
            if len(leaves) in sizes and len(shown) < 2 and all(set(leaves).isdisjoint(other) for other in shown):
                shown.append(sorted(leaves.tolist()))
        if shown:
            break
    titles = ("closest classes", "next closest classes")
    return [Part(title, tuple(names[leaf] for leaf in leaves)) for title, leaves in zip(titles, shown)]


def top(scores: np.ndarray, count: int = 3) -> np.ndarray:
    """Return the numbers of the largest scores, the largest first; of equal ones the first.

    Examples
    --------
    >>> top(np.array([0.5, 2.0, 0.0, 2.0]), 3).tolist()
    [1, 3, 0]
    """
    return np.argsort(-scores, kind="stable")[:count]
