"""The folder of a run: it belongs to one process at a time, and is never among the data.

Two processes that write one run take turns in destroying it, so whoever writes holds the file ``.lock`` in the folder.
It is the operating system's lock (``flock``, on Windows ``msvcrt.locking``), which ends with the process that holds it,
even if that is killed. What is written in the file is only for the message that the second process gives.
"""
from __future__ import annotations

import errno
import json
import os
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn

try:
    import fcntl
except ImportError:             # Windows
    fcntl = None                # type: ignore[assignment]

LOCK = ".lock"
_TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_FAR = 1 << 30                  # Windows locks bytes, and nobody can read those: one behind all that is written

_mine: ContextVar[frozenset[tuple[int, Path]]] = ContextVar("minicnn_folders", default=frozenset())
_open: dict[tuple[int, Path], int] = {}     # descriptors of the locks that this process holds


class FolderInUse(OSError):
    """Another process, or another thread of this one, is writing to the folder."""


@contextmanager
def owned(folder: Path, name: str = LOCK, wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold `folder` while the block runs; a second block inside, in the same thread, holds it too.

    Parameters
    ----------
    folder : path
        An existing folder.
    name : str
        Name of the lock's file, which is gone afterwards. By default ``.lock``.
    wait : callable, optional
        Wait while somebody else holds the folder, and first call ``wait(who)`` once. By default such a folder is an
        error.

    Raises
    ------
    FolderInUse
        Somebody else holds it; the message says who.
    OSError
        The file cannot be made.

    Warns
    -----
    UserWarning
        The file system has no locks, as some network folders. The block runs all the same.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with owned(Path(folder)):
    ...         os.listdir(folder)
    ['.lock']
    """
    path = Path(os.path.realpath(folder)) / name
    key = (os.getpid(), path)
    if key in _mine.get():
        yield
        return
    descriptor = _take(folder, path, wait)
    if descriptor is not None:
        _open[key] = descriptor
    token = _mine.set(_mine.get() | {key})
    try:
        yield
    finally:
        _mine.reset(token)
        if key in _open:                # it is not in a child forked inside the block
            _give_back(path, _open.pop(key))


def _take(folder: Path, path: Path, wait: Callable[[str], None] | None) -> int | None:
    """Return the descriptor of the locked file, or None where files cannot be locked."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            raise OSError(error.errno, f"folder {folder} cannot be locked: its file {path.name} cannot be opened "
                                       f"({error.strerror}). Remove that file, or choose another folder") from error
        try:
            try:
                _lock(descriptor, wait=False)
            except OSError as error:
                if error.errno not in _TAKEN:
                    warnings.warn(f"{folder} is on a file system without locks ({error.strerror}): see to it that one "
                                  "process at a time writes there", stacklevel=4)
                    path.unlink(missing_ok=True)
                    os.close(descriptor)
                    return None
                who = _holder(descriptor)
                if wait is None:
                    raise FolderInUse(errno.EBUSY, f"folder {folder} is in use by {who}: wait until it has ended, stop "
                                                   "it, or choose another folder") from error
                wait(who)
                _lock(descriptor, wait=True)
            if _is_at(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
                return descriptor
            os.close(descriptor)        # it was removed by the process that held it: the next one is a new file
        except BaseException:
            os.close(descriptor)
            raise


def _lock(descriptor: int, wait: bool) -> None:
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return
    import msvcrt

    windows: Any = msvcrt
    os.lseek(descriptor, _FAR, os.SEEK_SET)
    while True:
        try:
            windows.locking(descriptor, windows.LK_LOCK if wait else windows.LK_NBLCK, 1)
            break
        except OSError as error:
            if not (wait and error.errno in _TAKEN):        # LK_LOCK gives up after ten seconds
                raise
    os.lseek(descriptor, 0, os.SEEK_SET)


def _holder(descriptor: int) -> str:
    """Return who holds the lock, as far as its file tells."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        told = json.loads(os.read(descriptor, 1000))
        pid, host = int(told["pid"]), str(told["host"])
    except (OSError, ValueError, KeyError, TypeError):      # it was about to be written
        return "another process"
    if (pid, host) == (os.getpid(), socket.gethostname()):
        return f"this process ({pid}), in another thread"
    return f"process {pid} on {host}"


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _give_back(path: Path, descriptor: int) -> None:
    """Remove the file, then the lock, so that nobody locks a file that is about to go."""
    if fcntl is None:                   # Windows removes no open file
        os.close(descriptor)
    path.unlink(missing_ok=True)
    if fcntl is not None:
        os.close(descriptor)


def _close_in_child() -> None:
    """Close what was inherited: the lock is the parent's, and must end with the parent."""
    while _open:
        os.close(_open.popitem()[1])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


def refuse_among_data(folder: str | os.PathLike[str], data: str | os.PathLike[str]) -> None:
    """Raise if `folder` is, or would be made, at or below the data folder, whatever links lead there.

    Parameters
    ----------
    folder : path
        A folder to write to; it need not exist.
    data : path
        Folder or file of a data set. Nothing can be written inside a file, so only a folder is looked into.

    Raises
    ------
    ValueError
        What a run writes there, pictures among it, would be read as data the next time.

    Examples
    --------
    >>> refuse_among_data("runs/one", "data/plankton")
    >>> refuse_among_data("data/../data/plankton/run", "data/plankton")
    Traceback (most recent call last):
    ValueError: output folder data/../data/plankton/run is inside the data folder data/plankton: what is written \
there would be read as images the next time. Choose a folder elsewhere
    """
    place, root = Path(os.path.realpath(folder)), Path(os.path.realpath(data))
    if place == root or root in place.parents:
        _refuse(folder, data)
    above = {_identity(parent) for parent in (place, *place.parents)} - {None}
    seen: set[Any] = set()
    for inside, folders, _ in os.walk(root, followlinks=True):
        identity = _identity(Path(inside))
        if identity in above:
            _refuse(folder, data)
        if identity in seen:            # a link to a folder above itself
            folders.clear()
        seen.add(identity)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _refuse(folder: Any, data: Any) -> NoReturn:
    raise ValueError(f"output folder {folder} is inside the data folder {data}: what is written there would be read as "
                     "images the next time. Choose a folder elsewhere")
