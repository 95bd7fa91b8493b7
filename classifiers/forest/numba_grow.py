"""Growing a tree fast: the same tree, node for node, as `classifiers.forest.growing` grows in plain Python.

What a forest costs is looking values up: about 25 levels, at each of them every sample asked for some dozens of
features that lie anywhere in the matrix. So:

* Values are replaced by the number of their bin, one byte instead of four (`classifiers.forest.binning`), a row of
  the matrix for each feature. The samples stand sorted by class, so that the few classes left in a small node lie
  close together and share cache lines.
* The samples of a node are a range of one index array, which a split partitions in place. Depth first, the range
  of a small node has just been used by its parent. Nothing is allocated while a tree grows.
* In small nodes the features are looked up eight at a time before the first is judged, so that the processor waits
  for many fetches at once instead of for each in turn.
* A cut that leaves two pure children cannot be beaten: the node's other features are drawn but not judged. In the
  many nodes of two to ten samples that is most of the work.
* Real values, four bytes each, are looked up only for the best feature of a node, in the two bins beside its cut, and
  for features of which all samples share a bin. That costs about a tenth of a fit.
* A node without a vector of classes: classes are numbered anew in each node as they appear, so that no loop runs
  over all classes of the data, however many there are.

`grow` returns after so many samples looked at, and goes on when called again: Python gets a turn every tenth of a
second, in which Ctrl-C can be heard.

What each is worth, in ms a tree on one core (Zen 5, 25,000 plankton images, 768 features of CNN1's layer 2, 27 tried in
a node; scikit-learn 1.9 takes 514)::

    bins in bytes, scores in O(1), partition in place                      97
    the lowest bin neither sorted nor swept (`numba_split`)                70
    stop at two pure children                                              64
    eight features looked up together                                      57
    samples sorted by class                                                53
"""
from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from classifiers.forest.generator import below
from classifiers.forest.numba_split import sort_samples, spread, sweep, sweep_integers, sweep_spread
from classifiers.forest.tree import NODE
from minicnn.plumbing.compiled import njit

GROUP = 8           # features looked up together ...
GROUPED = 1024      # ... in nodes of at most this many samples, where the results stay in the first-level cache
LARGEST = np.finfo(np.float32).max
PACKED = 0xFFFF     # classes and weights up to this are packed into four bytes


class Workspace(NamedTuple):
    """Arrays that trees grow in, one after another; n samples, D features, K classes, B bins at most."""

    index: Any          # (n,) uint32: samples, node after node; klass and weight are moved with it
    klass: Any          # (n,) int32
    weight: Any         # (n,) int32 or float64
    spare_index: Any    # (n,), likewise the next two: the right half of a partition
    spare_class: Any
    spare_weight: Any
    local_class: Any    # (n,) int32: classes numbered by appearance in the node
    item: Any           # (n,) uint32: local class and weight in four bytes
    key: Any            # (max(n, GROUP * GROUPED),) uint8 or uint32: bins of the features looked up
    items: Any          # the same extent: their items
    sorted_key: Any     # (n,)
    sorted_item: Any    # (n,)
    order: Any          # (n,) int64
    fine: Any           # (n,) uint32: keys of one feature whose bins were looked into
    member: Any         # (n,) int64: its samples there
    value: Any          # (n,) float32: their values
    bucket: Any         # (max(B + 2, n + 4, 256),) int64
    counts: Any         # (GROUP,) int64: samples above bin 0 of each feature looked up
    number: Any         # (K,) int32: local number of each class, -1 between nodes
    label: Any          # (K,) int32: class of each local number
    total: Any          # (K,) int64 or float64: weights of the local classes
    left: Any           # (K,)
    right: Any          # (K,)
    perm: Any           # (D,) int32: the urn that features are drawn from
    stack: Any          # (n + 2, 4) int64: begin, end, node, depth
    nodes: Any          # (2 n,) NODE, and what follows as in `classifiers.forest.tree`
    missing_left: Any   # (2 n,) uint8
    leaf_start: Any     # (n + 1,) int64
    leaf_class: Any     # (n,) int32
    leaf_weight: Any    # (n,) float32
    importances: Any    # (D,) float64
    progress: Any       # (4,) int64: height of the stack, nodes, impure leaves, their entries


