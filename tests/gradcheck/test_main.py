"""The command line of the gradient checker."""
from __future__ import annotations

import subprocess
import sys

import pytest

from minicnn import models, ops
from minicnn.gradcheck import __main__ as command
from minicnn.gradcheck.__main__ import main
from tests.gradcheck.small import network


@pytest.mark.parametrize("line", [
    "conv2d --stride 2 --pad 1 --size 3 --shape 2,3,7,8 --seed 3 --backend numpy",
    "conv2d --stride 2,1 --size 2,3 --filters 2 --shape 1,2,4,4 --version loops",
    "conv2d --version vectorised --backend numpy",
    "max_pool2d --size 3 --stride 2 --pad 1 --ceil-mode --backend numpy",
    "relu --version loops", "maxout --pieces 3 --version vectorised", "dropout --drop-prob 0.3 --scale 1",
    "linear --units 4 --shape 3,2", "softmax_cross_entropy --version loops",
])
def test_command_line_passes(line, capsys):
    assert main(line.split()) == 0
    output = capsys.readouterr().out
    assert "passed" in output and "all gradients are right" in output


def test_seed_changes_the_inputs(capsys):
    outputs = []
    for seed in "112":
        main(["relu", "--seed", seed, "--version", "loops"])
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != outputs[2]


def test_wrong_gradient_gives_status_1(monkeypatch, capsys):
    monkeypatch.setattr(ops, "relu_loops_backward", lambda dy, cache: 2 * dy)
    assert main(["relu", "--version", "loops"]) == 1
    output = capsys.readouterr().out
    assert "FAILED" in output and "worst: x[" in output and "is WRONG" in output


def test_network_and_all(monkeypatch, capsys):
    def tiny(**options):
        return network(seed=options["seed"])

    monkeypatch.setattr(models, "MODELS", {"tiny": tiny})
    assert main(["network", "tiny", "--batch", "3", "--backend", "numpy"]) == 0
    assert "network small: passed" in capsys.readouterr().out
    monkeypatch.setattr(command, "SETTINGS", {"relu": [{}], "maxout": [{"pieces": 2}]})
    assert main(["all", "--backend", "numpy"]) == 0
    output = capsys.readouterr().out
    for title in ("relu [loops]", "relu [vectorised]", "relu [numpy]", "maxout, 2 pieces, tied [loops]",
                  "network small"):
        assert f"gradient check of {title}: passed" in output


@pytest.mark.parametrize(("line", "message"), [
    ("", "OP"),
    ("conv3d", "invalid choice: 'conv3d'"),
    ("conv2d --stride two", "'two': expected integers, not less than 0"),
    ("relu --seed -1", "'-1': expected integers, not less than 0"),
    ("conv2d --stride 1,2,3", "expected an integer or a pair"),
    ("conv2d --shape 2,0,5,5", "'2,0,5,5': expected integers, not less than 1"),
    ("conv2d --shape 2,5,5", "conv2d takes 4 numbers"),
    ("conv2d --filters 1,2", "expected one integer"),
    ("conv2d --size 9", "9"),
    ("conv2d --pieces 2", "unrecognized arguments: --pieces 2"),
    ("relu --version loops --backend numba", "give one of the two"),
    ("dropout --drop-prob 1.5", "drop_prob=1.5"),
    ("network cnn9", "invalid choice: 'cnn9'"),
])
def test_bad_options_are_usage_errors(line, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(line.split())
    assert exit_.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize("line", ["--help", "conv2d --help", "network --help"])
def test_help(line, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(line.split())
    assert exit_.value.code == 0 and "python -m minicnn.gradcheck" in capsys.readouterr().out


def test_module_runs_as_a_program():
    words = [sys.executable, "-W", "error", "-m", "minicnn.gradcheck", "relu", "--version", "loops"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0 and "gradient check of relu [loops]: passed" in done.stdout, done.stderr
