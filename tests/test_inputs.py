"""Images and labels as users have them: the same results from every container, and one rule for pixels everywhere."""
from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import minicnn
from minicnn import deconvnet
from minicnn.data import Dataset
from minicnn.evaluation import checked_arrays, evaluate
from minicnn.inputs import image_shape, integer, number, working_type
from minicnn.training import fit

from .runs import CLASSES, TRAIN, VALID, make_net

pytestmark = pytest.mark.usefixtures("numpy_backend")



def pair(images):
    return images, TRAIN[1][:len(images)] if hasattr(images, "__len__") else TRAIN[1]


# Wherever a network is given images.
GIVEN = {
    "fit": lambda net, x: fit(net, pair(x), VALID, 1, progress=False),
    "validation": lambda net, x: fit(net, TRAIN, pair(x), 1, progress=False),
    "evaluate": lambda net, x: evaluate(net, pair(x)),
    "predict": lambda net, x: net.predict(x),
    "predict_proba": lambda net, x: net.predict_proba(x),
    "features": lambda net, x: net.features(x, 1),
    "pixels": lambda net, x: net.features(x, 0),
    "project": lambda net, x: deconvnet.project(net, x, 1, 0),
    "strongest": lambda net, x: deconvnet.strongest(net, x, 1, 0),
}
everywhere = pytest.mark.parametrize("give", GIVEN.values(), ids=GIVEN)


def spoiled(value):
    images = TRAIN[0][:9].copy()
    images[5, 0, 3, 4] = value
    return images


# ------------------------------------------------------------------------------------------------------ pixels

@everywhere
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_pixel_that_is_not_finite_is_named_everywhere(give, value):
    with pytest.raises(ValueError, match=rf"pixel \(3, 4\) of channel 0 of image 5 is {value} \(1 such"):
        give(make_net(), spoiled(value))


@everywhere
@pytest.mark.parametrize("images", [
    (TRAIN[0] * 255).astype(np.uint8), (TRAIN[0] * 255).astype(np.int64), (TRAIN[0] > 0.5).astype(np.uint8),
    (TRAIN[0] * 65535).astype(np.uint16)], ids=["bytes", "int64", "zeros and ones", "uint16"])
def test_integers_are_refused_everywhere(give, images):
    """By their type: an array of few images must not be taken for another scale than one of many."""
    with pytest.raises(ValueError, match=rf"dtype {images.dtype}: expected float32 in \[0, 1\]; divide 8-bit"):
        give(make_net(), images)


@everywhere
@pytest.mark.parametrize("factor", [255, 65535, 16, 100])
def test_grey_levels_as_floats_are_refused_everywhere(give, factor):
    with pytest.raises(ValueError, match=r"and no pixel is negative: expected values in \[0, 1\], or standardised"):
        give(make_net(), np.round(TRAIN[0] * factor))


@everywhere
def test_a_number_too_large_for_float32_is_refused_everywhere(give):
    images = spoiled(0).astype(np.float64) - 0.5
    images[5, 0, 3, 4] = 1e39
    with pytest.raises(ValueError, match=r"of image 5 is 1e\+39 .*expected finite numbers"):
        give(make_net(), images)


@everywhere
@pytest.mark.parametrize("images", [(TRAIN[0] - 0.2) / 0.01, TRAIN[0] * 2 - 1, TRAIN[0] * 3],
                         ids=["standardised", "-1 to 1", "a bright image, standardised"])
def test_standardised_pixels_are_taken_everywhere(give, images):
    give(make_net(), images)


def test_the_bare_pass_refuses_bytes_too():
    net = make_net()
    with pytest.raises(ValueError, match=r"dtype uint8.*divide 8-bit"):
        net.forward((TRAIN[0] * 255).astype(np.uint8))


