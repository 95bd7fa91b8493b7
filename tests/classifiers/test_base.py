"""The estimator contract, judged by scikit-learn's own checks on a classifier of ten lines."""
from __future__ import annotations

import inspect
import linecache
import pickle
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pytest
from scipy import sparse

from classifiers import base
from classifiers.base import (
    Classifier,
    ConvergenceWarning,
    DataConversionWarning,
    NotFittedError,
    check_interval,
    check_sample_weight,
    class_weights,
    effective_jobs,
    sklearn_twin,
)


class NearestCentroid(Classifier):
    """The class whose mean is nearest: enough of a classifier to try every part of the contract."""

    def __init__(self, *, shrink=0.0, class_weight=None, inner=None):
        self.shrink = shrink
        self.class_weight = class_weight
        self.inner = inner

    def fit(self, X, y, sample_weight=None):
        with self.fitting():
            check_interval("NearestCentroid: shrink", self.shrink, 0, 1)
            X = self.check_samples(X, reset=True, dtype=np.float64)
            codes = self.check_targets(y, len(X))
            weight = check_sample_weight(sample_weight, len(X))
            self.prior_ = class_weights(self.class_weight, self.classes_, codes, weight)
            weight = np.ones(len(X)) if weight is None else weight
            total = np.bincount(codes, weights=weight)
            if (total == 0).any():
                raise ValueError("a class has no weight")
            members = (codes == np.arange(len(total))[:, None]) * weight
            centroids = members @ X / total[:, None]
            self.variance_ = np.average(((X - centroids[codes]) ** 2).sum(axis=1), weights=weight)
            self.centroids_ = centroids + self.shrink * (np.average(X, axis=0, weights=weight) - centroids)
        return self

    def decision_function(self, X):
        self.check_fitted()
        X = self.check_samples(X, reset=False, dtype=np.float64)
        # As a plain sum, so that a sample's bits do not depend on how many others are asked with it.
        score = self.variance_ * np.log(self.prior_) - ((X[:, None, :] - self.centroids_) ** 2).sum(axis=2)
        return score[:, 1] - score[:, 0] if len(self.classes_) == 2 else score

    def predict(self, X):
        score = self.decision_function(X)
        return self.classes_[(score > 0).astype(int) if score.ndim == 1 else score.argmax(axis=1)]


class Gappy(NearestCentroid):
    """Takes NaN, so that the tag and the check of samples can be tried."""

    accepts_nan = True


X = np.array([[0.0, 0.0], [0.0, 1.0], [4.0, 4.0], [5.0, 4.0]])
y = np.array(["eel", "eel", "cod", "cod"])

try:
    from sklearn.utils.estimator_checks import parametrize_with_checks
except ImportError:
    def parametrize_with_checks(estimators):
        return pytest.mark.skip(reason="scikit-learn is not installed (pip install 'scikit-learn>=1.9')")

    conforms = parametrize_with_checks([])
else:
    with warnings.catch_warnings():     # it says that the class is not derived from BaseEstimator, which is our point
        warnings.simplefilter("ignore")
        conforms = parametrize_with_checks([NearestCentroid()])


@pytest.mark.filterwarnings("ignore:Estimator NearestCentroid does not inherit:UserWarning")
@conforms
def test_contract_of_scikit_learn(estimator, check):
    check(estimator)


def test_import_does_not_load_scikit_learn():
    """A user without scikit-learn must be able to import, fit and fail."""
    code = ("import sys, classifiers.base as b, classifiers.archive\n"
            "try: b.Classifier().check_fitted()\n"
            "except b.NotFittedError as error: print(type(error) is b.NotFittedError)\n"
            "print([name for name in ('sklearn', 'torch', 'pandas') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["True", "[]"]


# Beside scikit-learn ---------------------------------------------------------------------------------------------

def test_clone_search_pipeline_and_scores():
    sklearn_base = pytest.importorskip("sklearn.base")
    from sklearn.metrics import accuracy_score
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=90)
    samples = rng.normal(size=(90, 4)) + 3 * labels[:, None]
    fitted = NearestCentroid(shrink=0.25).fit(samples, labels)
    copy = sklearn_base.clone(fitted)
    assert copy.get_params() == fitted.get_params() and not hasattr(copy, "centroids_")
    assert sklearn_base.is_classifier(fitted)

    pipeline = make_pipeline(StandardScaler(), NearestCentroid())
    search = GridSearchCV(pipeline, {"nearestcentroid__shrink": [1.0, 0.0]}, cv=3).fit(samples, labels)
    assert search.best_params_ == {"nearestcentroid__shrink": 0.0}     # shrunk to one point, all classes look alike
    assert search.best_score_ > 0.9
    assert cross_val_score(pipeline, samples, labels, cv=3).min() > 0.9
    assert "NearestCentroid" in pipeline._repr_html_()

    weight = rng.random(90)
    assert fitted.score(samples, labels, weight) == pytest.approx(
        accuracy_score(labels, fitted.predict(samples), sample_weight=weight), abs=1e-12)


