"""Decision values against scikit-learn's on its own support vectors, and the aggregate it documents."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.svm import SVC
from sklearn.utils.multiclass import _ovr_decision_function

from classifiers.svm.cpu import decision
from classifiers.svm.cpu.decision import decision_scores, decision_values, ovr_from_ovo, votes
from classifiers.svm.cpu.kernel_blocks import kernel_block
from classifiers.svm.theory.kernel_functions import Kernel


def data(n=90, n_classes=4, seed=0):
    rng = np.random.default_rng(seed)
    y = np.sort(np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)]))
    X = (rng.normal(size=(n, 3)) + rng.normal(size=(n_classes, 3))[y]).astype(np.float32)
    return X, y


def fitted(kernel: Kernel, **options: Any) -> tuple[SVC, dict[str, Any]]:
    X, y = data()
    peer = SVC(kernel=kernel.name, gamma=kernel.gamma, degree=kernel.degree, coef0=kernel.coef0,
               decision_function_shape="ovo", **options).fit(X.astype(np.float64), y)
    starts = np.concatenate([[0], np.cumsum(peer.n_support_)])
    return peer, {"kernel": kernel, "X_support": peer.support_vectors_.astype(np.float32), "coef": peer.dual_coef_,
                  "starts": starts, "intercept": peer.intercept_}


@pytest.mark.parametrize("kernel", [Kernel("linear"), Kernel("poly", 0.3, 2, 1.0), Kernel("rbf", 0.5),
                                    Kernel("sigmoid", 0.1)], ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_one_vs_one_is_scikit_learns(kernel, n_jobs, monkeypatch):
    monkeypatch.setattr(decision, "_ENTRIES", 2000)          # several blocks of rows
    peer, machine = fitted(kernel)
    X, _ = data(seed=1)
    expected = peer.decision_function(X.astype(np.float64))
    np.testing.assert_allclose(decision_values(**machine, X=X, strategy="ovo", n_jobs=n_jobs), expected, atol=2e-5)
    peer.decision_function_shape = "ovr"
    expected = peer.decision_function(X.astype(np.float64))
    np.testing.assert_allclose(decision_scores(**machine, X=X, n_jobs=n_jobs), expected, atol=2e-5)


def test_one_vs_rest_is_one_product():
    kernel, rng = Kernel("rbf", 0.5), np.random.default_rng(0)
    X_support, X = data()[0][:12], data(seed=1)[0]
    coef, intercept = rng.normal(size=(4, 12)), rng.normal(size=4)
    K = np.exp(-0.5 * ((X[:, None].astype(np.float64) - X_support) ** 2).sum(axis=2))
    values = decision_values(kernel, X_support, coef, np.array([0, 3, 5, 8, 12]), intercept, X, "ovr")
    np.testing.assert_allclose(values, K @ coef.T + intercept, atol=1e-5)


def test_a_precomputed_kernel_gives_the_values_itself():
    peer, machine = fitted(Kernel("rbf", 0.5))
    X, _ = data(seed=1)
    machine |= {"X": kernel_block(machine["kernel"], X, machine["X_support"]), "kernel": Kernel("precomputed")}
    values = decision_values(**machine, strategy="ovo")
    np.testing.assert_allclose(values, peer.decision_function(X.astype(np.float64)), atol=2e-5)


def test_a_class_without_support_vectors_and_no_samples_at_all():
    X_support, coef = np.array([[1.0], [-1.0]], np.float32), np.array([[0.5, -0.5], [0.0, 0.0]])
    machine = Kernel("linear"), X_support, coef, np.array([0, 1, 1, 2]), np.zeros(3)
    values = decision_values(*machine, np.array([[2.0]], np.float32), "ovo")
    # pairs (0, 1), (0, 2), (1, 2): coef rows 0 and 0, 1 and 0, 1 and 1: f = 0.5 * 2, -0.5 * -2, 0
    np.testing.assert_array_equal(values, [[1.0, 1.0, 0.0]])
    # votes 2, 1, 0 (a zero votes for the first class of the pair), confidences 2, -1, -1
    scores = decision_scores(*machine, np.array([[2.0]], np.float32))
    np.testing.assert_allclose(scores, [[2 + 2 / 9, 1 - 1 / 6, -1 / 6]])
    assert decision_values(*machine, np.empty((0, 1), np.float32), "ovo").shape == (0, 3)
    assert decision_scores(*machine, np.empty((0, 1), np.float32)).shape == (0, 3)


@pytest.mark.parametrize("n_classes", [3, 4, 7])
def test_the_aggregate_is_scikit_learns(n_classes):
    decisions = np.random.default_rng(0).normal(size=(50, n_classes * (n_classes - 1) // 2))
    decisions[:5] = np.round(decisions[:5])                  # zeros and ties: a zero votes for the first class
    expected = _ovr_decision_function(decisions < 0, -decisions, n_classes)
    np.testing.assert_allclose(ovr_from_ovo(decisions, n_classes), expected, rtol=1e-12)
    assert (votes(decisions, n_classes).sum(axis=1) == decisions.shape[1]).all()


def test_votes_by_hand():
    # pairs (0, 1), (0, 2), (1, 2)
    np.testing.assert_array_equal(votes(np.array([[1.0, -1.0, -1.0], [0.0, 0.0, 0.0]]), 3), [[1, 0, 2], [2, 1, 0]])
