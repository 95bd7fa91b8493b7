"""Table IV: whose accuracy is whose, and that test images are compared with themselves."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.figures import table4
from experiments.pipeline.lab import Lab
from experiments.pipeline.stages import Choose, Forest, Machines, Train
from experiments.settings import PRESETS
from tests.experiments.told import tell_forest, tell_machines, tell_network, told_lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Return a lab in which CNN1, CNN2, CNN3 and CNN3 with dropout everywhere get 4, 6, 10 and 12 of 20 right."""
    lab = told_lab(tmp_path_factory.mktemp("table4"), seeds={"cnn1": 2, "cnn2": 1, "cnn3": 1})
    tell_network(lab, Train("cnn1", 0), range(4))
    tell_network(lab, Train("cnn1", 1), range(8))
    tell_network(lab, Train("cnn2", 0), range(6))
    tell_network(lab, Train("cnn3", 0), range(10))
    tell_network(lab, Train("cnn3", 0, "all"), range(8, 20))
    tell_forest(lab, Forest("cnn3", 0, 3), range(14))
    tell_machines(lab, Machines("cnn3", 0, 3), ovr=range(9), ovo=range(2))
    tell_forest(lab, Forest("cnn3", 0, 3, dropout="all"), range(4, 20))
    tell_machines(lab, Machines("cnn3", 0, 3, dropout="all"), ovr=range(13), ovo=range(5))
    return lab


@pytest.fixture
def found(lab: Lab) -> dict[str, Any]:
    return table4.compute(lab)


def test_accuracies_of_networks_and_classifiers(found: dict[str, Any]) -> None:
    assert {who: cell["values"] for who, cell in found["accuracy"].items()} == {
        "cnn1": [0.2, 0.4], "cnn2": [0.3], "first": [0.5], "all": [0.6], "first-forest": [0.7], "first-ovr": [0.45],
        "first-ovo": [0.1], "all-forest": [0.8], "all-ovr": [0.65], "all-ovo": [0.25]}


def test_comparisons_are_of_the_first_seed_and_the_right_way_round(found: dict[str, Any]) -> None:
    def counts(comparison: dict[str, Any]) -> tuple[int, int]:
        return comparison["only_a"], comparison["only_b"]

    assert {who: counts(c) for who, c in found["cnn3_against"].items()} == {
        "cnn1": (6, 0), "cnn2": (4, 0), "all": (8, 10)}
    assert {who: counts(c) for who, c in found["all_against"].items()} == {"cnn1": (12, 4), "cnn2": (12, 6)}
    first, everywhere = (found["classifiers_against_network"][reading] for reading in ("first", "all"))
    assert {who: counts(c) for who, c in first.items()} == {"forest": (4, 0), "ovr": (0, 1), "ovo": (0, 8)}
    assert first["forest"]["p"] == 0.125     # 2 / 2^4
    # The network is right for 8 to 19.
    assert {who: counts(c) for who, c in everywhere.items()} == {"forest": (4, 0), "ovr": (8, 7), "ovo": (5, 12)}


def test_rows_have_the_numbers_of_the_paper(found: dict[str, Any]) -> None:
    rows = {row["what"]: (row["paper"], row["ours"]["mean"]) for row in found["rows"]}
    assert rows["CNN3"] == (0.64052, 0.5) and rows["CNN3, dropout everywhere"] == (0.64052, 0.6)
    assert rows["random forest, layer 3 of CNN3"] == (0.65526, 0.7)
    assert rows["SVM, one-vs-rest, layer 3 of CNN3"] == (0.65368, 0.45)
    assert rows["SVM, one-vs-one, layer 3 of CNN3"] == (0.57184, 0.1)
    assert rows["random forest, layer 3 of CNN3, dropout everywhere"] == (0.65526, 0.8)


def test_test_images_in_another_order_are_an_error(tmp_path: Path) -> None:
    """Rows of the same class change places: labels alone would not tell."""
    lab = told_lab(tmp_path)
    table4.check_same_images(lab)
    train, valid, test = lab.parts(40)
    first, second = np.flatnonzero(test.labels == test.labels[0])[:2]
    order = np.arange(len(test))
    order[[first, second]] = second, first
    lab._parts[40] = train, valid, test.subset(order)
    np.testing.assert_array_equal(lab.parts(40)[2].labels, lab.parts(28)[2].labels)
    with pytest.raises(ValueError, match="test images of 28 and of 40 pixels are not the same"):
        table4.check_same_images(lab)


def test_other_labels_are_an_error(tmp_path: Path) -> None:
    lab = told_lab(tmp_path)
    lab.parts(40)[2].labels[3] += 1
    with pytest.raises(ValueError, match="in the same order"):
        table4.compute(lab)


def test_needs_both_readings_and_every_seed() -> None:
    stages = table4.needs(PRESETS["paper"])
    assert {stage for stage in stages if isinstance(stage, Train)} == {
        *(Train("cnn1", seed) for seed in range(3)), Train("cnn2", 0), Train("cnn3", 0), Train("cnn3", 0, "all")}
    assert {stage for stage in stages if not isinstance(stage, Train)} == {
        kind("cnn3", 0, 3, dropout=dropout) for kind in (Choose, Machines, Forest) for dropout in (None, "all")}


def test_classifiers_see_216_features(lab: Lab) -> None:
    assert Forest("cnn3", 0, table4.LAYER).width(lab) == 24 * 3 * 3


def test_bars_are_the_papers_and_ours(found: dict[str, Any]) -> None:
    heights = [bar.get_height() for bar in table4.draw(found).axes[0].patches]
    assert heights[:10] == [0.5263, 0.5597, 0.64052, 0.64052, *(0.65526, 0.65368, 0.57184) * 2]
    assert heights[10:] == pytest.approx([0.3, 0.3, 0.5, 0.6, 0.7, 0.45, 0.1, 0.8, 0.65, 0.25])
