"""A folder has one owner, who may be killed; and is never among the data, whatever links lead there."""
from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from minicnn.plumbing import folders
from minicnn.plumbing.folders import FolderInUse, owned, refuse_among_data
from tests.processes import LIMIT, running

OWNER = """
import sys
from pathlib import Path
from minicnn.plumbing.folders import owned
with owned(Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""


def owner(folder: Path):
    return running(sys.executable, "-c", OWNER, str(folder))


def test_a_second_process_is_told_who_is_there_and_a_killed_one_leaves_nothing_behind(tmp_path):
    with owner(tmp_path) as first:
        assert first.stdout.readline() == "mine\n"
        with pytest.raises(FolderInUse, match=f"{tmp_path} is in use by process {first.pid} on .*wait .*, stop it, or"):
            with owned(tmp_path):
                pass
        os.kill(first.pid, signal.SIGKILL)
        first.wait(LIMIT)
        assert (tmp_path / ".lock").exists()        # what a killed process leaves is no lock
        with owned(tmp_path):
            assert str(os.getpid()) in (tmp_path / ".lock").read_text()
    assert list(tmp_path.iterdir()) == []


def test_it_can_be_waited_for(tmp_path):
    told: list[str] = []
    with owner(tmp_path) as first:
        first.stdout.readline()

        def leave(who):
            told.append(who)
            first.stdin.close()     # it leaves the block, and removes its file, which is not the one to lock then

        with owned(tmp_path, wait=leave):
            assert str(os.getpid()) in (tmp_path / ".lock").read_text()
        assert first.wait(LIMIT) == 0
        assert told[0].startswith(f"process {first.pid} on ")
    assert list(tmp_path.iterdir()) == []


def test_a_file_removed_between_opening_and_locking_is_not_the_lock(tmp_path, monkeypatch):
    """Else two processes own the folder: one has locked the file that is gone, one the new file."""
    really, calls = folders._lock, []

    def remove_first(descriptor, wait):
        if not calls:
            (tmp_path / ".lock").unlink()
        calls.append(descriptor)
        really(descriptor, wait)

    monkeypatch.setattr(folders, "_lock", remove_first)
    with owned(tmp_path):
        assert (tmp_path / ".lock").exists() and len(calls) == 2


def test_the_same_thread_enters_again_and_another_one_does_not(tmp_path):
    refused: list[str] = []

    def other():
        try:
            with owned(tmp_path):
                pass
        except FolderInUse as error:
            refused.append(str(error))

    (tmp_path / "link").symlink_to(tmp_path)
    with owned(tmp_path):
        with owned(tmp_path / "link"):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1 and "this process" in refused[0] and "another thread" in refused[0]
    other()
    assert len(refused) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_neither_owns_the_folder_nor_keeps_it_locked(tmp_path):
    """The descriptor of the lock is inherited: a child that lives on would keep the folder of a killed parent."""
    code = """
import os, sys
from pathlib import Path
from minicnn.plumbing.folders import FolderInUse, owned
with owned(Path(sys.argv[1])):
    if os.fork() == 0:
        try:
            with owned(Path(sys.argv[1])):
                print("owned", flush=True)
        except FolderInUse:
            print("not mine", flush=True)
        sys.stdin.read()
    else:
        os.wait()
"""
    with running(sys.executable, "-c", code, str(tmp_path)) as parent:
        assert parent.stdout.readline() == "not mine\n"
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait(LIMIT)
        with owned(tmp_path):       # while the child lives
            parent.stdin.close()
            parent.stdout.read()    # until it ends, leaving its block
            assert (tmp_path / ".lock").exists()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_a_file_system_without_locks_is_told_and_used(tmp_path, monkeypatch, code):
    def refuse(descriptor, wait):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(folders, "_lock", refuse)
    done = []
    with pytest.warns(UserWarning, match=f"{tmp_path} is on a file system without locks"), owned(tmp_path):
        done.append(1)
    assert done == [1] and list(tmp_path.iterdir()) == []


def test_a_lock_that_cannot_be_made_names_the_folder(tmp_path):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(OSError, match=rf"folder {tmp_path} cannot be locked: its file \.lock .*Remove that file"):
        with owned(tmp_path):
            pass
    (tmp_path / ".lock").rmdir()
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="cannot be locked"):
        with owned(tmp_path):
            pass
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"pid": "x", "host": 1}', b"\xff" * 2000, b'{"pid": 1}'])
def test_a_lock_file_that_says_nothing_useful_is_still_a_lock(tmp_path, content):
    with owner(tmp_path) as first:
        first.stdout.readline()
        (tmp_path / ".lock").write_bytes(content)
        with pytest.raises(FolderInUse, match="in use by another process"), owned(tmp_path):
            pass


@pytest.fixture
def images(tmp_path):
    """A data folder with two classes, one of them a link to a folder elsewhere that also has a link to itself."""
    (tmp_path / "data" / "copepod").mkdir(parents=True)
    (tmp_path / "big" / "diatom").mkdir(parents=True)
    (tmp_path / "data" / "diatom").symlink_to(tmp_path / "big" / "diatom")
    (tmp_path / "big" / "diatom" / "again").symlink_to(tmp_path / "big" / "diatom")
    (tmp_path / "shortcut").symlink_to(tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize("place", ["data", "data/run", "data/copepod/a/b", "shortcut/run", "big/diatom",
                                   "big/diatom/run", "big/../data/x", "data/diatom/../run/../diatom"])
def test_a_folder_among_the_data_is_refused_and_not_made(tmp_path, images, place):
    before = sorted(tmp_path.rglob("*"))
    for data in (images, tmp_path / "shortcut"):
        with pytest.raises(ValueError, match=r"is inside the data folder .*Choose a folder elsewhere"):
            refuse_among_data(tmp_path / place, data)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("place", ["", "run", "data2", "data.run", "big", "big/run", "data/../run", "big/diatom/.."])
def test_a_folder_beside_or_above_the_data_is_taken(tmp_path, images, place):
    refuse_among_data(tmp_path / place, images)


def test_a_relative_folder_is_seen_from_where_the_process_is(tmp_path, images, monkeypatch):
    monkeypatch.chdir(images)
    with pytest.raises(ValueError, match="output folder run is inside the data folder"):
        refuse_among_data("run", ".")
    refuse_among_data("../run", ".")


def test_beside_a_zip_is_a_good_place(tmp_path):
    (tmp_path / "data.zip").write_bytes(b"PK")
    refuse_among_data(tmp_path / "run", tmp_path / "data.zip")
    refuse_among_data(tmp_path, tmp_path / "data.zip")
    refuse_among_data(tmp_path / "run", tmp_path / "missing")
