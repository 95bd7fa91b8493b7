"""The kernels of ``cuda/`` step by step against NumPy, and the plan by which they are launched."""
from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from classifiers.svm.cpu import decision
from classifiers.svm.cpu.gram import Gram
from classifiers.svm.cpu.kernel_blocks import kernel_block, squared_norms
from classifiers.svm.gpu import decision as cupy_decision
from classifiers.svm.gpu import device as cupy_device
from classifiers.svm.gpu import gram as cupy_gram
from classifiers.svm.gpu import plan as cupy_plan
from classifiers.svm.gpu import solver as cupy_solver
from classifiers.svm.gpu.plan import Shape, launches, one_vs_one, one_vs_rest, side
from classifiers.svm.theory.kernel_functions import Kernel
from classifiers.svm.theory.problems import pairs
from classifiers.svm.theory.smo import TAU, bias_and_violation

KERNELS = [Kernel("linear"), Kernel("poly", 0.1, 3, 1.0), Kernel("rbf", 0.5), Kernel("sigmoid", 0.02, 3, -0.1)]


def reference(K, y, C, tol, max_iter):
    """SMO with the second-order choice of j, as `cpu.compiled_smo` does it, one array operation after the other."""
    lower, upper = np.where(y > 0, 0.0, -C), np.where(y > 0, C, 0.0)
    diagonal, beta, F, steps = K.diagonal(), np.zeros(len(y)), -y.astype(np.float64), 0
    while steps < max_iter:
        up, low = beta < upper, beta > lower
        i = np.argmin(np.where(up, F, np.inf))
        excess = F - F[i]
        if excess[low].max() < tol:
            break
        rise = np.where(low & (excess > 0), excess, 0).astype(np.float32)
        j = np.argmax(rise * rise / np.maximum(K[i, i] + diagonal - 2 * K[i], np.float32(TAU)))
        q = np.float64(K[i, i]) + np.float64(K[j, j]) - 2.0 * np.float64(K[i, j])
        room_i, room_j = upper[i] - beta[i], beta[j] - lower[j]
        step = min((F[j] - F[i]) / max(q, TAU), room_i, room_j)
        beta[i] = upper[i] if step == room_i else beta[i] + step
        beta[j] = lower[j] if step == room_j else beta[j] - step
        F += step * (K[i].astype(np.float64) - K[j].astype(np.float64))
        steps += 1
    return beta, steps


@pytest.mark.parametrize("seed", [3, 5])
@pytest.mark.parametrize("shape", [Shape(64, 3), Shape(64, 0), Shape(128, 2)], ids=str)
def test_the_kernel_takes_the_steps_of_the_algorithm(device, monkeypatch, shape, seed):
    # Every sample is there two or three times, so there are ties in each iteration; 64 apart, they are of one thread.
    rng, y = np.random.default_rng(seed), np.repeat([1, -1], [67, 86])
    X = rng.normal(size=(64, 3))[np.arange(153) % 64]
    K = np.exp(-0.3 * ((X[:, None] - X) ** 2).sum(axis=2)).astype(np.float32)
    C = rng.uniform(0.05, 3.0, 153)
    monkeypatch.setattr(cupy_plan, "_SHAPES", (shape, Shape(64, 0)) if shape.items else (shape,))
    for tol, max_iter in ((2.0, 1), (1e-3, 2), (1e-3, 10), (1e-3, 10_000)):     # at first the gap is 2
        beta, steps = reference(K, y, C, tol, max_iter)
        found = cupy_solver.fit_problems(Gram(K, Kernel("precomputed")), [0, 67, 153], C, "ovo", tol, max_iter)
        if hasattr(device, "launches"):     # the stand-in does not fuse products and sums
            assert found.iterations[0] == steps
            np.testing.assert_array_equal(found.coef[0], beta)
        elif max_iter < 3:
            np.testing.assert_allclose(found.coef[0], beta, rtol=1e-12)
        bias, violation = bias_and_violation(K.astype(np.float64) @ found.coef[0] - y, found.coef[0], y, C)
        assert found.intercept[0] == pytest.approx(bias, abs=1e-12)
        assert found.violation[0] == pytest.approx(violation, abs=1e-12)
    assert 100 < steps < 1000


def solve(K, y, C, tol=1e-3):
    """One problem with class +1 first, on a given matrix; beta, bias, iterations and the violation found."""
    found = cupy_solver.fit_problems(Gram(np.ascontiguousarray(K, np.float32), Kernel("precomputed")),
                                     [0, int((y > 0).sum()), len(y)], C, "ovo", tol, 10**8)
    return found.coef[0], found.intercept[0], found.iterations[0], found.violation[0]


def test_problems_that_try_the_arithmetic_end(device):
    y = np.array([1, 1, -1, -1])
    beta, bias, _, violation = solve(np.ones((4, 4)), y, np.full(4, 2.0))   # no curvature: the box stops the steps
    np.testing.assert_array_equal(beta, [2, 2, -2, -2])
    assert (bias, violation) == (0, -2)                                # no sample is free
    rng, y = np.random.default_rng(0), np.repeat([1, -1], [9, 11])
    X = rng.normal(size=(20, 3)) + 0.5 * y[:, None]
    K = (1e6 * np.exp(-0.3 * ((X[:, None] - X) ** 2).sum(axis=2))).astype(np.float32)
    _, _, steps, violation = solve(K, y, np.full(20, 1e6), tol=1e-18)  # the last steps are lost in rounding
    assert 0 < steps < 100_000 and 0 <= violation < 1e-6
    A = rng.normal(size=(20, 20))
    K = ((A + A.T) / 2).astype(np.float32)                             # no inner product: it ends in the box
    beta, _, steps, _ = solve(K, y, np.ones(20))
    assert np.abs(beta).max() <= 1.0
    if hasattr(device, "launches"):
        expected, count = reference(K, y, np.ones(20), 1e-3, 1000)
        assert steps == count
        np.testing.assert_array_equal(beta, expected)
    assert solve(np.full((20, 20), np.nan), y, np.ones(20))[2] <= 1


