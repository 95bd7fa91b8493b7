"""A forest comes back from its file as it was; a file whose indices lead astray is refused, whichever index it is."""
from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.archive import ArchiveError, load_archive, save_archive
from classifiers.forest import RandomForestClassifier
from classifiers.forest.ensemble import Ensemble

from .cases import some_data
from .test_forest import assert_same_forest

FORMAT = "classifiers.RandomForestClassifier", 1


def fitted(**parameters):
    X, codes, _ = some_data(5, n=90, missing=0.1, noise=0.5)
    parameters = {"n_estimators": 3, "max_depth": 4, "random_state": 0} | parameters
    return RandomForestClassifier(**parameters).fit(X, np.array([2, 5, 9])[codes]), X, codes


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The header and the arrays of a forest of three trees with impure leaves, and a name for others."""
    folder = tmp_path_factory.mktemp("forest")
    fitted()[0].save(folder / "forest.npz")
    return *load_archive(folder / "forest.npz", *FORMAT), folder / "changed.npz"


def load_changed(saved, change, header=None):
    """Write the forest again with `change(arrays)` and other entries of the header, and load it."""
    old, arrays, path = saved
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(arrays)
    save_archive(path, *FORMAT, old | (header or {}), arrays)
    return RandomForestClassifier.load(path)


# ------------------------------------------------------------------------------------------------ what comes back

@pytest.mark.parametrize("labels", [[2, 5, 9], [-1.0, 0.0, 2.0], ["eel", "cod", "ray"],
                                    np.array(["eel", "cod", "ray"], object), np.array([1, 2, 250], np.uint8),
                                    np.array([1, 2**63, 2**64 - 1], np.uint64), np.array([1, 2, 4], np.float16)],
                         ids=str)
def test_a_forest_comes_back(labels, tmp_path):
    X, codes, rng = some_data(5, n=90, missing=0.1, noise=0.5)
    y = np.asarray(labels)[codes]
    forest = RandomForestClassifier(60, max_features=0.5, oob_score=True, random_state=np.int64(4), criterion="entropy",
                                    class_weight=dict(zip(np.asarray(labels).tolist(), (1.0, 2.0, 0.5))))
    forest.fit(X, y)
    forest.save(tmp_path / "forest.npz")
    loaded = RandomForestClassifier.load(tmp_path / "forest.npz")
    assert_same_forest(loaded, forest)
    assert loaded.get_params() == forest.get_params()
    assert loaded.classes_.tolist() == forest.classes_.tolist() and loaded.classes_.dtype == forest.classes_.dtype
    assert (loaded.n_classes_, loaded.n_features_in_, loaded.n_outputs_) == (3, 4, 1)
    new = rng.uniform(0, 90, (50, 4)).astype(np.float32)
    np.testing.assert_array_equal(loaded.predict_proba(new), forest.predict_proba(new))
    np.testing.assert_array_equal(loaded.predict(new), forest.predict(new))
    np.testing.assert_array_equal(loaded.apply(new), forest.apply(new))


def test_two_classes_of_booleans_and_names_of_features(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    X, codes, _ = some_data(5, n=90)
    frame = pandas.DataFrame(X, columns=["length", "width", "größe", "d"])
    forest = RandomForestClassifier(3, random_state=0).fit(frame, codes > 0)
    forest.save(tmp_path / "forest.npz")
    loaded = RandomForestClassifier.load(tmp_path / "forest.npz")
    assert_same_forest(loaded, forest)
    assert loaded.feature_names_in_.tolist() == ["length", "width", "größe", "d"]
    assert loaded.predict(frame).dtype == bool
    with pytest.raises(ValueError, match="same order"):
        loaded.predict(frame[["width", "length", "größe", "d"]])


@pytest.mark.parametrize("random_state", [7, None])
def test_a_loaded_forest_grows_on(random_state, tmp_path):
    forest, X, codes = fitted(random_state=random_state, warm_start=True)
    forest.save(tmp_path / "forest.npz")
    loaded = RandomForestClassifier.load(tmp_path / "forest.npz")
    for one in (forest, loaded):
        one.set_params(n_estimators=9).fit(X, forest.classes_[codes])
    assert_same_forest(loaded, forest)
    assert len(loaded.estimators_) == 9


def test_a_forest_whose_parameters_were_changed_after_the_fit(tmp_path):
    """n_estimators says how many trees the next fit will have, not how many there are."""
    forest, X, _ = fitted()
    forest.set_params(n_estimators=40).save(tmp_path / "forest.npz")
    loaded = RandomForestClassifier.load(tmp_path / "forest.npz")
    assert len(loaded.estimators_) == 3 and loaded.n_estimators == 40
    np.testing.assert_array_equal(loaded.predict(X), forest.predict(X))


def test_a_generator_cannot_be_written(tmp_path):
    forest, *_ = fitted(random_state=np.random.default_rng(0))
    with pytest.raises(ArchiveError, match="Set random_state to an integer"):
        forest.save(tmp_path / "forest.npz")
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------- what is refused

def at(array, place, value):
    """Return the change that writes `value`, or what the function `value` makes of the arrays, to ``array[place]``."""
    def change(arrays):
        arrays[array][place] = value(arrays) if callable(value) else value
    return change


def cut(*names, by=1):
    def change(arrays):
        for name in names:
            arrays[name] = arrays[name][:-by]
    return change


def split(arrays, number=0):
    """Return the place of the first split, or of another one, in the first tree."""
    return int(np.flatnonzero(arrays["feature"] >= 0)[number])


def on(find, array, value):
    def change(arrays):
        arrays[array][find(arrays)] = value(arrays) if callable(value) else value
    return change


def leaf(arrays):
    return int(np.flatnonzero(arrays["feature"] < 0)[0])


CHANGES = {
    "feature too large": (at("feature", 0, 4), "feature is 4 at 0"),
    "feature negative": (at("feature", 0, -2), "feature is -2 at 0"),
    "feature made a leaf": (at("feature", 0, -1), "two parents, or none"),
    "leaf made a split": (on(leaf, "feature", 0), "child"),
    "child is the node itself": (at("child", 0, 0), "child is 0 at 0"),
    "child backwards": (on(lambda a: split(a, 2), "child", lambda a: split(a, 1)), "child"),
    "child negative": (at("child", 0, -3), "child is -3 at 0"),
    "child of another parent": (on(lambda a: split(a, 1), "child", lambda a: a["child"][split(a, 2)]), "two parents"),
    "child in the next tree": (at("child", 0, lambda a: a["tree_start"][1]), "child"),
    "right child in the next tree": (at("child", 0, lambda a: a["tree_start"][1] - 1), "child"),
    "child of the last tree beyond the end": (on(lambda a: a["tree_start"][2], "child", 2**31 - 1), "child"),
    "class of a pure leaf": (on(leaf, "child", -4), "child is -4"),
    "impure leaf": (on(leaf, "child", lambda a: a["impure_start"][1]), "child is"),
    "threshold NaN": (at("threshold", 0, np.nan), "threshold holds nan"),
    "threshold infinite": (at("threshold", 0, np.inf), "threshold holds inf"),
    "missing_left": (at("missing_left", 3, 2), "missing_left is 2 at 3"),
    "leaf_class too large": (at("leaf_class", 1, 3), "leaf_class is 3 at 1"),
    "leaf_class negative": (at("leaf_class", 1, -1), "leaf_class is -1 at 1"),
    "leaf_weight zero": (at("leaf_weight", 1, 0), "leaf_weight is 0.0 at 1"),
    "leaf_weight negative": (at("leaf_weight", 1, -1), "leaf_weight is -1.0 at 1"),
    "leaf_start descends": (at("leaf_start", 1, 10**6), "leaf_start does not ascend"),
    "leaf_start begins late": (at("leaf_start", 0, 1), "leaf_start does not ascend from 0"),
    "leaf_start: an empty leaf": (at("leaf_start", 1, 0), "less than two classes"),
    "leaf_start ends early": (at("leaf_start", -1, lambda a: a["leaf_start"][-1] - 1), "leaf_class has"),
    "leaf_start ends late": (at("leaf_start", -1, 10**9), "leaf_class has"),
    "tree_start descends": (at("tree_start", 1, 10**6), "tree_start does not ascend"),
    "tree_start negative": (at("tree_start", 0, -5), "tree_start does not ascend from 0"),
    "tree_start shifted": (at("tree_start", 1, lambda a: a["tree_start"][1] + 1), "child|parents"),
    "tree_start: an empty tree": (at("tree_start", 1, 0), "a tree has no nodes"),
    "tree_start ends late": (at("tree_start", -1, 10**9), "nodes has"),
    "tree_start of no tree": (lambda a: a.update(tree_start=a["tree_start"][:1]), "tree_start has 1 entries"),
    "impure_start too large": (at("impure_start", -1, 10**9), "leaf_start has"),
    "impure_start descends": (at("impure_start", 1, 10**6), "impure_start does not ascend"),
    "impure_start shifted": (at("impure_start", 1, lambda a: a["impure_start"][1] - 1), "child is"),
    "impure_start short": (cut("impure_start"), "impure_start has 3 entries for 3 trees"),
    "nodes short": (cut("feature", "threshold", "child", "samples", "missing_left"), "nodes has"),
    "one field short": (cut("child"), "array child has"),
    "missing_left short": (cut("missing_left"), "missing_left has"),
    "leaf_class short": (cut("leaf_class"), "leaf_class has"),
    "leaf_weight short": (cut("leaf_weight"), "leaf_weight has"),
    "importances short": (cut("decrease"), "decrease is not 4 numbers"),
    "importances negative": (at("decrease", 0, -1), "decrease is not 4 numbers"),
    "another dtype": (lambda a: a.update(child=a["child"].astype(np.int64)), "array child is <i8 with 1 axes"),
    "two axes": (lambda a: a.update(child=a["child"][:, None]), "array child is <i4 with 2 axes"),
    "an array missing": (lambda a: a.pop("leaf_class"), "the arrays are"),
    "an array too many": (lambda a: a.update(more=np.zeros(3)), "the arrays are"),
    "votes of other classes": (lambda a: a.update(oob_decision_function=np.zeros((90, 2))), "oob_decision_function"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_leads_astray_is_refused(saved, name):
    change, message = CHANGES[name]
    with pytest.raises(ArchiveError, match=message) as info:
        load_changed(saved, change)
    assert str(saved[2]) in str(info.value)


@pytest.mark.parametrize("header, message", [
    ({"n_features_in": 3}, "feature is 3|decrease"),
    ({"n_features_in": 2**40}, "decrease"),
    ({"labels": {"dtype": "int64", "values": [1, 2]}}, "out of range"),
    ({"seed": None}, "seed is None"),
    ({"seed": [-1, []]}, "seed is"),
    ({"seed": [1, [0.5]]}, "seed is"),
    ({"seed": [[], []]}, "seed is"),
], ids=str)
def test_a_header_that_does_not_fit_the_arrays_is_refused(saved, header, message):
    with pytest.raises(ArchiveError, match=message):
        load_changed(saved, lambda arrays: None, header)


@pytest.mark.parametrize("parameter, value", [("n_estimators", 0), ("criterion", "mse"), ("max_bins", 7.5),
                                              ("n_jobs", 0), ("n_jobs", "all"), ("bootstrap", 1), ("oob_score", "no")])
def test_a_parameter_that_the_forest_would_not_take_is_refused(saved, parameter, value):
    parameters = saved[0]["parameters"] | {parameter: value}
    with pytest.raises(ArchiveError, match=parameter):
        load_changed(saved, lambda arrays: None, {"parameters": parameters})


@settings(max_examples=200)
@given(data=st.data())
def test_any_damage_is_refused_or_harmless(saved, data):
    """One entry of one array changed to anything: what is loaded all the same is walked by the readable trees."""
    _, arrays, _ = saved
    name = data.draw(st.sampled_from(sorted(arrays)))
    array = arrays[name]
    place = data.draw(st.integers(0, len(array) - 1))
    if array.dtype.kind == "f":
        value = data.draw(st.floats(width=array.dtype.itemsize * 8))
    else:
        info = np.iinfo(array.dtype)
        value = data.draw(st.integers(info.min, info.max) | st.integers(0, min(40, info.max)))
    X = np.random.default_rng(0).uniform(0, 90, (20, 4)).astype(np.float32)
    X[::4] = np.nan
    try:
        forest = load_changed(saved, at(name, place, value))
    except ArchiveError:
        return
    for t, tree in enumerate(forest.estimators_):
        np.testing.assert_array_equal(tree.apply(X), forest.apply(X)[:, t])
    assert (forest.predict_proba(X).sum(axis=1) == pytest.approx(1))


def test_a_file_of_something_else(tmp_path, saved):
    save_archive(tmp_path / "other.npz", "classifiers.SVC", 1, {}, {})
    with pytest.raises(ArchiveError, match=r"expected 'classifiers.RandomForestClassifier'"):
        RandomForestClassifier.load(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("forest")
    with pytest.raises(ArchiveError, match="no zip archive"):
        RandomForestClassifier.load(tmp_path / "text.npz")
    with pytest.raises(OSError):
        RandomForestClassifier.load(tmp_path / "none.npz")


def test_a_file_is_hardly_larger_than_the_forest(tmp_path):
    forest, *_ = fitted(n_estimators=100, max_depth=None)
    forest.save(tmp_path / "forest.npz")
    assert (tmp_path / "forest.npz").stat().st_size < forest.ensemble_.nbytes + 8000
    with zipfile.ZipFile(tmp_path / "forest.npz") as archive:
        assert json.loads(archive.read("header.json"))["header"]["labels"]["values"] == [2, 5, 9]
    assert forest.ensemble_.nbytes == sum(getattr(forest.ensemble_, name).nbytes for name in Ensemble._fields)
