"""The file format: what is saved comes back, and nothing that is damaged, foreign or hostile gets in."""
from __future__ import annotations

import errno
import json
import os
import pickle
import stat
import struct
import zipfile

import hypothesis
import hypothesis.extra.numpy as arrays_of
import hypothesis.strategies as st
import numpy as np
import pytest

from classifiers import archive
from classifiers.archive import ArchiveError, load_archive, save_archive

HEADER = {"classes": ["cod", "eel"], "C": 1.5, "gamma": None}
ARRAYS = {"feature": np.arange(6, dtype=np.int16), "value": np.linspace(0, 1, 6).reshape(2, 3)}
DTYPES = "b1 i1 u1 i2 u2 i4 u4 i8 f4 f8".split()


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.npz"
    save_archive(path, "forest", 1, HEADER, ARRAYS)
    return path


def rewrite(path, change, **options):
    """Write the archive again, checksums and all, after `change(entries)`, a dict of entry name to bytes."""
    with zipfile.ZipFile(path) as old:
        entries = {info.filename: old.read(info) for info in old.infolist()}
    change(entries)
    with zipfile.ZipFile(path, "w", **options) as new:
        for name, data in entries.items():
            new.writestr(name, data)


def rewrite_header(path, **changes):
    def change(entries):
        entries["header.json"] = json.dumps(json.loads(entries["header.json"]) | changes).encode()
    rewrite(path, change)


def refused(path, message, **options):
    with pytest.raises(ArchiveError, match=message) as info:
        load_archive(path, "forest", 1, **options)
    assert str(path) in str(info.value)


# What is saved comes back ----------------------------------------------------------------------------------------

@hypothesis.given(st.dictionaries(
    st.from_regex(r"[A-Za-z_.][\w.]{0,8}", fullmatch=True).filter(str.isascii),
    st.sampled_from(DTYPES).flatmap(lambda dtype: arrays_of.arrays(
        np.dtype(dtype), arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        elements={"allow_nan": False, "allow_infinity": False} if dtype[0] == "f" else None)), max_size=4))
@hypothesis.settings(max_examples=50)
def test_round_trip(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("round") / "a.npz"
    save_archive(path, "forest", 1, HEADER, arrays)
    header, loaded = load_archive(path, "forest", 1)
    assert header == HEADER and list(loaded) == list(arrays)
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype and loaded[name].shape == array.shape
        assert loaded[name].tobytes() == array.tobytes()
        assert loaded[name].flags.writeable and loaded[name].flags.c_contiguous


def test_numpy_reads_the_arrays(saved):
    """The layout of .npy is NumPy's, judged by NumPy."""
    with np.load(saved, allow_pickle=False) as peer:
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(peer[name], array)
            assert peer[name].dtype == array.dtype


def test_arrays_longer_than_a_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_CHUNK", 7)
    save_archive(tmp_path / "a", "forest", 1, {}, ARRAYS)
    for name, array in load_archive(tmp_path / "a", "forest", 1)[1].items():
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_strides_and_byte_order_do_not_matter(tmp_path):
    given = {"transposed": np.arange(6.0).reshape(2, 3).T, "big": np.arange(3, dtype=">i4"), "scalar": np.array(2.5)}
    save_archive(tmp_path / "a", "forest", 1, {}, given)
    loaded = load_archive(tmp_path / "a", "forest", 1)[1]
    for name, array in given.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].shape == array.shape
    assert loaded["big"].dtype == "<i4"


def test_equal_content_gives_an_equal_file(saved, tmp_path):
    save_archive(tmp_path / "again.npz", "forest", 1, HEADER, ARRAYS)
    assert (tmp_path / "again.npz").read_bytes() == saved.read_bytes()


def test_nan_passes_only_where_the_caller_checks(tmp_path):
    path = tmp_path / "a.npz"
    for value, shown in ((np.nan, "nan"), (-np.inf, "-inf")):
        save_archive(path, "forest", 1, {}, {"threshold": np.array([[1, value]], np.float32)})
        refused(path, rf"array threshold holds {shown} at \(0, 1\): expected finite numbers")
        loaded = load_archive(path, "forest", 1, unchecked=("threshold",))[1]["threshold"]
        np.testing.assert_array_equal(loaded, np.array([[1, value]], np.float32))


