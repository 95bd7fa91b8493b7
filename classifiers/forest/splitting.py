"""The best question that a node of a tree can ask: impurity, and the sweep over all thresholds of a feature.

Equations
---------
A node holds samples of weight n, T[k] of it in class k, with shares p[k] = T[k] / n. Its impurity is 0 if it is
pure, and largest if all classes are equally heavy::

    Gini index    G = 1 - sum_k p[k]^2                 two samples, drawn with replacement, differ in class
    entropy       H = - sum_k p[k] log p[k]            nats needed to tell the class of one sample

A split into children L and R lowers the impurity, weighted with the samples concerned, by (with the entropy
this is n times the *information gain*)::

    decrease = n I(node) - nL I(L) - nR I(R)           I = G or H

Written with the weights cL[k] and cR[k] of the classes in the children, S = sum_k T[k]^2, likewise SL and SR,
and g(c) = c log c with g(0) = 0::

    n G = n - S/n                    decrease = (SL/nL + SR/nR) - S/n
    n H = g(n) - sum_k g(T[k])       decrease = (HL + HR) - (sum_k g(T[k]) - g(n)),   HL = sum_k g(cL[k]) - g(nL)

The last term is the same for all splits of a node: the *score* in the first bracket is to be maximised. And it
need not be summed over the classes again and again. With the samples in ascending order of x[f], moving one of
weight w and class k from right to left changes one term on either side::

    SL += (cL[k] + w)^2 - cL[k]^2 = w (2 cL[k] + w)         SR -= w (2 cR[k] - w)

so all thresholds of a feature are tried in one sweep whose time does not depend on the number of classes. With
whole weights (bootstrap counts) the sums are exact integers, and equal splits score exactly equal.

Worked example
--------------
One feature, five samples; T = (3, 2), n = 5, S = 9 + 4 = 13, S/n = 2.6, Gini index 1 - 13/25 = 0.48::

    x           1         2         3         4         5
    class       A         A         B         A         B
    threshold       1.5       2.5       3.5       4.5
    SL/nL           1/1       4/2       5/3      10/4
    SR/nR           8/4       5/3       2/2       1/1
    score           3         3.67      2.67      3.5          best: 2.5, decrease 3.67 - 2.6 = 1.07

Missing values
--------------
NaN is a value of its own that may go either way. First it goes right: all thresholds between the other values,
and last "all values left, NaN right"; then it goes left from the start: the same thresholds again.

Bins
----
The fast version sorts bytes: the numbers of *bins*, in which neighbouring values share a number where a feature has
more than 255 of them. Bins serve to compare features, not to place thresholds. A node of the fast version does this:

1. It scores each feature by the thresholds between bins. Where all its samples share one bin of a feature, it scores
   all thresholds between their values.
2. It takes the best feature, and scores the thresholds between the values of the two bins beside the cut as well
   (`look_closer`), unless each of the two stands for a single value or holds samples of a single class: then no
   threshold inside them scores more than the cuts at their ends (Fayyad and Irani 1992).
3. The threshold lies midway between the two values of the node that it separates.

So a class of few samples above a limit is cut off at the limit, wherever the bins end, and a tree can tell apart all
samples that differ. With one bin for each value the rules are those of the exact algorithm.

Cost
----
Sorting: m log2(m) comparisons for the m samples of the node; then the sweep: about 10 operations a sample (with
the entropy four logarithms more), and no loop over the classes.

Pitfalls
--------
* Recomputing the impurity of both children at each threshold: right, and K times slower with K classes.
* Cutting between samples instead of between distinct values: equal values cannot be told apart.
* A midpoint rounded to float32 may equal the upper value, and the children would not be those that were scored.
* Infinity as threshold of "all values left": a file of numbers should not hold it. The largest float32 does.

Sources: Breiman, Friedman, Olshen and Stone 1984, Classification and regression trees, chapters 2 and 4; Twala,
Jones and Hand 2008, Pattern Recognition Letters 29:950 (missing values as a value of their own); Fayyad and Irani
1992, Machine Learning 8:87 (the best thresholds lie between classes).
"""
from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

LARGEST = float(np.finfo(np.float32).max)  # every value is <= this threshold


class Split(NamedTuple):
    """One question that a node may ask; `score` is to be maximised."""

    score: float
    feature: int
    threshold: float
    missing_left: bool


# `added(c, w)` is the change of a class's term when its weight c grows by w (w < 0: shrinks); `side(S, n)` is
# what one child contributes to the score.

def _g(c: float) -> float:
    return c * math.log(c) if c > 0 else 0.0  # rounding may leave a little less than nothing of a class


CRITERIA: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], float]]] = {
    "gini": (lambda c, w: w * (2 * c + w), lambda S, n: S / n),
    "entropy": (lambda c, w: _g(c + w) - _g(c), lambda S, n: S - _g(n)),
}


