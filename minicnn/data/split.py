"""Seeded, stratified splits into training, validation and test images.

Stratified: each part gets its share of every class. With K classes and exact part sizes this is the
apportionment of seats to parties, and is solved the same way, by largest remainder (Hamilton's method): give
every class the whole part of its exact share, then give the seats that are left to the classes with the
largest fractions. Ten images of three classes with counts 50, 30 and 15::

    exact share   5.26  3.16  1.58     ->  5  3  1, one seat left, to the fraction .58  ->  5  3  2

All of it is integer arithmetic, so a split depends on labels, counts and seed alone, not on the machine.
"""
from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..npz import write_atomically
from .dataset import Dataset

PLANKTON_COUNTS = (25000, 1500, 3800)  # of 30,336; the paper leaves 36 images unused
_PLANKTON_IMAGES = 30336
_FORMAT = "minicnn split 1"
_NAMES = ("train", "valid", "test")
_KINDS = {1: "one number of test", 2: "two numbers of training and validation",
          3: "three numbers of training, validation and test"}

Parts = tuple[Dataset, Dataset, Dataset]


def split(dataset: Dataset, counts: Sequence[int] = PLANKTON_COUNTS, seed: int = 0) -> Parts:
    """Split a data set into training, validation and test images, stratified by class.

    Parameters
    ----------
    dataset : Dataset
        The whole set.
    counts : three integers
        Images of each part. Their sum may be less than N: the rest stays unused.
    seed : int
        Seed of the draw.

    Returns
    -------
    train, valid, test : Dataset
        Exactly `counts` images, in random order, no image in two parts. Every class of at least 3 images is
        in `train`. ``source["indices"]`` of each records its rows.

    Raises
    ------
    ValueError
        A count less than 1, more images than there are, or fewer training images than classes.

    Examples
    --------
    >>> labels = np.repeat([0, 1], [60, 40])
    >>> dataset = Dataset(np.zeros((100, 1, 1, 1), np.float32), labels, ("a", "b"))
    >>> train, valid, test = split(dataset, (70, 10, 20))
    >>> train.class_counts.tolist(), valid.class_counts.tolist(), test.class_counts.tolist()
    ([42, 28], [6, 4], [12, 8])
    """
    rows = stratified(dataset.labels, checked_counts(counts, 3), seed)
    train, valid, test = (dataset.subset(part) for part in rows)
    for part in (train, valid, test):
        part.source["split"] = {"seed": seed, "counts": [int(count) for count in counts]}
    return train, valid, test


def stratified(labels: np.ndarray, counts: Sequence[int], seed: int, every_class: bool = True) -> list[np.ndarray]:
    """Draw disjoint sets of rows with `counts` members, each with its share of every class.

    Parameters
    ----------
    labels : integer array of shape (N,)
        Class of each row.
    counts : integers
        Members of each set; the first is the training set, in which every class of at least 3 images gets one
        or more.
    seed : int
        Seed of the draw.
    every_class : bool
        Raise if the first set is too small to hold every such class. False: draw the shares alone then, as a test set.

    Returns
    -------
    list of int64 arrays of shape (counts[i],), in random order

    Raises
    ------
    ValueError
        See `split`.

    Examples
    --------
    >>> first, second = stratified(np.array([0, 0, 0, 1, 1, 1]), (4, 2), seed=0)
    >>> sorted([*first, *second]) == list(range(6))
    True
    """
    counts = checked_counts(counts, len(counts))
    if sum(counts) > len(labels):
        fewer = scale_counts(len(labels))
        raise ValueError(f"counts={tuple(counts)} ask for {sum(counts)} images, but there are {len(labels)}: ask for "
                         f"fewer{f', such as {fewer}' if min(fewer) else ''}")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed={seed!r}: expected an integer of 0 or more")
    rng = np.random.default_rng(seed)
    members = [rng.permutation(np.flatnonzero(labels == k)) for k in range(int(labels.max()) + 1)]
    left = np.array([len(rows) for rows in members])
    minimum = (left >= 3).astype(np.int64)
    if minimum.sum() > counts[0] and not every_class:
        minimum = np.zeros_like(left)
    if minimum.sum() > counts[0]:
        raise ValueError(f"{counts[0]} training images cannot hold one of each of {minimum.sum()} classes: "
                         "ask for more")
    parts = []
    for count in counts:
        shares = apportion(left, count, minimum)
        rows = np.concatenate([m[n - s:n] for m, n, s in zip(members, left, shares)])
        parts.append(rng.permutation(rows))
        left = left - shares
        minimum = np.zeros_like(left)
    return parts


