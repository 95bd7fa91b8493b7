"""The estimator: scikit-learn's numbers where no chance is involved, its accuracy where there is; and the same forest
however it was grown."""
from __future__ import annotations

import pickle
from typing import Any

import joblib
import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier as Peer
from sklearn.model_selection import train_test_split

from classifiers.base import NotFittedError
from classifiers.forest import RandomForestClassifier
from classifiers.forest.fitting import Bootstrap

from .cases import grow, some_data, some_weights
from .test_growing import has_ties, same_node

# The forest without chance: one tree, all samples, all features.
ONE: dict[str, Any] = {"n_estimators": 1, "bootstrap": False, "max_features": None}


def assert_same_forest(forest, other):
    """Every array, bit for bit."""
    for name, array, expected in zip(other.ensemble_._fields, forest.ensemble_, other.ensemble_):
        np.testing.assert_array_equal(array, expected, err_msg=name)
    np.testing.assert_array_equal(forest.feature_importances_, other.feature_importances_)
    assert hasattr(forest, "oob_score_") == hasattr(other, "oob_score_")
    if hasattr(other, "oob_score_"):
        assert forest.oob_score_ == other.oob_score_
        np.testing.assert_array_equal(forest.oob_decision_function_, other.oob_decision_function_)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X.astype(np.float32), y, test_size=0.4, random_state=0)


# ------------------------------------------------------------------------------------------------- without chance

@pytest.mark.parametrize("max_bins", [255, None])
@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("weights", ["none", "ones", "counts", "fractions"])
@pytest.mark.parametrize("criterion", ["gini", "entropy"])
def test_one_tree_is_that_of_scikit_learn(criterion, weights, missing, max_bins):
    compared = 0
    for seed in range(8):
        X, codes, rng = some_data(seed, missing=missing, noise=0.4)
        weight = None if weights == "none" else some_weights(weights, rng, len(X))
        if has_ties(grow(X, codes, weight, criterion=criterion, min_samples_split=25)[2]):
            continue
        compared += 1
        y = np.array(["b", "c", "a"])[codes]
        parameters = {**ONE, "criterion": criterion, "min_samples_split": 25}
        ours = RandomForestClassifier(**parameters, max_bins=max_bins).fit(X, y, weight)
        peer = Peer(**parameters).fit(X, y, weight)
        number = same_node(ours.estimators_[0], peer.estimators_[0].tree_)
        new = rng.uniform(-1, 121, (90, 4)).astype(np.float32)
        if missing:
            new[rng.random(new.shape) < missing] = np.nan
        for rows in (X, new):
            np.testing.assert_array_equal(ours.apply(rows), number[peer.apply(rows)])
            np.testing.assert_allclose(ours.predict_proba(rows), peer.predict_proba(rows), rtol=1e-12)
            np.testing.assert_array_equal(ours.predict(rows), peer.predict(rows))
            (path, start), (expected, expected_start) = ours.decision_path(rows), peer.decision_path(rows)
            np.testing.assert_array_equal(path.toarray()[:, number], expected.toarray())
            np.testing.assert_array_equal(start, expected_start)
        np.testing.assert_allclose(ours.feature_importances_, peer.feature_importances_, rtol=1e-9, atol=1e-12)
        assert ours.classes_.tolist() == ["a", "b", "c"] and ours.score(X, y) == peer.score(X, y)
    assert compared >= 2


@pytest.mark.parametrize("class_weight", [{0: 1.5, 2: 0.25}, {0: 0, 1: 1, 2: 3}, "balanced", "balanced_subsample"],
                         ids=str)
