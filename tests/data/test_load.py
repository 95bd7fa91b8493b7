"""Specs, splits by spec, and the real plankton."""
from __future__ import annotations

import csv
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from minicnn import data
from minicnn.data import plankton

from .files import grey_bytes, real, write_tree, write_zip


@pytest.mark.parametrize("spec", ["", "plankto:x", "imagenet:x", "plankton", "plankton:", "mnist", "cifar10:",
                                  "synthetic:", "Synthetic"])
def test_unknown_specs_list_the_known_ones(spec):
    with pytest.raises(
        ValueError,
        match=r"unknown data spec .*synthetic, plankton:PATH, folder:PATH, mnist:PATH, "
        r"fashion-mnist:PATH, cifar10:PATH, cifar100:PATH",
    ):
        data.load(spec)
    with pytest.raises(ValueError, match="unknown data spec"):
        data.load_splits(spec)


@pytest.mark.parametrize("options", ["n", "n=", "n=x", "n=-5", "size=3", "n=5;classes=2"])
def test_wrong_synthetic_options(options):
    with pytest.raises(ValueError, match=r"synthetic option .*expected n=, classes= or seed="):
        data.load(f"synthetic:{options}")


def test_synthetic_options_arrive():
    dataset = data.load("synthetic:n=40,classes=3,seed=5", size=12)
    assert dataset.images.shape == (40, 1, 12, 12) and len(dataset.class_names) == 3
    other = data.load("synthetic:n=40,classes=3,seed=6", size=12)
    assert not np.array_equal(dataset.images, other.images)


def test_sets_without_parts_say_so(tmp_path):
    for spec in ("synthetic", f"plankton:{tmp_path}"):
        with pytest.raises(ValueError, match="has no published part 'test': use load_splits"):
            data.load(spec, part="test")


def images(n, prefix=""):
    return {f"{prefix}{name}/{i:03}.png": grey_bytes(i) for name in "ab" for i in range(n)}


def test_three_way_split_in_the_papers_proportions(tmp_path):
    spec = f"folder:{write_zip(tmp_path / 'set.zip', images(50))}"
    parts = data.load_splits(spec, size=4, seed=2)
    assert [len(part) for part in parts] == [82, 5, 13]
    again = data.load_splits(spec, size=4, seed=2)
    assert all(np.array_equal(a.images, b.images) for a, b in zip(parts, again))
    assert data.load_splits(spec, size=4)[0].source["indices"] != parts[0].source["indices"]
    assert [len(part) for part in data.load_splits(spec, size=4, counts=(40, 20, 30))] == [40, 20, 30]
    assert parts[1].source["split"] == {"seed": 2, "counts": [82, 5, 13]}
    with pytest.raises(ValueError, match="expected three"):
        data.load_splits(spec, counts=(1, 2))


def test_published_test_part_is_the_test_set(tmp_path):
    path = write_tree(tmp_path, {**images(53, "train/"), **images(20, "test/")})
    train, valid, test = data.load_splits(f"folder:{path}", size=4)
    assert (len(train), len(valid), len(test)) == (100, 6, 40)  # 25,000 : 1,500 of 106
    assert np.array_equal(test.images, data.load(f"folder:{path}", size=4, part="test").images)
    assert not set(train.source["indices"]) & set(valid.source["indices"])
    train, valid, test = data.load_splits(f"folder:{path}", size=4, counts=(50, 20, 10))
    assert (len(train), len(valid), len(test)) == (50, 20, 10) and test.class_counts.tolist() == [5, 5]
    with pytest.raises(ValueError, match="ask for 41 images, but there are 40"):
        data.load_splits(f"folder:{path}", counts=(50, 20, 41))


@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize("n", range(2, 10))
def test_too_few_images_are_told_as_what_the_user_has(tmp_path, parts, n):
    files = {name: content for part in (("train/", "test/") if parts else ("",))
             for name, content in images(n, part).items()}
    spec = f"folder:{write_tree(tmp_path, files)}"
    if n <= 4:  # by hand, exact shares of 8 images: 6.59 0.40 1.002 0.01, so the seat left goes to training
        what = f"train of {spec} has {2 * n}" if parts else f"{spec} has {2 * n}"
        with pytest.raises(ValueError, match=rf"^{what} images, too few to be split by default.*counts") as error:
            data.load_splits(spec, size=4)
        assert "counts=(" not in str(error.value)
    else:
        assert min(map(len, data.load_splits(spec, size=4))) >= 1
    assert [len(part) for part in data.load_splits(spec, size=4, counts=(2, 1, 1))] == [2, 1, 1]


