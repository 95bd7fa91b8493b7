"""Many binary problems on one Gram matrix: one-vs-one and one-vs-rest.

===========  ================  ==========================  ===================================================
strategy     problems          samples of each             decision for x
===========  ================  ==========================  ===================================================
one-vs-one   K (K - 1) / 2     those of two classes        votes of the problems; ties by summed confidence
one-vs-rest  K                 all n                       the class whose problem gives the largest value
===========  ================  ==========================  ===================================================

One-vs-one looks like more, yet each of its problems is small: with classes of equal size the pairs hold
(K - 1) n samples together and the others K n, and the time of SMO grows faster than linearly in the size of a problem.

The samples are sorted by class, so the Gram matrix of the pair (a, b) is four rectangles of the whole one::

            a       b                      class a is +1, class b is -1 (a < b, in the order
        +-------+-------+                  (0, 1), (0, 2), ..., (0, K - 1), (1, 2), ...)
      a | K_aa  | K_ab  |
        +-------+-------+                  K_aa, K_bb stay for the other problems of a and b;
      b | K_ba  | K_bb  |                  K_ab is needed once
        +-------+-------+

and half of the whole matrix is computed once, a few hundred KB at a time, and forgotten.

Layout of the coefficients (LIBSVM's): beta of a sample of class a in the problem against class b is
``coef[b - 1 if a < b else b, sample]``: K - 1 numbers for each sample, one for each other class.

The problems know nothing of one another: the largest are handed out first, in batches of about equal work, to joblib's
threads (the kernels release the GIL), to processes or to a Dask cluster. A problem gives the same bits in each of them.

Sources: C.-W. Hsu, C.-J. Lin 2002, "A comparison of methods for multiclass support vector machines"; the layout is that
of C.-C. Chang, C.-J. Lin 2011, "LIBSVM: a library for support vector machines".
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import joblib
import numpy as np

from classifiers.svm.gram import Gram, OneBlasThread
from classifiers.svm.large import solve_large
from classifiers.svm.numba_gram import transpose
from classifiers.svm.numba_smo import minimise, solve_tiles
from classifiers.svm.smo import Solution, bias_and_violation, bounds, feasible

__all__ = ["MulticlassSolution", "coef_rows", "fit_problems", "pairs"]

_BATCHES = 256  # tasks of one fit: enough to keep the workers busy to the end, few enough to cost nothing


_SHARES = 4  # large problems that may be solved at the same time
_DENSE = 4096  # samples of a pair: its tiles, 64 MB, are computed whole up to here


class MulticlassSolution(NamedTuple):
    """The solutions of all binary problems of a fit.

    Attributes
    ----------
    coef : float64
        beta of each problem: one-vs-one (K - 1, n) in LIBSVM's layout, one-vs-rest (K, n).
    intercept : (n_problems,) float64
        Bias of each problem.
    iterations : (n_problems,) int64
    violation : (n_problems,) float64
        Remaining violation of the KKT conditions of each problem.
    """

    coef: np.ndarray
    intercept: np.ndarray
    iterations: np.ndarray
    violation: np.ndarray

    @property
    def beta(self) -> np.ndarray:
        """Where the fit for another C may start."""
        return self.coef


def pairs(n_classes: int) -> np.ndarray:
    """Return the classes (a, b) of each one-vs-one problem, (K (K - 1) / 2, 2).

    Examples
    --------
    >>> pairs(3).tolist()
    [[0, 1], [0, 2], [1, 2]]
    """
    return np.stack(np.triu_indices(n_classes, 1), axis=1)


def coef_rows(a: int, b: int) -> tuple[int, int]:
    """Return the rows of `coef` with the pair a < b: for the samples of class a, and for those of class b.

    Examples
    --------
    >>> coef_rows(0, 2)
    (1, 0)
    """
    return b - 1, a


def fit_problems(gram: Gram, starts: np.ndarray, C: np.ndarray, strategy: str, tol: float, max_iter: int,
                 n_jobs: int | None = None, beta: np.ndarray | None = None, verbose: int = 0,
                 shrinking: bool = True) -> MulticlassSolution:
    """Solve all binary problems of a classifier.

    Parameters
    ----------
    gram : Gram
        Of n samples sorted by class.
    starts : (K + 1,) int
        Class k has the samples from ``starts[k]`` to ``starts[k + 1]``.
    C : (n,) array
        Upper bound of alpha for each sample.
    strategy : {"ovo", "ovr"}
        In the problem of a pair the first class is +1; in one-vs-rest class k is.
    tol : float
        Largest gap of the KKT conditions to accept.
    max_iter : int
        Largest number of iterations of each problem.
    n_jobs : int or None
        As joblib counts them.
    beta : array, optional
        `MulticlassSolution.beta` of an earlier fit of the same problems: where to start.
    verbose : int
        As joblib has it.
    shrinking : bool
        Solve large problems over working sets. Without it every iteration looks at all samples, if the
        whole Gram matrix fits in the cache size; the result is the same.

    Returns
    -------
    MulticlassSolution

    Examples
    --------
    >>> from classifiers.svm.kernels import Kernel
    >>> gram = Gram(np.array([[-1.0], [1.0], [5.0]], np.float32), Kernel("linear"))
    >>> solution = fit_problems(gram, [0, 1, 2, 3], np.full(3, 10.0), "ovo", tol=1e-3, max_iter=100)
    >>> solution.intercept                   # boundaries at 0, 2 and 3
    array([-0.        ,  0.66666667,  1.5       ])
    """
    starts, C = np.asarray(starts, np.int64), np.asarray(C, np.float64)
    sizes, n_classes = np.diff(starts), len(starts) - 1
    if strategy == "ovo":
        problems = pairs(n_classes)
        lengths = sizes[problems].sum(axis=1)
        coef = np.zeros((n_classes - 1, gram.n))
    else:
        problems = np.stack([np.arange(n_classes)] * 2, axis=1)
        lengths = np.full(n_classes, gram.n)
        coef = np.zeros((n_classes, gram.n))
        if gram.fits:
            gram.full()
    memory, workers = _shares(gram, lengths, joblib.effective_n_jobs(n_jobs))
    batches = _batches(lengths)
    intercept, violation = np.empty(len(problems)), np.empty(len(problems))
    iterations = np.empty(len(problems), np.int64)
    stop = np.zeros(1, bool)
    try:
        with OneBlasThread():
            solved = joblib.Parallel(n_jobs=workers, prefer="threads", verbose=verbose)(
                joblib.delayed(_solve_batch)(gram, starts, C, problems[batch], tol, max_iter, beta, shrinking, memory,
                                             stop)
                for batch in batches)
    except BaseException:
        stop[0] = True  # threads that still iterate notice it within a tenth of a second
        raise
    for batch, solutions in zip(batches, solved):
        for problem, solution in zip(batch, solutions):
            a, b = problems[problem]
            if a == b:
                coef[a] = solution.beta
            else:
                m, (row_a, row_b) = sizes[a], coef_rows(a, b)
                coef[row_a, starts[a]:starts[a + 1]] = solution.beta[:m]
                coef[row_b, starts[b]:starts[b + 1]] = solution.beta[m:]
            _, intercept[problem], iterations[problem], violation[problem] = solution
    return MulticlassSolution(coef, intercept, iterations, violation)


def _is_large(gram: Gram, n: int | np.ndarray) -> Any:
    """Whether a pair of n samples is solved over working sets instead of on four tiles."""
    return (n > _DENSE) | (4 * n * n > gram.budget // 8)


def _shares(gram: Gram, lengths: np.ndarray, n_jobs: int) -> tuple[int, int]:
    """Return the bytes for each large problem and the number of workers for all.

    The memory of a large problem decides about its working sets, and so, within the tolerance, about its result: it
    must not depend on the number of workers. So memory is dealt for up to `_SHARES` problems at a time, and
    there are no more workers than that.
    """
    n_large = int(np.count_nonzero(_is_large(gram, lengths)))
    shares = min(n_large, _SHARES)
    if gram.whole is not None or n_large == 0:
        return gram.budget // _SHARES, n_jobs
    half = 1 if n_large == len(lengths) else 2             # the other half for the blocks of the classes
    return gram.budget // (half * shares), n_jobs if shares < 2 else min(n_jobs, shares)


def _batches(lengths: np.ndarray) -> list[np.ndarray]:
    """Group problems, the largest first, so that each batch has about 1 / `_BATCHES` of the work or one problem."""
    order = np.argsort(-lengths, kind="stable")
    work = np.cumsum(lengths[order].astype(np.float64) ** 2)
    return np.split(order, np.unique(np.searchsorted(work, work[-1] * np.arange(1, _BATCHES) / _BATCHES)))


def _solve_batch(gram: Gram, starts: np.ndarray, C: np.ndarray, problems: np.ndarray, tol: float, max_iter: int,
                 beta: np.ndarray | None, shrinking: bool, memory: int, stop: np.ndarray) -> list[Solution]:
    """Solve some problems one after the other; runs in a thread, another process or on another machine."""
    def check() -> None:
        if stop[0]:
            raise KeyboardInterrupt

    solutions = []
    with OneBlasThread():
        for a, b in problems:
            check()
            solutions.append(_solve_rest(gram, starts, C, a, tol, max_iter, beta, shrinking, memory, check)
                             if a == b else _solve_pair(gram, starts, C, a, b, tol, max_iter, beta, memory, check))
    return solutions


def _solve_pair(gram: Gram, starts: np.ndarray, C: np.ndarray, a: int, b: int, tol: float, max_iter: int,
                beta: np.ndarray | None, memory: int, check: Callable[[], None]) -> Solution:
    in_a, in_b = slice(starts[a], starts[a + 1]), slice(starts[b], starts[b + 1])
    m, n = in_a.stop - in_a.start, in_a.stop - in_a.start + in_b.stop - in_b.start
    y = np.ones(n)
    y[m:] = -1
    C_pair = np.concatenate([C[in_a], C[in_b]])
    row_a, row_b = coef_rows(a, b)
    start = None if beta is None else np.concatenate([beta[row_a, in_a], beta[row_b, in_b]])
    if _is_large(gram, n):
        samples = np.concatenate([np.arange(in_a.start, in_a.stop), np.arange(in_b.start, in_b.stop)])
        return solve_large(gram.restrict(samples), y, C_pair, tol, max_iter, start, check, memory)
    K_ab = gram.block(in_a, in_b)
    K_ba = np.empty((n - m, m), np.float32)
    transpose(K_ab, K_ba)
    tiles = gram.class_block(in_a.start, in_a.stop), K_ab, K_ba, gram.class_block(in_b.start, in_b.stop)
    return solve_tiles(tiles, y, C_pair, tol, max_iter, start, check)


def _solve_rest(gram: Gram, starts: np.ndarray, C: np.ndarray, k: int, tol: float, max_iter: int,
                beta: np.ndarray | None, shrinking: bool, memory: int, check: Callable[[], None]) -> Solution:
    y = np.full(gram.n, -1.0)
    y[starts[k]:starts[k + 1]] = 1
    start = None if beta is None else beta[k]
    if gram.fits:
        gram.full()  # in another process it is not there yet
    if shrinking or gram.whole is None:
        return solve_large(gram, y, C, tol, max_iter, start, check, memory)
    start = feasible(start, y, C)
    F = gram.whole.astype(np.float64) @ start - y if start.any() else -y
    steps = minimise(gram.whole, F, start, *bounds(y, C), tol, max_iter, check)
    bias, violation = bias_and_violation(F, start, y, C)
    return Solution(start, bias, steps, violation)
