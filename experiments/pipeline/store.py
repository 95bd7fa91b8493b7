"""Results of stages on disk: one file each, named by everything that determines it.

A file is written whole or not at all and never changed, so a run that was killed anywhere finds all that was done, and
two experiments that need the same forest find the same file.
"""
from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.pipeline.versions import is_record
from minicnn.npz import CheckpointError, read_archive, remove_unfinished, writable_folder, write_archive
from minicnn.plumbing import folders

_FORMAT = ("minicnn experiments stage", 1)


class Result(NamedTuple):
    """What a stage found.

    Attributes
    ----------
    plain : dict
        JSON values. ``plain["seconds"]`` is the time that the stage took.
    arrays : dict
        Arrays by name.
    made_by : dict or None
        The versions that made the result (`pipeline.versions.present`); None if they are unknown, as in files that
        were stored before versions were recorded.
    """

    plain: dict[str, Any]
    arrays: dict[str, np.ndarray]
    made_by: dict[str, str] | None = None


def key_of(description: dict[str, Any]) -> str:
    """Return a name of 16 letters for a description in JSON values.

    Examples
    --------
    >>> key_of({"trees": 400, "seed": 0}) == key_of({"seed": 0, "trees": 400}), len(key_of({}))
    (True, 16)
    """
    text = json.dumps(description, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Store:
    """A folder of results.

    Parameters
    ----------
    folder : path
        Made if it is missing.

    Raises
    ------
    OSError
        The folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(Path(folder))
    ...     store.write("forest", "0" * 16, Result({"accuracy": 0.5}, {"predicted": np.arange(2)}))
    ...     store.read("forest", "0" * 16).plain, store.read("forest", "1" * 16)
    ({'accuracy': 0.5}, None)
    """

    def __init__(self, folder: Path):
        self.folder = writable_folder(folder)

    def path(self, name: str, key: str, ending: str = ".npz") -> Path:
        """Return where the result of a stage is, or would be; with another ending, what belongs to it."""
        return self.folder / f"{name}-{key}{ending}"

    def has(self, name: str, key: str) -> bool:
        """Tell whether a result is there."""
        return self.path(name, key).exists()

    def read(self, name: str, key: str) -> Result | None:
        """Return a result, or None if it is not there.

        Raises
        ------
        CheckpointError
            The file is damaged, or its header is not that of a result; the message says to delete it.
        """
        path = self.path(name, key)
        if not path.exists():
            return None
        try:
            header, arrays = read_archive(path, *_FORMAT)
            plain, made_by = header.get("plain"), header.get("made_by")
            if not isinstance(plain, dict) or not (made_by is None or is_record(made_by)):
                raise CheckpointError(f"{path}: its header is damaged: expected 'plain', a dict of what the stage "
                                      "found, and 'made_by', a dict of versions or nothing")
        except CheckpointError as error:
            raise CheckpointError(f"{error}; delete the file, and the next run makes it anew") from error
        return Result(plain, arrays, made_by)

    @contextmanager
    def owned(self, name: str, key: str, wait: Callable[[str], None] | None = None) -> Iterator[None]:
        """Keep other processes from making this result while the block runs; `wait` as for `folders.owned`.

        Raises
        ------
        FolderInUse
            Another process is making it, and `wait` is not given.
        """
        with folders.owned(self.folder, self.path(f".{name}", key, ".lock").name, wait):
            remove_unfinished(self.folder, glob.escape(self.path(name, key).name))
            yield

    def write(self, name: str, key: str, result: Result) -> None:
        """Keep a result.

        Raises
        ------
        OSError
            The folder cannot be written or the disk is full.
        """
        write_archive(self.path(name, key), *_FORMAT, {"plain": result.plain, "made_by": result.made_by}, result.arrays)
