"""Checkpoints: what is saved comes back, and nothing that is damaged, foreign or hostile gets in."""
from __future__ import annotations

import errno
import io
import json
import os
import pickle
import stat
import zipfile

import numpy as np
import pytest

from minicnn import npz
from minicnn.checkpoint import (
    NETWORK_FORMAT,
    CheckpointError,
    TrainingState,
    differences,
    get_weights,
    load,
    save,
    set_weights,
)
from minicnn.layers import Conv2d, Dropout, Flatten, Linear, Maxout, MaxPool2d, ReLU
from minicnn.network import Network

pytestmark = pytest.mark.usefixtures("numpy_backend")


def make_net(seed=0, classes=3, dtype=np.float32):
    return Network([[Dropout(0.2, scale=1.0), Conv2d(4, 3, stride=(1, 2), pad=1), Maxout(2),
                     MaxPool2d(3, 2, ceil_mode=True)],
                    [Flatten(), Linear(5), ReLU()], [Linear(classes)]], (1, 9, 8), seed, dtype, name="tiny")


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "net.npz"
    save(make_net(), path)
    return path


def rewrite(path, change):
    """Write the archive again after `change(entries)`, a dict of entry name to bytes."""
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    change(entries)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def change_header(path, **changes):
    def change(entries):
        header = json.loads(entries["header.json"]) | changes
        entries["header.json"] = json.dumps(header).encode()
    rewrite(path, change)


def npy(array):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=(1, 0))
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_trip(tmp_path, dtype):
    net = make_net(seed=4, dtype=dtype)
    save(net, tmp_path / "net.npz")
    again = load(tmp_path / "net.npz")
    assert again.architecture() == net.architecture()
    for a, b in zip(net.parameters(), again.parameters()):
        assert a.name == b.name and b.value.dtype == dtype
        np.testing.assert_array_equal(a.value, b.value)
    x = np.random.default_rng(0).random((5, 1, 9, 8), dtype=np.float32)
    np.testing.assert_array_equal(net.predict_proba(x), again.predict_proba(x))


def test_numpy_alone_can_read_it_without_pickle(saved):
    with np.load(saved, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["stage3.linear.w"], make_net().parameters()[-2].value)


def test_equal_networks_give_equal_files(tmp_path, saved):
    save(make_net(), tmp_path / "again.npz")
    assert saved.read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_class_names_come_back_and_files_without_them_still_load(tmp_path, saved):
    assert load(saved).class_names is None
    net = make_net()
    net.class_names = names = ("copepod", "diatom \u2603", "caf\udce9")  # the last: a file name that is not UTF-8
    save(net, tmp_path / "named.npz")
    assert load(tmp_path / "named.npz").class_names == names
    change_header(tmp_path / "named.npz", class_names=None)
    assert load(tmp_path / "named.npz").class_names is None


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "b"], ["a", "b", 3], "abc", 5, {"a": 0, "b": 1, "c": 2}, []])
def test_damaged_class_names_are_refused(saved, names):
    change_header(saved, class_names=names)
    with pytest.raises(CheckpointError, match=r"net\.npz: class_names of 'tiny': expected 3 different strings"):
        load(saved)


