"""scikit-learn's own checks of an estimator, and its tools that a forest must work in."""
from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier as Peer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._test_common.instance_generator import PER_ESTIMATOR_XFAIL_CHECKS
from sklearn.utils.estimator_checks import check_class_weight_classifiers, parametrize_with_checks

from classifiers.forest import RandomForestClassifier

ROWS = {"check_sample_weight_equivalence_on_dense_data":
        "a bootstrap is drawn at random, and others are drawn if rows are repeated instead of weighted"}
# Only without bootstrap, which hardly ever draws samples of next to no weight. Passed by scikit-learn's trees only
# with the `min_weight_fraction_leaf` that this check sets where it exists: without it a sample of next to no weight
# still gets a pure leaf. Limits that the forest has do as well, see the test below.
LIGHT = {"check_class_weight_classifiers": "weights say nothing about how small a leaf may be"}


def excused(estimator):
    return ROWS if estimator.bootstrap else LIGHT


with warnings.catch_warnings():     # it says that the class is not derived from BaseEstimator, which is our point
    warnings.simplefilter("ignore")
    conforms = parametrize_with_checks([RandomForestClassifier(5), RandomForestClassifier(5, bootstrap=False)],
                                       expected_failed_checks=excused)


@pytest.mark.filterwarnings("ignore:Estimator RandomForestClassifier does not inherit:UserWarning")
@conforms
def test_contract_of_scikit_learn(estimator, check):
    check(estimator)


def test_scikit_learn_excuses_its_own_forest_too():
    assert set(ROWS) <= set(PER_ESTIMATOR_XFAIL_CHECKS[Peer])


@pytest.mark.parametrize("bootstrap", [True, False])
def test_class_weights_of_ten_million_to_one_win_where_leaves_hold_several_samples(bootstrap):
    check_class_weight_classifiers("forest", RandomForestClassifier(5, bootstrap=bootstrap, min_samples_leaf=5))


def test_in_scikit_learns_tools():
    X, y = load_iris(return_X_y=True)
    forest = RandomForestClassifier(20, random_state=3)
    assert is_classifier(forest) and clone(forest).get_params() == forest.get_params()
    assert cross_val_score(make_pipeline(StandardScaler(), forest), X, y, cv=5).mean() > 0.92
    search = GridSearchCV(forest, {"max_depth": [1, None], "criterion": ["gini", "entropy"]}, cv=3).fit(X, y)
    assert search.best_params_["max_depth"] is None and search.best_score_ > 0.92
    np.testing.assert_array_equal(search.best_estimator_.feature_importances_,
                                  clone(search.best_estimator_).fit(X, y).feature_importances_)


def test_data_frames():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    X, y = load_iris(return_X_y=True)
    frame = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    forest = RandomForestClassifier(10, random_state=0).fit(frame, y)
    assert forest.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    plain = RandomForestClassifier(10, random_state=0).fit(X, y)
    np.testing.assert_array_equal(forest.predict_proba(frame), plain.predict_proba(X))
    with pytest.raises(ValueError, match="same order"):
        forest.predict(frame[["b", "a", "c", "d"]])
