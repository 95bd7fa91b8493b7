"""The report: what it holds, and what is written."""
from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from experiments.analysis.claims import Verdict
from experiments.figures import experiment
from experiments.pipeline.lab import Lab
from experiments.pipeline.stages import Forest, Machines
from experiments.pipeline.store import Result
from experiments.report import contents as kept
from experiments.report import html
from experiments.report.alternative import alternative_text
from tests.experiments.report.pages import made_up, written
from tests.experiments.told import tell, told_lab

STAGES = [Forest("cnn1", 0, 0), Machines("cnn1", 0, 0)]
VERDICTS = [Verdict(1, "one", "reproduced", "+3", 0.01), Verdict(2, "two", "not run", "needs fig3")]


def test_a_command_that_is_not_unicode_can_be_written(tmp_path: Path) -> None:
    """A path of bytes that are not UTF-8 comes from the command line with lone surrogates."""
    root = written(tmp_path, made_up(command="run --out \udcff"))
    assert root.by_id("environment").all("pre")[0].text == r"run --out \udcff"


def test_a_picture_that_is_not_a_png_is_named(tmp_path: Path) -> None:
    (tmp_path / "fig1.png").write_bytes(b"<svg/>")
    with pytest.raises(ValueError, match=r"fig1\.png is not a PNG"):
        html.write(tmp_path / "report.html", made_up(), {"fig1": tmp_path / "fig1.png"})
    assert not (tmp_path / "report.html").exists()


def contents_of(out: Path, seconds: float) -> tuple[Lab, dict]:
    lab = told_lab(out)
    for stage in STAGES:
        tell(lab, stage, {"seconds": seconds})
    found = {"fig2": {"accuracy": 0.5, "chosen": {0: {"C": 1.0}}, "pair": (1, 2), "arrays": {"a": np.zeros(3)}}}
    return lab, kept.gather(lab, found, VERDICTS, "python -m experiments run fig2", STAGES)


def test_contents_are_plain_and_without_arrays(tmp_path: Path) -> None:
    lab, contents = contents_of(tmp_path, 2.0)
    assert json.loads(json.dumps(contents, allow_nan=False)) == contents
    assert contents["experiments"] == {"fig2": {"accuracy": 0.5, "chosen": {"0": {"C": 1.0}}, "pair": [1, 2]}}
    assert contents["claims"] == [
        {"number": 1, "claim": "one", "verdict": "reproduced", "evidence": "+3", "p": 0.01},
        {"number": 2, "claim": "two", "verdict": "not run", "evidence": "needs fig3", "p": None}]
    assert contents["timings"] == {stage.name: 2.0 for stage in STAGES}
    assert contents["data"] == {"name": "synthetic:n=160,classes=3", "classes": list(lab.class_names),
                                "images": {"training": 132, "validation": 8, "test": 20},
                                "fingerprint": lab.fingerprint(28)}
    assert (contents["settings"]["preset"], contents["settings"]["trees"]) == ("smoke", 40)
    assert contents["environment"]["numpy"] == np.__version__


def test_results_of_other_versions_and_of_unknown_ones_are_told_by_figure(tmp_path: Path) -> None:
    """The figure needs both stages; the forest was stored before versions were recorded, and again by two others."""
    lab = told_lab(tmp_path)
    seeds = [Forest("cnn1", seed, 0) for seed in range(3)]
    lab.sizes = dataclasses.replace(lab.sizes, seeds={"cnn1": 3, "cnn2": 1, "cnn3": 1})
    for stage, made_by in zip(seeds, (None, {"numpy": "2.0"}, {"numpy": "2.1"})):
        lab.store.write(stage.name, stage.key(lab), Result({"seconds": 1.0}, {}, made_by))
    contents = kept.gather(lab, {"fig2": {}, "fig1": {}}, [], "command", seeds)
    assert contents["made_by"] == {"fig2": [None, {"numpy": "2.0"}, {"numpy": "2.1"}], "fig1": []}


def test_figures_of_one_version_are_not_mixed(tmp_path: Path) -> None:
    assert contents_of(tmp_path, 1.0)[1]["made_by"] == {"fig2": [None]}


def test_only_timings_depend_on_time_and_nothing_on_the_folder(tmp_path: Path) -> None:
    one, other = (contents_of(tmp_path / name, seconds)[1] for name, seconds in (("a", 1.0), ("b", 2.0)))
    assert one.pop("timings") != other.pop("timings")
    assert one == other
    assert not re.search(r"20\d\d-\d\d-\d\d|\d\d:\d\d:\d\d", json.dumps(one))
    assert str(tmp_path) not in json.dumps(one)


def test_all_experiments_of_a_run_are_on_the_page(smoke_lab: Lab, tmp_path: Path) -> None:
    found = experiment.compute(smoke_lab, experiment.EXPERIMENTS)
    contents = kept.gather(smoke_lab, found, [], "command", [])
    root = written(tmp_path, contents)
    for name, values in found.items():
        section = root.by_id(name)
        assert [cells[0] for cells in section.all("table")[0].cells()[1:]] == [row["what"] for row in values["rows"]]
        assert section.all("img")[0]["alt"] == alternative_text(name, values)
    assert html.caveats(contents)


def test_results_are_json_without_arrays(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    kept.write(path, {"experiments": {"x": {"b": 1, "a": [2], "arrays": {"p": np.zeros(3)}}}, "claims": []})
    assert json.loads(path.read_text()) == {"experiments": {"x": {"a": [2], "b": 1}}, "claims": []}
    with pytest.raises(ValueError, match="JSON"):
        kept.write(path, {"experiments": {"x": {"a": float("nan")}}})
    assert json.loads(path.read_text())["claims"] == []        # the old file is still there
