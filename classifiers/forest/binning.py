"""Binning: values replaced, once for the whole forest, by the number of the bin that they fall into.

A tree only asks whether a value lies above a threshold. Of a feature with at most `max_bins` distinct values every
value gets a bin of its own, and nothing is lost: the trees are those of the exact algorithm. Otherwise neighbouring
values share a bin, each with about as many samples as the others, and a value takes one byte instead of four.

Bins serve to compare features. The threshold itself is then sought between the values of the two bins beside the best
cut, and in a node whose samples share one bin between all of their values (`classifiers.forest.splitting` has the
rules). Without that a class of 128 among 60,000 samples, half as many as share a bin, would be found only half.

Equal values never fall into different bins, and frequent ones (the zero of a ReLU) take a bin for themselves, after
which the rest of the samples is shared out anew among the rest of the bins.

Example, four bins for twelve samples::

    value    0  0  0  0  0  0  0   1   2   3   4   5      sorted
    bin      0  0  0  0  0  0  0   1   1   2   2   3      12/4 = 3 a bin; zero takes 7; then 5/3 = 2 (rounded up) a bin

Each bin remembers its lowest and its highest value. A threshold lies midway between two values of the node, so that a
grown tree asks for real values and new samples need no binning. Missing values (NaN) have a bin of their own above all
others.

Cost: a sort of each feature; then a binary search for each value.

Source: Ke et al. 2017, LightGBM (NIPS), section 2, for histograms of features.
"""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed

from minicnn.plumbing.compiled import njit

BLOCK = 32  # features sorted together: their columns are copied from rows that are read only once


class Bins(NamedTuple):
    """The binned samples, a row for each feature, the values that the bins stand for, and the samples themselves."""

    codes: Any          # (D, N) uint8, or uint32 for exact thresholds
    start: Any          # (D + 1,) int64: bins start[f] to start[f + 1] are those of feature f
    low: Any            # (start[D],) float32: lowest value of each bin
    high: Any           # (start[D],) float32: highest
    incomplete: Any     # (D,) bool: features that have missing values
    samples: Any        # (N, D) float32: the values, in which a node looks where its bins are too coarse
    order: Any          # (N,) int64: codes[f, i] is the bin of samples[order[i], f]

    @property
    def missing(self) -> int:
        """The bin of missing values: the highest number that a code can be."""
        return int(np.iinfo(self.codes.dtype).max)


@njit(cache=True, nogil=True)
def cut_into_bins(values, max_bins, low, high):
    """Cut sorted values (n,) without NaN into at most `max_bins` bins; return how many, and write their ends."""
    n = values.size
    distinct = 0
    for i in range(n):
        if i == 0 or values[i] != values[i - 1]:
            distinct += 1
    B = 0
    held = 0            # samples in the open bin
    done = 0            # samples in the bins that are closed
    i = 0
    while i < n:
        j = i
        while j < n and values[j] == values[i]:
            j += 1
        bins_left = max_bins - B
        fair = (n - done + bins_left - 1) // bins_left
        if held > 0 and bins_left > 1 and (distinct <= max_bins or j - i >= fair):
            B += 1      # a frequent value does not share its bin with the one below it
            done += held
            held = 0
            bins_left -= 1
        if held == 0:
            low[B] = values[i]
        high[B] = values[i]
        held += j - i
        if bins_left > 1 and (distinct <= max_bins or held >= fair):
            B += 1
            done += held
            held = 0
        i = j
    return B + 1 if held > 0 else B


@njit(cache=True, nogil=True)
def encode(columns, high, start, first, missing, codes):
    """Write the bin of every value of `columns` (n features, N): the first bin whose highest value is not below it."""
    for f in range(columns.shape[0]):
        begin = start[first + f]
        B = start[first + f + 1] - begin
        for i in range(columns.shape[1]):
            x = columns[f, i]
            if x != x:
                codes[first + f, i] = missing
                continue
            b = 0
            step = 1
            while step < B:
                step *= 2
            # A binary search without a branch to be guessed: jump over bins that lie below x entirely.
            while step > 1:
                step //= 2
                jump = b + step
                b = jump if jump < B and high[begin + jump - 1] < x else b
            codes[first + f, i] = b


def _ends_of_block(X: Any, first: int, max_bins: int | None) -> list[tuple[Any, Any, bool]]:
    """Return the ends of the bins of each feature of a block, and whether it has missing values."""
    result = []
    for values in np.sort(np.ascontiguousarray(X[:, first:first + BLOCK].T), axis=1):
        known = values[:np.searchsorted(values, np.nan)]        # NaN is sorted behind everything else
        limit = len(known) if max_bins is None else max_bins
        low, high = np.empty((2, max(min(limit, len(known)), 1)), np.float32)
        B = cut_into_bins(known, limit, low, high) if len(known) else 0
        result.append((low[:B].copy(), high[:B].copy(), len(known) < len(values)))
    return result


def _encode_block(X: Any, first: int, order: Any, bins: Bins) -> None:
    columns = np.ascontiguousarray(X[:, first:first + BLOCK].T)[:, order]
    encode(columns, bins.high, bins.start, first, bins.missing, bins.codes)


def bin_samples(X: Any, max_bins: int | None, order: Any, n_jobs: int = 1) -> Bins:
    """Bin all features of `X`.

    Parameters
    ----------
    X : array (N, D) float32
        Samples; NaN is a missing value, infinity is not allowed.
    max_bins : int or None
        The largest number of bins of a feature, 2 to 255; None gives each distinct value a bin of its own.
    order : array (N,) integer
        The order in which samples stand in the result.
    n_jobs : int
        Threads.

    Returns
    -------
    Bins

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0], [0], [0], [0], [0], [0], [0], [1], [2], [3], [4], [5]], np.float32)
    >>> bins = bin_samples(X, 4, np.arange(12))
    >>> bins.codes
    array([[0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3]], dtype=uint8)
    >>> bins.low, bins.high
    (array([0., 1., 3., 5.], dtype=float32), array([0., 2., 4., 5.], dtype=float32))
    """
    N, D = X.shape
    firsts = range(0, D, BLOCK)
    with Parallel(n_jobs=n_jobs, backend="threading") as threads:
        ends = [end for block in threads(delayed(_ends_of_block)(X, first, max_bins) for first in firsts)
                for end in block]
        start = np.cumsum([0, *(len(low) for low, _, _ in ends)])
        codes = np.empty((D, N), np.uint8 if max_bins is not None else np.uint32)
        bins = Bins(codes, start, np.concatenate([low for low, _, _ in ends]),
                    np.concatenate([high for _, high, _ in ends]), np.array([gaps for _, _, gaps in ends]), X,
                    np.asarray(order, np.int64))
        threads(delayed(_encode_block)(X, first, order, bins) for first in firsts)
    return bins
