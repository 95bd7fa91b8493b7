"""Was float32 enough? Every binary problem is asked, in float64, and those for which it was not are solved again.

Kernel values in float32 carry an error of about 1e-7 each, and F = K beta - y adds up as many of them as there are
support vectors, times beta. With C = 10 and features of one scale nothing of it is to be seen beside tol = 1e-3. With
C = 1e6, or one feature in metres beside one in millimetres, the solver may believe that it has converged on a matrix
that is not the matrix of the problem::

    1. solve in float32                                                               fast
    2. F in float64 at the two samples that violate the KKT conditions most           cheap: two rows for each problem
    3. does the violation of these two exceed tol?  Does F there differ from what
       the solver had by tol / 8?  Could the error of one kernel value, times beta,
       be as large as tol?  Then F in float64 at all samples                          only where it is needed
    4. is that violation more than tol?  Then go on from there in float64, and
       compute F at all samples once more

The difference in step 3 is a sample of the rounding errors of all other samples: an eighth of `tol` leaves room for
those that were not looked at. Where there are samples that lie far from the others, the farthest one of each problem is
looked at, too, because rounding errors grow with the size of the samples.

A solution needs sum(beta) = 0, too. Where values of beta near C come and go, rounding leaves a remainder, which moves
all outputs by up to its product with the largest kernel value: that counts as a violation.

What is true in the end is in `MulticlassSolution.violation`; `cpu.training` warns.
"""
from __future__ import annotations

from itertools import pairwise

import joblib
import numpy as np

from classifiers.svm.cpu.compiled_outputs import FORMULAS, Formula, Problems, outputs
from classifiers.svm.cpu.gram import Gram
from classifiers.svm.cpu.kernel_blocks import kernel_block
from classifiers.svm.cpu.multiclass import fit_problems
from classifiers.svm.theory.kernel_functions import Kernel
from classifiers.svm.theory.problems import MulticlassSolution, TrainingSet, coef_rows, pairs, places
from minicnn.plumbing.threads import one_blas_thread

__all__ = ["SLACK", "refined", "wide_gram"]

SLACK = 0.1             # share of tol by which a violation in float64 may exceed it: two sums, rounded differently
_ROUNDING = 8           # times the rounding error at the two samples may be as large as tol
_SUM = 2.0**-22         # relative error of a sum of products in float32, whose signs are mixed: four times that of one
_OUTLYING = 10.0        # |z| of a sample that lies far from the others, which have about 1
_CHUNK = 64             # problems of a task
_ENTRIES = 1 << 21      # kernel values at a time: 16 MB


def refined(data: TrainingSet, gram: Gram, found: MulticlassSolution, C: np.ndarray, tol: float, max_iter: int,
            n_jobs: int | None) -> MulticlassSolution:
    """Check the solutions of all binary problems in float64, and improve those that miss `tol`.

    Parameters
    ----------
    data : TrainingSet
        The problems that were solved.
    gram : Gram
        The matrix on which they were solved.
    found : MulticlassSolution
        Its solution, in the frame of `data`.
    C : (n,) float64
        Upper bound of alpha for each sample, not yet in the frame.
    tol : float
        Largest gap of the KKT conditions to accept.
    max_iter : int
        Largest number of iterations of each problem, those of `found` included.
    n_jobs : int or None
        Number of threads: -1 is one for each core, None is 1 or what joblib's context says.

    Returns
    -------
    MulticlassSolution
        Its `violation` is that in float64.
    """
    bounds = C * data.frame.unit
    violation, rounding = _at_the_worst(data, found, bounds, n_jobs)
    violation = np.maximum(violation, _remainder(data, found.coef))
    of_values = data.frame.rounding * _largest(data, found.coef)
    sure = (np.maximum(_ROUNDING * rounding, of_values) <= tol) & (violation <= (1 + SLACK) * tol)      # never for NaN
    doubtful = np.flatnonzero(~sure)
    # Decisions add up beta k' in float32, where training does it in float64: an error of tol is too much there, too.
    of_sums = _SUM * data.frame.largest * _norms(data, found.coef)
    of_decisions = np.maximum.reduce([2 * rounding, of_values, of_sums])
    precise = gram.dtype == np.float64 or not (of_decisions <= tol).all()
    found = found._replace(violation=violation, precise=precise)
    if not len(doubtful):
        return found
    wide = wide_gram(data, gram)
    violation[doubtful] = np.maximum(_everywhere(data, wide, found, bounds, doubtful, n_jobs),
                                     _remainder(data, found.coef)[doubtful])
    missed = doubtful[~(violation[doubtful] <= (1 + SLACK) * tol)]
    again = missed[found.iterations[missed] < max_iter]
    if not len(again) or gram.dtype == np.float64:
        return found
    more = fit_problems(wide, data.starts, bounds, data.strategy, tol, max_iter - int(found.iterations[again].min()),
                        n_jobs, beta=found.coef, only=again)
    found.intercept[again] = more.intercept[again]
    found.iterations[again] += more.iterations[again]
    found = found._replace(coef=more.coef)
    violation[again] = np.maximum(_everywhere(data, wide, found, bounds, again, n_jobs),
                                  _remainder(data, found.coef)[again])
    return found


