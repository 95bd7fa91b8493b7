"""One-vs-one problems by the hundred: one class against a run of others, in one matrix product and one compiled call.

Why it is fast: a pair of classes of 100 samples takes 100 us to solve, and a step of Python each for bounds, blocks and
transposes would take as long again. A *strip* is class a against the classes from `first` to `last`::

                 a
             +------+
      first  | K_ba |      one matrix product of a few hundred rows, large enough for BLAS to be at its best and small
             +------+      enough to stay in the second-level cache while `solve_pairs` works on it
        ...  | ...  |
             +------+
       last  | K_ba |      each of these is contiguous
             +------+

The blocks K_aa and K_bb on the diagonal serve many strips. Where they do not all fit into the memory allowed, the
classes are cut into groups; the strips of a pair of groups follow one another and need the blocks of these two. How
strips are cut depends on the sizes of the classes and the memory allowed, never on the number of workers: so each
entry comes out of a product of the same shape, with the same bits.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from classifiers.svm.cpu.compiled_smo import Room, Sides, StripMatrix, solve_pairs
from classifiers.svm.cpu.dense import SLICE
from classifiers.svm.cpu.gram import Gram
from classifiers.svm.theory.smo import feasible

__all__ = ["Strip", "plan", "solve_strip"]

_DENSE = 4096        # samples of a pair: its tiles, 64 MB, are computed whole up to here
_ENTRIES = 2**19     # of a strip: 2 MB


class Strip(NamedTuple):
    """Class `a` against the classes from `first` up to but not including `last`.

    Attributes
    ----------
    a, first, last : int
    groups : tuple
        The first class and the end of the group of `a`, and those of the group of the others.
    """

    a: int
    first: int
    last: int
    groups: tuple[tuple[int, int], tuple[int, int]]


def plan(starts: np.ndarray, budget: int) -> tuple[list[Strip], list[tuple[int, int]]]:
    """Cut all pairs of classes into strips.

    Parameters
    ----------
    starts : (K + 1,) int
        Class k has the samples from ``starts[k]`` to ``starts[k + 1]``.
    budget : int
        Bytes for all parts of the Gram matrix.

    Returns
    -------
    strips : list of Strip
    large : list of (a, b)
        Pairs too large for tiles within `budget`.

    Examples
    --------
    >>> strips, large = plan(np.array([0, 2, 5, 9]), budget=2**20)
    >>> [(strip.a, strip.first, strip.last) for strip in strips], large
    ([(0, 1, 3), (1, 2, 3)], [])
    """
    sizes = np.diff(starts)
    groups = _groups(sizes, budget)
    entries = min(_ENTRIES, budget // 64)
    strips: list[Strip] = []
    large: list[tuple[int, int]] = []
    for i, group in enumerate(groups):
        for other in groups[i:]:
            for a in range(*group):
                n = sizes[a] + sizes
                is_large = ((n > _DENSE) | (4 * n * n > budget // 8)).tolist()
                most = max(1, entries // int(sizes[a]))
                b, end = max(a + 1, other[0]), other[1]
                while b < end:
                    if is_large[b]:
                        large.append((a, b))
                        b += 1
                        continue
                    last = min(end, int(np.searchsorted(starts, starts[b] + most, side="right")) - 1)
                    last = max(last, b + 1)
                    if any(is_large[b:last]):
                        last = b + is_large[b:last].index(True)
                    strips.append(Strip(a, b, last, (group, other)))
                    b = last
    return strips, large


def _groups(sizes: np.ndarray, budget: int) -> list[tuple[int, int]]:
    """Return ranges of classes, the blocks of which take an eighth of `budget` or are those of one class."""
    groups, first, held = [], 0, 0
    for k, size in enumerate(sizes.tolist()):
        if held and held + 4 * size * size > budget // 8:
            groups.append((first, k))
            first, held = k, 0
        held += 4 * size * size
    return [*groups, (first, len(sizes))]


def solve_strip(gram: Gram, starts: np.ndarray, C: np.ndarray, strip: Strip, tol: float, max_iter: int,
                beta: np.ndarray | None, check: Callable[[], None]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve the problems of a strip.

    Parameters
    ----------
    gram : Gram
        Gram matrix of all samples, sorted by class.
    starts : (K + 1,) int
        Class k has the samples from ``starts[k]`` to ``starts[k + 1]``.
    C : (n,) array
        Upper bound of alpha for each sample.
    strip : Strip
        One of `plan`.
    tol : float
        Largest gap of the KKT conditions to accept.
    max_iter : int
        Largest number of iterations of each problem.
    beta : (K - 1, n) array, optional
        The coefficients from which the iterations start, laid out as `MulticlassSolution.coef`; by default 0.
    check : callable
        Called about every tenth of a second; it may raise to give up.

    Returns
    -------
    beta_a : (Q, m) float64
        The variables of class a in each of the Q problems.
    beta_b : (n_b,) float64
        Those of the other classes, each in its one problem.
    found : (Q, 7) float64
        Bias, iterations and violation of each problem, the samples of the pair that violates most, and F there.
    """
    a, first, last, (group, other) = strip
    in_a, in_b = slice(starts[a], starts[a + 1]), slice(starts[first], starts[last])
    edges = starts[first:last + 1] - starts[first]
    m, widest, Q = in_a.stop - in_a.start, int(np.diff(edges).max()), last - first
    beta_a, beta_b = np.zeros((Q, m)), np.zeros(in_b.stop - in_b.start)
    if beta is not None:
        beta_a[:], beta_b[:] = beta[first - 1:last - 1, in_a], beta[a, in_b]
        for q in range(Q):
            part = slice(edges[q], edges[q + 1])
            y = np.repeat([1, -1], [m, edges[q + 1] - edges[q]])
            start = feasible(np.concatenate([beta_a[q], beta_b[part]]), y, np.concatenate([C[in_a], C[in_b][part]]))
            beta_a[q], beta_b[part] = start[:m], start[m:]
    blocks_a, where_a = gram.class_blocks(starts[group[0]:group[1] + 1])
    blocks_b, where_b = gram.class_blocks(starts[other[0]:other[1] + 1])
    K_aa = blocks_a[where_a[a - group[0]]:where_a[a - group[0] + 1]].reshape(m, m)
    found, state = np.empty((Q, 7)), np.zeros(2, np.int64)
    matrix = StripMatrix(K_aa, gram.block(in_b, in_a), edges, blocks_b, where_b[first - other[0]:last - other[0]])
    sides = Sides(C[in_a], C[in_b], beta_a, beta_b)
    room = Room(np.empty((7, m + widest)), np.empty(m * widest, gram.dtype), np.empty(m, bool))
    while not solve_pairs(matrix, sides, found, state, room, tol, max_iter, SLICE):
        check()
    worst = found[:, 3:5]                                   # positions in the problem become samples
    worst += np.where(worst < m, in_a.start, starts[first:last, None] - m)
    return beta_a, beta_b, found
