"""Tables of made-up measurements, worked out by hand."""
from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from benchmarks import end_to_end, flops, forest, problems, steady, svm, training
from benchmarks.harness import Options
from benchmarks.tables import Table
from minicnn import models

CEILINGS = {"gemm_gflops": {"1": 40.0, "2": 80.0}}


def test_a_table_with_a_missing_cell_is_an_error():
    with pytest.raises(ValueError, match="zip"):
        Table("t", ("a", "b"), [("1",)]).text()


def test_a_bar_in_a_cell_does_not_end_it():
    assert "| a\\|b |" in Table("t", ("name",), [("a|b",)]).markdown()


def test_training_and_inference():
    """20 images/s of 1 GFLOP are 20 GFLOP/s of 40; the ratio is the median of 5, 3 and 1."""
    row = {"model": "cnn1", "threads": 1, "batch": 32, "layout": "contiguous", "flops": 1_000_000_000,
           "minicnn": [10.0, 30.0, 20.0], "torch": [2.0, 10.0, 20.0],
           "minicnn_peak": [100_000_000] * 3, "torch_peak": [200_000_000, 400_000_000, 250_000_000]}
    found = {"rounds": 3, "rows": [{**row, "activity": "training"}, {**row, "activity": "inference"}]}
    speed, memory = training.tables(found, CEILINGS)
    assert [line[1] for line in speed.rows] == ["training", "inference"]
    assert speed.rows[0] == ["cnn1", "training", "1", "20 (10-30)", "10 (2-20)", "3.00 (1.00-5.00)", "20 : 10",
                             "50 % : 25 %", "batch 32, contiguous"]
    assert memory.rows == [["cnn1", "1", "100 (100-100)", "250 (200-400)", "0.40 (0.25-0.50)"]]
    assert isinstance(training.draw(found, CEILINGS), Figure)


def test_steadiness():
    """40 us an image at best, of 2 MFLOP each: 50 GFLOP/s; the worst batch size takes a quarter longer."""
    found = {"rounds": 1, "flat": [{"model": "cnn1", "activity": "training", "threads": 2, "batches": [32, 64],
                                    "flops": 2_000_000, "microseconds": [[50.0], [40.0]]}],
             "long": [{"model": "cnn1", "batch": 128, "steps": 1000, "memory": [5e6, *[9e6] * 8, 7e6, 6e6],
                       "seconds": [0.001] * 9 + [0.002]}]}
    flat, long = steady.tables(found, CEILINGS)
    assert flat.rows == [["cnn1", "training", "50.0", "40.0", "25 %", "50", "62 %"]]
    assert long.rows == [["cnn1", "128", "5.0", "6.0", "+1.0", "1.00", "2.00"]]
    assert isinstance(steady.draw(found, CEILINGS), Figure)


def test_end_to_end():
    """Whole processes, theirs : ours; what compiling costs is taken start by start."""
    found = {"images": 25_000, "threads": 2, "rounds": 2, "configuration": "batch 128, contiguous",
             "epochs": {"minicnn": [2.0, 4.0], "torch": [4.0, 6.0]},
             "starts": {"compiling": [20.0, 31.0], "cached": [1.0, 2.0], "torch": [3.0, 3.0]}}
    epoch, start = end_to_end.tables(found, CEILINGS)
    assert epoch.rows[0][1:4] == ["3.00 (2.00-4.00)", "5.00 (4.00-6.00)", "1.75 (1.50-2.00)"]
    assert start.rows[2][1] == "24.00 (19.00-29.00)"
    assert isinstance(end_to_end.draw(found, CEILINGS), Figure)


def test_the_peer_of_the_first_epoch_is_cnn1(torch):
    from benchmarks import epoch_torch

    assert [tuple(p.shape) for p in epoch_torch.network().parameters()] == [
        p.value.shape for p in models.cnn1().parameters()]


