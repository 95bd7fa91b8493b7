"""Certificates: by hand, against scikit-learn's solution and explicit formulas, and that they expose wrong answers."""
from __future__ import annotations

import pickle

import numpy as np
import pytest

from classifiers.svm.svc import SVC
from classifiers.svm.theory import certificates
from classifiers.svm.theory.certificates import certify, outputs_in_pairs
from classifiers.svm.theory.kernel_functions import Kernel, kernel_loops, kernel_values
from classifiers.svm.theory.problems import problem_names


def blobs(K, n=90, d=4, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, K, n)
    return (rng.normal(size=(K, d))[y] + 1.5 * rng.normal(size=(n, d))).astype(np.float32), y


def by_formula(K, y, C, beta, b):
    """The docstring of the module, for one problem, in loops."""
    f = [sum(beta[j] * K[j, i] for j in range(len(y))) for i in range(len(y))]
    rise, fall = [], []
    for i in range(len(y)):
        alpha = y[i] * beta[i]
        if (y[i] > 0 and alpha < C[i]) or (y[i] < 0 and alpha > 0):
            rise.append(y[i] - f[i])
        if (y[i] > 0 and alpha > 0) or (y[i] < 0 and alpha < C[i]):
            fall.append(y[i] - f[i])
    norm = sum(beta[i] * f[i] for i in range(len(y)))
    primal = norm / 2 + sum(C[i] * max(0.0, 1 - y[i] * (f[i] + b)) for i in range(len(y)))
    dual = sum(abs(v) for v in beta) - norm / 2
    return max(rise) - min(fall), primal, dual


def test_two_samples_by_hand():
    # x = 1 and -1. C = 10: alpha = 1/2, everything is 0 or 1/2. C = 0.2: alpha = 0.2, f = +-0.4, y - f = +-0.6:
    # class +1 cannot rise, class -1 cannot fall: no violation. P = 0.2 * 0.4 + 2 * 0.2 * 0.6 = 0.32 = 0.4 - 0.08 = D.
    X = np.array([[1.0], [-1.0]], np.float32)
    for C, alpha, optimum, bounded in ((10.0, 0.5, 0.5, 0), (0.2, 0.2, 0.32, 2)):
        row = certify(Kernel("linear"), X, np.array([0, 1, 2]), np.full(2, C), np.array([0, 1]),
                      np.array([[alpha, -alpha]]), np.zeros(1), "ovo")[0]
        assert row["violation"] == 0 and row["sum_y_alpha"] == 0
        assert row["dual"] == pytest.approx(optimum) and row["primal"] == pytest.approx(optimum)
        assert row["gap"] == pytest.approx(0, abs=1e-15)
        assert (row["n_bounded"], row["n_support"]) == (bounded, 2)


@pytest.mark.parametrize("name", ["linear", "poly", "rbf", "sigmoid", "callable"])
def test_kernel_values_equal_the_formula_of_two_samples(name):
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    kernel = Kernel((lambda P, Q: (P @ Q.T) ** 3) if name == "callable" else name, gamma=0.3, degree=3, coef0=0.5)
    expected = [[kernel_loops(kernel, a, b) for b in B] for a in A]
    found = kernel_values(kernel, A, B)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_every_problem_equals_the_formula(strategy, monkeypatch):
    monkeypatch.setattr(certificates, "_BLOCK_BYTES", 8 * 40 * 7)      # several blocks of rows in each class
    X, y = blobs(4, n=70)
    weight = np.random.default_rng(1).uniform(0.5, 2, len(y))
    svc = SVC(C=2.0, strategy=strategy, gamma=0.3).fit(X, y, weight)
    K = kernel_values(Kernel("rbf", gamma=0.3), X, X)
    order = np.argsort(svc.support_)
    problems = list(zip(*np.triu_indices(4, 1))) if strategy == "ovo" else [(k, None) for k in range(4)]
    assert len(svc.certificates_) == len(problems)
    for p, (a, b) in enumerate(problems):
        rows = np.flatnonzero((y == a) | (y == b)) if strategy == "ovo" else np.arange(len(y))
        beta = np.zeros(len(y))
        for column in order:
            i = svc.support_[column]
            if strategy == "ovr":
                beta[i] = svc.dual_coef_[a, column]
            elif y[i] in (a, b):
                beta[i] = svc.dual_coef_[b - 1 if y[i] == a else a, column]
        sign = np.where(y[rows] == a, 1.0, -1.0)
        violation, primal, dual = by_formula(K[np.ix_(rows, rows)], sign, 2 * weight[rows], beta[rows],
                                             svc.intercept_[p])
        row = svc.certificates_[p]
        assert row["violation"] == pytest.approx(max(violation, 0), abs=1e-9)
        assert row["primal"] == pytest.approx(primal) and row["dual"] == pytest.approx(dual)
        assert row["gap"] == pytest.approx(primal - dual, abs=1e-9)
        assert row["sum_y_alpha"] == pytest.approx(beta.sum(), abs=1e-12)
        assert row["n_support"] == np.count_nonzero(beta)
        assert row["n_bounded"] == np.count_nonzero(np.abs(beta) >= 2 * weight)
        assert 0 <= row["gap"] < 5e-3 * primal      # a solution to tol=1e-3, not just numbers that agree


