"""The tree's view of its arrays: the example on its page, scikit-learn's numbers, missing values, bad input."""
from __future__ import annotations

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from classifiers.forest.tree import NODE, Tree

from .cases import assert_trees_equal, grow, some_data

NAN = float("nan")


@pytest.fixture
def example():
    """The tree drawn on the page: five samples A A B A B, stopped at depth 2."""
    nodes = np.array([(0, 2.5, 1, 5), (-1, 2, -1, 2), (0, 3.5, 3, 3), (-1, 1, -2, 1), (-1, 2, 0, 2)], NODE)
    return Tree(nodes, np.array([0, 0, 1, 0, 0], np.uint8), np.array([0, 2]), np.array([0, 1], np.int32),
                np.array([1, 1], np.float32), n_classes=2, n_features=1)


def test_a_node_takes_16_bytes():
    assert NODE.itemsize == 16


def test_the_example_is_what_growing_makes_of_the_data(example):
    tree, *_ = grow([[1], [2], [3], [4], [5]], [0, 0, 1, 0, 1], max_depth=2)
    example.missing_left = np.array([0, 0, 0, 0, 0], np.uint8)  # to the larger child: right at both splits
    assert_trees_equal(tree, example)


def test_scikit_learns_names(example):
    assert (example.node_count, example.n_leaves, example.max_depth) == (5, 3, 2)
    assert repr(example) == "Tree(node_count=5, n_leaves=3, max_depth=2)"
    assert example.feature.tolist() == [0, -2, 0, -2, -2]
    assert example.threshold.tolist() == [2.5, -2, 3.5, -2, -2]
    assert example.children_left.tolist() == [1, -1, 3, -1, -1]
    assert example.children_right.tolist() == [2, -1, 4, -1, -1]
    assert example.n_node_samples.tolist() == [5, 2, 3, 1, 2]
    assert example.weighted_n_node_samples.tolist() == [5, 2, 3, 1, 2]
    np.testing.assert_allclose(example.value, [[.6, .4], [1, 0], [1 / 3, 2 / 3], [0, 1], [.5, .5]])
    np.testing.assert_allclose(example.impurity(), [.48, 0, 4 / 9, 0, .5])
    np.testing.assert_allclose(example.impurity("entropy"), [0.9709506, 0, 0.9182958, 0, 1], rtol=1e-6)


def test_walking_down(example):
    X = [[-1], [2.5], [2.6], [3.5], [9], [NAN]]  # equal to the threshold goes left; NaN: right, then left
    assert example.apply(X).tolist() == [1, 1, 3, 3, 4, 3]
    assert example.predict_proba(X).tolist() == [[1, 0], [1, 0], [0, 1], [0, 1], [.5, .5], [0, 1]]
    path = example.decision_path(X)
    assert path.shape == (6, 5) and path.format == "csr"
    assert path.toarray()[[0, 4]].tolist() == [[1, 1, 0, 0, 0], [1, 0, 1, 0, 1]]


def test_thresholds_are_compared_in_float32(example):
    just_above = np.nextafter(np.float64(2.5), 3)  # float32 cannot tell it from 2.5
    assert example.apply([[just_above]]).tolist() == [1]


def test_the_shares_of_weights_that_float32_rounds_still_sum_to_one():
    tree = Tree(np.array([(-1, 0.6, 0, 3)], NODE), np.zeros(1, np.uint8), np.array([0, 3]),
                np.array([0, 2, 3], np.int32), np.array([0.1, 0.2, 0.3], np.float32), n_classes=4, n_features=1)
    np.testing.assert_allclose(tree.predict_proba([[0.0]]), [[1 / 6, 0, 2 / 6, 3 / 6]], rtol=1e-7)
    assert tree.predict_proba([[0.0]]).sum() == pytest.approx(1, abs=1e-15)
    assert tree.max_depth == 0


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_leaves_and_paths_are_those_of_scikit_learn(missing):
    X, codes, rng = some_data(0, missing=missing)
    tree, *_ = grow(X[:, :1], codes)  # one feature: scikit-learn draws no other first
    model = DecisionTreeClassifier().fit(X[:, :1], codes)
    queries = rng.uniform(0, len(X), (50, 1)).astype(np.float32)
    queries[:5] = NAN if missing else queries[:5]
    np.testing.assert_allclose(tree.predict_proba(queries), model.predict_proba(queries), atol=1e-9)
    np.testing.assert_array_equal(np.diff(tree.decision_path(queries).indptr),
                                  np.diff(model.decision_path(queries).indptr))
    assert (tree.n_node_samples[tree.apply(queries)] == model.tree_.n_node_samples[model.apply(queries)]).all()


def test_the_arrays_are_kept_not_copied(example):
    nodes = example.nodes
    again = Tree(nodes, example.missing_left, example.leaf_start, example.leaf_class, example.leaf_weight, 2, 1)
    assert again.nodes is nodes and again.leaf_weight is example.leaf_weight


@pytest.mark.parametrize("X", [[[1.0, 2.0]], [1.0], np.zeros((0, 3))], ids=["two columns", "one axis", "no rows"])
@pytest.mark.parametrize("method", ["apply", "decision_path", "predict_proba"])
def test_rows_of_another_width_are_refused(example, method, X):
    with pytest.raises(ValueError, match=r"expected \(samples, 1\)"):
        getattr(example, method)(X)


def test_an_unknown_criterion_is_refused(example):
    with pytest.raises(ValueError, match="criterion='mse'"):
        example.impurity("mse")