def workspace(n: int, bins: Any, n_classes: int, n_bins: int, exact_weights: bool) -> Workspace:
    """Allocate for trees of at most `n` distinct samples; `bins` (D, N) tells the type of keys."""
    weight, sums = (np.int32, np.int64) if exact_weights else (np.float64, np.float64)
    extent = max(n, GROUP * GROUPED)

    def array(size: int, dtype: Any) -> Any:
        return np.empty(size, dtype)

    return Workspace(
        array(n, np.uint32), array(n, np.int32), array(n, weight), array(n, np.uint32), array(n, np.int32),
        array(n, weight), array(n, np.int32), array(n, np.uint32), array(extent, bins.dtype),
        array(extent, np.uint32), array(n + 1, bins.dtype), array(n, np.uint32), array(n, np.int64),
        array(n, np.uint32), array(n, np.int64), array(n, np.float32), array(max(n_bins + 2, n + 4, 256), np.int64),
        array(GROUP, np.int64), np.full(n_classes, -1, np.int32),
        array(n_classes, np.int32), array(n_classes, sums), array(n_classes, sums), array(n_classes, sums),
        array(len(bins), np.int32), np.empty((n + 2, 4), np.int64), array(2 * n, NODE), array(2 * n, np.uint8),
        array(n + 1, np.int64), array(n, np.int32), array(n, np.float32), np.empty(len(bins)), array(4, np.int64))


@njit(cache=True, nogil=True)
def plant(codes, weights, work):
    """Begin a tree: its root holds the samples (N,) that have a weight."""
    m = 0
    for i in range(weights.size):
        if weights[i] != 0:
            work.index[m] = i
            work.klass[m] = codes[i]
            work.weight[m] = weights[i]
            m += 1
    for f in range(work.perm.size):
        work.perm[f] = f
        work.importances[f] = 0.0
    for place, value in enumerate((0, m, 0, 0)):
        work.stack[0, place] = value
    for place, value in enumerate((1, 1, 0, 0)):
        work.progress[place] = value
    work.leaf_start[0] = 0


@njit(cache=True, nogil=True)
def _count_classes(a, m, packed, work):
    """Number the classes of the node's samples, add up their weights; return how many, and the weight of all."""
    work.total[0] = 0
    K = np.int64(0)
    n = work.total[0]       # a zero of the type of the sums
    for i in range(m):
        c = work.klass[a + i]
        k = work.number[c]
        if k < 0:
            k = K
            work.number[c] = K
            work.label[K] = c
            work.total[K] = 0
            K += 1
        w = work.weight[a + i]
        work.local_class[i] = k
        work.total[k] += w
        n += w
        if packed:
            work.item[i] = np.uint32(k) | np.uint32(np.uint32(w) << np.uint32(16))
    for k in range(K):
        work.number[work.label[k]] = -1
    return K, n


@njit(cache=True, nogil=True)
def _look_up(column, index, item, keys, items):
    """Copy the bins of the samples `index` (m,), and their items, leaving out bin 0; return how many were copied."""
    t = np.int64(0)
    for i in range(index.size):
        k = column[index[i]]
        keys[t] = k
        items[t] = item[i]
        t += np.int64(k != 0)
    return t


@njit(cache=True, nogil=True)
def _partition(key, a, m, low, missing, missing_left, work):
    """Bring the samples that go left to the front of the node's range, all in their order; return how many."""
    t = a
    u = 0
    for i in range(a, a + m):
        k = key[i - a]
        j, c, w = work.index[i], work.klass[i], work.weight[i]
        # Both places are written, and the counter of one moves on: a branch here would be guessed wrong often.
        work.spare_index[u], work.spare_class[u], work.spare_weight[u] = j, c, w
        work.index[t], work.klass[t], work.weight[t] = j, c, w
        goes_left = 1 if k <= low or (missing_left and k == missing) else 0
        t += goes_left
        u += 1 - goes_left
    for i in range(u):
        work.index[t + i] = work.spare_index[i]
        work.klass[t + i] = work.spare_class[i]
        work.weight[t + i] = work.spare_weight[i]
    return t - a


