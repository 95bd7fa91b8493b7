"""The fast version grows the tree of the readable one: node for node, bit for bit, down to the generator's state.

Whatever is not compared here, the readable version has been compared with: see `test_growing`.
"""
from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from classifiers.forest import fitting, numba_split
from classifiers.forest.binning import bin_samples
from classifiers.forest.growing import grow_loops
from classifiers.forest.splitting import candidates, node_sums
from classifiers.forest.tree import Tree

from .cases import assert_trees_equal, some_data

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT", "0") != "0"
EXAMPLES = 60 if INTERPRETED else 100
STOP = np.zeros(1, bool)


def assert_same_tree(X, codes, weights=None, *, seed=2026, max_bins=255, draws=0, balanced=False, criterion="gini",
                     max_features=None, max_depth=None, min_samples_split=2, min_samples_leaf=1):
    """Grow a tree both ways, compare everything that comes out, and return it."""
    order = np.argsort(codes, kind="stable")
    X, codes = np.ascontiguousarray(X[order], np.float32), codes[order].astype(np.int32)
    N, D = X.shape
    K, max_features = int(codes.max()) + 1, max_features or D
    weights = None if weights is None else weights[order]
    drawn = fitting.Bootstrap(N, draws, None if weights is None else np.cumsum(weights, dtype=np.float64))
    plan = fitting.Plan(bin_samples(X, max_bins, np.arange(N)), codes, None if draws else weights, K,
                        criterion == "entropy", drawn, balanced, max_features, 2**31 - 1 if max_depth is None else
                        max_depth, min_samples_split, min_samples_leaf)
    first = np.array([seed], np.uint64)
    state = first.copy()
    weights = fitting.tree_weights(plan, state)
    ends = []
    grow = fitting.numba_grow.grow

    def watched(*arguments):
        grow(*arguments)
        ends.append(arguments[4].copy())    # the generator's state

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting.numba_grow, "grow", watched)
        grown, = fitting.grow_block(plan, [first], STOP)
    assert first[0] == seed                 # the first state is kept: out-of-bag samples are drawn from it again
    tree, importances = grow_loops(X, codes, weights, K, state, max_features, criterion, max_depth, min_samples_split,
                                   min_samples_leaf, bins=numbers_of_bins(plan.bins))
    assert_trees_equal(tree, Tree(*grown[:5], n_classes=K, n_features=D))
    total = importances.sum()
    np.testing.assert_array_equal(grown.importances, importances / total if total else importances)
    assert ends[-1][0] == state[0]
    return tree, len(ends)


def numbers_of_bins(bins):
    """As the readable version takes them: (N, D), NaN for a missing value."""
    return np.where(bins.codes == bins.missing, np.nan, bins.codes.astype(np.float64)).T


def drawn(rng, N, D, K, values, missing):
    """Few values, so that there are ties, equal samples and constant features."""
    X = (rng.integers(0, values, (N, D)) / 8).astype(np.float32)
    X[rng.random((N, D)) < missing] = np.nan
    X[:, rng.random(D) < 0.1] = np.nan
    return X, rng.integers(0, K, N)


KINDS = "none", "counts", "heavy", "fractions"


def weights_of(kind, rng, N):
    if kind == "none":
        return None
    if kind == "counts":
        weights = rng.poisson(1, N).astype(np.int64)
    elif kind == "heavy":
        weights = rng.integers(0, 9, N) + 200_000 * (rng.random(N) < 0.02)
    else:
        weights = rng.uniform(0, 2, N) * (rng.random(N) < 0.8)
    weights[0] += 1
    return weights


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**32 - 1), N=st.integers(2, 40 if INTERPRETED else 200), D=st.integers(1, 12),
       K=st.integers(1, 9), values=st.sampled_from([2, 5, 30, 255]), missing=st.sampled_from([0.0, 0.0, 0.2]),
       kind=st.sampled_from(KINDS), criterion=st.sampled_from(["gini", "gini", "entropy"]),
       max_bins=st.sampled_from([255, 255, None, 2, 7]), max_depth=st.sampled_from([None, 1, 4]),
       split=st.integers(2, 9), leaf=st.integers(1, 5), bootstrap=st.booleans(), data=st.data())
