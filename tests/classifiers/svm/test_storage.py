"""Saving and loading: what comes back predicts the same bits, and no damaged or invented file passes."""
from __future__ import annotations

import numpy as np
import pytest

from classifiers.archive import ArchiveError, load_archive, save_archive
from classifiers.base import NotFittedError
from classifiers.svm import calibration, storage
from classifiers.svm.calibration import CalibratedSVC
from classifiers.svm.svc import SVC


def blobs(K, n=90, d=4):
    rng = np.random.default_rng(0)
    y = rng.integers(0, K, n)
    return rng.normal(size=(K, d))[y] + rng.normal(size=(n, d)), y


LABELS = {"int": np.array([3, 7, 9]), "negative": np.array([-5, 0, 2], np.int8),
          "text": np.array(["cod", "eel", "ray"]), "object": np.array(["cod", "eel", "ray"], object),
          "float": np.array([0.0, 1.0, 2.0]),
          "bool": np.array([False, True, True]), "unsigned": np.array([0, 2**63, 2**64 - 1], np.uint64)}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_what_comes_back_is_what_was_saved(tmp_path, labels, strategy):
    X, y = blobs(3)
    svc = SVC(C=2, strategy=strategy, break_ties=False, gamma=np.float32(0.25)).fit(X, LABELS[labels][y])
    svc.save(tmp_path / "a.npz")
    back = SVC.load(tmp_path / "a.npz")
    assert back.get_params() == svc.get_params()
    assert back.classes_.dtype == svc.classes_.dtype
    for name in ("classes_", "support_", "support_vectors_", "n_support_", "dual_coef_", "intercept_", "n_iter_",
                 "class_weight_", "n_features_in_"):
        np.testing.assert_array_equal(getattr(back, name), getattr(svc, name))
    np.testing.assert_array_equal(back.decision_function(X), svc.decision_function(X))
    np.testing.assert_array_equal(back.predict(X), svc.predict(X))


@pytest.mark.parametrize("settings", [
    {"kernel": "poly", "coef0": 1.0}, {"kernel": "linear"}, {"kernel": "sigmoid"}, {"class_weight": "balanced"},
    {"class_weight": {0: 2.0, np.int64(1): 3}}], ids=str)
def test_kernels_and_weights(tmp_path, settings):
    X, y = blobs(2)
    svc = SVC(**settings).fit(X, y)
    svc.save(tmp_path / "a.npz")
    back = SVC.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(back.decision_function(X), svc.decision_function(X))
    assert back.class_weight == settings.get("class_weight")


def test_precomputed_kernel(tmp_path):
    X, y = blobs(3)
    svc = SVC(kernel="precomputed").fit(X @ X.T, y)
    svc.save(tmp_path / "a.npz")
    np.testing.assert_array_equal(SVC.load(tmp_path / "a.npz").predict(X @ X.T), svc.predict(X @ X.T))


def test_certificates_are_kept_if_they_were_there(tmp_path):
    X, y = blobs(3)
    svc = SVC().fit(X, y)
    svc.save(tmp_path / "without.npz")
    with pytest.raises(AttributeError, match="pickled, copied or saved"):
        _ = SVC.load(tmp_path / "without.npz").certificates_
    table = svc.certificates_.table
    svc.save(tmp_path / "with.npz")
    np.testing.assert_array_equal(SVC.load(tmp_path / "with.npz").certificates_.table, table)


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_calibrated(tmp_path, strategy):
    X, y = blobs(3)
    model = CalibratedSVC(SVC(strategy=strategy, C=3.0), folds=3).fit(X, y)
    model.save(tmp_path / "a.npz")
    back = CalibratedSVC.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))
    assert (back.folds, back.svc.C) == (3, 3.0)
    with pytest.raises(ArchiveError, match=r"expected 'classifiers\.SVC'"):
        SVC.load(tmp_path / "a.npz")


def test_what_cannot_be_written_is_refused(tmp_path):
    X, y = blobs(2)
    with pytest.raises(ArchiveError, match=r"kernel=<function.*by its name"):
        SVC(kernel=lambda A, B: A @ B.T).fit(X, y).save(tmp_path / "a.npz")
    with pytest.raises(ArchiveError, match="random_state"):
        SVC(random_state=np.random.default_rng(0)).fit(X, y).save(tmp_path / "a.npz")
    for model in (SVC(), CalibratedSVC()):
        with pytest.raises(NotFittedError):
            model.save(tmp_path / "a.npz")
    assert not list(tmp_path.iterdir())


def change(header, arrays, key, value):
    """Set ``header[a][b]`` for the key "a.b", an array for "array:name", or drop either for the value None."""
    if key.startswith("array:"):
        name = key.removeprefix("array:")
        arrays[name] = value(arrays[name]) if name in arrays else value(None)
        if arrays[name] is None:
            del arrays[name]
        return
    *path, last = key.split(".")
    for part in path:
        header = header[part]
    if value is Ellipsis:
        del header[last]
    else:
        header[last] = value


