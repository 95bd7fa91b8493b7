"""Walking samples down trees, fast.

A walk waits: it must know where a node lies before it can ask for it, and each comparison before the next. So sixteen
samples walk down the same tree side by side, and the processor works on one while the others wait. A step has no branch
that could be guessed wrong: the children are neighbours, ``child + (x > threshold)`` is one of them, and a leaf is its
own child, so that a sample that has arrived may go on walking. Whether all have arrived is asked every fourth step.

A forest of 400 trees, 100 MB, is in no cache, and walks would fetch its lines one by one, in an order that nothing can
foresee. So each tree is first *unpacked*: read through in order, which the processor foresees, into three arrays that
stay in the second-level cache, and in which a leaf is written as its own child. For that samples come in large blocks.

Votes for pure leaves are counted in 16 bits, a quarter of what the probabilities take, and so stay in the cache, too;
the shares of impure leaves are added to the probabilities at once. Each thread has blocks of its own and takes the
trees in their order, so the sums do not depend on the number of threads.

Samples with missing values take their way one by one: where they go is in an array that others never touch.

Nothing here checks an index: trees that were grown here need no check, trees from a file have passed `Ensemble.check`.
"""
from __future__ import annotations

import numpy as np

from minicnn.plumbing.compiled import njit

ABREAST = 16
FULL = 2**16 - 1    # votes that 16 bits hold
UNASKED = 4         # steps before it is asked who has arrived
FEATURE, THRESHOLD, CHILD = 0, 1, 2     # words of a node


@njit(cache=True, nogil=True)
def views(nodes):
    """Return the nodes (M,) as words (M, 4): once as integers, once as floats."""
    return nodes.view(np.int32).reshape(-1, 4), nodes.view(np.float32).reshape(-1, 4)


@njit(cache=True, nogil=True)
def _unpack(words, thresholds, feature, threshold, child):
    """Write the nodes of a tree to three arrays; a leaf asks whether feature 0 is above infinity, and is its child."""
    for node in range(words.shape[0]):
        f = words[node, FEATURE]
        feature[node] = f if f >= 0 else np.int32(0)
        threshold[node] = thresholds[node, THRESHOLD] if f >= 0 else np.float32(np.inf)
        child[node] = words[node, CHILD] if f >= 0 else np.int32(node)


@njit(cache=True, nogil=True)
def _walk_abreast(X, words, feature, threshold, child, at):
    """Write to `at` the leaves of the samples X (ABREAST, D); node 0 is the root."""
    for u in range(ABREAST):
        at[u] = 0
    walking = True
    while walking:
        for _ in range(UNASKED):
            for u in range(ABREAST):
                node = np.uint32(at[u])
                at[u] = child[node] + np.int32(X[u, np.uint32(feature[node])] > threshold[node])
        walking = False
        for u in range(ABREAST):
            walking |= words[np.uint32(at[u]), FEATURE] >= 0


@njit(cache=True, nogil=True)
def walk_alone(x, words, thresholds, missing_left):
    """Return the leaf of sample x (D,), which may have missing values."""
    at = np.int64(0)
    while words[at, FEATURE] >= 0:
        v = x[words[at, FEATURE]]
        right = missing_left[at] == 0 if v != v else v > thresholds[at, THRESHOLD]
        at = np.int64(words[at, CHILD]) + np.int64(right)
    return at


@njit(cache=True, nogil=True)
def _is_complete(X):
    """Return whether X (N, D) has no missing values."""
    for x in X.reshape(-1):
        if x != x:
            return False
    return True


@njit(cache=True, nogil=True)
def _space(tree_start):
    """Return arrays to unpack any of the trees into."""
    nodes = 0
    for t in range(tree_start.size - 1):
        nodes = max(nodes, tree_start[t + 1] - tree_start[t])
    return np.empty(nodes, np.int32), np.empty(nodes, np.float32), np.empty(nodes, np.int32)


@njit(cache=True, nogil=True)
def _leaves_of_tree(X, complete, nodes, missing_left, feature, threshold, child, leaves):
    """Write to `leaves` (N,) the leaf of each of the samples X (N, D) in one tree."""
    words, thresholds = views(nodes)
    together = len(X) - len(X) % ABREAST if complete else 0
    if together:
        _unpack(words, thresholds, feature, threshold, child)
    for i in range(0, together, ABREAST):
        _walk_abreast(X[i:i + ABREAST], words, feature, threshold, child, leaves[i:i + ABREAST])
    for i in range(together, len(X)):
        leaves[i] = walk_alone(X[i], words, thresholds, missing_left)


@njit(cache=True, nogil=True)
def add_leaf(child, first_leaf, leaf_start, leaf_class, leaf_weight, proba):
    """Add to `proba` (K,) what the impure leaf `child` of the tree whose first one is `first_leaf` says."""
    total = 0.0
    for e in range(leaf_start[first_leaf + child], leaf_start[first_leaf + child + 1]):
        total += np.float64(leaf_weight[e])
    for e in range(leaf_start[first_leaf + child], leaf_start[first_leaf + child + 1]):
        proba[leaf_class[e]] += np.float64(leaf_weight[e]) / total


@njit(cache=True, nogil=True)
def add_votes(X, tree_start, nodes, missing_left, impure_start, leaf_start, leaf_class, leaf_weight, proba):
    """Add to `proba` (N, K) the class probabilities that all trees give to the samples X (N, D)."""
    complete = _is_complete(X)
    feature, threshold, child = _space(tree_start)
    leaves = np.empty(len(X), np.int32)
    votes = np.zeros(proba.shape, np.uint16)
    for t in range(tree_start.size - 1):
        tree = nodes[tree_start[t]:tree_start[t + 1]]
        _leaves_of_tree(X, complete, tree, missing_left[tree_start[t]:], feature, threshold, child, leaves)
        for i in range(len(X)):
            label = np.int64(tree[leaves[i]]["child"])
            if label < 0:
                votes[i, -1 - label] += np.uint16(1)
            else:
                add_leaf(label, impure_start[t], leaf_start, leaf_class, leaf_weight, proba[i])
        if (t + 1) % FULL == 0 or t == tree_start.size - 2:
            for i in range(len(X)):
                for k in range(proba.shape[1]):
                    proba[i, k] += votes[i, k]
                    votes[i, k] = 0


@njit(cache=True, nogil=True)
def find_leaves(X, tree_start, nodes, missing_left, leaves):
    """Write to `leaves` (N, T) the leaf, numbered within its tree, of each sample X (N, D) in each tree."""
    complete = _is_complete(X)
    feature, threshold, child = _space(tree_start)
    found = np.empty(len(X), np.int32)
    for t in range(tree_start.size - 1):
        _leaves_of_tree(X, complete, nodes[tree_start[t]:tree_start[t + 1]], missing_left[tree_start[t]:], feature,
                        threshold, child, found)
        for i in range(len(X)):
            leaves[i, t] = found[i]


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