@njit(cache=True, nogil=True)
def _sweep_values(f, first, last, bins, missing, a, m, K, integers, total, score_of_all, n, min_leaf, entropy, work):
    """Return the best cut of feature f, as `sweep` does, bins `first` to `last` in ``work.fine`` spread out."""
    t = spread(work.fine[:m], work.index[a:a + m], bins.samples[:, f], bins.order, missing, first, last, work.member,
               work.value, work.order)
    if integers:
        score, low, high = sweep_spread(work.fine, work.item, m, t, total, score_of_all, n, min_leaf, work.right[:K],
                                        work.member, work.order)
        return score, low, high, False
    sort_samples(work.fine, m, m + 3, work.order, work.bucket)
    return sweep(work.fine, work.local_class, work.weight[a:a + m], work.order, m, m + 2, K, total, score_of_all, n,
                 min_leaf, entropy, work.left, work.right)


@njit(cache=True, nogil=True)
def _is_mixed(key, m, klass, bin_):
    """Return whether the samples with the key `bin_` are of several classes: only then may a cut inside be better."""
    first = np.int32(-1)
    for i in range(m):
        if key[i] == bin_:
            if first >= 0 and first != klass[i]:
                return True
            first = klass[i]
    return False


@njit(cache=True, nogil=True)
def _ends(key, low, high, values, rows, index):
    """Return the highest value among the samples with key `low`, and the lowest among those with key `high`."""
    below, above = np.float32(-np.inf), np.float32(np.inf)
    for i in range(index.size):
        if key[i] == low:
            below = max(below, values[rows[index[i]]])
        elif key[i] == high:
            above = min(above, values[rows[index[i]]])
    return below, above


