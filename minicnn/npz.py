"""The file format of checkpoints: named arrays and a JSON header in an ``.npz``, written whole or not at all.

    example.npz                      a zip archive; its entries are stored, not compressed
      header.json                    {"format": ..., "version": 1, "arrays": {name: [dtype, shape]}, ...}
      stage1.conv2d.w.npy            one NumPy file for each array
      ...

Nothing here is ever pickled or executed on reading, and nothing is believed: an archive is opened for a
*named* format and version, its entries must be exactly those that the header declares, and the size of each
is compared with its declared shape before a byte of it is read. Because entries are stored uncompressed, an
array can never be larger than the file that holds it, so there is no such thing as a zip bomb. Every entry
carries a checksum (CRC-32).

Writing goes to a temporary name in the same folder, is forced to the disk, and only then renamed over the old
file: whenever the machine stops, the name holds either the old file or the new one, never half of one.
"""
from __future__ import annotations

import io
import json
import math
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

HEADER = "header.json"
DTYPES = ("<f4", "<f8", "<i8")  # of arrays
HEADER_LIMIT = 1 << 26          # bytes; the history of ten thousand epochs is 3 MB
_NPY_HEADER_LIMIT = 1 << 10     # bytes; NumPy pads the header of a plain array to 64 or 128


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: not one, damaged, of another version, or of another model."""


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`: afterwards the file is the new one, or after an error still the old one.

    Raises
    ------
    OSError
        The folder cannot be written or the disk is full; the message names the folder.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> write_atomically(folder.name + "/a.txt", b"plankton")
    >>> os.listdir(folder.name)
    ['a.txt']
    >>> folder.cleanup()
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        _remove(temporary)
        raise OSError(error.errno, f"cannot write {path.name} into folder {path.parent}: "
                                   f"{error.strerror or error}") from error
    except BaseException:  # Ctrl-C leaves no half-written file behind either
        _remove(temporary)
        raise


def _sync_folder(folder: Path) -> None:
    """Force a rename to the disk: on POSIX systems it is a change of the folder, not of the file."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError:  # it was never made; the error that brought us here is the one to report
        pass


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


def to_host(array: Any) -> np.ndarray:
    """Return a NumPy or CuPy array as a NumPy array."""
    return np.asarray(array.get() if hasattr(array, "get") else array)


def write_archive(path: str | os.PathLike[str], format_name: str, version: int, header: dict[str, Any],
                  arrays: dict[str, Any]) -> None:
    """Write `arrays` and the JSON-able `header` to `path`, atomically; equal content gives an equal file.

    Raises
    ------
    ValueError
        An array of another type than float32, float64 or int64, which could not be read again.
    OSError
        As `write_atomically`.
    """
    host = {name: np.ascontiguousarray(to_host(array)) for name, array in arrays.items()}
    for name, array in host.items():
        if array.dtype.str not in DTYPES:
            raise ValueError(f"array {name} is {array.dtype}: expected float32, float64 or int64")
    full = {"format": format_name, "version": version, **header,
            "arrays": {name: [array.dtype.str, list(array.shape)] for name, array in host.items()}}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_entry(HEADER), json.dumps(full, indent=1, allow_nan=False))
        for name, array in host.items():
            with archive.open(_entry(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, version=(1, 0), allow_pickle=False)
    write_atomically(path, buffer.getvalue())


def _entry(name: str) -> zipfile.ZipInfo:
    """Return an entry with a fixed date, so that a file depends on nothing but its content."""
    return zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))


