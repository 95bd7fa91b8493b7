"""Files that are written whole or not at all, and the folders they go to.

Writing goes to a temporary name in the same folder, is forced to the disk, and only then renamed over the old file:
whenever the computer stops, the name holds either the old file or the new one, never half of one.
"""
from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["remove_unfinished", "whole_file", "writable_folder", "write_atomically"]


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file to be written in the block; after an error in the block, `path` is what it was before.

    Parameters
    ----------
    path : path
        The file, whose folder exists.

    Raises
    ------
    OSError
        The folder cannot be written or the disk is full; the message names the folder.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(folder + "/a.txt") as file:
    ...         file.write(b"plankton")
    ...     os.listdir(folder)
    8
    ['a.txt']
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")     # unlike those of other threads, too
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        _remove(temporary)
        raise OSError(error.errno, f"cannot write {path.name} into folder {path.parent}: "
                                   f"{error.strerror or error}") from error
    except BaseException:       # Ctrl-C leaves no half-written file behind either
        _remove(temporary)
        raise


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`: afterwards the file is the new one, or after an error still the old one.

    Parameters
    ----------
    path : path
        The file, whose folder exists.
    data : bytes
        The whole content.

    Raises
    ------
    OSError
        The folder cannot be written or the disk is full; the message names the folder.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(folder + "/a.txt", b"plankton")
    ...     os.listdir(folder)
    ['a.txt']
    """
    with whole_file(path) as file:
        file.write(data)


def _sync_folder(folder: Path) -> None:
    """Force a rename to the disk: on POSIX systems it is a change of the folder, not of the file."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(path: Path) -> None:
    with suppress(OSError):     # it was never made; the error that brought us here is the one to report
        path.unlink()


def writable_folder(path: str | os.PathLike[str]) -> Path:
    """Make folder `path` if it is missing, and find out by writing a small file whether it can be written.

    Raises
    ------
    OSError
        It cannot; the message names the folder.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        there = Path(error.filename)
        what = f"a link to {os.readlink(there)}, which does not exist" if there.is_symlink() else "a file"
        raise OSError(error.errno, f"output folder {folder} cannot be written: {there} is {what}. Choose another "
                                   "folder") from error
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        probe = folder / f".probe.{os.getpid()}"
        write_atomically(probe, b"\0" * 4096)
        probe.unlink()
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def _unwritable(folder: Path, error: OSError) -> OSError:
    reason = error.__cause__ if isinstance(error.__cause__, OSError) else error
    return OSError(error.errno, f"output folder {folder} cannot be written: {reason.strerror or reason}. "
                                "Choose another folder, or free space in this one")


def remove_unfinished(folder: Path, name: str) -> None:
    """Remove what `write_atomically` left of files `name`, a pattern, when its process was killed while it wrote.

    Call it only where no other process can be writing such a file.
    """
    for part in folder.glob(f".{name}.*.part"):
        _remove(part)
