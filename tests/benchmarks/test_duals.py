"""The judge of two SVMs: LIBSVM's layout of coefficients, numbers by hand, and solutions broken on purpose."""
from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

pytest.importorskip("sklearn", reason="scikit-learn is not installed (pip install 'scikit-learn>=1.9')")

from sklearn.datasets import load_iris
from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel, sigmoid_kernel
from sklearn.svm import SVC as Peer

from benchmarks import duals, shipped


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def solved(iris):
    """A fit of LIBSVM, and the kernel values."""
    K = duals.gram(iris[0], "rbf")
    return duals.fit_peer(*iris, K, tol=1e-6), K


@pytest.mark.parametrize("kernel, theirs", [("rbf", rbf_kernel), ("poly", polynomial_kernel),
                                            ("sigmoid", sigmoid_kernel)])
def test_kernel_values_are_those_of_scikit_learn(iris, kernel, theirs):
    extra = {} if kernel == "rbf" else {"coef0": 0.5} | ({"degree": 2} if kernel == "poly" else {})
    np.testing.assert_allclose(duals.gram(iris[0], kernel, 0.02, **extra).astype(float),
                               theirs(iris[0], gamma=0.02, **extra), rtol=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
def test_coefficients_are_those_of_the_decision_function(iris, classes):
    X, y = (part[iris[1] < classes] for part in iris)
    peer = Peer(decision_function_shape="ovo").fit(X, y)
    K = duals.gram(X, "rbf").astype(float)
    found = peer.decision_function(X).reshape(len(X), -1)
    for k, (rows, sign, beta) in enumerate(duals.binary_problems([peer], y, "ovo")):
        np.testing.assert_allclose(K[:, rows] @ beta + peer.intercept_[k], found[:, k], atol=1e-12)
        assert (sign * beta >= 0).all()


def test_libsvm_is_feasible_and_at_its_tolerance(solved):
    theirs, _ = solved
    assert theirs.comparable()
    assert theirs.violation.max() < 1e-5
    assert len(theirs.dual) == 3


@pytest.mark.parametrize("change, what", [
    ({"dual": 0.99}, "lower than LIBSVM's by 0.01"), ({"dual": np.nan}, "outside of their bounds")])
def test_a_worse_solution_is_wrong_unless_it_says_so(solved, change, what):
    theirs, K = solved
    worse = theirs._replace(dual=theirs.dual * change["dual"], violation=theirs.violation + 1)
    assert what in duals.wrong(worse, theirs, K)
    assert duals.wrong(worse._replace(said="SVC: stopped"), theirs, K) == ""
    assert duals.wrong(theirs, theirs, K) == ""
    assert duals.wrong(theirs._replace(dual=theirs.dual * 1.01), theirs, K) == "", "better than the peer is right"


def test_coefficients_that_are_not_feasible_are_wrong_however_high_their_objective():
    K, y = np.array([[1.0, -1.0], [-1.0, 1.0]]), np.array([1.0, -1.0])
    assert duals.judge(K, y, np.array([2.0, -2.0]), np.ones(2))[2] == 1.0       # alpha = 2, C = 1
    assert duals.judge(K, y, np.array([1.0, 0.0]), np.ones(2))[2] == 1.0        # sum beta = 1 of a sum of alpha of 1
    assert duals.judge(K, y, np.array([-0.5, 0.5]), np.ones(2))[2] == 0.5       # alpha = -1/2


def test_the_objective_and_the_violation_of_two_samples_by_hand():
    """Samples at 1 and -1: D = 2 a - 2 a^2 for alpha = (a, a), whose outputs are 2 a and -2 a."""
    K, y = np.array([[1.0, -1.0], [-1.0, 1.0]]), np.array([1.0, -1.0])
    assert duals.judge(K, y, y / 2, np.full(2, 10.0)) == (0.5, 0.0, 0.0)
    assert duals.judge(K, y, y / 4, np.full(2, 10.0)) == (0.375, 1.0, 0.0)     # (1 - 0.5) - (-1 + 0.5)


@pytest.mark.parametrize("alpha, violation", [(3.0, 0.0), (np.nextafter(3.0, 0), 0.0), (1.5, 2.0)])
def test_what_is_at_its_bound_may_not_rise(alpha, violation):
    """Two equal samples of two classes, C = 3: both outputs are 0, the optimum is alpha = C."""
    assert duals.judge(np.ones((2, 2)), np.array([1.0, -1.0]), alpha * np.array([1.0, -1.0]),
                       np.full(2, 3.0))[1] == violation


def test_another_optimum_of_a_sigmoid_kernel_function_is_right_if_it_is_one(solved):
    theirs, K = solved
    other = theirs._replace(dual=theirs.dual * 0.5)
    assert duals.wrong(other, theirs, K, convex=False, tol=1e-5) == ""
    assert duals.wrong(other, theirs, K, convex=True, tol=1e-5)
    assert duals.wrong(other._replace(violation=np.full(3, 0.1)), theirs, K, convex=False, tol=1e-5)


def test_a_fit_to_values_that_are_not_finite_is_wrong(solved):
    theirs, K = solved
    K = K.copy()
    K[3, 5] = np.inf
    assert "not finite" in duals.wrong(theirs, theirs, K)


def test_the_table_of_the_shipped_sets():
    """Three fits: one is silently wrong, one warned, so that its objective does not count, and one was refused."""
    one = {"C": 1.0, "gamma": "scale", "strategy": "ovo", "wrong": "lower", "said": "", "refused": False,
           "peer_said": "", "lower": 0.02, "higher": 0.0, "violation": 0.5, "peer_violation": 1e-3, "accuracy": 0.5,
           "peer_accuracy": 1.0, "seconds": 1.0, "peer_seconds": 3.0}
    two = {**one, "wrong": "", "said": "SVC: stopped", "lower": None, "higher": None, "violation": None,
           "accuracy": 0.7, "peer_said": "Solver terminated early"}
    three = {**two, "said": "X has values as large as 1e200", "refused": True, "accuracy": None}
    found = {"lines": [{"set": "breast_cancer", "features": "raw", "kernel": "poly", "fits": [one, two, three]}]}
    (table,) = shipped.tables(found, {})
    assert table.rows == [["breast cancer", "raw", "poly", "3", "1", "1", "1", "2", "2e-02", "0e+00", "5e-01", "1e-03",
                           "0.6000", "1.0000", "3.0", "9.0"]]
    assert shipped.correctness(found["lines"]) == [
        "of 3 fits, 1 warned, 1 were refused, and 1 are silently wrong; LIBSVM stopped early in 2",
        "breast_cancer raw, poly, ovo, C=1, gamma=scale: lower"]
    assert isinstance(shipped.draw(found, {}), Figure)
