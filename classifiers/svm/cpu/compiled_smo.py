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
          [ K_ba  K_bb ]       K_ba:       belongs to this pair alone;  K_ab is its transpose, so that every row is
                                           two contiguous pieces: a row of it is written when it is first needed,
                                           and most never are, as few samples become support vectors

  so the n x n matrix of a pair is never assembled. A problem with any other order of labels is the case in which class
  b is empty: the labels are only in the bounds.
- *Many small problems in one call.* `solve_pairs` solves one class against a run of others without a step of Python in
  between: at 300 classes a problem takes 30 us, which is what a dozen calls of NumPy would take.
- *Precision.* K is float32 as a rule, half the memory and traffic, and float64 where float32 is not enough: each
  function is compiled for both. beta and F are float64, so that thousands of updates of F do not drift, and the
  curvature comes from the diagonal of the same matrix: with an exact diagonal beside rounded rows the parabola would
  not be that of the matrix, and two samples could undo each other's steps for ever. When no pair violates the
  conditions any more, F is recomputed from beta; if that finds a violation, the iterations go on.
- *Slices.* `advance` and `solve_pairs` return after a given amount of work with everything they know in arrays, so
  that Python can look for an interrupt every tenth of a second.

Cost of an iteration: 3 n (update) + about 9 n (selection) FLOPs, 12 n bytes of K and 56 n bytes of vectors.

