"""Loss and accuracy of a network on labelled images, and the check that the images fit the network at all."""
from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import ops
from minicnn.backend import array_module, get_backend
from minicnn.inputs import axes_hint, check_pixels, class_numbers, images_of
from minicnn.layers import positive
from minicnn.network import Network


def evaluate(net: Network, data: Any, batch_size: int = 256) -> tuple[float, float]:
    """Return the mean cross-entropy (nats) and the accuracy of `net` on `data`, without dropout.

    Parameters
    ----------
    net : Network
        The network.
    data : Dataset or (images, labels)
        Images (N, C, H, W) and class indices (N,); `minicnn.inputs` says which pixels and labels are taken. Where
        both the network and the data set have class names, a label counts as the class of its name.
    batch_size : int
        Images in one forward pass; changes the memory needed, not the result beyond rounding.

    Raises
    ------
    ValueError
        The data do not fit the network; see `checked_arrays`.

    Examples
    --------
    A network with weights 0 finds all classes equally likely, and argmax takes the first:

    >>> import numpy as np
    >>> from minicnn import models
    >>> net = models.cnn1(n_classes=4)
    >>> for parameter in net.parameters():
    ...     parameter.value[...] = 0
    >>> loss, accuracy = evaluate(net, (np.zeros((8, 1, 28, 28)), np.array([0, 1] * 4)))
    >>> round(loss, 6) == round(float(np.log(4)), 6), accuracy
    (True, 0.5)
    """
    images, labels = checked_arrays(net, data, "data")
    return mean_loss_and_accuracy(net, images, labels, positive(batch_size, "batch_size"))


def mean_loss_and_accuracy(net: Network, images: np.ndarray, labels: np.ndarray,
                           batch_size: int) -> tuple[float, float]:
    """Do the work of `evaluate` on arrays that `checked_arrays` returned."""
    if get_backend() == "cupy":
        from minicnn import device

        return device.mean_loss_and_accuracy(net, images, labels, batch_size)
    loss, correct = 0.0, 0
    for start in range(0, len(images), batch_size):
        x = images[start:start + batch_size]                            # (n, C, H, W)
        y = labels[start:start + batch_size]                            # (n,)
        logits = net.forward(x, training=False)                         # (n, K)
        loss += ops.softmax_cross_entropy(logits, y)[0] * len(x)
        correct += int((logits.argmax(axis=1) == y).sum())
    return loss / len(images), correct / len(images)


def checked_arrays(net: Network, data: Any, name: str,
                   class_names: tuple[str, ...] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return images, in the network's dtype, and labels of `data`, if `net` can be trained or tested on them.

    A data set that has the network's classes in another order, or not all of them, is numbered as the network is.

    Parameters
    ----------
    net : Network
        The network.
    data : Dataset or (images, labels)
        What to check.
    name : str
        What to call it in an error message.
    class_names : tuple of str, optional
        The names that the classes of `net` have. By default those that the network knows.

    Raises
    ------
    ValueError
        Another image size or number of channels than the network's; no images; pixels that are not finite or not
        scaled; labels that are not one integer for each image, or of a class the network does not have. The
        first offender is named.
    """
    if not isinstance(net, Network):
        raise ValueError(f"net is a {type(net).__name__}: expected a minicnn.Network")
    pair = (data.images, data.labels) if hasattr(data, "images") and hasattr(data, "labels") else data
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(f"{name} is a {type(data).__name__}: expected a Dataset or an (images, labels) pair")
    given = [part.get() if array_module(part) is not np else part for part in pair]     # from a device
    images = images_of(given[0], name)
    wanted = tuple(net.input_shape)
    if images.ndim != 4 or images.shape[1:] != wanted:
        found = f"images of shape {images.shape}"
        if images.ndim == 4:
            C, H, W = images.shape[1:]
            found = f"images of {C} channels, {H}x{W} pixels" if C != 1 else f"grey images of {H}x{W} pixels"
        C, H, W = wanted
        raise ValueError(f"{name} holds {found}, but network {net.name!r} takes (N, {C}, {H}, {W}): load "
                         "the data at that size and number of channels, or build the network for these"
                         f"{axes_hint(images.shape, wanted)}")
    if len(images) == 0:
        raise ValueError(f"{name} holds no images: expected at least one")
    check_pixels(images, name)
    labels = class_numbers(given[1], len(images), name)
    names = names_of(data)
    _check_classes(net, labels, names, name)
    labels = _renumbered(np.ascontiguousarray(labels, np.int64), names, class_names or net.class_names, net, name)
    return np.ascontiguousarray(images, net.dtype), labels


def names_of(data: Any) -> tuple[str, ...]:
    """Return the class names of a data set; a pair of arrays has none."""
    return tuple(getattr(data, "class_names", None) or ())


def _renumbered(labels: np.ndarray, names: tuple[str, ...], wanted: tuple[str, ...] | None, net: Network,
                name: str) -> np.ndarray:
    """Return `labels`, which number the classes `names`, as numbers of the classes `wanted`."""
    if not names or wanted is None or names == wanted:
        return labels
    if unknown := [each for each in names if each not in wanted]:
        raise ValueError(f"{name} has class {unknown[0]!r} ({len(unknown)} such of {len(names)}), which is none of the "
                         f"{len(wanted)} classes of network {net.name!r} ({', '.join(wanted[:3])} ...): give the data "
                         "it was trained on, or set net.class_names = None to use its outputs for other classes")
    if labels.max() >= len(names):
        raise ValueError(f"{name}: label {labels.max()} of image {labels.argmax()} has no class name: expected 0 to "
                         f"{len(names) - 1}")
    return np.array([wanted.index(each) for each in names])[labels]


def _check_classes(net: Network, labels: np.ndarray, class_names: tuple[str, ...], name: str) -> None:
    if len(class_names) > net.n_classes:
        raise ValueError(f"{name} has {len(class_names)} classes, but network {net.name!r} has "
                         f"{net.n_classes} outputs: build it with n_classes={len(class_names)}")
    outside = np.flatnonzero((labels < 0) | (labels >= net.n_classes))
    if len(outside):
        n = int(outside[0])
        raise ValueError(f"{name}: label {labels[n]} of image {n} is outside 0 to {net.n_classes - 1}, the "
                         f"classes of network {net.name!r} ({len(outside)} such labels in all)")