@pytest.mark.parametrize("weights", ["none", "counts"])
def test_class_weights_are_those_of_scikit_learn(class_weight, weights):
    compared = 0
    for seed in range(20):
        X, codes, rng = some_data(seed, n=160, noise=0.4)
        keep = (codes > 0) | (rng.random(160) < 0.4)            # unequal classes
        X, codes = X[keep], codes[keep]
        weight = None if weights == "none" else some_weights(weights, rng, len(X))
        parameters = {**ONE, "class_weight": class_weight, "min_samples_leaf": 9}
        peer = Peer(**parameters).fit(X, codes, weight)
        factor = peer._validate_y_class_weight(codes[:, None], weight)[1]
        if has_ties(grow(X, codes, factor * (1.0 if weight is None else weight), min_samples_leaf=9)[2]):
            continue
        compared += 1
        ours = RandomForestClassifier(**parameters).fit(X, codes, weight)
        np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), rtol=1e-6)
    assert compared >= 3


def test_two_rows_or_one_of_weight_two_are_the_same_without_bootstrap():
    X, codes, rng = some_data(4, n=80)
    weight = rng.poisson(1, 80)
    parameters: dict[str, Any] = {"n_estimators": 6, "bootstrap": False, "random_state": 1}
    weighted = RandomForestClassifier(**parameters).fit(X, codes, weight)
    repeated = RandomForestClassifier(**parameters).fit(np.repeat(X, weight, axis=0), np.repeat(codes, weight))
    for field in ("feature", "threshold", "child"):
        np.testing.assert_array_equal(weighted.ensemble_.nodes[field], repeated.ensemble_.nodes[field])
    np.testing.assert_array_equal(weighted.predict_proba(X), repeated.predict_proba(X))
    np.testing.assert_array_equal(weighted.feature_importances_, repeated.feature_importances_)
    assert weighted.estimators_[0].n_node_samples[0] == (weight > 0).sum()


# --------------------------------------------------------------------------------------------------- with chance

def test_accuracy_and_importances_are_those_of_scikit_learn(digits):
    X, X_test, y, y_test = digits
    parameters: dict[str, Any] = {"n_estimators": 60, "n_jobs": 2}
    forests = [[cls(random_state=seed, **parameters).fit(X, y) for seed in range(5)]
               for cls in (RandomForestClassifier, Peer)]
    ours, peer = ([forest.score(X_test, y_test) for forest in part] for part in forests)
    spread = np.sqrt((np.var(ours, ddof=1) + np.var(peer, ddof=1)) / 5)
    assert abs(np.mean(ours) - np.mean(peer)) < 3 * spread + 0.002 and np.mean(ours) > 0.95
    ours, peer = (np.mean([forest.feature_importances_ for forest in part], axis=0) for part in forests)
    assert spearmanr(ours, peer).statistic > 0.99
    assert ours.sum() == pytest.approx(1) and np.abs(ours - peer).max() < 0.005


def test_accuracy_on_iris():
    X, y = load_iris(return_X_y=True)
    held = np.arange(150) % 3 == 0
    ours, peer = (np.mean([cls(30, random_state=seed).fit(X[~held], y[~held]).score(X[held], y[held])
                           for seed in range(10)]) for cls in (RandomForestClassifier, Peer))
    assert ours == pytest.approx(peer, abs=0.015)


@pytest.mark.parametrize("entropy_and_bins", [("entropy", 255), ("gini", 16), ("gini", None)], ids=str)
def test_other_criterion_and_other_bins_are_as_accurate(digits, entropy_and_bins):
    X, X_test, y, y_test = digits
    criterion, max_bins = entropy_and_bins
    forest = RandomForestClassifier(60, criterion=criterion, max_bins=max_bins, random_state=0, n_jobs=2).fit(X, y)
    assert forest.score(X_test, y_test) > 0.95


@pytest.mark.parametrize("max_bins", [2, 5, 255])
@pytest.mark.parametrize("rare", [
    lambda X: X[:, 0] > 200, lambda X: np.abs(X[:, 0] - 20) < 0.15, lambda X: (X[:, 0] > 70) & (X[:, 1] > 70)],
    ids=["above a limit", "in a band", "in a corner"])
