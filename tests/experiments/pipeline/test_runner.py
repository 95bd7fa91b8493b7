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

import pytest

from experiments.figures.experiment import needs
from experiments.pipeline import runner
from experiments.pipeline.lab import Lab
from experiments.pipeline.store import Store
from experiments.settings import Settings
from tests.processes import running

KILLS = int(os.environ.get("MINICNN_KILLS", "3"))      # 20 takes some minutes


def test_dry_run_names_every_stage_and_does_nothing(smoke_lab: Lab) -> None:
    stages = runner.plan(needs(["fig2"], smoke_lab.sizes), smoke_lab)
    lines = list(runner.dry_run(smoke_lab, stages))
    assert [line.split()[0] for line in lines[:-1]] == [stage.name for stage in stages]
    assert all(line.endswith("done") for line in lines[:-1])
    assert lines[-1].startswith(f"{len(stages)} stages, 0 to do: about 0.0 s")


# Several commands in one folder

SHARING = """
import sys
from dataclasses import dataclass
from pathlib import Path
from experiments.pipeline import runner
from experiments.pipeline.lab import Lab
from experiments.pipeline.stage import Stage
from experiments.pipeline.store import Result
from experiments.settings import Settings

@dataclass(frozen=True)
class Work(Stage):
    number: int
    before: tuple = ()

    def needs(self):
        return [Work(number) for number in self.before]

    def depends_on(self, lab):
        return {"number": self.number}

    def estimate(self, lab):
        return 1.0, 0.0

    def run(self, lab):
        print("begin", self.number, flush=True)
        if sys.stdin.readline() == "":
            sys.exit(3)
        return Result({"seconds": 0.0}, {})

lab = Lab(Settings("smoke", out=Path(sys.argv[1])))
runner.run_stages(lab, [Work(1), Work(2), Work(3, (1, 2))], say=lambda line: print("say", line, flush=True))
print("end", flush=True)
"""


def command(out: Path) -> Any:
    return running(sys.executable, "-c", SHARING, str(out))


def go(process: Any) -> None:
    process.stdin.write("go\n")
    process.stdin.flush()


def test_two_commands_in_one_folder_share_the_stages(tmp_path: Path) -> None:
    """Each stage is done once, at the same time where that can be; what needs both waits for the other command."""
    with command(tmp_path) as first, command(tmp_path) as second:
        begun = [process.stdout.readline() for process in (first, second)]
        assert sorted(begun) == ["begin 1\n", "begin 2\n"]
        one, two = (first, second) if begun[0] == "begin 1\n" else (second, first)
        go(one)
        assert one.stdout.readline().startswith("say [1/3] work")
        assert "waiting for work-number2" in (waiting := one.stdout.readline()) and f"process {two.pid}" in waiting
        for process in (two, one, two):     # one more for the third stage, whoever does it
            go(process)
        told = [process.communicate(timeout=240)[0] for process in (one, two)]
        assert [process.returncode for process in (one, two)] == [0, 0] and all(text.endswith("end\n") for text in told)
        assert sorted(line for text in told for line in text.splitlines() if line.startswith("begin")) == ["begin 3"]
    names = sorted(path.name.partition("-")[2][:7] for path in (tmp_path / "cache").iterdir())
    assert names == ["number1", "number2", "number3"]       # no lock, and nothing half written


def test_a_stage_of_a_command_that_was_killed_is_done_by_the_one_that_waits(tmp_path: Path) -> None:
    with command(tmp_path) as first:
        assert first.stdout.readline() == "begin 1\n"
        with command(tmp_path) as second:
            assert second.stdout.readline() == "begin 2\n"
            go(second)
            assert second.stdout.readline().startswith("say [1/3] work")
            assert "waiting for work-number1" in second.stdout.readline()
            first.kill()
            assert second.stdout.readline() == "begin 1\n"
            second.stdin.close()
            second.wait(240)


def test_what_a_killed_command_left_half_written_is_removed_with_its_stage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    half = [tmp_path / ".forest-0.npz.12.part", tmp_path / ".forest-1.npz.12.part"]
    for path in half:
        path.write_bytes(b"PK")
    with store.owned("forest", "0"):
        assert [path.exists() for path in half] == [False, True]


def test_a_folder_among_the_data_is_refused_and_not_made(tmp_path: Path) -> None:
    (tmp_path / "images" / "a").mkdir(parents=True)
    for out in (tmp_path / "images", tmp_path / "images" / "a" / "out"):
        with pytest.raises(ValueError, match="is inside the data folder"):
            Lab(Settings("smoke", f"folder:{tmp_path / 'images'}", out=out))
    assert [path.name for path in tmp_path.rglob("*")] == ["images", "a"]


def without_times(path: Path) -> dict[str, Any]:
    """Return results but for all that is a time, or names the commit: one may be made while the test runs."""
    results = json.loads(path.read_text())
    del results["timings"], results["command"], results["made_by"]
    results["experiments"].pop("timing", None)
    results["claims"] = [claim for claim in results["claims"] if claim["number"] != 8]
    return results


def test_a_run_that_is_killed_again_and_again_gives_the_same_results(tmp_path: Path) -> None:
    """Kill -9 at random moments; then one run to the end, and one run that was never killed."""
    def whole_command(out: Path) -> list[str]:
        return [sys.executable, "-m", "experiments", "run", "fig2", "fig5", "bagging", "--preset", "smoke",
                "--out", str(out)]

    begin = time.monotonic()
    subprocess.run(whole_command(tmp_path / "whole"), check=True, stdout=subprocess.DEVNULL)
    length = time.monotonic() - begin
    rng = random.Random(0)
    for _ in range(KILLS):
        process = subprocess.Popen(whole_command(tmp_path / "killed"), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.1, 0.6) * length)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(whole_command(tmp_path / "killed"), check=True, stdout=subprocess.DEVNULL)
    assert without_times(tmp_path / "killed" / "results.json") == without_times(tmp_path / "whole" / "results.json")
