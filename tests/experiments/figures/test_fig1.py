"""Figure 1: which images are shown, and which way round."""
from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from experiments.figures import fig1
from minicnn.data import Dataset
from tests.experiments.told import told_lab


def test_images_are_the_first_test_images_of_the_most_frequent_classes(tmp_path: Path) -> None:
    lab = told_lab(tmp_path)
    found = fig1.compute(lab)
    counts = Counter(label for part in lab.parts(40) for label in part.labels.tolist())
    test = lab.parts(40)[2]
    for row, (label, count) in enumerate(counts.most_common()):
        assert found["classes"][row] == {"name": lab.class_names[label], "images": count}
        expected = [image for image, k in zip(test.images, test.labels) if k == label][:4]
        np.testing.assert_array_equal(found["arrays"][str(row)], expected)
    assert {row["what"]: row["ours"]["mean"] for row in found["rows"]} == {
        "training images": 132, "validation images": 8, "test images": 20, "classes": 3}


def colours(labels: list[int]) -> Dataset:
    """Return images of 2 classes, 3 channels, 40 x 40 pixels, all of one value each: 0, 0.1, 0.2, ..."""
    images = np.ones((len(labels), 3, 40, 40), np.float32) * np.arange(len(labels))[:, None, None, None] / 10
    return Dataset(images, np.array(labels), ("cat", "dog"))


def test_few_classes_and_few_images_in_colour(tmp_path: Path) -> None:
    lab = told_lab(tmp_path)
    parts = colours([1, 1, 1]), colours([0]), colours([0, 1, 1])
    lab._parts = {28: parts, 40: parts}
    found = fig1.compute(lab)
    assert found["classes"] == [{"name": "dog", "images": 5}, {"name": "cat", "images": 2}]
    assert found["arrays"]["0"][:, 0, 0, 0].tolist() == [np.float32(0.1), np.float32(0.2)]
    pictures = shown(found)
    assert [len(row) for row in pictures] == [2, 1]
    np.testing.assert_array_equal(pictures[0][1], np.full((40, 40, 3), np.float32(0.2)))    # colours are kept


def shown(found: dict[str, Any]) -> list[list[np.ndarray]]:
    """Return the pictures that are drawn, a list for each class."""
    return [[np.asarray(axes.images[0].get_array()) for axes in part.axes if axes.images]
            for part in fig1.draw(found).subfigs]


def test_grey_images_are_drawn_dark_on_white() -> None:
    image = np.zeros((1, 1, 2, 2), np.float32)
    image[0, 0, 0, 1] = 0.75
    found = {"classes": [{"name": "a_b", "images": 1}], "arrays": {"0": image}}
    assert shown(found)[0][0].tolist() == [[1.0, 0.25], [1.0, 1.0]]
    assert fig1.draw(found).subfigs[0].get_suptitle() == "a b: 1 images"
