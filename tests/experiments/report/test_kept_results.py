"""The results that are kept in docs/results: the texts there and in the README are those of the numbers beside them."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from experiments.analysis.claims import CLAIMS
from experiments.figures import experiment
from experiments.report import markdown

ROOT = Path(__file__).parents[3]
KEPT = ROOT / "docs" / "results"


@pytest.fixture(scope="module")
def contents() -> dict[str, Any]:
    return json.loads((KEPT / "results.json").read_text(encoding="utf-8"))


def test_the_report_is_made_of_the_numbers(contents: dict[str, Any]) -> None:
    assert (KEPT / "report.md").read_text(encoding="utf-8") == markdown.render(contents)


def test_the_readme_has_the_verdicts(contents: dict[str, Any]) -> None:
    assert markdown.claims_table(contents["claims"]) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_run_was_whole_and_of_the_papers_sizes(contents: dict[str, Any]) -> None:
    assert contents["settings"]["preset"] == "paper"
    assert set(contents["experiments"]) == set(experiment.EXPERIMENTS)
    assert [claim["number"] for claim in contents["claims"]] == list(CLAIMS)
    assert contents["data"]["images"] == {"training": 25_000, "validation": 1_500, "test": 3_800}


@pytest.mark.parametrize("name", experiment.EXPERIMENTS)
def test_each_picture_is_there_and_small(name: str) -> None:
    path = KEPT / f"{name}.png"
    assert path.stat().st_size < 600_000
    with Image.open(path) as image:
        assert min(image.size) > 200
