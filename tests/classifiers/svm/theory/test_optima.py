"""Kernel functions with negative eigenvalues: two ways, the better optimum, and a warning where the two differ."""
from __future__ import annotations

import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed (pip install 'scikit-learn>=1.9')")

from sklearn.datasets import load_iris, load_wine
from sklearn.svm import SVC as Peer

from classifiers.base import ConvergenceWarning
from classifiers.svm.cpu.multiclass import fit_problems
from classifiers.svm.cpu.training import attempt, gram_of
from classifiers.svm.svc import SVC
from classifiers.svm.theory.optima import better_of, in_order, is_convex, reversed_classes
from classifiers.svm.theory.problems import prepare

# Two classes of two samples. K has the eigenvalue -1 along (1, -1, 0, 0): alpha = (C, 0) and (0, C) are both optima.
CURVED = np.array([[0.0, 1.0, 0.1, 0.2], [1.0, 0.0, 0.2, 0.1], [0.1, 0.2, 1.0, 0.0], [0.2, 0.1, 0.0, 1.0]])


def prepared(**settings):
    svc = SVC(**settings)
    X, y = load_wine(return_X_y=True)
    return svc, prepare(svc, (X - X.mean(0)) / X.std(0), y)


def solved(svc, data):
    return attempt(svc, data, gram_of(svc, data), fit_problems)


@pytest.mark.parametrize("settings, convex", [
    ({"kernel": "linear"}, True), ({"kernel": "rbf"}, True), ({"kernel": "poly", "coef0": 1.0}, True),
    ({"kernel": "poly", "degree": 2, "gamma": 0.1, "coef0": -5.0}, False), ({"kernel": "sigmoid"}, False)], ids=str)
def test_negative_eigenvalues_are_seen(settings, convex):
    assert is_convex(prepared(**settings)[1]) == convex


def test_a_given_matrix_is_asked_for_its_eigenvalues():
    y = [0, 0, 1, 1]
    assert not is_convex(prepare(SVC(kernel="precomputed"), CURVED, y))
    assert is_convex(prepare(SVC(kernel="precomputed"), CURVED @ CURVED, y))
    X = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)           # rank 3, rounded to float32
    assert is_convex(prepare(SVC(kernel="precomputed"), X @ X.T, np.arange(200) % 2))


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_the_reversed_order_is_undone(strategy):
    svc, data = prepared(strategy=strategy)
    other, order = reversed_classes(data)
    found, again = solved(svc, data), in_order(solved(svc, other), order)
    np.testing.assert_array_equal(other.X, data.X[order])
    np.testing.assert_allclose(again.coef, found.coef, atol=0.05)       # one optimum, reached within tol on both ways
    np.testing.assert_allclose(again.intercept, found.intercept, atol=5e-3)
    assert not len(better_of(data, found, again, None)[1])


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_the_better_one_of_two_is_taken_problem_by_problem(strategy):
    svc, data = prepared(strategy=strategy)
    good = solved(svc, data)
    bad = good._replace(coef=good.coef.copy(), intercept=good.intercept + 7)
    rows = bad.coef[1] if strategy == "ovr" else bad.coef               # half of each beta is a lower objective
    rows *= 0.5
    taken, apart = better_of(data, bad, good, None)
    np.testing.assert_array_equal(taken.coef, good.coef)
    assert apart.tolist() == ([1] if strategy == "ovr" else [0, 1, 2])
    expected = bad.intercept.copy()
    expected[apart] = good.intercept[apart]
    if strategy == "ovo":
        np.testing.assert_array_equal(taken.intercept, expected)
    assert better_of(data, good, bad, None)[0].intercept[1] == good.intercept[1]


def dual(machine, K, C):
    beta = np.zeros(len(K))
    beta[machine.support_] = machine.dual_coef_[0]
    return np.abs(beta).sum() - beta @ K @ beta / 2


@pytest.mark.parametrize("C", [1.0, 100.0, 1e4])
@pytest.mark.parametrize("gamma", [0.01, 0.1, 1.0])
def test_sigmoid_is_not_below_libsvm_without_a_word(C, gamma):
    X, y = load_iris(return_X_y=True)
    X, y = X[50:], y[50:]
    X = (X - X.mean(0)) / X.std(0)
    K = np.tanh(gamma * X @ X.T)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ours = SVC(kernel="sigmoid", gamma=gamma, C=C).fit(X, y)
    theirs = dual(Peer(kernel="sigmoid", gamma=gamma, C=C).fit(X, y), K, C)
    assert told or dual(ours, K, C) >= theirs - 1e-3 * abs(theirs)


def test_several_optima_are_told():
    data = prepared(kernel="sigmoid", gamma=1.0, C=100.0)[1]
    X, y = data.X, np.repeat(data.classes, np.diff(data.starts))
    with pytest.warns(ConvergenceWarning, match=r"is no inner product.*of 3 binary problems have several"):
        SVC(kernel="sigmoid", gamma=1.0, C=100.0).fit(X, y)
