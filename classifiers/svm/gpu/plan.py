"""What a GPU does at the same time: parts of the Gram matrix that fit into its memory, and launches of many problems.

One-vs-one needs K[a, a], K[a, b] and K[b, b] for every pair of classes. If the matrix of all samples fits into the
memory of the device, it is one *part*, with every pair in it. If not, the classes are halved, and the pairs with them::

            left   right
          +------+------+        pairs within left, within right, and of one class of each: three parts, which are
     left |  1   |  2   |        halved again until the matrix of their samples fits. The second needs that of the
          +------+------+        samples of both halves. So entries of pairs within a half are computed for several
    right |  2   |  3   |        parts, about twice as many in all as the whole matrix has.
          +------+------+

One-vs-rest needs all rows over all samples for each of its problems, so there it is the whole matrix or nothing.

The problems of a part are sorted by size, the largest first, because a block that begins last should not be the one
that takes longest. They are divided by what a block needs: a problem of up to 512 samples is at home in the registers
of 128 threads, and so on up to 4,096; a larger one takes 1,024 threads and keeps its vectors in memory (see
``smo.cu``). Those of one kind go to the device together, as many as have room for their vectors.
"""
from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from classifiers.svm.theory.problems import coef_rows, pairs

__all__ = ["Launch", "Part", "Shape", "launches", "one_vs_one", "one_vs_rest", "side"]

_BYTES = 21             # of vectors for each sample of each problem: beta, F, its K[t, t], and which sets it is in
_SHARE = 0.8            # of the memory that is free: the rest is for the workspace of cuBLAS, the kernels, and others
_SAMPLES = 1 << 25      # of all problems of a launch together: 700 MB of vectors


class Shape(NamedTuple):
    """How a block of threads is made: `items` samples of a problem in the registers of a thread, or any number if 0."""

    threads: int
    items: int


_SHAPES = (Shape(128, 4), Shape(256, 8), Shape(512, 8), Shape(1024, 0))     # by size; compiled for in smo.cu


class Part(NamedTuple):
    """Some problems, and the samples whose Gram matrix they need.

    Attributes
    ----------
    samples : list of slice
        Ranges of samples: the rows of the matrix, one behind the other.
    table : (P, 6) int32
        A problem's rows of the matrix are those from ``[0]`` to ``[1]`` and from ``[2]`` to ``[3]``; y is +1 for the
        rows from ``[4]`` to ``[5]``.
    numbers : (P,) int64
        Number of each problem in the order of the fit's problems.
    owners : list of list of (int, slice)
        Rows and samples of `coef` that hold the beta of each problem.
    """

    samples: list[slice]
    table: np.ndarray
    numbers: np.ndarray
    owners: list[list[tuple[int, slice]]]


class Launch(NamedTuple):
    """Problems of a part that go to the device together.

    Attributes
    ----------
    problems : (P,) int64
        Positions in the part's table.
    where : (P + 1,) int64
        Problem p has the entries from ``where[p]`` to ``where[p + 1]`` of each vector.
    shape : Shape
    """

    problems: np.ndarray
    where: np.ndarray
    shape: Shape


