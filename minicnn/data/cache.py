"""Decoded arrays kept on disk, so that a second run starts in a second.

A cache file is named by a hash of everything that its content follows from: the image files (names, sizes,
bytes or checksums) and the parameters of the loading. Nothing needs to be invalidated: other files or other
parameters have another name. Files are .npz, read without pickle; the zip format inside keeps a CRC-32 of
each array, so a damaged file is noticed, reported and made again.
"""
from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.plumbing.files import write_atomically

_FORMAT = 2  # to be raised when decoding or resizing changes its results: old files are then left alone


def key(**parameters: Any) -> str:
    """Return a name for what follows from `parameters` (JSON values).

    Examples
    --------
    >>> key(size=28) == key(size=28), key(size=28) == key(size=40)
    (True, False)
    """
    return hashlib.sha256(json.dumps([_FORMAT, parameters], sort_keys=True).encode()).hexdigest()[:32]


def cached(folder: str | os.PathLike[str] | None, name: str,
           build: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the arrays that `build` makes, from ``folder/name.npz`` if they are there already.

    Parameters
    ----------
    folder : path, optional
        Cache folder, made if missing. None: nothing is read or written.
    name : str
        See `key`.
    build : function without arguments
        Returns the arrays by name; called when the file is missing or damaged.

    Raises
    ------
    OSError
        `folder` cannot be made or written. Found out before `build` is called, which may take long.

    Warns
    -----
    UserWarning
        The cache file was damaged, and has been made again.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = cached(folder, "squares", lambda: {"x": np.arange(4) ** 2})
    ...     cached(folder, "squares", lambda: {})["x"].tolist()
    [0, 1, 4, 9]
    """
    if folder is None:
        return build()
    folder = os.path.expanduser(folder)
    path = Path(folder) / f"{name}.npz"
    if path.exists():
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                return dict(stored)
        except Exception as error:  # zipfile, zlib and NumPy raise many kinds on a damaged file
            warnings.warn(f"the cache file {path} is damaged ({error}): making it again", stacklevel=2)
    with _explained(folder):  # before `build`, which may take long
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    arrays = build()
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    with _explained(folder):
        write_atomically(path, content.getvalue())
    return arrays


@contextlib.contextmanager
def _explained(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Say of an `OSError` which cache folder it concerns and what can be done."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"cannot use the cache folder {folder} ({error}): make it writable and "
                      "see that the disk is not full, or choose another folder") from error