def test_any_tree_is_that_of_the_readable_version(seed, N, D, K, values, missing, kind, criterion, max_bins, max_depth,
                                                  split, leaf, bootstrap, data):
    rng = np.random.default_rng(seed)
    X, codes = drawn(rng, N, D, K, values, missing)
    draws = data.draw(st.integers(1, N)) if bootstrap else 0
    assert_same_tree(X, codes, weights_of(kind, rng, N), seed=seed + 1, max_bins=max_bins, draws=draws,
                     criterion=criterion, max_features=data.draw(st.integers(1, D)), max_depth=max_depth,
                     min_samples_split=split, min_samples_leaf=leaf, balanced=bootstrap and data.draw(st.booleans()))


@pytest.mark.parametrize("criterion", ["gini", "entropy"])
@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("kind", KINDS)
def test_large_nodes(kind, missing, criterion):
    """More than 1,024 samples are looked up one feature at a time, more than 24 sorted by counting."""
    N = 60 if INTERPRETED else 2600
    rng = np.random.default_rng(5)
    X, codes = drawn(rng, N, 11, 7, 200, missing)
    codes = np.where(X[:, 0] > 10, codes, 3)                # something to be found
    tree, _ = assert_same_tree(X, codes, weights_of(kind, rng, N), criterion=criterion, max_features=9,
                               draws=N if kind == "none" else 0)
    assert tree.max_depth > 3


@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("criterion", ["gini", "entropy"])
@pytest.mark.parametrize("kind", ["counts", "fractions"])
def test_thresholds_are_sought_inside_bins(kind, criterion, missing):
    """Some hundred values in each of three bins: nodes look into them, and grow to the end."""
    N = 60 if INTERPRETED else 900
    rng = np.random.default_rng(12)
    X = rng.lognormal(size=(N, 4)).astype(np.float32)
    X[rng.random(X.shape) < missing] = np.nan
    codes = (np.nan_to_num(X[:, 1]) > 7).astype(np.int64) + (np.abs(X[:, 2] - 1) < 0.02)
    weights = weights_of(kind, rng, N)
    tree, _ = assert_same_tree(X, codes, weights, max_bins=3, criterion=criterion, max_features=2, min_samples_leaf=1)
    used = weights > 0
    assert (tree.predict_proba(X[used]).argmax(axis=1) == codes[used]).all()


@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("criterion", ["gini", "entropy"])
def test_exact_thresholds_between_values_of_all_sizes(criterion, missing):
    """More distinct values than bytes; neighbouring floats, whose midpoint is one of them; both ends of float32."""
    N = 60 if INTERPRETED else 700
    rng = np.random.default_rng(6)
    X = rng.normal(size=(N, 5)).astype(np.float32)
    X[:, 1] = np.nextafter(np.float32(1), np.float32(2)) + np.arange(N) * np.finfo(np.float32).eps
    X[:, 2] = rng.permutation(np.linspace(-1, 1, N)).astype(np.float32) * np.finfo(np.float32).max
    X[:, 3] = rng.integers(-5, 5, N) * np.float32(1e-45)
    X[rng.random(X.shape) < missing] = np.nan
    codes = rng.integers(0, 4, N)
    tree, _ = assert_same_tree(X, codes, max_bins=None, criterion=criterion, max_features=3, draws=N)
    assert set(tree.feature) >= {0, 1, 2, 3, 4}


