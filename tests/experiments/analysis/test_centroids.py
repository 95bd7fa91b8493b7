"""Class centroids, the parts of the tree that are shown, and look-alikes."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.analysis import centroids
from experiments.analysis.centroids import Centroids, Part
from minicnn.data.synthetic import phylogeny
from tests.experiments.planted import Planted

COPEPODS, PARTLY = (list(names) for names in centroids.PAPER_PARTS.values())


def found_in(lab: Planted, layer: int = centroids.LAYER, seed: int = 0) -> Centroids:
    return centroids.of(*lab.known("cnn1", seed, layer), lab.class_names)


def test_centroids_are_of_training_and_validation_images(tmp_path: Path) -> None:
    values = np.array([[1.0, 2], [3, 4], [-5, 6]])
    found = found_in(Planted(tmp_path, "abc", {3: values}))
    np.testing.assert_allclose(found.values, values, atol=1e-6)     # any five of the six are elsewhere
    assert found.labels.tolist() == [0, 1, 2] and found.names == ("a", "b", "c")


def test_centroids_of_another_seed_and_layer(tmp_path: Path) -> None:
    lab = Planted(tmp_path, "ab", {0: np.zeros((2, 4)), (3, 0): np.ones((2, 3)), (3, 1): np.full((2, 3), 2.0)})
    assert found_in(lab, 0).values.shape == (2, 4)
    assert found_in(lab).values[0, 0] == pytest.approx(1)
    assert found_in(lab, seed=1).values[0, 0] == pytest.approx(2)


def test_a_class_without_images_is_left_out(tmp_path: Path) -> None:
    lab = Planted(tmp_path, "abc", {3: np.array([[1.0], [3], [5]])})
    for part in lab.three[:2]:
        part.labels[part.labels == 1] = 0
    found = found_in(lab)
    assert found.names == ("a", "c") and found.labels.tolist() == [0, 2]
    np.testing.assert_allclose(found.values, [[2], [5]], atol=1e-6)


def test_a_single_class_cannot_be_clustered(tmp_path: Path) -> None:
    lab = Planted(tmp_path, "ab", {3: np.zeros((2, 1))})
    for part in lab.three:
        part.labels[:] = 1
    with pytest.raises(ValueError, match="1 class has training images: expected at least two"):
        found_in(lab)


def test_heights_are_mean_distances() -> None:
    """0 and 1 meet at 1; 4 is 4 and 3 away from them."""
    np.testing.assert_allclose(centroids.tree_of(np.array([[0.0], [1], [4]])), [[0, 1, 1, 2], [2, 3, 3.5, 3]])


def test_parts_are_those_of_the_paper_where_its_classes_are() -> None:
    names = (*COPEPODS, "polychaete", *PARTLY[:2])
    tree = centroids.tree_of(np.arange(len(names), dtype=float)[:, None] ** 2)
    assert centroids.parts(names, tree) == [Part("Figure 6", tuple(COPEPODS)), Part("Figure 9", tuple(PARTLY[:2]))]


def test_parts_of_other_data_are_the_lowest_subtrees_of_three_or_four() -> None:
    """The pair at 50 is lowest, but a pair; 0, 2, 4 comes before 20, 23, 26, 29; both share no class."""
    values = np.array([[50.0], [0], [20], [2], [23], [4], [26], [50.1], [29]])
    found = centroids.parts(tuple("abcdefghi"), centroids.tree_of(values))
    assert found == [Part("closest classes", ("b", "d", "f")), Part("next closest classes", ("c", "e", "g", "i"))]


def test_parts_of_two_classes_are_the_pair() -> None:
    tree = centroids.tree_of(np.array([[0.0], [1]]))
    assert centroids.parts(("a", "b"), tree) == [Part("closest classes", ("a", "b"))]


def test_look_alikes_are_relatives_where_the_true_tree_is_known(tmp_path: Path) -> None:
    """Of a set without its class 2: the relatives are those among the others."""
    lab = Planted(tmp_path, "abcdef", {}, {"spec": "synthetic", "n_classes": 6, "seed": 3})
    ages = phylogeny(6, 3).cophenetic()
    here = [0, 1, 3, 4, 5]
    classes = Centroids(np.array(here), tuple("abdef"), np.eye(5))
    alike, meaning = centroids.look_alikes(classes, centroids.true_tree(lab.three[0].source))
    for row, i in enumerate(here):
        nearest = min(ages[i, j] for j in here if j != i)
        assert alike[row].tolist() == [j != i and ages[i, j] == nearest for j in here]
    assert "true tree" in meaning


def test_look_alikes_are_names_elsewhere(tmp_path: Path) -> None:
    assert centroids.true_tree({"path": "images"}) is None
    names = ("copepod_a", "copepod_b", "tunicate_a")
    alike, meaning = centroids.look_alikes(Centroids(np.arange(3), names, np.eye(3)), None)
    assert alike.sum() == 2 and alike[0, 1] and "same word" in meaning
