"""The options of every command line: what they take, and what they say of the rest."""
from __future__ import annotations

import argparse
import sys

import pytest

import benchmarks.__main__ as benchmarks_cli
from benchmarks import accuracy
from minicnn import arguments
from minicnn.gradcheck.__main__ import main as gradcheck_main
from minicnn.optim import learning_rate


@pytest.mark.parametrize(("parse", "text", "value"), [
    (arguments.whole, "0", 0), (arguments.whole, "007", 7), (arguments.positive, "3", 3),
    (arguments.at_most(5), "5", 5), (arguments.counts, "5,1,2", (5, 1, 2)), (arguments.jobs, "-1", -1),
    (arguments.jobs, "1024", 1024), (arguments.setting(learning_rate), "1e-3", 0.001),
    (arguments.setting(learning_rate), "0", 0.0),
])
def test_what_is_taken(parse, text, value):
    assert parse(text) == value


@pytest.mark.parametrize(("parse", "text", "message"), [
    *((arguments.whole, text, "expected a whole number, 0 or more")
      for text in ("-1", "+1", "1.0", "1e3", "", " 1", "\u00b2", "\u0663", "1_000", "9" * 19, "9" * 5000, "nan",
                   "0x1")),
    (arguments.positive, "0", "expected a positive whole number"), (arguments.positive, "000", "positive"),
    (arguments.at_most(5), "6", "expected at most 5"), (arguments.at_most(5), "0", "positive"),
    *((arguments.counts, text, "expected three whole numbers, each at least 1")
      for text in ("1,2", "1,2,3,4", "1,2,0", "1,2,-3", "1,2,", ",,", "a,b,c", "1.5,2,3", "1;2;3")),
    *((arguments.jobs, text, "expected a number of threads from 1 to 1024, or -1 for all cores")
      for text in ("0", "-0", "--1", "-", "", "1025", "-1025", "two", "1.0", "9" * 5000)),
    (arguments.setting(learning_rate), "fast", "'fast': expected a number"),
    (arguments.setting(learning_rate), "nan", "'nan': lr=nan: expected a finite learning rate"),
    (arguments.setting(learning_rate), "-inf", "'-inf': lr=-inf"),
])
def test_what_is_refused(parse, text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message) as refused:
        parse(text)
    assert repr(text) in str(refused.value)


def run(monkeypatch, capsys, main, *words):
    """Return the exit status of a command line, and what it wrote to stderr."""
    monkeypatch.setattr(sys, "argv", ["command", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code, capsys.readouterr().err


@pytest.mark.parametrize(("words", "message"), [
    (["ladder", "--rounds", "0"], "--rounds: '0': expected a positive whole number"),
    (["ladder", "--rounds", "abc"], "--rounds: 'abc'"), (["ladder", "--threads", "two"], "--threads: 'two'"),
    (["ladder", "--threads", "-1"], "--threads: '-1'"), (["svm", "--plankton", "ocean"], "unknown data spec 'ocean'"),
    (["all", "--mnist", "mnist:/nowhere"], "mnist:/nowhere: there is no file or folder /nowhere"),
])
def test_benchmarks_measure_nothing_after_a_wrong_word(monkeypatch, capsys, words, message):
    monkeypatch.setattr(benchmarks_cli, "run", lambda *_: pytest.fail("it measured"))
    status, said = run(monkeypatch, capsys, lambda: benchmarks_cli.main(words))
    assert status == 2 and message in said


@pytest.mark.parametrize("words", [["--seeds", "-1"], ["--seeds", "x"], ["--epochs", "0"], ["--size", "0"],
                                   ["--split-seed", "0.5"]])
def test_accuracy_trains_nothing_after_a_wrong_word(monkeypatch, capsys, words):
    monkeypatch.setattr(accuracy.data, "load_splits", lambda *_, **__: pytest.fail("it loaded images"))
    status, said = run(monkeypatch, capsys, accuracy.main, "--data", "synthetic", *words)
    assert status == 2 and f"argument {words[0]}: {words[1]!r}" in said


@pytest.mark.parametrize(("words", "message"), [
    (["conv2d", "--size", "abc"], "--size: 'abc': expected integers"),
    (["conv2d", "--shape", "100000,100000,1000,1000"], "Unable to allocate"),
    (["dropout", "--drop-prob", "nan"], "drop_prob=nan: expected a probability"),
    (["dropout", "--scale", "-1"], "scale=-1.0: expected a positive number"),
    (["maxout", "--pieces", "0"], "--pieces: '0'"), (["network", "cnn1", "--batch", "0"], "--batch: '0'"),
    (["conv2d", "--stride", "0"], "stride=0"), (["linear", "--seed", "-1"], "--seed: '-1'"),
])
def test_the_gradient_checker_says_what_is_wrong(monkeypatch, capsys, words, message):
    status, said = run(monkeypatch, capsys, lambda: gradcheck_main(words))
    assert status == 2 and message in said and "Traceback" not in said