def checked_counts(counts: Sequence[int], n_parts: int) -> list[int]:
    """Return `counts` as a list of int; raise ValueError unless they are `n_parts` integers of at least 1.

    Examples
    --------
    >>> checked_counts((70, 10, 20), 3)
    [70, 10, 20]
    """
    given = list(counts) if isinstance(counts, Sequence | np.ndarray) and not isinstance(counts, str) else [counts]
    if len(given) != n_parts:
        raise ValueError(f"counts={counts!r}: expected {_KINDS[n_parts]} images")
    if any(isinstance(count, bool) or not isinstance(count, int | np.integer) for count in given):
        raise ValueError(f"counts={counts!r}: expected integers")
    if min(given) < 1:
        raise ValueError(f"counts={tuple(given)}: expected at least one image in each part")
    return [int(count) for count in given]


def default_counts(n_images: int, n_parts: int, what: str) -> list[int]:
    """Return the images of the first `n_parts` parts, of `n_images`, in the proportions of the paper's plankton split.

    Parameters
    ----------
    n_images : int
        Images to divide.
    n_parts : 2 or 3
        2: training and validation images, which use all; 3: test images too.
    what : str
        What has these images, for the error.

    Raises
    ------
    ValueError
        Too few images for one in each part.

    Examples
    --------
    >>> default_counts(1000, 3, "the set"), default_counts(1000, 2, "the set")
    ([824, 50, 125], [943, 57])
    """
    counts = (list(scale_counts(n_images)) if n_parts == 3
              else apportion(np.array(PLANKTON_COUNTS[:2]), n_images).tolist())
    if min(counts) < 1:
        raise ValueError(f"{what} has {n_images} images, too few to be split by default, into "
                         f"{', '.join(map(str, counts))} as the {_KINDS[n_parts]} images: add images, or say how many "
                         "of each to take (counts=, --counts)")
    return counts


def apportion(weights: np.ndarray, total: int, minimum: np.ndarray | None = None) -> np.ndarray:
    """Divide `total` whole things in proportion to `weights`, by largest remainder.

    Parameters
    ----------
    weights : integer array of shape (K,)
        Not negative. No share exceeds its weight as long as `total` does not exceed their sum.
    total : int
        How many things there are.
    minimum : integer array of shape (K,), optional
        Least share of each, 0 by default; their sum may not exceed `total`.

    Returns
    -------
    int64 array of shape (K,) with sum `total`

    Notes
    -----
    Equal remainders go to the lower index.

    Examples
    --------
    >>> apportion(np.array([50, 30, 15]), 10).tolist()
    [5, 3, 2]
    >>> apportion(np.array([96, 3, 1]), 10, minimum=np.array([1, 1, 1])).tolist()
    [8, 1, 1]
    """
    weights = np.asarray(weights, dtype=np.int64)
    shares = np.zeros_like(weights) if minimum is None else np.array(minimum, dtype=np.int64)
    free = np.ones(len(weights), dtype=bool)
    while True:
        rest, of = total - shares[~free].sum(), max(int(weights[free].sum()), 1)
        quota, remainder = np.divmod(weights * rest, of)
        # Whoever deserves less than its minimum gets just that, and the others divide what is then left.
        short = free & (quota < shares)
        if not short.any():
            break
        free &= ~short
    shares[free] = quota[free]
    winners = np.argsort(np.where(free, -remainder, 1), kind="stable")[:total - shares.sum()]
    shares[winners] += 1
    return shares


