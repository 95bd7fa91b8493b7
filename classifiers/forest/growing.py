r"""Growing a tree of a random forest: exact CART as explicit loops.

A node asks one question, "is x[f] <= threshold?", and sends its samples left or right. The question is chosen
so that the classes are as little mixed in the two children as one question can make them
(`classifiers.forest.splitting` has the equations), and the children are treated alike until they are pure. A
forest grows each tree on another bootstrap sample and lets each node choose among a few features drawn at
random: single trees get worse by that, but different from each other, and their mean is better than any of them.

Equations
---------
*Bootstrap.* n draws with replacement from n samples: sample i gets as weight w[t, i] how often it was drawn for
tree t. It is never drawn with probability (1 - 1/n)^n, about 1/e = 37 %: then it is *out of bag*.

*Prediction.* The mean of the class shares p_t in the leaves that x reaches, over T trees; and, for a training
sample, over only those trees that have not seen it. This *out-of-bag* estimate is honest without a test set::

    p(k | x)        = 1/T   sum_t p_t(k | x)
    p_oob(k | x_i)  = mean of p_t(k | x_i) over the trees t with w[t, i] = 0

*Mean decrease in impurity.* A split of node s (weight n, impurity I) on feature f decreases the impurity by
n I(s) - nL I(L) - nR I(R). The importance of f is the sum over the splits that ask for f, as a share of the sum
over all splits; the forest takes the mean over its trees::

    importance(f) = 1/T  sum_t  sum_{s in t that ask for f} decrease(s) / sum_{s in t} decrease(s)

Worked example
--------------
The five samples of `classifiers.forest.splitting`. The best first threshold is 2.5 (score 3.67), and its left
child is pure. In the right one, B A B, the thresholds 3.5 and 4.5 both score 2; the first wins::

    x      1  2  3  4  5             0: x <= 2.5
    class  A  A  B  A  B            /           \
                               1: A, A          2: x <= 3.5           nodes get their numbers in pairs, when
    decreases                                   /          \          their parent is split
    0: 3.67 - 13/5 = 1.07                   3: B           4: x <= 4.5
    2: 2    -  5/3 = 0.33                                  /         \
    4: 2    -  2/2 = 1                                 5: A           6: B
    sum              2.4 = n G = 5 * 0.48: with pure leaves nothing of the impurity is left

Rules, to the letter
--------------------
The fast version grows the same tree, node for node, because both follow these:

* Samples of weight 0 are left out. Every node keeps its samples in ascending order of their index.
* A node is a leaf if it is pure, has fewer samples (distinct ones) than `min_samples_split` or than twice
  `min_samples_leaf`, lies at `max_depth`, or no feature can split it.
* Features are drawn without replacement until `max_features` are tried and at least one threshold was possible.
* The first of equal scores wins.
* Where training met no missing value, one goes to the child that got more samples, left if they are equal.
* Depth first, left before right, so that random numbers are drawn in one order.

Cost
----
Each level of the tree sorts n samples for each of `max_features` features, O(max_features n log n); there are
about log2(n) levels at best, n - 1 at worst. Memory: one index for each sample, and the nodes.

Pitfalls
--------
* Stopping after `max_features` features although all of them were constant in the node: leaves stay impure.
* Recursion: a tree of a few thousand unlucky levels overflows the call stack. Here the stack is a list.
* Decreases are larger for features with many distinct values, even random ones: these importances say what the
  trees used, not what they needed. Permuting the out-of-bag values of a feature is the remedy.

Where the paper uses it: as a classifier on the features that its networks have learnt, for 121 classes.

Sources: Breiman, Friedman, Olshen and Stone 1984, Classification and regression trees; Breiman 2001, Random
forests, Machine Learning 45:5; Durstenfeld 1964, Communications of the ACM 7:420 (drawing without replacement).
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from classifiers.forest.generator import FIXED_POINTS, below
from classifiers.forest.splitting import CRITERIA, Split, candidates, look_closer, node_sums
from classifiers.forest.tree import NODE, Tree


class Step(NamedTuple):
    """What was done at one node: told to the `observer` of `grow_loops`."""

    node: int
    depth: int
    samples: list[int]
    tried: list[Split]
    best: Split | None
    decrease: float
    left: list[int]
    right: list[int]


class Grown(NamedTuple):
    """A tree, and the decrease in impurity (n_features,) that each feature brought, not normalised."""

    tree: Tree
    importances: Any


def grow_loops(X: Any, codes: Any, weights: Any, n_classes: int, seed_state: Any, max_features: int,
               criterion: str = "gini", max_depth: int | None = None, min_samples_split: int = 2,
               min_samples_leaf: int = 1, observer: Callable[[Step], None] | None = None, bins: Any = None) -> Grown:
    """Grow one tree of a forest, one sample at a time.

    Parameters
    ----------
    X : array (N, D) float32
        Training samples; may hold NaN, but no infinity.
    codes : array (N,) integer
        Their classes, from 0 to `n_classes` - 1.
    weights : array (N,) int64 or float64
        How often each was drawn (`draw_bootstrap`), or any weight not below 0; 0 leaves a sample out.
    n_classes : int
        K; classes without a sample are fine.
    seed_state : array (1,) uint64
        State of the generator, see `classifiers.forest.generator`; changed in place.
    max_features : int
        Features that each node tries, 1 to D.
    criterion : str
        "gini" or "entropy".
    max_depth : int, optional
        No split at this depth; the root's is 0.
    min_samples_split : int
        Distinct samples that a node must have to be split.
    min_samples_leaf : int
        Distinct samples that each child must have.
    observer : callable, optional
        Called with a `Step` for every node, leaves too (see `classifiers.forest.replay`).
    bins : array (N, D) float, optional
        The bin of each value, NaN for a missing one: features are compared by bins, as in the fast version
        (`classifiers.forest.splitting` has the rules). By default they are compared by all their values.

    Returns
    -------
    tree : Tree
    importances : array (D,) float64
        Sum of the decreases in impurity of each feature's splits, weighted with the samples concerned.

    Raises
    ------
    ValueError
        Shapes that do not fit, infinite values, negative or no weights, a parameter out of range.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[1], [2], [3], [4], [5]], np.float32)
    >>> tree, importances = grow_loops(X, np.array([0, 0, 1, 0, 1]), np.ones(5, np.int64), n_classes=2,
    ...                                seed_state=np.array([2026], np.uint64), max_features=1)
    >>> tree
    Tree(node_count=7, n_leaves=4, max_depth=3)
    >>> tree.threshold.tolist(), tree.children_left.tolist()
    ([2.5, -2.0, 3.5, -2.0, 4.5, -2.0, -2.0], [1, -1, 3, -1, 5, -1, -1])
    >>> importances  # of one feature: the whole impurity, n G = 5 * 0.48
    array([2.4])
    """
    _check(X, codes, weights, n_classes, seed_state, criterion)
    n_features = X.shape[1]
    for name, value, low, high in (("max_features", max_features, 1, n_features), ("max_depth", max_depth, 0, None),
                                   ("min_samples_split", min_samples_split, 2, None),
                                   ("min_samples_leaf", min_samples_leaf, 1, None)):
        if value is not None and (value < low or (high is not None and value > high)):
            raise ValueError(f"{name}={value}: expected at least {low}" + (f", at most {high}" if high else ""))

    columns = X.T.tolist()  # Python's own numbers from here on: float32 becomes float64 without rounding
    binned = columns if bins is None else bins.T.tolist()
    codes, weights = codes.tolist(), weights.tolist()
    perm = list(range(n_features))
    importances = np.zeros(n_features)
    nodes: list[Any] = [None]
    goes_left = [0]
    leaf_start, leaf_class, leaf_weight = [0], [], []

    stack = [(0, [i for i, w in enumerate(weights) if w > 0], 0)]
    while stack:
        node, samples, depth = stack.pop()
        m = len(samples)
        T, n, S = node_sums(samples, codes, weights, criterion)

        # Draw features without replacement: swap each one drawn behind those that are still in the urn. The
        # urn's order is left over from the last node; every order is as good as another.
        tried: list[Split] = []
        may_split = len(T) > 1 and m >= max(min_samples_split, 2 * min_samples_leaf) and depth != max_depth
        visited, lim = 0, n_features if may_split else 0
        between_bins: set[int] = set()
        while lim > 0 and (visited < max_features or not tried):
            r = below(seed_state, lim)
            lim -= 1
            visited += 1
            f = perm[r]
            perm[r], perm[lim] = perm[lim], f
            found = list(candidates(binned[f], f, samples, codes, weights, criterion, min_samples_leaf))
            if found:
                between_bins.add(f)
            tried += found or candidates(columns[f], f, samples, codes, weights, criterion, min_samples_leaf)

        best, decrease, left, right = None, 0.0, [], []
        if tried:
            best = max(tried, key=lambda split: split.score)  # max returns the first of equals
            x = columns[best.feature]
            if bins is not None and best.feature in between_bins:
                best = look_closer(best, x, binned[best.feature], samples, codes, weights, criterion, min_samples_leaf)
            went_left = [best.missing_left if math.isnan(x[i]) else x[i] <= best.threshold for i in samples]
            left = [i for i, yes in zip(samples, went_left) if yes]
            right = [i for i, yes in zip(samples, went_left) if not yes]
            decrease = best.score - CRITERIA[criterion][1](S, n)
            importances[best.feature] += decrease
            child = len(nodes)
            nodes[node] = (best.feature, best.threshold, child, m)
            unseen = not any(math.isnan(x[i]) for i in samples)  # where a NaN goes was not learnt
            goes_left[node] = len(left) >= len(right) if unseen else best.missing_left
            nodes += [None, None]
            goes_left += [0, 0]
            stack += [(child + 1, right, depth + 1), (child, left, depth + 1)]  # the last one comes first
        elif len(T) == 1:
            nodes[node] = (-1, n, -1 - next(iter(T)), m)
        else:
            nodes[node] = (-1, n, len(leaf_start) - 1, m)
            leaf_class += sorted(T)
            leaf_weight += [T[k] for k in sorted(T)]
            leaf_start.append(len(leaf_class))
        if observer:
            observer(Step(node, depth, samples, tried, best, decrease, left, right))

    tree = Tree(np.array(nodes, NODE), np.array(goes_left, np.uint8), np.array(leaf_start, np.int64),
                np.array(leaf_class, np.int32), np.array(leaf_weight, np.float32), n_classes, n_features)
    return Grown(tree, importances)


def _check(X: Any, codes: Any, weights: Any, n_classes: int, seed_state: Any, criterion: str) -> None:
    if X.ndim != 2 or X.dtype != np.float32 or not X.size or np.isinf(X).any():
        raise ValueError(f"X is {X.dtype} of shape {X.shape}: expected float32 (samples, features), none infinite")
    if codes.shape != X.shape[:1] or codes.dtype.kind not in "iu" or codes.min() < 0 or codes.max() >= n_classes:
        raise ValueError(f"codes is {codes.dtype} of shape {codes.shape}: expected {len(X)} integers from 0 to "
                         f"n_classes - 1 = {n_classes - 1}")
    if weights.shape != X.shape[:1] or weights.dtype not in (np.int64, np.float64):
        raise ValueError(f"weights is {weights.dtype} of shape {weights.shape}: expected int64 or float64, one "
                         f"for each of {len(X)} samples")
    if not (np.isfinite(weights).all() and weights.min() >= 0 and weights.max() > 0):
        raise ValueError("weights: expected finite numbers not below 0, and one above")
    if seed_state.shape != (1,) or seed_state.dtype != np.uint64 or int(seed_state[0]) in FIXED_POINTS:
        raise ValueError(f"seed_state is {seed_state!r}: expected one uint64, none of {FIXED_POINTS}, which stay "
                         "as they are")
    if criterion not in CRITERIA:
        raise ValueError(f"criterion={criterion!r}: expected one of {sorted(CRITERIA)}")
