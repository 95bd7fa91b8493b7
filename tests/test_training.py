"""`fit`: it learns, keeps the best epoch, and names what went wrong."""
from __future__ import annotations

import zlib

import numpy as np
import pytest
import threadpoolctl

import minicnn
from minicnn import checkpoint, evaluation, ops, recipes
from minicnn.data import Dataset
from minicnn.history import KEYS, History
from minicnn.layers import Flatten, Linear
from minicnn.network import Network
from minicnn.optim import SGD, MaxNorm, schedules
from minicnn.training import DivergedError, StopTraining, fit

from .runs import (
    CLASSES,
    TRAIN,
    VALID,
    N,
    assert_same_run,
    header_of,
    make_data,
    make_net,
    make_optimizer,
    run,
)

pytestmark = pytest.mark.usefixtures("numpy_backend")


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
    ({"epochs": True}, "epochs=True"), ({"epochs": "3"}, "epochs='3'"), ({"batch_size": 1.5}, r"batch_size=1\.5"),
    ({"batch_size": -1}, "batch_size=-1"), ({"seed": 1.5}, r"seed=1\.5"), ({"seed": True}, "seed=True"),
    ({"optimizer": 0.1}, r"optimizer=0\.1: expected minicnn\.optim\.SGD"), ({"optimizer": "sgd"}, "optimizer='sgd'"),
    ({"constraints": 3}, "constraints=3: expected a list"), ({"constraints": [1.5]}, r"constraints=\[1\.5\]"),
    ({"callbacks": print}, "callbacks=<built-in function print>: expected a list"),
    ({"callbacks": [3]}, r"callbacks=\[3\]"), ({"resume": "no"}, "resume='no': expected True or False"),
])
def test_settings_out_of_range(change, message):
    with pytest.raises(ValueError, match=message):
        run(None, change.pop("epochs", 1), **change)


def test_a_checkpoint_folder_is_a_path():
    with pytest.raises(ValueError, match="checkpoint_dir=3: expected the path of a folder, or None"):
        run(3, 1)


def test_settings_may_be_numpy_integers_and_batches_larger_than_the_data():
    _, a = run(None, np.int64(1), batch_size=np.int32(1000), seed=np.uint8(3))
    _, b = run(None, 1, batch_size=N, seed=3)
    assert a["loss"] == b["loss"]


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

    with minicnn.use_backend(backend):
        run(None, 1)  # whatever brings a BLAS of its own, as SciPy does, is loaded now
        before, inside = threads(), []
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


def test_no_module_global_generator_is_used():
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    run(None, 1)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
