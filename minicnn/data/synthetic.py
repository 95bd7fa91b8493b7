"""Synthetic plankton: the embedded default data set, drawn by this program, without a file.

It stands in for PlanktonSet 1.0 where that is not at hand, and knows one thing that real plankton does not
tell: the true family tree of its classes.

    synthetic_tree      a random tree, traits that drift along its branches, names
    synthetic_body      traits -> body plans, outlines, limbs, opacity; what differs between individuals
    synthetic_draw      geometry -> pixels (compiled kernels)
    synthetic           this page: how many images each class has, and the finished data set

Like the real set it has 30,336 grey images on a white ground in 121 classes, with longest sides of 31 to some
200 pixels (median near 63) and very unequal class sizes: the k-th of n classes in order of size has a share
proportional to ``exp(1.1 q)``, q the normal quantile of (k + 1/2) / n. That is a log-normal law without its
chance.

Image i is a function of (seed, i) and its label alone, whatever the number of threads.
"""
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from minicnn.backend import pair

from . import synthetic_body, synthetic_draw
from .dataset import Dataset
from .resize import from_bytes
from .synthetic_tree import MAX_CLASSES, Phylogeny, grow_tree

N_IMAGES = 30336          # as PlanktonSet 1.0
SIZE_SPREAD = 1.1         # standard deviation of the logarithm of the class sizes
MIN_IMAGES = 3            # of a class, if there are enough: one each to train on, to validate and to test
_BLOCK = 128              # images grown at a time by one thread


def phylogeny(n_classes: int = MAX_CLASSES, seed: int = 0) -> Phylogeny:
    """Return the true tree of the classes that ``load(n_classes=n_classes, seed=seed)`` draws.

    Parameters
    ----------
    n_classes : int
        2 to 121.
    seed : int
        The set, as in `load`.

    Returns
    -------
    Phylogeny
        Leaves are in the order of the class labels. ``linkage()`` is a SciPy linkage matrix, ``cophenetic()``
        the ages of last common ancestors, ``newick()`` the tree as text.

    Raises
    ------
    ValueError
        Number of classes or seed out of range.

    Examples
    --------
    >>> tree = phylogeny(n_classes=4, seed=1)
    >>> tree.linkage().shape, tree.traits.shape[0]
    ((3, 4), 4)
    """
    return grow_tree(n_classes, synthetic_body.N_TRAITS, len(synthetic_body.PLANS), seed)


