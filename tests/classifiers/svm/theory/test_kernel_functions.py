"""Kernel functions in float64 and the values of gamma, against scikit-learn's."""
from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.svm import SVC

from classifiers.svm.theory.kernel_functions import Kernel, kernel_loops, kernel_values, resolve_gamma

KERNELS = [Kernel("linear"), Kernel("poly", gamma=0.3, degree=3, coef0=0.5), Kernel("poly", gamma=0.3, degree=0),
           Kernel("poly", gamma=0.5, degree=1), Kernel("rbf", gamma=0.2), Kernel("sigmoid", gamma=0.1, coef0=-0.2)]


def samples(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: f"{kernel.name}{kernel.degree}")
def test_loops_and_matrices_are_scikit_learns_kernels(kernel):
    A, B = samples(3, 4), samples(2, 4, seed=1)
    options = {"gamma": kernel.gamma, "degree": kernel.degree, "coef0": kernel.coef0}
    expected = pairwise_kernels(A, B, metric=kernel.name, filter_params=True, **options)
    np.testing.assert_allclose([[kernel_loops(kernel, a, b) for b in B] for a in A], expected, rtol=1e-12)
    np.testing.assert_allclose(kernel_values(kernel, A, B), expected, rtol=1e-12)


@pytest.mark.parametrize("gamma", ["scale", "auto", 0.5])
def test_gamma_is_what_scikit_learn_makes_of_it(gamma):
    X = samples(20, 3) * [1, 5, 0.1]
    peer = SVC(gamma=gamma).fit(X, np.arange(20) % 2)
    assert resolve_gamma(gamma, X) == pytest.approx(peer._gamma)
    assert resolve_gamma("scale", np.ones((3, 2))) == 1.0      # no variance at all


@pytest.mark.parametrize("gamma", ["Scale", -0.1, float("nan"), float("inf"), None, True])
def test_other_gammas_are_refused(gamma):
    with pytest.raises(ValueError, match="expected 'scale', 'auto' or"):
        resolve_gamma(gamma, np.ones((3, 2)))


def test_a_precomputed_kernel_has_no_formula():
    with pytest.raises(ValueError, match="precomputed"):
        kernel_loops(Kernel("precomputed"), np.ones(2), np.ones(2))
