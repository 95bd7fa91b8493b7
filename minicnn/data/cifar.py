"""CIFAR-10 and CIFAR-100: 60,000 colour images of 32x32, in the two published forms or as class folders.

Binary version: records of fixed length, one after the other, pixels in the order channel, row, column::

    CIFAR-10    | label |      3072 pixel bytes      |
    CIFAR-100   | coarse | fine |  3072 pixel bytes  |       we use the fine labels

Python version: the same in dictionaries that Python 2 pickled, or Python 3 pickled again. A pickle is a program, and
the ordinary loader runs whatever it says; `minicnn.data.plain_pickle` builds plain data and refuses the rest. Prefer
the binary version.

Source: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""
from __future__ import annotations

import lzma
import os
import tarfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import archive as archives
from . import folder, plain_pickle
from .dataset import Dataset
from .resize import from_bytes


class _Version(NamedTuple):
    """One published archive of one of the sets."""

    archive: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    names: str


_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
_VERSIONS = {
    10: (_Version("cifar-10-binary.tar.gz", "cifar-10-batches-bin",
                  tuple(f"{batch}.bin" for batch in _BATCHES), ("test_batch.bin",), "batches.meta.txt"),
         _Version("cifar-10-python.tar.gz", "cifar-10-batches-py",
                  _BATCHES, ("test_batch",), "batches.meta")),
    100: (_Version("cifar-100-binary.tar.gz", "cifar-100-binary",
                   ("train.bin",), ("test.bin",), "fine_label_names.txt"),
          _Version("cifar-100-python.tar.gz", "cifar-100-python", ("train",), ("test",), "meta")),
}
_PIXELS = 3 * 32 * 32


def load(path: str | os.PathLike[str], size: int | tuple[int, int] = 32, *, classes: int = 10, part: str | None = None,
         skip_bad: bool = False, cache_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Load CIFAR-10 or CIFAR-100.

    Parameters
    ----------
    path : path
        A published archive (binary or python version, ``.tar.gz``); a folder that holds one or is one
        unpacked; or class folders ``train/<class>/`` and ``test/<class>/``, in a directory or a zip.
    size : int or (int, int)
        Height and width: images are area-averaged to this size unless they have it (32).
    classes : 10 or 100
        Which of the two sets.
    part : "train" or "test", optional
        One published part; None takes both, training images first.
    skip_bad, cache_dir
        For class folders, see `minicnn.data.folder.load`.

    Returns
    -------
    Dataset
        Images of shape (N, 3, H, W), channels red, green, blue.

    Raises
    ------
    FileNotFoundError
        Nothing at `path`, or none of the known forms.
    ValueError
        Files that are damaged or cut short, a label out of range, a pickle that asks for more than arrays.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> records = b"".join(bytes([label]) + bytes(3072) for label in range(10))
    >>> with tempfile.TemporaryDirectory() as root:
    ...     _ = (pathlib.Path(root) / "batches.meta.txt").write_text("\\n".join("abcdefghij"))
    ...     for name in ("test_batch.bin", *(f"data_batch_{i}.bin" for i in range(1, 6))):
    ...         _ = (pathlib.Path(root) / name).write_bytes(records)
    ...     load(root, size=28, part="test").images.shape
    (10, 3, 28, 28)
    """
    path, name = Path(path), f"cifar{classes}"
    if part not in (None, "train", "test"):
        raise ValueError(f"{name} has no part {part!r}: expected train or test, or None for both")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: expected a folder or an archive of {name}")
    found = _find(path, _VERSIONS[classes])
    if found is None:
        dataset = folder.load(path, size, part=part, colour=True, skip_bad=skip_bad, cache_dir=cache_dir,
                              name=name)
        if len(dataset.class_names) != classes:
            raise ValueError(f"{path} has {len(dataset.class_names)} class folders: "
                             f"expected {classes} for {name}")
        return dataset
    place, version = found
    wanted = (version.train if part != "test" else ()) + (version.test if part != "train" else ())
    files = _read_files(place, {*wanted, version.names})
    batches = [_batch(place, file, files[file], classes) for file in wanted]
    class_names = _class_names(place, version.names, files[version.names], classes)
    pixels, labels = np.concatenate([p for p, _ in batches]), np.concatenate([y for _, y in batches])
    images = from_bytes(pixels.reshape(-1, 3, 32, 32), size)
    source = {"path": str(place), "part": part, "size": list(images.shape[2:])}
    return Dataset(images, labels, class_names, name, source).require_every_class()


