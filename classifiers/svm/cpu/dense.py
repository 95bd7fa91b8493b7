"""One binary problem on a Gram matrix that exists, by the compiled iterations of ``compiled_smo.py``.

Between two slices of iterations Python has its turn, and with it an interrupt.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from classifiers.svm.cpu.compiled_smo import BLOCK, CONVERGED, Tiles, Variables, advance, gradient, recheck
from classifiers.svm.theory.smo import Solution, bounds, feasible

__all__ = ["SLICE", "minimise", "solve"]

SLICE = 100_000_000  # samples times iterations between two looks at Python: about a tenth of a second


def minimise(K: np.ndarray, F: np.ndarray, beta: np.ndarray, lower: np.ndarray, upper: np.ndarray, tol: float,
             max_iter: int, check: Callable[[], None] | None = None) -> tuple[int, bool]:
    """Minimise over some of the variables, the others held fixed: change `beta` and `F` in place.

    Parameters
    ----------
    K : (n, n) float32 or float64
        Gram matrix of these variables.
    F : (n,) float64
        Gradient, to which the others contribute.
    beta, lower, upper : (n,) float64
        The variables and their bounds; sum(beta) stays what it is.
    tol : float
        Gap of the KKT conditions to reach.
    max_iter : int
        Largest number of iterations.
    check : callable, optional
        Called about every tenth of a second; it may raise to give up.

    Returns
    -------
    iterations : int
    converged : bool
        Whether the gap is below `tol`.
    """
    n, done, tiles = len(K), 0, _whole(K)
    variables = Variables(lower, upper, beta, F)
    work, lowest = np.empty((2, n)), np.empty(-(-n // BLOCK))
    while True:
        state, steps = advance(tiles, variables, work, lowest, tol, min(max_iter - done, 1 + SLICE // n))
        done += steps
        if state or done >= max_iter:
            return done, state == CONVERGED
        if check is not None:
            check()


def solve(K: np.ndarray, y: np.ndarray, C: np.ndarray, tol: float, max_iter: int, beta: np.ndarray | None = None,
          check: Callable[[], None] | None = None) -> Solution:
    """Solve one binary problem on a whole Gram matrix.

    Parameters
    ----------
    K : (n, n) float32 or float64
        Gram matrix.
    y : (n,) array of +1 and -1
        Labels.
    C : (n,) array
        Upper bound of alpha for each sample.
    tol : float
        Largest gap of the KKT conditions to accept.
    max_iter : int
        Largest number of iterations.
    beta : (n,) array, optional
        The values from which the iterations start, made feasible by `theory.smo.feasible`; by default 0.
    check : callable, optional
        Called about every tenth of a second; it may raise to give up.

    Returns
    -------
    Solution
        Its violation is recomputed in float64 from beta, whatever the reason to stop was.

    Examples
    --------
    >>> x, y = np.array([[1.0], [-1.0], [3.0]]), np.array([1, -1, 1])
    >>> solution = solve(x @ x.T, y, C=np.full(3, 10.0), tol=1e-3, max_iter=1000)
    >>> solution.beta, solution.violation
    (array([ 0.5, -0.5,  0. ]), 0.0)
    """
    K, y, C = np.ascontiguousarray(K), np.asarray(y, np.float64), np.asarray(C, np.float64)
    beta = feasible(beta, y, C)
    lower, upper = bounds(y, C)
    F, done, tiles = -y, 0, _whole(K)
    gradient(tiles, y, beta, F)
    while True:
        steps, converged = minimise(K, F, beta, lower, upper, tol, max_iter - done, check)
        done += steps
        bias, violation, i, j = recheck(tiles, y, Variables(lower, upper, beta, F))
        if not converged or violation < tol or steps == 0 or done >= max_iter:
            return Solution(beta, float(bias), done, float(violation), i, j, float(F[i]), float(F[j]))


def _whole(K: np.ndarray) -> Tiles:
    """Return `K` as the tiles of a problem whose class b is empty."""
    nothing = np.empty((0, 0), K.dtype)
    return Tiles(K, np.empty((len(K), 0), K.dtype), nothing, nothing, np.ones(len(K), bool))
