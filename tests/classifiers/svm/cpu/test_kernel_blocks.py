"""Blocks of kernel values against the formula of each pair of samples, and near the ends of float32."""
from __future__ import annotations

import numpy as np
import pytest
from numba import config

from classifiers.svm.cpu.compiled_gram import finish_rbf
from classifiers.svm.cpu.kernel_blocks import kernel_block, squared_norms
from classifiers.svm.theory.kernel_functions import Kernel, kernel_loops

KERNELS = [Kernel("linear"), Kernel("poly", gamma=0.3, degree=3, coef0=0.5), Kernel("poly", gamma=0.3, degree=0),
           Kernel("poly", gamma=0.5, degree=1), Kernel("rbf", gamma=0.2), Kernel("sigmoid", gamma=0.1, coef0=-0.2)]


def samples(n, d, seed=0, shift=0.0):
    return (np.random.default_rng(seed).normal(size=(n, d)) + shift).astype(np.float32)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: f"{kernel.name}{kernel.degree}")
def test_block_is_the_formula_for_each_pair(kernel):
    A, B = samples(5, 7), samples(9, 7, seed=1)
    expected = [[kernel_loops(kernel, a, b) for b in B] for a in A]
    K = kernel_block(kernel, A, B)
    assert K.dtype == np.float32
    np.testing.assert_allclose(K, expected, rtol=5e-6, atol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: f"{kernel.name}{kernel.degree}")
def test_writes_into_the_memory_given(kernel):
    A = samples(70, 3)
    out = np.full((70, 70), np.nan, np.float32)
    assert kernel_block(kernel, A, A, out, (squared_norms(kernel, A), squared_norms(kernel, A))) is out
    np.testing.assert_array_equal(out, kernel_block(kernel, A, A))


def test_a_callable_is_a_kernel():
    kernel = Kernel(lambda A, B: 2.0 * A @ B.T)
    A = samples(4, 3)
    np.testing.assert_allclose(kernel_block(kernel, A, A), 2 * A @ A.T, rtol=1e-6)
    assert kernel_block(kernel, A, A).dtype == np.float32
    out = np.empty((4, 4), np.float32)
    assert kernel_block(kernel, A, A, out) is out
    assert kernel_loops(kernel, A[0], A[1]) == pytest.approx(float(2 * A[0] @ A[1]))


def test_a_callable_that_misbehaves_is_named():
    with pytest.raises(ValueError, match=r"shape \(3,\).*expected \(4, 4\)"):
        kernel_block(Kernel(lambda A, B: np.ones(3)), samples(4, 3), samples(4, 3))
    with pytest.raises(ValueError, match="not finite"):
        kernel_block(Kernel(lambda A, B: np.full((len(A), len(B)), 1e300)), samples(4, 3), samples(4, 3))


@pytest.mark.parametrize("gamma", [1.0, 0.37])
def test_the_exponential_is_within_two_units_in_the_last_place(gamma):
    n = 200_000 if not config.DISABLE_JIT else 2_000  # type: ignore[attr-defined]
    squares = np.concatenate([np.linspace(0, 86.9 / gamma, n), np.logspace(-9, 0, n)]).astype(np.float32)
    K = np.zeros((1, len(squares)), np.float32)
    finish_rbf(K, np.zeros(1, np.float32), squares, gamma)
    argument = squares * np.float32(-gamma)                    # the product is rounded to float32 before
    expected = np.exp(argument.astype(np.float64))
    assert (np.abs(K[0] - expected) / np.spacing(expected.astype(np.float32))).max() < 2


def test_the_exponential_at_its_ends():
    squares = np.array([0, -1e-3, 87, 100, 1e10, 3e38], np.float32)   # -1e-3: a distance that rounding made negative
    K = np.zeros((1, 6), np.float32)
    finish_rbf(K, np.zeros(1, np.float32), squares, 1.0)
    assert K[0, 0] == K[0, 1] == 1
    assert K[0, 2:].max() < 2e-38 and K[0].min() > 0


def test_float64_takes_distances_feature_by_feature():
    A = samples(30, 5, shift=3000.0).astype(np.float64)
    expected = np.exp(-0.2e12 * ((A[:, None] - A) ** 2).sum(axis=2))
    K = kernel_block(Kernel("rbf", gamma=0.2e12), A, A)
    assert K.dtype == np.float64 and (np.diagonal(K) == 1).all()         # |a|^2 + |a|^2 - 2 a . a would not be 0
    np.testing.assert_allclose(K, expected, atol=1e-15)
