"""What a forest learns from the samples that each tree did not see: an honest score, and honest importances.

A bootstrap of N draws leaves out (1 - 1/N)^N = 37 % of the samples: they are *out of bag* for that tree. Classified
only by the trees that have not seen them, training samples are as good as new ones, and no validation set is needed.

The permutation importance of a feature (Breiman 2001, section 10) asks a tree to classify its out-of-bag samples again,
with the values of that feature dealt out to other samples at random: by how much does the accuracy fall? Unlike the
decrease in impurity it is measured on samples that had no part in growing, so a feature of many random values gains
nothing. Here a tree's out-of-bag samples are put into one random order, and feature f takes its value from the sample
s_f places further on, s_f drawn anew for each feature. Only features on a sample's way down can change where it ends:
the others are not tried at all, which makes the cost independent of the number of features.

Which samples were out of bag is not stored: a tree's generator state gives them again.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from classifiers.forest.ensemble import Ensemble
from classifiers.forest.fitting import Bootstrap
from classifiers.forest.generator import below
from classifiers.forest.numba_predict import CHILD, add_leaf, views, walk_alone
from minicnn.plumbing.compiled import njit


def out_of_bag(state: Any, order: Any, bootstrap: Bootstrap) -> Any:
    """Return the samples that the tree which began with `state` did not see, in the order it knows them."""
    return order[bootstrap.counts(state.copy()) == 0]


@njit(cache=True, nogil=True)
def _add_votes_of_tree(X, rows, nodes, missing_left, first_leaf, leaf_start, leaf_class, leaf_weight, proba):
    """Add to ``proba[rows]`` (N, K) the class probabilities that one tree gives to the samples ``X[rows]``."""
    words, thresholds = views(nodes)
    for row in rows:
        label = np.int64(words[walk_alone(X[row], words, thresholds, missing_left), CHILD])
        if label < 0:
            proba[row, -1 - label] += 1.0
        else:
            add_leaf(label, first_leaf, leaf_start, leaf_class, leaf_weight, proba[row])


def out_of_bag_votes(X: Any, ensemble: Ensemble, states: list[Any], order: Any, bootstrap: Bootstrap, rows: slice,
                     n_classes: int) -> tuple[Any, Any]:
    """Classify the samples `rows` by the trees that have not seen them.

    Returns
    -------
    proba : array (N, n_classes) float64
        Sums over those trees; only `rows` are filled.
    trees : array (N,) int64
        How many they were.
    """
    proba = np.zeros((len(X), n_classes))
    trees = np.zeros(len(X), np.int64)
    for t, state in enumerate(states):
        unseen = out_of_bag(state, order, bootstrap)
        unseen = unseen[(unseen >= rows.start) & (unseen < rows.stop)]
        first, last = ensemble.tree_start[t:t + 2]
        _add_votes_of_tree(X, unseen, ensemble.nodes[first:last], ensemble.missing_left[first:last],
                           ensemble.impure_start[t], ensemble.leaf_start, ensemble.leaf_class, ensemble.leaf_weight,
                           proba)
        trees[unseen] += 1
    return proba[rows], trees[rows]


@njit(cache=True, nogil=True)
def _leaf_is_right(x, other, f, code, first, nodes, missing_left, impure, leaf_start, leaf_class, leaf_weight, path):
    """Walk `x`, with feature f (or none, -1) taken from `other`; return whether the leaf's class is `code`, and steps.

    The features asked for are written to `path`.
    """
    at = first
    steps = 0
    while True:
        node = nodes[at]
        asked = node["feature"]
        if asked < 0:
            break
        path[steps] = asked
        steps += 1
        v = other[asked] if asked == f else x[asked]
        right = missing_left[at] == 0 if v != v else v > node["threshold"]
        at = first + node["child"] + np.int64(right)
    child = np.int64(nodes[at]["child"])
    found = -1 - child
    if child >= 0:
        heaviest = np.float32(-1)
        for e in range(leaf_start[impure + child], leaf_start[impure + child + 1]):
            if leaf_weight[e] > heaviest:
                heaviest = leaf_weight[e]
                found = np.int64(leaf_class[e])
    return found == code, steps


@njit(cache=True, nogil=True)
def permuted_losses(X, codes, rows, shift, state, depth, first, impure, nodes, missing_left, leaf_start, leaf_class,
                    leaf_weight, losses):
    """Add to `losses` (D,) how many of the out-of-bag samples `rows` one tree loses by permuting each feature."""
    R = rows.size
    for i in range(R - 1, 0, -1):       # Fisher and Yates: a random order
        j = below(state, i + 1)
        rows[i], rows[j] = rows[j], rows[i]
    for f in range(shift.size):
        shift[f] = 1 + below(state, R - 1)
    path = np.empty(depth + 1, np.int64)
    again = np.empty(depth + 1, np.int64)
    for i in range(R):
        x = X[rows[i]]
        code = codes[rows[i]]
        before, steps = _leaf_is_right(x, x, -1, code, first, nodes, missing_left, impure, leaf_start, leaf_class,
                                       leaf_weight, path)
        for s in range(steps):
            f = path[s]
            asked_before = False
            for r in range(s):
                asked_before |= path[r] == f
            if asked_before:
                continue
            other = X[rows[(i + shift[f]) % R]]
            after, _ = _leaf_is_right(x, other, f, code, first, nodes, missing_left, impure, leaf_start, leaf_class,
                                      leaf_weight, again)
            losses[f] += np.int64(before) - np.int64(after)


def permutation_importances(X: Any, codes: Any, ensemble: Ensemble, states: list[Any], order: Any,
                            bootstrap: Bootstrap, trees: range, depths: Any) -> Any:
    """Return the fall of out-of-bag accuracy (len(trees), D) that permuting each feature brings in each of `trees`."""
    D = X.shape[1]
    result = np.zeros((len(trees), D))
    shift = np.empty(D, np.int64)
    for place, t in enumerate(trees):
        rows = out_of_bag(states[t], order, bootstrap)
        if len(rows) < 2:
            continue
        losses = np.zeros(D, np.int64)
        # The generator's state has other children than the bootstrap's: one more key.
        state = np.random.SeedSequence(int(states[t][0]), spawn_key=(1,)).generate_state(1, np.uint64)
        permuted_losses(X, codes, rows, shift, state, int(depths[t]), ensemble.tree_start[t], ensemble.impure_start[t],
                        ensemble.nodes, ensemble.missing_left, ensemble.leaf_start, ensemble.leaf_class,
                        ensemble.leaf_weight, losses)
        result[place] = losses / len(rows)
    return result