def test_a_class_without_training_images_is_told(tmp_path):
    files = images(30) | {f"rare{i}/0.png": grey_bytes(i) for i in range(9)}
    spec = f"folder:{write_tree(tmp_path, files)}"
    with pytest.warns(UserWarning, match=r"no training image of class 'rare\d', .* of 11 classes, of fewer than 3"):
        train, _, _ = data.load_splits(spec, size=4, counts=(20, 20, 20))
    assert np.count_nonzero(train.class_counts == 0) > 5


@pytest.mark.parametrize("arguments, said", [
    ({"spec": None}, "unknown data spec None"), ({"spec": b"folder:x"}, "unknown data spec b'folder:x'"),
    ({"part": 5}, "part=5: expected 'train' or 'test'"), ({"part": ["train"]}, "part=.*expected 'train'"),
    ({"cache_dir": 5}, "cache_dir=5: expected the path of a folder"), ({"size": "28"}, "size='28': expected"),
    ({"spec": "synthetic:n=99999999999999999999"}, "fewer than 2..31 images"),
])
def test_arguments_of_other_types_are_named(tmp_path, arguments, said):
    spec = f"folder:{write_tree(tmp_path, images(2))}"
    with pytest.raises(ValueError, match=said):
        data.load(**{"spec": spec, **arguments})


def test_skip_bad_and_cache_reach_the_loader(tmp_path):
    path = write_zip(tmp_path / "plankton_train.zip", {**images(30, "train/"), "train/a/bad.jpg": b""})
    with pytest.warns(UserWarning, match="skipped 1"):
        train, valid, test = data.load_splits(
            f"plankton:{path}", size=5, skip_bad=True, cache_dir=tmp_path / "cache"
        )
    assert len(train) + len(valid) + len(test) == 60 and len(list((tmp_path / "cache").iterdir())) == 1
    assert train.images.shape[1:] == (1, 5, 5)


@pytest.mark.realdata
def test_real_plankton_subset(tmp_path):
    """Every 40th image of the real zip, at least one a class, against Pillow and arithmetic in this test."""
    source = real("plankton")
    with zipfile.ZipFile(source / "plankton_train.zip") as archive:
        names = sorted(archive.namelist())
        seen: set[str] = set()
        chosen = [n for i, n in enumerate(names) if i % 40 == 0 or ((n.split("/")[1] not in seen)
                  and not seen.add(n.split("/")[1]))]
        files = {name: archive.read(name) for name in chosen}
    dataset = plankton.load(write_zip(tmp_path / "plankton_train.zip", files), size=28)
    assert len(dataset) == len(chosen) > 758 and len(dataset.class_names) == 121
    for row in (0, 100, len(chosen) - 1):
        assert dataset.class_names[dataset.labels[row]] == chosen[row].split("/")[1]
        pixels = np.asarray(Image.open(io.BytesIO(files[chosen[row]])))[..., 0] / 255
        H, W = pixels.shape
        mean = pixels.repeat(28, 0).repeat(28, 1).reshape(28, H, 28, W).mean(axis=(1, 3))
        np.testing.assert_allclose(dataset.images[row, 0], 1 - mean, atol=1e-6)
    # The images' borders are the white background, now 0.
    border = np.concatenate([dataset.images[..., 0, :].ravel(), dataset.images[..., 0].ravel()])
    assert np.median(border) < 0.01


@pytest.mark.realdata
def test_real_plankton_classes_and_split():
    """The zip's directory alone: class counts as published with the set, and the paper's split of them."""
    source = real("plankton")
    with (source / "class_counts.csv").open() as file:
        published = {row["class"]: int(row["count"]) for row in csv.DictReader(file)}
    from minicnn.data import folder
    from minicnn.data.archive import open_tree
    with open_tree(source / "plankton_train.zip") as tree:
        classes, ignored = folder._chosen(tree, None)
    assert {name: len(files) for name, files in classes.items()} == published and ignored == 0
    labels = np.repeat(np.arange(121), list(published.values()))
    blank = data.Dataset(np.zeros((30336, 1, 1, 1), np.float32), labels, tuple(classes))
    train, valid, test = data.split(blank)
    assert (len(train), len(valid), len(test)) == (25000, 1500, 3800)
    assert train.class_counts.min() >= 7  # of the rarest class, 9 images, 7.4 belong in the training set
    share = train.class_counts / blank.class_counts
    assert np.all(np.abs(share * blank.class_counts - blank.class_counts * 25000 / 30336) < 1)
