"""IDX files of the MNIST family, made here byte by byte, and the real ones."""
from __future__ import annotations

import gzip

import numpy as np
import pytest

from minicnn import data
from minicnn.data import idx

from .files import idx_bytes, real, write_tree

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


NAMES = [f"{prefix}-{kind}-ubyte" for prefix in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


@pytest.mark.parametrize("rename", [
    lambda name: name.replace("-idx", ".idx"), lambda name: name.replace("-idx", ".idx") + ".gz",
    lambda name: name.replace("-", "_"), lambda name: name.upper(), lambda name: name + ".GZ",
    lambda name: name.replace("t10k", "test"), lambda name: f"{name}/{name}", lambda name: f"{name}.gz/{name}",
    lambda name: f"{name}/{name.replace('-idx', '.idx')}",
])
@pytest.mark.parametrize("zipped", [False, True])  # whatever the name says
def test_names_that_mirrors_and_unpackers_give(tmp_path, rename, zipped):
    expected = idx.load(write(tmp_path), size=4)
    for name in NAMES:
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
        target = tmp_path / rename(name)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(gzip.compress(content) if zipped else content)
    found = data.load(f"mnist:{tmp_path}", size=4)
    assert np.array_equal(found.images, expected.images) and np.array_equal(found.labels, expected.labels)


def test_the_published_name_comes_first(tmp_path):
    write(tmp_path)
    (tmp_path / "train-images.idx3-ubyte").write_bytes(b"another attempt")
    (tmp_path / "Train-labels-idx1-ubyte.gz").write_bytes(b"another attempt")
    assert len(idx.load(tmp_path)) == 30


@pytest.mark.parametrize("there, said", [
    ({"archive.zip": b"x", "train-images.idx3.npy": b"x"}, "and found 'archive.zip', 'train-images.idx3.npy'"),
    ({}, "and found nothing"), ({"train-images-idx3-ubyte/": b""}, "and found 'train-images-idx3-ubyte'"),
    ({"MNIST/raw/train-images-idx3-ubyte": b"x"}, "and found 'MNIST'"),
])
def test_what_is_there_instead_is_told(tmp_path, there, said):
    with pytest.raises(FileNotFoundError, match=f"neither train-images-idx3-ubyte nor .*, {said}; python -m minicnn"):
        idx.load(write_tree(tmp_path, there))


def test_a_path_that_is_no_folder(tmp_path):
    file = write(tmp_path) / "train-images-idx3-ubyte"
    with pytest.raises(FileNotFoundError, match=r"is no folder: expected the folder that holds the four IDX files"):
        data.load(f"mnist:{file}")
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist: expected the folder"):
        data.load(f"mnist:{tmp_path / 'nowhere'}")


def test_images_without_pixels(tmp_path):
    write(tmp_path, train=(np.zeros((20, 0, 4), np.uint8), LABELS))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte holds 20 x 0 x 4 pixels"):
        idx.load(tmp_path)


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