# Writing ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("arrays, message", [
    ({"a/b": np.zeros(1)}, "array name 'a/b': expected letters"),
    ({"": np.zeros(1)}, "array name '': expected letters"),
    ({"a": np.array([{}])}, "array a has dtype object: expected one of bool, int8, uint8"),
    ({"a": np.array(["x"])}, "array a has dtype <U1"),
    ({"a": np.zeros(1, complex)}, "array a has dtype complex128"),
    ({"a": np.zeros(1, [("x", "f4")])}, "array a has dtype"),
])
def test_what_the_format_does_not_have(tmp_path, arrays, message):
    with pytest.raises(ArchiveError, match=message):
        save_archive(tmp_path / "a.npz", "forest", 1, {}, arrays)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("header, error", [({"x": np.float32(1)}, TypeError), ({"x": float("nan")}, ValueError)])
def test_header_that_is_no_json(saved, header, error):
    before = saved.read_bytes()
    with pytest.raises(error):
        save_archive(saved, "forest", 1, header, {})
    assert saved.read_bytes() == before


@pytest.mark.parametrize("when", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_writing_leaves_the_old_file(saved, monkeypatch, when, error):
    before = saved.read_bytes()

    def fail(*_):
        raise error
    monkeypatch.setattr(os, when, fail)
    with pytest.raises(type(error)) as info:
        save_archive(saved, "forest", 1, {"new": True}, ARRAYS)
    if isinstance(error, OSError):
        assert f"cannot write model.npz into folder {saved.parent}: No space left on device" in str(info.value)
    assert saved.read_bytes() == before and os.listdir(saved.parent) == ["model.npz"]


@pytest.mark.skipif(os.name != "posix", reason="a folder cannot be forced to the disk here")
def test_file_then_name_are_forced_to_the_disk(saved, monkeypatch):
    """In this order a power cut leaves the old file or the new one, never a name without its bytes."""
    order, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: order.append(stat.S_ISDIR(os.fstat(file).st_mode)) or fsync(file))
    monkeypatch.setattr(os, "replace", lambda *names: order.append("rename") or replace(*names))
    save_archive(saved, "forest", 1, HEADER, ARRAYS)
    assert order == [False, "rename", True]


def test_folder_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cannot write a\.npz into folder .*absent"):
        save_archive(tmp_path / "absent" / "a.npz", "forest", 1, {}, {})


# Reading ---------------------------------------------------------------------------------------------------------

def test_file_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_archive(tmp_path / "absent.npz", "forest", 1)


@pytest.mark.parametrize("data", [b"", b"PK", b"\x93NUMPY", bytes(range(256)), pickle.dumps(HEADER)])
def test_file_that_is_no_archive(tmp_path, data):
    (tmp_path / "a.npz").write_bytes(data)
    refused(tmp_path / "a.npz", rf"\({len(data)} bytes\) is no zip archive.*expected a forest file")


def test_another_format_or_version(saved):
    with pytest.raises(ArchiveError, match="is a 'forest' file: expected 'svm'"):
        load_archive(saved, "svm", 1)
    with pytest.raises(ArchiveError, match="has forest version 1, but version 2 is read here"):
        load_archive(saved, "forest", 2)


def test_every_truncation_is_refused(saved):
    data = saved.read_bytes()
    for length in range(0, len(data), 13):
        saved.write_bytes(data[:length])
        refused(saved, "is no zip archive, or is cut short or damaged")


def test_every_flipped_byte_is_refused_or_without_effect(saved):
    """Names, sizes, checksums and numbers are guarded; dates and flags of the zip container carry no meaning."""
    data = saved.read_bytes()
    for position in range(len(data)):
        saved.write_bytes(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1:])
        try:
            header, arrays = load_archive(saved, "forest", 1)
        except ArchiveError:
            continue
        assert header == HEADER
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, ARRAYS[name])


def test_damaged_number_fails_the_checksum(saved):
    data = bytearray(saved.read_bytes())
    data[data.index(ARRAYS["value"].tobytes()) + 9] ^= 1
    saved.write_bytes(data)
    refused(saved, r"Bad CRC-32 for file 'value\.npy'")


@pytest.mark.parametrize("arrays", [
    None, [], {"feature": "<i2"}, {"feature": ["<i2"]}, {"feature": ["|O", [6]]}, {"feature": ["<c8", [6]]},
    {"feature": ["<i2", 6]}, {"feature": ["<i2", [-6]]}, {"feature": ["<i2", [6.0]]}, {"feature": ["<i2", [True]]},
    {"feature": ["<i2", [1 << 62]]}, {"feature": [["<i2"], [6]]}, {"feature": ["<i2", [1] * 33]},
])
def test_malformed_declaration(saved, arrays):
    rewrite_header(saved, arrays=arrays)
    refused(saved, "does not declare its arrays as name")


