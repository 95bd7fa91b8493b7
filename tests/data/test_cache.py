"""Cached arrays: what makes a new file, what a damaged one does, and a folder that cannot be used."""
from __future__ import annotations

import io
import os

import numpy as np
import pytest

from minicnn.data import cache, folder

from .files import grey_bytes, write_tree, write_zip

FILES = {"a/1.png": grey_bytes(10), "b/1.png": grey_bytes(20)}


@pytest.fixture
def decodes(monkeypatch):
    """How many images have been decoded so far."""
    count = []
    decode = folder.decode
    monkeypatch.setattr(folder, "decode", lambda *args, **kwargs: count.append(1) or decode(*args, **kwargs))
    return count


@pytest.mark.parametrize("kind", ["directory", "zip"])
def test_second_load_reads_the_cache_until_content_or_parameters_change(tmp_path, decodes, kind):
    def write(files):
        return (
            write_tree(tmp_path / "set", files)
            if kind == "directory"
            else write_zip(tmp_path / "set.zip", files)
        )
    path, store = write(FILES), tmp_path / "deep" / "cache"
    first = folder.load(path, 8, cache_dir=store)
    second = folder.load(path, 8, cache_dir=store)
    assert len(decodes) == 2 and len(list(store.iterdir())) == 1
    assert np.array_equal(first.images, second.images) and np.array_equal(first.labels, second.labels)
    folder.load(path, 9, cache_dir=store)
    folder.load(path, 8, invert=True, cache_dir=store)
    folder.load(path, 8, colour=True, cache_dir=store)
    assert len(decodes) == 8
    write({**FILES, "b/1.png": grey_bytes(21)})  # same names, same sizes of the files, other bytes
    changed = folder.load(path, 8, cache_dir=store)
    assert len(decodes) == 10 and changed.images[1].max() == pytest.approx(21 / 255)


def test_without_a_folder_nothing_is_written(tmp_path, decodes):
    path = write_tree(tmp_path / "set", FILES)
    before = sorted(tmp_path.rglob("*"))
    folder.load(path, 8)
    folder.load(path, 8)
    assert len(decodes) == 4 and sorted(tmp_path.rglob("*")) == before


def test_skipping_is_remembered_and_not_taken_for_a_good_load(tmp_path):
    path, store = write_tree(tmp_path / "set", {**FILES, "b/2.png": b""}), tmp_path / "cache"
    for _ in range(2):
        with pytest.warns(UserWarning, match="skipped 1"):
            assert len(folder.load(path, 8, skip_bad=True, cache_dir=store)) == 2
    with pytest.raises(ValueError, match=r"b/2.png: the file is empty"):
        folder.load(path, 8, cache_dir=store)


def flip_a_pixel(content):
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1:]


def array_file():
    """An array alone, not an archive of arrays."""
    file = io.BytesIO()
    np.save(file, np.arange(9))
    return file.getvalue()


@pytest.mark.parametrize(
    "damage", [lambda c: b"", lambda c: c[: len(c) // 2], lambda c: b"garbage" * 99, flip_a_pixel,
               lambda c: b"\x93NUMPY" + c[6:], lambda c: array_file(), lambda c: c.replace(b"PK\1\2", b"PK\1\3")]
)
def test_damaged_file_is_made_again_with_a_warning(tmp_path, decodes, damage):
    path, store = write_tree(tmp_path / "set", FILES), tmp_path / "cache"
    good = folder.load(path, 40, cache_dir=store)
    (file,) = store.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(UserWarning, match=r"is damaged .* making it again"):
        again = folder.load(path, 40, cache_dir=store)
    assert np.array_equal(good.images, again.images) and len(decodes) == 4
    folder.load(path, 40, cache_dir=store)
    assert len(decodes) == 4


def test_pickled_arrays_are_never_loaded(tmp_path):
    np.savez(tmp_path / "evil.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.warns(UserWarning, match="damaged"):
        assert cache.cached(tmp_path, "evil", lambda: {"x": np.arange(2)})["x"].tolist() == [0, 1]


def test_unusable_folder_is_an_error_before_the_work(tmp_path, decodes):
    path = write_tree(tmp_path / "set", FILES)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"cannot use the cache folder .*file.*choose another folder"):
        folder.load(path, 8, cache_dir=tmp_path / "file")
    assert not decodes


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no folder that nobody can write to: no /proc")
def test_unwritable_folder_is_an_error_before_the_work(tmp_path, decodes):
    path = write_tree(tmp_path / "set", FILES)
    with pytest.raises(OSError, match=r"cannot use the cache folder /proc/self .*make it writable"):
        folder.load(path, 8, cache_dir="/proc/self")
    assert not decodes


def test_full_disk_leaves_no_half_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot use the cache folder.*disk is not full") as raised:
        cache.cached(tmp_path, "x", lambda: {"x": np.arange(3)})
    assert raised.value.errno == 28 and list(tmp_path.iterdir()) == []


def test_errors_of_the_work_itself_are_not_blamed_on_the_folder(tmp_path):
    def fails():
        raise FileNotFoundError("image gone")
    with pytest.raises(FileNotFoundError, match=r"^image gone$"):
        cache.cached(tmp_path, "x", fails)
