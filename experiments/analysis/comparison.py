"""How two classifiers are compared: mean and spread over seeds, and McNemar's test on the test images they share."""
from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

import numpy as np
from scipy.stats import binomtest


class Spread(TypedDict):
    """What several seeds found: their values, the mean, and the standard deviation (None of a single value)."""

    values: list[float]
    mean: float
    std: float | None


class Comparison(TypedDict):
    """McNemar's test of two classifiers: see `mcnemar`."""

    difference: float
    only_a: int
    only_b: int
    p: float


class Row(TypedDict):
    """A cell of the paper beside ours: what it is, the number or text that the paper prints (or None), and ours."""

    what: str
    paper: float | str | None
    ours: Spread


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> Comparison:
    """Test whether two classifiers err equally often on the same images.

    Images that both get right, or both wrong, say nothing about who is better. Of the others, a fair coin would give
    each classifier half: the p-value is that of the exact two-sided binomial test.

    Parameters
    ----------
    right_a, right_b : bool arrays (N,)
        Whether each image was classified rightly.

    Returns
    -------
    Comparison
        A dict of the ``difference`` of accuracies a - b; ``only_a`` and ``only_b``, the numbers of images that only one
        gets right; and ``p``.

    References
    ----------
    Q. McNemar 1947, "Note on the sampling error of the difference between correlated proportions"; the exact form
    is that recommended by T. Dietterich 1998 for classifiers trained once.

    Examples
    --------
    Nine to one: 2 (1 + 10) / 2^10 is the probability of a split at least so uneven.

    >>> a, b = np.array([True] * 9 + [False] * 3), np.array([False] * 9 + [True] + [False] * 2)
    >>> mcnemar(a, b)
    {'difference': 0.6666666666666666, 'only_a': 9, 'only_b': 1, 'p': 0.021484375}
    """
    a, b = np.asarray(right_a, bool), np.asarray(right_b, bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return {"difference": float(a.mean() - b.mean()), "only_a": only_a, "only_b": only_b, "p": float(p)}


def spread(values: Iterable[float]) -> Spread:
    """Return the values, their mean, and their standard deviation (n - 1; None of a single one).

    Examples
    --------
    >>> spread([0.5, 0.7])
    {'values': [0.5, 0.7], 'mean': 0.6, 'std': 0.14142135623730948}
    """
    numbers = [float(value) for value in values]
    return {"values": numbers, "mean": float(np.mean(numbers)),
            "std": float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None}