def test_outputs_in_pairs_by_hand():
    # Support vectors of classes 0, 1, 2, one each. Coefficients: column s, rows = the other classes in order.
    coef = np.array([[1.0, -10.0, -100.0], [2.0, 20.0, -200.0]])
    block = np.array([[1.0, 2.0, 3.0]])
    edges = np.array([0, 1, 2, 3])
    for c, expected in ((0, [1 - 2 * 10, 2 - 3 * 100]), (1, [1 - 2 * 10, 2 * 20 - 3 * 200]),
                        (2, [2 - 3 * 100, 2 * 20 - 3 * 200])):
        np.testing.assert_array_equal(outputs_in_pairs(block, coef, edges, c), [expected])


@pytest.mark.parametrize("K", [2, 4])
def test_dual_objective_equals_that_of_scikit_learns_solution(K):
    peer_class = pytest.importorskip("sklearn.svm", reason="scikit-learn is not installed").SVC
    X, y = blobs(K, n=150)
    ours = SVC(C=3.0, gamma=0.2).fit(X, y)
    peer = peer_class(C=3.0, gamma=0.2).fit(X, y)
    order = np.argsort(y, kind="stable")
    support = np.searchsorted(np.arange(len(y)), [np.flatnonzero(order == i)[0] for i in peer.support_])
    sign = -1 if K == 2 else 1
    theirs = certify(Kernel("rbf", gamma=0.2), X[order], np.searchsorted(y[order], np.arange(K + 1)),
                     np.full(len(y), 3.0), support, sign * peer.dual_coef_, sign * peer.intercept_, "ovo")
    mine = ours.certificates_
    assert theirs["violation"].max() < 2e-3     # so the two mean the same by all these words
    np.testing.assert_allclose(mine["dual"], theirs["dual"], rtol=1e-3)
    assert mine["violation"].max() < 1.05e-3
    assert (mine["gap"] >= 0).all() and mine.relative_gap().max() < 1e-2
    assert np.abs(mine["sum_y_alpha"]).max() < 1e-9


def test_wrong_answers_are_exposed():
    X, y = blobs(3)
    svc = SVC().fit(X, y)
    right = svc._solved_
    kernel, X, starts, C, support, coef, intercept, strategy = right
    for name, wrong in (("violation", (kernel, X, starts, C, support, coef * 0.9, intercept, strategy)),
                        ("gap", (kernel, X, starts, C, support, coef, intercept + 0.5, strategy)),
                        ("violation", (Kernel("rbf", gamma=2 * kernel.gamma), *right[1:])),
                        ("violation", (kernel, X[::-1].copy(), *right[2:]))):
        assert certify(*wrong)[name].max() > 20 * certify(*right)[name].max()
    shifted = coef.copy()
    shifted[0, 0] += 0.25
    assert np.abs(certify(kernel, X, starts, C, support, shifted, intercept, strategy)["sum_y_alpha"]).max() > 0.2


def test_precomputed_kernel_has_the_certificate_of_the_kernel_itself():
    X, y = blobs(3)
    K = (X.astype(np.float64) @ X.T).astype(np.float32)
    plain, given = SVC(kernel="linear", tol=1e-4).fit(X, y), SVC(kernel="precomputed", tol=1e-4).fit(K, y)
    np.testing.assert_allclose(given.certificates_["dual"], plain.certificates_["dual"], rtol=1e-4)
    assert given.certificates_["violation"].max() < 1e-3


def test_lazy_and_gone_after_pickling():
    X, y = blobs(3)
    svc = SVC().fit(X, y)
    with pytest.raises(AttributeError, match="ask for certificates_ first"):
        _ = pickle.loads(pickle.dumps(svc)).certificates_
    X_before = X.copy()
    X[:] = 0            # the user's array is the user's
    table = svc.certificates_.table
    assert table["violation"].max() < 1.05e-3
    assert svc._solved_ is None
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(svc)).certificates_.table, table)
    svc.fit(X_before[::2], y[::2])
    assert len(svc.certificates_) == 3 and svc.certificates_.table is not table
    with pytest.raises(AttributeError, match="not fitted"):
        _ = SVC().certificates_


def test_text_names_the_worst():
    X, y = blobs(3)
    text = repr(SVC().fit(X, np.array(["cod", "eel", "ray"])[y]).certificates_)
    assert text.startswith("3 binary problems") and "KKT violation" in text and "classes cod and" in text


def test_names_follow_the_order_of_intercepts():
    assert problem_names([1, 2, 5], "ovo") == ["classes 1 and 2", "classes 1 and 5", "classes 2 and 5"]
