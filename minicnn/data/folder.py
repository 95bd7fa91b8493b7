"""Images in one folder per class, from a directory or straight from a zip.

    PATH/copepod/0001.jpg          the folder is the class
    PATH/copepod/0002.png
    PATH/diatom/a.jpg

Folders above the classes are seen through (``PATH/train/copepod/0001.jpg``), and if there are exactly two,
``train`` and ``test``, they are the published parts of the set. Anything else is an error that shows the file
which does not fit: guessing a layout would mean guessing labels.

Classes are numbered in the sorted order of their names, and images are in sorted order within their class, so
the result depends on the files alone and not on the order in which a disk lists them.
"""
from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
from PIL.Image import DecompressionBombWarning
from threadpoolctl import threadpool_limits

from ..backend import pair
from . import cache
from .archive import FileTree, open_tree
from .dataset import Dataset
from .image import SUFFIXES, decode
from .resize import resize

PARTS = ("train", "test")
_BLOCK = 256  # images a thread takes at a time

Classes = dict[str, list[str]]  # class name -> its image files, both sorted


def load(path: str | os.PathLike[str], size: int | tuple[int, int] = 28, *, part: str | None = None,
         colour: bool = False, invert: bool = False, skip_bad: bool = False,
         cache_dir: str | os.PathLike[str] | None = None, name: str | None = None) -> Dataset:
    """Load images from class folders, resized by area averaging.

    Parameters
    ----------
    path : path
        Directory or zip file.
    size : int or (int, int)
        Height and width: images are brought to this size; the aspect ratio is not kept.
    part : "train" or "test", optional
        One published part of a set that has them; None takes all images.
    colour : bool
        Three channels instead of grey.
    invert : bool
        1 - pixel: for dark objects on a white ground, so that the background is 0.
    skip_bad : bool
        Leave out images that cannot be read, with a warning; they are listed in ``source["skipped"]``.
    cache_dir : path, optional
        Folder for the decoded arrays (see `minicnn.data.cache`); None keeps nothing on disk.
    name : str, optional
        Name of the data set; the last part of `path` by default.

    Returns
    -------
    Dataset
        ``source["ignored_files"]`` counts the files that are no images.

    Raises
    ------
    FileNotFoundError
        Nothing at `path`.
    ValueError
        Unknown layout, a class without images, unreadable images (the first one named, with the reason).

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for kind, grey in (("copepod", 0), ("diatom", 255)):
    ...         (pathlib.Path(root) / kind).mkdir()
    ...         Image.new("L", (50, 40), color=grey).save(f"{root}/{kind}/1.png")
    ...     dataset = load(root, size=28)
    >>> dataset.images.shape, dataset.class_names, dataset.images.mean(axis=(1, 2, 3)).tolist()
    ((2, 1, 28, 28), ('copepod', 'diatom'), [0.0, 1.0])
    """
    shape = (3 if colour else 1, *pair(size, "size", 1))
    with open_tree(path) as tree:
        classes, ignored = _chosen(tree, part)
        content = tree.fingerprint() if cache_dir is not None else None
        key = cache.key(content=content, part=part, shape=shape, invert=invert, skip_bad=skip_bad)
        arrays = cache.cached(cache_dir, key, lambda: _decode_all(tree, classes, shape, invert, skip_bad))
    skipped = arrays["skipped"].tolist()
    if skipped:
        warnings.warn(f"{path}: skipped {len(skipped)} unreadable image(s): {'; '.join(skipped[:5])}"
                      f"{' ...' if len(skipped) > 5 else ''}", stacklevel=2)
    source = {"path": str(path), "part": part, "size": list(shape[1:]), "inverted": invert,
              "ignored_files": ignored, "skipped": skipped}
    dataset = Dataset(arrays["images"], arrays["labels"], tuple(classes), name or Path(path).stem, source)
    return dataset.require_every_class()