def test_a_rare_class_is_found_as_with_exact_thresholds(rare, max_bins):
    """Fewer samples than share a bin. Cuts between bins alone find half of them with 255, and none with 2."""
    rng = np.random.default_rng(0)
    X, X_test = rng.lognormal(3, 1, (2, 16_000, 4))
    y, y_test = rare(X), rare(X_test)
    assert 40 < y.sum() < 200
    recall = []
    for bins in (max_bins, None):
        forest = RandomForestClassifier(15, random_state=0, max_bins=bins, n_jobs=2).fit(X, y)
        recall.append(forest.predict(X_test)[y_test].mean())
    assert recall[0] > recall[1] - 0.1 and recall[1] > 0.6


def test_one_split_is_that_of_exact_thresholds_however_few_bins_there_are():
    rng = np.random.default_rng(1)
    x = rng.lognormal(0, 2, (5000, 1)).astype(np.float32)
    limit = np.sort(x[:, 0])[-7]
    for max_bins in (2, 255, None):
        forest = RandomForestClassifier(1, bootstrap=False, max_bins=max_bins).fit(x, x[:, 0] > limit)
        assert forest.ensemble_.nodes["feature"].tolist() == [0, -1, -1]
        assert forest.ensemble_.nodes["threshold"][0] == np.float32(np.sort(x[:, 0])[-7:-5].mean(dtype=np.float64))


def test_marks_of_missing_values_in_data_frames():
    """Nullable columns of pandas, each with its mark, are NaN for a forest; all three kinds together, and None."""
    pandas = pytest.importorskip("pandas")
    X, codes, rng = some_data(3, n=90)
    X[:, 3] = X[:, 3] > 40
    X[rng.random(X.shape) < 0.1] = np.nan
    expected = RandomForestClassifier(4, random_state=0).fit(X, codes).predict_proba(X)
    frame = pandas.DataFrame(X, columns=list("abcd"))
    plain = frame.astype(object)
    for marked in (frame.astype({"a": "Float64", "b": "Int64", "c": "Float32", "d": "boolean"}),
                   plain.where(frame.notna(), None), plain.where(frame.notna(), pandas.NA)):
        found = RandomForestClassifier(4, random_state=0).fit(marked, codes).predict_proba(marked)
        np.testing.assert_array_equal(found, expected)


def test_probabilities_are_the_mean_over_the_readable_trees():
    X, codes, rng = some_data(5, n=100, missing=0.1, noise=0.5)
    forest = RandomForestClassifier(7, max_depth=4, random_state=0).fit(X, codes)
    new = rng.uniform(0, 100, (300, 4)).astype(np.float32)
    new[rng.random(new.shape) < 0.3] = np.nan
    expected = np.mean([tree.predict_proba(new) for tree in forest.estimators_], axis=0)
    np.testing.assert_allclose(forest.predict_proba(new), expected, rtol=1e-14)
    np.testing.assert_array_equal(forest.predict(new), expected.argmax(axis=1))
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(forest.predict_log_proba(new), np.log(expected), rtol=1e-12)
    np.testing.assert_array_equal(forest.apply(new), np.stack([tree.apply(new) for tree in forest.estimators_], axis=1))
    path, start = forest.decision_path(new)
    assert start.tolist() == np.cumsum([0] + [tree.node_count for tree in forest.estimators_]).tolist()
    expected = np.hstack([tree.decision_path(new).toarray() for tree in forest.estimators_])
    np.testing.assert_array_equal(path.toarray(), expected)


def test_a_missing_value_that_tells_the_class():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = rng.integers(0, 2, 200)
    X[y == 1, 1] = np.nan
    forest = RandomForestClassifier(10, random_state=0).fit(X, y)
    assert forest.score(X, y) == 1 and forest.feature_importances_[1] > 0.5
    assert forest.predict(np.full((1, 3), np.nan))[0] == 1


# ----------------------------------------------------------------------------------- one forest, however it was grown

FORESTS = [{}, {"criterion": "entropy", "max_bins": None, "class_weight": "balanced_subsample"}]


