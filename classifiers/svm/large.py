"""One large binary problem: many samples, few of which matter, and a Gram matrix that need not fit in memory.

In a one-vs-rest problem of 25,000 samples perhaps a thousand become support vectors. The iterations of SMO over all
samples would stream two rows of 100 KB each through the memory for every update; LIBSVM *shrinks* the problem to the
samples that may still change, and at the end reconstructs the gradient of the others. Here the same thought is
carried through: a small dense problem over a working set of the samples that matter is solved by the fast SMO of
``numba_smo.py`` with everything else held fixed, and the gradient of all samples is brought up to date once a round::

    repeat
        F = K beta - y over all samples; stop if the gap of the KKT conditions is below tol
        W = the samples that violate most: from `up` and from `low`, and the free ones
        minimise D over beta[W]                              sum(beta[W]) as it was, the rest as it is
        F += K[:, changed] (beta - beta before)[changed]     the only rows of K over all samples that are needed

The problem over W is that of ``smo.py`` again: its gradient is F[W], its Gram matrix K[W, W]. Each round lowers D, as
every W contains the pair that violates the conditions most (Osuna et al. 1997 have the argument), so the rounds
converge to the same optimum. The rows of `changed` are asked for in bulk, by one matrix product, which is several
times faster than one at a time; those of the last rounds are kept (`RowCache`), least recently used first to go.

If more samples are free than the working set holds, they take turns, which can need thousands of rounds. So it grows
to twice their number where memory allows; where the whole matrix exists, SMO over all samples takes over instead.

Sources: E. Osuna, R. Freund, F. Girosi 1997, "An improved training algorithm for support vector machines";
T. Joachims 1998, "Making large-scale support vector machine learning practical" (working sets, shrinking); Z. Wen et
al. 2018, "ThunderSVM: a fast SVM library on GPUs and CPUs" (a working set of a thousand with SMO inside).
"""
from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from classifiers.svm.gram import Gram, RowCache
from classifiers.svm.numba_gram import add_rows
from classifiers.svm.numba_smo import minimise
from classifiers.svm.smo import Solution, bias_and_violation, bounds, feasible

__all__ = ["solve_large"]

_WHOLE = 2048  # beyond so many samples, gathering K[W, W] costs more than SMO over all samples on a matrix that exists
WORKING_SET = 1536  # samples at first: a matrix of 9 MB


