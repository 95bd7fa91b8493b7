"""Zips as the tools of all systems write them, and zips that do not fit."""
from __future__ import annotations

import struct
import unicodedata
import warnings
import zlib

import numpy as np
import pytest

from minicnn.data import folder
from minicnn.data.archive import extract, open_tree

from .files import Entry, grey_bytes, write_entries, zip_bytes


def classes(form="{}/{}.png", **fields):
    """Two images each of the classes a and b, under names that `form` makes."""
    return [Entry(form.format(name, i).encode(), grey_bytes(10 + 100 * k + i), **fields)
            for k, name in enumerate("ab") for i in (0, 1)]


@pytest.mark.parametrize("form", ["{}/{}.png", "{}\\{}.png", "set\\{}\\{}.png", "./{}/{}.png", ".\\{}\\{}.png",
                                  "/data/{}/{}.png", "\\data\\{}\\{}.png", "C:/data/{}/{}.png",
                                  "d:\\my data\\{}\\{}.png",
                                  "train//{}//{}.png", "set/./{}/{}.PNG"])
def test_paths_of_all_systems(tmp_path, form):
    dataset = folder.load(write_entries(tmp_path / "set.zip", classes(form)))
    assert dataset.class_names == ("a", "b")
    assert np.rint(dataset.images[:, 0, 0, 0] * 255).tolist() == [10, 11, 110, 111]


def unicode_path(name, stands_for):
    """Info-ZIP's extra field: a name in UTF-8, and the checksum of the name that it stands for."""
    body = b"\1" + struct.pack("<I", zlib.crc32(stands_for)) + name.encode()
    return struct.pack("<HH", 0x7075, len(body)) + body


@pytest.mark.parametrize("folder_name, flags, extra, expected", [
    ("algué".encode(), 0x800, b"", "algué"),                                      # the flag says UTF-8
    ("algué".encode(), 0, b"", "algué"),                                          # macOS, without the flag
    (unicodedata.normalize("NFD", "algué").encode(), 0x800, b"", "algué"),        # macOS, decomposed
    ("algué".encode("cp437"), 0, b"", "algué"),                                   # what the format says
    (b"algu\xe9", 0, b"", "alguΘ"),                                               # Windows 1252, taken for that
    (b"algu\xe9", 0, unicode_path("algué/0.png", b"algu\xe9/0.png"), "algué"),    # the same with Info-ZIP's field
    (b"algu\xe9", 0, b"UT\1\0x" + unicode_path("algué/0.png", b"algu\xe9/0.png"), "algué"),    # after another field
    (b"algu\xe9", 0, unicode_path("other/0.png", b"an older name"), "alguΘ"),     # of a name changed since
    (b"algu\xe9", 0, b"\x75\x70\x02\0\1\0", "alguΘ"),                            # a damaged field
])
def test_characters_of_all_systems(tmp_path, folder_name, flags, extra, expected):
    entries = [Entry(b"a/0.png", grey_bytes(1)), Entry(folder_name + b"/0.png", grey_bytes(2), flags, extra)]
    dataset = folder.load(write_entries(tmp_path / "set.zip", entries))
    assert dataset.class_names == ("a", expected) and len(dataset) == 2


@pytest.mark.parametrize("entries, said", [
    ([Entry(b"../a/9.png")], r"entry '../a/9.png' leads outside"),
    ([Entry(b"a\\..\\..\\9.png")], r"leads outside"),
    ([Entry(b"a\\0.png", b"other")], r"entry 'a/0.png' is there twice, with different contents"),
    ([Entry(b"./a/0.png", b"other")], r"entry 'a/0.png' is there twice, with different contents"),
    ([Entry(b"c", b"../elsewhere", mode=0o120777)], "entry 'c' is a link"),
    ([Entry(b"a/9.png", b"../elsewhere", mode=0o120777)], "entry 'a/9.png' is a link"),
])
def test_names_that_cannot_be_read_unambiguously(tmp_path, entries, said):
    with pytest.raises(ValueError, match=said):
        folder.load(write_entries(tmp_path / "set.zip", classes() + entries))


def test_the_same_entry_twice_counts_once(tmp_path):
    assert len(folder.load(write_entries(tmp_path / "set.zip", classes() + classes("{}\\{}.png")))) == 4


@pytest.mark.parametrize("empty", [Entry(b"c/"), Entry(b"c\\"), Entry(b"c", attributes=0x10)])
def test_empty_class_folders_of_a_zip_are_named(tmp_path, empty):
    with pytest.raises(ValueError, match="class folder 'c' holds no images"):
        folder.load(write_entries(tmp_path / "set.zip", [*classes(), empty]))


def test_encrypted_and_unknown_compression(tmp_path):
    with pytest.raises(ValueError, match=r"4 of 4 images .* a/0.png: the zip entry is encrypted: unpack the zip"):
        folder.load(write_entries(tmp_path / "secret.zip", classes(flags=1)))
    with pytest.raises(ValueError, match=r"a/0.png: the zip entry cannot be unpacked .*: unpack the zip with the"):
        folder.load(write_entries(tmp_path / "new.zip", classes(method=93)))  # Zstandard


def test_every_damaged_byte_is_an_error_or_harmless(tmp_path):
    whole = zip_bytes(classes())
    start = whole.index(b"PK\1\2")
    outcomes = set()
    for place in range(start, len(whole)):  # the zip's directory: every byte of it means something to zipfile
        (tmp_path / "bad.zip").write_bytes(whole[:place] + bytes([whole[place] ^ 0x81]) + whole[place + 1:])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                folder.load(tmp_path / "bad.zip", size=2)
                outcomes.add("harmless")
            except (ValueError, OSError) as error:
                assert "bad.zip" in str(error)
                outcomes.add("error")
    assert outcomes == {"harmless", "error"}


def test_unpacking_makes_folders_of_backslashes_and_keeps_old_files(tmp_path, monkeypatch):
    path = write_entries(tmp_path / "set.zip", [Entry(b"a\\0.bin", b"new"), Entry(b"b\\")])
    (tmp_path / "to" / "a").mkdir(parents=True)
    (tmp_path / "to" / "a" / "0.bin").write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr("shutil.copyfileobj", full)
        extract(path, tmp_path / "to")
    assert [file.read_bytes() for file in (tmp_path / "to" / "a").iterdir()] == [b"old"]
    assert extract(path, tmp_path / "to") == [tmp_path / "to" / "a" / "0.bin"]
    with open_tree(tmp_path / "to") as tree:
        assert tree.files == ["a/0.bin"] and tree.read("a/0.bin") == b"new"