@everywhere
def test_masked_pixels_are_refused_everywhere(give):
    """As an array, a masked array shows the very numbers that its mask hides."""
    images = np.ma.masked_greater(TRAIN[0][:9], 0.9)
    for hidden in (images, list(images)):
        with pytest.raises(ValueError, match=r"has a masked value at \(0, 0, \d, \d\)"):
            give(make_net(), hidden)


X = TRAIN[0][:6]


class Tensor:
    """What NumPy knows of another library's array."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array

    def __len__(self):
        return len(self.array)


SAME = {
    "float64": X.astype(np.float64), "big-endian": X.astype(">f4"), "big-endian, double": X.astype(">f8"),
    "long double": X.astype(np.longdouble), "Fortran order": np.asfortranarray(X), "lists": X.tolist(),
    "backwards in memory": X[::-1].copy()[::-1], "every other row": np.repeat(X, 2, axis=2)[:, :, ::2],
    "tuple of arrays": tuple(X), "nothing masked": np.ma.array(X),
    "another library's": Tensor(X), "a list of another library's": [Tensor(x) for x in X],
    "unaligned": np.frombuffer(b"\0" + X.tobytes(), X.dtype, offset=1).reshape(X.shape),
}


def read_only(images):
    images = images.copy()
    images.flags.writeable = False
    return images


SAME["read-only"] = read_only(X)


@pytest.mark.parametrize("images", SAME.values(), ids=SAME)
def test_images_in_any_container_give_the_same(images):
    net = make_net()
    expected, labels = net.predict_proba(X), TRAIN[1][:6]
    np.testing.assert_allclose(net.predict_proba(images), expected, rtol=1e-5)
    np.testing.assert_array_equal(net.features(images, 0), net.features(X, 0))
    assert evaluate(net, (images, labels)) == pytest.approx(evaluate(net, (X, labels)))
    np.testing.assert_array_equal(deconvnet.project(net, images, 1, 0), deconvnet.project(net, X, 1, 0))
    trained = [fit(each := make_net(), (given, labels), VALID, 1, progress=False) and each.predict_proba(X)
               for given in (images, X)]
    np.testing.assert_array_equal(*trained)


def test_booleans_are_black_and_white():
    mask = X > 0.5
    np.testing.assert_array_equal(make_net().predict_proba(mask), make_net().predict_proba(mask.astype(np.float32)))


def test_half_precision_is_taken_as_the_numbers_it_holds():
    half = X.astype(np.float16)
    np.testing.assert_array_equal(make_net().predict_proba(half), make_net().predict_proba(half.astype(np.float32)))


def test_tensors_are_arrays_unless_they_record_gradients(torch):
    net, tensor = make_net(), torch.tensor(X)
    np.testing.assert_array_equal(net.predict_proba(tensor), net.predict_proba(X))
    labels = torch.tensor(TRAIN[1][:6])
    assert evaluate(net, (tensor, labels)) == evaluate(net, (X, TRAIN[1][:6]))
    with pytest.raises(ValueError, match=r"images is a Tensor that is no array .*requires grad"):
        net.predict(tensor.requires_grad_())


@everywhere
@pytest.mark.parametrize("images", [None, "photo.png", [[1], [2, 3]], object(), X * 1j, X.astype(str),
                                    np.full(X.shape, None), pd.DataFrame(X.reshape(6, -1)), {"images": X}, (), [X, X]])
def test_what_is_no_stack_of_images_is_refused_everywhere(give, images):
    with pytest.raises(ValueError, match=r"images|train|valid|data|x "):
        give(make_net(), images)


@pytest.mark.parametrize(("shape", "hint"), [
    ((9, 8, 8), r"images\[:, None\]"), ((8, 8), r"images\[None, None\]"), ((1, 8, 8), r"images\[None\]"),
    ((9, 8, 8, 1), r"images.transpose\(0, 3, 1, 2\)"), ((9, 64), r"images.reshape\(-1, 1, 8, 8\)"),
])
def test_images_of_another_layout_are_refused_with_the_way_to_mend_them(shape, hint):
    images = np.zeros(shape, np.float32)
    for give in (GIVEN["predict"], GIVEN["features"], GIVEN["evaluate"], GIVEN["strongest"]):
        with pytest.raises(ValueError, match=hint):
            give(make_net(), images)


def test_pictures_of_pillow_are_refused_as_the_bytes_that_they_hold():
    pictures = [Image.fromarray((x[0] * 255).astype(np.uint8)) for x in X]
    for given in (pictures, pictures[0]):
        with pytest.raises(ValueError, match=r"images have shape .*expects \(N, 1, 8, 8\)"):
            make_net().predict(given)


def test_a_data_set_in_place_of_its_images_is_named():
    with pytest.raises(ValueError, match=r"images is a Dataset: .*pass its \.images"):
        make_net().predict(Dataset(*TRAIN, tuple("abc")))


def test_the_rule_costs_nothing_where_there_are_no_images():
    assert make_net().predict(np.zeros((0, 1, 8, 8))).shape == (0,)


# ------------------------------------------------------------------------------------------------------ labels

Y = TRAIN[1]
HELD = {
    "list": Y.tolist(), "tuple": tuple(Y), "int8": Y.astype(np.int8), "uint64": Y.astype(np.uint64),
    "big-endian": Y.astype(">i4"), "objects": Y.astype(object), "Series": pd.Series(Y),
    "Series, shuffled index": pd.Series(Y, index=np.arange(len(Y))[::-1]), "Int64": pd.Series(Y, dtype="Int64"),
    "UInt8": pd.array(Y, dtype="UInt8"), "category": pd.Series(Y).astype("category"), "Index": pd.Index(Y),
    "strided": np.repeat(Y, 2)[::2], "nothing masked": np.ma.array(Y), "numpy scalars": list(Y.astype(np.int16)),
}


@pytest.mark.parametrize("labels", HELD.values(), ids=HELD)
def test_labels_in_any_container_train_the_same(labels):
    expected = fit(make_net(), TRAIN, VALID, 1, progress=False)
    history = fit(make_net(), (TRAIN[0], labels), (TRAIN[0], labels), 1, progress=False)
    assert history["loss"] == expected["loss"]
    assert evaluate(make_net(), (TRAIN[0], labels)) == evaluate(make_net(), TRAIN)


NAMES = np.array(["cod", "eel", "ray"])[Y]


@pytest.mark.parametrize(("labels", "message"), [
    (Y.astype(float), r"dtype float64: expected 70 integers.*numpy\.asarray\(labels, int\)"),
    (np.where(Y == 2, np.nan, Y), "dtype float64: .*the label of image 2 is missing"),
    (pd.Series(Y, dtype="Int64").replace(2, pd.NA), "image 2 is (missing|a NAType)"),
    ([*Y.tolist()[:69], None], "label None of image 69 is a NoneType"),
    ([True] * 70, r"dtype bool: expected 70 integers.*numpy\.asarray\(labels, int\)"),
    (np.array([True] * 70, object), "label True of image 0 is a bool"),
    (np.array([1.0] * 70, object), r"label 1\.0 of image 0 is a float"),
    (NAMES, r"number the names, as with numpy\.unique"), (NAMES.astype("S"), "number the names"),
    (NAMES.astype(object), "number the names"), (NAMES.astype(np.dtypes.StringDType()), "number the names"),
    (pd.Series(NAMES), "number the names"), (pd.Series(NAMES, dtype="string"), "number the names"),
    (pd.Series(NAMES).astype("category"), "number the names"), (NAMES.tolist(), "number the names"),
    (np.eye(3)[Y], r"of one-hot rows: numpy\.argmax\(labels, axis=1\)"),
    (Y[:, None], r"numpy\.ravel\(labels\)"), (pd.DataFrame({"class": Y}), r"numpy\.ravel\(labels\)"),
    (Y[:-1], r"labels of shape \(69,\) .*expected 70 integers"), ([], r"labels of shape \(0,\)"),
    (5, r"labels of shape \(\)"), (None, r"labels of shape \(\)"), ([[0], [1, 2]], "labels is a list that is no array"),
    (np.ma.masked_equal(Y, 2), r"labels has a masked value at \(2,\)"),
    ([*Y.tolist()[:69], 2**70], f"label {2**70} of image 69 is no class number"),
    ([*Y.tolist()[:69], -1], "label -1 of image 69 is outside 0 to 2"),
    (np.full(70, 2**64 - 1, np.uint64), f"label {2**64 - 1} of image 0 is outside"),
    (pd.Series(pd.to_datetime(["2015-06-01"] * 70)), "dtype datetime64"),
])
def test_labels_that_are_no_class_numbers_are_named(labels, message):
    for give in (lambda pair: fit(make_net(), pair, VALID, 1, progress=False), lambda pair: evaluate(make_net(), pair)):
        with pytest.raises(ValueError, match=message):
            give((TRAIN[0], labels))


# -------------------------------------------------------------------------------------------------- class names

LETTERS = ("cross", "dot", "line")


def shuffled(dataset, order):
    """The same images and classes, with the classes in another order."""
    rank = np.argsort(order)
    return Dataset(dataset.images, rank[dataset.labels], tuple(dataset.class_names[k] for k in order))


@pytest.fixture
def named():
    train, valid = Dataset(*TRAIN, LETTERS), Dataset(*VALID, LETTERS)
    net = make_net(drop=0.0)
    fit(net, train, valid, 3, progress=False)
    return net, valid


def test_fit_takes_the_class_names_and_a_file_keeps_them(named, tmp_path):
    net, _ = named
    assert net.class_names == LETTERS
    minicnn.save(net, tmp_path / "net.npz")
    assert minicnn.load(tmp_path / "net.npz").class_names == LETTERS
    assert make_net().class_names is None


def test_pairs_of_arrays_leave_the_class_names_alone(named):
    net, _ = named
    fit(net, TRAIN, VALID, 1, progress=False)
    assert net.class_names == LETTERS


def test_evaluate_numbers_classes_by_name(named):
    net, valid = named
    expected = evaluate(net, valid)
    assert evaluate(net, shuffled(valid, [2, 0, 1])) == expected
    rows = np.flatnonzero(valid.labels != 0)        # a folder in which a class is missing: all numbers move
    fewer = Dataset(valid.images[rows], valid.labels[rows] - 1, LETTERS[1:])
    assert evaluate(net, fewer) == evaluate(net, (valid.images[rows], valid.labels[rows]))


def test_fit_numbers_validation_and_further_training_by_name(named):
    net, valid = named
    straight = fit(make_net(), Dataset(*TRAIN, LETTERS), valid, 2, progress=False)
    mixed = fit(make_net(), Dataset(*TRAIN, LETTERS), shuffled(valid, [1, 2, 0]), 2, progress=False)
    assert mixed["valid_loss"] == straight["valid_loss"]
    weights = [p.value.copy() for p in net.parameters()]
    histories = []
    for train in (Dataset(*TRAIN, LETTERS), shuffled(Dataset(*TRAIN, LETTERS), [2, 1, 0])):
        for p, w in zip(net.parameters(), weights):
            p.value[...] = w
        histories.append(fit(net, train, valid, 1, progress=False))
    assert histories[0]["loss"] == histories[1]["loss"] and net.class_names == LETTERS


def test_a_class_that_the_network_does_not_know_is_named(named):
    net, valid = named
    other = Dataset(valid.images, valid.labels, ("cross", "dot", "ring"))
    for give in (lambda: evaluate(net, other), lambda: fit(net, other, valid, 1, progress=False),
                 lambda: fit(make_net(), valid, other, 1, progress=False)):
        with pytest.raises(ValueError, match=r"has class 'ring' \(1 such of 3\), which is none of the 3 classes"):
            give()
    net.class_names = None
    evaluate(net, other)


def test_fewer_classes_than_outputs_name_nothing_but_are_compared():
    rows = TRAIN[1] < 2
    train = Dataset(TRAIN[0][rows], TRAIN[1][rows], LETTERS[:2])
    valid = Dataset(TRAIN[0][rows], 1 - TRAIN[1][rows], LETTERS[1::-1])
    net = make_net()
    assert fit(net, train, valid, 1, progress=False)["valid_loss"] == \
        fit(make_net(), train, train, 1, progress=False)["valid_loss"]
    assert net.class_names is None


@pytest.mark.parametrize("names", ["abc", ("a", "b"), ("a", "b", "b"), ("a", "b", 3), 3, {"a", "b", "c"},
                                   {"a": 0, "b": 1, "c": 2}, (None, "a", "b")])
def test_class_names_are_as_many_different_strings_in_an_order(names):
    net = make_net()
    with pytest.raises(ValueError, match=f"class_names of 'small': expected {CLASSES} different strings"):
        net.class_names = names
    assert net.class_names is None


def test_class_names_of_any_sequence_become_a_tuple_of_strings():
    net = make_net()
    net.class_names = np.array(LETTERS)
    assert net.class_names == LETTERS and all(type(name) is str for name in net.class_names)


# ---------------------------------------------------------------------------------------- what is no data at all

class Bunch(dict):
    """As scikit-learn's ``load_digits`` returns: it has images, and its labels are called target."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error


