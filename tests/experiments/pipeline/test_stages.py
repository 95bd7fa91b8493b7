"""Stages: what decides their keys, which images they see, and what they store."""
from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.analysis.svms import Distances
from experiments.figures.experiment import needs
from experiments.pipeline import runner
from experiments.pipeline.lab import Lab
from experiments.pipeline.runner import plan, run_stages
from experiments.pipeline.stage import Stage
from experiments.pipeline.stages import Choose, Forest, Machines, Train, all_layers
from experiments.settings import PRESETS, Settings

DATA = "synthetic:n=150,classes=3"


def lab_of(out: Path, data: str = DATA, **sizes: Any) -> Lab:
    """Return a lab of the smoke preset with other sizes."""
    lab = Lab(Settings("smoke", data=data, out=out))
    lab.sizes = dataclasses.replace(lab.sizes, epochs={"cnn1": 2, "cnn2": 1, "cnn3": 1}, **sizes)
    return lab


def do(lab: Lab, *stages: Stage) -> None:
    """Run stages after those that they need."""
    for stage in stages:
        do(lab, *stage.needs())
        if not lab.store.has(stage.name, stage.key(lab)):
            lab.store.write(stage.name, stage.key(lab), stage.run(lab))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = lab_of(tmp_path_factory.mktemp("stages"))
    do(lab, Machines("cnn1", 0, 3), Machines("cnn1", 0, 3, epoch=0), Forest("cnn1", 0, 3), Forest("cnn1", 1, 0))
    return lab


CHANGES: list[tuple[str, Callable[[Path], Lab], tuple[bool, bool, bool, bool]]] = [
    # what changes                                                            keys of Train, Choose, Machines, Forest
    ("images", lambda out: lab_of(out, "synthetic:n=151,classes=3"), (True, True, True, True)),
    ("other images of the same number", lambda out: lab_of(out, f"{DATA},seed=1"), (True, True, True, True)),
    ("trees", lambda out: lab_of(out, trees=41), (False, False, False, True)),
    ("C", lambda out: lab_of(out, C=(1.0, 9.0)), (False, True, True, False)),
    ("gamma", lambda out: lab_of(out, gamma=(1.0, 2.0)), (False, True, True, False)),
    ("bag and seeds", lambda out: lab_of(out, bag=7, seeds={"cnn1": 5}), (False, False, False, False)),
    ("folder", lambda out: lab_of(out / "elsewhere"), (False, False, False, False)),
]


@pytest.mark.parametrize("name, make, changes", CHANGES, ids=[name for name, *_ in CHANGES])
def test_a_key_changes_with_what_decides_the_result_and_with_nothing_else(lab: Lab, tmp_path: Path, name: str, make,
                                                                          changes) -> None:
    other = make(tmp_path)
    stages = Train("cnn1", 0), Choose("cnn1", 0, 3), Machines("cnn1", 0, 3), Forest("cnn1", 0, 3)
    assert tuple(stage.key(lab) != stage.key(other) for stage in stages) == changes


def test_a_key_changes_with_backend_epochs_and_the_stages_before(lab: Lab, tmp_path: Path) -> None:
    others = [Lab(Settings("smoke", data=DATA, backend="numpy", out=tmp_path)), lab_of(tmp_path)]
    others[0].sizes = lab.sizes
    others[1].sizes = dataclasses.replace(lab.sizes, epochs={"cnn1": 3, "cnn2": 1, "cnn3": 1})
    for other in others:
        for stage in (Train("cnn1", 0), Choose("cnn1", 0, 3), Machines("cnn1", 0, 3), Forest("cnn1", 0, 3)):
            assert stage.key(lab) != stage.key(other), stage


def test_fields_are_part_of_the_key(lab: Lab) -> None:
    stages: list[Stage] = [
        Train("cnn1"), Train("cnn1", 1), Train("cnn3"), Train("cnn3", 0, "all"), Forest("cnn1", 0, 3),
        Forest("cnn1", 1, 3), Forest("cnn1", 0, 2), Forest("cnn1", 0, 3, 1), Forest("cnn1", 0, 0), Forest("cnn1", 1, 0),
        Machines("cnn1", 0, 3), Machines("cnn1", 0, 3, 1), Choose("cnn1", 0, 3)]
    assert len({stage.key(lab) for stage in stages}) == len(stages)
    assert len({stage.name for stage in stages}) == len(stages)


def test_machines_on_pixels_are_the_same_for_every_network_and_seed(lab: Lab) -> None:
    """CNN1 and CNN3 read pixels of one size, and machines draw nothing at random."""
    one, other = Machines("cnn1", 0, 0), Machines("cnn3", 2, 0)
    assert (one.name, one.key(lab)) == (other.name, other.key(lab))
    assert Machines("cnn2", 0, 0).key(lab) != one.key(lab)
    assert Forest("cnn1", 0, 0).key(lab) == Forest("cnn3", 0, 0).key(lab) != Forest("cnn1", 1, 0).key(lab)


def test_nothing_is_planned_twice(lab: Lab) -> None:
    stages = plan(needs(["fig2", "fig2", "fig3"], lab.sizes), lab)
    assert len({(stage.name, stage.key(lab)) for stage in stages}) == len(stages)
    for i, stage in enumerate(stages):
        assert set(stage.needs()) <= set(stages[:i]), stage


