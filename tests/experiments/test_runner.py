"""Runs as a whole: what experiments ask for, what they leave, and what a kill does."""
from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments import runner
from experiments.lab import Lab
from experiments.stages import Stage

KILLS = int(os.environ.get("MINICNN_KILLS", "3"))      # 20 takes some minutes


@pytest.mark.parametrize("name", runner.EXPERIMENTS)
def test_an_experiment_asks_only_for_what_it_needs(smoke_lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would fail when it is run alone; and its picture and numbers are there."""
    listed = {(stage.name, stage.key(smoke_lab)) for stage in runner.plan([name], smoke_lab)}
    really = Lab.result

    def listen(self: Lab, stage: Stage) -> Any:
        assert (stage.name, stage.key(self)) in listed, f"{name} asks for {stage.name}, which it does not list"
        return really(self, stage)

    monkeypatch.setattr(Lab, "result", listen)
    found = runner.module(name).compute(smoke_lab)
    json.dumps({key: value for key, value in found.items() if key != "arrays"}, allow_nan=False)
    assert all(isinstance(array, np.ndarray) for array in found.get("arrays", {}).values())
    for row in found["rows"]:
        assert set(row) >= {"what", "paper", "ours"} and {"values", "mean", "std"} <= set(row["ours"]), row
    assert isinstance(runner.module(name).draw(found), Figure)


def test_pictures_are_the_same_bytes_twice(smoke_lab: Lab, tmp_path: Path) -> None:
    found = runner.compute(smoke_lab, ["fig2"])
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        runner.draw(folder, found)
    for name in ("fig2.png", "fig2.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_results_are_json_without_arrays(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    runner.write_results(path, {"experiments": {"x": {"b": 1, "a": [2], "arrays": {"p": np.zeros(3)}}}, "claims": []})
    assert json.loads(path.read_text()) == {"experiments": {"x": {"a": [2], "b": 1}}, "claims": []}
    with pytest.raises(ValueError, match="JSON"):
        runner.write_results(path, {"experiments": {"x": {"a": float("nan")}}})
    assert json.loads(path.read_text())["claims"] == []        # the old file is still there


def test_dry_run_names_every_stage_and_does_nothing(smoke_lab: Lab) -> None:
    stages = runner.plan(["fig2"], smoke_lab)
    lines = list(runner.dry_run(smoke_lab, stages))
    assert [line.split()[0] for line in lines[:-1]] == [stage.name for stage in stages]
    assert all(line.endswith("done") for line in lines[:-1])
    assert lines[-1].startswith(f"{len(stages)} stages, 0 to do: about 0.0 s")


def without_times(path: Path) -> dict[str, Any]:
    """Return results but for all that is a time."""
    results = json.loads(path.read_text())
    del results["timings"], results["command"]
    results["experiments"].pop("timing", None)
    results["claims"] = [claim for claim in results["claims"] if claim["number"] != 8]
    return results


def test_a_run_that_is_killed_again_and_again_gives_the_same_results(tmp_path: Path) -> None:
    """Kill -9 at random moments; then one run to the end, and one run that was never killed."""
    def command(out: Path) -> list[str]:
        return [sys.executable, "-m", "experiments", "run", "fig2", "fig5", "bagging", "--preset", "smoke",
                "--out", str(out)]

    begin = time.monotonic()
    subprocess.run(command(tmp_path / "whole"), check=True, stdout=subprocess.DEVNULL)
    length = time.monotonic() - begin
    rng = random.Random(0)
    for _ in range(KILLS):
        process = subprocess.Popen(command(tmp_path / "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.1, 0.6) * length)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command(tmp_path / "killed"), check=True, stdout=subprocess.DEVNULL)
    assert without_times(tmp_path / "killed" / "results.json") == without_times(tmp_path / "whole" / "results.json")
