"""SVC beside LIBSVM on the sets that scikit-learn ships, and in other units: the same optimum, or a warning.

``python -m benchmarks shipped`` compares all of it: digits in full, more values of C and gamma, no limit of iterations.
"""
from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed (pip install 'scikit-learn>=1.9')")

from sklearn.svm import SVC as Peer

from benchmarks import duals, shipped
from classifiers.svm.svc import SVC

LIMIT = 50_000      # iterations of either library


@cache
def samples(name, features):
    X, y = shipped.samples(name, features)
    return (X[::6], y[::6]) if name == "digits" else (X, y)


def both(X, y, strategy, K, **parameters):
    return (duals.fit_ours(X, y, K, strategy, max_iter=LIMIT, **parameters),
            duals.fit_peer(X, y, K, strategy, max_iter=LIMIT, **parameters))


@pytest.mark.parametrize("kernel", shipped.KERNELS)
@pytest.mark.parametrize("features", ["raw", "standardised"])
@pytest.mark.parametrize("name", shipped.SETS)
def test_the_optimum_is_libsvms_or_a_warning_says_that_it_is_not(name, features, kernel):
    X, y = samples(name, features)
    for gamma in ("scale",) if kernel == "linear" else ("scale", 1e-4, 1e2):
        K = duals.gram(X, kernel, gamma)
        for C in (1e-4, 1.0, 1e4):
            for strategy in ("ovo", "ovr")[:2 if y.max() > 1 and C == 1.0 else 1]:
                ours, theirs = both(X, y, strategy, K, kernel=kernel, gamma=gamma, C=C)
                assert duals.wrong(ours, theirs, K, kernel != "sigmoid") == "", (C, gamma, strategy)


@pytest.mark.parametrize("kernel", shipped.KERNELS)
@pytest.mark.parametrize("features", shipped.UNITS)
def test_the_units_of_the_features_change_no_optimum_silently(features, kernel):
    X, y = samples("iris", features)
    K = duals.gram(X, kernel)
    for C in (1.0, 1e4):
        for strategy in ("ovo", "ovr"):
            ours, theirs = both(X, y, strategy, K, kernel=kernel, C=C)
            assert duals.wrong(ours, theirs, K, kernel != "sigmoid") == "", (C, strategy)


@pytest.mark.parametrize("kernel", shipped.KERNELS)
@pytest.mark.parametrize("name", shipped.SETS)
def test_ordinary_data_is_neither_refused_nor_warned_of(name, kernel):
    X, y = samples(name, "standardised")
    with warnings.catch_warnings(action="error"):
        if kernel == "sigmoid":
            warnings.filterwarnings("ignore", ".*have several optima")     # some problems of wine and digits do
        ours = SVC(kernel=kernel).fit(X, y)
    assert abs(ours.score(X, y) - Peer(kernel=kernel).fit(X, y).score(X, y)) <= 2 / len(y)


@pytest.mark.parametrize("features", ["times 1e-30", "times 1e30", "plus 1e6"])
def test_units_that_the_kernel_function_does_not_see_change_no_prediction(features):
    """gamma="scale" divides by the variance: rbf kernel values, and so predictions, are those of the raw features."""
    X, y = samples("iris", features)
    raw = samples("iris", "raw")[0]
    with warnings.catch_warnings(action="error"):
        found = SVC(tol=1e-5).fit(X, y).predict(X)
    np.testing.assert_array_equal(found, Peer(tol=1e-5).fit(raw, y).predict(raw))


@pytest.mark.parametrize("parameters", [{"kernel": "poly", "degree": 15, "gamma": 1.0},
                                        {"kernel": "poly", "degree": 40, "gamma": 1e6}, {"kernel": "linear"}])
def test_kernel_values_that_are_not_finite_are_an_error(parameters):
    X, y = samples("breast_cancer", "raw")
    with pytest.raises(ValueError, match=r"not finite|overflow|too large"):
        SVC(**parameters).fit(X * (1e200 if parameters["kernel"] == "linear" else 1.0), y)
