"""Tables of made-up measurements, worked out by hand."""
from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from benchmarks import end_to_end, steady, training
from benchmarks.tables import Table

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
    from minicnn import models

    assert [tuple(p.shape) for p in epoch_torch.network().parameters()] == [
        p.value.shape for p in models.cnn1().parameters()]