def test_errors_are_scikit_learns_too():
    """Its users' except clauses and warning filters catch ours, even when a worker process sent the error."""
    exceptions = pytest.importorskip("sklearn.exceptions")
    with pytest.raises(exceptions.NotFittedError, match=r"NearestCentroid instance is not fitted yet\. Call") as info:
        NearestCentroid().predict(X)
    assert isinstance(info.value, NotFittedError)
    again = pickle.loads(pickle.dumps(info.value))
    assert type(again) is type(info.value) and str(again) == str(info.value)
    for ours in (ConvergenceWarning, DataConversionWarning):
        twin = sklearn_twin(ours)
        assert issubclass(twin, ours) and issubclass(twin, getattr(exceptions, ours.__name__))
        assert sklearn_twin(ours) is twin       # one category, or "warn once" would warn each time


def test_twin_without_scikit_learn(monkeypatch):
    monkeypatch.delitem(sys.modules, "sklearn.exceptions", raising=False)
    assert sklearn_twin(NotFittedError) is NotFittedError


def test_tags():
    pytest.importorskip("sklearn")
    assert not NearestCentroid().__sklearn_tags__().input_tags.allow_nan
    tags = Gappy().__sklearn_tags__()
    assert tags.input_tags.allow_nan and tags.target_tags.required and not tags.input_tags.sparse


# Parameters ------------------------------------------------------------------------------------------------------

def test_repr_shows_what_was_changed():
    assert repr(NearestCentroid()) == "NearestCentroid()"
    assert repr(NearestCentroid(shrink=0.5, class_weight={"cod": 2})) == \
        "NearestCentroid(shrink=0.5, class_weight={'cod': 2})"
    assert repr(NearestCentroid(shrink=np.zeros(2))) == "NearestCentroid(shrink=array([0., 0.]))"


def test_parameters_of_a_nested_estimator():
    outer = NearestCentroid(inner=NearestCentroid(shrink=0.1))
    assert outer.get_params()["inner__shrink"] == 0.1
    assert "inner__shrink" not in outer.get_params(deep=False)
    assert outer.set_params(inner__shrink=0.2, shrink=0.3) is outer
    assert (outer.shrink, outer.inner.shrink) == (0.3, 0.2)
    fresh = NearestCentroid()
    outer.set_params(inner__shrink=0.4, inner=fresh)       # the new one gets the value, whatever the order
    assert fresh.shrink == 0.4


def test_unknown_parameter_sets_nothing():
    model = NearestCentroid()
    with pytest.raises(ValueError, match=r"Invalid parameter 'shrnk' for estimator NearestCentroid: expected one of "
                                         r"shrink, class_weight, inner"):
        model.set_params(shrink=0.5, shrnk=1)
    assert model.shrink == 0.0


# A fit is whole or not at all ------------------------------------------------------------------------------------

@pytest.mark.parametrize("end", [KeyboardInterrupt, ValueError])
def test_interrupted_fit_leaves_the_estimator_unfitted(end):
    model = NearestCentroid(shrink=0.5).fit(X, y)
    with pytest.raises(end), model.fitting():
        model.check_targets(y, 4)
        model._cache = 1
        raise end
    assert vars(model) == {"shrink": 0.5, "class_weight": None, "inner": None}
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_pickled_model_predicts_the_same():
    model = NearestCentroid().fit(X, y)
    assert pickle.loads(pickle.dumps(model)).predict(X).tolist() == y.tolist()


# Samples ---------------------------------------------------------------------------------------------------------

def check(samples, **options):
    return NearestCentroid().check_samples(samples, reset=True, **options)


