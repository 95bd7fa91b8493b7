"""Data sets, by one short spec::

    synthetic                       plankton drawn by us, no files     synthetic:n=5000,classes=20,seed=1
    plankton:PATH                   PlanktonSet 1.0                    folder or zip
    folder:PATH                     any images, one folder per class   folder or zip
    mnist:PATH  fashion-mnist:PATH  IDX files                          folder
    cifar10:PATH  cifar100:PATH     both published versions, or        folder or .tar.gz,
                                    class folders                      folder or zip

`load` returns one `Dataset`; `load_splits` returns training, validation and test images. Start reading at
`dataset`.
"""
from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

from . import cifar, folder, idx, plankton
from .dataset import Dataset
from .resize import resize, resize_loops
from .split import (
    PLANKTON_COUNTS,
    checked_counts,
    default_counts,
    load_split,
    save_split,
    scale_counts,
    split,
    stratified,
)

__all__ = ["PLANKTON_COUNTS", "Dataset", "has_parts", "load", "load_split", "load_splits", "place", "resize",
           "resize_loops", "save_split",
           "scale_counts", "split"]

SPECS = ("synthetic", "plankton:PATH", "folder:PATH", "mnist:PATH", "fashion-mnist:PATH", "cifar10:PATH",
         "cifar100:PATH")
_SYNTHETIC_OPTIONS = {"n": "n_images", "classes": "n_classes", "seed": "seed"}