def test_every_truncation_is_noticed(saved, tmp_path):
    data = saved.read_bytes()
    cut = tmp_path / "cut.npz"
    for length in [*range(0, len(data), max(len(data) // 60, 1)), len(data) - 1]:
        cut.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"cut\.npz"):
            load(cut)


def test_every_flipped_byte_is_noticed_or_harmless(saved, tmp_path):
    data = bytearray(saved.read_bytes())
    expected = get_weights(make_net())
    damaged = tmp_path / "damaged.npz"
    refused = 0
    for position in range(0, len(data), 23):
        data[position] ^= 0x40
        damaged.write_bytes(data)
        data[position] ^= 0x40
        try:
            weights = get_weights(load(damaged))
        except CheckpointError:
            refused += 1
            continue
        for name, value in expected.items():  # a byte that means nothing, such as a date
            np.testing.assert_array_equal(weights[name], value)
    assert refused > 50


@pytest.mark.parametrize(("content", "message"), [
    (b"", "is empty"), (b"hello, world" * 20, "is not a zip archive"), (b"\0" * 500, "is not a zip archive")])
def test_not_a_checkpoint(tmp_path, content, message):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load(path)


def test_pickle_is_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    path = tmp_path / "x.npz"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match="not a zip archive"):
        load(path)
    save(make_net(), path)
    rewrite(path, lambda entries: entries.update(
        {"stage3.linear.b.npy": npy_of_objects(np.array([Bomb()] * 3, dtype=object))}))
    with pytest.raises(CheckpointError, match=r"stage3\.linear\.b"):
        load(path)
    assert not (tmp_path / "exploded").exists()


def npy_of_objects(array):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def test_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        load(tmp_path / "none.npz")


@pytest.mark.parametrize(("changes", "message"), [
    ({"format": "somebody's network"}, "is a \"somebody's network\" file: expected 'minicnn network'"),
    ({"version": 2}, "version 2, but this minicnn reads version 1"),
    ({"version": None}, "version None"),
    ({"arrays": [1, 2]}, "does not declare its arrays"),
    ({"arrays": {"w": ["|O", [3]]}}, "does not declare its arrays"),
    ({"arrays": {"w": ["<f4", [-3]]}}, "does not declare its arrays"),
    ({"architecture": {"name": "x"}}, "describes no network"),
    ({"architecture": None}, "describes no network"),
])
def test_headers_that_do_not_fit(saved, changes, message):
    change_header(saved, **changes)
    with pytest.raises(CheckpointError, match=message):
        load(saved)


def test_header_of_another_network_than_the_arrays(saved):
    change_header(saved, architecture=make_net(classes=4).architecture())
    with pytest.raises(CheckpointError, match=r"stage3\.linear\.w are .* shape \(3, 5\).*expects.*\(4, 5\)"):
        load(saved)
    change_header(saved, architecture=make_net(dtype=np.float64).architecture())
    with pytest.raises(CheckpointError, match="expects float64"):
        load(saved)
    smaller = Network([[Flatten(), Linear(3)]], (1, 9, 8), name="small")
    change_header(saved, architecture=smaller.architecture())
    with pytest.raises(CheckpointError, match=r"missing stage1\.linear\.b.*not the network's: stage1\.conv"):
        load(saved)


def test_entries_that_the_header_does_not_declare(saved):
    rewrite(saved, lambda entries: entries.update({"extra.npy": npy(np.zeros(3))}))
    with pytest.raises(CheckpointError, match=r"holds extra\.npy, which its header does not declare"):
        load(saved)


def test_entries_that_are_missing(saved):
    rewrite(saved, lambda entries: entries.pop("stage2.linear.b.npy"))
    with pytest.raises(CheckpointError, match=r"lacks stage2\.linear\.b\.npy"):
        load(saved)
    rewrite(saved, lambda entries: entries.pop("header.json"))
    with pytest.raises(CheckpointError, match=r"no header\.json"):
        load(saved)


@pytest.mark.parametrize(("data", "message"), [
    (lambda: npy(np.zeros(4, np.float32)), r"of shape \(4,\), but the header declares"),
    (lambda: npy(np.zeros(3000, np.float32)), r"takes 12128 bytes, but <f4 of shape \(3,\) takes 12"),
    (lambda: npy(np.zeros(3, np.int32)), "is int32"),
    (lambda: npy(np.zeros((1, 3), np.float32)), r"of shape \(1, 3\), but the header declares .* \(3,\)"),
    (lambda: b"\x93NUMPY garbage" + b" " * 100, "damaged|format 1.0"),
    (lambda: b"x" * 60, "damaged"),
    (lambda: npy(np.zeros(3, np.float32))[:-1], "has 11 bytes, expected 12"),
    (lambda: npy(np.zeros(3, np.float32)) + b"tail", "has 16 bytes, expected 12"),
    (lambda: npy(np.array([1, np.nan, 2], np.float32)), r"holds nan at \(1,\)"),
])
def test_arrays_that_do_not_fit(saved, data, message):
    rewrite(saved, lambda entries: entries.update({"stage3.linear.b.npy": data()}))
    with pytest.raises(CheckpointError, match=message):
        load(saved)


def test_header_that_is_not_json(saved):
    rewrite(saved, lambda entries: entries.update({"header.json": b"{"}))
    with pytest.raises(CheckpointError, match="is not JSON"):
        load(saved)
    rewrite(saved, lambda entries: entries.update({"header.json": b"[" * 100_000}))
    with pytest.raises(CheckpointError, match="is not JSON"):
        load(saved)


def test_compressed_entries_are_not_inflated(tmp_path, monkeypatch):
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", b" " * 50_000_000)
    assert bomb.stat().st_size < 100_000
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *a: pytest.fail("an entry was read"))
    with pytest.raises(CheckpointError, match=r"header\.json is compressed"):
        load(bomb)


