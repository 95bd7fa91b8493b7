"""One large binary problem: many samples, few of which matter, and a Gram matrix that need not fit in memory.

In a one-vs-rest problem of 25,000 samples perhaps a thousand become support vectors. The iterations of SMO over all
samples would stream two rows of 100 KB each through the memory for every update; LIBSVM *shrinks* the problem to the
samples that may still change, and at the end reconstructs the gradient of the others. Here the same thought is
carried through: small dense problems over the samples that matter are solved by the fast SMO of ``compiled_smo.py``
with everything else held fixed, and the gradient of all samples is brought up to date once a round::

    repeat
        F = K beta - y over all samples; stop if the gap of the KKT conditions is below tol
        A = the active samples: those that violate most, from `up` and from `low`, and the free ones
        repeat until the gap over A is small
            W = the working set: a quarter of A, chosen in the same way
            minimise D over beta[W]                          sum(beta[W]) as it was, the rest as it is
            F[A] += K[A, changed] (beta - beta before)[changed]
        F += K[:, changed] (beta - beta before)[changed]     the only rows of K over all samples that are needed

The problem over W is that of ``smo.py`` again: its gradient is F[W], its Gram matrix K[W, W]. Each round lowers D, as
every W contains the pair that violates the conditions most (Osuna et al. 1997 have the argument), so the rounds
converge to the same optimum. In the first round, when nothing is known yet, A is one working set, an even sample.

Nearly all the time goes into rows of K. So there are few rounds: from the third on, A is solved to the final tolerance.
And several problems on the same samples, such as one-vs-rest problems, take their rounds together: samples that are
hard for one class are hard for others, and a row is computed once for all problems that need it. Rows are asked for in
bulk, by one matrix product, which is several times faster than one at a time; those of the last rounds are kept
(`RowCache`), least recently used first to go.

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

from classifiers.svm.cpu.compiled_gram import add_rows
from classifiers.svm.cpu.dense import minimise
from classifiers.svm.cpu.gram import Gram
from classifiers.svm.cpu.row_cache import RowCache
from classifiers.svm.theory.smo import Solution, bias_and_violation, bounds, feasible, solution

__all__ = ["solve_large"]

_WHOLE = 2048  # samples of a working set whose gathered K[W, W] costs as much as SMO over all samples, if K exists
WORKING_SET = 1536  # samples at first: a matrix of 9 MB
_ACTIVE = 4          # active samples of a problem, in working sets
_TOGETHER = 256      # rows over the active samples at a time: 6 MB
_ROUNDS = 200        # without a smaller violation than any before: rounding errors move the samples, and nothing else
_NOTHING = np.empty(0, np.int64), np.empty(0)


def solve_large(gram: Gram, y: np.ndarray, C: np.ndarray, tol: float, max_iter: int, beta: np.ndarray | None = None,
                check: Callable[[], None] | None = None, memory: int | None = None) -> list[Solution]:
    """Solve binary problems of any size, all on the same samples, within the memory that `gram` may use.

    Parameters
    ----------
    gram : Gram
        Gram matrix of n samples.
    y : (G, n) array of +1 and -1
        Labels of each problem.
    C : (n,) array
        Upper bound of alpha for each sample.
    tol : float
        Largest gap of the KKT conditions to accept.
    max_iter : int
        Largest number of iterations of a problem, summed over the rounds.
    beta : (G, n) array, optional
        The values from which the iterations start, made feasible by `theory.smo.feasible`; by default 0.
    check : callable, optional
        Called at least every tenth of a second or so; it may raise to give up.
    memory : int, optional
        Bytes for gradients, variables, the working set and rows; by default all that `gram` may use.

    Returns
    -------
    list of Solution

    Examples
    --------
    >>> from classifiers.svm.theory.kernel_functions import Kernel
    >>> gram = Gram(np.array([[1.0], [-1.0], [3.0]], np.float32), Kernel("linear"))
    >>> solution, = solve_large(gram, np.array([[1, -1, 1]]), np.full(3, 10.0), tol=1e-3, max_iter=100)
    >>> solution.beta, solution.violation
    (array([ 0.5, -0.5,  0. ]), 0.0)
    """
    C = np.asarray(C, np.float64)
    F = np.negative(y, dtype=np.float64)                                             # (G, n)
    memory = max(0, (gram.budget if memory is None else memory) - 2 * F.nbytes)                  # F and beta
    # A matrix of half the memory; most of the rest is for rows.
    limit = max(16, min(gram.n, math.isqrt(memory // (2 * gram.dtype.itemsize))))
    size = min(WORKING_SET, limit)
    buffer = np.empty(limit * limit, gram.dtype)           # what is never touched takes no memory
    rows = _row_cache(gram, memory, size)
    problems = [_Problem(y[p], C, F[p], None if beta is None else beta[p], size) for p in range(len(y))]
    moves = [(samples := np.flatnonzero(problem.beta), problem.beta[samples]) for problem in problems]
    while True:
        _follow(gram, rows, F, moves, check)
        if all(problem.solution for problem in problems):
            return [problem.solution for problem in problems if problem.solution]
        grown = max(problem.grow(limit, tol, max_iter) for problem in problems)
        if grown > size:
            size, rows = grown, None                       # gives its memory back before the next one takes it
            rows = _row_cache(gram, memory, size)
        moves = [problem.advance(gram, buffer, tol, max_iter, check) for problem in problems]


class _Problem:
    """One of the problems between two rounds."""

    def __init__(self, y: np.ndarray, C: np.ndarray, F: np.ndarray, beta: np.ndarray | None, size: int):
        self.y, self.C, self.F, self.size = y, C, F, size
        self.beta = feasible(beta, y, C)
        self.done, self.active = 0, np.empty(0, np.int64)
        self.rounds = 0 if beta is None else 1             # a warm start is what the first round finds
        self.least, self.since = math.inf, 0               # smallest violation so far, and the round that found it
        self.solution: Solution | None = None

    def grow(self, limit: int, tol: float, max_iter: int) -> int:
        """Stop if the solution is found; else let the working set follow the free samples, and return its size."""
        if self.solution is not None:
            return 0
        self.violation = bias_and_violation(self.F, self.beta, self.y, self.C)[1]
        if self.violation < self.least:
            self.least, self.since = self.violation, self.rounds
        if self.violation < tol or self.done >= max_iter or self.rounds > self.since + _ROUNDS:
            return self.stop()
        free = int(np.count_nonzero(self.beta)) - int(np.count_nonzero(np.abs(self.beta) == self.C))
        if self.size < min(limit, 2 * free):               # or they would take turns: thousands of rounds
            self.size = min(limit, 2 * free)
        return self.size

    def stop(self) -> int:
        self.solution = solution(self.F, self.beta, self.y, self.C, self.done)
        return 0

    def advance(self, gram: Gram, buffer: np.ndarray, tol: float, max_iter: int,
                check: Callable[[], None] | None) -> tuple[np.ndarray, np.ndarray]:
        """Solve over the active samples; return those whose beta changed, and by how much."""
        if self.solution is not None:
            return _NOTHING
        beta, F, y, C = self.beta, self.F, self.y, self.C
        if gram.whole is not None and self.size > _WHOLE:
            self.done += minimise(gram.whole, F, beta, *bounds(y, C), tol, max_iter - self.done, check)[0]
            self.stop()
            return _NOTHING
        alone = self.rounds == 0 or gram.whole is not None      # of one working set: rows are few yet, or cost nothing
        goal = max(tol / 2, self.violation / 40 if self.rounds < 2 or alone else 0.0)
        lower, upper = bounds(y, C)
        A = self.active = _working_set(F, beta, lower, upper, self.active, self.size * (1 if alone else _ACTIVE),
                                       first=self.rounds == 0)
        self.rounds += 1
        part, F, y, C, lower, upper = beta[A], F[A], y[A], C[A], lower[A], upper[A]
        W = np.empty(0, np.int64)
        while True:
            W = np.arange(len(A)) if len(A) <= self.size else _working_set(F, part, lower, upper, W, self.size)
            K = gram.block(A[W], A[W], buffer[:len(W)**2].reshape(len(W), len(W)))
            after = part[W]
            self.done += minimise(K, F[W], after, lower[W], upper[W], goal, max_iter - self.done, check)[0]
            moved, part[W] = after - part[W], after
            changed = np.flatnonzero(moved)
            if len(W) == len(A) or not len(changed) or self.done >= max_iter:
                break
            for start in range(0, len(changed), _TOGETHER):
                some = changed[start:start + _TOGETHER]
                K = gram.block(A[W[some]], A)
                add_rows(F[None], K, np.arange(len(some)), moved[some], np.array([0, len(some)]))
            if bias_and_violation(F, part, y, C)[1] < goal:
                break
            if check is not None:
                check()
        moved = part - beta[A]
        changed = np.flatnonzero(moved)
        if not len(changed):  # the float32 rows of the working set and of all samples differ by more than tol allows
            self.stop()
        beta[A] = part
        return A[changed], moved[changed]


def _row_cache(gram: Gram, memory: int, size: int) -> RowCache | None:
    """Return room for rows, in three quarters of what a working set of `size` leaves, unless the matrix exists."""
    if gram.whole is not None:
        return None
    return RowCache(gram, max(0, memory - gram.dtype.itemsize * size * size) * 3 // 4)


def _follow(gram: Gram, rows: RowCache | None, F: np.ndarray, moves: list[tuple[np.ndarray, np.ndarray]],
            check: Callable[[], None] | None) -> None:
    """F[p] += K[:, samples] @ weights for the (samples, weights) of each problem p: a row is computed once for all."""
    samples, weights = (np.concatenate(parts) for parts in zip(*moves))
    problem = np.repeat(np.arange(len(moves)), [len(part) for part, _ in moves])
    needed, every = np.unique(samples), np.arange(len(F) + 1)
    place = np.full(gram.n, -1)
    whole = [(gram.whole, slice(0, gram.n), needed, needed)]
    for K, columns, positions, part in whole if rows is None else rows.walk(needed):
        if columns.start == 0:                             # of some rows the first tile
            if check is not None:
                check()
            place[part] = positions
            here = np.flatnonzero(place[samples] >= 0)
            chosen, weight, starts = place[samples[here]], weights[here], np.searchsorted(problem[here], every)
            place[part] = -1
        add_rows(F[:, columns], K, chosen, weight, starts)


def _working_set(F: np.ndarray, beta: np.ndarray, lower: np.ndarray, upper: np.ndarray, last: np.ndarray, size: int,
                 first: bool = False) -> np.ndarray:
    """Return the samples of the next round, sorted."""
    up, low = beta < upper, beta > lower
    half = size // 2
    if first:  # all beta are 0 and all of a class have the same F: take an even sample of each class
        n_up, n_low = int(up.sum()), int(low.sum())
        return np.union1d(_evenly(np.flatnonzero(up), max(half, size - n_low)),
                          _evenly(np.flatnonzero(low), max(half, size - n_up)))
    free = up & low                                          # whatever else moves, these have to follow
    smallest, largest = F[up].min(), F[low].max()
    rising, falling = np.flatnonzero(up & (F < largest)), np.flatnonzero(low & (F > smallest))
    chosen, room = np.zeros(len(F), bool), size
    for samples in (_least(rising, F[rising], size // 4), _least(falling, -F[falling], size // 4), last[free[last]],
                    np.flatnonzero(free), _least(rising, F[rising], half), _least(falling, -F[falling], half)):
        samples = samples[~chosen[samples]][:room]
        chosen[samples] = True
        room -= len(samples)
    return np.flatnonzero(chosen)


def _evenly(samples: np.ndarray, count: int) -> np.ndarray:
    return samples if len(samples) <= count else samples[np.arange(count) * len(samples) // count]


def _least(samples: np.ndarray, key: np.ndarray, count: int) -> np.ndarray:
    return samples if len(samples) <= count else samples[np.argpartition(key, count)[:count]]