@pytest.mark.parametrize("parameters", FORESTS, ids=str)
def test_threads_and_processes_do_not_change_a_bit(digits, parameters):
    X, X_test, y, _ = digits
    parameters = {"n_estimators": 20, "random_state": 5, "oob_score": True, **parameters}
    one = RandomForestClassifier(**parameters).fit(X, y)
    proba, importances = one.predict_proba(X_test), one.oob_permutation_importances(X, y)
    for n_jobs, backend in ((2, "threading"), (8, "threading"), (2, "loky")):
        with joblib.parallel_config(backend=backend):
            other = RandomForestClassifier(**parameters, n_jobs=n_jobs).fit(X, y)
            assert_same_forest(other, one)
            np.testing.assert_array_equal(other.predict_proba(X_test), proba)
            np.testing.assert_array_equal(other.apply(X_test), one.apply(X_test))
            np.testing.assert_array_equal(other.oob_permutation_importances(X, y), importances)


def test_seeds():
    X, y = load_iris(return_X_y=True)

    def nodes(random_state):
        return RandomForestClassifier(3, random_state=random_state).fit(X, y).ensemble_.nodes.tobytes()

    sequence, generator = np.random.SeedSequence(3), np.random.default_rng(3)
    assert nodes(3) == nodes(3) == nodes(np.int64(3)) == nodes(sequence) == nodes(sequence) != nodes(4)
    assert nodes(generator) != nodes(generator) and nodes(None) != nodes(None)
    assert nodes(np.random.RandomState(3)) == nodes(np.random.RandomState(3))
    assert nodes(sequence.spawn(1)[0]) != nodes(3)


@pytest.mark.parametrize("parameters", FORESTS, ids=str)
def test_a_fit_that_is_continued_is_that_of_one_fit(digits, parameters):
    X, _, y, _ = digits
    parameters = {"random_state": 2, "oob_score": True, **parameters}
    with pytest.warns(UserWarning, match="OOB"):
        forest = RandomForestClassifier(3, warm_start=True, **parameters).fit(X, y)
        first = forest.estimators_[0].nodes.copy()
        forest.set_params(n_estimators=14).fit(X, y)
        forest.set_params(n_estimators=15).fit(X, y)
        assert_same_forest(forest, RandomForestClassifier(15, **parameters).fit(X, y))
    np.testing.assert_array_equal(forest.estimators_[0].nodes, first)
    with pytest.warns(UserWarning) as caught:
        before = forest.ensemble_
        forest.fit(X, y)
    assert forest.ensemble_ is before and any("without increasing n_estimators" in str(w.message) for w in caught)


def test_a_second_fit_without_warm_start_begins_anew(digits):
    X, _, y, _ = digits
    with pytest.warns(UserWarning, match="OOB"):
        forest = RandomForestClassifier(8, random_state=0, oob_score=True).fit(X, y)
    forest.set_params(oob_score=False).fit(X[:500, :30], y[:500] == 3)
    assert_same_forest(forest, RandomForestClassifier(8, random_state=0).fit(X[:500, :30], y[:500] == 3))
    assert forest.n_classes_ == 2 and forest.n_features_in_ == 30


def test_a_pickled_forest_is_the_same(digits):
    X, X_test, y, _ = digits
    forest = RandomForestClassifier(20, random_state=0).fit(X, y)
    copy = pickle.loads(pickle.dumps(forest))
    assert_same_forest(copy, forest)
    np.testing.assert_array_equal(copy.predict_proba(X_test), forest.predict_proba(X_test))
    np.testing.assert_array_equal(copy.oob_permutation_importances(X, y), forest.oob_permutation_importances(X, y))


# ------------------------------------------------------------------------------------------------------- parameters

@pytest.mark.parametrize("value, number", [("sqrt", 3), ("log2", 3), (0.5, 5), (1, 1), (0.01, 1), (1.0, 10),
                                           (None, 10)])