def test_sizes_that_lie_are_not_allocated(saved, monkeypatch):
    """An entry may claim a terabyte in the central directory of a file of some kilobytes."""
    real = zipfile.ZipFile.infolist

    def lying(self):
        infos = real(self)
        infos[-1].file_size = infos[-1].compress_size = 10 ** 12
        return infos

    monkeypatch.setattr(zipfile.ZipFile, "infolist", lying)
    with pytest.raises(CheckpointError, match="claims 1000000000000 bytes"):
        load(saved)


def test_a_huge_header_is_refused(saved, monkeypatch):
    monkeypatch.setattr(npz, "HEADER_LIMIT", 100)
    with pytest.raises(CheckpointError, match="more than 100"):
        load(saved)


def test_two_entries_of_one_name(saved):
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(saved, "a") as archive:
        archive.writestr("header.json", b"{}")
    with pytest.raises(CheckpointError, match="two entries"):
        load(saved)


def test_set_weights_changes_all_or_nothing():
    net = make_net()
    before = get_weights(net)
    wrong = {name: value + 1 for name, value in before.items()}
    wrong["stage3.linear.b"] = np.zeros(7, np.float32)
    with pytest.raises(ValueError, match=r"stage3\.linear\.b are float32 of shape \(7,\)"):
        set_weights(net, wrong)
    for name, value in get_weights(net).items():
        np.testing.assert_array_equal(value, before[name])


def make_state():
    net = make_net()
    return TrainingState({"seed": 1, "shape": [1, 2]}, 3, 12, dict(net.rng.bit_generator.state),
                         dict(np.random.PCG64(5).state), [{"epoch": 1}], get_weights(net),
                         {k: v * 2 for k, v in get_weights(net).items()}, get_weights(make_net(seed=9)))


def test_training_state_round_trip(tmp_path):
    state = make_state()
    state.save(tmp_path / "state.npz")
    again = TrainingState.load(tmp_path / "state.npz")
    for name in ("settings", "epoch", "steps", "data_order", "dropout", "history"):
        assert getattr(again, name) == getattr(state, name)
    for group in ("weights", "velocities", "best"):
        ours, theirs = getattr(state, group), getattr(again, group)
        assert list(ours) == list(theirs)
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name])
    generator = np.random.Generator(np.random.PCG64(99))
    generator.bit_generator.state = again.dropout  # 128-bit integers survive JSON
    assert generator.random() == np.random.Generator(np.random.PCG64(5)).random()


def test_state_and_network_are_told_apart(tmp_path, saved):
    make_state().save(tmp_path / "state.npz")
    with pytest.raises(CheckpointError, match="is a 'minicnn training state' file: expected"):
        load(tmp_path / "state.npz")
    with pytest.raises(CheckpointError, match="is a 'minicnn network' file: expected"):
        TrainingState.load(saved)


