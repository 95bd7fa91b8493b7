"""Walking down fast ends where the readable walk ends, whatever the rows, the trees and the missing values."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.forest import numba_predict
from classifiers.forest.ensemble import Ensemble

from .cases import assert_trees_equal, grow, some_data


@pytest.fixture(scope="module", params=["complete", "gaps"])
def forest(request):
    """Four readable trees, one of them a single leaf; impure leaves, missing values that go either way; new samples."""
    trees = []
    for seed in range(4):
        X, codes, rng = some_data(seed, n=70, D=3, missing=0.15, noise=0.4)
        trees.append(grow(X, codes, rng.poisson(1, 70) + 0.5, seed=seed + 1, max_features=2,
                          max_depth=0 if seed == 2 else 4)[0])
    assert {0, 1} == set(trees[0].missing_left[trees[0].feature >= 0]) and len(trees[0].leaf_start) > 3
    X = np.random.default_rng(7).integers(0, 70, (61, 3)).astype(np.float32)
    if request.param == "gaps":
        X[::5, 1] = np.nan
        X[3] = np.nan
    return trees, Ensemble.join(trees), X


def test_joined_trees_come_apart_again(forest):
    trees, ensemble, _ = forest
    assert len(ensemble) == 4
    ensemble.check(3, 3)
    for t, tree in enumerate(trees):
        assert_trees_equal(ensemble.tree(t, 3, 3), tree)
        assert ensemble.tree(t, 3, 3).leaf_weight.base is not None      # a view


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 61])
def test_votes_are_the_sum_over_the_trees(forest, count):
    """Fewer samples than walk abreast, exactly so many, one more; added to what was there."""
    trees, ensemble, X = forest
    X = np.ascontiguousarray(X[np.random.default_rng(count).permutation(len(X))[:count]])
    proba = np.full((count, 3), 5.0)
    numba_predict.add_votes(X, *ensemble, proba)
    expected = 5.0 + sum(tree.predict_proba(X) for tree in trees)
    np.testing.assert_allclose(proba, expected, rtol=1e-15)


def test_more_votes_for_a_class_than_16_bits_hold():
    tree, *_ = grow([[1], [2]], [0, 1])
    many = Ensemble.join([tree] * 70_000)
    proba = np.zeros((2, 2))
    numba_predict.add_votes(np.array([[1], [2]], np.float32), *many, proba)
    assert proba.tolist() == [[70_000, 0], [0, 70_000]]


def test_leaves(forest):
    trees, ensemble, X = forest
    leaves = np.full((len(X), 4), -7)
    numba_predict.find_leaves(X, ensemble.tree_start, ensemble.nodes, ensemble.missing_left, leaves)
    np.testing.assert_array_equal(leaves, np.stack([tree.apply(X) for tree in trees], axis=1))


def test_paths(forest):
    trees, ensemble, X = forest
    walk = X, ensemble.tree_start, ensemble.nodes, ensemble.missing_left
    start = np.zeros(len(X) + 1, np.int64)
    numba_predict.find_paths(*walk, start, np.empty(0, np.int64))
    paths = [tree.decision_path(X) for tree in trees]
    np.testing.assert_array_equal(start[1:], sum(path.getnnz(axis=1) for path in paths))
    start = np.cumsum(start)
    passed = np.full(start[-1], -1)
    numba_predict.find_paths(*walk, start, passed)
    for i in range(len(X)):
        expected = [node + begin for path, begin in zip(paths, ensemble.tree_start) for node in path[i].indices]
        assert passed[start[i]:start[i + 1]].tolist() == expected


@settings(max_examples=40)
@given(v=st.floats(width=32, allow_nan=False, allow_infinity=False), side=st.sampled_from([-1, 0, 1]))
def test_equal_to_the_threshold_goes_left_and_the_next_float_right(v, side):
    tree, *_ = grow([[1], [2]], [0, 1])
    tree.nodes["threshold"][0] = v
    with np.errstate(over="ignore"):
        x = np.float32(v) if side == 0 else np.nextafter(np.float32(v), np.float32(side * np.inf))
    for count in (1, 16):       # alone, and abreast
        proba = np.zeros((count, 2))
        numba_predict.add_votes(np.full((count, 1), x, np.float32), *Ensemble.join([tree]), proba)
        assert proba.tolist() == [[0, 1] if side == 1 else [1, 0]] * count


# ---------------------------------------------------------------------- which ensembles may be walked, see test_storage

def test_two_parents_that_share_one_child_are_refused():
    """Left children 1 and 2: all different, and as many as nodes need; but node 2 has two parents, node 4 none."""
    tree, *_ = grow([[1], [2], [3]], [0, 1, 0])
    assert tree.nodes["child"][:3].tolist() == [1, -1, 3]
    ensemble = Ensemble.join([tree])
    ensemble.check(2, 1)
    ensemble.nodes["feature"][:3], ensemble.nodes["child"][:3] = [0, 0, -1], [1, 2, -1]
    with pytest.raises(ValueError, match="two parents"):
        ensemble.check(2, 1)