def wide_gram(data: TrainingSet, gram: Gram) -> Gram:
    """Return the Gram matrix of `data` in float64: `gram` itself, if it has that type."""
    if gram.dtype == np.float64:
        return gram
    return Gram(data.frame.place(data.X, np.float64), data.frame.kernel, gram.budget / 2**20, gram.n_jobs)


def _at_the_worst(data: TrainingSet, found: MulticlassSolution, bounds: np.ndarray,
                  n_jobs: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the violation of the pair that violates most, in float64, and how far F was off there; (P,) each."""
    starts, asked = data.starts, found.worst
    n_classes = len(starts) - 1
    far = _farthest(data) if data.frame.norms.max(initial=0) > _OUTLYING else None
    if data.strategy == "ovo":
        a, b = pairs(n_classes).T
        rows = coef_rows(a, b)                                                          # as arrays, both of them
        parts = np.stack([np.stack([rows[0], starts[a], starts[a + 1]], axis=1),
                          np.stack([rows[1], starts[b], starts[b + 1]], axis=1)], axis=1)       # (P, 2, 3)
        if far is not None:
            norms = data.frame.norms[far]
            asked = np.concatenate([asked, np.where(norms[a] > norms[b], far[a], far[b])[:, None]], axis=1)
    else:
        a = np.arange(n_classes)
        parts = np.stack([a, 0 * a, 0 * a + starts[-1]], axis=1)[:, None]                       # (P, 1, 3)
        if far is not None:
            last = far[np.argmax(data.frame.norms[far])]
            asked = np.concatenate([asked, np.full((n_classes, 1), last)], axis=1)
    positive = (asked >= starts[a][:, None]) & (asked < starts[a + 1][:, None])                 # (P, R)
    F = _outputs(data, Problems(found.coef, parts, asked), n_jobs) - np.where(positive, 1.0, -1.0)
    row = np.broadcast_to(a[:, None], asked.shape) if data.strategy == "ovr" else \
        np.where(positive, parts[:, 0, :1], parts[:, 1, :1])
    beta, C = found.coef[row, asked], bounds[asked]
    return _violation(F, beta, positive, C), np.abs(F[:, :2] - found.F).max(axis=1)


def _remainder(data: TrainingSet, coef: np.ndarray) -> np.ndarray:
    """Return by how much sum(beta), which should be 0, can move an output of each problem, (P,)."""
    return np.abs(_over_problems(np.add, data, coef)) * data.frame.largest


def _largest(data: TrainingSet, coef: np.ndarray) -> np.ndarray:
    """Return the largest |beta| of each problem, (P,)."""
    return _over_problems(np.maximum, data, np.abs(coef))


def _norms(data: TrainingSet, coef: np.ndarray) -> np.ndarray:
    """Return |beta| of each problem, (P,): the root of the sum of squares."""
    return np.sqrt(_over_problems(np.add, data, coef * coef))


def _over_problems(combine: np.ufunc, data: TrainingSet, values: np.ndarray) -> np.ndarray:
    """Reduce `values`, laid out as the coefficients, over the samples of each problem; return (P,)."""
    if data.strategy == "ovr":
        return combine.reduce(values, axis=1)
    of_class = combine.reduceat(values, data.starts[:-1], axis=1)                       # (K - 1, K)
    a, b = pairs(len(data.starts) - 1).T
    row_a, row_b = coef_rows(a, b)
    return combine(of_class[row_a, a], of_class[row_b, b])


def _violation(F: np.ndarray, beta: np.ndarray, positive: np.ndarray, C: np.ndarray) -> np.ndarray:
    """Return max of F over `low` minus min of F over `up`, along the last axis."""
    up, low = beta < np.where(positive, C, 0.0), beta > np.where(positive, 0.0, -C)
    return np.where(low, F, -np.inf).max(axis=-1) - np.where(up, F, np.inf).min(axis=-1)


def _farthest(data: TrainingSet) -> np.ndarray:
    """Return the sample of the largest norm in each class, (K,)."""
    norms, starts = data.frame.norms, data.starts
    return np.array([start + np.argmax(norms[start:stop]) for start, stop in pairwise(starts)])


def _outputs(data: TrainingSet, problems: Problems, n_jobs: int | None) -> np.ndarray:
    """Return the outputs of the samples asked for, (P, R) float64, some problems at a time in each thread."""
    frame, X = data.frame, data.X
    if callable(frame.kernel.name):
        return np.array(joblib.Parallel(n_jobs=n_jobs, prefer="threads")(
            joblib.delayed(_outputs_by)(frame.kernel, X[asked], *_support(X, problems.coef, part))
            for part, asked in zip(problems.parts, problems.asked)))
    given = frame.kernel.name == "precomputed"
    origin = np.zeros(0 if given else X.shape[1]) if frame.origin is None else frame.origin
    formula = Formula(FORMULAS[frame.kernel.name], frame.kernel.gamma, frame.kernel.coef0, frame.kernel.degree, origin,
                      1 / frame.unit if given else frame.scale)
    out = np.empty(problems.asked.shape)
    chunks = [slice(start, start + _CHUNK) for start in range(0, len(out), _CHUNK)]
    joblib.Parallel(n_jobs=n_jobs, require="sharedmem")(
        joblib.delayed(outputs)(X, formula, Problems(problems.coef, problems.parts[some], problems.asked[some]),
                                out[some]) for some in chunks)
    return out


def _support(X: np.ndarray, coef: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the support vectors of a problem, of which `part` is that of `Problems`, and their beta."""
    beta = np.concatenate([coef[row, start:stop] for row, start, stop in part])
    samples = np.concatenate([np.arange(start, stop) for _, start, stop in part])[beta != 0]
    return X[samples], beta[beta != 0]


def _outputs_by(kernel: Kernel, A: np.ndarray, vectors: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Return the outputs of samples by a kernel function of the user's, (len(A),) float64."""
    return kernel_block(kernel, A.astype(np.float64), vectors.astype(np.float64)) @ beta


def _everywhere(data: TrainingSet, wide: Gram, found: MulticlassSolution, bounds: np.ndarray, which: np.ndarray,
                n_jobs: int | None) -> np.ndarray:
    """Return the violation of some problems, from F in float64 at all of their samples."""
    with one_blas_thread():
        return np.array(joblib.Parallel(n_jobs=n_jobs, prefer="threads")(
            joblib.delayed(_violation_of)(wide, data.starts, data.strategy, found.coef, bounds, p)
            for p in which.tolist()))


def _violation_of(wide: Gram, starts: np.ndarray, strategy: str, coef: np.ndarray, bounds: np.ndarray, p: int) -> float:
    """Return the violation of problem p."""
    a = pairs(len(starts) - 1)[p, 0] if strategy == "ovo" else p            # the positive class
    parts = places(starts, strategy, p)
    samples = np.concatenate([np.arange(part.start, part.stop) for _, part in parts])
    beta = np.concatenate([coef[row, part] for row, part in parts])
    positive = (samples >= starts[a]) & (samples < starts[a + 1])
    support = np.flatnonzero(beta)
    F, step = np.where(positive, -1.0, 1.0), max(1, _ENTRIES // max(1, len(support)))
    for start in range(0, len(samples), step):
        F[start:start + step] += wide.block(samples[start:start + step], samples[support]) @ beta[support]
    return float(_violation(F, beta, positive, bounds[samples]))