Source: R.-E. Fan, P.-H. Chen, C.-J. Lin 2005, "Working set selection using second order information for training
support vector machines", Journal of Machine Learning Research 6.
"""
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import config
from numba.extending import intrinsic, overload

from classifiers.svm.theory.smo import TAU
from minicnn.plumbing.compiled import njit

__all__ = ["BLOCK", "CONVERGED", "Room", "Sides", "StripMatrix", "Tiles", "Variables", "advance", "gradient", "recheck",
           "solve_pairs"]

BLOCK = 256
RUNNING, CONVERGED, STALLED = 0, 1, 2  # states in which `advance` returns
_NEVER = 1e300  # added to F of a sample that may not move: finite, because the flags below promise no infinities
# Minimum and maximum become vector instructions only if NaN and the sign of 0 need no care ("nnan", "nsz"); "contract"
# allows a fused multiply-add. Nothing allows to reorder sums.
_FLAGS = {"nnan", "nsz", "contract"}


class Tiles(NamedTuple):
    """The Gram matrix of one pair of classes, m samples of class a and n_b of class b; float32 or float64.

    Attributes
    ----------
    K_aa, K_ab, K_ba, K_bb : (m, m), (m, n_b), (n_b, m) and (n_b, n_b) array
        Its four tiles; a row of K_ab is copied from K_ba when it is first needed.
    known : (m,) bool
        Rows of K_ab that have been copied.
    """

    K_aa: np.ndarray
    K_ab: np.ndarray
    K_ba: np.ndarray
    K_bb: np.ndarray
    known: np.ndarray


class Variables(NamedTuple):
    """The variables of a problem, their bounds and the gradient, (n,) float64 each; `beta` and `F` change in place."""

    lower: np.ndarray
    upper: np.ndarray
    beta: np.ndarray
    F: np.ndarray


class StripMatrix(NamedTuple):
    """The Gram matrix of class a and a run of Q other classes with n_b samples; float32 or float64.

    Attributes
    ----------
    K_aa : (m, m) array
        Tile of class a.
    K_ba : (n_b, m) array
        The samples of all classes b against those of class a.
    edges : (Q + 1,) int64
        Class q has the rows from ``edges[q]`` to ``edges[q + 1]`` of `K_ba`.
    blocks, where : 1-D array, (Q,) int64
        The entries of K_bb of class q begin at ``blocks[where[q]]``.
    """

    K_aa: np.ndarray
    K_ba: np.ndarray
    edges: np.ndarray
    blocks: np.ndarray
    where: np.ndarray


class Sides(NamedTuple):
    """The variables of the problems of a strip, which receive the solutions, and the upper bounds of alpha.

    Attributes
    ----------
    C_a, C_b : (m,) and (n_b,) float64
        Upper bounds of alpha.
    beta_a, beta_b : (Q, m) and (n_b,) float64
        The values from which the iterations start, which must be feasible; they receive the solutions.
    """

    C_a: np.ndarray
    C_b: np.ndarray
    beta_a: np.ndarray
    beta_b: np.ndarray


class Room(NamedTuple):
    """Memory for the largest problem of a strip, with n samples, kept between calls.

    Attributes
    ----------
    vectors : (7, n) float64
    K_ab : 1-D array
        At least m times the samples of the largest class b, of the type of the Gram matrix.
    known : (m,) bool
    """

    vectors: np.ndarray
    K_ab: np.ndarray
    known: np.ndarray


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
        start, stop = block * BLOCK, (block + 1) * BLOCK
        part, mask = F[start:stop], up[start:stop]
        smallest = 2 * _NEVER
        for t in range(part.size):
            smallest = _lesser(part[t] + mask[t], smallest)
        lowest[block] = smallest


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def _first(F, up, block, lowest):
    """Return the first position of a block where F + up is `lowest`; a loop that could end early is no vector loop."""
    start = block * BLOCK
    part, mask, first = F[start:start + BLOCK], up[start:start + BLOCK], BLOCK
    for t in range(part.size):
        first = min(first, t if part[t] + mask[t] == lowest else BLOCK)
    return start + first


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def _update(F, up, row_i, row_j, step, lowest):
    """F += step * (K[i] - K[j]), and the smallest F + up of each block."""
    for block in range(lowest.size):
        start, stop = block * BLOCK, (block + 1) * BLOCK
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
    real = gain.dtype.type
    zero, two, tau = real(0), real(2), real(TAU)
    best_gain, best_block, largest = zero, -1, -2 * _NEVER
    for block in range((F.size + BLOCK - 1) // BLOCK):
        start, stop = block * BLOCK, (block + 1) * BLOCK
        part, mask, gains = F[start:stop], low[start:stop], gain[start:stop]
        K_jj, K_ij = diagonal[start:stop], row_i[start:stop]
        block_gain, block_largest = zero, -2 * _NEVER
        for t in range(part.size):
            value = part[t] + mask[t]
            block_largest = _greater(value, block_largest)
            excess = real(_greater(value - F_i, 0.0))
            curvature = _greater(K_ii + K_jj[t] - two * K_ij[t], tau)
            decrease = excess * excess / curvature
            gains[t] = decrease
            block_gain = _greater(decrease, block_gain)
        largest = _greater(block_largest, largest)
        if block_gain > best_gain:
            best_gain, best_block = block_gain, block
    if best_block < 0:
        return best_gain, -1, largest
    start = best_block * BLOCK
    part, j = gain[start:start + BLOCK], BLOCK
    for t in range(part.size):
        j = min(j, t if part[t] == best_gain else BLOCK)
    return best_gain, start + j, largest


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def _row(tiles, i):
    """Row i of the Gram matrix: its piece over class a and its piece over class b."""
    K_aa, K_ab, K_ba, K_bb, known = tiles
    m = K_aa.shape[0]
    if i < m:
        if not known[i]:
            known[i] = True
            piece = K_ab[i]
            for t in range(piece.size):
                piece[t] = K_ba[t, i]
        return K_aa[i], K_ab[i]
    return K_ba[i - m], K_bb[i - m]


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def gradient(tiles, y, beta, F):
    """Write F = K beta - y from scratch, one support vector after the other."""
    m = tiles.K_aa.shape[0]
    for t in range(F.size):
        F[t] = -y[t]
    F_a, F_b = F[:m], F[m:]
    for i in range(beta.size):
        weight = beta[i]
        if weight != 0.0:
            piece_a, piece_b = _row(tiles, i)
            for t in range(F_a.size):
                F_a[t] += weight * piece_a[t]
            for t in range(F_b.size):
                F_b[t] += weight * piece_b[t]


@njit(cache=True, nogil=True)
def recheck(tiles, y, variables):
    """Recompute F; return bias and violation as `classifiers.svm.theory.smo.bias_and_violation`, and the worst pair."""
    lower, upper, beta, F = variables
    gradient(tiles, y, beta, F)
    smallest, largest, total, free = np.inf, -np.inf, 0.0, 0
    i, j = 0, 0
    for t in range(F.size):
        up, low = beta[t] < upper[t], beta[t] > lower[t]
        if up and F[t] < smallest:
            smallest, i = F[t], t
        if low and F[t] > largest:
            largest, j = F[t], t
        if up and low:
            total += F[t]
            free += 1
    if free > 0:
        middle = total / free
    elif np.isfinite(smallest) and np.isfinite(largest):
        middle = (smallest + largest) / 2
    else:
        middle = smallest if np.isfinite(smallest) else largest
    return -middle, largest - smallest, i, j


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def advance(tiles, variables, work, lowest, tol, iterations):
    """Iterate until the gap is below `tol`, nothing moves or `iterations` are done; return the state and how many."""
    lower, upper, beta, F = variables
    K_aa, K_bb = tiles.K_aa, tiles.K_bb
    m, n = K_aa.shape[0], beta.size
    up, low = work[0, :n], work[1, :n]
    diagonal, gain = np.empty(n, K_aa.dtype), np.empty(n, K_aa.dtype)
    F_a, F_b, up_a, up_b = F[:m], F[m:], up[:m], up[m:]
    low_a, low_b, gain_a, gain_b = low[:m], low[m:], gain[:m], gain[m:]
    diagonal_a, diagonal_b = diagonal[:m], diagonal[m:]
    for t in range(n):
        up[t] = 0.0 if beta[t] < upper[t] else _NEVER
        low[t] = 0.0 if beta[t] > lower[t] else -_NEVER
        diagonal[t] = K_aa[t, t] if t < m else K_bb[t - m, t - m]
    blocks_a = (m + BLOCK - 1) // BLOCK
    lowest_a, lowest_b = lowest[:blocks_a], lowest[blocks_a:]
    _smallest(F_a, up_a, lowest_a)
    _smallest(F_b, up_b, lowest_b)
    for done in range(iterations):
        block = 0
        for b in range(1, lowest.size):
            block = b if lowest[b] < lowest[block] else block
        F_i = lowest[block]
        i = _first(F_a, up_a, block, F_i) if block < blocks_a else m + _first(F_b, up_b, block - blocks_a, F_i)
        i_a, i_b = _row(tiles, i)
        gain_of_a, j, largest = _select(F_a, low_a, diagonal_a, i_a, F_i, diagonal[i], gain_a)
        gain_of_b, j_b, largest_b = _select(F_b, low_b, diagonal_b, i_b, F_i, diagonal[i], gain_b)
        if max(largest, largest_b) - F_i < tol:
            return CONVERGED, done
        if gain_of_b > gain_of_a:
            j = m + j_b
        if j < 0:  # a gap above tol, and yet nothing to gain in float32
            return STALLED, done
        j_a, j_b_row = _row(tiles, j)
        k_ij = np.float64(i_a[j]) if j < m else np.float64(i_b[j - m])
        curvature = np.float64(diagonal[i]) + np.float64(diagonal[j]) - 2.0 * k_ij
        step = (F[j] - F_i) / max(curvature, TAU)
        room_i, room_j = upper[i] - beta[i], beta[j] - lower[j]
        step = min(step, room_i, room_j)
        beta_i = upper[i] if step == room_i else beta[i] + step
        beta_j = lower[j] if step == room_j else beta[j] - step
        if beta_i == beta[i] and beta_j == beta[j]:
            return STALLED, done
        beta[i], beta[j] = beta_i, beta_j
        up[i], low[i] = 0.0 if beta_i < upper[i] else _NEVER, 0.0 if beta_i > lower[i] else -_NEVER
        up[j], low[j] = 0.0 if beta_j < upper[j] else _NEVER, 0.0 if beta_j > lower[j] else -_NEVER
        _update(F_a, up_a, i_a, j_a, step, lowest_a)
        _update(F_b, up_b, i_b, j_b_row, step, lowest_b)
    return RUNNING, iterations


@njit(cache=True, nogil=True)
def solve_pairs(matrix, sides, found, state, room, tol, max_iter, work):
    """Solve the problems of class a (+1) against each of some classes b (-1), one after the other.

    Parameters
    ----------
    matrix : StripMatrix
        The parts of the Gram matrix.
    sides : Sides
        Bounds and variables, which receive the solutions.
    found : (Q, 7) float64
        Receives the bias, the iterations and the violation of each problem, the positions of the pair that violates
        most, among the samples of class a and then those of class b, and F there.
    state : (2,) int64
        The problem to go on with after a return, and its iterations so far plus 1; zeros at first.
    room : Room
        Memory that is kept between calls.
    tol : float
        Largest gap of the KKT conditions to accept.
    max_iter : int
        Largest number of iterations of a problem.
    work : int
        The function returns when samples times iterations come to `work`.

    Returns
    -------
    bool
        Whether all is done; if not, call again.
    """
    K_aa, strip, edges, blocks, where = matrix
    C_a, C_b, beta_a, beta_b = sides
    scratch, K_ab, known = room
    m = K_aa.shape[0]
    for q in range(state[0], edges.size - 1):
        first, last = edges[q], edges[q + 1]
        n = m + last - first
        K_ba, K_bb = strip[first:last], blocks[where[q]:where[q] + (n - m)**2].reshape(n - m, n - m)
        tile_ab = K_ab[:m * (n - m)].reshape(m, n - m)
        lower, upper, beta, F, y = scratch[0, :n], scratch[1, :n], scratch[2, :n], scratch[3, :n], scratch[4, :n]
        masks = scratch[5:7]
        tiles, variables = Tiles(K_aa, tile_ab, K_ba, K_bb, known), Variables(lower, upper, beta, F)
        lowest = np.empty((m + BLOCK - 1) // BLOCK + (n - m + BLOCK - 1) // BLOCK)
        if state[1] == 0:
            warm = False
            for t in range(n):
                inside = t < m
                y[t], C, start = (1.0, C_a[t], beta_a[q, t]) if inside else (-1.0, C_b[first + t - m],
                                                                             beta_b[first + t - m])
                lower[t], upper[t], beta[t], F[t] = 0.0 if inside else -C, C if inside else 0.0, start, -y[t]
                warm = warm or start != 0.0
            known[:m] = False
            if warm:
                gradient(tiles, y, beta, F)
            state[1] = 1
        while True:
            done = state[1] - 1
            outcome, steps = advance(tiles, variables, masks, lowest, tol, min(max_iter - done, 1 + work // n))
            done += steps
            state[1] = done + 1
            work -= (steps + 1) * n
            if outcome != RUNNING or done >= max_iter:
                bias, violation, i, j = recheck(tiles, y, variables)
                if outcome != CONVERGED or violation < tol or steps == 0:
                    break
            if work <= 0:
                return False
        beta_a[q], beta_b[first:last] = beta[:m], beta[m:]
        found[q, 0], found[q, 1], found[q, 2] = bias, done, violation
        found[q, 3], found[q, 4], found[q, 5], found[q, 6] = i, j, F[i], F[j]
        state[0], state[1] = q + 1, 0
        if work <= 0:
            return q + 2 == edges.size
    return True