@pytest.mark.parametrize("samples, error, message", [
    (sparse.csr_array(X), TypeError, r"Sparse data was passed for X, but NearestCentroid needs dense data"),
    (X + 1j, ValueError, "Complex data not supported"),
    (X.astype(str), ValueError, "X has dtype <U"),
    (np.array([["2020-01-01"]], "M8[D]"), ValueError, "X has dtype datetime64"),
    (np.array([[1, {}]], object), TypeError, r"argument must be a string or a real number, not 'dict'"),
    (np.array([[1, "a"]], object), ValueError, "could not convert string to float: 'a'"),
    (np.array([[10 ** 400]], object), ValueError, "not numbers"),
    ([[1, 2], [3]], ValueError, "expected rows of one length"),
    (3.0, ValueError, "Expected 2D array, got 0D array"),
    (X[0], ValueError, r"not \(2,\). Reshape your data"),
    (X[None], ValueError, "Expected 2D array, got 3D array"),
    (X[:0], ValueError, r"0 sample\(s\) \(shape=\(0, 2\)\) while a minimum of 1 is required"),
    (X[:, :0], ValueError, r"0 feature\(s\) \(shape=\(4, 0\)\) while a minimum of 1 is required"),
    ([[1, 2], [3, None]], ValueError, "Input X contains NaN, first at row 1, column 1"),
    ([[1, 2], [-np.inf, 3]], ValueError, "Input X contains infinity .* first at row 1, column 0"),
    ([[1, 2], [3, 1e39]], ValueError, r"too large for dtype\('float32'\), first at row 1, column 1"),
])
def test_samples_refused(samples, error, message):
    with pytest.raises(error, match=message):
        check(samples)


def test_samples_may_be_missing_but_not_infinite():
    samples = np.array([[np.nan, 1], [2, 3]], np.float32)
    assert check(samples, allow_nan=True) is samples
    check([[np.nan]], allow_nan=True)
    with pytest.raises(ValueError, match=r"infinity .* row 1, column 0"):
        check([[np.nan, 1], [np.inf, 3]], allow_nan=True)
    with pytest.raises(ValueError, match=r"infinity .* row 1, column 0"):
        check([[np.nan, 1], [-np.inf, 3]], allow_nan=True)


def test_marks_of_pandas_are_missing_values():
    pandas = pytest.importorskip("pandas")
    for mark in (pandas.NA, None, np.nan):
        marked = np.array([[1, mark], [2, 3]], object)
        np.testing.assert_array_equal(check(marked, allow_nan=True), np.array([[1, np.nan], [2, 3]], np.float32))
        with pytest.raises(ValueError, match="Input X contains NaN, first at row 0, column 1"):
            check(marked)
    for labels in (["a", "b", pandas.NA, "a"], [True, False, pandas.NA, True], [1, 2, pandas.NA, 1]):
        for form in (pandas.array(labels), pandas.Series(labels).astype("category"), np.array(labels, object)):
            with pytest.raises(ValueError, match="Input y contains NaN, first at row 2"):
                NearestCentroid().check_targets(form, 4)
    for labels in ([1, 2, 2, 1], ["a", "b", "b", "a"], [False, True, True, False]):
        assert NearestCentroid().check_targets(pandas.array(labels), 4).tolist() == [0, 1, 1, 0]


def test_strings_of_either_kind_of_numpy_are_labels():
    words = ["eel", "cod", "a name of more letters", "eel"]
    for dtype in (np.dtypes.StringDType(), np.dtypes.StringDType(na_object=np.nan)):
        model = NearestCentroid()
        assert model.check_targets(np.array(words, dtype), 4).tolist() == [2, 1, 0, 2]
        assert model.classes_.dtype.kind == "U" and model.classes_.tolist() == sorted(set(words))
    with pytest.raises(ValueError, match="Input y contains NaN, first at row 1"):
        NearestCentroid().check_targets(np.array(["eel", np.nan], np.dtypes.StringDType(na_object=np.nan)), 2)
    with pytest.raises(ValueError, match=r"decode bytes with numpy.char.decode"):
        NearestCentroid().check_targets(np.array([b"eel", b"cod"]), 2)


def test_samples_become_contiguous_floats():
    for samples in (np.asfortranarray(X), X.tolist(), X.astype(object), X.astype(np.int16), X[::-1][::-1]):
        array = check(samples)
        assert array.dtype == np.float32 and array.flags.c_contiguous and (array == X).all()
    assert check(X, dtype=np.float64) is X
    assert check([[1e39]], dtype=np.float64)[0, 0] == 1e39     # float64 holds it


def test_width_must_be_that_of_the_fit():
    model = NearestCentroid().fit(X, y)
    with pytest.raises(ValueError, match="X has 3 features, but NearestCentroid is expecting 2 features as input"):
        model.predict(np.zeros((1, 3)))
    assert model.n_features_in_ == 2


class Frame:
    """What pandas and polars frames have in common."""

    def __init__(self, columns, values=X):
        self.columns, self.values, self.shape = columns, values, values.shape

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


