"""Problems that float32 cannot solve: found out by two rows in float64, solved again, and never called converged."""
from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.svm import SVC as Peer

from classifiers.base import ConvergenceWarning
from classifiers.svm.calibration import CalibratedSVC
from classifiers.svm.cpu import precision, training
from classifiers.svm.cpu.compiled_outputs import FORMULAS, Formula, Problems, outputs
from classifiers.svm.svc import SVC
from classifiers.svm.theory.frame import frame_of
from classifiers.svm.theory.kernel_functions import Kernel, kernel_values


def blobs(K=3, n=90, d=4, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % K)
    return rng.normal(size=(K, d))[y] * 1.5 + 1.5 * rng.normal(size=(n, d)), y


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", [Kernel("linear"), Kernel("poly", 0.3, 3, 0.5), Kernel("rbf", 0.2),
                                    Kernel("sigmoid", 0.1, 3, -0.2), Kernel("precomputed")], ids=lambda k: k.name)
def test_outputs_are_those_of_kernel_values_in_float64(kernel, dtype):
    X = (blobs()[0] + (100.0 if kernel.name in ("linear", "rbf") else 0.0)).astype(dtype)
    if kernel.name == "precomputed":
        X = (X @ X.T).astype(dtype)
    frame = frame_of(kernel, X)
    coef = np.random.default_rng(1).normal(size=(2, len(X)))
    coef[:, ::3] = 0.0
    parts = np.array([[[0, 0, 40], [1, 60, 90]], [[1, 0, 30], [0, 30, 90]]])
    beta = np.zeros((2, len(X)))
    beta[0, :40], beta[0, 60:], beta[1, :30], beta[1, 30:] = coef[0, :40], coef[1, 60:], coef[1, :30], coef[0, 30:]
    asked = np.array([[3, 89, 50], [0, 1, 2]])
    formula = Formula(FORMULAS[kernel.name], frame.kernel.gamma, frame.kernel.coef0, frame.kernel.degree,
                      np.zeros(X.shape[1]) if frame.origin is None else frame.origin,
                      1 / frame.unit if kernel.name == "precomputed" else frame.scale)
    out = np.empty((2, 3))
    outputs(X, formula, Problems(coef, parts, asked), out)
    placed = frame.place(X, np.float64)
    K = placed if kernel.name == "precomputed" else kernel_values(frame.kernel, placed, placed)
    np.testing.assert_allclose(out, [[K[i] @ beta[p] for i in asked[p]] for p in range(2)], atol=1e-9)


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
@pytest.mark.parametrize("settings", [{"kernel": "linear", "C": 1e5}, {"C": 1e6, "gamma": 0.01},
                                      {"kernel": "poly", "C": 1e4, "coef0": 1.0}], ids=str)
def test_a_solution_that_float32_misses_is_found_again_in_float64(strategy, settings, monkeypatch):
    X, y = blobs()
    alone = {}
    refined = precision.refined
    monkeypatch.setattr(training, "refined", lambda *given: alone.update(given=given) or refined(*given))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        svc = SVC(strategy=strategy, max_iter=200_000, **settings).fit(X, y)
    data, gram, found = alone["given"][:3]
    before = precision._everywhere(data, precision.wide_gram(data, gram), found, svc.C * data.weight * data.frame.unit,
                                   np.arange(3), 1)
    assert before.max() > 2e-3                                      # the solver believed that it had converged
    worst = svc.certificates_["violation"].max()
    assert worst < 2e-3 or told
    assert svc._precise_


def test_what_float32_can_do_stays_in_float32():
    X, y = blobs()
    for kernel in ("linear", "rbf", "poly"):
        svc = SVC(kernel=kernel, C=10.0).fit(X, y)
        assert not svc._precise_ and svc.certificates_["violation"].max() < 1.1e-3


def test_a_violation_at_samples_that_were_not_asked_for_is_found_when_rounding_shows():
    # gamma=1e12: where its diagonal should be 1 the float32 kernel matrix has zeros, for some samples.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 5))
    y = (X[:, 0] > 0) + 2 * (X[:, 1] > 0.5)
    svc = SVC(gamma=1e12).fit(X, y)
    assert svc.score(X, y) == 1.0
    assert svc.certificates_["violation"].max() < 2e-3


def test_the_warning_has_the_violation_in_float64():
    X, y = blobs(2)
    with pytest.warns(ConvergenceWarning, match=r"1 of 1 binary problems.*classes 0 and 1: [\d.e+-]+ after") as told_of:
        svc = SVC(kernel="linear", C=1e6, max_iter=500).fit(X * [1e4, 1, 1, 1e-3], y)
    told = float(str(told_of[0].message).split("classes 0 and 1: ")[1].split(" after")[0])
    assert told == pytest.approx(svc.certificates_["violation"][0], rel=0.01)


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_a_column_of_years_is_as_good_as_with_libsvm(scale):
    rng = np.random.default_rng(0)
    X = np.c_[rng.integers(1950, 2020, 200), rng.normal(size=(200, 3))] * scale
    y = ((X[:, 0] / scale - 1985) / 20 + X[:, 1] / scale > 0).astype(int)
    peer = Peer(kernel="linear").fit((X - X.mean(axis=0)) / scale, y)
    svc = SVC(kernel="linear", C=1 / scale**2).fit(X, y)
    assert svc.score(X, y) >= peer.score((X - X.mean(axis=0)) / scale, y) - 0.01
    np.testing.assert_allclose(svc.coef_ @ X.T + svc.intercept_, svc.decision_function(X)[None], atol=1e-6)


def test_a_given_matrix_is_read_in_float64_where_it_must_be():
    X, y = blobs()
    X = X + 1e4                                                     # products of 1e8, which differ by 1
    svc = SVC(kernel="precomputed").fit(X @ X.T, y)
    peer = Peer(kernel="linear").fit(X - 1e4, y)
    np.testing.assert_allclose(svc.decision_function(X @ X.T), SVC(kernel="linear").fit(X, y).decision_function(X),
                               atol=5e-3)
    np.testing.assert_array_equal(svc.predict(X @ X.T), peer.predict(X - 1e4))


def test_calibration_decides_in_the_precision_of_the_fit():
    X, y = blobs(2)
    far = CalibratedSVC(SVC(kernel="linear")).fit(X + 1e6, y).predict_proba(X + 1e6)
    near = CalibratedSVC(SVC(kernel="linear")).fit(X + 1e6 - 1e6, y).predict_proba(X + 1e6 - 1e6)
    np.testing.assert_allclose(far, near, atol=2e-3)


def test_saved_and_loaded_it_decides_in_the_same_precision(tmp_path):
    X, y = blobs()
    svc = SVC(gamma=1e12).fit(X, y)
    svc.save(tmp_path / "a.npz")
    again = SVC.load(tmp_path / "a.npz")
    assert again.support_vectors_.dtype == np.float64
    np.testing.assert_array_equal(again.decision_function(X), svc.decision_function(X))
    assert again.score(X, y) == 1.0
