"""Timing: that what is timed is a training step of each variant in turn, and that ratios are taken round by round."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.figures import timing
from experiments.figures.timing import StepTime
from experiments.pipeline.lab import Lab
from experiments.pipeline.stages import Train
from minicnn.layers import Dropout
from tests.experiments.told import tell, told_lab


def dropouts(net: Any) -> int:
    """Return how many layers of dropout a network has."""
    return sum(isinstance(layer, Dropout) for stage in net.stages for layer in stage)


def test_variants_take_turns_and_the_first_round_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2 rounds and the one left out; the n-th step is said to take n seconds."""
    steps: list[tuple[int, int]] = []

    def told(net: Any, batch: Any, valid: Any, epochs: int, optimizer: Any, constraints: Any, batch_size: int,
             progress: bool) -> dict[str, list[float]]:
        assert (epochs, batch_size) == (1, 128) and len(constraints) == 2
        assert {id(p) for p in optimizer.parameters} == {id(p) for p in net.parameters()}
        steps.append((dropouts(net), len(batch[0])))
        return {"seconds": [float(len(steps))]}

    monkeypatch.setattr(timing, "fit", told)
    result = StepTime().run(told_lab(tmp_path, trees=10))
    assert steps == [(0, 128), (1, 128), (4, 128)] * 3
    assert result.plain == {"step_seconds": {"none": [4, 7], "first": [5, 8], "all": [6, 9]}, "batch": 128,
                            "seconds": 45}


def test_steps_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "BATCH", 4)
    result = StepTime().run(told_lab(tmp_path, trees=10))
    assert result.plain["batch"] == 4
    assert all(len(each) == 2 and min(each) > 0 for each in result.plain["step_seconds"].values())


def test_rounds_follow_the_preset(tmp_path: Path) -> None:
    few, many = told_lab(tmp_path, trees=3), told_lab(tmp_path, trees=400)
    assert (timing.rounds(few.sizes), timing.rounds(many.sizes)) == (2, 80)
    assert StepTime().key(few) != StepTime().key(many)
    assert StepTime().estimate(many)[0] > 10 * StepTime().estimate(few)[0]


def lab_with(out: Path, none: list[float], first: list[float], every: list[float]) -> Lab:
    """Return a lab whose steps took so many seconds."""
    lab = told_lab(out)
    tell(lab, StepTime(), {"step_seconds": {"none": none, "first": first, "all": every}, "batch": 128})
    tell(lab, Train("cnn3", 0), {"best_epoch": 2, "seconds": 60.0})
    tell(lab, Train("cnn1", 0), {"best_epoch": 3, "seconds": 24.0})
    return lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Return a lab whose second round ran on a busy machine: ratios 3, 1, 2 and 4, 1, 2.5."""
    return lab_with(tmp_path, [1.0, 10.0, 2.0], [3.0, 10.0, 4.0], [4.0, 10.0, 5.0])


def test_ratios_are_those_of_each_round(lab: Lab) -> None:
    """The ratio of medians would be 4 / 2 and 5 / 2, that of means 17 / 13 and 19 / 13."""
    found = timing.compute(lab)
    assert found["ratios"]["first"] == {"values": [3, 1, 2], "median": 2, "min": 1, "max": 3}
    assert found["ratios"]["all"] == {"values": [4, 1, 2.5], "median": 2.5, "min": 1, "max": 4}
    assert found["step_seconds"]["none"] == {"values": [1, 10, 2], "median": 2, "min": 1, "max": 10}
    assert found["rounds"] == 3


def test_median_of_the_ratios_is_not_the_ratio_of_the_medians(tmp_path: Path) -> None:
    """Ratios 2, 6, 0.5; medians 2 and 6."""
    found = timing.compute(lab_with(tmp_path, [2.0, 1.0, 18.0], [4.0, 6.0, 9.0], [1.0, 1.0, 1.0]))
    assert found["ratios"]["first"]["median"] == 2


def test_whole_trainings_are_told(lab: Lab) -> None:
    found = timing.compute(lab)
    assert found["trainings"]["cnn3"] == {"epochs": 2, "best_epoch": 2, "seconds": 60.0}
    assert found["training_ratio"] == 2.5 == found["rows"][-1]["ours"]["mean"]


def without_times(values: Any) -> Any:
    """Return JSON values without those whose key names a time."""
    if isinstance(values, dict):
        return {key: without_times(value) for key, value in values.items() if not ("seconds" in key or "ratio" in key)}
    return values


def test_other_times_change_only_what_is_named_a_time(lab: Lab, tmp_path: Path) -> None:
    one = timing.compute(lab)
    other = timing.compute(lab_with(tmp_path / "other", [1.5, 1.0, 2.0], [3.0, 2.0, 4.5], [4.0, 3.0, 5.0]))
    assert one != other
    del one["rows"], other["rows"]
    assert without_times(one) == without_times(other)


def test_points_are_the_steps_in_milliseconds(lab: Lab) -> None:
    figure = timing.draw(timing.compute(lab))
    points = [list(line.get_ydata()) for line in figure.axes[0].lines if line.get_linestyle() == "None"]
    assert points == [[1000, 10000, 2000], [3000, 10000, 4000], [4000, 10000, 5000]]
    texts = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert "2.00 times as long" in texts and "2.50 times as long" in texts
    assert figure.axes[0].get_ylim()[1] > 10000