@pytest.mark.parametrize("data", [None, 3, "plankton", X, {"images": X}, (X,), (X, Y, Y), iter([X]), Bunch(images=X)])
def test_what_is_neither_a_data_set_nor_a_pair_is_named(data):
    for give in (lambda: fit(make_net(), data, VALID), lambda: fit(make_net(), TRAIN, data),
                 lambda: evaluate(make_net(), data)):
        with pytest.raises(ValueError, match=f"is a {type(data).__name__}: expected a Dataset or an"):
            give()


def test_what_is_no_network_is_named():
    with pytest.raises(ValueError, match=r"net is a str: expected a minicnn\.Network"):
        checked_arrays("cnn1", TRAIN, "train")


# ---------------------------------------------------------------------------------------------------- settings

@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3)])
def test_integers_of_every_width(value):
    assert integer(value, "epochs", 1) == 3 and type(integer(value, "epochs", 1)) is int


@pytest.mark.parametrize("value", [0, True, np.bool_(True), 2.0, np.float64(2), "2", None, np.array(2), [2], 1j])
def test_what_is_no_positive_integer(value):
    with pytest.raises(ValueError, match=r"epochs=.*: expected a positive integer"):
        integer(value, "epochs", 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, True, "1", None, 1j, [1], 10**400, -1])
def test_what_is_no_number(value):
    with pytest.raises(ValueError, match=r"lr=.*: expected one not less than 0"):
        number(value, "lr", lambda lr: lr >= 0, "one not less than 0")


@pytest.mark.parametrize("shape", [28, None, (1, 28), (1, 28, 0), (1, 28, 28.5), (1, 28, np.nan), (1, 28, np.inf),
                                   (1, 28, True), (1, 28, "28"), "abc", (1, 28, None), (1, 28, 1j)])
def test_what_is_no_shape_of_an_image(shape):
    with pytest.raises(ValueError, match=r"input_shape=.*: expected \(channels, height, width\), all positive"):
        image_shape(shape)


@pytest.mark.parametrize("dtype", [None, "float16", int, "no such type", 3])
def test_what_is_no_working_type(dtype):
    with pytest.raises(ValueError, match=r"dtype=.*: expected float32 or float64"):
        working_type(dtype)
