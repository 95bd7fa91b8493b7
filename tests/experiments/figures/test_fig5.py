"""Figure 5: which epochs are looked at, whose accuracy it is, and what is compared with what."""
from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from experiments.analysis.comparison import mcnemar
from experiments.figures import fig5
from experiments.figures.fig5 import EpochAccuracy, chance, early_epoch, epochs_of
from experiments.pipeline.lab import Lab
from experiments.pipeline.stages import Forest, Machines, Train
from experiments.settings import PRESETS
from minicnn.data import Dataset
from tests.experiments.told import TEST, answers, tell, tell_forest, tell_machines, told_lab


@pytest.mark.parametrize("last, every, epochs", [(4, 2, [0, 2, 4]), (4, 3, [0, 3, 4]), (1, 5, [0, 1])])
def test_the_last_epoch_is_always_looked_at(last: int, every: int, epochs: list[int]) -> None:
    sizes = dataclasses.replace(PRESETS["smoke"], epochs={"cnn1": last, "cnn2": 9, "cnn3": 9}, every=every)
    assert epochs_of(sizes) == epochs


@pytest.mark.parametrize("epochs, early", [
    (range(63), 24), ([0, 31, 62], 31), ([0, 20, 28, 62], 20), ([0, 1], 0), ([0, 62, 124], 62), ([0, 40, 56, 124], 40),
])
def test_early_is_the_epoch_nearest_to_24_of_62(epochs: Any, early: int) -> None:
    assert early_epoch(list(epochs)) == early


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Return a lab of 3 epochs, each looked at, in which these of the 20 test images are right:

    epoch       0       1       2       3
    network     0-3     0-7     0-9     0-9
    forest      0-9     0-11    2-13    0-15        pixels 5-9
    one-vs-rest 0       0-1     0-2     0-3
    one-vs-one  0-4     0-5     0-6     0-7
    """
    lab = told_lab(tmp_path_factory.mktemp("fig5"), epochs={"cnn1": 3, "cnn2": 1, "cnn3": 1}, every=1)
    network = [range(4), range(8), range(10), range(10)]
    forest = [range(10), range(12), range(2, 14), range(16)]
    tell(lab, EpochAccuracy("cnn1", 0), predicted=np.stack([answers(lab, "cnn1", rows) for rows in network]))
    tell_forest(lab, Forest("cnn1", 0, 0), range(5, 10))
    for epoch in range(4):
        tell_forest(lab, Forest("cnn1", 0, 3, epoch), forest[epoch])
        tell_machines(lab, Machines("cnn1", 0, 3, epoch), range(epoch + 1), range(epoch + 5))
    return lab


def test_accuracies_are_those_of_each_epoch(lab: Lab) -> None:
    found = fig5.compute(lab)
    assert found["epochs"] == [0, 1, 2, 3]
    assert found["accuracy"] == {"network": [0.2, 0.4, 0.5, 0.5], "forest": [0.5, 0.6, 0.6, 0.8],
                                 "ovr": [0.05, 0.1, 0.15, 0.2], "ovo": [0.25, 0.3, 0.35, 0.4]}


def test_early_is_compared_with_last(lab: Lab) -> None:
    """24/62 of 3 is 1.16. The forest loses none of 12 and gains 4: p is 2 / 2^4."""
    found = fig5.compute(lab)
    assert (found["early"], found["last"]) == (1, 3)
    assert found["early_against_last"]["forest"] == {"difference": pytest.approx(-0.2), "only_a": 0, "only_b": 4,
                                                     "p": 0.125}
    assert found["early_against_last"]["network"]["only_b"] == 2
    assert found["early_against_last"]["ovo"]["difference"] == pytest.approx(-0.1)


def test_the_forest_on_random_weights_is_compared_with_pixels_chance_and_its_last(lab: Lab) -> None:
    found = fig5.compute(lab)["untrained"]
    assert found["accuracy"] == 0.5
    assert found["others"] == {"pixels": 0.25, "chance": chance(lab).mean(), "last": 0.8}
    assert found["against"]["pixels"] == {"difference": 0.25, "only_a": 5, "only_b": 0, "p": 2 / 2 ** 5}
    assert found["against"]["last"]["difference"] == pytest.approx(-0.3)
    assert found["against"]["chance"] == mcnemar(np.arange(TEST) < 10, chance(lab))


def test_chance_names_the_class_most_frequent_among_known_images(tmp_path: Any) -> None:
    """Known: class 2, as often as the rest together. Among the test images that is the rarest."""
    lab = told_lab(tmp_path)

    def part(labels: list[int]) -> Dataset:
        return Dataset(np.zeros((len(labels), 1, 28, 28), np.float32), np.array(labels), ("a", "b", "c"))

    lab._parts = {28: (part([0, 2, 2]), part([2, 1, 0]), part([0, 1, 2, 0, 1]))}
    assert chance(lab).tolist() == [False, False, True, False, False]


def test_rows_name_the_first_the_early_and_the_last_epoch(lab: Lab) -> None:
    rows = {row["what"]: row["ours"]["mean"] for row in fig5.compute(lab)["rows"]}
    assert len(rows) == 12
    assert (rows["CNN1, epoch 3"], rows["random forest, epoch 0"], rows["SVM, one-vs-one, epoch 1"]) == (0.5, 0.5, 0.3)


def test_the_network_of_each_epoch_classifies_the_test_images(smoke_lab: Lab) -> None:
    """The best epoch's answers are those that the training kept; epoch 0 are those of a network just built."""
    predicted = smoke_lab.result(EpochAccuracy("cnn1", 0)).arrays["predicted"]
    trained = smoke_lab.result(Train("cnn1", 0))
    assert len(predicted) == smoke_lab.sizes.epochs["cnn1"] + 1
    np.testing.assert_array_equal(predicted[trained.plain["best_epoch"]], trained.arrays["test_proba"].argmax(axis=1))
    fresh = Train("cnn1", 0).build(smoke_lab)
    np.testing.assert_array_equal(predicted[0], fresh.predict(smoke_lab.parts(28)[2].images))


def test_an_epoch_is_another_stage_for_another_training(lab: Lab, tmp_path: Any) -> None:
    longer = told_lab(tmp_path, epochs={"cnn1": 4, "cnn2": 1, "cnn3": 1})
    keys = [EpochAccuracy("cnn1", 0).key(lab), EpochAccuracy("cnn1", 1).key(lab), EpochAccuracy("cnn1", 0).key(longer)]
    assert len(set(keys)) == 3


def test_lines_are_the_accuracies(lab: Lab) -> None:
    found = fig5.compute(lab)
    axes = fig5.draw(found).axes[0]
    drawn = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert drawn["CNN1 itself"] == found["accuracy"]["network"]
    assert drawn["random forest, layer 3"] == found["accuracy"]["forest"]
    assert drawn["random forest, pixels, 0.2500"] == [0.25, 0.25]
    assert [1, 1] in [list(line.get_xdata()) for line in axes.lines]        # the early epoch
