"""CIFAR-10 and CIFAR-100: 60,000 colour images of 32x32, in the two published forms or as class folders.

Binary version: records of fixed length, one after the other, pixels in the order channel, row, column::

    CIFAR-10    | label |      3072 pixel bytes      |
    CIFAR-100   | coarse | fine |  3072 pixel bytes  |       we use the fine labels

Python version: the same in dictionaries that Python 2 pickled. A pickle is a program, and the ordinary loader
runs whatever it says; `_Unpickler` knows three names and refuses all others. Prefer the binary version.

Source: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""
from __future__ import annotations

import io
import os
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from . import folder
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
    for version in versions:
        for place in (path, path / version.folder):
            if (place / version.train[0]).is_file() and (place / version.names).is_file():
                return place, version
    for version in versions:
        if (path / version.archive).is_file():
            return path / version.archive, version
    return None


def _read_files(place: Path, wanted: set[str]) -> dict[str, bytes]:
    """Read the files named `wanted` from a folder or from a tar archive."""
    if place.is_dir():
        found = {name: (place / name).read_bytes() for name in sorted(wanted) if (place / name).is_file()}
    else:
        found = {}
        try:
            with tarfile.open(place) as archive:
                for member in archive:
                    name = member.name.rpartition("/")[2]
                    if name in wanted and member.isfile():
                        found[name] = archive.extractfile(member).read()  # type: ignore[union-attr]
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise ValueError(f"{place}: damaged or cut short ({error}): download it again") from error
    missing = sorted(wanted - set(found))
    if missing:
        raise FileNotFoundError(f"{place} lacks {', '.join(missing)}: download and unpack it again")
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
        batch = _unpickle(where, content)
        key = b"labels" if classes == 10 else b"fine_labels"
        if b"data" not in batch or key not in batch:
            raise ValueError(f"{where} lacks the entry 'data' or {key.decode()!r}: is it of another set?")
        pixels, labels = batch[b"data"], np.asarray(batch[key])
        if labels.dtype.kind != "i" or np.shape(pixels) != (len(labels), _PIXELS):
            raise ValueError(f"{where}: entry 'data' has shape {np.shape(pixels)} and there are "
                             f"{labels.size} labels: expected {_PIXELS} bytes and an integer label each")
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
        meta = _unpickle(f"{place}: {name}", content)
        entries = meta.get(b"label_names" if classes == 10 else b"fine_label_names", [])
        names = [bytes(entry).decode("ascii", errors="replace") for entry in entries]
    if len(names) != classes:
        raise ValueError(f"{place}: {name} holds {len(names)} class names: expected {classes}")
    return tuple(names)


def _unpickle(where: str, content: bytes) -> dict[bytes, Any]:
    """Read a dictionary of arrays, lists, numbers and byte strings; refuse everything else."""
    try:
        value = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        if not isinstance(value, dict):
            raise ValueError(f"it holds a {type(value).__name__}, expected a dictionary")
        return {key: entry.array() if isinstance(entry, _PickledArray) else entry
                for key, entry in value.items()}
    except Exception as error:  # the bytes of a damaged pickle are instructions, which can fail in any way
        raise ValueError(f"{where}: not a pickle of CIFAR, or damaged: {error}") from error


class _PickledArray:
    """Stands for `numpy.ndarray` while unpickling.

    NumPy's own class would let the file set strides, object pointers and the like before anyone has checked
    them. This one only keeps what the file says; `array` then builds the one kind of array that CIFAR files
    hold.
    """

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def array(self) -> np.ndarray:
        """Return the array, of unsigned bytes."""
        _, shape, dtype, fortran, content = self.state
        if not isinstance(dtype, _PickledDtype) or dtype.code not in (b"u1", b"|u1"):
            raise ValueError("it holds an array of another type than unsigned bytes")
        return np.frombuffer(content, dtype=np.uint8).reshape(shape, order="F" if fortran else "C")


class _PickledDtype:
    """Stands for `numpy.dtype`."""

    def __init__(self, code: bytes, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        pass  # byte order and alignment, which single bytes do not have


class _Reconstruct:
    """Stands for ``numpy.core.multiarray._reconstruct``, which makes the array that is then filled."""

    def __new__(cls, *_: Any) -> Any:
        """Make the stand-in for an array."""
        return _PickledArray()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Keep a pickle from storing attributes on this class."""


class _Unpickler(pickle.Unpickler):
    _ADMITTED: ClassVar = {("numpy.core.multiarray", "_reconstruct"): _Reconstruct,
                           ("numpy", "ndarray"): _PickledArray, ("numpy", "dtype"): _PickledDtype}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which image data do not need: "
                                         "refused, nothing of it was run; do not trust this file") from None
