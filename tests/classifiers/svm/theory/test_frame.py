"""The frame against arithmetic by hand: what it moves and scales, and that the answer is that of the samples given."""
from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import SVC as Peer

from classifiers.svm.cpu.kernel_blocks import kernel_block
from classifiers.svm.svc import SVC
from classifiers.svm.theory.frame import frame_of, shifts
from classifiers.svm.theory.kernel_functions import Kernel, kernel_values

KERNELS = [Kernel("linear"), Kernel("poly", 0.3, 3, 0.5), Kernel("rbf", 0.2), Kernel("sigmoid", 0.1, 3, -0.2)]


def samples(n=40, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.mark.parametrize("power", [-100, -30, 0, 30, 100])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_kernel_values_in_the_frame_are_the_same_but_for_the_unit(kernel, power):
    X = samples() * 2.0**power + (2.0**power * 50 if kernel.name in ("linear", "rbf") else 0.0)
    kernel = Kernel(kernel.name, kernel.gamma * 4.0**-power, kernel.degree, kernel.coef0)
    frame = frame_of(kernel, X)
    placed = frame.place(X, np.float64)
    centred = X - X.mean(axis=0) if kernel.name == "linear" else X
    expected = kernel_values(kernel, centred, centred)                            # float64 holds all of these
    np.testing.assert_allclose(kernel_values(frame.kernel, placed, placed) * frame.unit, expected, rtol=1e-12,
                               atol=1e-12 * np.abs(expected).max())
    narrow = frame.place(X, np.float32)
    assert 0.1 < np.median(np.abs(np.linalg.norm(narrow, axis=1))) < 10         # near 1, whatever the unit was
    assert np.isfinite(kernel_block(frame.kernel, narrow, narrow)).all()
    assert np.log2(frame.scale) % 1 == np.log2(frame.unit) % 1 == 0             # powers of 2 round nothing


def test_place_by_hand():
    X = np.array([[1990.0], [2010.0]])
    frame = frame_of(Kernel("linear"), X)                           # mean 2000, |x - mean| = 10, the nearest power is 8
    assert (frame.origin.tolist(), frame.scale, frame.unit) == ([2000.0], 1 / 8, 64.0)
    np.testing.assert_array_equal(frame.place(X, np.float32), [[-1.25], [1.25]])
    np.testing.assert_array_equal(frame.norms, [1.25, 1.25])


def test_samples_that_lie_well_are_not_copied():
    X = samples().astype(np.float32)
    norm = np.median(np.linalg.norm(X.astype(np.float64), axis=1))
    frame = frame_of(Kernel("sigmoid", 0.1), X * np.float32(1 / norm))
    assert frame.place(X, np.float32) is X
    K = np.eye(3, dtype=np.float32)
    assert frame_of(Kernel("precomputed"), K).place(K, np.float32) is K


def test_one_sample_far_away_does_not_decide_about_the_scale():
    X = samples()
    X[3] = 1e12
    frame = frame_of(Kernel("sigmoid", 0.1), X)
    assert 0.1 < np.median(np.linalg.norm(frame.place(X, np.float64), axis=1)) < 10
    assert frame.norms.max() > 1e11
    assert frame_of(Kernel("sigmoid", 0.1), np.r_[X, [[1e17, 0, 0]]]).wide and not frame.wide


@pytest.mark.parametrize("factor", [2.0**-60, 2.0**60])
def test_a_given_matrix_is_scaled_when_it_is_large_or_small(factor):
    K = samples(5, 5) @ samples(5, 5).T * factor
    frame = frame_of(Kernel("precomputed"), K)
    placed = frame.place(K, np.float32)
    assert 1e-3 < np.median(np.abs(np.diagonal(placed))) < 1e3
    np.testing.assert_allclose(placed.astype(np.float64) * frame.unit, K, rtol=1e-6)


def test_the_bias_follows_the_origin_by_hand():
    # Two classes, a support vector each: f(x) = 0.5 * 11 x - 0.5 * 9 x + b = x + b, around the mean 10 (x - 10) + b'.
    vectors, coef = np.array([[11.0], [9.0]]), np.array([[0.5, -0.5]])
    frame = frame_of(Kernel("linear"), vectors)
    assert shifts(frame, vectors, coef, np.array([0, 1, 2]), "ovo") == pytest.approx([10.0])
    assert shifts(frame, vectors, coef, np.array([0, 1, 2]), "ovr") == pytest.approx([10.0])
    assert shifts(frame_of(Kernel("rbf", 0.1), vectors), vectors, coef, np.array([0, 1, 2]), "ovo") == 0.0


def test_features_that_float64_cannot_square_are_refused():
    with pytest.raises(ValueError, match=r"as large as 1e\+200.*scale the features"):
        SVC().fit(samples() * 1e200 / np.abs(samples()).max(), np.arange(40) % 2)
    with pytest.raises(ValueError, match=r"degree=15.*not finite in float32"):
        frame_of(Kernel("poly", 1.0, 15, 0.0), samples() * 1e3)


@pytest.mark.parametrize("kernel, strategy", [("linear", "ovo"), ("linear", "ovr"), ("rbf", "ovo"), ("rbf", "ovr"),
                                              ("poly", "ovo"), ("poly", "ovr"), ("sigmoid", "ovo")])
@pytest.mark.parametrize("unit", [1e-30, 1e-6, 1e6, 1e30])
def test_the_unit_of_the_features_does_not_matter(kernel, strategy, unit):
    # gamma="scale" follows the unit; a linear kernel needs another C, because its values grow with the square.
    X, y = samples(60, 4, seed=1), np.arange(60) % 3
    C = 10.0 / unit**2 if kernel == "linear" else 10.0
    one = SVC(C=10.0, kernel=kernel, strategy=strategy, tol=1e-5).fit(X, y)
    other = SVC(C=C, kernel=kernel, strategy=strategy, tol=1e-5).fit(X * unit, y)
    np.testing.assert_allclose(other.decision_function(X * unit), one.decision_function(X), atol=2e-3)


@pytest.mark.parametrize("offset", [1e3, 1e6, 1e8])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_where_the_features_lie_does_not_matter(kernel, offset):
    X = samples(60, 4, seed=1).astype(np.float32).astype(np.float64) + offset
    near, y = X - offset, np.arange(60) % 3                         # what is left of the samples that far away
    gamma = 0.2
    peer = Peer(kernel=kernel, gamma=gamma, tol=1e-6, decision_function_shape="ovo").fit(near, y)
    ours = SVC(kernel=kernel, gamma=gamma, tol=1e-6, decision_function_shape="ovo").fit(X, y)
    np.testing.assert_allclose(ours.decision_function(X), peer.decision_function(near), atol=2e-3)
    assert ours.certificates_["violation"].max() < 2e-6


def test_samples_that_are_far_from_all_support_vectors_have_a_decision():
    X, y = samples(30, 2), np.arange(30) % 3
    svc = SVC(gamma=0.5).fit(X, y)
    far = np.array([[1e20, 0.0], [1e30, -1e30], [0.0, 1e100]])
    np.testing.assert_allclose(svc.set_params(decision_function_shape="ovo").decision_function(far),
                               np.tile(svc.intercept_, (3, 1)), atol=1e-12)     # all kernel values are 0
    poly = SVC(kernel="poly", degree=5, gamma=1.0).fit(X, y)
    with pytest.raises(ValueError, match="row 1 of X are not finite"):
        poly.predict([[1.0, 1.0], [1e100, 1.0]])
