"""What `train` and `evaluate` believe of the files in a run folder, and what they refuse to do to them."""
from __future__ import annotations

import json
import shutil
import struct
import sys

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn import commands, data, training
from minicnn.cli import main
from minicnn.history import History

from .plumbing.test_folders import OWNER
from .processes import running

SPEC = "synthetic:n=120,classes=4"


@pytest.fixture(autouse=True, scope="module")
def _without_pictures():
    """Drawing takes longer than these trainings; `test_cli` looks at the pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(History, "plot", lambda self, path: None)
        patch.setattr(commands, "_draw_predictions", lambda *arguments: None)
        yield


@pytest.fixture(autouse=True)
def _keep_the_backend():
    before = minicnn.get_backend()
    yield
    minicnn.set_backend(before)


def run(*words):
    return main([str(word) for word in words] + ["--backend", "numpy"])


def train(out, *words, spec=SPEC, epochs=1):
    return run("train", "cnn1", "--data", spec, "--epochs", epochs, "--out", out, *words)


def evaluate(capsys, checkpoint, *words, spec=SPEC):
    """Return exit status, the number of images that were tested, and stderr."""
    capsys.readouterr()
    status = run("evaluate", checkpoint, "--data", spec, *words)
    out, err = capsys.readouterr()
    return status, int(out.split()[-2]) if out else None, err


def held_out(out):
    """Return the rows of the test images that a run records."""
    return json.loads((out / "split.json").read_text())["test"]["indices"]


def rows_of(seed):
    """Return the rows of the test images of a seed."""
    return data.load_splits(SPEC, seed=seed)[2].source["indices"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of seed 5, which no test changes."""
    out = tmp_path_factory.mktemp("trained") / "run"
    before = minicnn.get_backend()
    assert train(out, "--seed", 5) == 0
    minicnn.set_backend(before)
    return out


def stop(*arguments):
    """Stop as Ctrl-C does."""
    raise KeyboardInterrupt


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# Which images a run was trained and tested on

def test_the_split_of_a_command_that_failed_is_not_that_of_the_next(tmp_path, monkeypatch):
    def fail(*arguments):
        raise ValueError("failed")

    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "open", fail)      # the last moment before there is a run
        assert train(tmp_path) == 2
    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "one_epoch", stop)
        assert train(tmp_path, "--seed", 7) == 130
        assert held_out(tmp_path) == rows_of(7)         # as soon as there is a network that could be tested
    assert train(tmp_path, "--seed", 7) == 0
    assert held_out(tmp_path) == rows_of(7)


def test_a_command_that_is_refused_leaves_the_split_of_the_run(tmp_path, trained, capsys):
    out = shutil.copytree(trained, tmp_path / "run")
    before = files(out)
    assert train(out, "--seed", 8) == 2
    assert train(out, "--seed", 8, "--no-resume", "--size", 5) == 2
    assert files(out) == before and held_out(out) == rows_of(5)


def test_a_wrong_split_of_a_run_is_mended_when_it_is_continued(tmp_path, trained):
    """Older versions believed what a failed command had written."""
    out = shutil.copytree(trained, tmp_path / "run")
    data.save_split(out / "split.json", data.load_splits(SPEC, seed=1))
    assert train(out, "--seed", 5, epochs=2) == 0
    assert held_out(out) == rows_of(5)


def test_starting_again_leaves_nothing_of_the_old_run(tmp_path, trained, monkeypatch):
    """Else the old net.npz would be tested on images that are test images of the new run."""
    out = shutil.copytree(trained, tmp_path / "run")
    (out / "notes.txt").write_text("mine")
    monkeypatch.setattr(training._Run, "one_epoch", stop)
    assert train(out, "--seed", 6, "--no-resume") == 130
    assert sorted(files(out)) == ["epoch-000.npz", "history.jsonl", "notes.txt", "split.json", "state.npz"]
    assert held_out(out) == rows_of(6)


def test_evaluate_takes_the_images_that_were_held_out(capsys, trained):
    results = json.loads((trained / "run.json").read_text())["results"]
    status = run("evaluate", trained / "net.npz", "--data", SPEC)
    assert status == 0
    assert f"test: accuracy {results['test_accuracy']:.4f}, loss {results['test_loss']:.4f}" in capsys.readouterr().out
    run("evaluate", trained / "epoch-001.npz", "--data", SPEC, "--part", "valid")
    assert f"valid: accuracy {results['valid_accuracy']:.4f}" in capsys.readouterr().out


def test_evaluate_says_when_test_images_were_trained_on(capsys, trained):
    train, valid, _ = data.load_splits(SPEC, seed=5)
    known = {*train.source["indices"], *valid.source["indices"]} & {*rows_of(1)}
    status, n, err = evaluate(capsys, trained / "net.npz", "--seed", 1)
    assert (status, n) == (0, 15)
    assert f"warning: {len(known)} of these 15 test images were trained or validated on" in err
    assert evaluate(capsys, trained / "net.npz", "--seed", 5) == (0, 15, "")
    assert evaluate(capsys, trained / "net.npz", "--seed", 1, "--part", "train")[::2] == (0, "")


def test_evaluate_without_a_record_does_not_call_images_test_images(capsys, tmp_path, trained):
    shutil.copy(trained / "net.npz", tmp_path)
    status, n, err = evaluate(capsys, tmp_path / "net.npz")
    assert (status, n) == (2, None)
    assert "split.json does not exist" in err and "--part all" in err and "--seed N" in err and err.count("\n") == 1
    assert evaluate(capsys, tmp_path / "net.npz", "--part", "all") == (0, 120, "")
    assert evaluate(capsys, tmp_path / "net.npz", "--seed", 5) == (0, 15, "")


