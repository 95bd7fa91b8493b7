"""The command line: a smoke run of the ladder, its files, and the page that is written from them."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as cli

ROOT = Path(cli.__file__).parents[1]


def test_a_smoke_run_of_the_ladder_leaves_results_picture_and_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)     # where the processes that measure find the benchmarks
    page = ROOT / cli.REPORT
    before = page.read_text() if page.exists() else None
    cli.main(["ladder", "report", "--quick", "--threads", "1", "--out", str(tmp_path)])
    record = json.loads((tmp_path / "ladder.json").read_text())
    assert record["quick"]
    assert record["machine"]["versions"]["numba"] != "not installed"
    assert record["ceilings"]["gemm_gflops"]["1"] > 0
    assert record["ceilings"]["bandwidth_gbs"]["1"] > 0
    assert all(seconds > 0 for row in record["found"]["rows"] for seconds in row["seconds"])
    assert (tmp_path / "ladder.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert printed.index("every rung gives the bits") < printed.index("fused layer"), "correctness comes first"
    written = (tmp_path / cli.REPORT).read_text()
    assert "| fused layer | layer | 1 |" in written
    assert "a smoke run, whose numbers mean nothing" in written
    assert (page.read_text() if page.exists() else None) == before, "the page of real measurements is left alone"


def test_the_list_names_every_benchmark_and_measures_nothing(monkeypatch, capsys):
    monkeypatch.setattr(cli.machine, "ceilings", lambda options: pytest.fail("it measured"))
    cli.main(["list"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [*cli.NAMES, cli.GPU]


def test_all_is_every_benchmark_and_then_the_page():
    names, options = cli.parse(["all", "--rounds", "3"])
    assert names == [*cli.NAMES, "report"]
    assert (options.quick, options.rounds_or(5), options.models) == (False, 3, ("cnn1", "cnn2", "cnn3"))
    assert options.out != cli.parse(["all", "--quick"])[1].out, "a smoke run does not overwrite measurements"


@pytest.mark.parametrize("arguments", [["no-such-benchmark"], ["ladder", "--threads", "0"],
                                       ["ladder", "--threads", "100000"]])
def test_what_cannot_be_run_is_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        cli.parse(arguments)
    assert "error" in capsys.readouterr().err


def test_a_new_page_keeps_what_somebody_wrote_at_its_end(tmp_path, monkeypatch):
    """Else the tables of the classifiers, whose results are not in files, would be gone after one report."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "report", lambda folder: "# new\n")
    page = tmp_path / cli.REPORT
    for kept in ("", f"\n{cli.BY_HAND}\n\nmine\n"):
        page.write_text("# old\n" + kept)
        cli.main(["report"])
        assert page.read_text() == "# new\n" + kept
    assert [file.name for file in tmp_path.iterdir()] == [cli.REPORT]


def test_the_page_in_the_repository_has_a_part_that_somebody_wrote():
    assert "LIBSVM" in cli.by_hand(ROOT / cli.REPORT)


def test_a_page_without_results_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m benchmarks all"):
        cli.report(tmp_path)
