"""The command line as a user meets it: what it prints, what it leaves, and one line for every mistake."""
from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn import checkpoint, commands, data, evaluation, figures, recipes, training
from minicnn.cli import main
from minicnn.data import load_split

DATA = ["--data", "synthetic:n=240,classes=4", "--backend", "numpy"]
ROOT = Path(minicnn.__file__).parent.parent


@pytest.fixture(autouse=True)
def _keep_the_backend():
    before = minicnn.get_backend()
    yield
    minicnn.set_backend(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One short run that the tests below look at."""
    out = tmp_path_factory.mktemp("runs") / "a b"  # a space, which a command to copy must quote
    before = minicnn.get_backend()
    assert main(["train", "cnn1", *DATA, "--epochs", "2", "--out", str(out), "--seed", "5"]) == 0
    minicnn.set_backend(before)
    return out


def run(capsys, *arguments):
    """Run the command line; return exit status, stdout and stderr."""
    try:
        status = main([str(a) for a in arguments])
    except SystemExit as error:
        status = error.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_without_a_command_it_prints_help(capsys):
    status, out, err = run(capsys)
    assert (status, err) == (0, "")
    for word in ("usage:", "train", "evaluate", "summary", "data"):
        assert word in out
    assert "fetch" in run(capsys, "data")[1]


def test_train_leaves_everything(trained):
    assert sorted(p.name for p in trained.iterdir()) == [
        "epoch-000.npz", "epoch-001.npz", "epoch-002.npz", "history.jsonl", "history.png", "net.npz",
        "predictions.png", "run.json", "split.json", "state.npz"]
    for name in ("history.png", "predictions.png"):
        with Image.open(trained / name) as picture:
            assert min(picture.size) > 300
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20


def test_run_json_holds_what_is_needed_to_run_it_again(trained):
    record = json.loads((trained / "run.json").read_text())
    assert record["command"] == ("python -m minicnn train cnn1 --data synthetic:n=240,classes=4 "
                                 f"--backend numpy --epochs 2 --out '{trained}' --seed 5")
    assert (record["seed"], record["model"], record["machine"]["backend"]) == (5, "cnn1", "numpy")
    assert record["versions"]["numpy"] == np.__version__
    everything = data.load("synthetic:n=240,classes=4", 28)
    train, valid, test = load_split(trained / record["data"]["split"], everything)
    assert record["data"]["images"] == [len(train), len(valid), len(test)]
    net = checkpoint.load(trained / "net.npz")
    results = record["results"]
    with minicnn.use_backend("numpy"):
        loss, accuracy = evaluation.evaluate(net, test)
        assert (loss, accuracy) == pytest.approx((results["test_loss"], results["test_accuracy"]))
        assert evaluation.evaluate(net, valid)[1] == pytest.approx(results["valid_accuracy"])


def test_train_is_resumed_and_tests_once(capsys, tmp_path, trained, monkeypatch):
    tested = []
    real = evaluation.evaluate

    def counting(net, part):
        tested.append(len(part))
        return real(net, part)

    monkeypatch.setattr(evaluation, "evaluate", counting)
    one_epoch = training._Run.one_epoch
    monkeypatch.setattr(training._Run, "one_epoch", stop_in(2, one_epoch))
    arguments = ["train", "cnn1", *DATA, "--epochs", "2", "--seed", "5", "--out", tmp_path / "it's"]
    status, _, err = run(capsys, *arguments, "--no-resume")
    assert status == 130
    assert err.count("\n") == 2 and "Traceback" not in err  # an empty line ends the bar that was being drawn
    shown = err.partition("Continue with: python -m minicnn ")[2]
    assert "--no-resume" not in shown
    assert tested == []
    monkeypatch.setattr(training._Run, "one_epoch", one_epoch)
    status, out, _ = run(capsys, *shlex.split(shown))  # as a shell would read the line that was shown
    assert status == 0
    assert "epoch 2: loss" in out and "epoch 1: loss" not in out
    assert len(tested) == 1 and out.count("test accuracy") == 1
    for name in ("net.npz", "epoch-002.npz"):
        assert (tmp_path / "it's" / name).read_bytes() == (trained / name).read_bytes()


def stop_in(epoch, one_epoch):
    def stopping(self, progress):
        if self.epoch + 1 == epoch:
            raise KeyboardInterrupt
        return one_epoch(self, progress)
    return stopping


def test_resuming_with_other_settings_is_refused_and_changes_nothing(capsys, trained):
    before = {p.name: p.read_bytes() for p in trained.iterdir()}
    for change, message in ((["--lr", "0.01"], "optimizer lr"), (["--seed", "6"], "checksum"),
                            (["--batch-size", "60"], "batch_size is 128 in the saved run, 60 here")):
        status, _, err = run(capsys, "train", "cnn1", *DATA, "--epochs", "2", "--seed", "5", "--out", trained,
                             *change)
        assert status == 2 and err.count("\n") == 1 and message in err
        assert {p.name: p.read_bytes() for p in trained.iterdir()} == before


def test_evaluate_uses_the_split_of_the_run(capsys, trained):
    results = json.loads((trained / "run.json").read_text())["results"]
    status, out, _ = run(capsys, "evaluate", trained / "net.npz", *DATA, "--seed", "5")
    assert status == 0
    assert f"test: accuracy {results['test_accuracy']:.4f}, loss {results['test_loss']:.4f}" in out
    assert f"accuracy {results['valid_accuracy']:.4f}" in run(
        capsys, "evaluate", trained / "net.npz", *DATA, "--seed", "5", "--part", "valid")[1]
    assert "240 images" in run(capsys, "evaluate", trained / "net.npz", *DATA, "--part", "all")[1]
    assert "40 images" in run(capsys, "evaluate", trained / "net.npz", *DATA, "--counts", "150,30,40")[1]


def test_evaluate_refuses_other_data_and_other_files(capsys, trained, tmp_path):
    other = ["--data", "synthetic:n=240,classes=5", "--backend", "numpy"]
    status, _, err = run(capsys, "evaluate", trained / "net.npz", *other)
    assert status == 2 and "is a network for 4 classes, but synthetic:n=240,classes=5 has 5" in err
    status, _, err = run(capsys, "evaluate", trained / "state.npz", *DATA)
    assert status == 2 and "is a 'minicnn training state' file" in err
    status, _, err = run(capsys, "evaluate", tmp_path / "none.npz", *DATA)
    assert status == 2 and err == f"minicnn: error: No such file or directory: {tmp_path}/none.npz\n"


@pytest.mark.parametrize(("arguments", "shapes"), [
    (["cnn1"], ["(32,12,12)", "(48,4,4)", "(64,1,1)", "121 way"]),
    (["cnn2", "--classes", "10"], ["(32,36,36)", "(48,12,12)", "10 way"]),
    (["cnn3", "--dropout", "all"], ["(48,10,10)", "(24,3,3)", "drop 0.5"]),
    (["cnn1", "--size", "32"], ["1x32x32 images", "(32,14,14)"]),
])
def test_summary(capsys, arguments, shapes):
    status, out, _ = run(capsys, "summary", *arguments, "--backend", "numpy")
    assert status == 0
    assert all(shape in out for shape in shapes)


@pytest.mark.parametrize(("arguments", "message"), [
    (["fly"], "invalid choice: 'fly'"),
    (["train", "cnn9", "--out", "x"], "invalid choice: 'cnn9'"),
    (["train", "cnn1"], "arguments are required: --out"),
    (["train", "cnn1", "--out", "x", "--epochs", "0"], "--epochs: '0': expected a positive whole number"),
    (["train", "cnn1", "--out", "x", "--batch-size", "-3"], "expected a whole number, 0 or more"),
    (["train", "cnn1", "--out", "x", "--batch-size", "many"], "'many': expected a whole number"),
    (["train", "cnn1", "--out", "x", "--counts", "10,20"], "'10,20': expected three whole numbers"),
    (["train", "cnn1", "--out", "x", "--data", "imagenet:y"], "unknown data spec 'imagenet:y'"),
    (["train", "cnn1", "--out", "x", "--data", "mnist:nowhere"], "nowhere"),
    (["train", "cnn1", "--out", "x", *DATA, "--dropout", "all"], "cnn1 has no dropout, only cnn3 has"),
    (["train", "cnn1", "--out", "x", *DATA, "--size", "8"], "stage 2"),
    (["train", "cnn1", "--out", "x", *DATA, "--max-norm", "-1"], "limit=-1.0"),
    (["train", "cnn1", "--out", "x", *DATA, "--momentum", "1"], "momentum=1.0"),
    (["train", "cnn1", "--out", "x", "--lr", "-1"], "argument --lr: '-1': lr=-1.0: expected a finite learning rate"),
    (["train", "cnn1", "--out", "x", "--lr", "nan"], "--lr: 'nan'"),
    (["train", "cnn1", "--out", "x", "--lr", "1e400"], "--lr: '1e400'"),
    (["train", "cnn1", "--out", "x", "--lr", "fast"], "--lr: 'fast': expected a number"),
    (["train", "cnn1", "--out", "x", "--momentum", "-0.1"], "--momentum: '-0.1': momentum=-0.1: expected 0 <= "),
    (["train", "cnn3", "--out", "x", "--max-norm", "0"], "--max-norm: '0': limit=0.0: expected a positive"),
    (["train", "cnn1", "--out", "x", "--max-norm", "inf"], "--max-norm: 'inf'"),
    (["train", "cnn1", "--out", "x", "--epochs", "2.5"], "--epochs: '2.5'"),
    (["train", "cnn1", "--out", "x", "--size", "0"], "--size: '0': expected a positive whole number"),
    (["train", "cnn1", "--out", "x", "--counts", "9,0,1"], "--counts: '9,0,1': expected three whole numbers, each at"),
    (["train", "cnn1", "--out", "x", "--seed", "9" * 5000], "9': expected a whole number"),
    (["summary", "cnn1", "--classes", "9" * 14], "minicnn: error: out of memory: "),
    (["evaluate", "net.npz", "--seed", "1.5"], "--seed: '1.5': expected a whole number"),
    (["train", "cnn1", "--out", "x", *DATA, "--seed", "-1"], "--seed: '-1': expected a whole"),
    (["train", "cnn1", "--out", "/dev/null/x", *DATA], "output folder /dev/null/x cannot be written"),
    (["summary", "cnn1", "--size", "5"], "stage 1"),
    (["data", "fetch", "imagenet", "--to", "x"], "invalid choice: 'imagenet'"),
])
def test_mistakes_are_one_line_and_status_2(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capsys, *arguments)
    assert status == 2
    assert err.count("\n") == 1 and message in err and "Traceback" not in err


def test_what_the_options_get_is_refused_before_anything_is_loaded(monkeypatch, tmp_path):
    monkeypatch.setattr(commands.data, "load_splits", lambda *_, **__: pytest.fail("it loaded images"))
    for option in ("--lr", "--momentum", "--max-norm"):
        with pytest.raises(SystemExit):
            main(["train", "cnn1", *DATA, "--out", str(tmp_path / "out"), option, "-1"])
    assert not (tmp_path / "out").exists()


def test_the_network_of_a_run_knows_its_classes(trained):
    names = data.load("synthetic:n=240,classes=4", 28).class_names
    for file in ("net.npz", "epoch-000.npz", "epoch-002.npz"):
        assert checkpoint.load(trained / file).class_names == names


@pytest.mark.parametrize("names", [("a", "b"), ("b", "c"), ("a", "b", "c")])
def test_evaluate_numbers_the_classes_of_a_folder_by_name(capsys, tmp_path, names):
    """A folder numbers its classes from 0, whether or not the first class of the network is there."""
    net = minicnn.models.cnn1(n_classes=3, seed=1)
    net.class_names = ("c", "b", "a")       # and the network in another order than folders have
    minicnn.save(net, tmp_path / "net.npz")
    rng = np.random.default_rng(0)
    for name in names:
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for k in range(8):
            picture = Image.fromarray(rng.integers(0, 256, (28, 28), dtype=np.uint8))
            picture.save(tmp_path / "pictures" / name / f"{k}.png")
    spec = f"folder:{tmp_path / 'pictures'}"
    status, out, err = run(capsys, "evaluate", tmp_path / "net.npz", "--data", spec, "--part", "all",
                           "--backend", "numpy")
    images = data.load(spec, 28)
    right = [net.class_names[k] == images.class_names[label] for k, label in zip(net.predict(images.images),
                                                                                images.labels)]
    assert (status, err) == (0, "") and f"all: accuracy {np.mean(right):.4f}" in out
    (tmp_path / "pictures" / names[0]).rename(tmp_path / "pictures" / "d")
    status, _, err = run(capsys, "evaluate", tmp_path / "net.npz", "--data", spec, "--part", "all")
    assert status == 2 and "has class 'd'" in err and err.count("\n") == 1


def test_an_unavailable_backend_is_an_error_with_the_install_command(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    status, _, err = run(capsys, "summary", "cnn1", "--backend", "cupy")
    assert status == 2 and err.count("\n") == 1 and "pip install cupy" in err


def recipe_of(monkeypatch, *arguments):
    """Return what `fit` is given for these arguments, without training."""
    seen = {}

    def fit(net, train, valid, epochs, **settings):
        seen.update(settings)
        raise ValueError("enough")

    monkeypatch.setattr(commands, "fit", fit)
    assert main(["train", *arguments, *DATA, "--out", "out"]) == 2
    return seen


@pytest.mark.parametrize(("arguments", "lr", "momentum", "limits"), [
    (["cnn1", "--epochs", "3"], f"Exponential(start={recipes.LR}, factor={recipes.DECAY}, floor=0.0, per='epoch')",
     f"Constant(value={recipes.MOMENTUM})", [recipes.MAX_NORM]),
    (["cnn1", "--epochs", "3", "--lr", "0.1", "--momentum", "0.5", "--max-norm", "2"],
     f"Exponential(start=0.1, factor={recipes.DECAY}, floor=0.0, per='epoch')", "Constant(value=0.5)", [2.0]),
    (["cnn3"], f"Exponential(start={recipes.MAXOUT_LR}, factor={recipes.MAXOUT_DECAY}, floor=0.0, per='epoch')",
     f"Constant(value={recipes.MOMENTUM})", [0.9, 1.9365]),
    (["cnn3", "--lr", "0.02", "--momentum", "0.6", "--max-norm", "1"],
     f"Exponential(start=0.02, factor={recipes.MAXOUT_DECAY}, floor=0.0, per='epoch')", "Constant(value=0.6)", [1.0]),
])
def test_recipes(monkeypatch, tmp_path, capsys, arguments, lr, momentum, limits):
    monkeypatch.chdir(tmp_path)
    seen = recipe_of(monkeypatch, *arguments)
    settings = seen["optimizer"].settings()
    assert (settings["lr"], settings["momentum"]) == (lr, momentum)
    assert [constraint.limit for constraint in seen["constraints"]] == limits


def test_fetch_prints_how_to_train(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(commands.fetch, "fetch", lambda name, to, base_url: [Path(to) / "train.gz"])
    status, out, _ = run(capsys, "data", "fetch", "mnist", "--to", tmp_path / "m n")
    assert status == 0
    assert f"--data 'mnist:{tmp_path}/m n'" in out


def test_predictions_mark_right_and_wrong_by_word_and_symbol(tmp_path, monkeypatch):
    texts = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_title", lambda self, text, **_: texts.append(text))
    names = ("acantharia_protist_big_center", "copepod", "b")
    figures.predictions(np.zeros((3, 3, 5, 5)), np.array([1, 0, 2]), np.eye(3)[[1, 1, 0]] * 0.5 + 0.1, names,
                        tmp_path / "p.png", columns=2)
    assert texts == ["✓ copepod 60%", "✗ copepod 60%\ntrue: acantharia prot…g center",
                     "✗ acantharia prot…g center 60%\ntrue: b"]
    with pytest.raises(ValueError, match="no image"):
        figures.predictions(np.zeros((0, 1, 5, 5)), np.zeros(0), np.zeros((0, 3)), names, tmp_path / "p.png")


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_a_real_ctrl_c_in_a_real_process(tmp_path):
    """SIGINT in the middle of training: exit status 130, one message, a state that loads."""
    command = [sys.executable, "-m", "minicnn", "train", "cnn1", *DATA, "--epochs", "5000"]
    process = subprocess.Popen([*command, "--out", str(tmp_path)], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (tmp_path / "epoch-002.npz").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Continue with: python -m minicnn train cnn1" in err and "Traceback" not in err
    state = checkpoint.TrainingState.load(tmp_path / "state.npz")
    assert state.epoch >= 1
    assert checkpoint.load(tmp_path / f"epoch-{state.epoch:03d}.npz").n_classes == 4
    assert not list(tmp_path.glob(".*"))


def test_decoded_images_are_kept_beside_the_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for k in range(60):
        file = tmp_path / "pictures" / f"class{k % 2}" / f"{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (30, 30), dtype=np.uint8)).save(file)
    command = ["train", "cnn1", "--data", "folder:pictures", "--epochs", "1", "--out", "out"]
    assert main(command) == 0
    kept = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out" / "cache").iterdir()}
    assert kept
    assert main([*command[:-3], "2", "--out", "out"]) == 0  # a longer run: the same images, read from there
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out" / "cache").iterdir()} == kept