def node_sums(samples: list[int], codes: list[int], weights: list[Any],
              criterion: str = "gini") -> tuple[dict[int, Any], Any, Any]:
    """Return what is known of a node before it is split.

    Parameters
    ----------
    samples : list of int
        The samples in the node, ascending.
    codes : list of int
        The class of every sample of the training set.
    weights : list of int or float
        The weight of every sample.
    criterion : str
        "gini" or "entropy".

    Returns
    -------
    T : dict
        Weight of each class, in order of first appearance.
    n : int or float
        Weight of all samples.
    S : int or float
        Sum of the criterion's terms: T[k]^2, or T[k] log T[k].

    Examples
    --------
    >>> node_sums([0, 1, 2, 3, 4], [0, 0, 1, 0, 1], [1, 1, 1, 1, 1])
    ({0: 3, 1: 2}, 5, 13)
    """
    added, _ = CRITERIA[criterion]
    T: dict[int, Any] = {}
    n = S = 0  # added up in loops: sum() rounds floats in its own way since Python 3.12, kernels do not
    for i in samples:
        T[codes[i]] = T.get(codes[i], 0) + weights[i]
        n += weights[i]
    for total in T.values():
        S += added(0, total)
    return T, n, S


def midpoint(v: float, above: float) -> float:
    """Return the float32 midway between two float32 values, or v itself if rounding would reach `above`."""
    middle = float(np.float32(v + (above - v) / 2))
    return middle if middle < above else v


def candidates(x: list[float], feature: int, samples: list[int], codes: list[int], weights: list[Any],
               criterion: str = "gini", min_samples_leaf: int = 1) -> Iterator[Split]:
    """Try all splits of a node on one feature.

    Parameters
    ----------
    x : list of float
        The feature's value in every sample of the training set.
    feature : int
        Its number.
    samples, codes, weights, criterion
        The same as in `node_sums`.
    min_samples_leaf : int
        Smallest number of distinct samples in a child.

    Yields
    ------
    Split
        In the order in which the first of equal scores wins.

    Examples
    --------
    The worked example:

    >>> for split in candidates([1, 2, 3, 4, 5], 0, [0, 1, 2, 3, 4], [0, 0, 1, 0, 1], [1, 1, 1, 1, 1]):
    ...     print(f"{split.threshold}: {split.score:.2f}")
    1.5: 3.00
    2.5: 3.67
    3.5: 2.67
    4.5: 3.50
    """
    added, side = CRITERIA[criterion]
    known = sorted((i for i in samples if not math.isnan(x[i])), key=lambda i: x[i])  # stable: equals keep order
    missing = [i for i in samples if math.isnan(x[i])]
    for missing_left in [False, True] if missing else [False]:
        order = missing + known if missing_left else known + missing
        cR, n, SR = node_sums(samples, codes, weights, criterion)
        cL, nL, SL = dict.fromkeys(cR, 0), 0, 0
        for moved, (i, following) in enumerate(itertools.pairwise(order), start=1):
            k, w = codes[i], weights[i]
            SL, SR = SL + added(cL[k], w), SR + added(cR[k], -w)
            cL[k], cR[k], nL = cL[k] + w, cR[k] - w, nL + w
            if x[i] < x[following]:
                threshold = midpoint(x[i], x[following])
            elif math.isnan(x[following]) and not math.isnan(x[i]):
                threshold = LARGEST  # all values left, the missing ones alone right
            else:
                continue  # the threshold cannot lie between equal values, nor beside a missing one on the left
            # With weights of very different size rounding may leave nothing on the right: no split either.
            if min_samples_leaf <= moved <= len(order) - min_samples_leaf and n - nL > 0:
                yield Split(side(SL, nL) + side(SR, n - nL), feature, threshold, missing_left)


def look_closer(split: Split, x: list[float], bins: list[float], samples: list[int], codes: list[int],
                weights: list[Any], criterion: str = "gini", min_samples_leaf: int = 1) -> Split:
    """Move a cut between two bins to the best threshold between the values of these two.

    Parameters
    ----------
    split : Split
        A cut that `candidates` found in `bins`: its threshold lies between two numbers of bins.
    x, bins : list of float
        The feature's value, and the number of its bin, in every sample of the training set.
    samples, codes, weights, criterion, min_samples_leaf
        The same as in `candidates`.

    Returns
    -------
    Split
        Its threshold lies between two values.

    Examples
    --------
    Two bins of three values; the cut between them leaves one sample of class 1 on the left:

    >>> x, bins = [1, 2, 3, 4, 5, 6], [0, 0, 0, 1, 1, 1]
    >>> cut, = candidates(bins, 0, [0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 1, 1], [1] * 6)
    >>> look_closer(cut, x, bins, [0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 1, 1], [1] * 6)
    Split(score=6.0, feature=0, threshold=2.5, missing_left=False)
    """
    known = [i for i in samples if not math.isnan(x[i])]
    if split.threshold == LARGEST:
        return split
    below = max(bins[i] for i in known if bins[i] <= split.threshold)
    above = min(bins[i] for i in known if bins[i] > split.threshold)
    low = max((x[i] for i in known if bins[i] < below), default=0)
    high = min((x[i] for i in known if bins[i] > above), default=0)
    lowest, highest = max(x[i] for i in known if bins[i] == below), min(x[i] for i in known if bins[i] == above)
    several = [len({v for v, b in zip(x, bins) if b == near}) > 1 and
               len({codes[i] for i in known if bins[i] == near}) > 1 for near in (below, above)]
    if not any(several):
        return split._replace(threshold=midpoint(lowest, highest))
    near = [low if b < below else high if b > above else v for v, b in zip(x, bins)]
    return max(candidates(near, split.feature, samples, codes, weights, criterion, min_samples_leaf),
               key=lambda found: found.score)
