"""Support vector machines with a Gaussian kernel for an experiment: C and gamma chosen on validation images.

All machines of one set of features, one-vs-one and one-vs-rest, each C and each gamma, work on one matrix of squared
distances: for 26,500 samples of 41,472 features the distances take minutes, and exp(-gamma * distances) a second.

The search goes first along C, with gamma at 1 / (features * variance), and then along gamma, with the best C. Equal
accuracies go to the smaller value, the smoother boundary.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from classifiers import SVC
from classifiers.svm.path import svm_path

LARGEST = 40_000        # samples whose matrix of distances is kept, 6.4 GB; beyond, machines compute what they need
_ROWS = 1024            # of the matrix at a time
_CACHE_MB = 2000


class Distances:
    """Squared Euclidean distances of samples, from which a kernel for any gamma is one pass.

    Parameters
    ----------
    X : array (N, D) float32
        Samples.
    """

    def __init__(self, X: np.ndarray):
        self.X = X
        self.scale = 1.0 / (X.shape[1] * (float(X.var(dtype=np.float64)) or 1.0))
        self.squared = squared_distances(X) if len(X) <= LARGEST else None

    def predictions(self, y: np.ndarray, known: slice, asked: slice, strategy: str, gamma: float,
                    C: Sequence[float], n_jobs: int) -> list[np.ndarray]:
        """Fit a machine for each C to the samples `known`, and return what it predicts for `asked`.

        Parameters
        ----------
        y : array (N,)
            Labels.
        known, asked : slice
            Rows.
        strategy : str
            "ovo" or "ovr".
        gamma : float
            In units of `scale`.
        C : sequence of float
            Ascending.
        n_jobs : int
            As joblib counts them.
        """
        gamma *= self.scale
        if self.squared is None:
            svc = SVC(kernel="rbf", gamma=gamma, strategy=strategy, cache_size=_CACHE_MB, n_jobs=n_jobs)
            return [m.predict(self.X[asked]) for m in svm_path(svc, self.X[known], y[known], C)]
        svc = SVC(kernel="precomputed", strategy=strategy, n_jobs=n_jobs)
        path = svm_path(svc, gaussian(self.squared[known, known], gamma), y[known], C)
        between = gaussian(self.squared[asked, known], gamma)
        return [machine.predict(between) for machine in path]


def squared_distances(X: np.ndarray) -> np.ndarray:
    """Return |x_i - x_j|^2 as float32 (N, N), exactly 0 on the diagonal.

    As |x_i|^2 + |x_j|^2 - 2 <x_i, x_j>, one matrix product, after the mean is taken off: the smaller the squares, the
    less is lost when they cancel.

    Examples
    --------
    >>> squared_distances(np.array([[0.0, 0.0], [3.0, 4.0]], np.float32)).tolist()
    [[0.0, 25.0], [25.0, 0.0]]
    """
    X = X - X.mean(axis=0, dtype=np.float64).astype(np.float32)
    squares = np.einsum("nd,nd->n", X, X)
    distances = X @ X.T
    for start in range(0, len(X), _ROWS):
        rows = distances[start:start + _ROWS]
        rows *= -2
        rows += squares
        rows += squares[start:start + _ROWS, None]
        np.maximum(rows, 0, out=rows)
    np.fill_diagonal(distances, 0)
    return distances


def gaussian(squared: np.ndarray, gamma: float) -> np.ndarray:
    """Return exp(-gamma * squared), float32."""
    out = np.empty(squared.shape, np.float32)
    for start in range(0, len(out), _ROWS):
        rows = out[start:start + _ROWS]
        np.multiply(squared[start:start + _ROWS], np.float32(-gamma), out=rows)
        np.exp(rows, out=rows)
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
