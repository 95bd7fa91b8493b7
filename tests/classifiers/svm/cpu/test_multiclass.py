"""All problems of a classifier against LIBSVM's, whatever the size of the cache, the threads and the backend."""
from __future__ import annotations

import time

import joblib
import numpy as np
import pytest
from numba import config
from sklearn.svm import SVC

from classifiers.svm.cpu import multiclass, working_set
from classifiers.svm.cpu.dense import solve
from classifiers.svm.cpu.gram import Gram
from classifiers.svm.cpu.kernel_blocks import kernel_block
from classifiers.svm.cpu.multiclass import fit_problems
from classifiers.svm.cpu.working_set import solve_large
from classifiers.svm.theory.kernel_functions import Kernel
from classifiers.svm.theory.problems import pairs

SMALL = bool(config.DISABLE_JIT)  # type: ignore[attr-defined]
KERNELS = [Kernel("linear"), Kernel("poly", 0.3, 2, 1.0), Kernel("rbf", 0.5), Kernel("sigmoid", 0.02, 3, 0.1)]


def data(n=240 if not SMALL else 30, n_classes=4 if not SMALL else 3, seed=0):
    """Classes of very different sizes, the last of one sample, sorted."""
    rng = np.random.default_rng(seed)
    y = np.sort(rng.choice(n_classes - 1, n - 1, p=np.arange(1, n_classes) / np.arange(1, n_classes).sum()))
    y = np.append(y, n_classes - 1)
    X = (rng.normal(size=(n, 5)) + 0.8 * rng.normal(size=(n_classes, 5))[y]).astype(np.float32)
    return X, y, np.searchsorted(y, np.arange(n_classes + 1))


def fit(X, starts, kernel=KERNELS[2], strategy="ovo", cost=2.0, cache=200.0, tol=1e-3, **options):
    return fit_problems(Gram(X, kernel, cache), starts, np.broadcast_to(cost, len(X)), strategy, tol, 10**6, **options)


def objectives(solution, X, y, starts, strategy, kernel=KERNELS[2]):
    """D(beta) of each problem in float64."""
    K = kernel_block(kernel, X, X).astype(np.float64)
    values = []
    for k, (a, b) in enumerate(pairs(len(starts) - 1) if strategy == "ovo" else
                               np.repeat(np.arange(len(starts) - 1), 2).reshape(-1, 2)):
        if strategy == "ovo":
            beta = np.where(y == a, solution.coef[b - 1], np.where(y == b, solution.coef[a], 0))
        else:
            beta = solution.coef[k]
        values.append(beta @ K @ beta / 2 - np.abs(beta).sum())
    return np.array(values)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("cache", [200.0, 1e-3])
def test_one_vs_one_is_libsvms(kernel, cache):
    X, y, starts = data()
    ours = fit(X, starts, kernel, cache=cache, tol=1e-5)
    peer = SVC(C=2.0, tol=1e-5, kernel=kernel.name, gamma=kernel.gamma, degree=kernel.degree, coef0=kernel.coef0,
               decision_function_shape="ovo").fit(X.astype(np.float64), y)
    theirs = ours._replace(coef=np.zeros_like(ours.coef))
    theirs.coef[:, peer.support_] = peer.dual_coef_
    np.testing.assert_allclose(objectives(ours, X, y, starts, "ovo", kernel),
                               objectives(theirs, X, y, starts, "ovo", kernel), rtol=1e-5)
    np.testing.assert_allclose(ours.intercept, peer.intercept_, atol=1e-3)
    K = kernel_block(kernel, X, X)
    f = np.array([K[:, (y == a) | (y == b)] @ np.where(y == a, ours.coef[b - 1], ours.coef[a])[(y == a) | (y == b)]
                  for a, b in pairs(len(starts) - 1)]).T + ours.intercept
    np.testing.assert_allclose(f, peer.decision_function(X.astype(np.float64)), atol=1e-3)
    assert ours.violation.max() < 1e-5
    assert ours.iterations.shape == ours.violation.shape == (len(pairs(len(starts) - 1)),)