def test_the_peer_is_the_fastest_configuration_and_takes_turns_with_ours(monkeypatch):
    """Four scouts; each later pair is one run of ours and one of the best."""
    speeds = {("torch", 128, "channels_last"): 5.0, ("torch", 128, "contiguous"): 7.0,
              ("torch", 32, "channels_last"): 9.0, ("torch", 32, "contiguous"): 6.0, ("minicnn", 128, ""): 18.0}
    runs = []

    def run_child(module, task, blas_threads, **environment):
        runs.append((task["library"], task["batch"], task["layout"]))
        return {"images_per_second": speeds[runs[-1]], "peak": 1}

    monkeypatch.setattr(training, "run_child", run_child)
    row = training.compare("cnn1", "inference", 2, Options(rounds=2))
    assert runs[8:] == [("minicnn", 128, ""), ("torch", 32, "channels_last")] * 2  # after two tries of each of four
    assert (row["minicnn"], row["torch"]) == ([18.0, 18.0], [9.0, 9.0])
    assert (row["batch"], row["layout"]) == (32, "channels_last")
    assert row["flops"] == flops.per_image(models.cnn1())[0]


def library(fit, **more):
    return {"fit": fit, "predict": 0.5, "peak": 2e6, "accuracy": 0.5, "importances": [0.1, 0.7, 0.2], **more}


def test_forest():
    """Fits of 2 and 4 s against 8 and 20 s: four and five times as fast."""
    pairs = [[library(2.0, oob=0.4, in_memory=1e6, pickled=2e6), library(8.0, in_memory=4e6, pickled=5e6)],
             [library(4.0, oob=0.6), library(20.0)]]
    found = {"trees": 400, "problems": {"layer3": pairs}, "growth": [
        {"samples": 5000, "classes": 2, "pair": [{"fit": 2.0, "visits": 10**9}, {"fit": 3.0, "visits": 10**9}]}]}
    accuracy, speed, growth = forest.tables(found, CEILINGS)
    assert accuracy.rows == [["layer3", "0.5000 (0.0000)", "0.5000 (0.0000)", "equal", "0.5000", "1.000", "1.000"]]
    assert speed.rows[0][1:4] == ["3.00", "14.00", "4.5 (4.0-5.0)"]
    assert speed.rows[0][-4:] == ["1", "4.0", "2", "2.5"]
    assert growth.rows == [["5,000", "2", "2.00", "3.00", "1.5", "2.0", "3.0"]]
    assert isinstance(forest.draw(found, CEILINGS), Figure)


def test_svm():
    """Coefficients of 1,024 x 128 samples, 2 classes, one-vs-one: one problem of 8 bytes a sample, 1 MB."""
    found = {"speed": [{"problem": "layer3", "strategy": "ovo", "jobs": "2 : 1",
                        "pairs": [[library(1.0), library(3.0)], [library(2.0), library(10.0)]]}],
             "memory": [{"problem": "made", "strategy": "ovo", "cache": 200, "peak": 3 * 2**20, "samples": 2**17,
                         "classes": 2}],
             "growth": [{"samples": 5000, "classes": 2, "pair": [library(2.0), library(3.0)]}]}
    speed, memory, growth = svm.tables(found, CEILINGS)
    assert speed.rows[0][:6] == ["layer3", "ovo", "2 : 1", "1.50", "6.50", "4.0 (3.0-5.0)"]
    assert memory.rows == [["made", "ovo", "200", "3", "1"]]
    assert growth.rows == [["5,000", "2", "2.00", "3.00", "1.5"]]
    assert isinstance(svm.draw(found, CEILINGS), Figure)


def test_equal_solutions_are_reported_as_such():
    line = svm.agreement("layer3", "ovo", {"dual": [10.0, 20.0], "found": [1, 2, 3, 4], "accuracy": 0.5},
                         {"dual": [10.0, 20.2], "found": [1, 2, 3, 5], "accuracy": 0.25})
    assert "2 problems differ by at most 9.9e-03" in line
    assert "75.00% of the predictions" in line


def test_problems_are_those_whose_data_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(problems, "FOLDER", tmp_path)
    assert problems.prepare(Options()) == ["made:25000:64:121"]
    for name in ("mnist", "layer3"):
        (tmp_path / f"{name}.npz").touch()
    assert problems.prepare(Options(plankton="not read again", mnist="nor this")) == ["layer3", "mnist"]
    assert problems.prepare(Options(quick=True)) == ["made:300:8:5"]
