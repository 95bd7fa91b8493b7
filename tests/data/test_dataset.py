"""`Dataset`: what it accepts, and what its errors name."""
from __future__ import annotations

import numpy as np
import pytest

from minicnn.data import Dataset


def make(n=6, k=3):
    images = np.linspace(0, 1, n * 4, dtype=np.float32).reshape(n, 1, 2, 2)
    return images, np.arange(n) % k, tuple("abcdefgh"[:k])


def test_length_counts_and_types():
    images, labels, names = make()
    dataset = Dataset(images.astype(np.float64), labels.astype(np.int8), list(names))
    assert (len(dataset), dataset.images.dtype, dataset.labels.dtype) == (6, np.float32, np.int64)
    assert dataset.class_names == names
    assert dataset.class_counts.tolist() == [2, 2, 2]


@pytest.mark.parametrize("label", [-1, 3])
def test_label_out_of_range_names_row_and_value(label):
    images, labels, names = make()
    labels[4] = label
    with pytest.raises(ValueError, match=rf"labels\[4\] = {label}: expected 0 to 2"):
        Dataset(images, labels, names)


@pytest.mark.parametrize(
    "value, said", [(np.nan, "not a number"), (np.inf, "outside"), (-0.1, "outside"), (1.5, "outside")]
)
def test_bad_pixel_names_the_first_one(value, said):
    images, labels, names = make()
    images[3, 0, 1, 0] = images[5, 0, 0, 0] = value
    with pytest.raises(ValueError, match=f"image 3 at channel 0, row 1, column 0 is .*{said}"):
        Dataset(images, labels, names)


@pytest.mark.parametrize("change, said", [
    (lambda i, l, n: (i[:, 0], l, n), r"shape \(6, 2, 2\): expected \(N, C, H, W\)"),
    (lambda i, l, n: ((i * 255).astype(np.uint8), l, n), "dtype uint8.*divide 8-bit values by 255"),
    (lambda i, l, n: (i, l[:5], n), r"labels have shape \(5,\), but there are 6 images"),
    (lambda i, l, n: (i, l.astype(float), n), "labels have dtype float64: expected integers"),
    (lambda i, l, n: (i, l, ("a", "b", "a")), "class name 'a' occurs twice"),
])
def test_wrong_shapes_and_types(change, said):
    with pytest.raises(ValueError, match=said):
        Dataset(*change(*make()))


def test_subset_takes_rows_in_order_and_remembers_them():
    dataset = Dataset(*make(), source={"path": "p"})
    part = dataset.subset([4, 0, 5]).subset(np.array([2, 0]))
    assert np.array_equal(part.images, dataset.images[[5, 4]])
    assert part.labels.tolist() == [2, 1]
    assert part.source == {"path": "p", "indices": [5, 4]}  # rows of the whole set, not of the first subset
    assert "indices" not in dataset.source


@pytest.mark.parametrize(
    "indices, said",
    [
        ([0, 6], r"indices\[1\] = 6: expected 0 to 5"),
        ([-1], r"indices\[0\] = -1"),
        ([0.5], "expected integers"),
        (np.ones(6, bool), "expected integers"),
    ],
)
def test_subset_refuses_wrong_indices(indices, said):
    with pytest.raises(ValueError, match=said):
        Dataset(*make()).subset(indices)


def test_empty_class_is_named():
    images, labels, names = make()
    dataset = Dataset(images, labels, (*names, "lonely"))
    with pytest.raises(ValueError, match=r"no image of class 'lonely' \(1 of 4"):
        dataset.require_every_class()
    assert Dataset(images, labels, names).require_every_class().class_names == names


@pytest.mark.parametrize("names", [None, 3])
def test_class_names_that_are_no_sequence_are_named(names):
    images, labels, _ = make()
    with pytest.raises(ValueError, match=rf"set: class_names={names}: expected a sequence of names"):
        Dataset(images, labels, names, "set")
