"""Loss and accuracy of a network on labelled images, and the check that the images fit the network at all."""
from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import ops
from minicnn.backend import get_backend
from minicnn.layers import positive
from minicnn.network import Network
from minicnn.npz import to_host


def evaluate(net: Network, data: Any, batch_size: int = 256) -> tuple[float, float]:
    """Return the mean cross-entropy (nats) and the accuracy of `net` on `data`, without dropout.

    Parameters
    ----------
    net : Network
        The network.
    data : Dataset or (images, labels)
        Images (N, C, H, W) and class indices (N,).
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


def checked_arrays(net: Network, data: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images, in the network's dtype, and labels of `data`, if `net` can be trained or tested on them.

    Parameters
    ----------
    net : Network
        The network.
    data : Dataset or (images, labels)
        What to check.
    name : str
        What to call it in an error message.

    Raises
    ------
    ValueError
        Another image size or number of channels than the network's; no images; a pixel that is not a finite
        number; labels that are not one integer for each image, or of a class the network does not have. The
        first offender is named.
    """
    pair = (data.images, data.labels) if hasattr(data, "images") else data
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(f"{name} is a {type(data).__name__}: expected a Dataset or an (images, labels) pair")
    images, labels = to_host(pair[0]), to_host(pair[1])
    wanted = tuple(net.input_shape)
    if images.ndim != 4 or images.shape[1:] != wanted:
        found = f"images of shape {images.shape}"
        if images.ndim == 4:
            C, H, W = images.shape[1:]
            found = f"images of {C} channels, {H}x{W} pixels" if C != 1 else f"grey images of {H}x{W} pixels"
        C, H, W = wanted
        raise ValueError(f"{name} holds {found}, but network {net.name!r} takes (N, {C}, {H}, {W}): load "
                         "the data at that size and number of channels, or build the network for these")
    if len(images) == 0:
        raise ValueError(f"{name} holds no images: expected at least one")
    if images.dtype.kind not in "fiub":
        raise ValueError(f"{name} has images of dtype {images.dtype}: expected float32 in [0, 1]")
    _check_finite(images, name)
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise ValueError(f"{name} has labels of shape {labels.shape} and dtype {labels.dtype}: expected "
                         f"{len(images)} integers, one for each image")
    _check_classes(net, labels, getattr(data, "class_names", ()), name)
    dtype = net.parameters()[0].value.dtype
    return np.ascontiguousarray(images, dtype), np.ascontiguousarray(labels, np.int64)


def _check_finite(images: np.ndarray, name: str) -> None:
    # NaN and infinity reach the minimum or the maximum: a test without a mask as large as the images.
    if images.dtype.kind == "f" and not np.isfinite(images.min() + images.max()):
        bad = np.argwhere(~np.isfinite(images))
        n, c, y, x = (int(i) for i in bad[0])
        raise ValueError(f"{name}: pixel ({y}, {x}) of channel {c} of image {n} is {images[n, c, y, x]} "
                         f"({len(bad)} such pixels in all): expected finite numbers")


def _check_classes(net: Network, labels: np.ndarray, class_names: tuple[str, ...], name: str) -> None:
    if len(class_names) > net.n_classes:
        raise ValueError(f"{name} has {len(class_names)} classes, but network {net.name!r} has "
                         f"{net.n_classes} outputs: build it with n_classes={len(class_names)}")
    outside = np.flatnonzero((labels < 0) | (labels >= net.n_classes))
    if len(outside):
        n = int(outside[0])
        raise ValueError(f"{name}: label {labels[n]} of image {n} is outside 0 to {net.n_classes - 1}, the "
                         f"classes of network {net.name!r} ({len(outside)} such labels in all)")