def solve_large(gram: Gram, y: np.ndarray, C: np.ndarray, tol: float, max_iter: int, beta: np.ndarray | None = None,
                check: Callable[[], None] | None = None, memory: int | None = None) -> Solution:
    """Solve one binary problem of any size within the memory that `gram` may use.

    Parameters
    ----------
    gram : Gram
        Of n samples.
    y : (n,) array of +1 and -1
        Labels.
    C : (n,) array
        Upper bound of alpha for each sample.
    tol : float
        Largest gap of the KKT conditions to accept.
    max_iter : int
        Largest number of iterations, summed over the rounds.
    beta : (n,) array, optional
        Where to start (see `classifiers.svm.smo.feasible`).
    check : callable, optional
        Called at least every tenth of a second or so; it may raise to give up.
    memory : int, optional
        Bytes for the working set and for rows; by default all that `gram` may use.

    Returns
    -------
    Solution

    Examples
    --------
    >>> from classifiers.svm.kernels import Kernel
    >>> gram = Gram(np.array([[1.0], [-1.0], [3.0]], np.float32), Kernel("linear"))
    >>> solution = solve_large(gram, np.array([1, -1, 1]), np.full(3, 10.0), tol=1e-3, max_iter=100)
    >>> solution.beta, solution.violation
    (array([ 0.5, -0.5,  0. ]), 0.0)
    """
    y, C = np.asarray(y, np.float64), np.asarray(C, np.float64)
    memory = memory or gram.budget
    limit = max(16, min(gram.n, math.isqrt(memory // 8)))  # a matrix of half the memory; most of the rest is for rows
    size = min(WORKING_SET, limit)
    buffer = np.empty(limit * limit, np.float32)           # what is never touched takes no memory
    rows = _row_cache(gram, memory, size)
    warm, beta = beta is not None, feasible(beta, y, C)
    lower, upper = bounds(y, C)
    F = -y
    if warm:
        _follow(gram, rows, F, np.flatnonzero(beta), beta)
    done, working = 0, np.empty(0, np.int64)
    while True:
        bias, violation = bias_and_violation(F, beta, y, C)
        if violation < tol or done >= max_iter:
            return Solution(beta, bias, done, violation)
        free = int(np.count_nonzero((beta > lower) & (beta < upper)))
        if size < min(limit, 2 * free):                    # or they would take turns: thousands of rounds
            size, rows = min(limit, 2 * free), None            # gives its memory back before the next one takes it
            rows = _row_cache(gram, memory, size)
        if gram.whole is not None and size > _WHOLE:
            done += minimise(gram.whole, F, beta, lower, upper, tol, max_iter - done, check)
            bias, violation = bias_and_violation(F, beta, y, C)
            return Solution(beta, bias, done, violation)
        working = _working_set(F, beta, lower, upper, working, size, first=done == 0 and not warm)
        K = gram.block(working, working, buffer[:len(working)**2].reshape(len(working), len(working)))
        part = beta[working]
        steps = minimise(K, F[working], part, lower[working], upper[working], max(tol / 2, violation / 40),
                         max_iter - done, check)
        moved = part - beta[working]
        changed = np.flatnonzero(moved)
        if not len(changed):  # the float32 rows of the working set and of all samples differ by more than tol allows
            return Solution(beta, bias, done + steps, violation)
        beta[working] = part
        done += steps
        weights = np.zeros(gram.n)
        weights[working] = moved
        _follow(gram, rows, F, working[changed], weights)
        if check is not None:
            check()


def _row_cache(gram: Gram, memory: int, size: int) -> RowCache | None:
    """Return room for rows, in three quarters of what a working set of `size` leaves, unless the matrix exists."""
    return None if gram.whole is not None else RowCache(gram, (memory - 4 * size * size) * 3 // 4)


def _follow(gram: Gram, rows: RowCache | None, F: np.ndarray, changed: np.ndarray, weights: np.ndarray) -> None:
    """F += K[:, changed] @ weights[changed]."""
    if rows is None:
        add_rows(F, gram.whole, changed, weights[changed])
        return
    for start in range(0, len(changed), rows.capacity):
        part = changed[start:start + rows.capacity]
        K, positions = rows.take(part)
        add_rows(F, K, positions, weights[part])


def _working_set(F: np.ndarray, beta: np.ndarray, lower: np.ndarray, upper: np.ndarray, last: np.ndarray, size: int,
                 first: bool) -> np.ndarray:
    """Return the samples of the next round, sorted."""
    up, low = np.flatnonzero(beta < upper), np.flatnonzero(beta > lower)
    half = size // 2
    if first:  # all beta are 0 and all of a class have the same F: take an even sample of each class
        return np.union1d(_evenly(up, max(half, size - len(low))), _evenly(low, max(half, size - len(up))))
    smallest, largest = F[up].min(), F[low].max()
    up, low = up[F[up] < largest], low[F[low] > smallest]
    chosen = np.union1d(_least(up, F[up], size // 4), _least(low, -F[low], size // 4))
    free = np.flatnonzero((beta > lower) & (beta < upper))   # whatever else moves, these have to follow
    for others in (np.intersect1d(free, last), free, _least(up, F[up], half), _least(low, -F[low], half)):
        others = np.setdiff1d(others, chosen, assume_unique=True)
        chosen = np.union1d(chosen, others[:size - len(chosen)])
    return chosen


def _evenly(samples: np.ndarray, count: int) -> np.ndarray:
    return samples if len(samples) <= count else samples[np.arange(count) * len(samples) // count]


def _least(samples: np.ndarray, key: np.ndarray, count: int) -> np.ndarray:
    return samples if len(samples) <= count else samples[np.argpartition(key, count)[:count]]