def _find(path: Path, versions: tuple[_Version, ...]) -> tuple[Path, _Version] | None:
    """Return where one of the published forms lies, and which; None if there is none."""
    if path.is_file():
        known = {version.archive: version for version in versions}
        if path.name in known:
            return path, known[path.name]
        if path.suffix != ".zip":
            raise FileNotFoundError(f"{path} is not one of {', '.join(known)}: expected a published archive "
                                    "under its published name, which tells its form")
        return None
    places = [(place, version) for version in versions for place in (path, path / version.folder)]
    counts = [_count(place, version) for place, version in places]
    if max(counts):
        return places[counts.index(max(counts))]
    for version in versions:
        if (path / version.archive).is_file():
            return path / version.archive, version
    return None


def _count(place: Path, version: _Version) -> int:
    """Return how many files of a published version are in folder `place`; those that lack are told when it is read."""
    batches = sum((place / name).is_file() for name in version.train + version.test)
    return batches + (place / version.names).is_file() if batches or place.name == version.folder else 0


def _read_files(place: Path, wanted: set[str]) -> dict[str, bytes]:
    """Read the files named `wanted` from a folder or from a tar archive."""
    if place.is_dir():
        there = sorted(os.listdir(place))
        found = {name: (place / name).read_bytes() for name in sorted(wanted) if (place / name).is_file()}
    else:
        there, found = [], {}
        try:
            with tarfile.open(place) as archive:
                for member in archive:
                    name = member.name.rpartition("/")[2]
                    there.append(name)
                    if name in wanted and member.isfile():
                        if member.size > archives.MAX_FILE_BYTES:
                            raise ValueError(f"{place}: member {name!r} declares {member.size} bytes: expected at most "
                                             f"{archives.MAX_FILE_BYTES} (is it a decompression bomb?)")
                        found[name] = archive.extractfile(member).read()  # type: ignore[union-attr]
        except (tarfile.TarError, lzma.LZMAError, EOFError, zlib.error, RecursionError) as error:
            raise ValueError(f"{place}: damaged or cut short ({error}): download it again") from error
    missing = sorted(wanted - set(found))
    if missing:
        others = [name for name in there if name not in found][:8]
        raise FileNotFoundError(f"{place} lacks {', '.join(missing)}"
                                + (f" (there is {', '.join(map(repr, others))})" if others else "")
                                + ": download and unpack it again, or give the files these names")
    return found


def _batch(place: Path, name: str, content: bytes, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (n, 3072), uint8, and labels (n,), int64, of one file."""
    where = f"{place}: {name}"
    if name.endswith(".bin"):
        label_bytes = 1 if classes == 10 else 2
        if not content or len(content) % (label_bytes + _PIXELS):
            raise ValueError(f"{where} has {len(content)} bytes: expected a multiple of "
                             f"{label_bytes + _PIXELS}, the length of a record")
        records = np.frombuffer(content, dtype=np.uint8).reshape(-1, label_bytes + _PIXELS)
        pixels, labels = records[:, label_bytes:], records[:, label_bytes - 1].astype(np.int64)
    else:
        batch = plain_pickle.load(where, content)
        key = "labels" if classes == 10 else "fine_labels"
        if "data" not in batch or key not in batch:
            raise ValueError(f"{where} lacks the entry 'data' or {key!r}: is it of another set?")
        pixels, labels = batch["data"], plain_pickle.integers(where, key, batch[key])
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
            kind = f"array of {pixels.dtype}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
            raise ValueError(f"{where}: entry 'data' has type {kind}: expected an array of uint8")
        if pixels.shape != (len(labels), _PIXELS):
            raise ValueError(f"{where}: entry 'data' has shape {pixels.shape} and there are {len(labels)} labels: "
                             f"expected {_PIXELS} bytes for each label")
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if outside.size:
        raise ValueError(f"{where}: label {outside[0]} (counted from 0) is {labels[outside[0]]}: "
                         f"expected 0 to {classes - 1}")
    return pixels, labels


def _class_names(place: Path, name: str, content: bytes, classes: int) -> tuple[str, ...]:
    """Return the class names, from a text file or a pickled dictionary."""
    if name.endswith(".txt"):
        names = content.decode("ascii", errors="replace").split()
    else:
        key = "label_names" if classes == 10 else "fine_label_names"
        names = plain_pickle.texts(f"{place}: {name}", key, plain_pickle.load(f"{place}: {name}", content).get(key, []))
    if len(names) != classes:
        raise ValueError(f"{place}: {name} holds {len(names)} class names: expected {classes}")
    return tuple(names)
