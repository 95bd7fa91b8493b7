"""What every experiment keeps to, and its picture on disk."""
from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.figures import experiment
from experiments.pipeline.lab import Lab
from experiments.pipeline.runner import plan
from experiments.pipeline.stage import Stage


@pytest.mark.parametrize("name", experiment.EXPERIMENTS)
def test_an_experiment_asks_only_for_what_it_needs(smoke_lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would fail when it is run alone; and its picture and numbers are there."""
    planned = plan(experiment.needs([name], smoke_lab.sizes), smoke_lab)
    listed = {(stage.name, stage.key(smoke_lab)) for stage in planned}
    really = Lab.result

    def listen(self: Lab, stage: Stage) -> Any:
        assert (stage.name, stage.key(self)) in listed, f"{name} asks for {stage.name}, which it does not list"
        return really(self, stage)

    monkeypatch.setattr(Lab, "result", listen)
    found = experiment.module(name).compute(smoke_lab)
    json.dumps({key: value for key, value in found.items() if key != "arrays"}, allow_nan=False)
    assert all(isinstance(array, np.ndarray) for array in found.get("arrays", {}).values())
    for row in found["rows"]:
        assert set(row) >= {"what", "paper", "ours"} and {"values", "mean", "std"} <= set(row["ours"]), row
    assert isinstance(experiment.module(name).draw(found), Figure)


def test_pictures_are_the_same_bytes_twice(smoke_lab: Lab, tmp_path: Path) -> None:
    found = experiment.compute(smoke_lab, ["fig2"])
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        experiment.draw(folder, found)
    for name in ("fig2.png", "fig2.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("ending", [".svg", ".png"])
def test_a_picture_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    found = {"fig2": {"rows": []}}
    monkeypatch.setattr(experiment, "module", lambda name: SimpleNamespace(draw=lambda values: Figure()))
    experiment.draw(tmp_path, found)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(before) == ["fig2.png", "fig2.svg"]

    replace = os.replace

    def full(half: Path, whole: Path) -> None:
        if whole.suffix == ending:
            raise OSError(28, "No space left on device")
        replace(half, whole)

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        experiment.draw(tmp_path, found)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
