"""The command line of the experiments: what it prints, and how it fails."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.figures import experiment
from experiments.pipeline import runner
from experiments.pipeline.lab import Lab


def test_list_names_every_experiment(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(experiment.EXPERIMENTS)
    assert all(len(line.split(maxsplit=1)[1]) > 10 for line in lines)


def test_dry_run_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "fig2", "--preset", "smoke", "--data", "synthetic:n=100,classes=3", "--dry-run", "--out",
                 str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "train-cnn1-seed0" in printed and "GB of memory" in printed
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("words, message", [
    (["run", "fig2", "--preset", "smoke", "--data", "plankton:/nowhere"], "/nowhere"),
    (["run", "fig2", "--preset", "smoke", "--data", "plancton"], "unknown data spec 'plancton'"),
])
def test_a_mistake_is_one_line(words: list[str], message: str, tmp_path: Path,
                               capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--out", str(tmp_path)]) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.startswith("experiments: error: ") and printed.count("\n") == 1


@pytest.mark.parametrize("words", [["run", "fig99"], ["run", "all", "--preset", "huge"], ["run"], ["train"],
                                   ["run", "fig2", "--backend", "gpu"],
                                   *(["run", "fig2", "--seeds", text] for text in ("0", "-1", "abc", "2.5", "", "nan",
                                                                                   "1000000000", "9" * 5000)),
                                   *(["run", "fig2", "--jobs", text] for text in ("0", "abc", "1.5", "--", "-0",
                                                                                  "99999", "-99999", "9" * 5000))])
def test_a_wrong_word_is_refused_at_once(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(runner, "run_stages", lambda *_, **__: pytest.fail("it trained"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert said.out == "" and "error: " in said.err and "Traceback" not in said.err
    assert "_" not in said.err.partition("error: ")[2], "the name of a function means nothing to a user"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["1", "2", "-1", "-2"])
def test_jobs_are_counted_as_joblib_counts_them(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def stop(lab: Lab, stages: object, say: object) -> None:
        seen.append(lab.settings.jobs)
        raise ValueError("enough")

    monkeypatch.setattr(runner, "run_stages", stop)
    assert main(["run", "fig2", "--preset", "smoke", "--jobs", text, "--out", str(tmp_path)]) == 2
    assert seen == [int(text)]


def test_ctrl_c_says_that_the_same_command_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run_stages", stop)
    words = ["run", "fig2", "--preset", "smoke", "--data", "synthetic:n=100,classes=3", "--out", str(tmp_path)]
    assert main(words) == 130
    assert "the same command continues" in capsys.readouterr().err


def test_run_all_leaves_a_report_results_and_pictures(smoke_lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    out = smoke_lab.settings.out
    assert main(["run", "all", "--preset", "smoke", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "stages are done already" in printed and "[1/" not in printed
    assert all(f"claim {number}: " in printed for number in range(1, 10)) and "report.html after" in printed
    results = json.loads((out / "results.json").read_text())
    assert list(results["experiments"]) == sorted(experiment.EXPERIMENTS) and len(results["claims"]) == 9
    for name in experiment.EXPERIMENTS:
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (out / f"{name}.svg").read_bytes()
        assert f'id="{name}"' in (out / "report.html").read_text()


def test_a_cluster_gives_the_same_results(tmp_path: Path) -> None:
    """A real scheduler and its workers, processes of their own."""
    pytest.importorskip("distributed")
    found = []
    for folder, cluster in (("alone", []), ("cluster", ["--cluster", "local"])):
        subprocess.run([sys.executable, "-m", "experiments", "run", "fig2", "--preset", "smoke", "--out",
                        str(tmp_path / folder), "--data", "synthetic:n=120,classes=3", *cluster], check=True,
                       stdout=subprocess.DEVNULL)
        found.append(json.loads((tmp_path / folder / "results.json").read_text()))
    assert found[0]["experiments"] == found[1]["experiments"]
