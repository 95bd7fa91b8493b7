"""Sequential minimal optimisation: the dual of a support vector machine, solved two variables at a time.

Primal and dual
---------------
Samples x[i] have labels y[i] = +1 or -1. The classifier f(x) = w . phi(x) + b may violate its margin by
xi[i] >= 0, at the price C[i] each::

    min  |w|^2 / 2 + sum_i C[i] xi[i]      subject to   y[i] f(x[i]) >= 1 - xi[i]

Its Lagrange dual has one multiplier 0 <= alpha[i] <= C[i] for each sample, and w = sum alpha[i] y[i] phi(x[i]).
Everything is shorter in beta = y * alpha, because the label disappears from the quadratic term::

    min  D(beta) = beta' K beta / 2 - y' beta      K[i, j] = k(x[i], x[j]), the Gram matrix

    subject to   sum(beta) = 0,   lower <= beta <= upper     y = +1:  0 <= beta <= C
                                                             y = -1: -C <= beta <= 0

    f(x) = sum_i beta[i] k(x[i], x) + b

(sum(beta) = 0 is the condition that the derivative by b vanishes.) Samples with beta != 0 are the support vectors.

When are we done? (Karush-Kuhn-Tucker)
--------------------------------------
Let F = K beta - y be the gradient of D. The sum is fixed, so the only moves are in pairs: beta[i] up and beta[j]
down by the same step. That changes D by step * (F[i] - F[j]) to first order, which must not be negative for any i
that may go up and any j that may go down::

    up = {i: beta[i] < upper[i]}     low = {j: beta[j] > lower[j]}

    optimal   <=>   max over low of F  <=  min over up of F      (we stop at: the gap between them is below tol)

Every free sample (strictly between its bounds) is in both sets, so at the optimum all of these share one value of F;
f = F + y + b must be y there, hence b = -F. Without a free sample any b between the two extremes will do; we take
the middle.

One iteration
-------------
1. Working set: the pair that violates the condition most, i = argmin over up of F, j = argmax over low of F.
2. Along this pair D is a parabola with curvature q = K[i, i] + K[j, j] - 2 K[i, j] = |phi(x[i]) - phi(x[j])|^2;
   its minimum is at step = (F[j] - F[i]) / q.
3. Clip the step, so that neither of the two leaves its bounds.
4. beta[i] += step, beta[j] -= step, and the gradient follows: F += step * (K[i] - K[j]).

Worked example: two points on a line, x = [1, -1], y = [1, -1], the linear kernel, C = 10::

    K = [ 1 -1]   beta = [0, 0]   F = -y = [-1, 1]   gap = 1 - (-1) = 2   q = 1 + 1 + 2 = 4   step = 2 / 4
        [-1  1]   beta = [0.5, -0.5]   F = [0, 0]   gap = 0: done.  b = 0, f(x) = x, and f(1) = 1, f(-1) = -1

Cost: an iteration reads two rows of K and takes O(n); the number of iterations grows a little faster than the number of
support vectors. Pitfalls: a kernel function that is no inner product (sigmoid) may give q <= 0, and so may rounding for
two equal points; then D falls without end along the pair and the bounds stop it (q is replaced by a tiny positive
number). Features on very different scales give a K whose parabolas are long and narrow: scale them first.

What changes in the fast version (``compiled_smo.py``): j is chosen by the largest *decrease* of D along the parabola,
(F[j] - F[i])^2 / (2 q), which knows the curvature and needs fewer iterations; the update of F finds the next i
on its way; K is stored in float32 while beta and F stay in float64.

Sources: J. C. Platt 1998, "Fast training of support vector machines using sequential minimal optimization";
S. S. Keerthi, S. K. Shevade, C. Bhattacharyya, K. R. K. Murthy 2001, "Improvements to Platt's SMO algorithm" (the
maximal violating pair and the two thresholds); R.-E. Fan, P.-H. Chen, C.-J. Lin 2005, "Working set selection using
second order information for training support vector machines".
"""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = ["TAU", "Solution", "bias_and_violation", "bounds", "feasible", "solution", "solve_loops"]

TAU = 1e-12  # curvature of a pair whose own is zero or negative


class Solution(NamedTuple):
    """What solving one binary problem gives.

    Attributes
    ----------
    beta : (n,) float64
        y * alpha: positive for samples of the class +1, negative for the other, 0 away from the margin.
    bias : float
        b of the decision ``K @ beta + b``.
    iterations : int
        Updates of a pair.
    violation : float
        max of F over `low` minus min of F over `up`, recomputed from beta: below `tol` if the solver converged,
        negative if no pair violates anything.
    i, j : int
        The pair that violates most: where F is smallest over `up`, and where it is largest over `low`.
    F_i, F_j : float
        F at these two.
    """

    beta: np.ndarray
    bias: float
    iterations: int
    violation: float
    i: int
    j: int
    F_i: float
    F_j: float


