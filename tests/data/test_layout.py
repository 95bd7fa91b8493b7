"""Real folders: links, foreign folders and files, names of all systems, parts under other names."""
from __future__ import annotations

import os
import socket
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from PIL import Image

from minicnn import data
from minicnn.data import folder, layout
from minicnn.data.archive import open_tree
from minicnn.data.image import SUFFIXES

from .files import grey_bytes, write_tree, write_zip


def classes(n: int = 2, prefix: str = "", names: str = "ab") -> dict[str, bytes]:
    """Class folders with n images each: the i-th of class a is of grey 10 + i, of class b 110 + i ..."""
    return {f"{prefix}{name}/{i}.png": grey_bytes(10 + 100 * k + i) for k, name in enumerate(names) for i in range(n)}


def greys(dataset) -> list[int]:
    return np.rint(dataset.images[:, 0, 0, 0] * 255).astype(int).tolist()


PARTS = {**classes(3, "train/"), **classes(2, "test/")}


# ---- folders that are no data, and files that are no images

@pytest.mark.parametrize("foreign", ["notes/week1/", "notes/", "train/.cache/a/", "runs/a/b/c/", "valid/a/"])
def test_folders_without_images_beside_the_parts_are_no_data(tmp_path, foreign):
    for path in (write_tree(tmp_path / "set", {**PARTS, foreign: b""}),
                 write_zip(tmp_path / "set.zip", {**PARTS, foreign: b"", foreign + "plan.txt": b"x"})):
        assert greys(data.load(f"folder:{path}", part="train")) == [10, 11, 12, 110, 111, 112]
        assert len(data.load(f"folder:{path}")) == 10


def test_images_beside_the_class_folders_are_named(tmp_path):
    path = write_tree(tmp_path, {**PARTS, "figures/plot.png": b"x"})
    with pytest.raises(ValueError, match=r"'figures/plot.png' is not in a class folder figures/<class>/, as 'te"):
        folder.load(path)


@pytest.mark.parametrize("n_unlabelled", [1, 9])
@pytest.mark.parametrize("top", ["", "ndsb/"])
def test_competition_without_labels_for_its_test_images(tmp_path, n_unlabelled, top):
    files = {**classes(1, top + "train/"), **{f"{top}test/{i}.jpg": b"x" for i in range(n_unlabelled)}}
    said = (rf"'{top}test/0.jpg' is not in a class folder {top}test/<class>/, as '{top}train/a/0.png' is"
            r".*no labels.*pass ")
    with pytest.raises(ValueError, match=f"{said}{tmp_path}/set/{top}train"):
        data.load(f"plankton:{write_tree(tmp_path / 'set', files)}")
    with pytest.raises(ValueError, match=f"{said}a zip of {top}train/ alone"):
        data.load(f"plankton:{write_zip(tmp_path / 'set.zip', files)}")
    assert len(data.load(f"plankton:{tmp_path}/set/{top}train")) == 2


def test_left_behind_by_systems_is_no_data(tmp_path):
    junk = {"a/Thumbs.db": b"x", "b/desktop.ini": b"x", "a/.DS_Store": b"x", "a/._0.png": b"x", "Icon\r": b"",
            "__MACOSX/a/._0.png": b"x", "a/@eaDir/0.png/SMALL.jpg": b"x", "$RECYCLE.BIN/a/0.png": b"x",
            "lost+found/": b"", ".ipynb_checkpoints/0-checkpoint.png": b"x", "a/.cache/0.png": b"x"}
    for path in (write_tree(tmp_path / "set", {**classes(), **junk}),
                 write_zip(tmp_path / "set.zip", {**classes(), **junk})):
        assert greys(folder.load(path)) == [10, 11, 110, 111]


def test_suffixes_are_those_of_pillow():
    Image.init()
    formats = {"JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP"}
    assert set(SUFFIXES) == {suffix for suffix, kind in Image.registered_extensions().items() if kind in formats}


def test_images_of_all_suffixes_are_read_and_the_rest_is_counted(tmp_path):
    kinds = {"jpe": "JPEG", "JFIF": "JPEG", "pnm": "PPM", "PbM": "PPM", "Tif": "TIFF", "apng": "PNG", "WEBP": "WEBP"}
    files = {**classes(1), **{f"a/{i}.{suffix}": grey_bytes(200, kind)
                              for i, (suffix, kind) in enumerate(kinds.items())}}
    assert len(folder.load(write_tree(tmp_path / "all", files))) == 2 + len(kinds)
    files |= {"b/1.heic": b"x", "b/2.HEIC": b"x", "a/scan": b"x", "a/raw/3.psd": b"x", "classes.csv": b"x"}
    for path in (write_tree(tmp_path / "set", files), write_zip(tmp_path / "set.zip", files)):
        with pytest.warns(UserWarning, match=r"left out 4 file\(s\).*\(2 \.heic, .*no suffix.*\), such as a/raw/3"):
            assert len(folder.load(path)) == 2 + len(kinds)


