"""Checks of weights, seeds and parameters, against scikit-learn's answers and arithmetic by hand."""
from __future__ import annotations

import math

import numpy as np
import pytest

from classifiers.validation import (
    check_choice,
    check_interval,
    check_sample_weight,
    class_weights,
    seed_sequence,
)

# Weights ---------------------------------------------------------------------------------------------------------

def test_sample_weight():
    given = np.array([0.0, 1.0, 2.0])
    weight = check_sample_weight(given, 3)
    weight[0] = 9
    assert given[0] == 0 and check_sample_weight(None, 3) is None
    assert check_sample_weight([1, 0, 2], 3).dtype == np.float64


@pytest.mark.parametrize("weight, message", [
    ([1, 2], r"sample_weight has shape \(2,\): expected \(3,\)"),
    (2.0, r"shape \(\): expected \(3,\)"),
    ([[1], [2], [3]], r"shape \(3, 1\)"),
    ([1, -1, 2], "Negative values in data, first -1.0 at row 1"),
    ([1, 2, np.nan], "contains NaN, first nan at row 2"),
    ([1, np.inf, 2], "contains infinity, first inf at row 1"),
    ([0, 0, 0], "Sample weights must contain at least one non-zero number"),
    (["a", 1, 2], "not an array of numbers"),
])
def test_sample_weight_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        check_sample_weight(weight, 3)


@pytest.mark.parametrize("given", [None, "balanced", {"cod": 2.0}, {"cod": 2.0, "eel": 0.5, "ray": 3},
                                   {"cod": 2.0, "eel": 0.5, "ray": 3, "tuna": 1}, {}])
@pytest.mark.parametrize("weighted", [False, True])
def test_class_weights_are_scikit_learns(given, weighted):
    compute = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    classes, codes = np.array(["cod", "eel", "ray"]), np.array([0, 0, 0, 1, 2, 2])
    weight = np.array([1, 2, 3, 4, 5, 0.5]) if weighted else None
    np.testing.assert_allclose(class_weights(given, classes, codes, weight),
                               compute(given, classes=classes, y=classes[codes], sample_weight=weight), rtol=1e-15)


def test_balanced_by_hand_with_a_class_that_weighs_nothing():
    """Weight 0 means absent: the two classes that are left share W = 4, 2 for each."""
    weights = class_weights("balanced", np.arange(3), np.array([0, 1, 1, 2]), np.array([3.0, 0.5, 0.5, 0.0]))
    assert weights.tolist() == [4 / (2 * 3), 4 / (2 * 1), 1.0]


@pytest.mark.parametrize("given, message", [
    ({"tuna": 2}, r"class_weight has \['tuna'\], which are not labels in y: expected some of \['cod', 'eel'\]"),
    ("balancd", "class_weight='balancd': expected a dict of label to weight, 'balanced' or None"),
    ("balanced_subsample", "expected a dict"),
    ([1, 2], "expected a dict"),
    ({"cod": -1}, "class_weight of 'cod'=-1, expected a finite number >= 0"),
    ({"cod": np.nan}, "class_weight of 'cod'=nan"),
    ({"cod": "2"}, "class_weight of 'cod'='2'"),
])
def test_class_weights_refused(given, message):
    with pytest.raises(ValueError, match=message):
        class_weights(given, np.array(["cod", "eel"]), np.array([0, 1]))


# Seeds and parameters -------------------------------------------------------------------------------------------

def state(random_state):
    return seed_sequence(random_state).generate_state(4).tolist()


def test_seeds_repeat():
    assert state(5) == state(np.int64(5)) == np.random.SeedSequence(5).generate_state(4).tolist()
    assert state(5) != state(6) and state(None) != state(None)
    for make in (np.random.default_rng, np.random.RandomState):
        one, other = make(3), make(3)
        assert state(one) == state(other) and state(one) != state(make(3))     # it has moved on
    given = np.random.SeedSequence(5).spawn(2)[1]
    first = seed_sequence(given).spawn(2)[0].generate_state(2).tolist()
    assert first == seed_sequence(given).spawn(2)[0].generate_state(2).tolist()        # the second fit is the first
    assert first == given.spawn(1)[0].generate_state(2).tolist()


@pytest.mark.parametrize("bad", [-1, 1.5, True, "7", np.random])
def test_seeds_refused(bad):
    with pytest.raises(ValueError, match=r"random_state=.*expected None, an integer >= 0"):
        seed_sequence(bad)


@pytest.mark.parametrize("value, low, high, options", [
    (0, 0, None, {}), (0.5, 0, 1, {}), (1, 0, 1, {}), (np.float32(0.5), 0, 1, {}), (math.inf, 0, math.inf, {}),
    (-7, None, None, {}), (np.int64(3), 1, None, {"integer": True}), (10 ** 400, 1, None, {"integer": True}),
])
def test_interval_holds(value, low, high, options):
    check_interval("SVC: C", value, low, high, **options)


@pytest.mark.parametrize("value, low, high, options, expected", [
    (-1, 0, None, {"exclude_low": True}, "SVC: C=-1, expected a finite number > 0"),
    (0, 0, None, {"exclude_low": True}, "SVC: C=0, expected a finite number > 0"),
    (math.inf, 0, None, {}, "SVC: C=inf, expected a finite number >= 0"),
    (math.nan, 0, 1, {}, "SVC: C=nan, expected a number >= 0 and <= 1"),
    (1, 0, 1, {"exclude_high": True}, "SVC: C=1, expected a number >= 0 and < 1"),
    (2, 0, 1, {}, "SVC: C=2, expected a number >= 0 and <= 1"),
    (True, 0, 1, {}, "SVC: C=True, expected a number >= 0 and <= 1"),
    (None, 0, 1, {}, "SVC: C=None, expected a number >= 0 and <= 1"),
    ("1", 0, 1, {}, "SVC: C='1', expected a number >= 0 and <= 1"),
    (1.0, 1, None, {"integer": True}, "SVC: C=1.0, expected an integer >= 1"),
])
def test_interval_refuses(value, low, high, options, expected):
    with pytest.raises(ValueError) as info:
        check_interval("SVC: C", value, low, high, **options)
    assert str(info.value) == expected


def test_choice():
    check_choice("forest: max_features", None, ("sqrt", None))
    check_choice("forest: max_features", np.str_("sqrt"), ("sqrt", None))
    for bad in ("sqr", 1, ["sqrt"], np.array(["sqrt", "sqrt"])):
        with pytest.raises(ValueError, match=r"forest: max_features=.*, expected one of 'sqrt', None"):
            check_choice("forest: max_features", bad, ("sqrt", None))
