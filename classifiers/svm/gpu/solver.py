"""All binary problems of a classifier on a GPU: what `multiclass.fit_problems` does, by blocks of threads.

A pair of classes with 400 samples is a tiny problem: two rows of 1.6 KB in each iteration, one iteration after the
other, and a GPU wants work for tens of thousands of threads. What there is plenty of is problems, 7,260 pairs of 121
classes. So *a block of threads has a problem of its own* from the first iteration to the last, and each multiprocessor
has several blocks: while one of them waits for a row or at a barrier, it goes on with another.

==========  =========================================================================================================
where       what
==========  =========================================================================================================
registers   of a thread: the gradient F of the samples it owns (float64), their K[t, t], whether they may move
shared      of a block: the best candidates of each warp, some hundred bytes
global      the Gram matrix (float32), read by all problems; beta of each problem; F between two launches
host        samples, classes, and at the end the coefficients
==========  =========================================================================================================

Why it is fast: in an iteration a block reads two rows of K and writes two numbers; everything else it needs is in its
registers. Neighbouring threads read neighbouring entries of a row. The host waits once for thousands of iterations of
thousands of problems.

What is never materialised: the Gram matrix of a pair, which is four rectangles of the one matrix; labels and bounds,
which follow from a sample's place; the vector of gains.

*The same every time*: no sum depends on the order in which threads arrive. Minima are exact, and ties go to the lowest
index, as in ``smo.py``; an entry of F belongs to one thread; what is added up over samples (the bias) is added by one
warp. Beta and F are float64 as in ``compiled_smo.py``, the gains by which the next pair is chosen float32, and so the
steps are the same: the two solvers differ in the last bits of K and of fused multiplications and additions.

*Slices*: a launch ends after some thousand iterations of each problem that is not done. F goes to memory, and Python
looks for an interrupt. The next launch has only the problems that are left.

*Memory*: ``plan.py`` cuts the matrix if the device has no room for all of it. The bound is the memory that is free
there, and not `cache_size`, which is about the host's. Pitfall: a problem is as fast as one multiprocessor. A few large
ones, such as two classes of 50,000 samples, leave most of the device idle; ``working_set.py`` is made for those.

Sources: as ``compiled_smo.py``; B. Catanzaro, N. Sundaram, K. Keutzer 2008, "Fast support vector machine training and
classification on graphics processors" (SMO on a GPU, one problem on the whole device); Z. Wen et al. 2018,
"ThunderSVM: a fast SVM library on GPUs and CPUs" (SMO over a working set in one block).
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from classifiers.svm.cpu.gram import Gram
from classifiers.svm.gpu.device import free_bytes, kernel, load_cupy
from classifiers.svm.gpu.gram import DeviceGram
from classifiers.svm.gpu.plan import Launch, Part, launches, one_vs_one, one_vs_rest, side
from classifiers.svm.theory.problems import MulticlassSolution, from_numbers
from classifiers.svm.theory.smo import feasible

__all__ = ["fit_problems"]

_ITERATIONS = 8192      # of each problem in a launch: then Python looks for an interrupt
_DONE = 2               # as in smo.cu


def fit_problems(gram: Gram, starts: np.ndarray, C: np.ndarray, strategy: str, tol: float, max_iter: int,
                 n_jobs: int | None = None, beta: np.ndarray | None = None, verbose: int = 0,
                 shrinking: bool = True) -> MulticlassSolution:
    """Solve all binary problems of a classifier, as `classifiers.svm.cpu.multiclass.fit_problems`.

    Parameters
    ----------
    gram, starts, C, strategy, tol, max_iter, beta
        The parameters of `cpu.multiclass.fit_problems`, as NumPy arrays.
    verbose : int
        Whether to print how many problems are left after each launch.
    n_jobs, shrinking
        They have no effect: all problems are solved at once, over all of their samples.

    Returns
    -------
    MulticlassSolution
        Its arrays are NumPy's.

    Raises
    ------
    ImportError
        There is no CuPy, or no device.
    MemoryError
        The Gram matrix of a problem does not fit into the memory of the device.
    """
    cupy = load_cupy()
    starts, C = np.asarray(starts, np.int64), np.asarray(C, np.float64)
    n_classes, n = len(starts) - 1, int(starts[-1])
    n_problems = n_classes * (n_classes - 1) // 2 if strategy == "ovo" else n_classes
    coef = np.zeros((n_classes - (strategy == "ovo"), n))
    numbers = np.empty((n_problems, 7))

    free = free_bytes(cupy)
    samples = DeviceGram(gram)
    most = side(free, 2 * samples.nbytes, coef.size)
    left = n_problems
    for part in one_vs_one(starts, most) if strategy == "ovo" else one_vs_rest(starts, most):
        for problems, values, found, steps in _solve_part(samples, part, C, tol, max_iter, beta):
            for problem, solution in zip(problems, values):
                for (row, own), piece in zip(part.owners[problem], solution):
                    coef[row, own] = piece
            numbers[part.numbers[problems]] = np.insert(found, 1, steps, axis=1)
            left -= len(problems)
            if verbose:
                print(f"[cupy] {left} of {n_problems} binary problems are left")
    return from_numbers(coef, numbers)


Solved = tuple[np.ndarray, list[list[np.ndarray]], np.ndarray, np.ndarray]


def _solve_part(samples: DeviceGram, part: Part, C: np.ndarray, tol: float, max_iter: int,
                beta: np.ndarray | None) -> Iterator[Solved]:
    """Yield for each launch its problems, pieces of the beta of each, what `_solve` found of each, and iterations."""
    cupy = load_cupy()
    K = samples.matrix(part.samples)
    bounds = np.concatenate([C[some] for some in part.samples])
    on_device = cupy.asarray(bounds)
    for launch in launches(part.table):
        start = None if beta is None else _starts(part, launch, beta, C)
        values, found, steps = _solve(K, on_device, part.table[launch.problems], launch, tol, max_iter, start)
        pieces = []
        for p, (problem, first) in enumerate(zip(launch.problems, launch.where)):
            cuts = np.cumsum([own.stop - own.start for _, own in part.owners[problem]])
            pieces.append(np.split(values[first:first + cuts[-1]], cuts[:-1]))
            rows = np.concatenate([np.arange(own.start, own.stop) for _, own in part.owners[problem]])
            found[p, 2:4] = rows[found[p, 2:4].astype(np.int64)]
        yield launch.problems, pieces, found, steps


def _starts(part: Part, launch: Launch, beta: np.ndarray, C: np.ndarray) -> np.ndarray:
    """Return where each problem of a launch starts, one behind the other: from `beta`, made feasible."""
    parts = []
    for problem in launch.problems:
        owners, of = part.owners[problem], part.table[problem]
        rows = np.concatenate([np.arange(of[0], of[1]), np.arange(of[2], of[3])])
        y = np.where((rows >= of[4]) & (rows < of[5]), 1, -1)
        parts.append(feasible(np.concatenate([beta[row, own] for row, own in owners]), y,
                              np.concatenate([C[own] for _, own in owners])))
    return np.concatenate(parts)


def _solve(K: Any, C: Any, table: np.ndarray, launch: Launch, tol: float, max_iter: int,
           start: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve the problems of a launch.

    Parameters
    ----------
    K : cupy array, (N, N) float32
        Gram matrix.
    C : cupy array, (N,) float64
        Upper bounds of alpha.
    table : (P, 6) int32
        The problems, as in `Part`.
    launch : Launch
        Place of each problem in the vectors, and the kind of block that solves it.
    tol, max_iter
        The parameters of `fit_problems`.
    start : (``launch.where[-1]``,) float64 or None
        The values from which the iterations start; None is 0.

    Returns
    -------
    beta : (``launch.where[-1]``,) float64
        The solutions, one behind the other.
    found : (P, 6) float64
        Bias, violation, positions of the pair that violates most, and F there.
    steps : (P,) int64
        Iterations.
    """
    cupy, P, total = load_cupy(), len(table), int(launch.where[-1])
    threads, items = launch.shape
    in_memory = 1 if items else total           # what a kernel with registers for them does not use
    beta = cupy.zeros(total, np.float64) if start is None else cupy.asarray(start)
    F, diagonal = cupy.empty(total, np.float64), cupy.empty(in_memory, np.float32)
    sets = cupy.empty(in_memory, np.uint8)
    states, steps, found = cupy.zeros(P, np.int32), cupy.zeros(P, np.int64), cupy.zeros((P, 6), np.float64)
    problems, where = cupy.asarray(np.ascontiguousarray(table, np.int32)), cupy.asarray(launch.where[:-1])
    smo = kernel("smo.cu", "smo", THREADS=threads, ITEMS=items)
    todo = np.arange(P, dtype=np.int32)
    while len(todo):
        smo((len(todo),), (threads,), (K, np.int64(len(K)), C, problems, where, cupy.asarray(todo), beta, F, diagonal,
                                       sets, states, steps, found, np.float64(tol), np.int64(max_iter),
                                       np.int32(_ITERATIONS)))
        todo = todo[cupy.asnumpy(states)[todo] != _DONE]       # waits for the launch
    return cupy.asnumpy(beta), cupy.asnumpy(found), cupy.asnumpy(steps)