def published_parts(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return ``("train", "test")`` if the class folders at `path` come in these two parts, else ``()``."""
    with open_tree(path) as tree:
        return tuple(part for part in PARTS if part in _find_classes(tree)[0])


def _chosen(tree: FileTree, part: str | None) -> tuple[Classes, int]:
    """Return the classes of one published part, or of all, and the number of files that are no images."""
    parts, ignored = _find_classes(tree)
    if part is None:
        merged: Classes = {}
        for classes in parts.values():
            for label, files in classes.items():
                merged[label] = merged.get(label, []) + files
        return dict(sorted(merged.items())), ignored
    if part not in parts or part not in PARTS:
        raise ValueError(f"{tree.path} has no published part {part!r}: expected folders train/<class> and "
                         "test/<class>; leave part out to take all images, and split them yourself")
    return parts[part], ignored


def _find_classes(tree: FileTree) -> tuple[dict[str, Classes], int]:
    """Return the classes of each part (one named "" if there are none) and the number of other files."""
    images = [name for name in tree.files if name.lower().endswith(SUFFIXES) and not _hidden(name)]
    ignored = len(tree.files) - len(images)
    if not images:
        raise ValueError(f"{tree.path}: no images ({', '.join(SUFFIXES)}) found. {_EXPECTED}")
    folders = {PurePosixPath(name).parent.parts for name in images}    # e.g. {("train", "a"), ("train", "b")}
    top = _common([folder[:-1] for folder in folders])                 # then ("train",)
    depths = {len(folder) - len(top) for folder in folders}
    if depths == {1}:
        parts: dict[str, Classes] = {"": {}}
    elif depths == {2} and {folder[len(top)] for folder in folders} == set(PARTS):
        parts = {part: {} for part in PARTS}
    else:
        odd = next(name for name in images if len(PurePosixPath(name).parent.parts) - len(top) != 1)
        raise ValueError(f"{tree.path}: unknown layout, {odd!r} is not in a class folder "
                         f"{'/'.join((*top, '<class>'))}/. {_EXPECTED}")
    depth = len(top) + max(depths)
    for folder in sorted(tree.folders | {"/".join(folder) for folder in folders}):
        place = PurePosixPath(folder).parts
        if len(place) == depth and place[:len(top)] == top and not _hidden(folder):
            parts["" if "" in parts else place[-2]][place[-1]] = []
    for name in images:
        place = PurePosixPath(name).parent.parts
        parts["" if "" in parts else place[-2]][place[-1]].append(name)
    _check_classes(tree.path, parts)
    return parts, ignored


def _common(folders: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the longest path that all `folders` begin with."""
    first, last = min(folders), max(folders)  # if these two agree somewhere, so do all between them
    length = next((i for i, (a, b) in enumerate(zip(first, last)) if a != b), min(len(first), len(last)))
    return first[:length]


def _check_classes(path: Path, parts: dict[str, Classes]) -> None:
    """Raise unless there are at least two classes, the same in every part, and none is empty."""
    for part, classes in parts.items():
        empty = [label for label, files in classes.items() if not files]
        if empty:
            raise ValueError(f"{path}: class folder {f'{part}/{empty[0]}'.lstrip('/')!r} holds no images "
                             f"({len(empty)} of {len(classes)} are empty): add some, or remove the folder")
    first, *others = parts.values()
    for other in others:
        if set(first) != set(other):
            odd = sorted(set(first) ^ set(other))
            raise ValueError(f"{path}: class {odd[0]!r} is in only one of the parts {' and '.join(parts)}: "
                             f"expected the same classes in both ({len(odd)} differ)")
    if len(first) < 2:
        raise ValueError(f"{path}: all images are in one class folder, {next(iter(first))!r}. {_EXPECTED}")


def _decode_all(tree: FileTree, classes: Classes, shape: tuple[int, int, int], invert: bool,
                skip_bad: bool) -> dict[str, np.ndarray]:
    """Decode and resize every image, on all cores: Pillow drops the interpreter lock while it decodes."""
    names = [name for files in classes.values() for name in files]
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in classes.values()])
    images = np.empty((len(names), *shape), dtype=np.float32)
    reasons: dict[int, str] = {}

    def decode_block(start: int) -> None:
        for row in range(start, min(start + _BLOCK, len(names))):
            try:
                pixels = decode(tree.read(names[row]), colour=shape[0] == 3)        # (C, H, W)
            except Exception as error:  # a damaged zip entry raises as many kinds as a damaged image
                reasons[row] = f"{names[row]}: {error}"
                continue
            # Inverted first: 1 - mean could miss zero by a rounding error, a mean of zeros cannot.
            images[row] = resize(1 - pixels if invert else pixels, shape[1:])       # (C, OH, OW)

    # The matrices of one image are small: threads inside BLAS would only compete with ours.
    # Pillow only warns of images up to twice its limit, which `decode` refuses.
    with (threadpool_limits(1, user_api="blas"), warnings.catch_warnings(),
          ThreadPoolExecutor(os.cpu_count()) as pool):
        warnings.simplefilter("ignore", DecompressionBombWarning)
        list(pool.map(decode_block, range(0, len(names), _BLOCK)))
    bad = sorted(reasons)
    if bad and not skip_bad:
        raise ValueError(f"{tree.path}: {len(bad)} of {len(names)} images cannot be read; the first is "
                         f"{reasons[bad[0]]}. Mend them, or skip them with skip_bad=True (--skip-bad)")
    good = np.setdiff1d(np.arange(len(names)), bad) if bad else slice(None)
    return {"images": images[good], "labels": labels[good],
            "skipped": np.array([reasons[row] for row in bad], dtype=str)}


def _hidden(name: str) -> bool:
    """Tell files and folders that systems leave behind (``.DS_Store``, ``__MACOSX``) from data."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


_EXPECTED = ("Expected one folder per class, <class>/<image>.jpg, two or more of them, all at the same "
             "depth, in a directory or in a zip")