def test_features_to_choose_from(value, number):
    X, codes, _ = some_data(0, D=10)
    nodes = [RandomForestClassifier(4, random_state=0, max_features=m).fit(X, codes).ensemble_.nodes
             for m in (value, number, number + 1 if number < 10 else 9)]
    np.testing.assert_array_equal(nodes[0], nodes[1])
    assert nodes[0].tobytes() != nodes[2].tobytes()


@pytest.mark.parametrize("value, number", [(None, 120), (30, 30), (0.25, 30), (1.0, 120), (0.001, 1), (1, 1)])
def test_samples_drawn_for_each_tree(value, number):
    X, codes, _ = some_data(0, n=120)
    forest = RandomForestClassifier(5, random_state=0, max_samples=value).fit(X, codes)
    assert [tree.weighted_n_node_samples[0] for tree in forest.estimators_] == [number] * 5


@pytest.mark.parametrize("parameter", ["min_samples_split", "min_samples_leaf"])
def test_limits_given_as_shares(parameter):
    X, codes, _ = some_data(0, n=120, noise=0.5)
    share, number, other = (RandomForestClassifier(4, random_state=0).set_params(**{parameter: value}).fit(X, codes)
                            for value in (0.17, 21, 20))        # 0.17 * 120 = 20.4
    assert_same_forest(share, number)
    assert other.ensemble_.nodes.tobytes() != share.ensemble_.nodes.tobytes()


def test_limits_hold():
    X, codes, _ = some_data(1, n=200, noise=0.5)
    for tree in RandomForestClassifier(4, random_state=0, max_depth=5, min_samples_leaf=7).fit(X, codes).estimators_:
        assert tree.max_depth == 5 and tree.n_node_samples.min() >= 7
    for tree in RandomForestClassifier(4, random_state=0, min_samples_split=30).fit(X, codes).estimators_:
        assert tree.n_node_samples[tree.feature >= 0].min() >= 30


def test_classes_weigh_the_same_in_each_balanced_bootstrap_sample():
    X, codes, _ = some_data(1, n=200)
    keep = (codes != 1) | (np.arange(200) % 5 == 0)
    forest = RandomForestClassifier(6, random_state=0, class_weight="balanced_subsample").fit(X[keep], codes[keep])
    for tree in forest.estimators_:
        np.testing.assert_allclose(tree.value[0], 1 / 3, rtol=1e-6)
    forest.set_params(class_weight="balanced").fit(X[keep], codes[keep])
    assert max(np.abs(tree.value[0] - 1 / 3).max() for tree in forest.estimators_) > 0.01
    np.testing.assert_allclose(np.mean([tree.value[0] for tree in forest.estimators_], axis=0), 1 / 3, atol=0.1)


def test_a_bootstrap_draws_in_proportion_to_the_weights():
    """As scikit-learn does since 1.9: what is drawn counts once a draw, and what has no weight is never drawn."""
    N, draws = 40, 200_000
    weight = np.arange(N) % 4 / 3.0
    bootstrap = Bootstrap(N, draws, np.cumsum(weight))
    counts = bootstrap.counts(np.array([5], np.uint64))
    assert counts.sum() == draws and (counts[::4] == 0).all()
    expected = weight / weight.sum() * draws
    used = weight > 0
    chi_square = np.sum((counts - expected)[used] ** 2 / expected[used])
    assert 10 < chi_square < 62             # 29 degrees of freedom: outside with probability 1e-3
    X, codes, _ = some_data(2, n=50)
    weight = np.zeros(50)
    weight[[3, int(np.flatnonzero(codes != codes[3])[0])]] = 1, 2
    for balanced in (None, "balanced_subsample"):
        forest = RandomForestClassifier(40, random_state=0, max_samples=3, class_weight=balanced).fit(X, codes, weight)
        assert {int(tree.n_node_samples[0]) for tree in forest.estimators_} == {1, 2}


