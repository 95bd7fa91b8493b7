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

How a file is written whole is told in `minicnn.plumbing.files`.
"""
from __future__ import annotations

import io
import json
import math
import os
import struct
import zipfile
from typing import Any

import numpy as np

from minicnn.plumbing.files import remove_unfinished, writable_folder, write_atomically

__all__ = ["CheckpointError", "read_archive", "remove_unfinished", "to_host", "writable_folder", "write_archive",
           "write_atomically"]

HEADER = "header.json"
DTYPES = ("<f4", "<f8", "<i8")  # of arrays
HEADER_LIMIT = 1 << 26          # bytes; the history of ten thousand epochs is 3 MB
_NPY_HEADER_LIMIT = 1 << 10     # bytes; NumPy pads the header of a plain array to 64 or 128


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: not one, damaged, of another version, or of another model."""


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
        The same errors as in `write_atomically`.
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
