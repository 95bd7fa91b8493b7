"""The file format of fitted classifiers: named arrays and a JSON header in an ``.npz``, written whole or not at all.

    forest.npz              a zip archive; its entries are stored, not compressed
      header.json           {"format": ..., "version": 1, "arrays": {name: [dtype, shape]}, "header": {...}}
      feature.npy           one NumPy file for each array, which `numpy.load` reads, too
      ...

Nothing here is ever pickled or executed on reading, and nothing is believed: an archive is opened for a *named*
format and version, its entries must be exactly those that the header declares, and the size of each is compared
with its declared dtype and shape before a byte of it is read. Entries are stored plain, so that together they can
never be larger than the file that holds them: there is no such thing as a zip bomb. The few bytes before the
numbers of a ``.npy`` are not parsed either, they are compared with those that `save_archive` writes for that dtype
and shape. Every entry carries a checksum (CRC-32), which finds damage, not malice: what the numbers *mean*, such
as indices that a kernel will follow, the caller must check.

How a file is written whole is told in `minicnn.plumbing.files`.

Source: the layout of ``.npy`` is that of NumPy Enhancement Proposal 1, version 1.0.
"""
from __future__ import annotations

import json
import math
import os
import re
import struct
import zipfile
from collections.abc import Collection
from typing import Any

import numpy as np

from minicnn.plumbing.files import whole_file

__all__ = ["ArchiveError", "load_archive", "save_archive"]

_HEADER = "header.json"
_HEADER_LIMIT = 1 << 26         # bytes; labels and parameters take thousands
_CHUNK = 1 << 20                # bytes
_DTYPES = ("|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<f4", "<f8")


class ArchiveError(ValueError):
    """A file that cannot be used: not an archive, damaged, or of another format or version."""


def save_archive(path: str | os.PathLike[str], format_name: str, version: int, header: dict[str, Any],
                 arrays: dict[str, np.ndarray]) -> None:
    """Write `header` and `arrays` to `path`: afterwards the file is the new one, or after an error still the old one.

    Equal content gives an equal file.

    Parameters
    ----------
    path : path
        The file, whose folder exists.
    format_name, version : str, int
        What it holds; to be given again to `load_archive`.
    header : dict
        Whatever JSON can express, NaN and infinity excepted.
    arrays : dict of str to array
        Names of letters, digits, dots and underscores; booleans, integers of 8 to 64 bits (``uint64`` excepted),
        ``float32`` or ``float64``.

    Raises
    ------
    ArchiveError
        A name or a dtype that the format does not have.
    TypeError, ValueError
        The header holds something that JSON cannot express.
    OSError
        The folder cannot be written, or the disk is full; the message names the folder.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> save_archive(folder.name + "/fish.npz", "fish", 1, {"name": "cod"}, {"length": np.array([31.5, 40.0])})
    >>> load_archive(folder.name + "/fish.npz", "fish", 1)
    ({'name': 'cod'}, {'length': array([31.5, 40. ])})
    >>> folder.cleanup()
    """
    plain = {name: _plain(name, array) for name, array in arrays.items()}
    declared = {name: [array.dtype.str, list(array.shape)] for name, array in plain.items()}
    text = json.dumps({"format": format_name, "version": version, "arrays": declared, "header": header}, indent=1,
                      allow_nan=False)
    with whole_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_entry(_HEADER), text)
        for name, array in plain.items():
            with archive.open(_entry(f"{name}.npy"), "w", force_zip64=True) as entry:
                entry.write(_npy_prefix(array.dtype.str, array.shape))
                flat = array.reshape(-1).view(np.uint8)
                for start in range(0, flat.size, _CHUNK):
                    entry.write(flat[start:start + _CHUNK].data)


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    """Return `array` contiguous and in little-endian bytes."""
    if not re.fullmatch(r"[\w.]+", name, re.ASCII):
        raise ArchiveError(f"array name {name!r}: expected letters, digits, dots and underscores")
    dtype = array.dtype.newbyteorder("<")
    if dtype.str not in _DTYPES:
        raise ArchiveError(f"array {name} has dtype {array.dtype}: expected one of "
                           f"{', '.join(str(np.dtype(known)) for known in _DTYPES)}")
    return np.asarray(array, dtype, order="C")      # and not ascontiguousarray, which makes () into (1,)


def _entry(name: str) -> zipfile.ZipInfo:
    """Return an entry with a fixed date, so that a file depends on nothing but its content."""
    return zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))