def test_equal_weights_draw_what_no_weights_draw():
    X, codes, _ = some_data(2, n=50)
    forest, plain = (RandomForestClassifier(5, random_state=0).fit(X, codes, w) for w in (np.full(50, 0.3), None))
    assert_same_forest(forest, plain)


@pytest.mark.parametrize("total", [2.0**25, 2.0**40])
def test_weights_too_heavy_for_integers_are_handled_as_fractions(total):
    """Whole weights on either side of what integers hold exactly: scaled by a power of two, the same tree."""
    X, codes, _ = some_data(6, n=60)
    weight = np.full(60, total / 64)
    plain, heavy = (RandomForestClassifier(5, bootstrap=False, random_state=0).fit(X, codes, w) for w in (None, weight))
    np.testing.assert_array_equal(plain.apply(X), heavy.apply(X))


@pytest.mark.parametrize("samples", ["list", "float64", "columns", "float16", "readonly", "every other"])
def test_samples_in_any_form(samples):
    X, codes, _ = some_data(3, n=90)
    forms = {"list": X.tolist(), "float64": X.astype(np.float64), "columns": np.asfortranarray(X),
             "float16": X.astype(np.float16), "readonly": X.copy(), "every other": np.repeat(X, 2, axis=1)[:, ::2]}
    forms["readonly"].flags.writeable = False
    forest = RandomForestClassifier(4, random_state=0).fit(forms[samples], codes)
    expected = RandomForestClassifier(4, random_state=0).fit(X, codes)
    np.testing.assert_array_equal(forest.predict_proba(forms[samples]), expected.predict_proba(X))


@pytest.mark.parametrize("labels", [[False, True], [-3, 7], [1.0, 2.0], ["eel", "cod"], np.array(["x", "y"], object)],
                         ids=str)
def test_labels_of_any_kind(labels):
    X, codes, _ = some_data(3, n=90, K=2)
    y = np.asarray(labels)[codes]
    forest = RandomForestClassifier(15, random_state=0).fit(X, y)
    assert forest.predict(X).dtype == y.dtype and forest.score(X, y) > 0.95
    assert forest.classes_.tolist() == sorted(labels)


# ----------------------------------------------------------------------------------------------------- what goes wrong

@pytest.mark.parametrize("parameters, message", [
    ({"n_estimators": 0}, "n_estimators=0, expected an integer >= 1"),
    ({"n_estimators": 2.0}, "n_estimators=2.0"),
    ({"criterion": "mse"}, "criterion='mse', expected one of 'gini', 'entropy'"),
    ({"max_depth": 0}, "max_depth=0, expected an integer >= 1"),
    ({"max_bins": 1}, "max_bins=1, expected an integer >= 2 and <= 255"),
    ({"max_bins": 256}, "max_bins=256"),
    ({"min_samples_split": 1}, "min_samples_split=1, expected an integer >= 2"),
    ({"min_samples_split": 1.5}, "min_samples_split=1.5, expected a number > 0 and <= 1"),
    ({"min_samples_leaf": 0}, "min_samples_leaf=0"),
    ({"min_samples_leaf": "few"}, "min_samples_leaf='few'"),
    ({"max_features": "auto"}, "max_features='auto', expected one of 'sqrt', 'log2'"),
    ({"max_features": 0}, "max_features=0"),
    ({"max_features": 0.0}, "max_features=0.0"),
    ({"max_features": 5}, "max_features=5, but X has only 4 features"),
    ({"max_samples": 91}, "max_samples=91, but X has only 90 samples"),
    ({"max_samples": 0}, "max_samples=0"),
    ({"max_samples": 1.5}, "max_samples=1.5"),
    ({"max_samples": 5, "bootstrap": False}, "max_samples=5 needs bootstrap=True"),
    ({"oob_score": True, "bootstrap": False}, "oob_score=True needs bootstrap=True"),
    ({"class_weight": "even"}, "class_weight='even'"),
    ({"class_weight": {9: 2.0}}, r"class_weight has \[9\]"),
    ({"class_weight": {0: -1}}, "class_weight of 0=-1"),
    ({"n_jobs": 0}, "n_jobs=0"),
    ({"random_state": -1}, "random_state=-1"),
], ids=str)
def test_parameters_that_make_no_sense_are_named_and_leave_no_forest(parameters, message):
    X, codes, _ = some_data(3, n=90)
    forest = RandomForestClassifier(2).fit(X, codes).set_params(**parameters)
    with pytest.raises(ValueError, match=message):
        forest.fit(X, codes)
    with pytest.raises(NotFittedError, match="RandomForestClassifier instance is not fitted"):
        forest.predict(X)
    assert set(vars(forest)) == set(forest.get_params())


