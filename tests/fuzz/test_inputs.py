"""Images and labels from random containers: what plain float32 and int64 arrays give, or a ValueError.

The short run draws 200 inputs: 120 sets of images, 80 sets of labels.
"""
from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from minicnn import Network, deconvnet
from minicnn.backend import use_backend
from minicnn.evaluation import evaluate
from minicnn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from minicnn.training import fit

from .draws import generator, numbers

CLASSES = 3


def make_net(shape):
    return Network([[Conv2d(4, 3), ReLU(), MaxPool2d(2)], [Flatten(), Linear(CLASSES)]], shape, seed=1)


class Tensor:
    """What NumPy knows of another library's array."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


# ------------------------------------------------------------------------------- containers that change no number

def unaligned(array):
    if array.dtype == object:
        return array
    flat = np.frombuffer(b"\0" + array.tobytes(), np.uint8, offset=1)
    return flat.view(array.dtype).reshape(array.shape)


def locked(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def strided(rng, array):
    """Return a view of a larger array that shows this one, in some order of memory."""
    axes = rng.permutation(array.ndim)
    steps = rng.choice([-2, -1, 1, 2, 3], array.ndim)
    wide = np.full([int(n * abs(s)) for n, s in zip(array.shape, steps)], 77).astype(array.dtype)
    wide = np.ascontiguousarray(wide.transpose(axes)).transpose(np.argsort(axes))
    view = wide[tuple(slice(None, None, int(s)) for s in steps)]
    view[...] = array
    return view


def contained(rng, array):
    """Return the same numbers in a container of some kind."""
    kinds = [lambda: array, lambda: np.asfortranarray(array), lambda: unaligned(array), lambda: locked(array),
             lambda: strided(rng, array), lambda: np.ma.array(array), lambda: Tensor(array), lambda: list(array),
             lambda: tuple(array), lambda: [Tensor(row) for row in array] if array.ndim > 1 else list(array),
             lambda: array.astype(array.dtype.newbyteorder(rng.choice(["<", ">"])))]
    if array.dtype.kind not in "fO" or array.dtype == np.float64:    # as Python's numbers, others would become float64
        kinds.append(array.tolist)
    return kinds[rng.integers(len(kinds))]()


# ----------------------------------------------------------------------------------------------------- images

def draw_pixels(rng, shape):
    """Return pixels as an array of some dtype, and whether the rule of `minicnn.inputs` takes them."""
    kind = rng.choice(["unit", "bool", "standard", "grey", "integer", "other", "spoiled"],
                      p=[0.35, 0.05, 0.15, 0.15, 0.1, 0.05, 0.15])
    floats = rng.choice([np.float16, np.float32, np.float64, np.longdouble])
    unit = rng.random(shape)
    unit.reshape(-1)[rng.permutation(unit.size)[:2]] = 0, 1
    if kind == "bool":
        return unit > 0.5, True
    if kind == "standard":
        return ((unit - rng.uniform(0.1, 0.9)) * rng.choice([1, 4, 200])).astype(floats), True
    if kind == "grey":
        return np.round(unit * rng.choice([16, 100, 255, 4095])).astype(floats), False
    if kind == "integer":
        return np.round(unit * rng.choice([1, 127])).astype(rng.choice([np.uint8, np.int8, np.int32, np.uint64])), False
    if kind == "other":
        return unit.astype(rng.choice([np.complex64, object, "U8"])), False
    pixels = unit.astype(floats)
    if kind == "spoiled":
        pixels.reshape(-1)[rng.integers(pixels.size)] = rng.choice([np.nan, np.inf, -np.inf])
    return pixels, kind == "unit"


def draw_images(rng, net):
    """Return (N, C, H, W) images, what is given in their place, and whether that is to be taken."""
    N = int(rng.integers(1, 7))
    pixels, taken = draw_pixels(rng, (N, *net.input_shape))
    given = contained(rng, pixels)
    if taken and rng.random() < 0.1:
        layouts = [pixels[0], pixels[:, 0], pixels.transpose(0, 2, 3, 1), pixels.reshape(N, -1), pixels[:, :, :-1],
                   pixels[..., None], np.concatenate([pixels, pixels], axis=1)]
        given, taken = layouts[rng.integers(len(layouts))], False
    elif rng.random() < 0.05:
        mask = np.zeros(pixels.shape, bool)
        mask.reshape(-1)[rng.integers(mask.size)] = True
        given, taken = np.ma.array(pixels, mask=mask), False
    return pixels, given, taken


def answers(net, images, labels, which):
    """Return what one of the entry points makes of images and labels."""
    if which == "evaluate":
        return evaluate(net, (images, labels))
    if which in ("fit", "valid"):
        shape = (4, *net.input_shape)
        other = np.linspace(0, 1, int(np.prod(shape))).reshape(shape), np.arange(4) % CLASSES
        train, valid = ((images, labels), other) if which == "fit" else (other, (images, labels))
        history = fit(net, train, valid, 1, progress=False)
        return history["loss"], history["valid_loss"], *[p.value for p in net.parameters()]
    if which == "project":
        return (deconvnet.project(net, images, 1, 2),)
    if which == "strongest":
        return deconvnet.strongest(net, images, 1, 2)
    if which == "features":
        return net.features(images, 0), net.features(images, 1, batch_size=2)
    return (getattr(net, which)(images),)


ENTRIES = ("fit", "valid", "evaluate", "predict", "predict_proba", "features", "project", "strongest")


@pytest.mark.parametrize("number", numbers(120))
def test_images_from_any_container(number):
    rng = generator("images", number)
    shape = (int(rng.integers(1, 4)), int(rng.integers(5, 8)), int(rng.integers(5, 8)))
    pixels, given, taken = draw_images(rng, make_net(shape))
    labels = rng.integers(CLASSES, size=len(pixels))
    which = str(rng.choice(ENTRIES))
    if which == "project" and np.shape(given) == shape:
        which = "predict"       # to `project`, one image without an axis for images is one
    with use_backend(str(rng.choice(["numpy", "numba"]))):
        if not taken:
            with pytest.raises(ValueError):
                answers(make_net(shape), given, labels, which)
            return
        plain = np.ascontiguousarray(pixels, np.float32)
        for ours, expected in zip(answers(make_net(shape), given, labels, which),
                                  answers(make_net(shape), plain, labels, which)):
            np.testing.assert_array_equal(ours, expected)


# ----------------------------------------------------------------------------------------------------- labels

def draw_labels(rng, n):
    """Return labels in some container, and the class numbers that they are, or None where they are none."""
    classes = rng.integers(CLASSES, size=n)
    names = np.array(["cod", "eel", "ray"])[classes]
    kind = rng.choice(["right", "pandas", "spoiled", "text", "other"], p=[0.3, 0.25, 0.15, 0.15, 0.15])
    if kind == "right":
        width = rng.choice([np.int8, np.uint8, np.int16, np.int32, np.uint32, np.int64, np.uint64])
        return contained(rng, classes.astype(width)), classes
    if kind == "pandas":
        series = pd.Series(classes, index=rng.permutation(n))
        return [series, series.astype("Int64"), series.astype("UInt8"), series.astype("category"), pd.Index(classes),
                series.astype(object), series.astype("Int8").array, pd.DataFrame({"class": series})["class"],
                ][rng.integers(8)], classes
    if kind == "text":
        series = pd.Series(names)
        return [names, names.astype("S"), names.astype(object), names.astype(np.dtypes.StringDType()), names.tolist(),
                series, series.astype("string"), series.astype("category"), classes.astype(str)][rng.integers(9)], None
    where = rng.integers(n)
    if kind == "spoiled":
        wrong = [None, np.nan, 1.5, pd.NA, object(), "cod", -1, CLASSES, 2**63, 2**70, -2**63, [1]][rng.integers(12)]
        labels = classes.astype(object)
        labels[where] = wrong
        return [labels, labels.tolist(), pd.Series(labels)][rng.integers(3)], None
    missing = pd.Series(classes, dtype="Int64")
    missing[where] = pd.NA
    return [classes.astype(float), classes > 0, np.eye(CLASSES)[classes], np.eye(CLASSES, dtype=int)[classes],
            classes[:, None], pd.DataFrame({"class": classes}), classes[:-1], np.append(classes, 0), missing,
            classes.astype("m8[s]"), classes * 1j, np.ma.array(classes, mask=np.arange(n) == where), None, 0,
            set(range(n)), {"class": classes}][rng.integers(16)], None


@pytest.mark.parametrize("number", numbers(80))
def test_labels_from_any_container(number):
    rng = generator("labels", number)
    n = int(rng.integers(2, 9))
    images = rng.random((n, 1, 6, 6), dtype=np.float32)
    labels, classes = draw_labels(rng, n)
    which = str(rng.choice(["fit", "valid", "evaluate"]))
    with use_backend("numpy"):
        if classes is None:
            with pytest.raises(ValueError):
                answers(make_net((1, 6, 6)), images, labels, which)
            return
        for ours, expected in zip(answers(make_net((1, 6, 6)), images, labels, which),
                                  answers(make_net((1, 6, 6)), images, classes.astype(np.int64), which)):
            np.testing.assert_array_equal(ours, expected)
