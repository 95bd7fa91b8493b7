"""Walking samples down trees, fast.

A walk waits: it must know where a node lies before it can ask for it, and each comparison before the next. So eight
samples walk down the same tree side by side, and the processor works on one while the others wait. No step has a branch
to be guessed wrong: the children are neighbours, ``child + (x > threshold)`` is one of them, and a sample that has
reached its leaf stays there by a select. Whether all eight have arrived is only asked every fourth step.

Nodes are read as rows of four words, from two views of the same memory, because a record would be read field by field
through a pointer. Samples come in blocks that stay in the second-level cache while tree after tree passes by; each
thread has blocks of its own and adds up the trees in their order, so the sums do not depend on the number of threads.

Samples with missing values take their way one by one: where they go is in an array that others never touch.

Nothing here checks an index: trees that were grown here need no check, trees from a file have passed `Ensemble.check`.
"""
from __future__ import annotations

import numpy as np
from numba import njit

ABREAST = 8
UNASKED = 4         # steps before it is asked who has arrived
FEATURE, THRESHOLD, CHILD = 0, 1, 2     # words of a node


@njit(cache=True, nogil=True)
def _views(nodes):
    """Return the nodes (M,) as words (M, 4): once as integers, once as floats."""
    return nodes.view(np.int32).reshape(-1, 4), nodes.view(np.float32).reshape(-1, 4)


@njit(cache=True, nogil=True)
def _walk_abreast(X, rows, begin, words, thresholds, at):
    """Write to `at` the leaves of the samples ``rows[begin:begin + ABREAST]``; node 0 is the root."""
    for u in range(ABREAST):
        at[u] = 0
    walking = True
    while walking:
        for _ in range(UNASKED):
            for u in range(ABREAST):
                node = np.uint32(at[u])
                f = words[node, FEATURE]
                x = X[rows[begin + u], np.uint32(max(f, np.int32(0)))]      # of feature 0 in a leaf: not used
                following = words[node, CHILD] + np.int32(x > thresholds[node, THRESHOLD])
                at[u] = following if f >= 0 else at[u]
        walking = False
        for u in range(ABREAST):
            walking |= words[np.uint32(at[u]), FEATURE] >= 0


@njit(cache=True, nogil=True)
def _walk_alone(x, words, thresholds, missing_left):
    """Return the leaf of sample x (D,), which may have missing values."""
    at = np.int64(0)
    while words[at, FEATURE] >= 0:
        v = x[words[at, FEATURE]]
        right = missing_left[at] == 0 if v != v else v > thresholds[at, THRESHOLD]
        at = np.int64(words[at, CHILD]) + np.int64(right)
    return at


@njit(cache=True, nogil=True)
def _walk(X, rows, begin, complete, words, thresholds, missing_left, at):
    """Write to `at` the leaves of up to ABREAST samples from ``rows[begin]`` on; return how many they are."""
    count = min(ABREAST, rows.size - begin)
    if complete and count == ABREAST:
        _walk_abreast(X, rows, begin, words, thresholds, at)
    else:
        for u in range(count):
            at[u] = _walk_alone(X[rows[begin + u]], words, thresholds, missing_left)
    return count


@njit(cache=True, nogil=True)
def is_complete(X, rows):
    """Return whether the samples ``X[rows]`` have no missing values."""
    for row in rows:
        for x in X[row]:
            if x != x:
                return False
    return True


@njit(cache=True, nogil=True)
def add_votes(X, rows, first, last, tree_start, nodes, missing_left, impure_start, leaf_start, leaf_class, leaf_weight,
              proba):
    """Add to ``proba[rows]`` (N, K) the class probabilities that trees `first` to `last` give to ``X[rows]``."""
    at = np.empty(ABREAST, np.int32)
    complete = is_complete(X, rows)
    for t in range(first, last):
        words, thresholds = _views(nodes[tree_start[t]:tree_start[t + 1]])
        for begin in range(0, rows.size, ABREAST):
            count = _walk(X, rows, begin, complete, words, thresholds, missing_left[tree_start[t]:], at)
            for u in range(count):
                child = np.int64(words[at[u], CHILD])
                row = rows[begin + u]
                if child < 0:
                    proba[row, -1 - child] += 1.0
                    continue
                k = impure_start[t] + child
                total = 0.0
                for e in range(leaf_start[k], leaf_start[k + 1]):
                    total += np.float64(leaf_weight[e])
                for e in range(leaf_start[k], leaf_start[k + 1]):
                    proba[row, leaf_class[e]] += np.float64(leaf_weight[e]) / total


@njit(cache=True, nogil=True)
def find_leaves(X, rows, tree_start, nodes, missing_left, leaves):
    """Write to ``leaves[rows]`` (N, T) the leaf, numbered within its tree, of each sample in each tree."""
    at = np.empty(ABREAST, np.int32)
    complete = is_complete(X, rows)
    for t in range(tree_start.size - 1):
        words, thresholds = _views(nodes[tree_start[t]:tree_start[t + 1]])
        for begin in range(0, rows.size, ABREAST):
            count = _walk(X, rows, begin, complete, words, thresholds, missing_left[tree_start[t]:], at)
            for u in range(count):
                leaves[rows[begin + u], t] = at[u]


@njit(cache=True, nogil=True)
def find_paths(X, tree_start, nodes, missing_left, row_start, passed):
    """Write the nodes that each sample passes, numbered through the forest, from ``row_start[i]`` on; return none.

    With an empty `passed` only ``row_start[i + 1]``, the number of nodes of sample i, is written.
    """
    for i in range(X.shape[0]):
        place = row_start[i] if passed.size else 0
        for t in range(tree_start.size - 1):
            at = tree_start[t]
            while True:
                if passed.size:
                    passed[place] = at
                place += 1
                f = nodes[at]["feature"]
                if f < 0:
                    break
                x = X[i, f]
                right = missing_left[at] == 0 if x != x else x > nodes[at]["threshold"]
                at = tree_start[t] + nodes[at]["child"] + np.int64(right)
        if not passed.size:
            row_start[i + 1] = place
