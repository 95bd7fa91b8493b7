"""Is the solution right? A certificate per binary problem, computed in float64 from nothing but data and answer.

A solver may be wrong in its kernel, its gradient or its stopping rule, and would then believe its own numbers. So
this module shares no arithmetic with it: kernel values anew and in float64, outputs from the coefficients, and from
those the two numbers that bound how far any answer is from the optimum.

A binary problem has samples x_i with y_i = +-1 and upper bounds C_i. Its solution is written beta_i = y_i alpha_i
and a bias b; f_i = sum_j beta_j k(x_j, x_i) is the output without the bias::

    dual       D = sum_i |beta_i| - 1/2 sum_i beta_i f_i         to be maximised; 0 <= alpha_i <= C_i, sum beta_i = 0
    primal     P = 1/2 sum_i beta_i f_i + sum_i C_i max(0, 1 - y_i (f_i + b))                       to be minimised
    D <= optimum <= P                                            so the gap P - D bounds the error of both

The KKT conditions say: no pair of samples is left whose step would raise D. Where beta_i may rise (it is under
its upper end, C_i for y = +1 and 0 for y = -1) b must be at least y_i - f_i, where it may fall at most y_i - f_i.
One b does for all only if::

    violation = max(y_i - f_i : beta_i may rise) - min(y_i - f_i : beta_i may fall) <= 0

and the solver stops once this is under `tol` (it is the stopping rule of LIBSVM as well).

Two samples on a line, x = +1 and x = -1, linear kernel, C = 10: the optimum is alpha = 1/2 for both::

    beta = (1/2, -1/2)    f = (1, -1)    y - f = (0, 0): violation 0, b = 0
    D = 1 - 1/2 * 1 = 1/2                P = 1/2 + 0 = 1/2: gap 0

Cost: n * m kernel values for n samples and m support vectors, 8 bytes each but only a block of rows at a time. That
takes about as long as the fit itself, which has half of the values to compute, in float32, but also has to solve: so
it is done only when somebody asks for it.

Sources: Keerthi et al. 2001, "Improvements to Platt's SMO algorithm", equation 5 (the violation); Cristianini and
Shawe-Taylor 2000, section 7.2 (the gap as a certificate).
"""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from classifiers.svm.theory.kernel_functions import Kernel, kernel_values

__all__ = ["FIELDS", "Certificates", "Solved", "certify", "outputs_in_pairs"]

FIELDS = np.dtype([("violation", "f8"), ("primal", "f8"), ("dual", "f8"), ("gap", "f8"), ("sum_y_alpha", "f8"),
                   ("n_bounded", "i8"), ("n_support", "i8")])
_BLOCK_BYTES = 1 << 25      # of kernel values at a time; a few arrays of this size live at once


class Certificates:
    """The certificates of all binary problems of a fit; prints as a summary with the worst of them.

    Parameters
    ----------
    table : array, (n_problems,) of `FIELDS`
        One row per problem: ``violation``, ``primal``, ``dual``, ``gap`` = primal - dual, ``sum_y_alpha``,
        ``n_bounded`` support vectors with alpha = C, and all ``n_support``.
    names : list of str
        Names of the problems, as `problem_names` returns them.

    Examples
    --------
    >>> table = np.array([(1e-4, 2.002, 2.0, 0.002, 0.0, 3, 8), (5e-4, 1.0, 1.0, 0.0, 0.0, 0, 4)], FIELDS)
    >>> found = Certificates(table, ["classes cod and eel", "classes cod and ray"])
    >>> found["n_bounded"]
    array([3, 0])
    >>> found
    2 binary problems, recomputed in float64
      KKT violation        at most 5.0e-04 (classes cod and ray)
      relative gap         at most 1.0e-03 (classes cod and eel)
      |sum of y * alpha|   at most 0.0e+00 (classes cod and eel)
      support vectors      4 to 8, of them 0 to 3 at their bound
    """

    def __init__(self, table: np.ndarray, names: list[str]) -> None:
        self.table, self.names = table, names

    def __getitem__(self, key: Any) -> Any:
        return self.table[key]

    def __len__(self) -> int:
        return len(self.table)

    def relative_gap(self) -> np.ndarray:
        """Return the gap of each problem relative to its primal objective, (n_problems,)."""
        return self["gap"] / np.maximum(np.abs(self["primal"]), np.finfo(float).tiny)

    def __repr__(self) -> str:
        lines = [f"{len(self)} binary problem{'s' * (len(self) > 1)}, recomputed in float64"]
        for what, values in (("KKT violation", self["violation"]), ("relative gap", self.relative_gap()),
                             ("|sum of y * alpha|", np.abs(self["sum_y_alpha"]))):
            worst = int(np.argmax(values))
            lines.append(f"  {what:<20} at most {values[worst]:.1e} ({self.names[worst]})")
        n, bounded = self["n_support"], self["n_bounded"]
        lines.append(f"  support vectors      {n.min()} to {n.max()}, of them {bounded.min()} to {bounded.max()} "
                     "at their bound")
        return "\n".join(lines)