def _npy_prefix(dtype: str, shape: Collection[int]) -> bytes:
    """Return what stands in a ``.npy`` before the numbers: magic, version 1.0, length and a dict padded to 64 bytes."""
    text = repr({"descr": dtype, "fortran_order": False, "shape": tuple(shape)})
    text += " " * (-(10 + len(text) + 1) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode("ascii")


def load_archive(path: str | os.PathLike[str], format_name: str, version: int, unchecked: Collection[str] = ()) \
        -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `save_archive` wrote.

    Parameters
    ----------
    path : path
        The file.
    format_name, version : str, int
        What it must hold.
    unchecked : collection of str
        The arrays in which NaN and infinity may occur, because they mean something that the caller checks.

    Returns
    -------
    header : dict
    arrays : dict of str to array
        Contiguous, writable, of the dtypes and shapes they were saved with.

    Raises
    ------
    ArchiveError
        The file is not such an archive, or is damaged; the message says what is wrong and where.
    OSError
        The file cannot be opened.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                entries = _entries(archive, size, path)
                header, declared = _header(archive, entries, format_name, version, path)
                return header, {name: _array(archive, entries[f"{name}.npy"], name, dtype, tuple(shape),
                                             name in unchecked, path) for name, (dtype, shape) in declared.items()}
        except ArchiveError:
            raise
        except (zipfile.BadZipFile, EOFError, struct.error, NotImplementedError, RuntimeError, ValueError,
                OSError) as error:      # all that zipfile raises on a damaged file; a bad offset is an OSError
            raise ArchiveError(f"{path} ({size} bytes) is no zip archive, or is cut short or damaged ({error}): "
                               f"expected a {format_name} file. Save it again, or take an earlier copy") from error


def _entries(archive: zipfile.ZipFile, size: int, path: Any) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by name, if reading them all takes no more memory than the file has bytes."""
    infos = archive.infolist()
    entries = {info.filename: info for info in infos}
    if len(entries) != len(infos):
        raise ArchiveError(f"{path} holds two entries of one name")
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise ArchiveError(f"{path}: entry {info.filename} is compressed: expected entries that are stored plain")
    if (claimed := sum(info.file_size for info in infos)) > size:
        raise ArchiveError(f"{path}: its entries claim {claimed} bytes, but the whole file has {size}: it is cut short "
                           "or damaged")
    return entries


def _header(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], format_name: str, version: int,
            path: Any) -> tuple[dict[str, Any], dict[str, tuple[str, list[int]]]]:
    """Return the caller's header and the declared arrays, if `entries` are exactly these."""
    if _HEADER not in entries:
        raise ArchiveError(f"{path} has no {_HEADER}: it is a zip archive, but not a {format_name} file")
    if entries[_HEADER].file_size > _HEADER_LIMIT:
        raise ArchiveError(f"{path}: {_HEADER} has {entries[_HEADER].file_size} bytes, more than {_HEADER_LIMIT}")
    raw = archive.read(entries[_HEADER])
    try:
        full = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"{path}: {_HEADER} is not JSON ({error})") from error
    if not isinstance(full, dict) or full.get("format") != format_name:
        found = full.get("format") if isinstance(full, dict) else type(full).__name__
        raise ArchiveError(f"{path} is a {found!r} file: expected {format_name!r}")
    if full.get("version") != version:
        raise ArchiveError(f"{path} has {format_name} version {full.get('version')!r}, but version {version} is read "
                           "here: open it with the release that wrote it")
    header, declared = full.get("header"), full.get("arrays")
    if not isinstance(header, dict) or not isinstance(declared, dict) or not all(map(_declares, declared.values())):
        raise ArchiveError(f"{path}: {_HEADER} does not declare its arrays as name: [dtype, shape], or has no header")
    names = {f"{name}.npy" for name in declared}
    if missing := sorted(names - set(entries)):
        raise ArchiveError(f"{path} lacks {', '.join(missing)}, which its header declares")
    if extra := sorted(set(entries) - names - {_HEADER}):
        raise ArchiveError(f"{path} holds {', '.join(extra)}, which its header does not declare")
    return header, declared


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")      # Python's json would read NaN and Infinity


def _declares(entry: Any) -> bool:
    return (isinstance(entry, list) and len(entry) == 2 and entry[0] in _DTYPES and isinstance(entry[1], list)
            and len(entry[1]) <= 32 and all(type(n) is int and 0 <= n < 1 << 48 for n in entry[1]))


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, dtype: str, shape: tuple[int, ...],
           unchecked: bool, path: Any) -> np.ndarray:
    """Return one array."""
    prefix = _npy_prefix(dtype, shape)
    expected = len(prefix) + np.dtype(dtype).itemsize * math.prod(shape)
    if info.file_size != expected:
        raise ArchiveError(f"{path}: array {name} takes {info.file_size} bytes, but {dtype} of shape {shape} takes "
                           f"{expected}")
    with archive.open(info) as entry:
        if entry.read(len(prefix)) != prefix:
            raise ArchiveError(f"{path}: array {name} is not the {dtype} of shape {shape} that the header declares")
        array = np.empty(shape, dtype)
        flat, filled = array.reshape(-1).view(np.uint8), 0
        while chunk := entry.read(_CHUNK):      # to the end, where zipfile compares the checksum
            flat[filled:filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
            filled += len(chunk)
    if filled != flat.size:
        raise ArchiveError(f"{path}: array {name} ends after {filled} of {flat.size} bytes")
    if dtype == "|b1" and flat.size and flat.max() > 1:
        raise ArchiveError(f"{path}: array {name} holds the byte {flat.max()} as a boolean: expected 0 or 1")
    if array.dtype.kind == "f" and not unchecked and not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ArchiveError(f"{path}: array {name} holds {array[where]} at {where}: expected finite numbers")
    return array