def read_archive(path: str | os.PathLike[str], format_name: str, version: int) \
        -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `write_archive` wrote.

    Returns
    -------
    header : dict
    arrays : dict of str to array

    Raises
    ------
    CheckpointError
        The file is not such an archive, or is damaged; the message says what is wrong and where.
    OSError
        The file cannot be opened.
    """
    size = os.path.getsize(path)
    if size == 0:
        raise CheckpointError(f"{path} is empty (0 bytes): expected a {format_name} file")
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, format_name, version, path, size)
    except (zipfile.BadZipFile, EOFError, struct.error, NotImplementedError, RuntimeError) as error:
        with open(path, "rb") as file:
            cut = file.read(4) == b"PK\3\4"
        what = "is cut short or damaged" if cut else "is not a zip archive"
        raise CheckpointError(f"{path} ({size} bytes) {what} ({error}): expected a {format_name} file; take "
                              "an earlier checkpoint") from error


def _read(archive: zipfile.ZipFile, format_name: str, version: int, path: Any, size: int) \
        -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    entries = {info.filename: info for info in archive.infolist()}
    if len(entries) != len(archive.infolist()):
        raise CheckpointError(f"{path} holds two entries of one name")
    for info in entries.values():
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise CheckpointError(f"{path}: entry {info.filename} is compressed; minicnn stores them plain")
        if info.header_offset + info.file_size > size:
            raise CheckpointError(f"{path}: entry {info.filename} claims {info.file_size} bytes, but the "
                                  f"whole file has {size}: it is cut short or damaged")
    if HEADER not in entries:
        raise CheckpointError(f"{path} has no {HEADER}: it is a zip archive, but not a {format_name} file")
    header = _header(archive, entries.pop(HEADER), format_name, version, path)
    declared = header["arrays"]
    names = {f"{name}.npy" for name in declared}
    if missing := sorted(names - set(entries)):
        raise CheckpointError(f"{path} lacks {', '.join(missing)}, which its header declares")
    if extra := sorted(set(entries) - names):
        raise CheckpointError(f"{path} holds {', '.join(extra)}, which its header does not declare")
    return header, {name: _array(archive, entries[f"{name}.npy"], name, dtype, shape, path)
                    for name, (dtype, shape) in declared.items()}


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, format_name: str, version: int, path: Any) \
        -> dict[str, Any]:
    """Return the header if it is one of this format and version."""
    if info.file_size > HEADER_LIMIT:
        raise CheckpointError(f"{path}: {HEADER} has {info.file_size} bytes, more than {HEADER_LIMIT}")
    try:
        header = json.loads(archive.read(info))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: {HEADER} is not JSON ({error})") from error
    if not isinstance(header, dict) or header.get("format") != format_name:
        found = header.get("format") if isinstance(header, dict) else type(header).__name__
        raise CheckpointError(f"{path} is a {found!r} file: expected {format_name!r}")
    if header.get("version") != version:
        raise CheckpointError(f"{path} has {format_name} version {header.get('version')!r}, but this minicnn "
                              f"reads version {version}: open it with the minicnn that wrote it")
    declared = header.get("arrays")
    if not isinstance(declared, dict) or not all(_declares_array(entry) for entry in declared.values()):
        raise CheckpointError(f"{path}: {HEADER} does not declare its arrays as name: [dtype, shape]")
    return header


def _declares_array(entry: Any) -> bool:
    return (isinstance(entry, list) and len(entry) == 2 and entry[0] in DTYPES
            and isinstance(entry[1], list)
            and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in entry[1]))


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, dtype: str, shape: list[int],
           path: Any) -> np.ndarray:
    """Return one array, whose size was declared as `dtype` and `shape`."""
    nbytes = np.dtype(dtype).itemsize * math.prod(shape)
    if not nbytes < info.file_size <= nbytes + _NPY_HEADER_LIMIT:
        raise CheckpointError(f"{path}: array {name} takes {info.file_size} bytes, but {dtype} of shape "
                              f"{tuple(shape)} takes {nbytes} and a short header")
    data = io.BytesIO(archive.read(info))
    try:
        if np.lib.format.read_magic(data) != (1, 0):
            raise ValueError("not an array of NumPy format 1.0")
        found_shape, fortran, found_dtype = np.lib.format.read_array_header_1_0(data)
    except ValueError as error:
        raise CheckpointError(f"{path}: array {name} is damaged ({error})") from error
    if (found_shape, found_dtype, fortran) != (tuple(shape), np.dtype(dtype), False):
        raise CheckpointError(f"{path}: array {name} is {found_dtype} of shape {found_shape}, but the header "
                              f"declares {dtype} of shape {tuple(shape)}")
    body = data.read()
    if len(body) != nbytes:
        raise CheckpointError(f"{path}: array {name} has {len(body)} bytes, expected {nbytes}")
    array = np.frombuffer(body, dtype).reshape(shape).copy()       # a copy, because frombuffer's is read-only
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise CheckpointError(f"{path}: array {name} holds {array[where]} at {where}: expected finite "
                              "numbers; the run that wrote it had diverged, take an earlier checkpoint")
    return array