def test_a_gradient_that_drifted_is_computed_anew(device):
    rng, y = np.random.default_rng(1), np.repeat([1, -1], [30, 33])
    X = rng.normal(size=(63, 3)) + 0.4 * y[:, None]
    K, C = (1000 * np.exp(-0.3 * ((X[:, None] - X) ** 2).sum(axis=2))).astype(np.float32), np.ones(63)
    beta, _ = reference(K, y, C, 1e-12, 20_000)                        # believes F, to which thousands of steps added
    assert bias_and_violation(K.astype(np.float64) @ beta - y, beta, y, C)[1] > 1.1e-12
    assert solve(K, y, C, 1e-12)[3] < (1e-12 if hasattr(device, "launches") else 1e-11)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_kernel_values_of_wide_blocks_and_near_points(device, kernel):
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(3, 5)).astype(np.float32), rng.normal(size=(1030, 5)).astype(np.float32)
    far = 100 * rng.normal(size=(50, 37)).astype(np.float32)

    def values(A, B):
        norms = [squared_norms(kernel, X) for X in (A, B)]
        squares = [None if known is None else device.asarray(known) for known in norms]
        return device.asnumpy(cupy_gram.kernel_values(kernel, device.asarray(A), device.asarray(B), tuple(squares)))

    np.testing.assert_allclose(values(A, B), kernel_block(kernel, A, B), rtol=2e-5, atol=1e-5)
    if kernel.name == "rbf":                                    # |a|^2 + |a|^2 - 2 a . a is rounded, below 0 as well
        assert 0.5 < values(far, far).diagonal().min() and values(far, far).max() <= 1


def test_a_class_without_support_vectors_and_no_samples(device, monkeypatch):
    machine = (Kernel("linear"), np.array([[1.0], [-1.0]], np.float32), np.array([[0.5, -0.5], [0.25, 0.0]]),
               np.array([0, 1, 2, 2]), np.array([0.0, 0.5, -0.5]))
    monkeypatch.setattr(cupy_decision, "_THREADS", 2)
    X = np.array([[2.0], [0.0]], np.float32)                    # in the middle a decision of 0, for the first class
    np.testing.assert_allclose(cupy_decision.decision_values(*machine, X, "ovo"), [[2.0, 1.0, -0.5], [0.0, 0.5, -0.5]])
    np.testing.assert_array_equal(cupy_decision.decision_scores(*machine, X), decision.decision_scores(*machine, X))
    assert cupy_decision.decision_values(*machine, np.empty((0, 1), np.float32), "ovo").shape == (0, 3)
    assert cupy_decision.decision_scores(*machine, np.empty((0, 1), np.float32)).shape == (0, 3)


@pytest.mark.parametrize("most", [1000, 100, 61, 50])
def test_a_plan_has_every_pair_once_and_keeps_to_the_memory(most):
    sizes = np.random.default_rng(0).integers(1, 25, 13)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    label = np.repeat(np.arange(13), sizes)
    seen = []
    for part in one_vs_one(starts, most):
        rows = np.concatenate([np.arange(some.start, some.stop) for some in part.samples])
        assert len(rows) <= most
        for number, of, owners in zip(part.numbers, part.table, part.owners):
            a, b = pairs(13)[number]
            np.testing.assert_array_equal(rows[of[0]:of[1]], np.flatnonzero(label == a))
            np.testing.assert_array_equal(rows[of[2]:of[3]], np.flatnonzero(label == b))
            assert tuple(of[4:]) == tuple(of[:2])
            assert owners == [(b - 1, slice(starts[a], starts[a + 1])), (a, slice(starts[b], starts[b + 1]))]
        sent = list(launches(part.table))
        assert sorted(np.concatenate([launch.problems for launch in sent])) == list(range(len(part.table)))
        seen += part.numbers.tolist()
    assert sorted(seen) == list(range(78))


def test_launches_are_of_one_kind_the_largest_first(monkeypatch):
    monkeypatch.setattr(cupy_plan, "_SAMPLES", 20_000)
    sizes = np.array([10, 5000, 513, 512, 4096, 9000, 2048, 2049, 30_000])
    table = np.zeros((9, 6), np.int32)
    table[:, 1] = sizes
    found = [(sizes[launch.problems].tolist(), launch.shape.threads, launch.shape.items) for launch in launches(table)]
    assert found == [([30_000], 1024, 0), ([9000, 5000], 1024, 0), ([4096, 2049], 512, 8), ([2048, 513], 256, 8),
                     ([512, 10], 128, 4)]
    part, = one_vs_rest(np.array([0, 2, 5]), 5)
    assert part.table.tolist() == [[0, 5, 5, 5, 0, 2], [0, 5, 5, 5, 2, 5]]


def test_memory_is_what_is_free_or_what_the_user_allows():
    def free(limit):
        pool = SimpleNamespace(free_bytes=lambda: 100, used_bytes=lambda: 50, get_limit=lambda: limit)
        return cupy_device.free_bytes(SimpleNamespace(
            get_default_memory_pool=lambda: pool,
            cuda=SimpleNamespace(runtime=SimpleNamespace(memGetInfo=lambda: (1000, 5000)))))

    assert (free(0), free(300), free(10_000)) == (1100, 250, 1100)
    assert side(1100, 0, 0) == 14 and side(1100, 10_000, 0) == 0