def test_archives_inside_are_named(tmp_path):
    write_zip(tmp_path / "train.zip", classes())
    with pytest.raises(ValueError, match=r"no images .* found, but archives \(train.zip\): pass one of them"):
        folder.load(tmp_path)
    outer = write_zip(tmp_path / "outer.zip", {"train.zip": (tmp_path / "train.zip").read_bytes()})
    with pytest.raises(ValueError, match=r"archives \(train.zip\).* unpack it"):
        folder.load(outer)


# ---- parts

@pytest.mark.parametrize("train, test", [("Train", "Test"), ("training", "testing"), ("TRAINING", "test")])
def test_parts_in_other_spellings(tmp_path, train, test):
    path = write_tree(tmp_path, {**classes(3, f"set/{train}/"), **classes(2, f"set/{test}/")})
    assert folder.published_parts(path) == ("train", "test")
    assert greys(folder.load(path, part="test")) == [10, 11, 110, 111] and len(folder.load(path)) == 10


@pytest.mark.parametrize("other", ["test/", "Testing/a/", "test/a/1.heic"])
def test_a_part_without_images_is_named(tmp_path, other):
    files = {f"set/{name}": content for name, content in {**classes(2, "train/"), other: b""}.items()}
    for path in (write_tree(tmp_path / "set", files), write_zip(tmp_path / "set.zip", files)):
        with pytest.raises(ValueError, match=f"set/{other.split('/')[0]}/ holds no images .*, but set/train/ does"):
            folder.load(path)
    assert len(folder.load(tmp_path / "set" / "set" / "train")) == 4


@pytest.mark.parametrize("names, said", [
    (("train", "val"), r"class folders are in 2 folders: train/, val/\. minicnn draws validation images"),
    (("train", "Validation", "test"), r"3 folders: Validation/, test/, train/\. minicnn draws"),
    (("2019", "2020"), r"2 folders: 2019/, 2020/\. Expected a train/ and a test/ folder"),
    (("train", "Training"), r"2 folders: Training/, train/\. Expected a train/"),
    (("train", "test", "extra"), r"3 folders: extra/, test/, train/"),
])
def test_other_parts_are_named(tmp_path, names, said):
    files = {name: content for part in names for name, content in classes(1, f"{part}/").items()}
    for path in (write_tree(tmp_path / "set", files), write_zip(tmp_path / "set.zip", files)):
        with pytest.raises(ValueError, match=f"unknown layout, .*{said}"):
            folder.load(path)


# ---- links

@pytest.fixture
def source(tmp_path):
    return write_tree(tmp_path / "source", PARTS)


def test_linked_parts_classes_images_and_top(tmp_path, source):
    write_tree(tmp_path / "set", classes(3, "train/"))
    (tmp_path / "set" / "test").symlink_to(source / "test")
    assert greys(folder.load(tmp_path / "set", part="test")) == [10, 11, 110, 111]
    assert len(folder.load(tmp_path / "set")) == 10
    (tmp_path / "classes").mkdir()
    for name in "ab":
        (tmp_path / "classes" / name).symlink_to(os.path.relpath(source / "train" / name, tmp_path / "classes"))
    assert greys(folder.load(tmp_path / "classes")) == [10, 11, 12, 110, 111, 112]
    for name in "ab":
        (tmp_path / "files" / name).mkdir(parents=True)
        (tmp_path / "files" / name / "0.png").symlink_to(source / "train" / name / "2.png")
        os.link(source / "train" / name / "1.png", tmp_path / "files" / name / "1.png")
    assert greys(folder.load(tmp_path / "files")) == [12, 11, 112, 111]
    (tmp_path / "top").symlink_to(tmp_path / "classes")
    assert len(folder.load(tmp_path / "top")) == 6


@pytest.mark.parametrize("name, target", [("again", "."), ("train/a/up", ".."), ("valid", "train"),
                                          ("train/c", "train/a")])
def test_a_folder_that_a_link_would_read_twice_is_named(source, name, target):
    (source / name).symlink_to(source / target)
    with pytest.raises(ValueError, match=f"{name}.* same folder, by a link"):
        folder.load(source)


@pytest.mark.parametrize("name, kind", [("train/c", FileNotFoundError), ("train/sp. nova", FileNotFoundError),
                                        ("train/a/loop", OSError)])
def test_a_link_to_a_folder_that_is_not_there_is_named(source, name, kind):
    (source / name).symlink_to(source / name if name.endswith("loop") else "nowhere")
    with pytest.raises(kind, match=name):
        folder.load(source)