def test_column_names():
    model = NearestCentroid().fit(Frame(["length", "width"]), y)
    assert model.feature_names_in_.tolist() == ["length", "width"] and model.feature_names_in_.dtype == object
    model.predict(Frame(["length", "width"]))
    for columns, message in ((["width", "length"], "must be in the same order as they were in fit"),
                             (["length", "mass"], "unseen at fit time:\n- mass\n(.|\n)*now missing:\n- width")):
        with pytest.raises(ValueError, match=message):
            model.predict(Frame(columns))
    with pytest.warns(UserWarning, match="X does not have valid feature names, but NearestCentroid was") as seen:
        model.decision_function(X)
    assert "model.decision_function(X)" in linecache.getline(seen[0].filename, seen[0].lineno)
    model.fit(X, y)
    assert not hasattr(model, "feature_names_in_")
    with pytest.warns(UserWarning, match="X has feature names, but NearestCentroid was fitted without"):
        model.predict(Frame(["length", "width"]))
    assert not hasattr(model.fit(Frame([0, 1]), y), "feature_names_in_")       # pandas numbers nameless columns
    with pytest.raises(TypeError, match="Feature names are only supported if all input features have string names"):
        model.fit(Frame(["length", 1]), y)


# Labels ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("labels", [
    ["eel", "cod", "eel", "ray"], [3, -1, 3, 7], [3.0, -1.0, 3.0, 7.0],
    np.array(["eel", "cod", "eel", "ray"], object), [[3], [-1], [3], [7]],
])
@pytest.mark.filterwarnings("ignore::classifiers.base.DataConversionWarning")
def test_targets_are_coded_in_sorted_order(labels):
    model = NearestCentroid()
    codes = model.check_targets(labels, 4)
    assert codes.tolist() == [1, 0, 1, 2] and codes.dtype == np.int64
    assert model.classes_[codes].tolist() == np.ravel(labels).tolist()
    assert model.classes_.dtype == np.asarray(labels).dtype


@pytest.mark.parametrize("labels, message", [
    (None, "NearestCentroid requires y to be passed, but the target y is None"),
    ([0, 1, 0], r"inconsistent numbers of samples: X has 4 rows and y has 3 labels"),
    ([[0, 1]] * 4, r"y should be a 1d array, got an array of shape \(4, 2\) instead"),
    (sparse.csr_array(np.eye(4)), "Sparse data was passed for y"),
    ([0, 1, np.nan, 0], "Input y contains NaN, first at row 2"),
    ([0, 1, np.inf, 0], "Input y contains infinity, first at row 2"),
    (np.array(["a", "b", None, "a"], object), "Input y contains NaN, first at row 2"),
    (np.array(["a", "b", np.nan, "a"], object), "Input y contains NaN, first at row 2"),
    ([0, 1, 0.5, 0], "Unknown label type: continuous. y holds 0.5 at row 2"),
    (np.array([0, 1, 0, 1], object), "Unknown label type: unknown. .* int 0 at row 0"),
    ([b"a", b"b", b"a", b"b"], r"Unknown label type: \|S1"),
    ([0, 1j, 0, 1], "Unknown label type: complex128"),
    ([1, 1, 1, 1], "number of classes has to be greater than one; got 1 class"),
])
def test_targets_refused(labels, message):
    model = NearestCentroid()
    with pytest.raises(ValueError, match=message):
        model.check_targets(labels, 4)
    assert not hasattr(model, "classes_")


def test_column_of_targets_warns_where_fit_was_called():
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed when a 1d array was expected") as seen:
        model = NearestCentroid().fit(X, y[:, None])
    assert model.predict(X).tolist() == y.tolist()
    assert "NearestCentroid().fit(X, y[:, None])" in linecache.getline(seen[0].filename, seen[0].lineno)


def test_score_by_hand():
    model = NearestCentroid().fit(X, y)
    wrong = ["cod", "eel", "cod", "cod"]
    assert model.score(X, wrong) == 0.75
    assert model.score(X, wrong, sample_weight=[3, 1, 1, 1]) == 0.5
    with pytest.raises(ValueError, match="X has 4 rows and y has 3 labels"):
        model.score(X, wrong[:3])


def test_jobs():
    assert effective_jobs(3) == 3 and effective_jobs(None) == 1 and effective_jobs(-1) == joblib.cpu_count()
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert effective_jobs(None) == 2
    for bad in (0, 1.5, "2", True):
        with pytest.raises(ValueError, match="n_jobs="):
            effective_jobs(bad)


def test_everything_public_is_documented():
    for name in base.__all__:
        assert inspect.getdoc(getattr(base, name)), name
