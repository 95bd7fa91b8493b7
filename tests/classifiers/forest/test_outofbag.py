"""Out of bag: score and importances counted again in plain Python, and what they must say of random features."""
from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from classifiers.forest import RandomForestClassifier

from .cases import some_data
from .test_growing import python_numbers


def unseen_by_each_tree(forest, N, draws=None):
    """Draw the bootstrap samples again, with Python's integers; return the rows of X that each tree has not seen."""
    states, order, _ = forest._in_bag
    for state in states:
        numbers = python_numbers(int(state[0]))
        seen = {int(order[next(numbers) * N >> 32]) for _ in range(draws or N)}
        yield [i for i in range(N) if i not in seen]


@pytest.mark.parametrize("parameters", [{}, {"class_weight": "balanced_subsample", "max_samples": 30},
                                        {"max_depth": 2, "n_jobs": 3}], ids=str)
def test_the_score_is_the_accuracy_of_the_trees_that_have_not_seen_a_sample(parameters):
    X, codes, _ = some_data(1, n=120, missing=0.1, noise=0.4)
    y = np.array([30, 10, 20])[codes]
    forest = RandomForestClassifier(25, oob_score=True, random_state=0, **parameters).fit(X, y)
    votes, trees = np.zeros((120, 3)), np.zeros(120)
    for tree, unseen in zip(forest.estimators_, unseen_by_each_tree(forest, 120, parameters.get("max_samples"))):
        assert tree.n_node_samples[0] == 120 - len(unseen)
        votes[unseen] += tree.predict_proba(X[unseen])
        trees[unseen] += 1
    expected = votes / trees[:, None]
    np.testing.assert_allclose(forest.oob_decision_function_, expected, rtol=1e-12, atol=1e-15)
    assert forest.oob_score_ == np.mean(forest.classes_[expected.argmax(axis=1)] == y)


def test_a_sample_that_every_tree_has_seen_is_told_of():
    X, codes, _ = some_data(1, n=60)
    with pytest.warns(UserWarning, match="Some inputs do not have OOB scores") as caught:
        forest = RandomForestClassifier(2, oob_score=True, random_state=0).fit(X, codes)
    assert caught[0].filename == __file__       # and not a line of ours
    seen = set(range(60)).difference(*unseen_by_each_tree(forest, 60))
    assert seen and (forest.oob_decision_function_[sorted(seen)] == 0).all()
    assert np.isfinite(forest.oob_decision_function_).all()


def test_the_score_out_of_bag_is_that_on_new_samples():
    X, y = load_digits(return_X_y=True)
    held = np.arange(len(X)) % 3 == 0
    forest = RandomForestClassifier(100, oob_score=True, random_state=0, n_jobs=2).fit(X[~held], y[~held])
    assert forest.oob_score_ == pytest.approx(forest.score(X[held], y[held]), abs=0.015)


def below(numbers, n):
    return next(numbers) * n >> 32


@pytest.mark.parametrize("parameters", [{}, {"max_depth": 3, "max_samples": 25, "n_jobs": 2}], ids=str)
def test_permutation_importances_are_losses_of_accuracy(parameters):
    """The rows' order and the shifts are drawn as the page says; then every feature is permuted and predicted."""
    X, codes, _ = some_data(2, n=60, D=5, missing=0.05, noise=0.3)
    forest = RandomForestClassifier(6, random_state=0, **parameters).fit(X, codes)
    importances = forest.oob_permutation_importances(X, codes)
    assert importances.shape == (6, 5) and importances.any()
    for t, unseen in enumerate(unseen_by_each_tree(forest, 60, parameters.get("max_samples"))):
        tree, rows = forest.estimators_[t], list(forest._in_bag[1][np.isin(forest._in_bag[1], unseen)])
        seed = np.random.SeedSequence(int(forest._in_bag[0][t][0]), spawn_key=(1,)).generate_state(1, np.uint64)
        numbers = python_numbers(int(seed[0]))
        for i in range(len(rows) - 1, 0, -1):
            j = below(numbers, i + 1)
            rows[i], rows[j] = rows[j], rows[i]
        shifts = [1 + below(numbers, len(rows) - 1) for _ in range(5)]
        right = np.mean(tree.predict_proba(X[rows]).argmax(axis=1) == codes[rows])
        for f in range(5):
            permuted = X[rows]
            permuted[:, f] = np.roll(permuted[:, f], -shifts[f])
            after = np.mean(tree.predict_proba(permuted).argmax(axis=1) == codes[rows])
            assert importances[t, f] == pytest.approx(right - after, abs=1e-12)


def test_random_features_gain_nothing_out_of_bag_although_the_trees_use_them():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, 6))
    y = (X[:, 0] > 0) ^ (rng.random(900) < 0.2)
    forest = RandomForestClassifier(150, random_state=0, n_jobs=2).fit(X, y)
    importances = forest.oob_permutation_importances(X, y)
    mean, error = importances.mean(axis=0), importances.std(axis=0) / np.sqrt(150)
    assert mean[0] > 0.1 and np.abs(mean[1:]).max() < 0.015
    assert error.max() < 0.01
    assert forest.feature_importances_[1:].min() > 0.08


@pytest.mark.parametrize("n_jobs", [2, 8])
def test_importances_do_not_depend_on_the_number_of_threads(n_jobs):
    X, codes, _ = some_data(2, n=60, D=5)
    forest = RandomForestClassifier(11, random_state=0).fit(X, codes)
    expected = forest.oob_permutation_importances(X, codes)
    np.testing.assert_array_equal(forest.set_params(n_jobs=n_jobs).oob_permutation_importances(X, codes), expected)


def test_a_tree_that_has_seen_all_but_one_sample_loses_nothing():
    X, y = np.array([[1.0], [2.0], [3.0]]), np.array([0, 1, 0])
    forest = RandomForestClassifier(30, random_state=0).fit(X, y)
    importances = forest.oob_permutation_importances(X, y)
    few = [len(unseen) < 2 for unseen in unseen_by_each_tree(forest, 3)]
    assert any(few) and not all(few) and (importances[few] == 0).all()


def test_samples_that_are_not_those_of_the_fit_are_refused(tmp_path):
    X, codes, _ = some_data(2, n=60)
    forest = RandomForestClassifier(3, random_state=0).fit(X, codes)
    for arguments in ((X[:50], codes), (X, codes[:50]), (X[:50], codes[:50])):
        with pytest.raises(ValueError, match=r"samples and .* labels, expected those of a fit"):
            forest.oob_permutation_importances(*arguments)
    with pytest.raises(ValueError, match="X has 3 features"):
        forest.oob_permutation_importances(X[:, :3], codes)
    forest.save(tmp_path / "forest.npz")
    with pytest.raises(ValueError, match="made in this process"):
        RandomForestClassifier.load(tmp_path / "forest.npz").oob_permutation_importances(X, codes)
    with pytest.raises(ValueError, match="bootstrap=True"):
        forest.set_params(bootstrap=False).fit(X, codes).oob_permutation_importances(X, codes)


def test_a_label_that_the_fit_did_not_have_is_refused():
    X, codes, _ = some_data(2, n=60)
    forest = RandomForestClassifier(3, random_state=0).fit(X, codes)
    with pytest.raises(ValueError, match="y holds 7 at row 4"):
        forest.oob_permutation_importances(X, np.where(np.arange(60) == 4, 7, codes))
