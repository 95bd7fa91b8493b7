"""A small data set, a small network, and a training run of it, for the tests of training and resuming."""
from __future__ import annotations

import numpy as np

from minicnn import checkpoint
from minicnn.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from minicnn.network import Network
from minicnn.optim import SGD, MaxNorm, schedules
from minicnn.training import fit

N, CLASSES = 70, 3  # 70 images in batches of 16: the last batch of an epoch has 6


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
