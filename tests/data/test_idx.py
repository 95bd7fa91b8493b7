"""IDX files of the MNIST family, made here byte by byte, and the real ones."""
from __future__ import annotations

import gzip

import numpy as np
import pytest

from minicnn import data
from minicnn.data import idx

from .files import idx_bytes, real

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 5, 4), dtype=np.uint8)
LABELS = np.arange(20) % 10


def write(folder, train=(PIXELS, LABELS), test=(PIXELS[:10], LABELS[:10]), zipped=False):
    for prefix, (pixels, labels) in (("train", train), ("t10k", test)):
        for kind, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            content = array if isinstance(array, bytes) else idx_bytes(array)
            name = f"{prefix}-{kind}-ubyte"
            (folder / (name + ".gz" if zipped else name)).write_bytes(
                gzip.compress(content) if zipped else content
            )
    return folder


@pytest.mark.parametrize("zipped", [False, True])
def test_values_parts_and_scale(tmp_path, zipped):
    write(tmp_path, zipped=zipped)
    whole = data.load(f"mnist:{tmp_path}", size=4)
    assert (
        whole.images.shape == (30, 1, 4, 4)
        and whole.class_names == tuple("0123456789")
        and whole.name == "mnist"
    )
    test = data.load(f"mnist:{tmp_path}", size=4, part="test")
    assert test.labels.tolist() == list(range(10)) and np.array_equal(test.images, whole.images[20:])
    np.testing.assert_allclose(test.images[3, 0], data.resize_loops(PIXELS[3], 4) / 255, atol=1e-6)


def test_native_size_is_left_alone(tmp_path):
    square = np.random.default_rng(1).integers(0, 256, (10, 6, 6), dtype=np.uint8)
    write(tmp_path, (square, np.arange(10)), (square, np.arange(10)))
    train = data.load(f"fashion-mnist:{tmp_path}", size=6, part="train")
    assert np.array_equal(train.images[:, 0], square.astype(np.float32) / np.float32(255))
    assert train.name == "fashion-mnist" and train.class_names[9] == "Ankle boot"


@pytest.mark.parametrize(
    "images, labels, said",
    [
        (
            idx_bytes(PIXELS, magic=0x802),
            LABELS,
            r"images-idx3-ubyte: magic number 0x00000802, expected 0x00000803",
        ),
        (PIXELS, idx_bytes(PIXELS), "labels-idx1-ubyte: magic number 0x00000803, expected 0x00000801"),
        (b"\0\0\x08", LABELS, "magic number"),
        (idx_bytes(PIXELS)[:-1], LABELS, r"announces 20 x 5 x 4 = 400 bytes, but only 399 follow"),
        (idx_bytes(PIXELS) + b"x", LABELS, r"400 bytes, but at least 401 follow"),
        (b"\0\0\x08\x03" + b"\xff" * 12 + bytes(9), LABELS, r"but only 9 follow"),  # announces 2**96 bytes
        (PIXELS, LABELS[:19], "has 19 labels, but train-images-idx3-ubyte has 20 images"),
        (
            PIXELS,
            np.where(np.arange(20) == 7, 10, LABELS),
            r"label 7 \(counted from 0\) is 10: expected 0 to 9",
        ),
        (PIXELS, LABELS // 2, "no image of class '5'"),
    ],
)
def test_damaged_files_are_named(tmp_path, images, labels, said):
    write(tmp_path, train=(images, labels))
    with pytest.raises(ValueError, match=said):
        idx.load(tmp_path, part="train")


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-20], lambda c: c[:30] + bytes(20) + c[50:], lambda c: c[:5]]
)
def test_damaged_gzip(tmp_path, damage):
    write(tmp_path, zipped=True)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz: damaged or cut short"):
        idx.load(tmp_path)


def test_missing_file_and_unknown_part(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"neither train-images-idx3-ubyte nor train-images-idx3-ubyte.gz"
    ):
        idx.load(tmp_path)
    with pytest.raises(ValueError, match="no part 'valid': expected train or test"):
        idx.load(tmp_path, part="valid")


@pytest.mark.realdata
def test_real_mnist():
    dataset = data.load(f"mnist:{real('mnist')}")
    assert len(dataset) == 70000
    # Class frequencies of the published training and test labels.
    assert np.bincount(dataset.labels[:60000]).tolist() == [
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ]
    assert np.bincount(dataset.labels[60000:]).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    assert dataset.labels[:5].tolist() == [5, 0, 4, 1, 9] and dataset.labels[60000:60003].tolist() == [
        7,
        2,
        1,
    ]
    # The widely used normalisation constants of the training images.
    assert dataset.images[:60000].mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)
    assert dataset.images[:60000].std(dtype=np.float64) == pytest.approx(0.3081, abs=5e-5)


@pytest.mark.realdata
def test_real_fashion_mnist():
    train, valid, test = data.load_splits(f"fashion-mnist:{real('fashion-mnist')}")
    assert (train.class_counts + valid.class_counts).tolist() == [
        6000
    ] * 10 and test.class_counts.tolist() == [1000] * 10
    assert (len(train), len(valid)) == (56604, 3396)  # 25,000 : 1,500 of 60,000
    assert np.ptp(train.class_counts) <= 1 and train.class_names[0] == "T-shirt/top"