def test_state_with_parts_missing_or_unknown(tmp_path):
    path = tmp_path / "state.npz"
    npz.write_archive(path, "minicnn training state", 1, {"epoch": 3}, {})
    with pytest.raises(CheckpointError, match="lacks data_order, dropout, history"):
        TrainingState.load(path)
    make_state().save(path)

    def change(entries):
        header = json.loads(entries["header.json"])
        header["arrays"]["momenta/w"] = ["<f4", [2]]
        entries["header.json"] = json.dumps(header).encode()
        entries["momenta/w.npy"] = npy(np.zeros(2, np.float32))
    rewrite(path, change)
    with pytest.raises(CheckpointError, match="momenta/w belongs to none of weights"):
        TrainingState.load(path)


def test_differences_are_named_down_to_the_leaf():
    saved = {"seed": 1, "net": {"stages": [[{"units": 3}], [{"units": 4}]]}, "gone": 1}
    given = {"seed": 1, "net": {"stages": [[{"units": 3}], [{"units": 5}]]}, "new": 2}
    assert differences(saved, given) == [
        "net stages[1][0] units is 4 in the saved run, 5 here",
        "gone is 1 in the saved run, None here", "new is None in the saved run, 2 here"]


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()], ids=repr)
def test_an_interrupted_write_leaves_the_old_file(saved, tmp_path, monkeypatch, step, error):
    before = saved.read_bytes()

    def fail(*args, **kwargs):
        raise error

    with monkeypatch.context() as patch:
        if step == "write":
            class Full(io.FileIO):
                write = fail
            patch.setattr("builtins.open", lambda path, mode: Full(path, mode))
        else:
            patch.setattr(os, step, fail)
        with pytest.raises(type(error)) as caught:
            save(make_net(seed=1), saved)
    if isinstance(error, OSError):
        assert caught.value.errno == errno.ENOSPC
        assert str(tmp_path) in str(caught.value) and "No space left" in str(caught.value)
    assert saved.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["net.npz"]  # no temporary file is left


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_disk_that_is_full(saved, tmp_path, monkeypatch):
    """The temporary file is the device that is always full."""
    before, really = saved.read_bytes(), open
    full = pytest.raises(OSError, match=r"cannot write net\.npz into folder .*No space left")
    with monkeypatch.context() as patch, full:
        patch.setattr("builtins.open", lambda path, mode: really("/dev/full", "wb"))
        save(make_net(seed=1), saved)
    assert saved.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_file_and_folder_are_synced_before_and_after_the_rename(tmp_path, monkeypatch):
    done = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(descriptor):
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real_sync(descriptor)

    def replace(old, new):
        done.append("rename")
        real_replace(old, new)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    save(make_net(), tmp_path / "net.npz")
    assert done == ["file", "rename", "folder"]


def test_writable_folder(tmp_path):
    folder = npz.writable_folder(tmp_path / "a" / "b")
    assert folder.is_dir() and list(folder.iterdir()) == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match=r"output folder .*file/sub cannot be written: Not a directory"):
        npz.writable_folder(tmp_path / "file" / "sub")
    with pytest.raises(OSError, match=r"output folder .*file cannot be written"):
        npz.writable_folder(tmp_path / "file")


def test_formats_are_what_files_say(saved):
    with zipfile.ZipFile(saved) as archive:
        header = json.loads(archive.read("header.json"))
    assert (header["format"], header["version"]) == NETWORK_FORMAT == ("minicnn network", 1)


@pytest.mark.parametrize("array", [np.zeros(3, bool), np.zeros(3, np.int32), np.zeros(3, ">f4"), np.zeros(3, object)])
def test_an_array_that_could_not_be_read_is_not_written(tmp_path, array):
    with pytest.raises(ValueError, match=r"array rights is .*: expected float32, float64 or int64"):
        npz.write_archive(tmp_path / "a.npz", "test", 1, {}, {"rights": array})
    assert not list(tmp_path.iterdir())