@pytest.mark.parametrize("declared, message", [
    (["<i2", [7]], r"array feature takes 140 bytes, but <i2 of shape \(7,\) takes 142"),
    (["<i2", [1 << 40]], "takes 140 bytes, but"),          # refused before 2 TB are asked for
    (["<i2", [2, 3]], r"array feature is not the <i2 of shape \(2, 3\)"),
    (["<u2", [6]], "array feature is not the <u2 of shape"),
])
def test_declaration_that_is_not_of_the_array(saved, declared, message):
    rewrite_header(saved, arrays={"feature": declared, "value": ["<f8", [2, 3]]})
    refused(saved, message)


def test_shape_too_big_for_memory_is_refused(saved):
    """No numbers, but a shape that NumPy cannot make."""
    shape = [0, 1 << 47, 1 << 47]

    def change(entries):
        entries["feature.npy"] = archive._npy_prefix("<i2", shape)
    rewrite(saved, change)
    rewrite_header(saved, arrays={"feature": ["<i2", shape], "value": ["<f8", [2, 3]]})
    refused(saved, r"array is too big|Maximum allowed size exceeded")


@pytest.mark.parametrize("text, message", [
    (b"{", "is not JSON"), (b"\xff", "is not JSON"), (b"[" * 100000, "is not JSON"), (b"[]", "is a 'list' file"),
    (b'{"format": "forest", "version": 1, "arrays": {}, "header": {"C": NaN}}', "NaN is no JSON"),
    (b'{"format": "forest", "version": 1, "arrays": {}}', "has no header"),
    (b'{"format": "forest", "version": 1, "arrays": {}, "header": []}', "has no header"),
])
def test_malformed_header(saved, text, message):
    rewrite(saved, lambda entries: entries.update({"header.json": text}))
    refused(saved, message)


def test_header_too_long(saved, monkeypatch):
    monkeypatch.setattr(archive, "_HEADER_LIMIT", 100)
    refused(saved, r"header\.json has \d+ bytes, more than 100")


def test_entries_are_those_declared(saved):
    rewrite(saved, lambda entries: entries.pop("value.npy"))
    refused(saved, r"lacks value\.npy, which its header declares")
    rewrite(saved, lambda entries: entries.update({"value.npy": b"", "evil.npy": b""}))
    refused(saved, r"holds evil\.npy, which its header does not declare")
    rewrite(saved, lambda entries: entries.pop("header.json"))
    refused(saved, r"has no header\.json")


def test_two_entries_of_one_name(saved):
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(saved, "a") as file:
        file.writestr("value.npy", b"")
    refused(saved, "two entries of one name")


def test_compressed_entries(saved):
    rewrite(saved, lambda entries: None, compression=zipfile.ZIP_DEFLATED)
    refused(saved, r"entry header\.json is compressed")


def test_entries_that_share_their_bytes(saved):
    """A zip bomb of plain entries: many names for the same bytes."""
    with zipfile.ZipFile(saved, "a") as file:
        big = file.getinfo("value.npy")
        for k in range(20):
            alias = zipfile.ZipInfo(f"value{k}.npy")
            for slot in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(alias, slot, getattr(big, slot))
            file.filelist.append(alias)
            file.NameToInfo[alias.filename] = alias
        file._didModify = True
    refused(saved, r"its entries claim \d+ bytes, but the whole file has|Overlapped")


def test_pickled_array_is_never_loaded(saved):
    """An object array, declared as plain numbers, is refused by its first bytes."""
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(saved.parent / "sprung"),))

    def change(entries):
        text = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
        start = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + text.ljust(117) + b"\n"
        body = pickle.dumps([Trap()])
        entries["feature.npy"] = start + body.ljust(-(-len(body) // 2) * 2, b"\0")
        full = json.loads(entries["header.json"])
        full["arrays"]["feature"] = ["<i2", [(len(entries["feature.npy"]) - 128) // 2]]
        entries["header.json"] = json.dumps(full).encode()
    rewrite(saved, change)
    refused(saved, "array feature is not the <i2 of shape")
    assert not (saved.parent / "sprung").exists()


def test_boolean_that_is_neither(tmp_path):
    path = tmp_path / "a.npz"
    save_archive(path, "forest", 1, {}, {"mask": np.array([True, False])})

    def change(entries):
        entries["mask.npy"] = entries["mask.npy"][:-1] + b"\x02"
    rewrite(path, change)
    refused(path, "array mask holds the byte 2 as a boolean: expected 0 or 1")
