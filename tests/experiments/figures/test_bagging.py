"""Bagging: what is averaged, over which networks, and with what it is compared."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experiments.figures import bagging, fig2
from experiments.figures.bagging import averaged, curve, subsets
from experiments.pipeline.lab import Lab
from experiments.pipeline.stages import Choose, Forest, Machines, Train, all_layers
from experiments.settings import PRESETS
from tests.experiments.told import TEST, tell_choice, tell_forest, tell_machines, tell_network, told_lab


def test_probabilities_are_averaged_not_votes_counted() -> None:
    """Two networks lean to class 1, one is sure of class 0: (0.9 + 0.4 + 0.4) / 3 > 0.5."""
    probabilities = np.array([[[0.9, 0.1]], [[0.4, 0.6]], [[0.4, 0.6]]])
    assert averaged(probabilities, np.array([0])).tolist() == [True]
    assert averaged(probabilities[1:], np.array([0])).tolist() == [False]


@pytest.mark.parametrize("n, k, count", [(8, 1, 8), (8, 2, 28), (8, 4, 50), (8, 7, 8), (8, 8, 1), (40, 20, 50)])
def test_subsets_are_all_or_fifty(n: int, k: int, count: int) -> None:
    found = subsets(n, k, np.random.default_rng(0))
    assert len(found) == count
    assert all(len(set(subset)) == k and set(subset) <= set(range(n)) for subset in found)
    if count < 50:
        assert len({frozenset(subset) for subset in found}) == count


def test_curve_goes_from_one_network_to_all() -> None:
    """Two networks and two images; the first is right about both, the second, which is surer, about the second."""
    labels = np.array([0, 1])
    probabilities = np.array([[[0.6, 0.4], [0.4, 0.6]], [[0.1, 0.9], [0.1, 0.9]]])
    one, two = curve(probabilities, labels)
    assert (one["networks"], one["first"], one["subsets"]["values"]) == (1, 1.0, [1.0, 0.5])
    assert (two["networks"], two["first"], two["subsets"]["values"]) == (2, 0.5, [0.5])


def test_curve_is_the_same_every_time() -> None:
    rng = np.random.default_rng(1)
    probabilities, labels = rng.random((9, 30, 4)), rng.integers(0, 4, 30)
    assert curve(probabilities, labels) == curve(probabilities, labels)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Return a lab of 3 networks, right about test images 0-7, 2-9 and 4-11, so two of three about 2-9.

    On the features of layer l of the first network the forest is right about 0 to l, and the machines about 0-9, but
    one-vs-rest on layer 2 about 0-14. The second network's layer 4 has a forest that is always right.
    """
    lab = told_lab(tmp_path_factory.mktemp("bagging"), bag=3, seeds={"cnn1": 2, "cnn2": 1, "cnn3": 1})
    for seed in range(3):
        tell_network(lab, Train("cnn1", seed), range(2 * seed, 2 * seed + 8))
    for layer in all_layers("cnn1"):
        tell_choice(lab, Choose("cnn1", 0, layer))
        tell_machines(lab, Machines("cnn1", 0, layer), ovr=range(15 if layer == 2 else 10), ovo=range(10))
        if layer:
            tell_machines(lab, Machines("cnn1", 1, layer), ovr=range(10), ovo=range(10))
        for seed in range(2):
            tell_forest(lab, Forest("cnn1", seed, layer), range(TEST if (seed, layer) == (1, 4) else layer + 1))
    return lab


def test_bag_single_networks_and_gain(lab: Lab) -> None:
    """Each network is right about 8 of 20; where two of three agree, their mean is right, so about 8 as well."""
    found = bagging.compute(lab)
    assert found["networks"] == 3
    assert found["single"]["values"] == [0.4, 0.4, 0.4]
    assert found["bagged"] == 0.4 and found["gain_points"] == pytest.approx(0.0, abs=1e-9)
    assert [(one["only_a"], one["only_b"]) for one in found["against_single"]] == [(2, 2), (0, 0), (2, 2)]
    assert found["curve"][-1]["first"] == found["bagged"] == found["curve"][-1]["subsets"]["mean"]


def test_gain_is_in_points(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three networks, each wrong about another third of 18 images and all right about two: 14 of 20, together 20."""
    labels, rows = lab.parts(28)[2].labels, np.arange(TEST)
    for seed in range(3):
        wrong = (rows % 3 == seed) & (rows < 18)
        told = np.full((TEST, 3), 0.05, np.float32)
        told[rows, np.where(wrong, (labels + 1) % 3, labels)] = 0.9
        monkeypatch.setitem(lab.result(Train("cnn1", seed)).arrays, "test_proba", told)
    found = bagging.compute(lab)
    assert (found["single"]["mean"], found["bagged"]) == (pytest.approx(0.7), 1.0)
    assert found["gain_points"] == pytest.approx(30)


def test_each_classifier_competes_with_its_best_layer(lab: Lab) -> None:
    """Best by the mean of seeds, layer 4 of the forest (5 and 20 of 20); compared on the first seed, 5 of 20."""
    found = bagging.compute(lab)
    assert {c: one["layer"] for c, one in found["against_classifiers"].items()} == {"forest": 4, "ovr": 2, "ovo": 0}
    forest, ovr = found["against_classifiers"]["forest"], found["against_classifiers"]["ovr"]
    assert forest["accuracy"] == 0.25 and (forest["only_a"], forest["only_b"]) == (5, 2)    # 5-9 and 0-1
    assert ovr["accuracy"] == 0.75 and ovr["difference"] == pytest.approx(-0.35)
    assert (found["best"]["classifier"], found["best"]["layer"]) == ("forest", 4)
    assert found["best"]["accuracy"]["mean"] == pytest.approx(0.625)
    assert found["rows"][-1]["what"].endswith("random forest, layer 4")


def test_needs_more_networks_than_figure_2() -> None:
    sizes = PRESETS["paper"]
    assert {Train("cnn1", seed) for seed in range(8)} | set(fig2.needs(sizes)) == set(bagging.needs(sizes))


def test_lines_are_the_curve(lab: Lab) -> None:
    found: dict[str, Any] = bagging.compute(lab)
    drawn = {line.get_label(): list(line.get_ydata()) for line in bagging.draw(found).axes[0].lines}
    assert drawn["the first networks"] == [point["first"] for point in found["curve"]]
    assert drawn["mean of the subsets"] == [point["subsets"]["mean"] for point in found["curve"]]
    assert drawn["random forest, layer 4, of one CNN1, 0.6250"] == [found["best"]["accuracy"]["mean"]] * 2
