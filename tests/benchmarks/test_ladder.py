"""Every rung computes the same layer; a rung that does not is an error, not a line of the table."""
from __future__ import annotations

import numpy as np
import pytest

from benchmarks import ladder, rungs
from benchmarks.harness import Options

CEILINGS = {"gemm_gflops": {"1": 100.0, "2": 200.0}}


@pytest.fixture(scope="module")
def problem():
    return rungs.make_problem(3)


@pytest.fixture(scope="module")
def ladder_of_rungs(problem):
    return rungs.make_rungs(problem, loops=True)


def test_outputs_are_equal_to_the_bit_and_gradients_up_to_rounding(ladder_of_rungs):
    found, alive = ladder_of_rungs
    assert [rung.name for rung in found] == ["Python loops", "compiled loops", "im2col + GEMM", "register tile",
                                             "three operations", "fused layer", "im2col + GEMM", "dense tiles",
                                             "three operations", "winners only"]
    for rung in found:
        limit = ladder.EXACT if rung.direction == "forward" else ladder.ROUNDING
        assert rungs.error(rung.run(), rung.expected) <= limit, rung.name
    assert 0.02 < alive <= 0.25, "of the gradient a part is zero, and not all: else the rungs prove little"


def test_the_reference_is_the_layer_that_torch_computes(torch, problem, ladder_of_rungs):
    found, _ = ladder_of_rungs
    x, w, b, dy = (torch.tensor(array, dtype=torch.float64) for array in problem)
    for tensor in (x, w, b):
        tensor.requires_grad_()
    z = torch.nn.functional.conv2d(x, w, b)
    y = torch.nn.functional.max_pool2d(torch.relu(z), 2)
    y.backward(dy)
    expected = {("forward", "convolution"): [z], ("forward", "layer"): [y], ("backward", "layer"): [
        x.grad, w.grad, b.grad]}
    for rung in found[1:]:
        for ours, theirs in zip(rung.expected, expected.get((rung.direction, rung.covers), [])):
            np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-12, atol=1e-12)


def test_loops_time_a_part_and_are_scaled_to_the_whole(ladder_of_rungs):
    found, _ = ladder_of_rungs
    parts = {rung.name: rung.part for rung in found}
    assert parts["Python loops"] == rungs.SLICE / (3 * 48)
    assert {part for name, part in parts.items() if name != "Python loops"} == {1.0}


def row(**changes):
    return {"direction": "forward", "name": "fused layer", "covers": "layer", "threads": 2, "part": 1.0, "error": 0.0,
            "seconds": [0.01, 0.02, 0.04], "flops": 2e9, **changes}


@pytest.mark.parametrize("wrong", [{"error": 1e-7}, {"error": float("nan")},
                                   {"direction": "backward", "error": 1e-3}])
def test_a_wrong_rung_stops_the_ladder(monkeypatch, wrong):
    monkeypatch.setattr(ladder, "run_child", lambda *task, **rest: {"alive": 0.1, "rows": [row(), row(**wrong)]})
    with pytest.raises(ArithmeticError, match="fused layer"):
        ladder.measure(Options(quick=True, threads=(1,)))


def test_table_of_the_ladder_by_hand():
    """2 GFLOP in 20 ms, the median of three rounds, are 100 GFLOP/s: half of the ceiling of two threads."""
    loops = row(name="Python loops", covers="convolution", threads=1, part=1 / 96, seconds=[200.0])
    forward, backward = ladder.tables({"images": 8, "rounds": 3, "rows": [loops, row()]}, CEILINGS)
    assert forward.rows == [["Python loops", "convolution", "1", "200,000.00", "0.0100", "0 %"],
                            ["fused layer", "layer", "2", "20.00 (10.00-40.00)", "100.00", "50 %"]]
    assert "1/96" in forward.notes[0]
    assert not backward.rows
