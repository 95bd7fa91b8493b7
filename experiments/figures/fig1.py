"""Figure 1: what the images look like: four test images of each of the three most frequent classes.

The images are drawn as CNN2 sees them, 40 x 40 pixels. Rescaling does not keep the aspect ratio, so a long animal and a
short one come out equally long: what a network can still use is the form and the texture. The paper does not say how it
chose its samples. The rule here, most frequent classes and first test images, is the same for any data set.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.analysis.comparison import spread
from experiments.pipeline.lab import Lab
from experiments.pipeline.stage import Stage
from experiments.settings import SIZES, Preset

TITLE = "Figure 1: samples of three classes"
CLASSES, SAMPLES = 3, 4
PAPER = {"training images": 25000, "validation images": 1500, "test images": 3800, "classes": 121}


def needs(sizes: Preset) -> list[Stage]:
    """Return no stages: images need no computing."""
    return []


def compute(lab: Lab) -> dict[str, Any]:
    """Return the names of the classes, and as arrays "0", "1", ... the images (n, C, H, W) of each, n at most 4."""
    size = SIZES["cnn2"]
    train, valid, test = lab.parts(size)
    counts = np.bincount(lab.labels(size), minlength=len(lab.class_names))
    chosen = most_frequent(counts)
    ours = {"training images": len(train), "validation images": len(valid), "test images": len(test),
            "classes": len(counts)}
    return {
        "classes": [{"name": lab.class_names[k], "images": int(counts[k])} for k in chosen],
        "rows": [{"what": what, "paper": PAPER[what], "ours": spread([number])} for what, number in ours.items()],
        "arrays": {str(row): test.images[np.flatnonzero(test.labels == k)[:SAMPLES]] for row, k in enumerate(chosen)},
    }


def most_frequent(counts: np.ndarray) -> list[int]:
    """Return the three classes with most images, the lower number first where they have equally many.

    Parameters
    ----------
    counts : int array (K,)
        Images of each class.

    Examples
    --------
    >>> most_frequent(np.array([5, 9, 5, 7, 5]))
    [1, 3, 0]
    """
    return np.argsort(-counts, kind="stable")[:CLASSES].tolist()


def draw(found: dict[str, Any]) -> Figure:
    """Draw a row of images for each class."""
    classes = found["classes"]
    figure = Figure(figsize=(7, 1.9 * len(classes)), layout="constrained")
    rows = figure.subfigures(len(classes), 1, squeeze=False).ravel()
    for row, (part, kind) in enumerate(zip(rows, classes)):
        part.suptitle(f"{kind['name'].replace('_', ' ')}: {kind['images']:,} images", fontsize=10)
        grid = part.subplots(1, SAMPLES)
        for axes in grid:
            axes.set_axis_off()
        for axes, image in zip(grid, found["arrays"][str(row)]):
            axes.set_axis_on()
            axes.set(xticks=[], yticks=[])
            # One channel: bright on dark in the data, drawn as it looks under the microscope.
            axes.imshow(1 - image[0] if len(image) == 1 else np.moveaxis(image, 0, -1), cmap="gray", vmin=0, vmax=1,
                        interpolation="nearest")
    return figure