@pytest.mark.parametrize("shrinking", [True, False])
@pytest.mark.parametrize("cache", [200.0, 1e-3])
def test_one_vs_rest_is_libsvms(shrinking, cache):
    X, y, starts = data()
    ours = fit(X, starts, strategy="ovr", cache=cache, shrinking=shrinking)
    theirs = ours._replace(coef=np.zeros_like(ours.coef))
    for k in range(len(starts) - 1):
        peer = SVC(C=2.0, gamma=0.5).fit(X.astype(np.float64), y == k)
        theirs.coef[k, peer.support_] = peer.dual_coef_[0]
        assert ours.intercept[k] == pytest.approx(peer.intercept_[0], abs=0.01)
    np.testing.assert_allclose(objectives(ours, X, y, starts, "ovr"), objectives(theirs, X, y, starts, "ovr"),
                               rtol=1e-3)
    assert ours.violation.max() < 1e-3


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_weighted_samples(strategy):
    X, y, starts = data(seed=1)
    weight = np.random.default_rng(0).uniform(0.2, 3, len(y))
    ours = fit(X, starts, strategy=strategy, cost=weight)
    if strategy == "ovo":
        peer = SVC(C=1.0, gamma=0.5).fit(X.astype(np.float64), y, sample_weight=weight)
        coef = np.zeros_like(ours.coef)
        coef[:, peer.support_] = peer.dual_coef_
        np.testing.assert_allclose(objectives(ours, X, y, starts, "ovo"),
                                   objectives(ours._replace(coef=coef), X, y, starts, "ovo"), rtol=1e-3)
    assert (np.abs(ours.coef) <= weight).all()
    assert (np.abs(ours.coef) == weight).any()


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_the_same_bits_whatever_the_threads_and_the_backend(strategy, monkeypatch):
    monkeypatch.setattr(multiclass, "_BATCHES", 3)
    X, _, starts = data()
    alone = fit(X, starts, strategy=strategy, cache=0.05, n_jobs=1)
    others = [fit(X, starts, strategy=strategy, cache=0.05, n_jobs=2)]
    with joblib.parallel_config(backend="loky", n_jobs=2):
        others.append(fit(X, starts, strategy=strategy, cache=0.05))
    monkeypatch.setattr(multiclass, "_BATCHES", 256)
    others.append(fit(X, starts, strategy=strategy, cache=0.05, n_jobs=2))
    for other in others:
        for ours, theirs in zip(alone, other):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_a_smaller_cache_gives_the_same_machine(strategy):
    X, y, starts = data(seed=2)
    whole = fit(X, starts, strategy=strategy, tol=1e-5)
    for cache in (0.02, 1e-5):
        small = fit(X, starts, strategy=strategy, cache=cache, tol=1e-5)
        np.testing.assert_allclose(small.intercept, whole.intercept, atol=1e-4)
        np.testing.assert_allclose(objectives(small, X, y, starts, strategy),
                                   objectives(whole, X, y, starts, strategy), rtol=1e-6)


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
@pytest.mark.parametrize("cache", [200.0, 1e-3])
def test_warm_start_along_a_grid(strategy, cache):
    X, y, starts = data(seed=3)
    first = fit(X, starts, strategy=strategy, cost=1.0, cache=cache)
    cold = fit(X, starts, strategy=strategy, cost=1.3, cache=cache)
    warm = fit(X, starts, strategy=strategy, cost=1.3, cache=cache, beta=first.beta)
    assert warm.iterations.sum() < cold.iterations.sum()
    np.testing.assert_allclose(objectives(warm, X, y, starts, strategy), objectives(cold, X, y, starts, strategy),
                               rtol=1e-3)


def test_a_fold_is_a_restricted_matrix():
    X, y, starts = data(seed=4)
    fold = np.flatnonzero(np.arange(len(y)) % 3 > 0)
    fold = np.append(fold, len(y) - 1) if fold[-1] != len(y) - 1 else fold       # the class of one sample
    gram = Gram(X, KERNELS[2])
    gram.full()
    bounds = np.searchsorted(y[fold], np.arange(len(starts)))
    part = fit_problems(gram.restrict(fold), bounds, np.full(len(fold), 2.0), "ovo", 1e-3, 10**6)
    own = fit(X[fold], bounds)
    np.testing.assert_allclose(part.intercept, own.intercept, atol=5e-3)
    np.testing.assert_allclose(objectives(part, X[fold], y[fold], bounds, "ovo"),
                               objectives(own, X[fold], y[fold], bounds, "ovo"), rtol=1e-3)


def test_max_iter_is_per_problem_and_leaves_an_honest_violation():
    X, _, starts = data()
    for strategy in ("ovo", "ovr"):
        solution = fit_problems(Gram(X, KERNELS[2]), starts, np.full(len(X), 2.0), strategy, 1e-3, 3)
        assert (solution.iterations <= 3).all()
        assert solution.violation.max() > 1e-3


@pytest.mark.parametrize("whole", [False, True])
def test_large_problems_grow_their_working_set(whole, monkeypatch):
    monkeypatch.setattr(working_set, "WORKING_SET", 16)
    monkeypatch.setattr(working_set, "_WHOLE", 64)
    X, y, _ = data(seed=5)
    labels, C = np.where(y == 1, 1, -1), np.full(len(y), 2.0)
    gram = Gram(X, KERNELS[2])
    if whole:
        gram.full()
    rounds: list[None] = []
    solution, = solve_large(gram, labels[None], C, 1e-4, 10**6, check=lambda: rounds.append(None))
    assert len(rounds) < 40                                # more than a hundred if it stays at 16
    expected = solve(kernel_block(KERNELS[2], X, X), labels, C, 1e-4, 10**6)
    assert solution.violation < 1e-4
    np.testing.assert_allclose(solution.beta, expected.beta, atol=2e-3)
    F = kernel_block(KERNELS[2], X, X).astype(np.float64) @ solution.beta - labels
    low, up = solution.beta > np.where(labels > 0, 0, -C), solution.beta < np.where(labels > 0, C, 0)
    assert F[low].max() - F[up].min() == pytest.approx(solution.violation, abs=1e-5)


def test_an_interrupt_stops_the_other_threads(monkeypatch):
    stopped = []

    def solve_pair(solver, a, b):
        if (a, b) == (0, 1):
            raise KeyboardInterrupt
        try:
            for _ in range(2_000):                       # 20 s of iterations, in slices of 10 ms
                time.sleep(0.01)
                solver.check()
        except KeyboardInterrupt:
            stopped.append((a, b))
            raise

    monkeypatch.setattr(multiclass, "_solve_pair", solve_pair)
    X, _, _ = data()
    started = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        fit(X, np.array([0, 20, 22, 30 if SMALL else 240]), n_jobs=2, cache=1e-3)      # too little for tiles
    while not stopped and time.perf_counter() - started < 10:
        time.sleep(0.01)
    assert stopped and time.perf_counter() - started < 10