def scale_counts(n_images: int) -> tuple[int, int, int]:
    """Return counts (train, valid, test) for `n_images` in the proportions of the paper's plankton split.

    Examples
    --------
    >>> scale_counts(30336)
    (25000, 1500, 3800)
    >>> scale_counts(1000)
    (824, 50, 125)
    """
    unused = _PLANKTON_IMAGES - sum(PLANKTON_COUNTS)
    train, valid, test, _ = apportion(np.array([*PLANKTON_COUNTS, unused]), n_images).tolist()
    return train, valid, test


def save_split(path: str | os.PathLike[str], parts: Parts) -> None:
    """Record a split as JSON: the rows of each part, and a hash of their labels, which `load_split` checks.

    Raises
    ------
    ValueError
        Parts that were not made by `split` or `Dataset.subset`, and so do not know their rows.
    OSError
        `path` cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> dataset = Dataset(np.zeros((30, 1, 1, 1), np.float32), np.repeat([0, 1], 15), ("a", "b"))
    >>> parts = split(dataset, (20, 5, 5))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_split(folder + "/split.json", parts)
    ...     again = load_split(folder + "/split.json", dataset)
    >>> [part.source["indices"] for part in again] == [part.source["indices"] for part in parts]
    True
    """
    record: dict[str, object] = {"format": _FORMAT, "dataset": parts[0].name}
    for name, part in zip(_NAMES, parts):
        if "indices" not in part.source:
            raise ValueError(f"the {name} part does not know its rows: expected parts made by split()")
        record[name] = {"indices": part.source["indices"], "labels": _fingerprint(part)}
    write_atomically(path, json.dumps(record).encode())


def load_split(path: str | os.PathLike[str], dataset: Dataset, test_part: Dataset | None = None) -> Parts:
    """Split a data set as recorded by `save_split`.

    Parameters
    ----------
    path : path
        The record.
    dataset : Dataset
        The whole set, or the published training part of a set that has two parts.
    test_part : Dataset, optional
        The published test part, of which the test images were taken. By default they were taken of `dataset`.

    Raises
    ------
    ValueError
        Not such a record, or one of another data set: rows that do not exist, or whose labels differ.
    OSError
        `path` cannot be read.

    Examples
    --------
    See `save_split`.
    """
    try:
        record = json.loads(Path(path).read_bytes())
        if record["format"] != _FORMAT:
            raise ValueError(f"format {record['format']!r}")
        rows = [_checked_rows(name, record[name]["indices"]) for name in _NAMES]
        marks, of = [record[name]["labels"] for name in _NAMES], record["dataset"]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} is not a split of this version ({error}): "
                         "expected a file written by save_split") from error
    tests = dataset if test_part is None else test_part
    for source, taken in [(dataset, rows)] if test_part is None else [(dataset, rows[:2]), (tests, rows[2:])]:
        listed = np.concatenate(taken)
        if len(np.unique(listed)) != len(listed):
            raise ValueError(f"{path}: an image is listed twice, so the parts overlap: split again")
        if (highest := int(listed.max(initial=-1))) >= len(source):
            raise ValueError(f"{path} lists image {highest}, but {source.name!r} has {len(source)} images: it "
                             f"is a split of {of!r}, or of another version of it")
    train, valid, test = dataset.subset(rows[0]), dataset.subset(rows[1]), tests.subset(rows[2])
    for name, part, mark in zip(_NAMES, (train, valid, test), marks):
        if _fingerprint(part) != mark:
            raise ValueError(f"{path}: the labels of the {name} images are not those that were split: it is "
                             f"a split of {of!r}, or of another version of it")
    return train, valid, test


def _checked_rows(name: str, indices: object) -> np.ndarray:
    """Return the recorded rows of a part; raise ValueError unless they are a list of integers of 0 or more."""
    if not isinstance(indices, list) or not all(type(row) is int and row >= 0 for row in indices):
        raise ValueError(f"the {name} rows are no list of integers of 0 or more")
    return np.array(indices, dtype=np.int64)


def _fingerprint(part: Dataset) -> str:
    """Return a hash of the class names and labels of a part."""
    return hashlib.sha256(json.dumps([part.class_names, part.labels.tolist()]).encode()).hexdigest()