@njit(cache=True, nogil=True)
def grow(bins, missing, packed, entropy, state, max_features, min_split, min_leaf, max_depth, budget, work):
    """Grow the planted tree until it is finished (``work.progress[0] == 0``) or `budget` values were looked up.

    Parameters
    ----------
    bins : Bins
        The samples, see `classifiers.forest.binning`.
    missing : int
        The bin of missing values.
    packed : bool
        Bins are bytes, weights whole, classes and weights fit into 16 bits.
    entropy : bool
        Instead of the Gini index.
    state : array (1,) uint64
        State of the tree's random generator, changed in place.
    max_features, min_split, min_leaf, max_depth : int
        The same as in `grow_loops`.
    budget : int
        Values to look up before returning.
    work : Workspace
        Holds the planted tree, and at the end the grown one.
    """
    height, n_nodes, n_leaves, n_entries = work.progress[0], work.progress[1], work.progress[2], work.progress[3]
    total, perm, nodes = work.total, work.perm, work.nodes
    mixed = np.zeros(perm.size, np.bool_)       # features with a bin that holds several values
    for f in range(perm.size):
        for b in range(bins.start[f], bins.start[f + 1]):
            mixed[f] |= bins.low[b] < bins.high[b]
    integers = packed and not entropy
    codes, start, low, high, incomplete = bins.codes, bins.start, bins.low, bins.high, bins.incomplete
    while height > 0 and budget > 0:
        height -= 1
        a, b, node, depth = work.stack[height, 0], work.stack[height, 1], work.stack[height, 2], work.stack[height, 3]
        m = b - a
        index = work.index[a:b]
        budget -= m
        K, n = _count_classes(a, m, packed, work)
        S = n - n
        for k in range(K):
            S += total[k] * total[k]
        entropy_sum = 0.0
        if entropy:
            for k in range(K):
                entropy_sum += total[k] * math.log(total[k])
        best = -np.inf
        best_feature, best_low, best_high, best_missing_left, best_coarse = 0, 0, 0, False, True
        lim = perm.size if K > 1 and m >= min_split and m >= 2 * min_leaf and depth < max_depth else 0
        visited = 0
        while lim > 0 and (visited < max_features or best == -np.inf):
            # Drawn without replacement: a feature drawn is swapped behind those still in the urn.
            drawn = min(GROUP if m <= GROUPED else 1, max(max_features - visited, 1), lim)
            for _ in range(drawn):
                r = below(state, lim)
                lim -= 1
                perm[r], perm[lim] = perm[lim], perm[r]
            visited += drawn
            budget -= drawn * m
            if integers and best == n:    # two pure children: nothing scores higher
                continue
            if integers:
                for g in range(drawn):
                    f = perm[lim + drawn - 1 - g]
                    if not incomplete[f]:
                        work.counts[g] = _look_up(codes[f], index, work.item, work.key[g * m:(g + 1) * m],
                                                  work.items[g * m:(g + 1) * m])
            for g in range(drawn):
                f = perm[lim + drawn - 1 - g]
                if integers and not incomplete[f]:
                    above = work.counts[g]
                    if best == n or (above == 0 and low[start[f]] == high[start[f]]):
                        continue
                    span = slice(g * m, g * m + above)
                    score, below_cut, above_cut = sweep_integers(
                        work.key[span], work.items[span], above, m, K, total, S, n, min_leaf, work.right,
                        work.sorted_key, work.sorted_item, work.bucket)
                    missing_left = False
                else:
                    key = work.key[:m]
                    for i in range(m):
                        key[i] = codes[f, index[i]]
                    n_bins = missing + 1 if incomplete[f] else start[f + 1] - start[f]
                    sort_samples(key, m, n_bins, work.order, work.bucket)
                    score, below_cut, above_cut, missing_left = sweep(
                        key, work.local_class, work.weight[a:b], work.order, m, missing, K, total,
                        entropy_sum if entropy else S, n, min_leaf, entropy, work.left, work.right)
                coarse = score > -np.inf
                if not coarse and mixed[f]:
                    for i in range(m):
                        work.fine[i] = codes[f, index[i]]
                    score, below_cut, above_cut, missing_left = _sweep_values(
                        f, 0, missing - 1, bins, missing, a, m, K, integers and not incomplete[f], total,
                        entropy_sum if entropy else S, n, min_leaf, entropy, work)
                if score > best:
                    best_coarse = coarse
                    best, best_feature = score, f
                    best_low, best_high, best_missing_left = below_cut, above_cut, missing_left
        nodes[node]["samples"] = m
        work.missing_left[node] = 0
        if best == -np.inf:
            nodes[node]["feature"] = -1
            nodes[node]["threshold"] = n
            if K == 1:
                nodes[node]["child"] = -1 - work.label[0]
                continue
            nodes[node]["child"] = n_leaves
            by_label = np.argsort(work.label[:K])
            for k in by_label:
                work.leaf_class[n_entries] = work.label[k]
                work.leaf_weight[n_entries] = total[k]
                n_entries += 1
            n_leaves += 1
            work.leaf_start[n_leaves] = n_entries
            continue
        f = best_feature
        key = work.fine
        for i in range(m):
            key[i] = codes[f, index[i]]
        key_of_missing = missing
        first, last = start[f] + best_low, start[f] + best_high     # the bins beside the cut
        if not best_coarse:
            spread(key[:m], index, bins.samples[:, f], bins.order, missing, 0, missing - 1, work.member, work.value,
                   work.order)
            key_of_missing = m + 2
        elif best_high != missing and best < n and (
                (low[first] < high[first] and _is_mixed(key, m, work.local_class, best_low)) or
                (low[last] < high[last] and _is_mixed(key, m, work.local_class, best_high))):
            best, best_low, best_high, best_missing_left = _sweep_values(
                f, best_low, best_high, bins, missing, a, m, K, integers and not incomplete[f], total,
                entropy_sum if entropy else S, n, min_leaf, entropy, work)
            key_of_missing = m + 2
        unseen = True
        if incomplete[f]:
            for i in range(m):
                unseen = unseen and key[i] != key_of_missing
        if best_high == key_of_missing:
            threshold = LARGEST
        else:
            below_cut, above_cut = _ends(key, best_low, best_high, bins.samples[:, f], bins.order, index)
            value, upper = np.float64(below_cut), np.float64(above_cut)
            threshold = np.float32(value + (upper - value) / 2)
            if threshold >= upper:
                threshold = np.float32(value)
        n_left = _partition(key, a, m, best_low, key_of_missing, best_missing_left, work)
        nodes[node]["feature"] = best_feature
        nodes[node]["threshold"] = threshold
        nodes[node]["child"] = n_nodes
        work.missing_left[node] = (n_left >= m - n_left) if unseen else best_missing_left
        work.importances[best_feature] += best - (entropy_sum - n * math.log(n) if entropy else S / n)
        for place, values in enumerate(((a + n_left, b, n_nodes + 1, depth + 1), (a, a + n_left, n_nodes, depth + 1))):
            work.stack[height + place, 0], work.stack[height + place, 1] = values[0], values[1]
            work.stack[height + place, 2], work.stack[height + place, 3] = values[2], values[3]
        height += 2
        n_nodes += 2
    work.progress[0], work.progress[1], work.progress[2], work.progress[3] = height, n_nodes, n_leaves, n_entries
