"""Outputs f_i = sum_j beta_j k(x_j, x_i) of a few samples in float64, from the samples themselves.

The fast solver works on kernel values in float32. Whether they were good enough shows in the samples that violate the
KKT conditions most, of which each binary problem has two: their outputs anew, in float64, cost 2 m kernel values where
the solver needed hundreds of times as many.

Why it is fast: a problem has its few rows in one compiled call, without a matrix that is written and read again; the
sums over features run eight at a time in vector registers ("reassoc" allows that), and samples with beta = 0 are passed
over. Samples stay as the user has them, float32 or float64. Their frame (``frame.py``) comes in at the end of a sum,
where float64 loses nothing::

    |z_i - z_j|^2 = |x_i - x_j|^2 scale^2            z_i . z_j = (z_i . x_j - z_i . origin) scale
"""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.plumbing.compiled import njit

__all__ = ["FORMULAS", "Formula", "Problems", "outputs"]

LINEAR, POLY, RBF, SIGMOID, GIVEN = range(5)
FORMULAS = {"linear": LINEAR, "poly": POLY, "rbf": RBF, "sigmoid": SIGMOID, "precomputed": GIVEN}


class Formula(NamedTuple):
    """A kernel function with its frame, as numbers.

    Attributes
    ----------
    code : int
        One of `FORMULAS`.
    gamma, coef0 : float
    degree : int
    origin : (d,) float64
    scale : float
        Factor of the samples after they are moved to `origin`; for "precomputed" the factor of the values.
    """

    code: int
    gamma: float
    coef0: float
    degree: int
    origin: np.ndarray
    scale: float


class Problems(NamedTuple):
    """Binary problems: which coefficients each of them has, and which samples are asked for.

    Attributes
    ----------
    coef : (K - 1, n) or (K, n) float64
        beta of all problems.
    parts : (P, S, 3) int64
        Problem p has the coefficients ``coef[row, start:stop]`` for each (row, start, stop) in ``parts[p]``.
    asked : (P, R) int64
        Samples whose outputs are wanted.
    """

    coef: np.ndarray
    parts: np.ndarray
    asked: np.ndarray


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _squared_distance(a, b):
    total = 0.0
    for t in range(a.size):
        difference = a[t] - np.float64(b[t])
        total += difference * difference
    return total


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _product(a, b):
    total = 0.0
    for t in range(a.size):
        total += a[t] * np.float64(b[t])
    return total


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _exponentials(x, bits, powers):
    """exp(x) in place for x <= 0, as `compiled_gram.finish_rbf` does it, with the terms of float64."""
    for t in range(x.size):
        value = x[t] if x[t] > -708.0 else -708.0
        n = np.floor(value * 1.4426950408889634 + 0.5)
        r = value - n * 0.693147180369123816490 - n * 1.90821492927058770002e-10
        total = 1.0
        for k in range(13, 0, -1):                          # the Taylor polynomial; the next term is below 5e-18
            total = total * r * (1.0 / k) + 1.0
        x[t] = total
        powers[t] = np.int64(n)
    for t in range(x.size):
        bits[t] += powers[t] << np.int64(52)


@njit(cache=True, nogil=True)
def _kernel_values(X, i, support, count, formula, z, values, powers):
    """Write k(x_i, x_j) for the first `count` samples j in `support` to `values`."""
    origin, scale, gamma = formula.origin, formula.scale, formula.gamma
    if formula.code == RBF:                                 # differences need no origin
        for t in range(z.size):
            z[t] = X[i, t]
        for s in range(count):
            values[s] = -gamma * (_squared_distance(z, X[support[s]]) * scale * scale)
        _exponentials(values[:count], values[:count].view(np.int64), powers)
        return
    shift = 0.0
    for t in range(z.size):
        z[t] = (X[i, t] - origin[t]) * scale
        shift += z[t] * origin[t]
    for s in range(count):
        value = (_product(z, X[support[s]]) - shift) * scale
        if formula.code == POLY:
            value = (gamma * value + formula.coef0) ** formula.degree
        elif formula.code == SIGMOID:
            value = np.tanh(gamma * value + formula.coef0)
        values[s] = value


@njit(cache=True, nogil=True)
def outputs(X, formula, problems, out):
    """Write the outputs of the samples ``problems.asked`` to `out`, (P, R) float64; X is (n, d) float32 or float64."""
    coef, parts, asked = problems.coef, problems.parts, problems.asked
    z, values, powers = np.empty(formula.origin.size), np.empty(coef.shape[1]), np.empty(coef.shape[1], np.int64)
    support, beta = np.empty(coef.shape[1], np.int64), np.empty(coef.shape[1])
    for p in range(parts.shape[0]):
        count = 0
        for s in range(parts.shape[1]):
            row, start, stop = parts[p, s]
            for j in range(start, stop):
                support[count], beta[count] = j, coef[row, j]
                count += coef[row, j] != 0.0
        for r in range(asked.shape[1]):
            if formula.code == GIVEN:
                for s in range(count):
                    values[s] = X[asked[p, r], support[s]] * formula.scale
            else:
                _kernel_values(X, asked[p, r], support, count, formula, z, values, powers)
            total = 0.0
            for s in range(count):
                total += beta[s] * values[s]
            out[p, r] = total