def outputs_in_pairs(block: np.ndarray, coef: np.ndarray, edges: np.ndarray, c: int) -> np.ndarray:
    """Return the outputs, without bias, of samples of class c in the K - 1 pairs that class takes part in.

    Parameters
    ----------
    block : array, (n, m)
        Kernel values of the samples and the support vectors.
    coef : array, (K - 1, m)
        Coefficients in LIBSVM's layout: for a support vector of class d, the pair with c is in row c - (c > d).
    edges : array of int, (K + 1,)
        Position of each class's first support vector.
    c : int
        The class.

    Returns
    -------
    array, (n, K - 1)
        A column for each other class, ascending.
    """
    own = slice(edges[c], edges[c + 1])
    outputs = block[:, own] @ coef[:, own].T                                        # (n, K-1)
    for column, d in enumerate(np.delete(np.arange(len(edges) - 1), c)):
        theirs = slice(edges[d], edges[d + 1])
        outputs[:, column] += block[:, theirs] @ coef[c - (c > d), theirs]
    return outputs


class Solved(NamedTuple):
    """The solved problems of a fit: the arguments of `certify`, where they are described."""

    kernel: Kernel
    X: np.ndarray
    starts: np.ndarray
    C: np.ndarray
    support: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    strategy: str


def certify(kernel: Kernel, X: np.ndarray, starts: np.ndarray, C: np.ndarray, support: np.ndarray, coef: np.ndarray,
            intercept: np.ndarray, strategy: str) -> np.ndarray:
    """Compute the certificates of all binary problems.

    Parameters
    ----------
    kernel : Kernel
        The kernel function; for "precomputed", `X` holds the kernel values.
    X : array, (n, d), or (n, n) of kernel values
        The training samples, sorted by class.
    starts : array of int, (K + 1,)
        Class k has the samples from ``starts[k]`` to ``starts[k + 1]``.
    C : array, (n,)
        Upper bound of alpha of each sample.
    support : array of int, (m,)
        Rows of `X` that are support vectors, ascending.
    coef : array, (K - 1, m) for "ovo", (K, m) for "ovr"
        Their beta: for "ovo" laid out as `MulticlassSolution.coef`, where the first class of a pair is +1.
    intercept : array, (n_problems,)
        The biases.
    strategy : {"ovo", "ovr"}
        What the binary problems are: one for each pair of classes, or one for each class.

    Returns
    -------
    array, (n_problems,) of `FIELDS`
    """
    K = len(starts) - 1
    precomputed = isinstance(kernel.name, str) and kernel.name == "precomputed"
    # Without their mean samples keep more digits: distances do not change, and neither does f = sum_j beta_j <x_j, x>
    # when the mean is taken off x_j, because sum(beta) = 0. The other kernel functions depend on where samples lie.
    origin = X.mean(axis=0, dtype=np.float64) if kernel.name in ("linear", "rbf") else 0.0
    vectors = X[:0] if precomputed else X[support].astype(np.float64) - origin      # (m, d)
    if kernel.name != "rbf":
        origin = 0.0
    edges = np.searchsorted(support, starts)                # where each class starts among the support vectors
    if strategy == "ovo":
        first, second = np.triu_indices(K, 1)
        bias = np.zeros((K, K))
        bias[first, second] = bias[second, first] = intercept
    totals = np.zeros((len(_Sums.NAMES), K, K if strategy == "ovo" else 1))
    totals[_Sums.RISE], totals[_Sums.FALL] = -np.inf, np.inf
    step = max(1, _BLOCK_BYTES // (8 * max(len(support), 1)))
    for c in range(K):
        for i0 in range(starts[c], starts[c + 1], step):
            i1 = min(i0 + step, starts[c + 1])
            block = X[i0:i1, support].astype(np.float64) if precomputed else \
                kernel_values(kernel, X[i0:i1] - origin, vectors)
            at = slice(*np.searchsorted(support, [i0, i1]))                         # support vectors of these rows
            beta = np.zeros((i1 - i0, len(coef)))                                   # (rows, problems of class c)
            beta[support[at] - i0] = coef[:, at].T
            if strategy == "ovr":
                y = np.where(np.arange(K) == c, 1.0, -1.0)                          # (K,)
                _Sums.add(totals[:, :, 0], beta, block @ coef.T, y, intercept, C[i0:i1])
                continue
            others = np.delete(np.arange(K), c)                                     # (K-1,)
            output = outputs_in_pairs(block, coef, edges, c)                        # (rows, K-1)
            sums = totals[:, c, others]
            _Sums.add(sums, beta, output, np.where(c < others, 1.0, -1.0), bias[c, others], C[i0:i1])
            totals[:, c, others] = sums
    if strategy == "ovo":
        totals = _Sums.join(totals[:, first, second], totals[:, second, first])     # both classes of a pair
    return _Sums.table(totals.reshape(len(_Sums.NAMES), -1))


class _Sums:
    """What a certificate is made of, added up over blocks of rows; arrays of shape (len(NAMES), ..., problems)."""

    NAMES = ("rise", "fall", "alpha", "norm", "loss", "beta", "bounded", "support")
    RISE, FALL, ALPHA, NORM, LOSS, BETA, BOUNDED, SUPPORT = range(8)

    @staticmethod
    def add(sums: np.ndarray, beta: np.ndarray, output: np.ndarray, y: np.ndarray, bias: np.ndarray,
            C: np.ndarray) -> None:
        """Add a block: `beta` and `output` (rows, P), `y` and `bias` (P,), `C` (rows,) to `sums` (8, P)."""
        C = C[:, None]
        score = y - output
        block = np.stack([
            np.where(beta < np.where(y > 0, C, 0), score, -np.inf).max(0),
            np.where(beta > np.where(y > 0, 0, -C), score, np.inf).min(0),
            np.abs(beta).sum(0),
            (beta * output).sum(0),
            (C * np.maximum(0, 1 - y * (output + bias))).sum(0),
            beta.sum(0),
            ((np.abs(beta) >= C) & (beta != 0)).sum(0),
            (beta != 0).sum(0)])
        sums[...] = _Sums.join(sums, block)

    @staticmethod
    def join(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the sums over two disjoint sets of rows."""
        both = a + b
        both[_Sums.RISE] = np.maximum(a[_Sums.RISE], b[_Sums.RISE])
        both[_Sums.FALL] = np.minimum(a[_Sums.FALL], b[_Sums.FALL])
        return both

    @staticmethod
    def table(sums: np.ndarray) -> np.ndarray:
        """Return the certificates, (problems,) of `FIELDS`."""
        table = np.zeros(sums.shape[1], FIELDS)
        table["violation"] = np.maximum(sums[_Sums.RISE] - sums[_Sums.FALL], 0)
        table["dual"] = sums[_Sums.ALPHA] - sums[_Sums.NORM] / 2
        table["primal"] = sums[_Sums.NORM] / 2 + sums[_Sums.LOSS]
        table["gap"] = table["primal"] - table["dual"]
        table["sum_y_alpha"] = sums[_Sums.BETA]
        table["n_bounded"], table["n_support"] = sums[_Sums.BOUNDED], sums[_Sums.SUPPORT]
        return table
