"""PlanktonSet 1.0, the training set of the National Data Science Bowl: 30,336 grey images of 121 classes.

Images are dark objects on a white ground, 21 to 428 pixels wide and high. They are inverted and scaled to [0,
1], so that the ground, which is most of every image, is 0 and adds nothing to a convolution; then
area-averaged to one size, the aspect ratio not kept. The paper fixes only the size; the rest is our choice.

Classes are very unequal, from 9 to 1,979 images: the majority class alone is 6.5 % of all.

Source: Cowen, Sponaugle, Robinson, Luo and Guigand (2015), PlanktonSet 1.0, NODC Accession 0127422,
doi:10.7289/V5D21VJD.
"""
from __future__ import annotations

import os
from pathlib import Path

from . import folder
from .dataset import Dataset

ARCHIVE = "plankton_train.zip"


def load(path: str | os.PathLike[str], size: int | tuple[int, int] = 28, *, skip_bad: bool = False,
         cache_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Load the plankton images, or any set of dark objects on white in the same layout.

    Parameters
    ----------
    path : path
        The zip file, a folder with ``plankton_train.zip`` in it, or a directory of class folders.
    size : int or (int, int)
        Height and width, the aspect ratio not kept: 28 for CNN1 and CNN3, 40 for CNN2.
    skip_bad, cache_dir
        See `minicnn.data.folder.load`.

    Returns
    -------
    Dataset
        Images of shape (30336, 1, size, size), background 0; classes in alphabetical order.

    Raises
    ------
    FileNotFoundError, ValueError
        See `minicnn.data.folder.load`.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for kind, grey in (("copepod", 51), ("diatom", 255)):
    ...         (pathlib.Path(root) / kind).mkdir()
    ...         Image.new("L", (50, 40), color=grey).save(f"{root}/{kind}/1.png")
    ...     dataset = load(root)
    >>> dataset.images[:, 0, 0, 0].tolist()                 # white has become 0
    [0.800000011920929, 0.0]
    """
    inside = Path(path) / ARCHIVE
    return folder.load(inside if inside.is_file() else path, size, invert=True, skip_bad=skip_bad,
                       cache_dir=cache_dir, name="plankton")
