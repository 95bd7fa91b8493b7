"""The arithmetic that every table shares, and what a process says of its memory."""
from __future__ import annotations

import doctest
import importlib
import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import harness, machine
from benchmarks.harness import Options

# Those that load no peer: pytest collects examples of the packages only.
MODULES = ("flops", "harness", "ladder", "machine", "steady", "svm", "tables")


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    found = doctest.testmod(importlib.import_module(f"benchmarks.{name}"))
    assert found.attempted > 0
    assert found.failed == 0


def test_ratios_are_taken_round_by_round():
    """The median of the quotients, 3, not the quotient of the medians, 2: rounds share what disturbs them."""
    assert harness.ratios([10.0, 30.0, 20.0], [2.0, 10.0, 20.0]) == [5.0, 3.0, 1.0]
    assert harness.spread(harness.ratios([10.0, 30.0, 20.0], [2.0, 10.0, 20.0])) == "3.00 (1.00-5.00)"


def test_rounds_must_be_pairs():
    with pytest.raises(ValueError, match="zip"):
        harness.ratios([1.0, 2.0], [1.0])


def test_a_ratio_of_times_is_theirs_to_ours():
    results = [[{"fit": 2.0}, {"fit": 8.0}], [{"fit": 1.0}, {"fit": 6.0}], [{"fit": 4.0}, {"fit": 20.0}]]
    assert harness.ratio(results, "fit") == "5.0 (4.0-6.0)"
    assert (harness.median(results, 0, "fit"), harness.median(results, 1, "fit")) == (2.0, 8.0)


def test_timed_calls_warm_up_and_then_at_least_once():
    calls = []
    assert len(harness.timed(lambda: calls.append(0), 0.0, warm_up=2)) == 1
    assert len(calls) == 3


def child(code):
    """Return what a process prints that runs `code` after it has loaded the harness."""
    code = f"from benchmarks.harness import *\n{code}"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_the_peak_of_a_process_is_its_own():
    """Linux hands the maximum of `getrusage` on to a child, which would then show the memory of its parent."""
    ours = np.ones(400_000_000, np.uint8)
    assert int(child("print(peak_of_process())")) < ours.nbytes / 2


def test_the_peak_of_a_process_remembers_what_was_freed():
    peak, now = map(int, child("block = bytes(b'1') * 300_000_000\ndel block\n"
                               "print(peak_of_process(), memory())").split())
    assert peak > 300_000_000 > now


def test_what_is_measured_is_not_measured_again(tmp_path, monkeypatch, capsys):
    runs = []

    def run_child(module, task):
        runs.append(task)
        return {"fit": float(len(runs))}

    monkeypatch.setattr(harness, "run_child", run_child)
    for task in ({"seed": 0}, {"seed": 1}, {"seed": 0}):
        harness.measured("benchmarks.forest", task, Options(out=tmp_path))
    assert runs == [{"seed": 0}, {"seed": 1}]
    lines = (tmp_path / "forest.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"seed": 0, "fit": 1.0}, {"seed": 1, "fit": 2.0}]
    harness.measured("benchmarks.forest", {"seed": 0}, Options(quick=True, out=tmp_path))
    assert len(runs) == 3, "a smoke run that reads old results shows nothing"


def test_a_peer_that_is_missing_is_named_with_what_installs_it():
    with pytest.raises(ImportError, match=r"no_such_peer.*pip install"):
        harness.need("no_such_peer")


def test_the_stamp_names_machine_and_versions():
    stamp = machine.stamp()
    assert stamp["cores"] >= 1
    assert stamp["processor"]
    assert stamp["versions"]["numpy"] == np.__version__
    json.dumps(stamp)


def test_ceilings_count_operations_and_bytes(monkeypatch):
    """A product of n x n matrices takes 2 n^3 operations, the triad three arrays: with a clock that says 1 s."""
    monkeypatch.setattr(machine, "timed", lambda step, seconds: [2.0, 1.0])
    assert machine.gemm(1, 100, 0.0) == pytest.approx(2e6 / 1e9)
    assert machine.bandwidth(1, 1000, 0.0) == pytest.approx(12_000 / 1e9)


def test_the_triad_is_the_triad():
    a, b, c = np.zeros(5, np.float32), np.arange(5, dtype=np.float32), np.full(5, 3, np.float32)
    machine.triad(a, b, c, np.float32(2))
    assert a.tolist() == [6, 7, 8, 9, 10]
