r"""Images in one folder per class, from a directory or straight from a zip.

    PATH/copepod/0001.jpg          the folder is the class
    PATH/copepod/0002.png
    PATH/diatom/a.jpg

Folders above the classes are seen through (``PATH/train/copepod/0001.jpg``), and if there are exactly two,
``train`` and ``test`` (also ``training``, ``testing``, in capitals or not), they are the published parts of the set.
Anything else is an error that shows the file which does not fit: guessing a layout would mean guessing labels.

A file is an image if Pillow knows its suffix as one of the formats that `minicnn.data.image` reads. Other files in
class folders are left out with a warning that counts them. Links are followed. What systems leave behind (hidden
files, ``__MACOSX``, ``Thumbs.db``) is no data, and neither is a folder without images beside ``train`` and ``test``.

The name of a class is that of its folder, with accents composed (Unicode NFC), so that a folder from macOS and one from
Linux are one class; bytes that are not UTF-8 are written as ``\xe9``.

Classes are numbered in the sorted order of their names, and images are in sorted order within their class, so
the result depends on the files alone and not on the order in which a disk lists them.
"""
from __future__ import annotations

import os
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath

import numpy as np
from PIL.Image import DecompressionBombWarning
from threadpoolctl import threadpool_limits

from ..backend import pair
from . import cache
from .archive import FileTree, open_tree
from .dataset import Dataset
from .image import decode
from .layout import Classes, class_name, find_classes, left_out
from .resize import resize

_BLOCK = 256  # images a thread takes at a time


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
    OSError
        A folder that cannot be listed; a link to a folder that is not there.

    Warns
    -----
    UserWarning
        Files that were left out, counted; classes whose names differ in nothing but case and spaces.

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
        others = left_out(tree, classes)
        names = [file for files in classes.values() for file in files]
        content = tree.fingerprint(names) if cache_dir is not None else None
        key = cache.key(content=content, part=part, shape=shape, invert=invert, skip_bad=skip_bad)
        arrays = cache.cached(cache_dir, key, lambda: _decode_all(tree, classes, shape, invert, skip_bad))
    if others:
        kinds = Counter(PurePath(file).suffix.lower() or "no suffix" for file in others)
        shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
        warnings.warn(f"{path}: left out {len(others)} file(s) in class folders that are no images by their names "
                      f"({shown}), such as {class_name(others[0])}: convert those that are", stacklevel=2)
    skipped = arrays["skipped"].tolist()
    if skipped:
        warnings.warn(f"{path}: skipped {len(skipped)} unreadable image(s): {'; '.join(skipped[:5])}"
                      f"{' ...' if len(skipped) > 5 else ''}", stacklevel=2)
    source = {"path": str(path), "part": part, "size": list(shape[1:]), "inverted": invert,
              "ignored_files": ignored, "skipped": skipped}
    name = name or class_name(Path(os.path.abspath(path)).stem)
    dataset = Dataset(arrays["images"], arrays["labels"], tuple(classes), name, source)
    return dataset.require_every_class()


def published_parts(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return ``("train", "test")`` if the class folders at `path` come in these two parts, else ``()``."""
    with open_tree(path) as tree:
        return tuple(part for part in find_classes(tree) if part)


def _chosen(tree: FileTree, part: str | None) -> tuple[Classes, int]:
    """Return the classes of one published part, or of all, and the number of files that are no images."""
    parts = find_classes(tree)
    ignored = len(tree.files) - sum(len(files) for classes in parts.values() for files in classes.values())
    if part is None:
        labels = next(iter(parts.values()))
        return {label: [name for classes in parts.values() for name in classes[label]] for label in labels}, ignored
    if part not in parts or not part:
        raise ValueError(f"{tree.path} has no published part {part!r}: expected folders train/<class> and "
                         "test/<class>; leave part out to take all images, and split them yourself")
    return parts[part], ignored


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
                reasons[row] = f"{class_name(names[row])}: {error}"
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
