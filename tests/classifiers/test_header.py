"""Parameters, labels and names of features as JSON: what is written comes back, and what makes no sense is refused."""
from __future__ import annotations

import json

import numpy as np
import pytest

from classifiers.archive import ArchiveError
from classifiers.base import Classifier, check_interval
from classifiers.header import describe, restore


class Majority(Classifier):
    """The least that is a classifier, with a parameter of each kind."""

    def __init__(self, *, rate=0.5, class_weight=None, shrink=True, kernel="rbf", degree=3):
        self.rate, self.class_weight, self.shrink = rate, class_weight, shrink
        self.kernel, self.degree = kernel, degree

    def check_parameters(self):
        check_interval("Majority: rate", self.rate, 0, 1)


def fitted(labels, names=None, **parameters):
    model = Majority(**parameters)
    model.classes_, model.n_features_in_ = np.asarray(labels), 2
    if names is not None:
        model.feature_names_in_ = np.array(names, object)
    return model


def through_json(model):
    other = Majority()
    restore(other, json.loads(json.dumps(describe(model), allow_nan=False)), "model.npz", Majority.check_parameters)
    return other


LABELS = {"int64": [-5, 0, 2**62], "uint64": [0, 2**64 - 1], "int8": [-128, 127], "bool": [False, True],
          "float16": [0.0, 2.0], "float32": [-1.0, 2.0**25], "float64": [0.0, 1e300], "<U6": ["a", "größer"]}


@pytest.mark.parametrize("dtype", LABELS)
def test_labels_come_back(dtype):
    labels = np.array(LABELS[dtype], dtype)
    classes = through_json(fitted(labels)).classes_
    assert classes.dtype == labels.dtype and classes.tolist() == labels.tolist()


def test_labels_that_are_objects_come_back_as_objects():
    classes = through_json(fitted(np.array(["cod", "eel"], object))).classes_
    assert classes.dtype == object and classes.tolist() == ["cod", "eel"]


@pytest.mark.parametrize("weight", [None, "balanced", {"cod": 2.0, "eel": 0.5}, {1: 2.0, 7: 3.0}, {True: 2.0},
                                    {np.int64(4): np.float32(0.5)}], ids=str)
def test_parameters_come_back(weight):
    model = fitted(["cod", "eel"], ["l", "w"], rate=np.float32(0.25), class_weight=weight, shrink=False,
                   degree=np.int8(2))
    other = through_json(model)
    assert other.get_params() == {"rate": 0.25, "class_weight": weight, "shrink": False, "kernel": "rbf", "degree": 2}
    assert other.n_features_in_ == 2 and other.feature_names_in_.tolist() == ["l", "w"]
    if isinstance(weight, dict):    # a label is not made a text
        plain = [label.item() if isinstance(label, np.generic) else label for label in weight]
        assert [type(label) for label in other.class_weight] == [type(label) for label in plain]


def test_without_names_of_features_there_are_none():
    assert not hasattr(through_json(fitted([0, 1])), "feature_names_in_")


def test_a_parameter_that_is_neither_text_nor_number_is_named_with_the_advice():
    with pytest.raises(ArchiveError, match=r"Majority: kernel=<built-in function abs> cannot be written .* Name it"):
        describe(fitted([0, 1], kernel=abs), {"kernel": "Name it"})
    with pytest.raises(ArchiveError, match="Set degree to one"):
        describe(fitted([0, 1], degree=[3]))


def test_labels_that_cannot_be_written():
    with pytest.raises(ArchiveError, match="Convert y and fit again"):
        describe(fitted(np.array([1, 2], np.longdouble)))


GOOD = describe(fitted([1, 5], rate=0.25))


@pytest.mark.parametrize("change, message", [
    ({"n_features_in": 0}, "n_features_in is 0"),
    ({"n_features_in": True}, "n_features_in is True"),
    ({"n_features_in": 2.0}, "n_features_in is 2.0"),
    ({"feature_names": ["a"]}, "not a list of 2 names"),
    ({"feature_names": ["a", 1]}, "not a list of 2 names"),
    ({"feature_names": "ab"}, "not a list of 2 names"),
    ({"labels": None}, "labels are not a dtype"),
    ({"labels": {"dtype": "int64", "values": [1]}}, "at least two values"),
    ({"labels": {"dtype": "int64", "values": [5, 1]}}, "not sorted"),
    ({"labels": {"dtype": "int64", "values": [1, 1]}}, "one is there twice"),
    ({"labels": {"dtype": "U", "values": ["a", 1]}}, "not all text"),
    ({"labels": {"dtype": "O", "values": [["a"], ["b"]]}}, "not all text"),
    ({"labels": {"dtype": "int64", "values": ["a", "b"]}}, "not numbers of dtype 'int64'"),
    ({"labels": {"dtype": "complex128", "values": [1, 2]}}, "not numbers of dtype 'complex128'"),
    ({"labels": {"dtype": "datetime64[s]", "values": [1, 2]}}, "not numbers"),
    ({"labels": {"dtype": ["int64"], "values": [1, 2]}}, "not numbers"),
    ({"labels": {"dtype": "uint8", "values": [1, 300]}}, "labels do not fit dtype uint8"),
    ({"labels": {"dtype": "uint8", "values": [-1, 3]}}, "labels do not fit dtype uint8"),
    ({"labels": {"dtype": "uint8", "values": [1.0, 300.0]}}, "labels do not fit dtype uint8"),
    ({"labels": {"dtype": "int64", "values": [0.5, 1.5]}}, "labels do not fit dtype int64"),
    ({"labels": {"dtype": "int64", "values": [1, 2**70]}}, "labels do not fit dtype int64"),
    ({"labels": {"dtype": "bool", "values": [0, 7]}}, "labels do not fit dtype bool"),
    ({"labels": {"dtype": "float64", "values": [1.0, float("inf")]}}, "labels do not fit dtype float64"),
    ({"labels": {"dtype": "float32", "values": [1.0, 1e300]}}, "labels do not fit dtype float32"),
    ({"labels": {"dtype": "float64", "values": [1.0, float("nan")]}}, "labels do not fit dtype float64"),
    ({"parameters": [1]}, "parameters are not those of Majority"),
    ({"parameters": {}}, "parameters are not those of Majority: class_weight, degree"),
    ({"parameters": GOOD["parameters"] | {"more": 1}}, "parameters are not those"),
    ({"parameters": GOOD["parameters"] | {"rate": 2.0}}, "Majority: rate=2.0"),
    ({"parameters": GOOD["parameters"] | {"rate": "high"}}, "Majority: rate='high'"),
    ({"parameters": GOOD["parameters"] | {"shrink": 1}}, "shrink is neither true nor false"),
    ({"parameters": GOOD["parameters"] | {"class_weight": [[1]]}}, "class_weight is not a list of label and weight"),
    ({"parameters": GOOD["parameters"] | {"class_weight": [[[1], 2.0]]}}, "class_weight is not a list"),
    ({"parameters": GOOD["parameters"] | {"class_weight": [[1, "2"]]}}, "class_weight is not a list"),
], ids=str)
def test_a_header_that_makes_no_sense_is_refused(change, message):
    with pytest.raises(ArchiveError, match=message) as info:
        restore(Majority(), GOOD | change, "model.npz", Majority.check_parameters)
    assert str(info.value).startswith("model.npz: ")


@pytest.mark.parametrize("field", GOOD)
def test_a_field_that_is_missing_is_named(field):
    with pytest.raises(ArchiveError, match=field):
        restore(Majority(), {name: GOOD[name] for name in GOOD if name != field}, "model.npz",
                Majority.check_parameters)
