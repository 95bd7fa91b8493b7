"""Growing a tree: against scikit-learn, trees computed by hand, brute force over all splits, the rules of the page."""
from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

from classifiers.forest import generator
from classifiers.forest.growing import grow_loops
from classifiers.forest.splitting import LARGEST, candidates, midpoint

from .cases import grow, some_data, some_weights

MULTIPLIER = 4294883355


# ------------------------------------------------------------------------------------------------- scikit-learn

def same_node(tree, reference):
    """Return the number of our node for each of scikit-learn's, which counts depth first."""
    ours = np.zeros(reference.node_count, int)
    for node in range(reference.node_count):
        for side in ("children_left", "children_right"):
            if getattr(reference, side)[node] >= 0:
                ours[getattr(reference, side)[node]] = getattr(tree, side)[ours[node]]
    return ours


def has_ties(steps):
    """Ties are settled by the order in which features are drawn, and by rounding: they cannot be compared."""
    best = [sorted(split.score for split in step.tried)[-2:] for step in steps if len(step.tried) > 1]
    return any(first - second < 1e-9 * (1 + abs(first)) for second, first in best)


LIMITS = [{"min_samples_split": 25}, {"min_samples_leaf": 8}, {"max_depth": 3}]


@pytest.mark.parametrize("missing", [0.0, 0.15])
@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize("weights", ["ones", "counts", "fractions"])
@pytest.mark.parametrize("criterion", ["gini", "entropy"])
def test_the_tree_is_that_of_scikit_learn(criterion, weights, limits, missing):
    compared = 0
    for seed in range(25):
        X, codes, rng = some_data(seed, missing=missing, noise=0.4)
        weight = some_weights(weights, rng, len(X))
        tree, importances, steps = grow(X, codes, weight, criterion=criterion, **limits)
        if has_ties(steps):
            continue
        compared += 1
        model = DecisionTreeClassifier(criterion=criterion, random_state=0, **limits)
        reference = model.fit(X, codes, sample_weight=weight).tree_
        assert tree.node_count == reference.node_count and tree.max_depth == reference.max_depth
        ours = same_node(tree, reference)
        assert sorted(ours) == list(range(tree.node_count))
        split = reference.feature >= 0
        np.testing.assert_array_equal(tree.feature[ours], reference.feature)
        np.testing.assert_array_equal(tree.threshold[ours], np.where(np.isinf(reference.threshold), LARGEST,
                                                                     reference.threshold))
        np.testing.assert_array_equal(tree.n_node_samples[ours], reference.n_node_samples)
        n_left = tree.n_node_samples[tree.children_left[ours]], tree.n_node_samples[tree.children_right[ours]]
        untied = split & (n_left[0] != n_left[1])  # scikit-learn sends an unseen NaN right at a tie
        np.testing.assert_array_equal(tree.missing_left[ours][untied], reference.missing_go_to_left[untied])
        np.testing.assert_allclose(tree.weighted_n_node_samples[ours], reference.weighted_n_node_samples, rtol=1e-6)
        np.testing.assert_allclose(tree.value[ours], reference.value[:, 0], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(tree.impurity(criterion)[ours], reference.impurity, rtol=1e-5, atol=1e-6)
        unit = np.log(2) if criterion == "entropy" else 1  # scikit-learn's entropy is in bits
        expected = reference.compute_feature_importances(normalize=False) * weight.sum() * unit
        np.testing.assert_allclose(importances, expected, rtol=1e-9)
        queries = rng.uniform(0, len(X), (60, 4)).astype(np.float32)
        np.testing.assert_allclose(tree.predict_proba(queries), model.predict_proba(queries), rtol=1e-6, atol=1e-9)
    assert compared >= 3  # or the data have too many ties to say anything


# ------------------------------------------------------------------------------------------------------ by hand

def test_the_worked_example_of_the_page():
    tree, importances, steps = grow([[1], [2], [3], [4], [5]], [0, 0, 1, 0, 1])
    assert tree.nodes.tolist() == [(0, 2.5, 1, 5), (-1, 2, -1, 2), (0, 3.5, 3, 3), (-1, 1, -2, 1), (0, 4.5, 5, 2),
                                   (-1, 1, -1, 1), (-1, 1, -2, 1)]
    assert [split.score for split in steps[0].tried] == pytest.approx([3, 11 / 3, 8 / 3, 3.5])
    assert [step.decrease for step in steps if step.best] == pytest.approx([16 / 15, 1 / 3, 1])
    assert importances == pytest.approx([2.4])
    assert [step.node for step in steps] == [0, 1, 2, 3, 4, 5, 6]


def test_of_equal_features_the_one_drawn_first_wins():
    winners = set()
    for seed in np.random.SeedSequence(0).generate_state(20, np.uint64):
        _, _, (root, *_) = grow([[1, 1, 1], [2, 2, 2]], [0, 1], seed=seed)
        assert root.best == root.tried[0]
        winners.add(root.best.feature)
    assert winners == {0, 1, 2}


def test_entropy_of_a_split_computed_by_hand():
    splits = list(candidates([1, 2, 3, 4], 0, [0, 1, 2, 3], [0, 0, 1, 1], [1, 1, 1, 1], "entropy"))
    # n H = n log 2 for a half-and-half node; a child of (1, 2) has 3 log 3 - 2 log 2; the score is minus that sum.
    uneven = -(3 * np.log(3) - 2 * np.log(2))
    assert [s.score for s in splits] == pytest.approx([uneven, 0, uneven])


def test_a_weight_counts_like_that_many_samples_and_zero_like_none():
    X, codes = [[1], [2], [3], [4]], [0, 1, 1, 0]
    tree, *_ = grow(X, codes, [3, 0, 2, 1])
    assert tree.nodes.tolist() == [(0, 2, 1, 3), (-1, 3, -1, 1), (0, 3.5, 3, 2), (-1, 2, -2, 1), (-1, 1, -1, 1)]


def test_depth_first_left_before_right_with_children_numbered_in_pairs():
    _, _, steps = grow([[x] for x in range(8)], [0, 1, 0, 1, 2, 3, 2, 3])
    order, depth = [s.node for s in steps], {s.node: s.depth for s in steps}
    assert order != sorted(order)  # the left side is finished first, though the right child has a smaller number
    for at, step in enumerate(steps):
        if step.best:
            child = order[at + 1]
            assert child % 2 == 1 and depth[child] == depth[child + 1] == step.depth + 1
            assert sorted(step.left + step.right) == step.samples
            assert steps[at + 1].samples == step.left == sorted(step.left)


@pytest.mark.parametrize("parameters, nodes", [
    ({"max_depth": 0}, [(-1, 5, 0, 5)]),
    ({"max_depth": 1}, [(0, 2.5, 1, 5), (-1, 2, -1, 2), (-1, 3, 0, 3)]),
    ({"min_samples_split": 4}, [(0, 2.5, 1, 5), (-1, 2, -1, 2), (-1, 3, 0, 3)]),
    ({"min_samples_split": 3}, [(0, 2.5, 1, 5), (-1, 2, -1, 2), (0, 3.5, 3, 3), (-1, 1, -2, 1), (-1, 2, 0, 2)]),
    ({"min_samples_leaf": 2}, [(0, 2.5, 1, 5), (-1, 2, -1, 2), (-1, 3, 0, 3)]),
    ({"min_samples_leaf": 3}, [(-1, 5, 0, 5)]),
], ids=str)
def test_when_a_node_stays_a_leaf(parameters, nodes):
    tree, *_ = grow([[1], [2], [3], [4], [5]], [0, 0, 1, 0, 1], **parameters)
    assert tree.nodes.tolist() == nodes


def test_equal_samples_of_two_classes_stay_together_in_an_impure_leaf():
    tree, importances, _ = grow([[1, 7], [1, 7], [1, 7]], [2, 0, 2], n_classes=4)
    assert tree.nodes.tolist() == [(-1, 3, 0, 3)]
    assert (tree.leaf_start.tolist(), tree.leaf_class.tolist(), tree.leaf_weight.tolist()) == ([0, 2], [0, 2], [1, 2])
    assert importances.tolist() == [0, 0]


def test_weights_that_rounding_makes_vanish_cannot_be_split_off():
    X, codes, weights = [[1], [2], [3]], [0, 1, 1], [1e17, 1.0, 1.0]  # 1e17 + 1 == 1e17 in float64
    tree, *_ = grow(X, codes, weights)
    assert tree.node_count == 1 and tree.leaf_class.tolist() == [0, 1]


# --------------------------------------------------------------------------------------------- thresholds and NaN

def test_a_midpoint_never_reaches_the_upper_value_nor_overflows():
    one = np.float32(1)
    odd = np.nextafter(one, np.float32(2))
    even = np.nextafter(odd, np.float32(2))
    assert midpoint(float(one), float(odd)) == 1
    assert midpoint(float(odd), float(even)) == odd  # midway rounds to the even one, the upper
    assert midpoint(-LARGEST, LARGEST) == 0
    tree, *_ = grow([[odd], [even]], [0, 1])
    assert tree.apply([[odd], [even]]).tolist() == [1, 2]


NAN = float("nan")


@pytest.mark.parametrize("x, codes, threshold, missing_left", [
    ([1, 2, NAN, NAN], [0, 0, 1, 1], LARGEST, 0),          # missing or not is the question
    ([5, 5, NAN], [0, 0, 1], LARGEST, 0),                  # one known value is enough for it
    ([1, 2, NAN], [0, 1, 0], 1.5, 1),
    ([1, 2, NAN], [0, 1, 1], 1.5, 0),
    ([1, 2, 3], [0, 1, 1], 1.5, 0),                        # none seen: to the larger child
    ([1, 2, 3], [0, 0, 1], 2.5, 1),
    ([1, 2], [0, 1], 1.5, 1),                              # left if they are equal
], ids=str)
def test_where_missing_values_go(x, codes, threshold, missing_left):
    tree, *_ = grow([[v] for v in x], codes)
    assert (tree.threshold[0], tree.missing_left[0]) == (np.float32(threshold), missing_left)
    assert tree.predict_proba([[v] for v in x]).argmax(1).tolist() == codes


def test_a_feature_without_any_value_cannot_split():
    tree, *_ = grow([[NAN], [NAN]], [0, 1])
    assert tree.node_count == 1


# ------------------------------------------------------------------------------------------- random numbers

def python_numbers(state):
    """The generator in Python's integers, which have no width."""
    while True:
        yield (state & 0xFFFFFFFF) ^ (state >> 32)
        state = MULTIPLIER * (state & 0xFFFFFFFF) + (state >> 32)


@pytest.mark.parametrize("version", ["compiled", "interpreted"])
def test_the_generator_is_the_one_of_its_page(version):
    next32 = generator.next32 if version == "compiled" else getattr(generator.next32, "py_func", generator.next32)
    for seed in (1, 2**64 - 1, 0x0123456789ABCDEF):
        state, numbers = np.array([seed], np.uint64), python_numbers(seed)
        assert [int(next32(state)) for _ in range(200)] == [next(numbers) for _ in range(200)]


def test_the_fixed_points_are_followed_by_themselves_and_refused():
    for point in generator.FIXED_POINTS:
        state = np.array([point], np.uint64)
        generator.next32(state)
        assert int(state[0]) == point
        with pytest.raises(ValueError, match="seed_state"):
            grow([[1], [2]], [0, 1], seed=point)


def test_a_bootstrap_draws_every_sample_equally_often_and_leaves_out_one_in_e():
    n, trees = 200, 500
    state = np.array([2026 << 40], np.uint64)
    counts = np.array([generator.draw_bootstrap(state, n, n) for _ in range(trees)])
    assert (counts.sum(1) == n).all()
    chi_square = ((counts.sum(0) - trees) ** 2 / trees).sum()
    assert abs(chi_square - (n - 1)) < 4 * np.sqrt(2 * (n - 1))
    assert (counts == 0).mean() == pytest.approx((1 - 1 / n) ** n, abs=0.005)


def test_features_are_drawn_from_an_urn_that_is_not_put_in_order_between_nodes():
    X, codes, _ = some_data(3, D=6)
    _, _, steps = grow(X, codes, max_features=2, seed=77)
    numbers, urn = python_numbers(77), list(range(6))
    for step in steps:
        if step.best:
            drawn = []
            for lim in (6, 5):
                r = next(numbers) * lim >> 32
                drawn.append(urn[r])
                urn[r], urn[lim - 1] = urn[lim - 1], urn[r]
            assert list(dict.fromkeys(split.feature for split in step.tried)) == drawn


@pytest.mark.parametrize("codes, parameters", [([1, 1, 1], {}), ([0, 1, 1], {"min_samples_leaf": 2}),
                                               ([0, 1, 1], {"min_samples_split": 4}), ([0, 1, 1], {"max_depth": 0})],
                         ids=str)
def test_a_node_that_must_stay_a_leaf_draws_no_features(codes, parameters):
    state = np.array([77], np.uint64)
    grow_loops(np.array([[1], [2], [3]], np.float32), np.array(codes), np.ones(3, np.int64), 2, state, 1, **parameters)
    assert state[0] == 77


def test_drawing_goes_on_until_a_feature_can_split():
    X = np.zeros((40, 12), np.float32)
    X[:, 7] = np.arange(40)
    tree, importances, _ = grow(X, np.arange(40) % 2, max_features=1)
    assert tree.n_leaves == 40 and np.flatnonzero(importances).tolist() == [7]


# -------------------------------------------------------------------------------------------------- properties

def impurity_times_weight(samples, codes, weights, criterion):
    """n times the impurity straight from its definition."""
    n = sum(weights[i] for i in samples)
    shares = [sum(weights[i] for i in samples if codes[i] == k) / n for k in {codes[i] for i in samples}]
    if criterion == "gini":
        return n * (1 - sum(p * p for p in shares))
    return -n * sum(float(p) * np.log(float(p)) for p in shares)


@settings(max_examples=60)
@given(n=st.integers(2, 14), D=st.integers(1, 3), seed=st.integers(0, 2**32 - 1), real=st.booleans(),
       missing=st.sampled_from([0.0, 0.3]), criterion=st.sampled_from(["gini", "entropy"]), leaf=st.integers(1, 3))
def test_every_split_is_the_best_of_all_and_every_sample_lands_with_its_class(n, D, seed, real, missing, criterion,
                                                                             leaf):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 5, (n, D)).astype(np.float32)  # few values: ties, equal samples, constant features
    X[rng.random(X.shape) < missing] = np.nan
    codes = rng.integers(0, 3, n)
    weights = rng.uniform(0.1, 3, n) if real else rng.integers(0, 4, n)
    weights[0] += 1
    tree, _, steps = grow(X, codes, weights, n_classes=3, criterion=criterion, min_samples_leaf=leaf)

    exact = [Fraction(float(w)) for w in weights]
    for step in steps:
        decreases = [0.0]
        n_I = impurity_times_weight(step.samples, codes, exact, criterion)
        for f in range(D):
            for threshold in np.append(np.unique(X[~np.isnan(X[:, f]), f]), LARGEST):
                for missing_left in (True, False):
                    L = [i for i in step.samples if X[i, f] <= threshold or (missing_left and np.isnan(X[i, f]))]
                    R = [i for i in step.samples if i not in L]
                    if len(L) >= leaf and len(R) >= leaf:
                        decreases.append(float(n_I - impurity_times_weight(L, codes, exact, criterion)
                                               - impurity_times_weight(R, codes, exact, criterion)))
        pure = len({codes[i] for i in step.samples}) == 1
        assert (step.best is None) == (pure or len(decreases) == 1)
        assert step.decrease == pytest.approx(max(decreases), abs=1e-9)
        assert step.best is None or min(len(step.left), len(step.right)) >= leaf

    used = weights > 0
    leaves, here = tree.apply(X[used]), {step.node: step.samples for step in steps}
    assert all(i in here[node] for i, node in zip(np.flatnonzero(used), leaves))
    proba = tree.predict_proba(X[used])
    assert (proba[np.arange(used.sum()), codes[used]] > 0).all()
    assert tree.weighted_n_node_samples[0] == pytest.approx(weights.sum(), rel=1e-6)
    weight = np.bincount(codes, weights, minlength=3)
    leaf_of = tree.feature < 0
    summed = (tree.value * tree.weighted_n_node_samples[:, None])[leaf_of].sum(0)
    np.testing.assert_allclose(summed, weight, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("change, message", [
    ({"X": np.zeros((3, 1))}, "X is float64"),
    ({"X": np.full((3, 1), np.inf, np.float32)}, "infinite"),
    ({"codes": np.array([0, 1, 2])}, "n_classes - 1 = 1"),
    ({"codes": np.array([0.0, 1, 1])}, "codes is float64"),
    ({"weights": np.ones(3, np.int32)}, "weights is int32"),
    ({"weights": np.array([1, -1, 1])}, "not below 0"),
    ({"weights": np.zeros(3)}, "one above"),
    ({"criterion": "gain"}, "criterion='gain'"),
    ({"max_features": 0}, "max_features=0"),
    ({"max_features": 2}, "at most 1"),
    ({"max_depth": -1}, "max_depth=-1"),
    ({"min_samples_split": 1}, "min_samples_split=1"),
    ({"min_samples_leaf": 0}, "min_samples_leaf=0"),
], ids=str)
def test_what_cannot_be_grown_is_refused(change, message):
    arguments = {"X": np.zeros((3, 1), np.float32), "codes": np.array([0, 1, 1]), "weights": np.ones(3, np.int64),
                 "n_classes": 2, "seed_state": np.array([1], np.uint64), "max_features": 1}
    with pytest.raises(ValueError, match=message):
        grow_loops(**(arguments | change))
