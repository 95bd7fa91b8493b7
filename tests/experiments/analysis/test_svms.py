"""The machines of an experiment, against scikit-learn's and SciPy's distances."""
from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from experiments.analysis import svms
from experiments.analysis.svms import Distances, choose, gaussian, squared_distances

sklearn_svm = pytest.importorskip("sklearn.svm")


@pytest.fixture(scope="module")
def samples() -> tuple[np.ndarray, np.ndarray]:
    """Return 240 samples of 3 overlapping classes far from the origin, where squares cancel badly."""
    rng = np.random.default_rng(0)
    y = np.arange(240) % 3
    X = rng.normal(size=(240, 5)) + 1.2 * np.eye(3, 5)[y] + 30
    return X.astype(np.float32), y


def test_distances_are_those_of_scipy(samples: tuple[np.ndarray, np.ndarray]) -> None:
    X, _ = samples
    np.testing.assert_allclose(squared_distances(X), cdist(X, X, "sqeuclidean"), rtol=2e-5, atol=2e-5)
    assert not squared_distances(X).diagonal().any()


def kernel(squared: np.ndarray, gamma: float, rows: np.ndarray | None = None, n_jobs: int = 1) -> np.ndarray:
    rows, columns = np.arange(len(squared)) if rows is None else rows, np.arange(squared.shape[1])[::-1]
    return gaussian(squared, rows, columns, gamma, np.empty((len(rows), len(columns)), np.float32), n_jobs)


def test_distances_over_several_blocks_of_rows(samples, monkeypatch: pytest.MonkeyPatch) -> None:
    X, _ = samples
    whole = squared_distances(X), kernel(squared_distances(X), 0.3)
    monkeypatch.setattr(svms, "_ROWS", 100)     # the last block is ragged
    np.testing.assert_allclose(squared_distances(X), whole[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(kernel(whole[0], 0.3, n_jobs=2), whole[1])


def test_gaussian_is_the_rbf_kernel_of_rows_and_columns() -> None:
    squared = np.array([[0.0, 2.0], [4.0, 6.0], [8.0, 0.0]], np.float32)
    np.testing.assert_allclose(kernel(squared, 0.5, np.array([2, 0])),
                               np.exp([[0.0, -4.0], [-1.0, 0.0]]), rtol=1e-6)


@pytest.mark.parametrize("largest, narrow", [(40_000, 1), (10, 1), (40_000, 5)])
def test_predictions_are_scikit_learns(samples, largest: int, narrow: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On kept distances, and with too many samples or too few features for that; gamma "scale" is of all samples."""
    X, y = samples
    monkeypatch.setattr(svms, "LARGEST", largest)
    monkeypatch.setattr(svms, "NARROW", narrow)
    distances = Distances(X)
    assert (distances.squared is None) == (largest == 10 or narrow == 5)
    for known, asked in ((slice(0, 160), slice(160, 240)), (slice(40, 240), slice(0, 40))):     # another order
        found = distances.predictions(y, known, asked, "ovo", 2.0, [0.5, 5.0], n_jobs=1)
        for C, predicted in zip((0.5, 5.0), found):
            peer = sklearn_svm.SVC(C=C, gamma=2.0 / (X.shape[1] * X.var()), break_ties=True).fit(X[known], y[known])
            assert (predicted == peer.predict(X[asked])).mean() >= 0.97     # float32 kernels: a sample near a boundary


@pytest.mark.parametrize("narrow", [1, 256])
def test_one_vs_rest_is_one_vs_rest(samples, narrow: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.multiclass import OneVsRestClassifier

    monkeypatch.setattr(svms, "NARROW", narrow)
    X, y = samples
    (found,) = Distances(X).predictions(y, slice(0, 160), slice(160, 240), "ovr", 1.0, [3.0], n_jobs=1)
    peer = OneVsRestClassifier(sklearn_svm.SVC(C=3.0, gamma=1.0 / (X.shape[1] * X.var()))).fit(X[:160], y[:160])
    assert (found == peer.predict(X[160:])).mean() >= 0.97


class Told:
    """Distances whose predictions are right for a given share of the samples."""

    def __init__(self, shares: dict[tuple[float, float], int], y: np.ndarray):
        self.shares, self.y, self.asked = shares, y, []

    def predictions(self, y, known, asked, strategy, gamma, C, n_jobs):
        self.asked.append((known, asked))
        out = []
        for c in C:
            right = np.arange(10) < self.shares[c, gamma]
            out.append(np.where(right, y[asked], y[asked] + 1))
        return out


@pytest.mark.parametrize("shares, best", [
    ({(1.0, 1.0): 4, (10.0, 1.0): 6, (10.0, 0.3): 5, (10.0, 3.0): 8}, (10.0, 3.0)),
    ({(1.0, 1.0): 6, (10.0, 1.0): 6, (1.0, 0.3): 6, (1.0, 3.0): 5}, (1.0, 0.3)),       # ties: the smoother one
    ({(1.0, 1.0): 4, (10.0, 1.0): 7, (10.0, 0.3): 5, (10.0, 3.0): 5}, (10.0, 1.0)),
])
def test_choice_goes_along_C_and_then_along_gamma(shares, best) -> None:
    y = np.zeros(30, int)
    told = Told(shares, y)
    found = choose(told, y, slice(0, 20), slice(20, 30), "ovo", [1.0, 10.0], [0.3, 1.0, 3.0], 1)  # type: ignore[arg-type]
    assert (found["C"], found["gamma"]) == best
    assert {(t["C"], t["gamma"]): round(10 * t["accuracy"]) for t in found["tried"]} == shares
    assert set(map(str, told.asked)) == {str((slice(0, 20), slice(20, 30)))}


def test_constant_features_have_a_scale() -> None:
    """A dead layer's variance is 0."""
    assert Distances(np.ones((4, 2), np.float32)).scale == 0.5
