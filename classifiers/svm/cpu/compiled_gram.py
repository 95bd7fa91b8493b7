"""What is done to whole parts of a Gram matrix, fast and without the GIL: exponentials, copies, sums of rows.

Each function writes into memory that the caller owns. `gather` copies float32 values, `add_rows` adds in
float64 in one order, so neither depends on how the work is divided. `squared_distances` adds the squared differences of
features instead of expanding |a - b|^2: nothing cancels, and equal samples are at distance 0 exactly.

`finish_rbf` turns a block of inner products into exp(-gamma |a - b|^2) in one pass. Numba has no vector exponential,
and would call the scalar one of the C library for each entry, so this one is made of operations that vectorise. With
n = round(x / ln 2) and the rest r = x - n ln 2, |r| <= 0.35::

    exp(x) = 2^n exp(r)

where exp(r) is its Taylor polynomial of degree 7 (the next term is below 6e-9), n ln 2 is subtracted in two parts,
the first of which has so few bits that its product with n is exact (Cody and Waite 1980), and 2^n is n added to the
exponent bits of the result. The error is below 1 unit in the last place; an entry takes 0.25 ns with 16 float32 to a
vector.
"""
from __future__ import annotations

import numpy as np

from minicnn.plumbing.compiled import njit

__all__ = ["add_rows", "finish_rbf", "gather", "squared_distances"]

_SPAN = 1024  # entries between the two loops of `_finish_row`: they stay in the first-level cache
_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_C2, _C3, _C4, _C5, _C6, _C7 = (np.float32(1 / factorial) for factorial in (2, 6, 24, 120, 720, 5040))
_ONE, _HALF, _TWO, _ZERO, _FLOOR = np.float32(1), np.float32(0.5), np.float32(2), np.float32(0), np.float32(-87)


@njit(cache=True, nogil=True, fastmath={"contract", "nnan", "nsz"})
def _finish_row(K, bits, square, squares, minus_gamma, power):
    for t in range(K.size):
        x = minus_gamma * (square + squares[t] - _TWO * K[t])
        x = x if x < _ZERO else _ZERO        # rounding can make the distance of near points negative
        x = x if x > _FLOOR else _FLOOR      # exp(-87) = 1.6e-38: below it begin the slow subnormal numbers
        n = np.floor(x * _LOG2_E + _HALF)
        r = x - n * _LN2_HIGH - n * _LN2_LOW
        K[t] = ((((((_C7 * r + _C6) * r + _C5) * r + _C4) * r + _C3) * r + _C2) * r + _ONE) * r + _ONE
        power[t] = np.int32(n)
    for t in range(K.size):                  # apart: a loop that reads its floats as integers would not vectorise
        bits[t] += power[t] << np.int32(23)


@njit(cache=True, nogil=True)
def finish_rbf(K, squares_a, squares_b, gamma):
    """Turn inner products K (m, n) float32 into exp(-gamma |a - b|^2), in place, given |a|^2 and |b|^2."""
    bits, power, minus_gamma = K.view(np.int32), np.empty(_SPAN, np.int32), np.float32(-gamma)
    for i in range(K.shape[0]):
        for start in range(0, K.shape[1], _SPAN):
            stop = min(start + _SPAN, K.shape[1])
            _finish_row(K[i, start:stop], bits[i, start:stop], squares_a[i], squares_b[start:stop], minus_gamma, power)


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def squared_distances(A, B, out):
    """Write |a - b|^2 of all rows of A (m, d) and B (n, d) float64 to `out`, (m, n) float64.

    Eight sums at a time run in a vector ("reassoc"), in the same order for each pair of rows.
    """
    for i in range(A.shape[0]):
        a = A[i]
        for j in range(B.shape[0]):
            b, total = B[j], 0.0
            for t in range(a.size):
                total += (a[t] - b[t]) * (a[t] - b[t])
            out[i, j] = total


@njit(cache=True, nogil=True)
def gather(K, rows, columns, out):
    """Write K[rows][:, columns] to `out`, (len(rows), len(columns))."""
    for r in range(rows.size):
        source, target = K[rows[r]], out[r]
        for c in range(columns.size):
            target[c] = source[columns[c]]


@njit(cache=True, nogil=True, fastmath={"contract"})
def add_rows(F, K, rows, weights, starts):
    """Add weighted rows of K (m, n) float32 to the rows of F (G, n) float64: one row of F is one problem's gradient.

    Problem p gets the rows ``rows[starts[p]:starts[p + 1]]`` of K, times `weights`. A stretch of 1,024 samples of all
    the rows of K stays in the second-level cache while the problems take what they need of it, four rows at a time.
    """
    for start in range(0, F.shape[1], 1024):
        stop = min(start + 1024, F.shape[1])
        for p in range(F.shape[0]):
            part, r, last = F[p, start:stop], starts[p], starts[p + 1]
            while r + 4 <= last:
                a, b = K[rows[r], start:stop], K[rows[r + 1], start:stop]
                c, d = K[rows[r + 2], start:stop], K[rows[r + 3], start:stop]
                wa, wb, wc, wd = weights[r], weights[r + 1], weights[r + 2], weights[r + 3]
                for t in range(part.size):
                    part[t] += (wa * a[t] + wb * b[t]) + (wc * c[t] + wd * d[t])
                r += 4
            while r < last:
                a, wa = K[rows[r], start:stop], weights[r]
                for t in range(part.size):
                    part[t] += wa * a[t]
                r += 1