def test_choices_and_training_do_not_see_the_test_images(lab: Lab, tmp_path: Path) -> None:
    """Other test images and labels: the same epoch, C and gamma."""
    other = lab_of(tmp_path)
    test = other.parts(28)[2]
    test.images[...] = 1 - test.images[::-1]
    test.labels[...] = (test.labels + 1) % 3
    before, after = [Train("cnn1", 0), Choose("cnn1", 0, 3)], []
    for stage in before:
        key = stage.key(other)
        assert key != stage.key(lab)
        do(other, stage)
        after.append(other.result(stage).plain)
    assert after[0]["best_epoch"] == lab.result(before[0]).plain["best_epoch"]
    assert after[0]["valid_accuracy"] == lab.result(before[0]).plain["valid_accuracy"]
    for strategy in ("ovo", "ovr"):
        assert after[1][strategy] == lab.result(before[1]).plain[strategy]


def test_machines_are_fitted_to_training_and_validation_images_with_the_choice(lab: Lab,
                                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    really = Distances.predictions

    def listen(self: Distances, y: Any, known: slice, rows: slice, strategy: str, gamma: float, C: Any,
               n_jobs: int) -> Any:
        asked.append((known, rows, strategy, gamma, list(C)))
        return really(self, y, known, rows, strategy, gamma, C, n_jobs)

    monkeypatch.setattr(Distances, "predictions", listen)
    Machines("cnn1", 0, 3).run(lab)
    train, valid, test = map(len, lab.parts(28))
    chosen = lab.result(Choose("cnn1", 0, 3)).plain
    assert asked == [(slice(0, train + valid), slice(train + valid, train + valid + test), strategy,
                      chosen[strategy]["gamma"], [chosen[strategy]["C"]]) for strategy in ("ovo", "ovr")]


def test_the_forest_is_that_of_the_features(lab: Lab) -> None:
    """The same forest fitted here, on training and validation images."""
    from classifiers import RandomForestClassifier

    net = lab.network("cnn1", 0)
    train, valid, test = lab.parts(28)
    X = net.features(np.concatenate([train.images, valid.images]), 3)
    forest = RandomForestClassifier(lab.sizes.trees, random_state=0).fit(X, np.r_[train.labels, valid.labels])
    found = lab.result(Forest("cnn1", 0, 3))
    assert (forest.predict(net.features(test.images, 3)) == found.arrays["predicted"]).mean() > 0.95  # batches differ
    np.testing.assert_allclose(forest.feature_importances_, found.arrays["importances"], atol=0.02)


def test_epoch_0_is_the_untrained_network(lab: Lab) -> None:
    fresh = Train("cnn1", 0).build(lab)
    for ours, theirs in zip(lab.network("cnn1", 0, epoch=0).parameters(), fresh.parameters()):
        np.testing.assert_array_equal(ours.value, theirs.value)
    assert not np.array_equal(lab.features("cnn1", 0, 3, 0), lab.features("cnn1", 0, 3))


def test_features_are_in_the_order_training_validation_test(lab: Lab) -> None:
    parts = lab.parts(28)
    net = lab.network("cnn1", 0)
    expected = np.concatenate([net.features(part.images, 2) for part in parts])
    np.testing.assert_array_equal(lab.features("cnn1", 0, 2), expected)
    pixels = np.concatenate([part.images.reshape(len(part), -1) for part in parts])
    np.testing.assert_array_equal(lab.features("cnn1", 0, 0), pixels)
    np.testing.assert_array_equal(lab.labels(28), np.concatenate([part.labels for part in parts]))


def test_a_stage_that_was_not_run_is_an_error(lab: Lab) -> None:
    with pytest.raises(LookupError, match="forest-cnn2-seed0-layer3 has not been run"):
        lab.result(Forest("cnn2", 0, 3))


def test_larger_data_are_cut_to_the_size_of_the_preset(tmp_path: Path) -> None:
    lab = Lab(Settings("smoke", data="synthetic:n=1800,classes=3", out=tmp_path))
    counts = [len(part) for part in lab.parts(28)]
    assert sum(counts) == PRESETS["smoke"].images and counts[0] == pytest.approx(900 * 25000 / 30300, abs=2)


def test_run_stages_goes_on_where_it_was(lab: Lab, tmp_path: Path) -> None:
    """A lab that is killed after the second stage: the next one does the other two, and no more."""
    stages = [Train("cnn1", 0), Forest("cnn1", 0, 1), Forest("cnn1", 0, 2), Forest("cnn1", 0, 0)]
    said: list[str] = []

    class Killed(BaseException):
        pass

    def die(line: str) -> None:
        said.append(line)
        if line.startswith("[2/"):
            raise Killed

    with pytest.raises(Killed):
        run_stages(lab_of(tmp_path), stages, die)
    run_stages(lab_of(tmp_path), stages, said.append)
    assert [line.split(":")[0] for line in said] == [
        "[1/4] train-cnn1-seed0", "[2/4] forest-cnn1-seed0-layer1", "2 of 4 stages are done already",
        "[1/2] forest-cnn1-seed0-layer2", "[2/2] forest-pixels28-seed0"]


def test_each_result_records_the_versions_that_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those at the begin of the run: what is imported goes on running whatever is installed or pulled meanwhile."""
    lab = lab_of(tmp_path)
    stages = [Forest("cnn1", seed, 0) for seed in range(3)]
    monkeypatch.setattr(runner, "present", lambda: {"minicnn": "old"})
    run_stages(lab, stages[:1], say=lambda line: None)
    answers = iter([{"minicnn": "new"}, {"minicnn": "newer"}])
    monkeypatch.setattr(runner, "present", lambda: next(answers))
    run_stages(lab, stages, say=lambda line: None)
    assert [lab.result(stage).made_by for stage in stages] == [{"minicnn": v} for v in ("old", "new", "new")]


def test_layers_are_those_before_the_softmax() -> None:
    assert {model: list(all_layers(model)) for model in ("cnn1", "cnn2", "cnn3")} == {
        "cnn1": [0, 1, 2, 3, 4], "cnn2": [0, 1, 2, 3, 4, 5, 6], "cnn3": [0, 1, 2, 3]}
