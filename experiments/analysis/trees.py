r"""How good is a tree of classes? Subtrees, and two tests against what is known about the classes.

A tree is a linkage matrix of ``scipy.cluster.hierarchy``: row j joins two nodes into node K + j, where nodes 0 to K - 1
are the leaves. Every question about a pair of leaves is answered by the node where they first meet::

    height
      3 |      .---6---.          node 4 joins leaves 0 and 1, node 5 leaves 2 and 3, node 6 the rest
      2 |   .--5--.    |
      1 |   |     |  .-4-.        leaves 0 and 3 meet in node 6: their cophenetic distance is 3
        |   2     3  0   1

What is known about the classes is either their names or, of synthetic plankton, the true tree. `agreement` asks of each
class whether its nearest one is a look-alike: one whose name begins with the same word (`same_word`), or a closest
relative in the true tree (`closest_relatives`). `mantel` correlates, over all pairs, where they meet in our tree and in
the true one. `chance_of_subtree` asks whether some classes are closer to each other than classes are.

Each has a p-value that supposes nothing about distributions: how often classes whose places were dealt out at random do
at least as well. Of 10,000 permutations and the true order itself, none can give less than p = 1/10,001.
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from math import comb
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import cophenet
from scipy.spatial.distance import pdist, squareform

PERMUTATIONS = 10_000
_BLOCK = 2_000_000      # pairs of leaves looked up at a time
_ROUNDING = 1e-9        # correlations this close are equal: the sums of a permutation are added up in another order


def first_words(names: Sequence[str]) -> list[str]:
    """Return the word that each name begins with.

    Examples
    --------
    >>> first_words(["copepod_calanoid", "shrimp-like_other", "Fritdina laevita"])
    ['copepod', 'shrimp-like', 'Fritdina']
    """
    return [re.split(r"[_\s]", name)[0] for name in names]


def same_word(names: Sequence[str]) -> np.ndarray:
    """Return which classes have names that begin with the same word, bool (K, K); False on the diagonal.

    Examples
    --------
    >>> same_word(["copepod_calanoid", "tunicate_salp", "copepod_other"]).astype(int).tolist()
    [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    """
    words = np.array(first_words(names))
    return (words[:, None] == words) & ~np.eye(len(words), dtype=bool)


def closest_relatives(ages: np.ndarray) -> np.ndarray:
    """Return for each class (row) which ones are its closest relatives, bool (K, K).

    Parameters
    ----------
    ages : array (K, K)
        The age of the last common ancestor of each two classes.

    Examples
    --------
    Both 0 and 1 are as close to 2 as classes come; 0 is closer to 1.

    >>> closest_relatives(np.array([[0, 1, 3], [1, 0, 3], [3, 3, 0]])).astype(int).tolist()
    [[0, 1, 0], [1, 0, 0], [1, 1, 0]]
    """
    others = ages.astype(float)
    np.fill_diagonal(others, np.inf)
    return others == others.min(axis=1, keepdims=True)


def members(tree: np.ndarray) -> list[np.ndarray]:
    """Return the leaves below each node: of the K leaves themselves, then of the K - 1 nodes from the lowest up.

    Examples
    --------
    >>> [leaves.tolist() for leaves in members(np.array([[0, 2, 1.0, 2], [1, 3, 2.0, 3]]))]
    [[0], [1], [2], [0, 2], [1, 0, 2]]
    """
    below = [np.array([leaf]) for leaf in range(len(tree) + 1)]
    for left, right in tree[:, :2].astype(int):
        below.append(np.concatenate([below[left], below[right]]))
    return below


def smallest_subtree(tree: np.ndarray, leaves: Sequence[int] | np.ndarray, least: int | None = None) -> int:
    """Return the lowest node that has all of some leaves below it, or at least `least` of them.

    Examples
    --------
    Leaves 0 and 1 meet in node 4, the root; two of 0, 1 and 2 in node 3.

    >>> tree = np.array([[0, 2, 1.0, 2], [1, 3, 2.0, 3]])
    >>> smallest_subtree(tree, [0, 1]), smallest_subtree(tree, [0, 1, 2], least=2)
    (4, 3)
    """
    least = len(leaves) if least is None else least
    return next(node for node, below in enumerate(members(tree)) if np.isin(below, leaves).sum() >= least)


def chance_of_subtree(tree: np.ndarray, size: int, count: int) -> float:
    """Return the chance that `count` leaves taken at random lie in a subtree of at most `size` leaves.

    It is exact: the largest subtrees of at most `size` leaves do not overlap, and each holds
    binomial(its leaves, count) of the binomial(K, count) choices.

    Examples
    --------
    Of ten pairs, two are subtrees of two leaves; two more lie in the subtree of leaves 2, 3 and 4.

    >>> tree = np.array([[0, 1, 1.0, 2], [3, 4, 2.0, 2], [2, 6, 2.5, 3], [5, 7, 3.0, 5]])
    >>> chance_of_subtree(tree, 2, 2), chance_of_subtree(tree, 3, 2)
    (0.2, 0.4)
    """
    K = len(tree) + 1
    sizes = np.append(np.ones(K), tree[:, 3]).astype(int)
    parents = np.empty(2 * K - 1, int)
    parents[tree[:, :2].astype(int)] = np.arange(K, 2 * K - 1)[:, None]
    largest = sizes <= size
    largest[:-1] &= sizes[parents[:-1]] > size
    return sum(comb(int(s), count) for s in sizes[largest]) / comb(K, count)


def heights(tree: np.ndarray) -> np.ndarray:
    """Return the height at which every two leaves meet, (K, K): the cophenetic distances."""
    return squareform(cophenet(tree))


def levels(tree: np.ndarray) -> np.ndarray:
    """Return in which step every two leaves are first in one cluster, (K, K); 0 on the diagonal.

    Joining K leaves in order of height, step j leaves K - j clusters, the largest number of clusters into which the
    tree can be cut with both leaves in one. Baker's gamma compares these levels; their order is that of the steps.

    Examples
    --------
    >>> levels(np.array([[0, 2, 0.5, 2], [1, 3, 9.0, 3]])).astype(int).tolist()
    [[0, 2, 1], [2, 0, 2], [1, 2, 0]]
    """
    steps = tree.copy()
    steps[:, 2] = np.arange(1, len(tree) + 1)
    return squareform(cophenet(steps))


def mantel(matrices: Sequence[np.ndarray], truth: np.ndarray, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Correlate each of some matrices with the true one over all pairs of leaves: Mantel's test.

    Pairs that share a leaf are not independent, so the p-value is that of permuted leaves, one-sided: the share of
    `PERMUTATIONS` whose correlation is at least as large, the unpermuted one counted among them.

    Parameters
    ----------
    matrices : sequence of arrays (K, K)
        The matrices to correlate with `truth`; each is symmetric, and its diagonal plays no part.
    truth : array (K, K)
        The matrix that they are correlated with; it is symmetric too.
    rng : Generator
        Draws the permutations, which are the same for all matrices.

    Returns
    -------
    list of dict
        For each matrix the correlation ``r`` and ``p``; both None if a matrix is constant, as that of two leaves is.

    References
    ----------
    N. Mantel 1967, "The detection of disease clustering and a generalized regression approach"; B. Phipson and G. Smyth
    2010, "Permutation p-values should never be zero".
    """
    first, second = np.triu_indices(len(truth), 1)
    standard = np.stack([_standardised(matrix[first, second]) for matrix in matrices], axis=1)    # (pairs, matrices)
    true = truth.astype(float)
    pairs = _standardised(truth[first, second])
    true[first, second] = true[second, first] = pairs
    r = pairs @ standard                                                                          # (matrices,)
    beaten = np.zeros(len(matrices), int)
    block = max(1, _BLOCK // max(1, len(first)))
    for start in range(0, PERMUTATIONS, block):
        order = permutations(len(truth), min(block, PERMUTATIONS - start), rng)                  # (block, K)
        beaten += (true[order[:, first], order[:, second]] @ standard >= r - _ROUNDING).sum(axis=0)
    return [{"r": float(r[m]), "p": float((1 + beaten[m]) / (1 + PERMUTATIONS))}
            if standard[:, m].any() and pairs.any() else {"r": None, "p": None} for m in range(len(matrices))]


def agreement(values: np.ndarray, alike: np.ndarray, rng: np.random.Generator) -> dict[str, Any] | None:
    """Return for how many classes the nearest other class is a look-alike.

    Parameters
    ----------
    values : array (K, D)
        The centroid of each class.
    alike : bool array (K, K)
        Row i tells which other classes are look-alikes of class i.
    rng : Generator
        Draws the permutations of the classes.

    Returns
    -------
    dict or None
        Of the classes that have look-alikes: ``agrees``, bool for each; their ``share``; the share expected by
        ``chance``; and ``p``. None if no class has any.

    Examples
    --------
    >>> found = agreement(np.array([[0.0], [1.0], [9.0], [12.0]]), same_word("a_1 a_2 b c".split()),
    ...                   np.random.default_rng(0))
    >>> found["agrees"].tolist(), found["share"], round(found["chance"], 3)
    ([True, True], 1.0, 0.333)
    """
    has = alike.any(axis=1)
    if not has.any():
        return None
    distances = squareform(pdist(values))
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    agrees = alike[np.arange(len(alike)), nearest]
    places = permutations(len(alike), PERMUTATIONS, rng)                                         # (permutations, K)
    beaten = (alike[places, places[:, nearest]].sum(axis=1) >= agrees.sum()).sum()
    return {"agrees": agrees[has], "share": float(agrees[has].mean()),
            "chance": float(alike[has].mean(axis=0).sum() / (len(alike) - 1)),
            "p": float((1 + beaten) / (1 + PERMUTATIONS))}


def permutations(K: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return random orders of K classes, (count, K)."""
    return rng.permuted(np.broadcast_to(np.arange(K), (count, K)), axis=1)


def _standardised(values: np.ndarray) -> np.ndarray:
    """Return values of mean 0 and length 1, so that a product of two is their correlation; 0 if all are equal."""
    centred = values - values.mean()
    length = np.sqrt((centred ** 2).sum())
    return centred / length if length > 1e-12 * np.abs(values).max() else np.zeros(len(values))