def side(free: int, samples: int, vectors: int) -> int:
    """Return how many rows a Gram matrix may have.

    Parameters
    ----------
    free : int
        Bytes of the device that are free.
    samples : int
        Bytes that copies of the samples take.
    vectors : int
        Samples of all problems together.

    Examples
    --------
    >>> side(80 * 2**30, 25_000 * 64 * 4, 120 * 25_000)
    131005
    """
    return math.isqrt(max(0, int(_SHARE * free) - samples - _BYTES * min(vectors, _SAMPLES)) // 4)


def one_vs_one(starts: np.ndarray, most: int) -> Iterator[Part]:
    """Yield the parts of all pairs of classes.

    Parameters
    ----------
    starts : (K + 1,) int64
        Class k has the samples from ``starts[k]`` to ``starts[k + 1]``.
    most : int
        Rows that a Gram matrix may have.

    Raises
    ------
    MemoryError
        Two classes have more samples than that.

    Examples
    --------
    >>> starts = np.array([0, 2, 5, 9])
    >>> [part.samples for part in one_vs_one(starts, most=9)]
    [[slice(0, 9, None)]]
    >>> [(part.samples, part.numbers.tolist()) for part in one_vs_one(starts, most=7)]
    [([slice(0, 5, None)], [0]), ([slice(0, 2, None), slice(5, 9, None)], [1]), ([slice(2, 9, None)], [2])]
    """
    every = range(len(starts) - 1)
    for first, second in _halved(starts, every, every, most):
        yield _pairs(starts, first, second)


def one_vs_rest(starts: np.ndarray, most: int) -> Iterator[Part]:
    """Yield the one part of all one-vs-rest problems; parameters and errors as `one_vs_one`."""
    n, K = int(starts[-1]), len(starts) - 1
    if n > most:
        raise _too_large(n, most)
    table = np.tile(np.array([0, n, n, n, 0, 0], np.int32), (K, 1))
    table[:, 4], table[:, 5] = starts[:-1], starts[1:]
    yield Part([slice(0, n)], table, np.arange(K), [[(k, slice(0, n))] for k in range(K)])


def launches(table: np.ndarray) -> Iterator[Launch]:
    """Divide the problems of a part, of which `table` is that of `Part`, into those that go to the device together."""
    sizes = (table[:, 1] - table[:, 0] + table[:, 3] - table[:, 2]).astype(np.int64)
    kind = np.searchsorted([shape.threads * shape.items for shape in _SHAPES if shape.items], sizes)
    order = np.argsort(-sizes, kind="stable")
    first = 0
    while first < len(order):
        together = np.cumsum(sizes[order[first:]])
        last = first + max(1, int(np.searchsorted(together, _SAMPLES, side="right")))
        last = first + int(np.searchsorted(-kind[order[first:last]], -kind[order[first]], side="right"))
        yield Launch(order[first:last], np.concatenate([[0], together[:last - first]]), _SHAPES[kind[order[first]]])
        first = last


def _halved(starts: np.ndarray, first: range, second: range, most: int) -> Iterator[tuple[range, range]]:
    """Yield two ranges of classes at a time, equal or apart, of at most `most` samples; each pair is in one of them."""
    if first == second and len(first) == 1:     # no pair
        return
    sizes = [int(starts[part.stop] - starts[part.start]) for part in (first, second)]
    if (sizes[0] if first == second else sum(sizes)) <= most:
        yield first, second
    elif first == second:
        left, right = _halves(starts, first)
        yield from _halved(starts, left, left, most)
        yield from _halved(starts, left, right, most)
        yield from _halved(starts, right, right, most)
    elif len(first) == len(second) == 1:
        raise _too_large(sum(sizes), most)
    elif len(second) == 1 or (len(first) > 1 and sizes[0] > sizes[1]):
        for half in _halves(starts, first):
            yield from _halved(starts, half, second, most)
    else:
        for half in _halves(starts, second):
            yield from _halved(starts, first, half, most)


def _halves(starts: np.ndarray, classes: range) -> tuple[range, range]:
    """Cut a range of two classes or more where about half of the samples are on either side."""
    middle = (starts[classes.start] + starts[classes.stop]) / 2
    cut = int(np.clip(np.searchsorted(starts, middle), classes.start + 1, classes.stop - 1))
    return range(classes.start, cut), range(cut, classes.stop)


def _pairs(starts: np.ndarray, first: range, second: range) -> Part:
    """Return the part of the pairs of a class of `first` and a later one of `second`."""
    K = len(starts) - 1
    numbers = np.arange(K * (K - 1) // 2)
    a, b = pairs(K).T
    mine = (a >= first.start) & (a < first.stop) & (b >= second.start) & (b < second.stop)
    numbers, a, b = numbers[mine], a[mine], b[mine]
    parts = [first] if first == second else [first, second]
    samples = [slice(int(starts[part.start]), int(starts[part.stop])) for part in parts]
    gap = samples[-1].start - samples[0].stop if len(samples) > 1 else 0         # what is left out between them
    shift_b = samples[0].start + gap
    if not gap:
        samples = [slice(samples[0].start, samples[-1].stop)]
    table = np.stack([starts[a] - samples[0].start, starts[a + 1] - samples[0].start, starts[b] - shift_b,
                      starts[b + 1] - shift_b, starts[a] - samples[0].start, starts[a + 1] - samples[0].start], axis=1)
    owners = []
    for c, d in zip(a.tolist(), b.tolist()):
        row_c, row_d = coef_rows(c, d)
        owners.append([(row_c, slice(int(starts[c]), int(starts[c + 1]))),
                       (row_d, slice(int(starts[d]), int(starts[d + 1])))])
    return Part(samples, table.astype(np.int32), numbers, owners)


def _too_large(n: int, most: int) -> MemoryError:
    return MemoryError(f"backend='cupy' needs the Gram matrix of a problem in the memory of the device: that of {n} "
                       f"samples takes {4 * n * n / 2**30:.3g} GB, and there is room for {4 * most * most / 2**30:.3g} "
                       "GB. Use backend='numba', which needs parts of it only")
