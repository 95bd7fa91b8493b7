"""The readable and the fast SMO: problems solved by hand, LIBSVM's dual, the KKT conditions in float64."""
from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from numba import config
from sklearn.svm import SVC

from classifiers.svm.cpu import dense
from classifiers.svm.cpu.compiled_smo import Room, Sides, StripMatrix, solve_pairs
from classifiers.svm.cpu.dense import minimise, solve
from classifiers.svm.theory.smo import bias_and_violation, feasible, solve_loops

INTERPRETED = bool(config.DISABLE_JIT)  # type: ignore[attr-defined]
SOLVERS = [pytest.param(partial(solver, tol=1e-3, max_iter=100_000), id=name)
           for name, solver in (("loops", solve_loops), ("fast", solve))]


def problem(n=300 if not INTERPRETED else 24, seed=0, shift=0.7):
    """Two overlapping clouds, their RBF Gram matrix rounded to float32, and labels in random order."""
    rng = np.random.default_rng(seed)
    y = rng.choice([-1, 1], n)
    y[:2] = 1, -1
    X = rng.normal(size=(n, 4)) + shift * y[:, None] * [1, 0, 0, 0]
    K = np.exp(-0.3 * ((X[:, None] - X) ** 2).sum(axis=2)).astype(np.float32)
    return K, y


def objective(K, y, beta):
    return beta @ K.astype(np.float64) @ beta / 2 - y @ beta


def check_optimal(solution, K, y, C, tol=1e-3):
    """The definition, without any help from the code under test."""
    lower, upper = np.where(y > 0, 0.0, -C), np.where(y > 0, C, 0.0)
    assert (solution.beta >= lower).all() and (solution.beta <= upper).all()
    assert abs(solution.beta.sum()) < 1e-9 * max(1.0, C.max() * len(y))
    F = K.astype(np.float64) @ solution.beta - y
    gap = F[solution.beta > lower].max() - F[solution.beta < upper].min()
    assert gap < tol
    assert solution.violation == pytest.approx(gap, abs=1e-9)


@pytest.mark.parametrize("solver", SOLVERS)
def test_two_points_by_hand(solver):
    # x = 0 and 4: the margin is the whole distance, |w| = 2 / 4, and w = alpha * 4
    solution = solver(np.array([[0.0, 0.0], [0.0, 16.0]]), np.array([-1, 1]), np.full(2, 10.0))
    np.testing.assert_allclose(solution.beta, [-0.125, 0.125], rtol=1e-12)
    assert solution.bias == pytest.approx(-1.0)             # f(x) = x / 2 - 1
    assert solution.iterations == 1