@pytest.mark.parametrize("content", ["", "{}", "[" * 5000, '{"format": "minicnn split 1"}', "null"])
def test_evaluate_refuses_a_record_that_is_none(capsys, tmp_path, trained, content):
    out = shutil.copytree(trained, tmp_path / "run")
    (out / "split.json").write_text(content)
    status, n, err = evaluate(capsys, out / "net.npz")
    assert (status, n) == (2, None) and "split.json is not a split of this version" in err and "Traceback" not in err


def test_evaluate_refuses_the_record_of_other_images(capsys, trained):
    status, n, err = evaluate(capsys, trained / "net.npz", spec="synthetic:n=120,classes=4,seed=3")
    assert (status, n) == (2, None) and "the labels of the train images are not those that were split" in err


def write_mnist(folder):
    """Write a set with a published test part, and return its spec."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for prefix, n in (("train", 100), ("t10k", 40)):
        pixels, classes = rng.bytes(n * 784), bytes(i % 10 for i in range(n))
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 0x803, n, 28, 28) + pixels)
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 0x801, n) + classes)
    return f"mnist:{folder}"


def test_a_published_test_part_is_recorded_and_tested_on(capsys, tmp_path):
    """Its rows are counted from 0 again, so the same numbers in two parts are no image listed twice."""
    spec = write_mnist(tmp_path / "images")
    assert train(tmp_path / "run", spec=spec) == 0
    assert held_out(tmp_path / "run") == list(range(40))
    net = tmp_path / "run" / "net.npz"
    assert evaluate(capsys, net, spec=spec) == (0, 40, "")
    assert evaluate(capsys, net, "--part", "valid", spec=spec) == (0, 6, "")
    assert evaluate(capsys, net, "--seed", 3, "--counts", "60,30,20", spec=spec) == (0, 20, "")
    (tmp_path / "run" / "split.json").unlink()
    assert evaluate(capsys, net, spec=spec) == (0, 40, "")      # nobody trains on the published test part
    assert evaluate(capsys, net, "--part", "valid", spec=spec)[0] == 2


# What is not overwritten, and where a run may lie

def test_a_network_without_its_state_is_not_replaced(capsys, tmp_path, trained):
    """A user who keeps the result and removes the rest."""
    shutil.copy(trained / "net.npz", tmp_path)
    before = files(tmp_path)
    assert train(tmp_path) == 2
    assert "holds net.npz, but not state.npz" in capsys.readouterr().err and files(tmp_path) == before
    assert train(tmp_path, "--no-resume") == 0
    assert files(tmp_path)["net.npz"] != before["net.npz"]


def test_a_folder_in_which_another_process_trains_is_refused(capsys, tmp_path):
    with running(sys.executable, "-c", OWNER, str(tmp_path)) as other:
        assert other.stdout.readline() == "mine\n"
        assert train(tmp_path) == 2
        err = capsys.readouterr().err
        assert f"{tmp_path} is in use by process {other.pid}" in err and err.count("\n") == 1
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_half_written_files_of_a_killed_command_are_removed(tmp_path):
    (tmp_path / "cache").mkdir()
    half = [tmp_path / ".net.npz.12.part", tmp_path / ".run.json.12.part", tmp_path / "cache" / ".0a.npz.12.part"]
    for path in [*half, tmp_path / ".mine.part"]:
        path.write_bytes(b"half")
    assert train(tmp_path) == 0
    assert [path.name for path in tmp_path.rglob("*.part")] == [".mine.part"]


def test_two_commands_at_once_give_one_run(tmp_path):
    """The second says who is there; the first ends as if it had been alone."""
    command = [sys.executable, "-m", "minicnn", "train", "cnn1", "--data", SPEC, "--epochs", "2", "--backend", "numpy"]
    with running(*command, "--out", str(tmp_path / "run")) as first:
        for line in first.stdout:
            if "epoch 1" in line:
                break
        with running(*command, "--out", str(tmp_path / "run")) as second:
            _, err = second.communicate(timeout=240)
            assert second.returncode == 2 and f"in use by process {first.pid}" in err
        first.stdout.read()
        assert first.wait(240) == 0
    with running(*command, "--out", str(tmp_path / "alone")) as alone:      # not here: BLAS may have other threads here
        alone.stdout.read()
        assert alone.wait(240) == 0
    assert (tmp_path / "run" / "net.npz").read_bytes() == (tmp_path / "alone" / "net.npz").read_bytes()
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.parametrize("place", ["images", "images/run", "images/a/run", "link/run", "far"])
def test_a_run_among_the_data_is_refused_and_its_folder_not_made(capsys, tmp_path, place):
    rng = np.random.default_rng(0)
    for k in range(60):
        file = tmp_path / "images" / "ab"[k % 2] / f"{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (30, 30), dtype=np.uint8)).save(file)
    shutil.move(tmp_path / "images" / "b", tmp_path / "far")
    (tmp_path / "images" / "b").symlink_to(tmp_path / "far")
    (tmp_path / "link").symlink_to("images")
    before = sorted(tmp_path.rglob("*"))
    assert train(tmp_path / place, spec=f"folder:{tmp_path}/images") == 2
    err = capsys.readouterr().err
    assert "is inside the data folder" in err and err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
