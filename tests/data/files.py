"""Small data sets on disk, for the tests of the loaders."""
from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

REAL = Path(os.environ.get("MINICNN_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))


def real(name: str) -> Path:
    """Folder of a real data set; skips the test where it is absent."""
    folder = REAL / name
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set MINICNN_DATA to the folder that holds {name}/")
    return folder


def image_bytes(pixels, kind: str = "PNG", mode: str | None = None) -> bytes:
    """An encoded image."""
    file = io.BytesIO()
    image = Image.fromarray(np.asarray(pixels))
    (image.convert(mode) if mode else image).save(file, kind)
    return file.getvalue()


def grey_bytes(value: int, kind: str = "PNG", shape: tuple[int, int] = (9, 12)) -> bytes:
    """An encoded image of one grey."""
    return image_bytes(np.full(shape, value, np.uint8), kind)


def write_tree(root: Path, files: dict[str, bytes]) -> Path:
    """Write files below a folder; a name that ends in / makes an empty folder."""
    for name, content in files.items():
        target = root / name
        if name.endswith("/"):
            target.mkdir(parents=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    return root


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    """Write the same files as a zip."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def idx_bytes(array, magic: int | None = None) -> bytes:
    """An IDX file of unsigned bytes, by its published layout."""
    array = np.asarray(array, dtype=np.uint8)
    header = struct.pack(">i", 0x800 + array.ndim if magic is None else magic)
    return header + struct.pack(f">{array.ndim}i", *array.shape) + array.tobytes()


class Entry(NamedTuple):
    """An entry of a zip, as it is to stand in the file."""

    name: bytes
    content: bytes = b""
    flags: int = 0        # 0x800: the name is UTF-8; 1: encrypted
    extra: bytes = b""
    mode: int = 0o100644  # of Unix
    attributes: int = 0   # of MS-DOS
    method: int = 0       # stored


def zip_bytes(entries: list[Entry]) -> bytes:
    """A zip, byte by byte as its specification has it: Python's own writer refuses much of what other tools write."""
    body, directory = b"", b""
    for e in entries:
        sizes = (zlib.crc32(e.content), len(e.content), len(e.content), len(e.name), len(e.extra))
        header = struct.pack("<5H3I2H", 20, e.flags, e.method, 0, 0x21, *sizes)
        directory += (b"PK\1\2" + struct.pack("<H", 3 << 8 | 20) + header
                      + struct.pack("<3H2I", 0, 0, 0, e.mode << 16 | e.attributes, len(body)) + e.name + e.extra)
        body += b"PK\3\4" + header + e.name + e.extra + e.content
    end = struct.pack("<4H2IH", 0, 0, len(entries), len(entries), len(directory), len(body), 0)
    return body + directory + b"PK\5\6" + end


def write_entries(path: Path, entries: list[Entry]) -> Path:
    """Write such a zip."""
    path.write_bytes(zip_bytes(entries))
    return path
