"""A run stopped anywhere continues to the same bits; other runs, damage and full disks are refused."""
from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest

import minicnn
from minicnn import checkpoint
from minicnn.npz import CheckpointError
from minicnn.optim import SGD

from .runs import (
    TRAIN,
    VALID,
    assert_same_run,
    header_of,
    make_net,
    make_optimizer,
    run,
)

pytestmark = pytest.mark.usefixtures("numpy_backend")


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