@pytest.mark.parametrize("change, message", [
    ({"sample_weight": -np.ones(90)}, "Negative values"),
    ({"sample_weight": np.zeros(90)}, "zero"),
    ({"sample_weight": np.ones(3)}, "sample_weight has shape"),
    ({"X": np.full((90, 4), np.inf)}, "infinity"),
    ({"X": np.ones((80, 4))}, "inconsistent numbers of samples"),
    ({"y": np.ones(90)}, "greater than one"),
    ({"y": np.where(np.arange(90) == 5, np.nan, np.arange(90) % 2)}, "NaN"),
], ids=str)
def test_data_that_cannot_be_used_leave_no_forest(change, message):
    X, codes, _ = some_data(3, n=90)
    forest = RandomForestClassifier(2).fit(X, codes)
    with pytest.raises(ValueError, match=message):
        forest.fit(**({"X": X, "y": codes} | change))
    assert set(vars(forest)) == set(forest.get_params())


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "apply", "decision_path",
                                    "estimators_", "feature_importances_", "oob_permutation_importances", "save"])
def test_a_forest_that_is_not_there(method, tmp_path):
    forest = RandomForestClassifier()
    arguments = {"save": [tmp_path / "forest.npz"], "oob_permutation_importances": [[[1]], [1]]}
    with pytest.raises(NotFittedError, match="not fitted yet"):
        found = getattr(forest, method)
        found(*arguments.get(method, [[[1.0]]]))


def test_a_warm_start_that_fails_keeps_the_last_forest(monkeypatch):
    X, codes, _ = some_data(3, n=90)
    forest = RandomForestClassifier(6, random_state=0, warm_start=True).fit(X, codes)
    before, proba = vars(forest).copy(), forest.predict_proba(X)

    def assert_kept():
        assert forest.ensemble_ is before["ensemble_"] and forest.classes_ is before["classes_"]
        np.testing.assert_array_equal(forest.predict_proba(X), proba)

    for change, message in (({"n_estimators": 5}, "n_estimators=5 is less than the 6 trees"),
                            ({"n_estimators": 9, "max_depth": -1}, "max_depth=-1")):
        with pytest.raises(ValueError, match=message):
            forest.set_params(**change).fit(X, codes)
        assert_kept()
    forest.set_params(n_estimators=9, max_depth=None)
    for X_new, y, message in ((X, codes + 1, "the labels differ"), (X[:, :3], codes, "X has 3 features"),
                              (X, np.full(90, np.nan), "NaN")):
        with pytest.raises(ValueError, match=message):
            forest.fit(X_new, y)
        assert_kept()

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("classifiers.forest.forest.grow_forest", interrupted)
        with pytest.raises(KeyboardInterrupt):
            forest.fit(X, codes)
    assert_kept()
    forest.fit(X, codes)
    assert_same_forest(forest, RandomForestClassifier(9, random_state=0).fit(X, codes))


def test_other_samples_than_those_of_the_fit_are_refused():
    X, codes, _ = some_data(3, n=90)
    forest = RandomForestClassifier(3, random_state=0).fit(X, codes)
    for method in ("predict", "predict_proba", "apply", "decision_path"):
        with pytest.raises(ValueError, match="X has 3 features, but RandomForestClassifier is expecting 4"):
            getattr(forest, method)(X[:, :3])