def class_sizes(n_images: int = N_IMAGES, n_classes: int = MAX_CLASSES, seed: int = 0) -> np.ndarray:
    """Return the number of images in each class.

    Parameters
    ----------
    n_images, n_classes : int
        At least one image a class.
    seed : int
        Decides which class is large and which small.

    Returns
    -------
    int64 array, shape (n_classes,)
        Sums to `n_images`.

    Raises
    ------
    ValueError
        Fewer images than classes.

    Examples
    --------
    >>> sizes = class_sizes()
    >>> int(sizes.sum()), int(sizes.min()), int(np.median(sizes)), int(sizes.max())
    (30336, 11, 140, 2514)
    """
    if not 1 <= n_classes <= n_images < 2**31:
        raise ValueError(f"n_images={n_images}, n_classes={n_classes}: expected at least one class, at "
                         "least one image of each, and fewer than 2**31 images")
    share = np.exp(SIZE_SPREAD * ndtri((np.arange(n_classes) + 0.5) / n_classes))
    least = min(MIN_IMAGES, n_images // n_classes)
    edges = np.round(np.cumsum(share) / share.sum() * (n_images - least * n_classes)).astype(np.int64)
    return np.random.default_rng((seed, 0, 1)).permutation(least + np.diff(edges, prepend=0))


def labels(n_images: int = N_IMAGES, n_classes: int = MAX_CLASSES, seed: int = 0) -> np.ndarray:
    """Return the class of each image, in random order: int64, shape (n_images,).

    Examples
    --------
    >>> np.bincount(labels(20, n_classes=2)).tolist() == class_sizes(20, n_classes=2).tolist()
    True
    """
    sizes = class_sizes(n_images, n_classes, seed)
    return np.random.default_rng((seed, 0, 2)).permutation(np.repeat(np.arange(n_classes), sizes))


def render(indices: Sequence[int] | np.ndarray, n_images: int = N_IMAGES, n_classes: int = MAX_CLASSES,
           seed: int = 0) -> list[np.ndarray]:
    """Draw images as the camera would deliver them: of various sizes, dark on white.

    Parameters
    ----------
    indices : sequence of int
        Which images of the set.
    n_images, n_classes, seed : int
        The set, as in `load`.

    Returns
    -------
    list of uint8 arrays, shape (height, width)
        Grey values; 255 is the ground.

    Raises
    ------
    ValueError
        An index, a number of classes or a seed out of range.

    Examples
    --------
    >>> image, = render([0], n_images=100, n_classes=5)
    >>> image.dtype, image.ndim, int(image.max())
    (dtype('uint8'), 2, 255)
    """
    tree = phylogeny(n_classes, seed)
    classes = labels(n_images, n_classes, seed)
    chosen = np.asarray(indices, dtype=np.int64)
    outside = chosen[(chosen < 0) | (chosen >= n_images)]
    if outside.size:
        raise ValueError(f"image {outside[0]} does not exist: the set has images 0 to {n_images - 1}")
    return list(_drawn(tree.traits[classes[chosen]], seed, chosen))


def _drawn(class_traits: np.ndarray, seed: int, indices: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the pictures of individuals."""
    grown = synthetic_body.specimens(class_traits, seed, indices)
    for n in range(len(indices)):
        image = synthetic_draw.draw(grown.profiles[n], grown.groups[n], grown.optics[n], grown.pose[n],
                                    grown.jitter[n], grown.specks[n], synthetic_body.NOISE_TILE)
        H, W = image.shape
        left, top, right, bottom = grown.cut[n]
        yield image[int(top * H):H - int(bottom * H), int(left * W):W - int(right * W)]


def load(size: int | tuple[int, int] = 28, n_images: int = N_IMAGES, n_classes: int = MAX_CLASSES,
         seed: int = 0) -> Dataset:
    """Draw the data set and resize its images by area averaging.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the images, in pixels.
    n_images : int
        At least `n_classes`.
    n_classes : int
        2 to 121.
    seed : int
        Decides the tree, the class sizes and every image.

    Returns
    -------
    Dataset
        Inverted, so that the ground is 0 and ink is positive: float32 in [0, 1], shape (n_images, 1, height,
        width).

    Raises
    ------
    ValueError
        A parameter out of range.

    Examples
    --------
    >>> plankton = load(size=16, n_images=30, n_classes=3)
    >>> plankton.images.shape, len(plankton.class_names)
    ((30, 1, 16, 16), 3)
    """
    height, width = pair(size, "size", 1)
    tree = phylogeny(n_classes, seed)
    classes = labels(n_images, n_classes, seed)
    images = np.empty((n_images, 1, height, width), np.float32)

    def fill(start: int) -> None:
        indices = np.arange(start, min(start + _BLOCK, n_images))
        for index, image in zip(indices, _drawn(tree.traits[classes[indices]], seed, indices)):
            images[index, 0] = from_bytes(255 - image, (height, width))

    # Resizing is two small matrix products: BLAS threads of their own would only disturb those of the pool.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(fill, range(0, n_images, _BLOCK)))
    source: dict[str, Any] = {"spec": "synthetic", "size": size, "n_images": n_images, "n_classes": n_classes,
                              "seed": seed}
    return Dataset(images, classes, tree.names, "synthetic", source)


def contact_sheet(path: str | os.PathLike[str], n_classes: int = 12, per_class: int = 8,
                  seed: int = 0) -> None:
    """Save a picture of some of the 121 classes, a row each, in the order of the tree.

    Parameters
    ----------
    path : path-like
        File to write; its suffix decides the format.
    n_classes : int
        Rows: classes taken at even steps along the leaves of the tree.
    per_class : int
        Columns.
    seed : int
        The set, as in `load`.

    Raises
    ------
    ValueError
        More rows or columns than there are classes, or images in a class.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image
    from scipy.cluster.hierarchy import leaves_list

    tree = phylogeny(seed=seed)
    smallest = int(class_sizes(seed=seed).min())
    if not (1 <= n_classes <= MAX_CLASSES and 1 <= per_class <= smallest):
        raise ValueError(f"n_classes={n_classes}, per_class={per_class}: expected at most {MAX_CLASSES} "
                         f"classes and {smallest} images of each, and at least one")
    order = leaves_list(tree.linkage())
    rows = order[np.linspace(0, len(order) - 1, n_classes).round().astype(int)]
    classes = labels(seed=seed)
    width = 0.85 * per_class + 1.6
    figure = Figure(figsize=(width, 0.85 * n_classes), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(n_classes, per_class, squeeze=False)
    for row, label in zip(axes, rows):
        chosen = np.flatnonzero(classes == label)[:per_class]
        for axis, image in zip(row, render(chosen, seed=seed)):
            axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
            axis.axis("off")
        row[0].text(-0.15, 0.5, tree.names[label].replace(" ", "\n"), transform=row[0].transAxes, ha="right",
                    va="center", style="italic", fontsize=8)
    figure.subplots_adjust(left=1.5 / width, right=0.995, top=0.995, bottom=0.005, wspace=0.05, hspace=0.05)
    canvas.draw()
    grey = np.asarray(canvas.buffer_rgba())[:, :, 0]  # all channels are alike
    Image.fromarray(grey).save(path, optimize=True)
