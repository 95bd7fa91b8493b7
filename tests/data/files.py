"""Small data sets on disk, for the tests of the loaders."""
from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

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