def bounds(y: np.ndarray, C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and the upper bound of beta for each sample, given its label and the bound C of its alpha.

    Examples
    --------
    >>> bounds(np.array([1, -1]), np.array([5.0, 2.0]))
    (array([ 0., -2.]), array([5., 0.]))
    """
    return np.where(y > 0, 0.0, -C), np.where(y > 0, C, 0.0)


def feasible(beta: np.ndarray | None, y: np.ndarray, C: np.ndarray) -> np.ndarray:
    """Return a starting point inside the bounds whose sum is 0, as near to `beta` as is easily had.

    Parameters
    ----------
    beta : (n,) array or None
        A solution for another C, say; None starts from 0.
    y : (n,) array of +1 and -1
        Labels.
    C : (n,) array
        Upper bound of alpha for each sample.

    Returns
    -------
    (n,) float64
        `beta` clipped to the bounds, with the heavier class scaled down until the sum is 0.

    Examples
    --------
    >>> feasible(np.array([3.0, 1.0, -4.0]), np.array([1, 1, -1]), np.array([1.0, 1.0, 1.0]))
    array([ 0.5,  0.5, -1. ])
    """
    if beta is None:
        return np.zeros(len(y))
    beta = np.clip(np.asarray(beta, np.float64), *bounds(y, C))
    positive, negative = beta[beta > 0].sum(), -beta[beta < 0].sum()
    target = min(positive, negative)
    if positive != negative:
        beta[beta > 0] *= target / positive if positive else 0.0
        beta[beta < 0] *= target / negative if negative else 0.0
    return beta


def bias_and_violation(F: np.ndarray, beta: np.ndarray, y: np.ndarray, C: np.ndarray) -> tuple[float, float]:
    """Return the bias and the largest violation of the KKT conditions.

    Parameters
    ----------
    F : (n,) float64
        Gradient K beta - y.
    beta : (n,) float64
        The variables.
    y : (n,) array of +1 and -1
        Labels.
    C : (n,) array
        Upper bound of alpha for each sample.

    Returns
    -------
    bias : float
        Minus the mean of F over the free samples; without any, minus the middle of the two extremes.
    violation : float
        max over low of F - min over up of F; -inf if one of the sets is empty.

    Examples
    --------
    >>> bias_and_violation(np.array([0.25, 0.25]), np.array([0.5, -0.5]), np.array([1, -1]), np.array([1.0, 1.0]))
    (-0.25, 0.0)
    """
    lower, upper = bounds(y, C)
    up, low = beta < upper, beta > lower
    smallest, largest = F[up].min(initial=np.inf), F[low].max(initial=-np.inf)
    free = up & low
    if free.any():
        bias = -float(F[free].mean())
    elif np.isfinite(smallest) and np.isfinite(largest):
        bias = -float(smallest + largest) / 2
    else:  # every sample sits at the same end: the labels are all +1 or all -1
        bias = -float(smallest) if np.isfinite(smallest) else -float(largest)
    return bias, float(largest - smallest)


def solution(F: np.ndarray, beta: np.ndarray, y: np.ndarray, C: np.ndarray, iterations: int) -> Solution:
    """Return what solving one binary problem gives, from the variables and their gradient F.

    Examples
    --------
    >>> found = solution(np.array([-1.0, 1.0]), np.zeros(2), np.array([1, -1]), np.ones(2), iterations=0)
    >>> found.violation, found.i, found.j
    (2.0, 0, 1)
    """
    lower, upper = bounds(y, C)
    bias, violation = bias_and_violation(F, beta, y, C)
    i = int(np.argmin(np.where(beta < upper, F, np.inf)))
    j = int(np.argmax(np.where(beta > lower, F, -np.inf)))
    return Solution(beta, bias, iterations, violation, i, j, float(F[i]), float(F[j]))


def solve_loops(K: np.ndarray, y: np.ndarray, C: np.ndarray, tol: float = 1e-3, max_iter: int = 100_000,
                beta: np.ndarray | None = None, trace: list[Any] | None = None) -> Solution:
    """Solve one binary problem by the maximal violating pair; the algorithm above, line by line.

    Parameters
    ----------
    K : (n, n) array
        Gram matrix.
    y : (n,) array of +1 and -1
        Labels.
    C : (n,) array
        Upper bound of alpha for each sample.
    tol : float
        Stop when the gap between the two extremes of F is below this.
    max_iter : int
        Largest number of updates; if it is reached, `Solution.violation` says what is left.
    beta : (n,) array, optional
        The values from which the iterations start, made feasible by `feasible`; by default 0.
    trace : list, optional
        Receives (i, j, step, gap, objective) for each iteration: the pair, how far it moved, the gap before the
        move and D(beta) after it.

    Returns
    -------
    Solution

    Examples
    --------
    >>> x, y = np.array([[1.0], [-1.0], [3.0]]), np.array([1, -1, 1])
    >>> solution = solve_loops(x @ x.T, y, C=np.full(3, 10.0))
    >>> solution.beta, solution.iterations, solution.violation
    (array([ 0.5, -0.5,  0. ]), 1, 0.0)
    """
    K, y, C = np.asarray(K, np.float64), np.asarray(y), np.asarray(C, np.float64)
    beta = feasible(beta, y, C)
    lower, upper = bounds(y, C)
    F = K @ beta - y                                                                 # (n,) gradient of D
    iterations = 0
    while iterations < max_iter:
        i = int(np.argmin(np.where(beta < upper, F, np.inf)))
        j = int(np.argmax(np.where(beta > lower, F, -np.inf)))
        gap = F[j] - F[i]
        if gap < tol or not (beta[i] < upper[i] and beta[j] > lower[j]):
            break
        curvature = max(K[i, i] + K[j, j] - 2 * K[i, j], TAU)
        room_i, room_j = upper[i] - beta[i], beta[j] - lower[j]
        step = min(gap / curvature, room_i, room_j)
        before = beta[i], beta[j]
        beta[i] = upper[i] if step == room_i else beta[i] + step  # at a bound exactly, or it would stay in `up`
        beta[j] = lower[j] if step == room_j else beta[j] - step
        if (beta[i], beta[j]) == before:  # the step is lost in rounding: nothing would ever change again
            break
        F += step * (K[i] - K[j])
        iterations += 1
        if trace is not None:
            trace.append((i, j, float(step), float(gap), float(beta @ (F - y)) / 2))  # K beta = F + y
    return solution(K @ beta - y, beta, y, C, iterations)
