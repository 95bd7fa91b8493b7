"""Sequential minimal optimisation made fast: the same algorithm as ``smo.py``, arranged for vector units and caches.

What changes, and why
---------------------
- *Second-order working set* (Fan, Chen, Lin 2005, WSS 2): i as before; j is the sample of `low` with the largest
  decrease of the objective, (F[j] - F[i])^2 / q[j]. It costs a division per sample, in float32, as it only decides in
  which order the pairs come, and saves many iterations.
- *No branches in the loops over samples.* Whether a sample may go up is added as a number: ``up[t]`` is 0 if it may
  and 1e300 if not, so the minimum of F + up is the minimum over the set; `low` likewise with -1e300. The compiler then
  turns the loops into vector instructions.
- *Blocks of 256 samples.* A vector loop finds the smallest value of a block; only the winning block is searched for
  its position.
- *Fused*: the update of F by this pair finds the smallest value of each block for the next iteration on its way.
- *Two kinds of samples, four tiles.* The samples are sorted by class; the Gram matrix of one pair of classes is ::

      K = [ K_aa  K_ab ]       K_aa, K_bb: one for each class, shared by all problems in which it takes part
          [ K_ba  K_bb ]       K_ab:       belongs to this pair alone;  K_ba is its transpose, stored, so that
                                           every row is two contiguous pieces

  so the n x n matrix of a pair is never assembled. A problem with any other order of labels is the case in which class
  b is empty: the labels are only in the bounds.
- *Precision.* K is float32, half the memory and traffic. beta and F are float64, so that thousands of updates of F do
  not drift, and the curvature comes from the diagonal of the same float32 matrix: with an exact diagonal beside
  rounded rows the parabola would not be that of the matrix, and two samples could undo each other's steps for ever.
  When no pair violates the conditions any more, F is recomputed from beta; if that finds a violation, the iterations
  go on.
- *Slices.* `_advance` returns after a given number of iterations with everything it knows in arrays, so that Python can
  look for an interrupt every tenth of a second.

Cost of an iteration: 3 n (update) + about 9 n (selection) FLOPs, 12 n bytes of K and 56 n bytes of vectors.

Source: R.-E. Fan, P.-H. Chen, C.-J. Lin 2005, "Working set selection using second order information for training
support vector machines", Journal of Machine Learning Research 6.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import config, njit
from numba.extending import intrinsic, overload

from classifiers.svm.smo import TAU, Solution, bounds, feasible

__all__ = ["SLICE", "Tiles", "minimise", "solve", "solve_tiles"]

Tiles = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # K_aa, K_ab, K_ba, K_bb

SLICE = 100_000_000  # samples times iterations between two looks at Python: about a tenth of a second
_BLOCK = 256
_RUNNING, _CONVERGED, _STALLED = 0, 1, 2  # states in which `_advance` returns
_TAU = np.float32(TAU)
_NEVER = 1e300  # added to F of a sample that may not move: finite, because the flags below promise no infinities
# Minimum and maximum become vector instructions only if NaN and the sign of 0 need no care ("nnan", "nsz"); "contract"
# allows a fused multiply-add. Nothing allows to reorder sums.
_FLAGS = {"nnan", "nsz", "contract"}

def _lesser(a, b):
    return a if a < b else b


def _greater(a, b):
    return a if a > b else b


def _select_instruction(predicate):
    """Return the LLVM form of ``a if a <predicate> b else b``: a select that is marked as free of NaN.

    Numba compiles the Python form to a branch, and LLVM makes a vector minimum of a loop only from a marked select.
    """
    def typed(context, a, b):
        def generate(context, builder, signature, args):
            condition = builder.fcmp_ordered(predicate, *args, flags=("nnan", "nsz"))
            return builder.select(condition, *args, flags=("nnan", "nsz"))
        return a(a, a), generate
    return intrinsic(typed)


if not config.DISABLE_JIT:  # type: ignore[attr-defined]
    _select_lesser, _select_greater = _select_instruction("<"), _select_instruction(">")
    overload(_lesser)(lambda a, b: lambda a, b: _select_lesser(a, b))
    overload(_greater)(lambda a, b: lambda a, b: _select_greater(a, b))


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def _smallest(F, up, lowest):
    """Write the smallest F + up of each block to `lowest`."""
    for block in range(lowest.size):
        start, stop = block * _BLOCK, (block + 1) * _BLOCK
        part, mask = F[start:stop], up[start:stop]
        smallest = 2 * _NEVER
        for t in range(part.size):
            smallest = _lesser(part[t] + mask[t], smallest)
        lowest[block] = smallest


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def _update(F, up, row_i, row_j, step, lowest):
    """F += step * (K[i] - K[j]), and the smallest F + up of each block."""
    for block in range(lowest.size):
        start, stop = block * _BLOCK, (block + 1) * _BLOCK
        part, mask, a, b = F[start:stop], up[start:stop], row_i[start:stop], row_j[start:stop]
        smallest = 2 * _NEVER
        for t in range(part.size):
            value = part[t] + step * (np.float64(a[t]) - np.float64(b[t]))
            part[t] = value
            smallest = _lesser(value + mask[t], smallest)
        lowest[block] = smallest


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def _select(F, low, diagonal, row_i, F_i, K_ii, gain):
    """Find the j of largest decrease: return (its gain, its position or -1, largest F over low)."""
    best_gain, best_block, largest = np.float32(0), -1, -2 * _NEVER
    for block in range((F.size + _BLOCK - 1) // _BLOCK):
        start, stop = block * _BLOCK, (block + 1) * _BLOCK
        part, mask, gains = F[start:stop], low[start:stop], gain[start:stop]
        K_jj, K_ij = diagonal[start:stop], row_i[start:stop]
        block_gain, block_largest = np.float32(0), -2 * _NEVER
        for t in range(part.size):
            value = part[t] + mask[t]
            block_largest = _greater(value, block_largest)
            excess = np.float32(_greater(value - F_i, 0.0))
            curvature = _greater(K_ii + K_jj[t] - np.float32(2) * K_ij[t], _TAU)
            decrease = excess * excess / curvature
            gains[t] = decrease
            block_gain = _greater(decrease, block_gain)
        largest = _greater(block_largest, largest)
        if block_gain > best_gain:
            best_gain, best_block = block_gain, block
    if best_block < 0:
        return best_gain, -1, largest
    j = best_block * _BLOCK
    while gain[j] != best_gain:
        j += 1
    return best_gain, j, largest


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def _row(K_aa, K_ab, K_ba, K_bb, i):
    """Row i of the Gram matrix: its piece over class a and its piece over class b."""
    m = K_aa.shape[0]
    if i < m:
        return K_aa[i], K_ab[i]
    return K_ba[i - m], K_bb[i - m]


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def _gradient(K_aa, K_ab, K_ba, K_bb, y, beta, F):
    """F = K beta - y from scratch, one support vector after the other."""
    m = K_aa.shape[0]
    for t in range(F.size):
        F[t] = -y[t]
    F_a, F_b = F[:m], F[m:]
    for i in range(beta.size):
        weight = beta[i]
        if weight != 0.0:
            piece_a, piece_b = _row(K_aa, K_ab, K_ba, K_bb, i)
            for t in range(F_a.size):
                F_a[t] += weight * piece_a[t]
            for t in range(F_b.size):
                F_b[t] += weight * piece_b[t]


@njit(cache=True, nogil=True)
def _recheck(K_aa, K_ab, K_ba, K_bb, y, lower, upper, beta, F):
    """Recompute F, and return what `classifiers.svm.smo.bias_and_violation` does."""
    _gradient(K_aa, K_ab, K_ba, K_bb, y, beta, F)
    smallest, largest, total, free = np.inf, -np.inf, 0.0, 0
    for t in range(F.size):
        up, low = beta[t] < upper[t], beta[t] > lower[t]
        if up:
            smallest = min(smallest, F[t])
        if low:
            largest = max(largest, F[t])
        if up and low:
            total += F[t]
            free += 1
    if free > 0:
        middle = total / free
    elif np.isfinite(smallest) and np.isfinite(largest):
        middle = (smallest + largest) / 2
    else:
        middle = smallest if np.isfinite(smallest) else largest
    return -middle, largest - smallest


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def _advance(K_aa, K_ab, K_ba, K_bb, lower, upper, beta, F, work, lowest, tol, iterations):
    """Iterate until the gap is below `tol`, nothing moves or `iterations` are done; return the state and how many."""
    m, n = K_aa.shape[0], beta.size
    up, low = work[0], work[1]
    diagonal, gain = np.empty(n, np.float32), np.empty(n, np.float32)
    F_a, F_b, up_a, up_b = F[:m], F[m:], up[:m], up[m:]
    low_a, low_b, gain_a, gain_b = low[:m], low[m:], gain[:m], gain[m:]
    diagonal_a, diagonal_b = diagonal[:m], diagonal[m:]
    for t in range(n):
        up[t] = 0.0 if beta[t] < upper[t] else _NEVER
        low[t] = 0.0 if beta[t] > lower[t] else -_NEVER
        diagonal[t] = K_aa[t, t] if t < m else K_bb[t - m, t - m]
    blocks_a = (m + _BLOCK - 1) // _BLOCK
    lowest_a, lowest_b = lowest[:blocks_a], lowest[blocks_a:]
    _smallest(F_a, up_a, lowest_a)
    _smallest(F_b, up_b, lowest_b)
    for done in range(iterations):
        block = 0
        for b in range(1, lowest.size):
            block = b if lowest[b] < lowest[block] else block
        F_i = lowest[block]
        i = block * _BLOCK if block < blocks_a else m + (block - blocks_a) * _BLOCK
        while F[i] + up[i] != F_i:
            i += 1
        i_a, i_b = _row(K_aa, K_ab, K_ba, K_bb, i)
        gain_of_a, j, largest = _select(F_a, low_a, diagonal_a, i_a, F_i, diagonal[i], gain_a)
        gain_of_b, j_b, largest_b = _select(F_b, low_b, diagonal_b, i_b, F_i, diagonal[i], gain_b)
        if max(largest, largest_b) - F_i < tol:
            return _CONVERGED, done
        if gain_of_b > gain_of_a:
            j = m + j_b
        if j < 0:  # a gap above tol, and yet nothing to gain in float32
            return _STALLED, done
        j_a, j_b_row = _row(K_aa, K_ab, K_ba, K_bb, j)
        k_ij = np.float64(i_a[j]) if j < m else np.float64(i_b[j - m])
        curvature = np.float64(diagonal[i]) + np.float64(diagonal[j]) - 2.0 * k_ij
        step = (F[j] - F_i) / max(curvature, TAU)
        room_i, room_j = upper[i] - beta[i], beta[j] - lower[j]
        step = min(step, room_i, room_j)
        beta_i = upper[i] if step == room_i else beta[i] + step
        beta_j = lower[j] if step == room_j else beta[j] - step
        if beta_i == beta[i] and beta_j == beta[j]:
            return _STALLED, done
        beta[i], beta[j] = beta_i, beta_j
        up[i], low[i] = 0.0 if beta_i < upper[i] else _NEVER, 0.0 if beta_i > lower[i] else -_NEVER
        up[j], low[j] = 0.0 if beta_j < upper[j] else _NEVER, 0.0 if beta_j > lower[j] else -_NEVER
        _update(F_a, up_a, i_a, j_a, step, lowest_a)
        _update(F_b, up_b, i_b, j_b_row, step, lowest_b)
    return _RUNNING, iterations


def solve_tiles(tiles: Tiles, y: np.ndarray, C: np.ndarray, tol: float, max_iter: int, beta: np.ndarray | None = None,
                check: Callable[[], None] | None = None) -> Solution:
    """Solve one binary problem whose Gram matrix is given as four tiles.

    Parameters
    ----------
    tiles : tuple of arrays, float32, C-contiguous
        K_aa (m, m), K_ab (m, n - m), K_ba (n - m, m) and K_bb (n - m, n - m).
    y : (n,) array of +1 and -1
        In any order; usually +1 for the m samples of class a and -1 for the others.
    C : (n,) array
        Upper bound of alpha for each sample.
    tol : float
        Largest gap of the KKT conditions to accept.
    max_iter : int
        Largest number of iterations.
    beta : (n,) array, optional
        Where to start (see `classifiers.svm.smo.feasible`).
    check : callable, optional
        Called about every tenth of a second; it may raise to give up.

    Returns
    -------
    Solution
        With the violation recomputed in float64 from beta, whatever the reason to stop.
    """
    y, C = np.asarray(y, np.float64), np.asarray(C, np.float64)
    n, m, warm = len(y), len(tiles[0]), beta is not None
    beta = feasible(beta, y, C)
    lower, upper = bounds(y, C)
    F, work, lowest = -y, np.empty((2, n)), np.empty(-(-m // _BLOCK) - (m - n) // _BLOCK)
    if warm:
        _gradient(*tiles, y, beta, F)
    done = 0
    while True:
        state, steps = _advance(*tiles, lower, upper, beta, F, work, lowest, tol, min(max_iter - done, 1 + SLICE // n))
        done += steps
        if state or done >= max_iter:
            bias, violation = _recheck(*tiles, y, lower, upper, beta, F)
            if state != _CONVERGED or violation < tol or steps == 0:
                return Solution(beta, float(bias), done, float(violation))
        if check is not None:
            check()


def minimise(K: np.ndarray, F: np.ndarray, beta: np.ndarray, lower: np.ndarray, upper: np.ndarray, tol: float,
             max_iter: int, check: Callable[[], None] | None = None) -> int:
    """Minimise over some of the variables, the others held fixed: change `beta` and `F` in place.

    Parameters
    ----------
    K : (n, n) float32
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
    int
        Iterations.
    """
    n = len(K)
    nothing = np.empty((0, 0), np.float32)
    tiles = K, np.empty((n, 0), np.float32), nothing, nothing
    work, lowest = np.empty((2, n)), np.empty(-(-n // _BLOCK))
    done = 0
    while True:
        state, steps = _advance(*tiles, lower, upper, beta, F, work, lowest, tol, min(max_iter - done, 1 + SLICE // n))
        done += steps
        if state or done >= max_iter:
            return done
        if check is not None:
            check()


def solve(K: np.ndarray, y: np.ndarray, C: np.ndarray, tol: float, max_iter: int,
          beta: np.ndarray | None = None) -> Solution:
    """Solve one binary problem on a whole Gram matrix.

    Parameters
    ----------
    K : (n, n) array
        Gram matrix; converted to float32.
    y : (n,) array of +1 and -1
        Labels.
    C : (n,) array
        Upper bound of alpha for each sample.
    tol : float
        Largest gap of the KKT conditions to accept.
    max_iter : int
        Largest number of iterations.
    beta : (n,) array, optional
        Where to start.

    Returns
    -------
    Solution

    Examples
    --------
    >>> x, y = np.array([[1.0], [-1.0], [3.0]]), np.array([1, -1, 1])
    >>> solution = solve(x @ x.T, y, C=np.full(3, 10.0), tol=1e-3, max_iter=1000)
    >>> solution.beta, solution.violation
    (array([ 0.5, -0.5,  0. ]), 0.0)
    """
    K = np.ascontiguousarray(K, np.float32)
    n = len(K)
    nothing = np.empty((0, 0), np.float32)
    return solve_tiles((K, np.empty((n, 0), np.float32), nothing, nothing), y, C, tol, max_iter, beta)
