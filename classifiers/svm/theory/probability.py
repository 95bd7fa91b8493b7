"""From decisions to probabilities: a sigmoid for each binary problem, coupled into one distribution.

A decision f says on which side of the boundary a sample lies, not how sure that is. Platt's answer, for each problem::

    P(positive | f) = 1 / (1 + exp(A f + B))               A < 0 if larger f means more positive samples

A and B minimise the cross-entropy. The targets are not 1 and 0 but (N+ + 1) / (N+ + 2) and 1 / (N- + 2), the posterior
means under a flat prior, or a separable problem would have A run to minus infinity.

For K classes, one-vs-one, a pair says r_ij = P(i | i or j), and K (K - 1) / 2 such statements do not agree on one
distribution p in general. Exact ones would make r_ji p_i = r_ij p_j; Wu, Lin and Weng take the p that comes nearest
(their second method)::

    min over p  sum_i sum_{j != i} (r_ji p_i - r_ij p_j)^2   with sum p = 1
    = 2 p' Q p,   Q_ii = sum_{j != i} r_ji^2,   Q_ij = -r_ji r_ij
    <=>  Q p + lambda e = 0, e' p = 1   <=>   (Q + e e') p = (1 - lambda) e

so p is the solution of one system of K linear equations with a right side of ones, divided by its sum; Q + e e' is
positive definite, and no p_i is negative (their theorems 1 and 2). Consistent statements are returned as they are:
r = p_i / (p_i + p_j) makes Q p = 0. Cost: K^3 / 3 multiplications for each sample.

Sources: Platt 1999, "Probabilistic outputs for support vector machines"; Lin, Lin and Weng 2007, "A note on Platt's
probabilistic outputs", algorithm 1 (Newton's method); Wu, Lin and Weng 2004, "Probability estimates for multi-class
classification by pairwise coupling", section 4.
"""
from __future__ import annotations

import numpy as np
from scipy.special import expit

__all__ = ["couple", "platt"]


def platt(decisions: np.ndarray, positive: np.ndarray, weight: np.ndarray | None = None) -> tuple[float, float]:
    """Fit P(positive | f) = 1 / (1 + exp(A f + B)) by Newton's method with backtracking.

    Parameters
    ----------
    decisions : array, (n,)
        Decisions f on samples that the classifier was not trained on.
    positive : array of bool, (n,)
        Whether each is of the positive class.
    weight : array, (n,), or None
        Number of samples that each entry stands for; None, the default, is 1.

    Returns
    -------
    A, B : float

    Examples
    --------
    >>> A, B = platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([False, False, True, True]))
    >>> round(A, 3), abs(round(B, 3))
    (-0.674, 0.0)
    """
    f = np.asarray(decisions, np.float64)
    w = np.ones(len(f)) if weight is None else weight
    plus, minus = w[positive].sum(), w[~positive].sum()
    t = np.where(positive, (plus + 1) / (plus + 2), 1 / (minus + 2))
    A, B = 0.0, float(np.log((minus + 1) / (plus + 1)))

    def loss(A: float, B: float) -> float:      # -t log p - (1 - t) log(1 - p), and log(1 + e^z) without overflow
        z = A * f + B
        return float(w @ (np.logaddexp(0, z) - (1 - t) * z))

    value = loss(A, B)
    for _ in range(100):                        # ten or so are needed
        p = expit(-(A * f + B))
        slope = w * (t - p)
        gradient = np.array([slope @ f, slope.sum()])
        if np.abs(gradient).max() < 1e-5:
            break
        curve = w * p * (1 - p)
        mixed = curve @ f
        hessian = np.array([[curve @ (f * f), mixed], [mixed, curve.sum()]]) + 1e-12 * np.eye(2)
        move = -np.linalg.solve(hessian, gradient)
        step = 1.0
        while (new := loss(A + step * move[0], B + step * move[1])) >= value + 1e-4 * step * (gradient @ move):
            step /= 2
            if step < 1e-10:                    # rounding allows no further descent
                return A, B
        A, B, value = A + step * float(move[0]), B + step * float(move[1]), new
    return A, B


def couple(r: np.ndarray) -> np.ndarray:
    """Return the distributions over K classes that come nearest to what the pairs say.

    Parameters
    ----------
    r : array, (n, K, K)
        r[:, i, j] = P(i | i or j), inside (0, 1), and r[:, j, i] = 1 - r[:, i, j]; the diagonal does not matter.

    Returns
    -------
    array, (n, K)

    Examples
    --------
    >>> p = np.array([0.5, 0.3, 0.2])
    >>> couple((p[:, None] / (p[:, None] + p))[None]).round(12)
    array([[0.5, 0.3, 0.2]])
    """
    K = r.shape[-1]
    r = np.where(np.eye(K, dtype=bool), 0, r)
    Q = -r * r.transpose(0, 2, 1)                                                           # (n, K, K)
    Q[:, np.arange(K), np.arange(K)] = (r * r).sum(axis=1)
    p = np.linalg.solve(Q + 1, np.ones((len(r), K, 1)))[..., 0]                             # (n, K)
    p = np.maximum(p, 0)                        # rounding can leave -1e-17
    return p / p.sum(axis=1, keepdims=True)
