"""SVC against scikit-learn's (LIBSVM) and its OneVsRestClassifier: attributes, decisions, weights, errors, Ctrl-C."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed (pip install 'scikit-learn>=1.9')")

from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning as TheirConvergenceWarning
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC as Peer

from classifiers.base import ConvergenceWarning, NotFittedError
from classifiers.svm.c_path import svm_path
from classifiers.svm.svc import SVC

TOL = 1e-6      # both solvers this near to the optimum, differences are rounding


def laplacian(A, B):
    """A kernel that no name stands for."""
    return np.exp(-0.3 * np.abs(A[:, None] - B[None]).sum(-1))


KERNELS = {"linear": {"kernel": "linear"},
           "poly": {"kernel": "poly", "degree": 2, "gamma": 0.1, "coef0": 1.0},
           "rbf": {"kernel": "rbf", "gamma": "scale"},
           "auto": {"kernel": "rbf", "gamma": "auto", "C": 10.0},
           "sigmoid": {"kernel": "sigmoid", "gamma": 0.02, "C": 5.0},     # nearly linear: others have several optima
           "callable": {"kernel": laplacian}}


def blobs(K, n=90, d=4, seed=0, spread=1.5):
    """Overlapping classes of different sizes; no sample is there twice, so the optimum is one point."""
    rng = np.random.default_rng(seed)
    y = np.sort(rng.integers(0, K, n))[rng.permutation(n)]
    X = rng.normal(size=(K, d))[y] * 1.5 + rng.normal(size=(n, d)) * spread
    return X.astype(np.float32).astype(np.float64), y    # both sides get the same numbers


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order] / 16, y[order]
    return X[:900], y[:900], X[900:], y[900:]


def assert_same_machine(ours, peer, X, decimals=2e-3):
    np.testing.assert_array_equal(ours.classes_, peer.classes_)
    np.testing.assert_allclose(ours.intercept_, peer.intercept_, atol=decimals)
    assert ours.dual_coef_.shape[0] == peer.dual_coef_.shape[0]
    full = np.zeros((2, len(peer.dual_coef_), len(X)))      # a coefficient of 1e-9 may be a support vector for only one
    full[0][:, ours.support_], full[1][:, peer.support_] = ours.dual_coef_, peer.dual_coef_
    np.testing.assert_allclose(*full, atol=decimals)


@pytest.mark.parametrize("K", [2, 3, 5])
@pytest.mark.parametrize("name", KERNELS)
def test_equals_libsvm(K, name):
    X, y = blobs(K)
    X_test = blobs(K, seed=1)[0]
    ours = SVC(tol=TOL, **KERNELS[name]).fit(X, y)
    peer = Peer(tol=TOL, break_ties=K > 2, **KERNELS[name]).fit(X, y)
    assert_same_machine(ours, peer, X)
    np.testing.assert_allclose(ours.decision_function(X_test), peer.decision_function(X_test), atol=2e-3)
    assert np.mean(ours.predict(X_test) == peer.predict(X_test)) >= 0.98
    ours.set_params(decision_function_shape="ovo")
    peer.set_params(decision_function_shape="ovo", break_ties=False)
    np.testing.assert_allclose(ours.decision_function(X_test), peer.decision_function(X_test), atol=2e-3)
    assert ours.decision_function(X_test).shape == ((len(X_test),) if K == 2 else (len(X_test), K * (K - 1) // 2))


def test_attributes_have_the_shapes_and_order_of_scikit_learn():
    X, y = blobs(4)
    ours, peer = SVC(tol=TOL).fit(X, y), Peer(tol=TOL).fit(X, y)
    np.testing.assert_array_equal(ours.support_, peer.support_)
    np.testing.assert_array_equal(ours.n_support_, peer.n_support_)
    np.testing.assert_array_equal(ours.support_vectors_, peer.support_vectors_)
    np.testing.assert_array_equal(ours.class_weight_, peer.class_weight_)
    assert ours.n_iter_.shape == peer.n_iter_.shape == (6,)
    assert (ours.n_iter_ > 0).all()
    assert ours.n_features_in_ == 4


@pytest.mark.parametrize("K", [2, 4])
def test_linear_coef(K):
    X, y = blobs(K)
    ours, peer = SVC(kernel="linear", tol=TOL).fit(X, y), Peer(kernel="linear", tol=TOL).fit(X, y)
    np.testing.assert_allclose(ours.coef_, peer.coef_, atol=1e-3)
    with pytest.raises(AttributeError, match="kernel='linear'"):
        _ = SVC().fit(X, y).coef_


@pytest.mark.parametrize("K", [2, 3])
def test_precomputed_kernel(K):
    X, y = blobs(K)
    X_test = blobs(K, seed=1)[0]
    ours, peer = SVC(kernel="precomputed", tol=TOL).fit(X @ X.T, y), Peer(kernel="linear", tol=TOL).fit(X, y)
    np.testing.assert_array_equal(ours.support_, peer.support_)
    assert ours.support_vectors_.shape == (0, 0)
    np.testing.assert_allclose(ours.decision_function(X_test @ X.T), peer.decision_function(X_test), atol=5e-3)
    with pytest.raises(ValueError, match="square"):
        ours.fit(X, y)


@pytest.mark.parametrize("K", [2, 3, 5])
def test_one_vs_rest_equals_onevsrestclassifier(K):
    X, y = blobs(K)
    X_test = blobs(K, seed=1)[0]
    ours, peer = SVC(strategy="ovr", tol=TOL).fit(X, y), OneVsRestClassifier(Peer(tol=TOL)).fit(X, y)
    np.testing.assert_allclose(ours.decision_function(X_test), peer.decision_function(X_test), atol=2e-3)
    np.testing.assert_array_equal(ours.predict(X_test), peer.predict(X_test))
    assert ours.dual_coef_.shape == (1 if K == 2 else K, len(ours.support_))
    if K > 2:
        coef = np.zeros((K, len(X)))
        for k, machine in enumerate(peer.estimators_):
            coef[k, machine.support_] = machine.dual_coef_[0]
        np.testing.assert_allclose(ours.dual_coef_, coef[:, ours.support_], atol=2e-3)


def test_one_vs_rest_linear_coef():
    X, y = blobs(4)
    ours = SVC(strategy="ovr", kernel="linear", tol=TOL).fit(X, y)
    peer = OneVsRestClassifier(Peer(kernel="linear", tol=TOL)).fit(X, y)
    np.testing.assert_allclose(ours.coef_, np.concatenate([m.coef_ for m in peer.estimators_]), atol=1e-3)


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_iris_predictions(strategy):
    X, y = load_iris(return_X_y=True)
    peer = Peer(C=10.0, gamma=0.5) if strategy == "ovo" else OneVsRestClassifier(Peer(C=10.0, gamma=0.5))
    ours = SVC(C=10.0, gamma=0.5, strategy=strategy)
    np.testing.assert_array_equal(ours.fit(X, y).predict(X), peer.fit(X, y).predict(X))


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_digits_predictions_and_accuracy(digits, strategy):
    X, y, X_test, y_test = digits
    ours = SVC(C=10.0, strategy=strategy).fit(X, y)
    peer = Peer(C=10.0) if strategy == "ovo" else OneVsRestClassifier(Peer(C=10.0))
    peer.fit(X, y)
    assert np.mean(ours.predict(X_test) == peer.predict(X_test)) >= 0.995
    assert ours.score(X_test, y_test) == pytest.approx(peer.score(X_test, y_test), abs=0.003)
    assert ours.score(X_test, y_test) > 0.97


def test_votes_tie_goes_to_the_first_class_without_break_ties():
    # Three corners of a triangle and its middle: each pair prefers another class there.
    X, y = blobs(6, n=60, seed=3, spread=4)
    X_test = blobs(6, n=4000, seed=4, spread=4)[0]
    ours, peer = SVC(tol=TOL, break_ties=False).fit(X, y), Peer(tol=TOL).fit(X, y)
    found, expected = ours.predict(X_test), peer.predict(X_test)
    broken = ours.set_params(break_ties=True).predict(X_test)
    assert np.mean(found == expected) > 0.999
    assert np.mean(broken == peer.set_params(break_ties=True).predict(X_test)) > 0.999
    assert np.mean(found != broken) > 0.02       # there are ties in this test


@pytest.mark.parametrize("class_weight", [None, "balanced", {"b": 3.0, "c": 0.2}], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_weights_equal_libsvm(class_weight, weighted):
    X, y = blobs(3)
    y = np.array(["a", "b", "c"])[y]
    weight = np.random.default_rng(0).uniform(0.1, 3, len(y)) if weighted else None
    ours = SVC(tol=TOL, class_weight=class_weight).fit(X, y, weight)
    peer = Peer(tol=TOL, class_weight=class_weight).fit(X, y, weight)
    if class_weight != "balanced" or not weighted:      # scikit-learn counts samples for "balanced", we weigh them
        np.testing.assert_allclose(ours.class_weight_, peer.class_weight_)
        assert_same_machine(ours, peer, X)


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_weight_two_is_a_sample_twice_and_weight_zero_is_none(strategy):
    X, y = blobs(3)
    weight = np.random.default_rng(0).integers(0, 3, len(y))
    once = SVC(tol=TOL, strategy=strategy, gamma=0.2).fit(X, y, weight)
    repeated = SVC(tol=TOL, strategy=strategy, gamma=0.2).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    np.testing.assert_allclose(once.decision_function(X), repeated.decision_function(X), atol=1e-4)
    assert (weight[once.support_] > 0).all()


def test_class_whose_samples_all_have_weight_zero_is_named():
    X, y = blobs(3)
    with pytest.raises(ValueError, match="class 2 have weight 0"):
        SVC().fit(X, y, (y != 2).astype(float))


def test_two_samples_by_hand():
    # x = -1 and 1, linear: alpha = 1/2 each, b = 0. With C = 0.2 both are bounded, and f(x) = 0.4 x.
    X, y = [[-1.0], [1.0]], [0, 1]
    for C, slope in ((10.0, 1.0), (0.2, 0.4)):
        svc = SVC(C=C, kernel="linear").fit(X, y)
        np.testing.assert_allclose(svc.dual_coef_, [[-slope / 2, slope / 2]])
        np.testing.assert_allclose(svc.decision_function([[2.0], [-3.0]]), [2 * slope, -3 * slope], rtol=1e-6)


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_result_does_not_depend_on_n_jobs(strategy):
    X, y = blobs(5, n=200)
    one, two = (SVC(strategy=strategy, n_jobs=n_jobs).fit(X, y) for n_jobs in (1, 2))
    for name in ("support_", "dual_coef_", "intercept_", "n_iter_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    np.testing.assert_array_equal(one.decision_function(X), two.decision_function(X))


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_small_cache_and_no_shrinking_give_the_same_machine(strategy):
    X, y = blobs(3, n=300)
    plain, small, whole = (SVC(strategy=strategy, tol=TOL, **settings).fit(X, y)
                           for settings in ({}, {"cache_size": 0.05}, {"shrinking": False}))
    for other in (small, whole):
        np.testing.assert_allclose(other.decision_function(X), plain.decision_function(X), atol=1e-4)


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_path_equals_single_fits_and_is_shorter(strategy):
    X, y = blobs(4, n=200)
    Cs = [0.1, 1.0, 5.0]
    path = svm_path(SVC(strategy=strategy, tol=1e-4, gamma=0.2), X, y, Cs)
    assert [svc.C for svc in path] == Cs
    for svc in path:
        single = SVC(C=svc.C, strategy=strategy, tol=1e-4, gamma=0.2).fit(X, y)
        np.testing.assert_allclose(svc.decision_function(X), single.decision_function(X), atol=1e-2)
        assert svc.certificates_["violation"].max() < 2e-4
        assert svc.classes_ is not None and svc.n_features_in_ == 4
    assert path[2].n_iter_.sum() < single.n_iter_.sum()      # it started from the solution for C = 1
    for bad in ([], [1.0, 1.0], [2.0, 1.0]):
        with pytest.raises(ValueError, match="ascending"):
            svm_path(SVC(), X, y, bad)


def test_path_leaves_the_estimator_alone_and_keeps_feature_names():
    class Frame:    # what pandas and polars frames have in common
        columns, shape = list("abcd"), (90, 4)

        def __array__(self, dtype=None, copy=None):
            return np.array(X, dtype=dtype)

    X, y = blobs(3)
    svc = SVC()
    path = svm_path(svc, Frame(), y, [0.5, 2.0])
    assert not svc.__sklearn_is_fitted__() and svc.C == 1.0
    assert all(list(fitted.feature_names_in_) == list("abcd") for fitted in path)


def test_warning_names_the_worst_problem_and_what_is_left():
    X, y = blobs(3)
    y = np.array([3, 7, 9])[y]
    with pytest.warns(ConvergenceWarning, match=r"of 3 binary problems.*classes 3 and 7: [\d.]+ after 5 it") as caught:
        SVC(max_iter=5, tol=TOL).fit(X, y)
    assert issubclass(caught[0].category, TheirConvergenceWarning)
    with pytest.warns(ConvergenceWarning, match="class 7 against the rest"):
        SVC(max_iter=5, tol=TOL, strategy="ovr").fit(X, y)
    SVC(max_iter=-1).fit(X, y)


@pytest.mark.parametrize("settings, message", [
    ({"C": 0}, "SVC: C=0, expected"), ({"C": float("inf")}, "C=inf"), ({"kernel": "gauss"}, "kernel='gauss'"),
    ({"gamma": -1.0}, "gamma=-1"), ({"gamma": "big"}, "gamma='big'"), ({"degree": 1.5}, "degree=1.5"),
    ({"strategy": "all"}, "strategy='all'"), ({"tol": 0.0}, "tol=0"), ({"cache_size": 0}, "cache_size=0"),
    ({"max_iter": 0}, "max_iter=0"), ({"coef0": float("nan")}, "coef0=nan"), ({"n_jobs": 0}, "n_jobs=0"),
    ({"strategy": "ovr", "decision_function_shape": "ovo"}, "no pairs to show"),
    ({"decision_function_shape": "both"}, "decision_function_shape='both'"), ({"class_weight": "heavy"}, "'heavy'")])
def test_bad_parameters_are_named(settings, message):
    X, y = blobs(3, n=30)
    with pytest.raises(ValueError, match=message):
        SVC(**settings).fit(X, y)


def test_failed_refit_leaves_it_unfitted():
    X, y = blobs(3)
    svc = SVC().fit(X, y)
    with pytest.raises(ValueError, match="NaN"):
        svc.fit(np.full_like(X, np.nan), y)
    with pytest.raises(NotFittedError):
        svc.predict(X)
    assert not [name for name in vars(svc) if name.endswith("_")]


INTERRUPTED = textwrap.dedent("""
    import sys
    import numpy as np
    from classifiers.svm.svc import SVC
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(3000, 20)), rng.integers(0, {K}, 3000)
    svc = SVC(C=1e4, kernel="linear", strategy="{strategy}", tol=1e-9, n_jobs={jobs})   # some seconds
    svc.fit(X[:60], y[:60])                         # compile first
    print("ready", flush=True)
    try:
        svc.fit(X, y)
    except KeyboardInterrupt:
        left = [name for name in vars(svc) if name.endswith("_")]
        print("interrupted", left, flush=True)
""")


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
@pytest.mark.parametrize("K, strategy, jobs", [(2, "ovo", 1), (3, "ovo", 2), (3, "ovr", 2)])
def test_ctrl_c_is_prompt_and_leaves_it_unfitted(K, strategy, jobs):
    code = INTERRUPTED.format(K=K, strategy=strategy, jobs=jobs)
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        assert process.poll() is None, "the fit was over before it could be interrupted"
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        took = time.monotonic() - start
    finally:
        process.kill()
        process.communicate()
    assert out == "interrupted []\n", err
    assert took < 8, f"{took:.1f} s"        # 0.3 to 0.4 s on a quiet machine; a busy one takes seconds to end Python