@pytest.mark.parametrize("solver", SOLVERS)
def test_two_points_whose_optimum_lies_beyond_the_box(solver):
    solution = solver(np.array([[1.0, -1.0], [-1.0, 1.0]]), np.array([1, -1]), np.array([0.2, 10.0]))
    np.testing.assert_array_equal(solution.beta, [0.2, -0.2])   # the tighter of the two bounds
    # F = [-0.6, 0.6]: only sample 1 is free, so b = -0.6
    assert solution.bias == pytest.approx(-0.6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_three_points_by_hand(solver):
    # x = 0 | 2, 3 on a line: the third lies outside the margin of the first two, f(x) = x - 1
    x = np.array([[0.0], [2.0], [3.0]])
    solution = solver(x @ x.T, np.array([-1, 1, 1]), np.full(3, 10.0))
    np.testing.assert_allclose(solution.beta, [-0.5, 0.5, 0.0], atol=1e-12)
    assert solution.bias == pytest.approx(-1.0)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("cost", [0.1, 10.0])
def test_meets_the_kkt_conditions_and_libsvm(solver, cost):
    K, y = problem()
    C = np.full(len(y), cost)
    solution = solver(K, y, C)
    check_optimal(solution, K, y, C)
    peer = SVC(C=cost, kernel="precomputed", tol=1e-3).fit(K.astype(np.float64), y)
    theirs = np.zeros(len(y))
    theirs[peer.support_] = peer.dual_coef_[0]
    assert objective(K, y, solution.beta) == pytest.approx(objective(K, y, theirs), rel=1e-4)
    assert solution.bias == pytest.approx(peer.intercept_[0], abs=2e-3)
    decisions = K @ solution.beta + solution.bias
    np.testing.assert_allclose(decisions, peer.decision_function(K.astype(np.float64)), atol=5e-3)


@pytest.mark.parametrize("solver", SOLVERS)
def test_bounds_of_each_sample(solver):
    K, y = problem(seed=1)
    weight = np.random.default_rng(2).uniform(0.1, 3.0, len(y))
    solution = solver(K, y, weight)
    check_optimal(solution, K, y, weight)
    peer = SVC(C=1.0, kernel="precomputed").fit(K.astype(np.float64), y, sample_weight=weight)
    theirs = np.zeros(len(y))
    theirs[peer.support_] = peer.dual_coef_[0]
    assert objective(K, y, solution.beta) == pytest.approx(objective(K, y, theirs), rel=1e-4)
    assert np.any(solution.beta == np.where(y > 0, weight, -weight))        # bounds are met exactly


@pytest.mark.parametrize("solver", SOLVERS)
def test_duplicate_points_with_opposite_labels(solver):
    K = np.ones((4, 4), np.float32)                     # every curvature is 0: the box alone stops the steps
    solution = solver(K, np.array([1, 1, -1, -1]), np.full(4, 2.0))
    np.testing.assert_array_equal(solution.beta, [2, 2, -2, -2])
    assert solution.violation < 1e-3


@pytest.mark.parametrize("solver", SOLVERS)
def test_one_sample_against_many(solver):
    K, y = problem(n=40 if not INTERPRETED else 12)
    y[:] = -1
    y[5] = 1
    solution = solver(K, y, np.full(len(y), 5.0))
    check_optimal(solution, K, y, np.full(len(y), 5.0))
    assert solution.beta[5] > 0


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_kernel_that_is_no_inner_product_stops_in_the_box(solver):
    rng = np.random.default_rng(3)
    A = rng.normal(size=(20, 20))
    K, y = ((A + A.T) / 2).astype(np.float32), np.where(np.arange(20) < 9, 1, -1)
    solution = solver(K, y, np.full(20, 1.0))
    assert np.abs(solution.beta).max() <= 1.0
    F = K.astype(np.float64) @ solution.beta - y
    assert solution.violation == pytest.approx(bias_and_violation(F, solution.beta, y, np.full(20, 1.0))[1], abs=1e-9)


@pytest.mark.parametrize("solver", SOLVERS)
def test_warm_start_arrives_at_the_same_optimum_sooner(solver):
    K, y = problem(seed=4)
    first = solver(K, y, np.full(len(y), 1.0))
    cold = solver(K, y, np.full(len(y), 1.5))
    warm = solver(K, y, np.full(len(y), 1.5), beta=first.beta)
    check_optimal(warm, K, y, np.full(len(y), 1.5))
    assert warm.iterations < cold.iterations
    assert objective(K, y, warm.beta) == pytest.approx(objective(K, y, cold.beta), rel=1e-4)


def test_feasible_starts_keep_the_sum_and_the_box():
    y, C = np.array([1, 1, -1, -1, -1]), np.array([1.0, 2.0, 1.0, 1.0, 0.5])
    beta = feasible(np.array([5.0, 1.0, -3.0, 0.5, -0.25]), y, C)
    # clipped to [1, 1, -1, 0, -0.25]; the positive half, 2, is scaled to the negative one, 1.25
    np.testing.assert_allclose(beta, [0.625, 0.625, -1.0, 0.0, -0.25])
    assert not feasible(np.array([1.0, 1.0, 0.0, 0.0, 0.0]), y, C).any()


@pytest.mark.parametrize("iterations", [0, 1, 7])
@pytest.mark.parametrize("fast", [False, True])
def test_max_iter_leaves_an_honest_violation(iterations, fast):
    K, y = problem(seed=5)
    C = np.full(len(y), 10.0)
    solution = solve(K, y, C, 1e-3, iterations) if fast else solve_loops(K, y, C, max_iter=iterations)
    F = K.astype(np.float64) @ solution.beta - y
    assert solution.iterations == iterations
    assert solution.violation == pytest.approx(bias_and_violation(F, solution.beta, y, C)[1], abs=1e-9)
    assert solution.violation > 1e-3


def test_trace_describes_every_iteration():
    K, y = problem(n=30, seed=6)
    C = np.full(30, 1.0)
    trace: list[tuple] = []
    solution = solve_loops(K, y, C, trace=trace)
    assert len(trace) == solution.iterations
    beta = np.zeros(30)
    for i, j, step, gap, value in trace:
        F = K.astype(np.float64) @ beta - y
        up, low = beta < np.where(y > 0, C, 0), beta > np.where(y > 0, 0, -C)
        assert gap == pytest.approx(F[low].max() - F[up].min())
        assert (F[i], F[j]) == pytest.approx((F[up].min(), F[low].max()))
        before = objective(K, y, beta)
        beta[i] += step
        beta[j] -= step
        assert value == pytest.approx(objective(K, y, beta)) and value < before
    np.testing.assert_allclose(beta, solution.beta, atol=1e-12)


def pairs_problem(sizes=(90, 60, 300, 1) if not INTERPRETED else (8, 5, 9, 1)):
    """A class against several others: their Gram matrix in float32, and where each begins."""
    rng = np.random.default_rng(7)
    y = np.repeat(np.arange(len(sizes)), sizes)
    X = rng.normal(size=(len(y), 4)) + 0.8 * rng.normal(size=(len(sizes), 4))[y]
    K = np.exp(-0.3 * ((X[:, None] - X) ** 2).sum(axis=2)).astype(np.float32)
    return K, np.cumsum((0, *sizes))


def solve_strip(K, starts, C, work=10**9, tol=1e-3, max_iter=10**6):
    """Class 0 against each other one by `solve_pairs`; return coefficients, what was found, and calls."""
    m, Q = starts[1], len(starts) - 2
    edges = starts[1:] - m
    blocks = [K[first:last, first:last].ravel() for first, last in pairwise(starts[1:])]
    beta_a, beta_b = np.zeros((Q, m)), np.zeros(edges[-1])
    widest = np.diff(edges).max()
    found, state, calls = np.empty((Q, 7)), np.zeros(2, np.int64), 1
    room = Room(np.full((7, m + widest), np.nan), np.full(m * widest, np.nan, np.float32), np.ones(m, bool))
    where = np.cumsum([0, *map(len, blocks)])[:-1]
    matrix = StripMatrix(K[:m, :m].copy(), K[m:, :m].copy(), edges, np.concatenate(blocks), where)
    sides = Sides(C[:m], C[m:], beta_a, beta_b)
    while not solve_pairs(matrix, sides, found, state, room, tol, max_iter, work):
        calls += 1
    return beta_a, beta_b, found, calls


def test_a_strip_of_pairs_is_the_readable_solution_of_each():
    K, starts = pairs_problem()
    C = np.random.default_rng(8).uniform(0.5, 20, len(K))
    beta_a, beta_b, found, _ = solve_strip(K, starts, C, tol=1e-6)
    for q in range(len(starts) - 2):
        b = np.arange(starts[q + 1], starts[q + 2])
        pair = np.concatenate([np.arange(starts[1]), b])
        y = np.repeat([1, -1], [starts[1], len(b)])
        expected = solve_loops(K[np.ix_(pair, pair)], y, C[pair], tol=1e-6)
        beta = np.concatenate([beta_a[q], beta_b[b - starts[1]]])
        np.testing.assert_allclose(beta, expected.beta, atol=1e-4)
        assert found[q, 0] == pytest.approx(expected.bias, abs=1e-5)
        check_optimal(expected._replace(beta=beta, violation=found[q, 2]), K[np.ix_(pair, pair)], y, C[pair], 1e-6)


def test_a_strip_in_slices_gives_the_same_bits_and_starts_where_it_is_told():
    K, starts = pairs_problem()
    C = np.full(len(K), 10.0)
    *whole, calls = solve_strip(K, starts, C)
    *sliced, more = solve_strip(K, starts, C, work=40)
    assert calls == 1 and more > 2 * len(starts)             # each problem was interrupted
    for one, other in zip(whole, sliced):
        np.testing.assert_array_equal(one, other)
    assert (solve_strip(K, starts, C, max_iter=3)[2][:, 1] <= 3).all()
    again = whole[0].copy(), whole[1].copy()                # from the solution nothing is left to do
    blocks = [K[first:last, first:last].ravel() for first, last in pairwise(starts[1:])]
    m, n, found = starts[1], len(K), np.empty((len(starts) - 2, 7))
    matrix = StripMatrix(K[:m, :m].copy(), K[m:, :m].copy(), starts[1:] - m, np.concatenate(blocks),
                         np.cumsum([0, *map(len, blocks)])[:-1])
    room = Room(np.empty((7, n)), np.empty(n * n, np.float32), np.empty(m, bool))
    assert solve_pairs(matrix, Sides(C[:m], C[m:], *again), found, np.zeros(2, np.int64), room, 1e-3, 10**6, 10**9)
    assert not found[:, 1].any()
    np.testing.assert_allclose(found[:, [0, 2]], whole[2][:, [0, 2]], atol=1e-12)


def test_second_order_needs_fewer_iterations():
    K, y = problem(seed=8)
    scale = np.where(np.arange(len(y)) % 2, 4.0, 1.0).astype(np.float32)
    K = K * scale * scale[:, None]                      # curvatures differ: knowing them pays
    C = np.full(len(y), 10.0)
    assert solve(K, y, C, 1e-3, 10**6).iterations < 0.9 * solve_loops(K, y, C, max_iter=10**6).iterations


def test_a_tolerance_below_rounding_ends():
    K, y = problem(n=60 if not INTERPRETED else 12, seed=9)
    K = K * np.float32(1e6)
    solution = solve(K, y, np.full(len(y), 1e6), 1e-18, 100_000_000)
    assert 0 < solution.iterations < 100_000              # the last steps are lost in rounding: it ends by itself
    assert 0 <= solution.violation < 1e-6
    F = K.astype(np.float64) @ solution.beta - y
    assert solution.violation == pytest.approx(
        bias_and_violation(F, solution.beta, y, np.full(len(y), 1e6))[1], abs=1e-7)


def test_slices_change_nothing(monkeypatch):
    K, y = problem(seed=10)
    C = np.full(len(y), 10.0)
    whole = solve(K, y, C, 1e-3, 100_000)
    calls = []
    monkeypatch.setattr(dense, "SLICE", 10 * len(y))
    sliced = solve(K, y, C, 1e-3, 100_000, check=lambda: calls.append(1))
    np.testing.assert_array_equal(sliced.beta, whole.beta)
    assert len(calls) == whole.iterations // 11

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve(K, y, C, 1e-3, 100_000, check=interrupt)


def test_minimise_moves_some_variables_and_keeps_their_sum():
    K, y = problem(seed=11)
    n, C = len(y), 1.0
    part = np.arange(0, n, 2)
    beta = feasible(np.random.default_rng(0).uniform(-1, 1, n), y, np.full(n, C))
    F = K.astype(np.float64) @ beta - y
    lower, upper = np.where(y > 0, 0.0, -C), np.where(y > 0, C, 0.0)
    moved, F_part = beta[part], F[part]
    minimise(np.ascontiguousarray(K[np.ix_(part, part)]), F_part, moved, lower[part], upper[part], 1e-4, 10**6)
    assert moved.sum() == pytest.approx(beta[part].sum())
    after = beta.copy()
    after[part] = moved
    F_after = (K.astype(np.float64) @ after - y)[part]
    np.testing.assert_allclose(F_part, F_after, atol=1e-9)
    assert F_after[moved > lower[part]].max() - F_after[moved < upper[part]].min() < 1e-4
