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

and half of the whole matrix is computed once, 2 MB at a time, and forgotten (``strips.py``).

One-vs-rest problems share all their samples, and a sample that is hard for one class is hard for others: those of
a group of classes advance together, so that a row of the matrix is computed once for all of them (``working_set.py``).

Batches of about equal work are handed to joblib's threads (the kernels release the GIL), to processes or to a Dask
cluster, the problems that are large by themselves first. How they are cut does not depend on the number of workers: a
problem gives the same bits whatever it is. Solutions are written into `coef` as they arrive.

Sources: C.-W. Hsu, C.-J. Lin 2002, "A comparison of methods for multiclass support vector machines"; the layout is that
of C.-C. Chang, C.-J. Lin 2011, "LIBSVM: a library for support vector machines".
"""
from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import joblib
import numpy as np

from classifiers.svm.cpu.dense import solve
from classifiers.svm.cpu.gram import Gram
from classifiers.svm.cpu.strips import Strip, plan, solve_strip
from classifiers.svm.cpu.working_set import solve_large
from classifiers.svm.theory.problems import MulticlassSolution, coef_rows, from_numbers, pairs
from minicnn.plumbing.threads import one_blas_thread

__all__ = ["fit_problems"]

_BATCHES = 256  # tasks of one fit: enough to keep the workers busy to the end, few enough to cost nothing
_SHARES = 4     # large pairs that may be solved at the same time
_SMALL = 1024   # samples of one-vs-rest problems that need no working sets
_GROUPS = 2     # groups of one-vs-rest problems that may be solved at the same time: in a larger one more share a row


def fit_problems(gram: Gram, starts: np.ndarray, C: np.ndarray, strategy: str, tol: float, max_iter: int,
                 n_jobs: int | None = None, beta: np.ndarray | None = None, verbose: int = 0,
                 shrinking: bool = True, only: np.ndarray | None = None) -> MulticlassSolution:
    """Solve the binary problems of a classifier, all of them or some.

    Parameters
    ----------
    gram : Gram
        Gram matrix of n samples sorted by class.
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
        Number of workers: -1 is one for each core, None, the default, is 1 or what joblib's context says.
    beta : array, optional
        `MulticlassSolution.beta` of an earlier fit of the same problems, from which the iterations start; by default 0.
    verbose : int
        How much joblib prints while the problems are solved; 0, the default, is nothing.
    shrinking : bool
        Solve large problems over working sets. Without it every iteration looks at all samples, if the
        whole Gram matrix fits in the cache size; the result is the same.
    only : array of int, optional
        The problems to solve. The others keep what `beta` says, and have no number in the other arrays.

    Returns
    -------
    MulticlassSolution

    Examples
    --------
    >>> from classifiers.svm.theory.kernel_functions import Kernel
    >>> gram = Gram(np.array([[-1.0], [1.0], [5.0]], np.float32), Kernel("linear"))
    >>> solution = fit_problems(gram, [0, 1, 2, 3], np.full(3, 10.0), "ovo", tol=1e-3, max_iter=100)
    >>> solution.intercept                   # boundaries at 0, 2 and 3
    array([-0.        ,  0.66666667,  1.5       ])
    """
    starts, C = np.asarray(starts, np.int64), np.asarray(C, np.float64)
    n_classes = len(starts) - 1
    n_problems = n_classes * (n_classes - 1) // 2 if strategy == "ovo" else n_classes
    tasks: list[Sequence[Task]]
    if only is not None:
        shares = min(len(only), _SHARES if strategy == "ovo" else _GROUPS)
        tasks = [[tuple(pair)] for pair in pairs(n_classes)[only].tolist()] if strategy == "ovo" else \
                [[range(k, k + 1)] for k in only.tolist()]
    elif strategy == "ovo":
        strips, large = plan(starts, gram.budget * 4 // gram.dtype.itemsize)
        shares = min(len(large), _SHARES) * (2 if strips else 1)        # the other half for the blocks of the classes
        tasks = [*([pair] for pair in large), *_batches(starts, strips)]
    else:
        if gram.fits:
            gram.full()
        groups = _groups(gram, n_classes)
        shares, tasks = min(len(groups), _GROUPS), [[group] for group in groups]
    # The memory of a large problem decides about its working sets, and so, within the tolerance, about its
    # result. It must not depend on the number of workers: so there are no more workers than shares of it.
    workers = joblib.effective_n_jobs(n_jobs)
    if shares and gram.whole is None:
        workers = min(workers, _SHARES if strategy == "ovo" else _GROUPS)
    solver = _Solver(gram, starts, C, tol, max_iter, beta, gram.budget // max(1, shares),
                     only is not None or not shrinking, np.zeros(1, bool))
    coef = np.zeros((n_classes - (strategy == "ovo"), gram.n)) if only is None or beta is None else beta.copy()
    numbers = np.full((n_problems, 7), np.nan)
    try:
        with one_blas_thread():
            parallel = joblib.Parallel(n_jobs=workers, prefer="threads", verbose=verbose,
                                       return_as="generator_unordered")
            for answers in parallel(joblib.delayed(_solve_batch)(solver, batch) for batch in tasks):
                for answer in answers:
                    for rows, samples, values in answer.parts:
                        coef[rows, samples] = values
                    numbers[answer.problems] = answer.found
    except BaseException:
        solver.stop[0] = True  # threads that still iterate notice it within a tenth of a second
        raise
    gram.forget_class_blocks()      # their memory is needed by what comes after the fit
    return from_numbers(coef, numbers)


Task = Strip | tuple[int, int] | range  # some pairs, a large pair, the classes of a group of one-vs-rest problems


class _Solver(NamedTuple):
    """What all tasks of a fit have in common; each runs in a thread, in another process or on another computer."""

    gram: Gram
    starts: np.ndarray
    C: np.ndarray
    tol: float
    max_iter: int
    beta: np.ndarray | None
    memory: int         # for a large problem
    dense: bool         # whether a matrix that fits is solved over all samples at once, without working sets
    stop: np.ndarray    # (1,) bool, set by an interrupt

    def check(self) -> None:
        if self.stop[0]:
            raise KeyboardInterrupt


class _Answer(NamedTuple):
    """Solutions of some problems."""

    parts: list[tuple[int | slice, slice, np.ndarray]]  # rows and samples of `coef`, and what belongs there
    problems: slice
    found: np.ndarray                                   # (problems, 7), as `from_numbers` takes them


def _groups(gram: Gram, n_classes: int) -> list[range]:
    """Divide one-vs-rest problems: gradients and variables of a group take a quarter of its memory at most."""
    most = max(1, gram.budget // (_GROUPS * 4 * 16 * gram.n))
    count = max(min(n_classes, _GROUPS), -(-n_classes // most))
    cuts = [n_classes * group // count for group in range(count + 1)]
    return [range(first, last) for first, last in pairwise(cuts)]


def _batches(starts: np.ndarray, strips: list[Strip]) -> list[Sequence[Task]]:
    """Group strips in their order, so that each batch has about 1 / `_BATCHES` of the work or one strip."""
    sizes = np.diff(starts)
    work = np.cumsum([float(((sizes[a] + sizes[first:last])**2).sum()) for a, first, last, _ in strips])
    cuts = [*np.searchsorted(work, np.linspace(0, work[-1], _BATCHES + 1)), len(strips)] if strips else []
    return [strips[first:last] for first, last in pairwise(cuts) if last > first]


def _solve_batch(solver: _Solver, batch: Sequence[Task]) -> list[_Answer]:
    """Solve some problems one after the other."""
    with one_blas_thread():
        answers = []
        for task in batch:
            solver.check()
            answers.append(_solve_strip(solver, task) if isinstance(task, Strip) else
                           _solve_rest(solver, task) if isinstance(task, range) else _solve_pair(solver, *task))
        return answers


def _number(n_classes: int, a: int, b: int) -> int:
    """Return the position of the pair in `pairs`."""
    return a * (2 * n_classes - a - 3) // 2 + b - 1


def _solve_strip(solver: _Solver, strip: Strip) -> _Answer:
    gram, starts, C, tol, max_iter, beta = solver[:6]
    a, first, last, _ = strip
    beta_a, beta_b, found = solve_strip(gram, starts, C, strip, tol, max_iter, beta, solver.check)
    number = _number(len(starts) - 1, a, first)
    return _Answer([(slice(first - 1, last - 1), slice(starts[a], starts[a + 1]), beta_a),
                    (a, slice(starts[first], starts[last]), beta_b)], slice(number, number + last - first), found)


def _solve_pair(solver: _Solver, a: int, b: int) -> _Answer:
    """Solve a pair on its own."""
    gram, starts, C, tol, max_iter, beta = solver[:6]
    in_a, in_b = slice(starts[a], starts[a + 1]), slice(starts[b], starts[b + 1])
    m, samples = in_a.stop - in_a.start, np.r_[in_a, in_b]
    row_a, row_b = coef_rows(a, b)
    start = None if beta is None else np.concatenate([beta[row_a, in_a], beta[row_b, in_b]])
    y = np.where(np.arange(len(samples)) < m, 1, -1).astype(np.int8)
    part, every = gram.restrict(samples), slice(0, len(samples))
    if solver.dense and part.dtype.itemsize * part.n**2 <= solver.memory // 2:
        solution = solve(part.block(every, every), y, C[samples], tol, max_iter, start, solver.check)
    else:
        solution, = solve_large(part, y[None], C[samples], tol, max_iter, None if start is None else start[None],
                                solver.check, solver.memory)
    number = _number(len(starts) - 1, a, b)
    found = solution._replace(i=samples[solution.i], j=samples[solution.j])
    return _Answer([(row_a, in_a, found.beta[:m]), (row_b, in_b, found.beta[m:])], slice(number, number + 1),
                   np.array([found[1:]]))


def _solve_rest(solver: _Solver, classes: range) -> _Answer:
    """Solve the one-vs-rest problems of some classes."""
    gram, starts, C, tol, max_iter, beta = solver[:6]
    label = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    y = np.where(label == np.array(classes)[:, None], 1, -1).astype(np.int8)                         # (classes, n)
    start = None if beta is None else beta[classes.start:classes.stop]
    if gram.fits:
        gram.full()  # in another process it is not there yet
    if gram.whole is None or not (solver.dense or gram.n <= _SMALL):
        solutions = solve_large(gram, y, C, tol, max_iter, start, solver.check, solver.memory)
    else:
        solutions = [solve(gram.whole, y[p], C, tol, max_iter, None if start is None else start[p], solver.check)
                     for p in range(len(y))]
    return _Answer([(k, slice(0, gram.n), solution.beta) for k, solution in zip(classes, solutions)],
                   slice(classes.start, classes.stop), np.array([solution[1:] for solution in solutions]))
