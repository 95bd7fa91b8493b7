"""`Dataset`: labelled images in memory, checked where they enter, so that no later page has to doubt them."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(eq=False)
class Dataset:
    """Labelled images of one size.

    Parameters
    ----------
    images : array of shape (N, C, H, W)
        Pixels as float32 in [0, 1]; C is 1 for grey and 3 for red, green, blue.
    labels : array of shape (N,)
        Class index of each image, int64 in [0, K).
    class_names : sequence of K strings
    name : str
        What the set is called in reports.
    source : dict
        Where the images came from and how they were made, as plain JSON values. `subset` records here, as
        ``"indices"``, the rows it took of the set that was loaded.

    Raises
    ------
    ValueError
        Wrong shape or dtype, a label out of range (named with its row), a pixel that is not a number or not
        in [0, 1] (named with its image, channel, row and column), repeated class names.

    Examples
    --------
    >>> import numpy as np
    >>> pixels = np.zeros((3, 1, 2, 2), dtype=np.float32)
    >>> pairs = Dataset(pixels, np.array([0, 1, 1]), ("copepod", "diatom"), name="pairs")
    >>> len(pairs), pairs.class_counts.tolist()
    (3, [1, 2])
    >>> pairs.subset([2, 0]).labels.tolist()
    [1, 0]
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    name: str = "dataset"
    source: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self.class_names = tuple(self.class_names)
        except TypeError as error:
            raise ValueError(f"{self.name}: class_names={self.class_names!r}: expected a sequence of names") from error
        self.images = _checked_images(self.images, self.name)
        self.labels = _checked_labels(self.labels, len(self.images), len(self.class_names), self.name)
        if len(set(self.class_names)) != len(self.class_names):
            twice = sorted({name for name in self.class_names if self.class_names.count(name) > 1})
            raise ValueError(f"{self.name}: class name {twice[0]!r} occurs twice: expected distinct names")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def class_counts(self) -> np.ndarray:
        """Number of images of each class, shape (K,)."""
        return np.bincount(self.labels, minlength=len(self.class_names))

    def subset(self, indices: Sequence[int] | np.ndarray) -> Dataset:
        """Return the images at `indices`, in that order, as a new data set with the same classes.

        Parameters
        ----------
        indices : sequence of int
            Rows of this set. ``source["indices"]`` of the result counts in rows of the set that was loaded,
            so that a subset of a subset can be found again in the files.

        Raises
        ------
        ValueError
            An index that is not an integer in [0, N).
        """
        chosen = np.asarray(indices)
        if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
            raise ValueError(f"indices have shape {chosen.shape} and dtype {chosen.dtype}: expected "
                             "integers, one axis")
        chosen = chosen.astype(np.int64)
        outside = np.flatnonzero((chosen < 0) | (chosen >= len(self)))
        if outside.size:
            raise ValueError(f"indices[{outside[0]}] = {chosen[outside[0]]}: expected 0 to {len(self) - 1}, "
                             f"the rows of {self.name!r}")
        rows = np.asarray(self.source["indices"])[chosen] if "indices" in self.source else chosen
        return Dataset(self.images[chosen], self.labels[chosen], self.class_names, self.name,
                       {**self.source, "indices": rows.tolist()})

    def require_every_class(self) -> Dataset:
        """Return this data set; raise if one of its classes has no image.

        A whole data set must pass; a small part of one need not.

        Raises
        ------
        ValueError
            Names the classes without an image.
        """
        empty = [name for name, count in zip(self.class_names, self.class_counts) if count == 0]
        if empty:
            raise ValueError(f"{self.name}: no image of class {', '.join(map(repr, empty[:5]))}"
                             f"{' and others' if len(empty) > 5 else ''} ({len(empty)} of "
                             f"{len(self.class_names)} classes are empty): add images, or take the class out")
        return self


def _checked_images(images: Any, name: str) -> np.ndarray:
    """Return `images` as float32; raise unless they are (N, C, H, W) numbers in [0, 1]."""
    pixels = np.asarray(images)
    if pixels.ndim != 4 or 0 in pixels.shape[1:]:
        raise ValueError(f"{name}: images have shape {pixels.shape}: expected (N, C, H, W), "
                         "for grey images of 28x28 (N, 1, 28, 28)")
    if pixels.dtype.kind != "f":
        raise ValueError(f"{name}: images have dtype {pixels.dtype}: expected float32 in [0, 1]; "
                         "divide 8-bit values by 255")
    pixels = pixels.astype(np.float32, copy=False)
    # NaN fails every comparison: this one test of the extremes finds NaN, infinities and values out of range.
    if len(pixels) and not (pixels.min() >= 0 and pixels.max() <= 1):
        bad = np.argmax(~((pixels >= 0) & (pixels <= 1)))
        n, c, y, x = (int(i) for i in np.unravel_index(bad, pixels.shape))
        value = pixels[n, c, y, x]
        what = "not a number" if np.isnan(value) else "outside [0, 1]"
        raise ValueError(f"{name}: pixel of image {n} at channel {c}, row {y}, column {x} is {value}, "
                         f"{what}: expected numbers in [0, 1]; correct that image or leave it out")
    return pixels


def _checked_labels(labels: Any, n_images: int, n_classes: int, name: str) -> np.ndarray:
    """Return `labels` as int64; raise unless they are `n_images` integers in [0, n_classes)."""
    classes = np.asarray(labels)
    if classes.shape != (n_images,):
        raise ValueError(f"{name}: labels have shape {classes.shape}, but there are {n_images} images: "
                         f"expected shape ({n_images},)")
    if classes.size and classes.dtype.kind not in "iu":
        raise ValueError(f"{name}: labels have dtype {classes.dtype}: expected integers")
    outside = np.flatnonzero((classes < 0) | (classes >= n_classes))
    if outside.size:
        raise ValueError(f"{name}: labels[{outside[0]}] = {classes[outside[0]]}: expected 0 to "
                         f"{n_classes - 1}, the numbers of its {n_classes} classes")
    return classes.astype(np.int64, copy=False)
