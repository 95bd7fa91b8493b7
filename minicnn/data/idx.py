"""IDX files: MNIST and Fashion-MNIST.

An IDX file is a big-endian header and raw bytes, plain or gzipped::

    offset  bytes  images (idx3)      labels (idx1)
         0      4  magic 0x00000803   magic 0x00000801       00 00, type 08 = unsigned byte, number of axes
         4      4  number of images   number of labels
         8    4+4  rows, columns      -
        16      .  pixels, row by row labels, from offset 8

Source of the format: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""
from __future__ import annotations

import gzip
import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np

from .dataset import Dataset
from .resize import from_bytes

DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
           "Ankle boot")
PARTS = {"train": "train", "test": "t10k"}  # part -> how its files begin

_CHUNK = 2**20


def load(path: str | os.PathLike[str], size: int | tuple[int, int] = 28, *, part: str | None = None,
         class_names: tuple[str, ...] = DIGITS, name: str = "mnist") -> Dataset:
    """Load a set of the MNIST family.

    Parameters
    ----------
    path : path
        Folder with ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and the two ``t10k-`` files, each
        plain or with ``.gz``. Dots and underscores count as dashes, capitals as small letters, and ``test-`` as
        ``t10k-``, since mirrors and unpackers name these files in all these ways (``train-images.idx3-ubyte``).
    size : int or (int, int)
        Height and width: images are area-averaged to this size unless they have it (MNIST: 28).
    part : "train" or "test", optional
        One published part; None takes both, training images first.
    class_names : tuple of str
        Names of the labels 0, 1, ...
    name : str
        Name of the data set.

    Returns
    -------
    Dataset
        Images of shape (N, 1, H, W); ink is bright, as in the files.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ValueError
        Wrong magic number, a body shorter or longer than its header says, damaged gzip, different numbers of
        images and labels, a label without a class name.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for prefix in ("train", "t10k"):
    ...         with open(f"{folder}/{prefix}-images-idx3-ubyte", "wb") as file:
    ...             _ = file.write(struct.pack(">4i", 0x803, 10, 28, 28) + bytes(10 * 28 * 28))
    ...         with open(f"{folder}/{prefix}-labels-idx1-ubyte", "wb") as file:
    ...             _ = file.write(struct.pack(">2i", 0x801, 10) + bytes(range(10)))
    ...     load(folder, part="test").images.shape
    (10, 1, 28, 28)
    """
    if part is not None and part not in PARTS:
        raise ValueError(f"{name} has no part {part!r}: expected {' or '.join(PARTS)}, or None for both")
    images, labels = [], []
    for prefix in [PARTS[part]] if part else PARTS.values():
        pixels_file, labels_file = _find(Path(path), prefix, "images-idx3"), _find(Path(path), prefix, "labels-idx1")
        pixels, classes = read(pixels_file, ndim=3), read(labels_file, ndim=1)
        if len(pixels) != len(classes):
            raise ValueError(f"{labels_file} has {len(classes)} labels, but {pixels_file.name} has "
                             f"{len(pixels)} images: expected two files of one set")
        if classes.size and classes.max() >= len(class_names):
            row = int(np.argmax(classes >= len(class_names)))
            raise ValueError(f"{labels_file}: label {row} (counted from 0) is {classes[row]}: expected 0 to "
                             f"{len(class_names) - 1}")
        if 0 in pixels.shape:
            raise ValueError(f"{pixels_file} holds {' x '.join(map(str, pixels.shape))} pixels: expected images")
        images.append(from_bytes(pixels[:, None], size))                        # (N, 1, H, W)
        labels.append(classes.astype(np.int64))
    source = {"path": str(path), "part": part, "size": list(images[0].shape[2:])}
    dataset = Dataset(np.concatenate(images), np.concatenate(labels), class_names, name, source)
    return dataset.require_every_class()


def read(path: str | os.PathLike[str], ndim: int) -> np.ndarray:
    """Read one IDX file of unsigned bytes, plain or gzipped, with `ndim` axes.

    Returns
    -------
    uint8 array with the shape that the header states

    Raises
    ------
    ValueError
        See `load`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(struct.pack(">2i", 0x801, 3) + bytes([7, 2, 1]))
    ...     file.flush()
    ...     read(file.name, ndim=1)
    array([7, 2, 1], dtype=uint8)
    """
    path = Path(path)
    with open(path, "rb") as start:
        zipped = start.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if zipped else open(path, "rb") as file:
            header = file.read(4 + 4 * ndim)
            magic = int.from_bytes(header[:4], "big")
            if len(header) < 4 + 4 * ndim or magic != 0x800 + ndim:
                raise ValueError(f"{path}: magic number 0x{magic:08x}, expected 0x{0x800 + ndim:08x} (IDX, "
                                 f"unsigned bytes, {ndim} axes): is it the right file?")
            shape = struct.unpack(f">{ndim}I", header[4:])
            expected = int(np.prod([int(n) for n in shape], dtype=object))
            # In pieces: a damaged header may announce terabytes, but memory is taken only for what is there.
            body = bytearray()
            while len(body) <= expected and (piece := file.read(_CHUNK)):
                body += piece
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: damaged or cut short ({error}): download it again") from error
    if len(body) != expected:
        raise ValueError(f"{path}: the header announces {' x '.join(map(str, shape))} = {expected} bytes, "
                         f"but {'only' if len(body) < expected else 'at least'} {len(body)} follow")
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)


def _find(folder: Path, prefix: str, kind: str) -> Path:
    """Return the file of images or labels in `folder`, under one of the names that mirrors and unpackers give it."""
    wanted = f"{prefix}-{kind}-ubyte"
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    alike = [name for name in names if _plain_name(name) == wanted]
    # Some unpackers make a folder of each file's name, with the file in it.
    places = [folder / name for name in sorted(alike, key=lambda name: (name != wanted, name != f"{wanted}.gz", name))]
    places += [place / name for place in places if place.is_dir() for name in sorted(os.listdir(place))
               if _plain_name(name) == wanted]
    for place in places:
        if place.is_file():
            return place
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} {'is no folder' if folder.exists() else 'does not exist'}: expected the "
                                "folder that holds the four IDX files")
    shown = ", ".join(map(repr, names[:8])) + " ..." * (len(names) > 8) if names else "nothing"
    raise FileNotFoundError(f"{folder} has neither {wanted} nor {wanted}.gz: expected the four IDX files in this "
                            f"folder, and found {shown}; python -m minicnn data fetch mnist --to FOLDER downloads them")


def _plain_name(name: str) -> str:
    """Return a file's name as it was published: lower case, dashes, not compressed.

    Examples
    --------
    >>> _plain_name("Train_Images.idx3-ubyte.GZ"), _plain_name("test-labels-idx1-ubyte")
    ('train-images-idx3-ubyte', 't10k-labels-idx1-ubyte')
    """
    plain = re.sub(r"[._ -]+", "-", name.lower().removesuffix(".gz"))
    return f"t10k-{plain.removeprefix('test-')}" if plain.startswith("test-") else plain