def first(value):
    def changed(array):
        array = array.copy()
        array.flat[0] = value
        return array
    return changed


LIES = {
    "another parameter": ("parameters.depth", 3), "a missing parameter": ("parameters.C", ...),
    "a price below 0": ("parameters.C", -1.0), "a price of text": ("parameters.C", "1"),
    "an unknown kernel": ("parameters.kernel", "gauss"), "parameters as a list": ("parameters", []),
    "another strategy": ("parameters.strategy", "ovr"), "problems of another kind": ("problems", "ovr"),
    "gamma as text": ("gamma", "0.5"), "gamma below 0": ("gamma", -0.5), "an unknown entry": ("extra", 1),
    "a missing entry": ("gamma", ...), "features as text": ("n_features_in", "4"),
    "another width": ("n_features_in", 5),
    "no features": ("n_features_in", 0), "a name too many": ("feature_names", list("abcde")),
    "names of numbers": ("feature_names", [1, 2, 3, 4]), "labels out of order": ("labels.values", [0, 2, 1]),
    "a label twice": ("labels.values", [0, 0, 1]), "a label too many": ("labels.values", [0, 1, 2, 3]),
    "one label": ("labels.values", [0]), "labels that do not fit": ("labels.dtype", "uint8"),
    "labels of an unknown kind": ("labels.dtype", "complex64"),
    "labels of a huge kind": ("labels.dtype", "U1000000000"),
    "labels as text": ("labels.values", ["a", "b", "c"]), "weights as text": ("parameters.class_weight", [["a"]]),
    "a label that is a list": ("parameters.class_weight", [[[1], 2.0]]),
    "a weight of text": ("parameters.class_weight", [[1, "2"]]), "a list for a truth": ("parameters.break_ties", []),
    "a support vector before the first": ("array:support", first(-1)),
    "a support vector twice": ("array:support", lambda a: np.r_[a[1], a[1:]]),
    "supports as a matrix": ("array:support", lambda a: a[None]),
    "supports as floats": ("array:support", lambda a: a.astype(np.float64)),
    "a class with too many": ("array:n_support", first(1000)),
    "a class with less than none": ("array:n_support", first(-3)),
    "counts that add up by overflow": ("array:n_support", lambda a: np.array([2**63 - 1, 2**63 - 1, a.sum() + 2])),
    "a count for too many classes": ("array:n_support", lambda a: np.r_[a, 0]),
    "vectors of whole numbers": ("array:support_vectors", lambda a: a.astype(np.int32)),
    "a vector too few": ("array:support_vectors", lambda a: a[:-1]),
    "an infinite vector": ("array:support_vectors", first(np.inf)),
    "a coefficient that is no number": ("array:dual_coef", first(np.nan)),
    "a row of coefficients too many": ("array:dual_coef", lambda a: np.r_[a, a[:1]]),
    "no coefficients": ("array:dual_coef", lambda a: None), "an unknown array": ("array:more", lambda a: np.zeros(3)),
    "a bias too few": ("array:intercept", lambda a: a[:-1]), "iterations below 0": ("array:n_iter", first(-1)),
    "half a certificate": ("array:certificates.float", lambda a: np.zeros((3, 5))),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_does_not_fit_together_is_refused(tmp_path, lie):
    X, y = blobs(3)
    path = tmp_path / "a.npz"
    SVC().fit(X, np.array([0, 1, 300])[y]).save(path)
    header, arrays = load_archive(path, storage._FORMAT, storage._VERSION)
    change(header, arrays, *LIES[lie])
    save_archive(path, storage._FORMAT, storage._VERSION, header, arrays)
    with pytest.raises(ArchiveError, match=r"a\.npz"):
        SVC.load(path)


def test_support_of_a_precomputed_kernel_stays_inside_the_matrix(tmp_path):
    X, y = blobs(3)
    path = tmp_path / "a.npz"
    SVC(kernel="precomputed").fit(X @ X.T, y).save(path)
    header, arrays = load_archive(path, storage._FORMAT, storage._VERSION)
    arrays["support"][-1] = 90
    save_archive(path, storage._FORMAT, storage._VERSION, header, arrays)
    with pytest.raises(ArchiveError, match="training sample 90"):
        SVC.load(path)


@pytest.mark.parametrize("lie", [
    ("folds", 1), ("folds", "5"), ("svc", []), ("svc.gamma", -1.0), ("array:probA", lambda a: None),
    ("array:probB", lambda a: a[:-1]), ("array:probA", lambda a: a.astype(np.float32))], ids=lambda lie: lie[0])
def test_calibrated_file_that_does_not_fit_together_is_refused(tmp_path, lie):
    X, y = blobs(3)
    path = tmp_path / "a.npz"
    CalibratedSVC().fit(X, y).save(path)
    header, arrays = load_archive(path, calibration._FORMAT, calibration._VERSION)
    change(header, arrays, *lie)
    save_archive(path, calibration._FORMAT, calibration._VERSION, header, arrays)
    with pytest.raises(ArchiveError, match=r"a\.npz"):
        CalibratedSVC.load(path)