def load(spec: str, size: int | tuple[int, int] = 28, part: str | None = None, skip_bad: bool = False,
         cache_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Load a data set.

    Parameters
    ----------
    spec : str
        Which set, and where: see the table on top of this page.
    size : int or (int, int)
        Height and width in pixels: images are brought to this size by area averaging.
    part : "train" or "test", optional
        One published part, of the sets that have them: the MNIST and CIFAR families, and class folders below
        ``train`` and ``test``. None: all images.
    skip_bad : bool
        Leave out unreadable image files with a warning, instead of stopping at them (class folders only).
    cache_dir : path, optional
        Keep decoded arrays there for the next run (class folders only: the other forms are arrays already).

    Returns
    -------
    Dataset
        Grey (1 channel), or 3 channels for CIFAR.

    Raises
    ------
    ValueError
        Unknown spec, a part that the set does not have, files that are not what they should be.
    OSError
        Files that are missing or cannot be read; a cache folder that cannot be written.

    Examples
    --------
    >>> dataset = load("synthetic:n=60,classes=4", size=20)
    >>> dataset.images.shape, len(dataset.class_names)
    ((60, 1, 20, 20), 4)
    """
    kind, path = _parse(spec)
    if not isinstance(part, str | None):
        raise ValueError(f"part={part!r}: expected 'train' or 'test', or None for all images")
    if not isinstance(cache_dir, str | os.PathLike | None):
        raise ValueError(f"cache_dir={cache_dir!r}: expected the path of a folder, or None")
    if part is not None and kind in ("synthetic", "plankton"):
        raise ValueError(f"{kind} has no published part {part!r}: use load_splits, or load it and split")
    if kind == "synthetic":
        from . import synthetic  # draws with compiled kernels, which only this spec needs
        return synthetic.load(size, **_synthetic_options(path))
    if kind == "plankton":
        return plankton.load(path, size, skip_bad=skip_bad, cache_dir=cache_dir)
    if kind == "folder":
        return folder.load(path, size, part=part, skip_bad=skip_bad, cache_dir=cache_dir)
    if kind == "mnist":
        return idx.load(path, size, part=part)
    if kind == "fashion-mnist":
        return idx.load(path, size, part=part, class_names=idx.CLOTHES, name=kind)
    return cifar.load(path, size, classes=int(kind.removeprefix("cifar")), part=part, skip_bad=skip_bad,
                      cache_dir=cache_dir)


def load_splits(spec: str, size: int | tuple[int, int] = 28, counts: Sequence[int] | None = None, seed: int = 0,
                skip_bad: bool = False,
                cache_dir: str | os.PathLike[str] | None = None) -> tuple[Dataset, Dataset, Dataset]:
    """Load a data set as training, validation and test images.

    A published test part is the test set, and the published training part is split into training and
    validation images. Other sets are split three ways. Both splits are stratified by class, and in the
    proportions of the paper's plankton split, 25,000 / 1,500 / 3,800 (exactly these numbers for the 30,336
    plankton images; 36 are left over).

    Parameters
    ----------
    spec, size, skip_bad, cache_dir
        See `load`.
    counts : three integers, optional
        Images of each part instead of the default; the rest stays unused.
    seed : int
        Seed of the split, 0 or more.

    Returns
    -------
    train, valid, test : Dataset
        ``source["indices"]`` of each holds its rows, counted in the published part where there is one.

    Raises
    ------
    ValueError, OSError
        See `load` and `split`; too few images for one in each part.

    Warns
    -----
    UserWarning
        A class without a training image, which has 1 or 2 images.

    Examples
    --------
    >>> train, valid, test = load_splits("synthetic:n=200,classes=4", size=20)
    >>> len(train), len(valid), len(test)
    (165, 10, 25)
    """
    chosen = None if counts is None else checked_counts(counts, 3)
    if not has_parts(spec):
        dataset = load(spec, size, skip_bad=skip_bad, cache_dir=cache_dir)
        parts = split(dataset, chosen or default_counts(len(dataset), 3, spec), seed)
        return _warned_of_missing_classes(parts)
    known = load(spec, size, "train", skip_bad, cache_dir)
    test = load(spec, size, "test", skip_bad, cache_dir)
    rows = stratified(known.labels, chosen[:2] if chosen else default_counts(len(known), 2, f"train of {spec}"), seed)
    train, valid = (known.subset(part) for part in rows)
    if chosen:
        test = test.subset(stratified(test.labels, chosen[2:], seed, every_class=False)[0])
    else:
        test.source["indices"] = list(range(len(test)))
    for dataset in (train, valid, test):
        dataset.source["split"] = {"seed": seed, "counts": [len(train), len(valid), len(test)]}
    return _warned_of_missing_classes((train, valid, test))


def _warned_of_missing_classes(parts: tuple[Dataset, Dataset, Dataset]) -> tuple[Dataset, Dataset, Dataset]:
    """Return `parts`; warn of classes without a training image, which no classifier can learn."""
    train = parts[0]
    missing = [name for name, count in zip(train.class_names, train.class_counts) if count == 0]
    if missing:
        warnings.warn(f"{train.name}: no training image of class {', '.join(map(repr, missing[:5]))}"
                      f"{' and others' if len(missing) > 5 else ''} ({len(missing)} of {len(train.class_names)} "
                      "classes, of fewer than 3 images each): add images, or leave the class out", stacklevel=3)
    return parts


def place(spec: str) -> str | None:
    """Return the path in a spec, or None for images that we draw.

    Raises
    ------
    ValueError
        Unknown spec.

    Examples
    --------
    >>> place("plankton:data/train.zip"), place("synthetic:n=60")
    ('data/train.zip', None)
    """
    kind, path = _parse(spec)
    return None if kind == "synthetic" else path


def has_parts(spec: str) -> bool:
    """Return whether the set comes with a published test part, which is then nobody's training images.

    Raises
    ------
    ValueError, OSError
        Unknown spec, files that are not what they should be.

    Examples
    --------
    >>> has_parts("mnist:data/mnist"), has_parts("synthetic")
    (True, False)
    """
    kind, path = _parse(spec)
    if kind == "folder":
        return bool(folder.published_parts(path))
    return kind not in ("synthetic", "plankton")


def _parse(spec: str) -> tuple[str, str]:
    """Return the kind of set and what follows the first colon, a ``~`` in it replaced by the home folder."""
    kind, colon, path = spec.partition(":") if isinstance(spec, str) else ("", "", "")
    kinds = [known.partition(":")[0] for known in SPECS]
    if kind not in kinds or (not path and (kind != "synthetic" or colon)):
        raise ValueError(f"unknown data spec {spec!r}: expected one of {', '.join(SPECS)} "
                         "(synthetic takes options: synthetic:n=5000,classes=20,seed=1)")
    return kind, os.path.expanduser(path)


def _synthetic_options(text: str) -> dict[str, int]:
    """Parse ``n=5000,classes=20,seed=1``."""
    options = {}
    for option in filter(None, text.split(",")):
        key, _, value = option.partition("=")
        if key not in _SYNTHETIC_OPTIONS or not value.isascii() or not value.isdigit():
            raise ValueError(f"synthetic option {option!r}: expected n=, classes= or seed= and a number")
        options[_SYNTHETIC_OPTIONS[key]] = int(value)
    return options
