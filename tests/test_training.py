"""`fit`: it learns, keeps the best epoch, and a run stopped anywhere continues to the same bits."""
from __future__ import annotations

import errno
import json
import os
import sys
import zlib

import numpy as np
import pytest
import threadpoolctl
from PIL import Image

import minicnn
from minicnn import checkpoint, evaluation, ops, recipes
from minicnn.data import Dataset
from minicnn.history import KEYS, History
from minicnn.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from minicnn.network import Network
from minicnn.npz import CheckpointError
from minicnn.optim import SGD, MaxNorm, schedules
from minicnn.training import DivergedError, StopTraining, fit

N, CLASSES = 70, 3  # 70 images in batches of 16: the last batch of an epoch has 6


@pytest.fixture(autouse=True)
def _numpy_backend():
    with minicnn.use_backend("numpy"):
        yield


def make_data(n=N, seed=0, size=8):
    """Images in which a bright row, column or nothing says which class it is."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % CLASSES
    images = rng.random((n, 1, size, size), dtype=np.float32) * 0.3
    for image, label in zip(images, labels):
        where = rng.integers(1, size - 1)
        if label == 0:
            image[0, where] += 0.7
        elif label == 1:
            image[0, :, where] += 0.7
    return images, labels


TRAIN, VALID = make_data(), make_data(30, seed=1)


def make_net(seed=0, drop=0.2, fuse=True):
    return Network([[Conv2d(4, 3), ReLU(), MaxPool2d(2)], [Flatten(), Dropout(drop), Linear(CLASSES)]],
                   (1, 8, 8), seed, fuse=fuse, name="small")


def make_optimizer(net):
    return SGD(net.parameters(), schedules.Exponential(0.1, 0.99), schedules.Linear(0.5, 0.9, epochs=3))


def run(folder, epochs, net=None, **changes):
    """Train as a new process would: with a new network, optimizer and constraints."""
    net = make_net() if net is None else net
    settings = {"optimizer": make_optimizer(net), "constraints": [MaxNorm(net.parameters(), 1.5)],
                "batch_size": 16, "seed": 3, "progress": False, **changes}
    return net, fit(net, settings.pop("train", TRAIN), settings.pop("valid", VALID), epochs,
                    checkpoint_dir=folder, **settings)


def arrays_of(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name != "header.json"}


def header_of(path):
    return checkpoint.read_archive(path, *checkpoint.STATE_FORMAT)[0]


def assert_same_run(a, b, epochs):
    """Equal weights after every epoch, and an equal state: all but the times is the same to the bit."""
    for epoch in range(epochs + 1):
        name = f"epoch-{epoch:03d}.npz"
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    ours, theirs = arrays_of(a / "state.npz"), arrays_of(b / "state.npz")
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    first, second = header_of(a / "state.npz"), header_of(b / "state.npz")
    for records in (first["history"], second["history"]):
        for record in records:
            assert record.pop("seconds") > 0 and record.pop("images_per_second") > 0
    assert first == second


# Learning

def test_learns_with_the_defaults():
    net = make_net(drop=0.0)
    history = fit(net, make_data(300), VALID, epochs=25, batch_size=16, progress=False)
    assert history.best["valid_accuracy"] > 0.85
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def test_one_epoch_is_the_algorithm_on_the_page():
    """The same updates, written out here with the operations."""
    net, history = run(None, 1, make_net(drop=0.0))
    other = make_net(drop=0.0)
    optimizer, constraint = make_optimizer(other), MaxNorm(other.parameters(), 1.5)
    order = np.random.Generator(np.random.PCG64(3)).permutation(N)
    images, labels = TRAIN
    sizes, loss, right = [], 0.0, 0
    for start in range(0, N, 16):
        batch = order[start:start + 16]
        sizes.append(len(batch))
        logits = other.forward(images[batch], training=True)
        mean, cache = ops.softmax_cross_entropy(logits, labels[batch])
        loss += len(batch) * mean / N
        right += int((logits.argmax(axis=1) == labels[batch]).sum())
        other.backward(ops.softmax_cross_entropy_backward(cache))
        optimizer.step()
        constraint.apply()
    assert sizes == [16, 16, 16, 16, 6]  # the ragged last batch is used
    assert history["loss"] == [pytest.approx(loss)]
    assert history["accuracy"] == [right / N]
    for a, b in zip(net.parameters(), other.parameters()):
        np.testing.assert_array_equal(a.value, b.value)


def test_history_says_what_happened():
    net, history = run(None, 3)
    assert history["epoch"] == [1, 2, 3]
    assert all(set(record) == set(KEYS) for record in history)
    optimizer = make_optimizer(make_net())
    for record in history:  # five updates an epoch; rate and momentum are those of its first
        done = record["epoch"] - 1
        assert record["lr"] == optimizer.lr(5 * done, done)
        assert record["momentum"] == optimizer.momentum(5 * done, done)
        assert record["images_per_second"] == pytest.approx(N / record["seconds"])
    best = history.best
    loss, accuracy = evaluation.evaluate(net, VALID)
    assert (loss, accuracy) == pytest.approx((best["valid_loss"], best["valid_accuracy"]))


class Jump(schedules.Schedule):
    """A rate at which the network learns, and then one at which it forgets."""

    def __call__(self, step, epoch):
        return 0.1 if epoch < 4 else 3.0

    def __repr__(self):
        return "Jump()"


def test_ends_with_the_weights_of_the_best_epoch(tmp_path):
    straight, parts = tmp_path / "straight", tmp_path / "parts"
    net = make_net()
    net, history = run(straight, 7, net, optimizer=SGD(net.parameters(), Jump(), 0.5))
    best = history.best["epoch"]
    assert best <= 4
    for epochs in (5, 7):  # also when the best epoch lies before the stop
        again = make_net()
        run(parts, epochs, again, optimizer=SGD(again.parameters(), Jump(), 0.5))
    assert_same_run(straight, parts, 7)
    kept = checkpoint.load(straight / f"epoch-{best:03d}.npz")
    last = checkpoint.load(straight / "epoch-007.npz")
    for mine, k, l in zip(net.parameters(), kept.parameters(), last.parameters()):
        np.testing.assert_array_equal(mine.value, k.value)
        assert not np.array_equal(mine.value, l.value)


def test_best_epoch_prefers_accuracy_then_loss_then_the_first():
    base = dict.fromkeys(KEYS, 0.0)
    history = History(base | {"epoch": e, "valid_accuracy": a, "valid_loss": v} for e, a, v in
                      ((1, 0.5, 0.1), (2, 0.6, 0.9), (3, 0.6, 0.7), (4, 0.6, 0.7), (5, 0.6, 0.8)))
    assert history.best["epoch"] == 3
    with pytest.raises(ValueError, match="empty"):
        _ = History().best


def test_dataset_and_pair_are_the_same(tmp_path):
    names = ("row", "column", "none")
    _, a = run(None, 1, train=Dataset(*TRAIN, names), valid=Dataset(*VALID, names))
    _, b = run(None, 1)
    assert a["loss"] == b["loss"] and a["valid_loss"] == b["valid_loss"]


# Exact resume

@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_two_and_two_epochs_equal_four(tmp_path, backend):
    with minicnn.use_backend(backend):
        straight, _ = run(tmp_path / "straight", 4)
        run(tmp_path / "parts", 2)
        resumed, history = run(tmp_path / "parts", 4)
    assert_same_run(tmp_path / "straight", tmp_path / "parts", 4)
    assert history["epoch"] == [1, 2, 3, 4]
    for a, b in zip(straight.parameters(), resumed.parameters()):
        np.testing.assert_array_equal(a.value, b.value)
    lines = (tmp_path / "parts" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]


def test_the_first_weights_of_a_resumed_net_do_not_matter(tmp_path):
    run(tmp_path / "straight", 3)
    run(tmp_path / "parts", 1)
    run(tmp_path / "parts", 3, make_net(seed=77))
    assert_same_run(tmp_path / "straight", tmp_path / "parts", 3)


class Stop:
    """A network that is interrupted in its forward pass number `after`."""

    def __init__(self, net, after, error):
        self.left, self.error, self.real = after, error, net.forward
        net.forward = self

    def __call__(self, x, training=False):
        self.left -= training
        if self.left < 0:
            raise self.error
        return self.real(x, training=training)


@pytest.mark.parametrize("batches", [0, 2, 5, 8])
def test_ctrl_c_in_the_middle_of_an_epoch(tmp_path, batches):
    run(tmp_path / "straight", 3)
    net = make_net()
    Stop(net, batches, KeyboardInterrupt())
    done = batches // 5
    with pytest.raises(KeyboardInterrupt, match=rf"stopped in epoch {done + 1} of 3.*up to {done} are saved.*"
                                                r"checkpoint_dir=.*parts'.*resume=True"):
        run(tmp_path / "parts", 3, net)
    run(tmp_path / "parts", 3)
    assert_same_run(tmp_path / "straight", tmp_path / "parts", 3)


def test_ctrl_c_without_a_folder_says_that_nothing_is_saved():
    net = make_net()
    before = checkpoint.get_weights(net)
    Stop(net, 3, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt, match="nothing is saved: give fit a checkpoint_dir"):
        run(None, 3, net)
    for name, value in checkpoint.get_weights(net).items():  # no epoch was validated: the net is as it was
        np.testing.assert_array_equal(value, before[name])


def test_the_same_net_and_optimizer_continue_after_ctrl_c(tmp_path):
    """As in a notebook, where the interrupted objects live on."""
    run(tmp_path / "straight", 3)
    net = make_net()
    optimizer = make_optimizer(net)
    stop = Stop(net, 7, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", 3, net, optimizer=optimizer)
    net.forward = stop.real
    run(tmp_path / "parts", 3, net, optimizer=optimizer)
    assert_same_run(tmp_path / "straight", tmp_path / "parts", 3)


def test_a_finished_run_returns_at_once_with_its_best_weights(tmp_path):
    net, history = run(tmp_path, 2)
    again = make_net(seed=5)
    Stop(again, 0, AssertionError("trained again"))
    _, same = run(tmp_path, 2, again)
    assert same.records == history.records
    for a, b in zip(net.parameters(), again.parameters()):
        np.testing.assert_array_equal(a.value, b.value)


def test_resume_false_starts_again_and_removes_the_old_run(tmp_path):
    run(tmp_path, 3)
    (tmp_path / "notes.txt").write_text("mine")
    net = make_net()
    run(tmp_path, 1, net, seed=8, resume=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "epoch-000.npz", "epoch-001.npz", "history.jsonl", "notes.txt", "state.npz"]


OTHER = (TRAIN[0][::-1].copy(), TRAIN[1])


@pytest.mark.parametrize(("change", "message"), [
    ({"seed": 4}, "seed is 3 in the saved run, 4 here"),
    ({"batch_size": 8}, "batch_size is 16 in the saved run, 8 here"),
    ({"train": (TRAIN[0][:60], TRAIN[1][:60])}, "training data images is 70 in the saved run, 60 here"),
    ({"train": OTHER}, "training data checksum"),
    ({"valid": (VALID[0][:20], VALID[1][:20])}, "validation data images is 30 in the saved run, 20 here"),
    ({"constraints": ()}, r"constraints is .*MaxNorm\(limit=1.5.* in the saved run, \[\] here"),
    ({"epochs": 1}, "has done 2 epochs already, more than epochs=1"),
])
def test_refuses_the_state_of_another_run(tmp_path, change, message):
    run(tmp_path, 2)
    before = (tmp_path / "state.npz").read_bytes()
    with pytest.raises(CheckpointError, match=message):
        run(tmp_path, change.pop("epochs", 3), **change)
    assert (tmp_path / "state.npz").read_bytes() == before


@pytest.mark.parametrize(("settings", "message"), [
    ({"lr": 0.2}, r"optimizer lr is .Exponential\(start=0.1.* 'Constant\(value=0.2\)' here"),
    ({"nesterov": True}, "optimizer nesterov is False in the saved run, True here"),
    ({"weight_decay": 0.1}, r"optimizer weight_decay is 0\.0"),
    ({"momentum": 0.4}, "optimizer momentum"),
])
def test_refuses_another_optimizer(tmp_path, settings, message):
    run(tmp_path, 1)
    net = make_net()
    usual = make_optimizer(net)
    other = SGD(net.parameters(), **{"lr": usual.lr, "momentum": usual.momentum, **settings})
    with pytest.raises(CheckpointError, match=message):
        run(tmp_path, 2, net, optimizer=other)


def test_refuses_another_architecture(tmp_path):
    run(tmp_path, 1)
    with pytest.raises(CheckpointError, match=r"stages\[1\]\[1\] drop_prob is 0\.2 .*, 0\.3 here"):
        run(tmp_path, 2, make_net(drop=0.3))


def test_refuses_a_state_that_is_cut_short_or_inconsistent(tmp_path):
    run(tmp_path, 1)
    state = tmp_path / "state.npz"
    data = state.read_bytes()
    state.write_bytes(data[:len(data) // 2])
    with pytest.raises(CheckpointError, match="cut short or damaged"):
        run(tmp_path, 2)
    state.write_bytes(data)
    other = checkpoint.TrainingState.load(state)
    other.velocities = {}
    other.save(state)
    with pytest.raises(CheckpointError, match="is inconsistent: KeyError"):
        run(tmp_path, 2)


def test_a_constraint_without_a_repr_of_its_own_can_be_resumed(tmp_path):
    class Nothing:
        def apply(self):
            pass

    run(tmp_path, 1, constraints=[Nothing()])
    run(tmp_path, 2, constraints=[Nothing()])


# What is on disk

def test_checkpoint_of_every_epoch_from_the_random_weights_on(tmp_path):
    net = make_net()
    first = checkpoint.get_weights(net)
    seen = []
    run(tmp_path, 2, net, callbacks=[lambda net, **_: seen.append(checkpoint.get_weights(net))])
    for epoch, weights in enumerate([first, *seen]):
        saved = checkpoint.load(tmp_path / f"epoch-{epoch:03d}.npz")
        for name, value in checkpoint.get_weights(saved).items():
            np.testing.assert_array_equal(value, weights[name])


@pytest.mark.parametrize("call", range(12))
def test_a_disk_that_fills_up_leaves_the_last_state(tmp_path, monkeypatch, call):
    """Every write of epoch 2 and after it fails in turn; after each the run continues to the same bits."""
    run(tmp_path / "straight", 3)
    run(tmp_path / "parts", 1)
    real, left = os.fsync, [call + 2]  # the probe's two come first

    def full(descriptor):
        if left[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        return real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"into folder .*parts: No space left"):
        run(tmp_path / "parts", 3)
    monkeypatch.setattr(os, "fsync", real)
    assert header_of(tmp_path / "parts" / "state.npz")["epoch"] in (1, 2, 3)
    assert not list((tmp_path / "parts").glob(".*"))
    run(tmp_path / "parts", 3)
    assert_same_run(tmp_path / "straight", tmp_path / "parts", 3)


def test_a_folder_that_cannot_be_written_is_known_before_training(tmp_path):
    (tmp_path / "file").write_text("x")
    net = make_net()
    Stop(net, 0, AssertionError("training began"))
    with pytest.raises(OSError, match=r"output folder .*file/run cannot be written"):
        run(tmp_path / "file" / "run", 1, net)


def test_a_full_disk_is_known_before_training(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    net = make_net()
    Stop(net, 0, AssertionError("training began"))
    with pytest.raises(OSError, match=r"No space left on device\. Choose another folder, or free space"):
        run(tmp_path, 1, net)


# Things that go wrong

def test_a_rate_that_is_too_large_is_named(tmp_path):
    net = Network([[Flatten(), Linear(CLASSES)]], (1, 8, 8))  # no ReLU that could die
    settings = {"optimizer": SGD(net.parameters(), 1e38, 0.9), "constraints": ()}
    with pytest.raises(DivergedError, match=r"epoch 1, step \d: the loss is .*rate 1e\+38 is too large"):
        run(tmp_path, 3, net, **settings)
    assert header_of(tmp_path / "state.npz")["epoch"] == 0  # the last good checkpoint stays
    first = checkpoint.get_weights(checkpoint.load(tmp_path / "epoch-000.npz"))
    for name, value in checkpoint.get_weights(net).items():  # and the net is back at it
        np.testing.assert_array_equal(value, first[name])
    assert issubclass(DivergedError, ValueError)


def test_pixels_that_turn_nan_are_named():
    images, labels = TRAIN[0].copy(), TRAIN[1]

    def spoil(**_):
        images[41, 0, 2, 2] = np.nan

    with pytest.raises(DivergedError, match=r"epoch 2, step \d: the loss is nan: training image 41 has NaN"):
        run(None, 3, train=(images, labels), callbacks=[spoil])


def test_weights_that_were_nan_before_are_named():
    net = make_net()
    net.parameters()[2].value[0, 0] = np.nan
    with pytest.raises(DivergedError, match=r"step 1: .*stage2\.linear\.w were not finite before training"):
        run(None, 1, net, constraints=())


def test_a_validation_loss_that_is_not_finite(tmp_path):
    """The last update of an epoch may break the weights when no training loss is left to show it."""
    net = make_net()

    class Spoil:
        calls = 0

        def apply(self):
            self.calls += 1
            if self.calls == 10:
                net.parameters()[-1].value[0] = np.nan

    with pytest.raises(DivergedError, match="epoch 2: the validation loss is nan after step 10"):
        run(tmp_path, 3, net, constraints=[Spoil()])
    assert header_of(tmp_path / "state.npz")["epoch"] == 1


def bad_pixel():
    images = TRAIN[0].copy()
    images[12, 0, 3, 4] = np.inf
    return images, TRAIN[1]


def bad_label(value):
    labels = TRAIN[1].copy()
    labels[7] = value
    return TRAIN[0], labels


@pytest.mark.parametrize(("data", "message"), [
    (bad_pixel(), r"pixel \(3, 4\) of channel 0 of image 12 is inf \(1 such"),
    (bad_label(3), "label 3 of image 7 is outside 0 to 2, the classes of network 'small'"),
    (bad_label(-1), "label -1 of image 7"),
    ((TRAIN[0], TRAIN[1].astype(float)), "labels of shape .* and dtype float64"),
    ((TRAIN[0], TRAIN[1][:-1]), r"labels of shape \(69,\).*expected 70 integers"),
    ((np.zeros((4, 3, 8, 8)), np.zeros(4, int)), r"images of 3 channels, 8x8.* takes \(N, 1, 8, 8\)"),
    ((np.zeros((4, 1, 9, 8)), np.zeros(4, int)), r"grey images of 9x8 pixels, .* takes \(N, 1, 8, 8\)"),
    ((np.zeros((4, 64)), np.zeros(4, int)), r"images of shape \(4, 64\)"),
    ((np.zeros((0, 1, 8, 8)), np.zeros(0, int)), "holds no images"),
    ((np.zeros((4, 1, 8, 8), complex), np.zeros(4, int)), "dtype complex128"),
    (Dataset(TRAIN[0], TRAIN[1], tuple("abcd")), r"has 4 classes, but .* has 3 outputs: .*n_classes=4"),
    (TRAIN[0], "train is a ndarray: expected a Dataset or an"),
    ((*TRAIN, 3), "train is a tuple"),
])
def test_data_that_do_not_fit_are_named_before_training(tmp_path, data, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "out", 1, train=data)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match=message.replace("train is", "valid is")):
        run(tmp_path / "out", 1, valid=data)


@pytest.mark.parametrize(("change", "message"), [
    ({"epochs": 0}, "epochs=0"), ({"epochs": 2.5}, r"epochs=2\.5"), ({"batch_size": 0}, "batch_size=0"),
    ({"seed": -1}, "seed=-1"), ({"seed": None}, "seed=None"), ({"patience": 0}, "patience=0"),
])
def test_settings_out_of_range(change, message):
    with pytest.raises(ValueError, match=message):
        run(None, change.pop("epochs", 1), **change)


def test_an_optimizer_of_another_net_is_refused():
    with pytest.raises(ValueError, match="parameters that are not those of network 'small'"):
        run(None, 1, optimizer=make_optimizer(make_net()))


# Callbacks, patience, defaults, threads, the bar

def test_callbacks_see_the_epoch_on_disk_and_may_stop_training(tmp_path):
    calls = []

    def watch(net, epoch, history, record):
        calls.append((epoch, len(history), record["epoch"], header_of(tmp_path / "state.npz")["epoch"]))
        if epoch == 2:
            raise StopTraining

    _, history = run(tmp_path, 5, callbacks=[watch])
    assert calls == [(1, 1, 1, 1), (2, 2, 2, 2)]
    assert len(history) == 2


def test_patience_counts_epochs_since_the_best(tmp_path):
    net = make_net()
    still = SGD(net.parameters(), 0.0)  # nothing improves on the first epoch
    _, history = run(tmp_path, 9, net, optimizer=still, constraints=(), patience=3)
    assert history["epoch"] == [1, 2, 3, 4]
    net = make_net()
    _, same = run(tmp_path, 9, net, optimizer=SGD(net.parameters(), 0.0), constraints=(), patience=3)
    assert len(same) == 4


def test_default_recipe(tmp_path):
    fit(make_net(), TRAIN, VALID, epochs=2, batch_size=16, checkpoint_dir=tmp_path, progress=False)
    settings = header_of(tmp_path / "state.npz")["settings"]
    assert settings["optimizer"]["lr"] == repr(schedules.Exponential(recipes.LR, recipes.DECAY, per="epoch"))
    assert settings["optimizer"]["momentum"] == f"Constant(value={recipes.MOMENTUM})"
    assert settings["constraints"] == [
        f"MaxNorm(limit={recipes.MAX_NORM}, parameters=['stage1.conv2d.w', 'stage2.linear.w'])"]
    assert settings["training data"] == {
        "images": N, "checksum": f"{zlib.crc32(TRAIN[1].tobytes(), zlib.crc32(TRAIN[0].tobytes())):08x}"}


@pytest.mark.parametrize(("backend", "one"), [("numba", True), ("numpy", False)])
def test_blas_has_one_thread_beside_numba_and_only_inside_fit(backend, one):
    def threads():
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]

    before, inside = threads(), []
    with minicnn.use_backend(backend):
        run(None, 1, callbacks=[lambda **_: inside.extend(threads())])
    assert inside == ([1] * len(before) if one else before)
    assert threads() == before


def test_progress_bar(capsys):
    run(None, 2, progress=True)
    text = capsys.readouterr().err
    assert "epoch 2/2: 100%" in text
    for word in ("images/s", "loss 1.", "accuracy 0.", "valid: loss"):
        assert word in text
    run(None, 1)
    assert capsys.readouterr().err == ""


def test_float64_networks_train_in_float64():
    net = Network([[Flatten(), Linear(CLASSES)]], (1, 8, 8), dtype=np.float64)
    history = fit(net, TRAIN, VALID, epochs=1, progress=False)
    assert net.parameters()[0].value.dtype == np.float64
    assert history.best["valid_loss"] > 0


def test_fused_and_plain_training_agree():
    with minicnn.use_backend("numba"):
        _, a = run(None, 1, make_net(fuse=True))
        _, b = run(None, 1, make_net(fuse=False))
    assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)


# Evaluation and history files

def test_evaluate_by_hand():
    net = Network([[Flatten(), Linear(2)]], (1, 1, 1), dtype=np.float64)
    w, b = net.parameters()
    w.value[...] = [[0.0], [1.0]]
    b.value[...] = 0
    # Logits (0, x). The loss of label 1 is log(1 + e^-x): log 2 at x = 0, and log 4/3 at x = log 3, where
    # the loss of label 0 is log 4.
    images = np.array([0.0, np.log(3), np.log(3)]).reshape(3, 1, 1, 1)
    loss, accuracy = evaluation.evaluate(net, (images, np.array([1, 1, 0])), batch_size=2)
    assert loss == pytest.approx((np.log(2) + np.log(4 / 3) + np.log(4)) / 3)
    assert accuracy == pytest.approx(1 / 3)


def test_history_round_trip_and_bad_lines(tmp_path):
    _, history = run(tmp_path, 2)
    path = tmp_path / "history.jsonl"
    assert History.load(path).records == history.records
    with pytest.raises(KeyError, match="'losses': a history has epoch, loss"):
        history["losses"]
    path.write_text(path.read_text() + "{oops\n")
    with pytest.raises(ValueError, match=r"history\.jsonl, line 3 is not JSON"):
        History.load(path)
    path.write_text('{"epoch": 1}\n')
    with pytest.raises(ValueError, match="line 1 is no record"):
        History.load(path)


@pytest.mark.parametrize("epochs", [1, 2])
def test_history_plot_is_a_picture_and_leaves_pyplot_alone(tmp_path, monkeypatch, epochs):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it is now an error
    _, history = run(None, epochs)
    history.plot(tmp_path / "h.png")
    with Image.open(tmp_path / "h.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert picture.size == (1200, 480)
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):  # both curves are there
        assert (pixels == colour).all(axis=1).sum() > 50
    with pytest.raises(ValueError, match="empty"):
        History().plot(tmp_path / "none.png")


def test_no_module_global_generator_is_used():
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    run(None, 1)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