@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("criterion", ["gini", "entropy"])
def test_equal_scores(criterion, missing):
    """Two classes and few values: within a feature and between features many cuts score the same; the first wins."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X, codes = drawn(rng, 30, 6, 2, 12, missing)
        assert_same_tree(X, codes, max_features=4, seed=seed + 1, criterion=criterion)


def test_many_turns_of_python(monkeypatch):
    """A budget of one sample: `grow` returns after every node, and goes on where it was."""
    X, codes, _ = some_data(3, n=40 if INTERPRETED else 100, D=6, K=5)
    monkeypatch.setattr(fitting, "BUDGET", 1)
    tree, turns = assert_same_tree(X, codes, draws=len(X), max_features=2)
    assert turns == tree.node_count > 20


def test_more_classes_and_weights_than_fit_into_16_bits(monkeypatch):
    """What does not fit beside one another in four bytes takes the other sweep: by weight, and by number of classes."""
    X, codes, rng = some_data(8, n=40, D=3, K=4)
    for heaviest in (65_535, 65_536, 2_000_000):
        weights = rng.integers(1, 9, len(X))
        weights[7] = heaviest
        assert_same_tree(X, codes, weights, max_features=2)
    codes[codes == 3] = 65_536
    assert_same_tree(X, codes, max_features=2)


def test_a_column_of_nothing_but_missing_values_and_of_one_value():
    X, codes, _ = some_data(9, n=60, D=5)
    X[:, 1], X[:, 2] = np.nan, 7
    tree, _ = assert_same_tree(X, codes, max_features=1)
    assert not {1, 2} & set(tree.feature)


# ------------------------------------------------------------------------------------- the two sweeps, one by one

def best_of(key, klass, weights, min_leaf, criterion, missing):
    """Return (score, threshold, missing goes left) of the best cut, from the readable page; None if there is none."""
    x = [float("nan") if k == missing else float(k) for k in key]
    found = list(candidates(x, 0, list(range(len(x))), klass.tolist(), weights.tolist(), criterion, min_leaf))
    return max(found, key=lambda split: split.score) if found else None


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**32 - 1), m=st.integers(2, 70), K=st.integers(1, 6),
       values=st.sampled_from([1, 2, 4, 256]), min_leaf=st.integers(1, 4))
@example(seed=0, m=24, K=3, values=4, min_leaf=1)       # the longest that insertion sort gets, and one more
@example(seed=0, m=25, K=3, values=4, min_leaf=1)
def test_the_sweep_in_integers_returns_the_first_of_the_best_cuts(seed, m, K, values, min_leaf):
    rng = np.random.default_rng(seed)
    key, klass = rng.integers(0, values, m).astype(np.uint8), rng.integers(0, K, m)
    weights = rng.integers(1, 4, m)
    total = np.bincount(klass, weights, minlength=K).astype(np.int64)
    n, squares = int(weights.sum()), int((total * total).sum())
    up = key > 0
    item = (klass | weights << 16).astype(np.uint32)[up]
    score, low, high = numba_split.sweep_integers(
        key[up], item, int(up.sum()), m, K, total, squares, n, min_leaf, np.empty(K, np.int64),
        np.empty(m + 1, np.uint8), np.empty(m, np.uint32), np.empty(256, np.int64))
    best = best_of(key, klass, weights, min_leaf, "gini", None)
    if best is None:
        assert score == -np.inf
    else:
        assert (score, (low + high) / 2) == (best.score, best.threshold)


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**32 - 1), m=st.integers(2, 70), K=st.integers(1, 6), min_leaf=st.integers(1, 4),
       values=st.sampled_from([1, 2, 4, 100_000]), gaps=st.booleans(), criterion=st.sampled_from(["gini", "entropy"]))
def test_the_other_sweep_returns_the_first_of_the_best_cuts(seed, m, K, min_leaf, values, gaps, criterion):
    rng = np.random.default_rng(seed)
    key, klass, weights = rng.integers(0, values, m), rng.integers(0, K, m).astype(np.int32), rng.uniform(0.1, 2, m)
    klass = np.unique(klass, return_inverse=True)[1]
    missing = values
    if gaps:
        key[rng.random(m) < 0.3] = missing
    order, bucket = np.empty(m, np.int64), np.empty(values + 3, np.int64)
    numba_split.sort_samples(key.astype(np.uint32), m, values + 1, order, bucket)
    np.testing.assert_array_equal(order, np.argsort(key, kind="stable"))
    T, n, S = node_sums(list(range(m)), klass.tolist(), weights.tolist(), criterion)
    total = np.array([T[k] for k in range(len(T))])
    score, low, high, missing_left = numba_split.sweep(
        key.astype(np.uint32), klass, weights, order, m, missing, len(T), total, float(S), float(n), min_leaf,
        criterion == "entropy", np.empty(len(T)), np.empty(len(T)))
    best = best_of(key, klass, weights, min_leaf, criterion, missing)
    if best is None:
        assert score == -np.inf
        return
    assert (score, missing_left) == (best.score, best.missing_left)
    assert low <= best.threshold and (high == missing or (low + high) / 2 == best.threshold)
