"""Support vector machines with a Gaussian kernel for an experiment: C and gamma chosen on validation images.

All SVMs of one set of wide features, one-vs-one and one-vs-rest, each C and each gamma, work on one matrix of
squared distances: for 30,300 samples of 41,472 features the distances take minutes, and exp(-gamma * distances) a
second. Of narrow features an SVM computes the kernel values that it needs sooner than such a matrix is read.

The search goes first along C, with gamma at 1 / (features * variance), and then along gamma, with the best C. Equal
accuracies go to the smaller value, the smoother boundary.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import joblib
import numpy as np

from classifiers import SVC
from classifiers.svm import svm_path

LARGEST = 40_000        # samples whose matrix of distances is kept, 6.4 GB; beyond, SVMs compute what they need
NARROW = 256            # features; of no more than these, too
_ROWS = 1024            # of the matrix at a time
_CACHE_MB = 2000


class Distances:
    """Squared Euclidean distances of samples, from which a kernel for any gamma is one pass.

    Parameters
    ----------
    X : array (N, D) float32
        The features of N samples.
    """

    def __init__(self, X: np.ndarray):
        self.X = X
        self.scale = 1.0 / (X.shape[1] * (variance(X) or 1.0))
        self.squared = squared_distances(X) if len(X) <= LARGEST and X.shape[1] > NARROW else None
        self._room: np.ndarray | None = None        # for one kernel after the other: fresh gigabytes are slow

    def predictions(self, y: np.ndarray, known: slice, asked: slice, strategy: str, gamma: float,
                    C: Sequence[float], n_jobs: int) -> list[np.ndarray]:
        """Fit an SVM for each C to the samples `known`, and return what it predicts for `asked`.

        Parameters
        ----------
        y : array (N,)
            The labels of all samples.
        known, asked : slice
            The rows of the samples that the SVM is fitted to, and of those that it classifies.
        strategy : str
            "ovo" (one-vs-one) or "ovr" (one-vs-rest).
        gamma : float
            The width of the kernel function, in units of `scale`: 1 is the usual 1 / (D * variance of X).
        C : sequence of float
            The values of C, ascending; the solution for one is where the next one starts.
        n_jobs : int
            The number of threads; -1 is one for each core, as joblib counts them.
        """
        gamma *= self.scale
        if self.squared is None:
            svc = SVC(kernel="rbf", gamma=gamma, strategy=strategy, cache_size=_CACHE_MB, n_jobs=n_jobs)
            return [m.predict(self.X[asked]) for m in svm_path(svc, self.X[known], y[known], C)]
        order = known.start + np.argsort(y[known], kind="stable")       # by class: the SVM need not sort a copy
        if self._room is None:
            self._room = np.empty(self.squared.size, np.float32)
        kernel = self._room[:len(order)**2].reshape(len(order), -1)
        gaussian(self.squared, order, order, gamma, kernel, n_jobs)
        svc = SVC(kernel="precomputed", strategy=strategy, n_jobs=n_jobs)
        path = svm_path(svc, kernel, y[order], C)
        rows = np.arange(asked.start, asked.stop)
        between = gaussian(self.squared, rows, order, gamma, np.empty((len(rows), len(order)), np.float32), n_jobs)
        return [svm.predict(between) for svm in path]


def variance(X: np.ndarray) -> float:
    """Return the variance of all numbers, in float64, some rows at a time: of gigabytes a copy would be too much.

    Examples
    --------
    >>> variance(np.array([[1.0], [3.0]], np.float32))
    1.0
    """
    mean = X.mean(dtype=np.float64)
    return sum(float(np.square(X[start:start + _ROWS] - mean).sum()) for start in range(0, len(X), _ROWS)) / X.size


def squared_distances(X: np.ndarray) -> np.ndarray:
    """Return |x_i - x_j|^2 as float32 (N, N), exactly 0 on the diagonal.

    As |x_i|^2 + |x_j|^2 - 2 <x_i, x_j>, after the mean is taken off: the smaller the squares, the less is lost when
    they cancel. The products are those of blocks of rows with all rows from there on; what is below the diagonal is
    copied from above. One product X X^T would be a call of BLAS's syrk, which crashed here on 30,300 x 768 numbers.

    Examples
    --------
    >>> squared_distances(np.array([[0.0, 0.0], [3.0, 4.0]], np.float32)).tolist()
    [[0.0, 25.0], [25.0, 0.0]]
    """
    X = X - X.mean(axis=0, dtype=np.float64).astype(np.float32)
    squares = np.einsum("nd,nd->n", X, X)
    distances = np.empty((len(X), len(X)), np.float32)
    for start in range(0, len(X), _ROWS):
        rows = slice(start, start + _ROWS)
        block = X[rows] @ X[start:].T
        block *= -2
        block += squares[start:]
        block += squares[rows, None]
        np.maximum(block, 0, out=block)
        distances[rows, start:] = block
        distances[start:, rows] = block.T
    np.fill_diagonal(distances, 0)
    return distances


def gaussian(squared: np.ndarray, rows: np.ndarray, columns: np.ndarray, gamma: float, out: np.ndarray,
             n_jobs: int) -> np.ndarray:
    """Return exp(-gamma * squared[rows][:, columns]), float32, written to `out`.

    Examples
    --------
    >>> squared = np.array([[0.0, 2.0], [2.0, 0.0]], np.float32)
    >>> gaussian(squared, np.array([1]), np.array([0, 1]), 0.5, np.empty((1, 2), np.float32), n_jobs=1).round(4)
    array([[0.3679, 1.    ]], dtype=float32)
    """
    factor = np.float32(-gamma)

    def some(start: int) -> None:
        for row, line in zip(rows[start:start + _ROWS], out[start:start + _ROWS]):  # a line stays in the cache
            np.take(squared[row], columns, out=line, mode="clip")                   # clip: without a buffer
            line *= factor
            np.exp(line, out=line)

    joblib.Parallel(n_jobs, require="sharedmem")(joblib.delayed(some)(start) for start in range(0, len(rows), _ROWS))
    return out


def choose(distances: Distances, y: np.ndarray, train: slice, valid: slice, strategy: str, Cs: Sequence[float],
           gammas: Sequence[float], n_jobs: int) -> dict[str, Any]:
    """Return the C and gamma that are best on the validation images, and all that was ``tried``.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    >>> y = (X[:, 0] > 0).astype(int)
    >>> found = choose(Distances(X), y, slice(0, 40), slice(40, 60), "ovo", [1.0, 10.0], [0.3, 1.0], 1)
    >>> len(found["tried"]), found["C"] in (1.0, 10.0), found["accuracy"] > 0.8
    (3, True, True)
    """
    tried: list[dict[str, float]] = []

    def attempt(C: Sequence[float], gamma: float) -> None:
        found = distances.predictions(y, train, valid, strategy, gamma, C, n_jobs)
        tried.extend({"C": c, "gamma": gamma, "accuracy": float((predicted == y[valid]).mean())}
                     for c, predicted in zip(C, found))

    attempt(Cs, 1.0)
    best = min(tried, key=_worse)
    for gamma in gammas:
        if gamma != 1.0:
            attempt([best["C"]], gamma)
    best = min(tried, key=_worse)
    return {**best, "tried": tried}


def _worse(found: dict[str, float]) -> tuple[float, float, float]:
    return -found["accuracy"], found["C"], found["gamma"]