def test_a_link_to_an_image_that_is_not_there_is_an_unreadable_image(tmp_path, source):
    (source / "train/a/9.png").symlink_to("nowhere.png")
    (source / "train/.#lock").symlink_to("user@host")  # what editors leave behind
    with pytest.raises(ValueError, match=r"1 of 11 images .* train/a/9.png: it is a link to 'nowhere.png', which"):
        folder.load(source, cache_dir=tmp_path / "cache")
    with pytest.warns(UserWarning, match="skipped 1"):
        assert len(folder.load(source, skip_bad=True, cache_dir=tmp_path / "cache")) == 10


def test_pipes_and_sockets_are_never_opened(source):
    os.mkfifo(source / "train/a/9.png")  # reading it would wait for ever
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(source / "socket"))
    with pytest.raises(ValueError, match=r"train/a/9.png: it is no ordinary file"):
        folder.load(source)
    with pytest.raises(ValueError, match="no folder and no ordinary file"):
        folder.load(source / "pipe")


def test_a_folder_that_cannot_be_listed_is_named_unless_it_is_hidden(source, monkeypatch):
    write_tree(source, {"train/.Trashes/0.png": b"x"})
    scandir, refused = os.scandir, [".Trashes"]

    def refusing(path):
        if os.path.basename(path) in refused:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)
    monkeypatch.setattr(os, "scandir", refusing)
    assert len(folder.load(source)) == 10
    refused.append("a")
    with pytest.raises(PermissionError, match="test/a"):
        folder.load(source)


# ---- names

def test_names_that_are_not_utf8_are_trained_on(tmp_path):
    """End to end, because names travel: into the cache's key, the split, the record of the run, the figure."""
    rng = np.random.default_rng(0)
    for name in (b"a", b"caf\xe9"):
        place = os.fsencode(tmp_path / "\udcffset") + b"/" + name
        os.makedirs(place)
        for i in range(20):
            Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(place + b"/\xe8%d.png" % i, "PNG")
    path = tmp_path / "\udcffset"
    dataset = data.load(f"folder:{path}", cache_dir=tmp_path / "cache")
    assert dataset.class_names == ("a", "caf\\xe9") and len(dataset) == 40 and dataset.name == "\\xffset"
    (path / "a" / "\udce9.png").write_bytes(b"")
    run = [sys.executable, "-m", "minicnn", "train", "cnn1", "--epochs", "1", "--data", f"folder:{path}",
           "--out", str(tmp_path / "run"), "--backend", "numpy", "--skip-bad"]
    done = subprocess.run(run, capture_output=True)
    assert done.returncode == 0 and rb"skipped 1 unreadable image(s): a/\xe9.png: the file is empty" in done.stderr
    parts = data.load_split(tmp_path / "run" / "split.json", dataset)
    assert sum(map(len, parts)) == 40


def test_accents_composed_and_decomposed_are_one_class(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "algué") for form in ("NFC", "NFD"))
    files = {"a/0.png": grey_bytes(1), f"{composed}/0.png": grey_bytes(2), f"{decomposed}/1.png": grey_bytes(3)}
    for path in (write_tree(tmp_path / "set", files), write_zip(tmp_path / "set.zip", files)):
        dataset = folder.load(path)
        assert dataset.class_names == ("a", composed) and sorted(greys(dataset)) == [1, 2, 3]
        assert dataset.labels.tolist() == [0, 1, 1]
    parts = {f"train/{composed}/0.png": b"x", f"test/{decomposed}/0.png": b"x", "train/a/0.png": b"x",
             "test/a/0.png": b"x"}
    with open_tree(write_tree(tmp_path / "parts", parts)) as tree:
        assert [list(found) for found in layout.find_classes(tree).values()] == [["a", composed]] * 2


@pytest.mark.parametrize("twin", ["Copepod", "copepod ", "cope  pod"])
def test_classes_that_look_the_same_are_told(tmp_path, twin):
    other = "cope pod" if " p" in twin else "copepod"
    path = write_tree(tmp_path, {f"{other}/0.png": grey_bytes(1), f"{twin}/0.png": grey_bytes(2)})
    with pytest.warns(UserWarning, match="differ only in case or spaces, and are read as two classes"):
        assert len(folder.load(path).class_names) == 2


@pytest.mark.parametrize("end", ["", "/", "/.", "/b/.."])
def test_paths_as_people_write_them(tmp_path, monkeypatch, end):
    write_tree(tmp_path / "my set", classes())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for start in ("~/", "", "./", f"{tmp_path}/"):
        dataset = data.load(f"folder:{start}my set{end}", cache_dir="~/cache")
        assert len(dataset) == 4 and dataset.name == "my set"
    assert len(data.load_splits("folder:~/my set", counts=(2, 1, 1))[0]) == 2
    assert (tmp_path / "cache").is_dir() and not (tmp_path / "~").exists()
