"""The recipes in which the paper's networks are trained, and `fit` follows when it is given no optimizer.

The paper says "mini-batch SGD with momentum, max-norm on the weights" and gives no numbers. Those of `standard`, for
CNN1 and CNN2, were chosen on validation images of PlanktonSet; those of `maxout`, for CNN3, are its authors'.

The learning rates depend on what is done, never on how many epochs are still to come, so a run can be made longer.
"""
from __future__ import annotations

from typing import NamedTuple

from minicnn.network import Network
from minicnn.optim import SGD, MaxNorm
from minicnn.schedules import Exponential, Linear

LR = 0.05
DECAY = 0.88
MOMENTUM = 0.9
MAX_NORM = 1.5


class Recipe(NamedTuple):
    """What `minicnn.training.fit` needs to train a network: its arguments of the same names."""

    optimizer: SGD
    constraints: list[MaxNorm]
    patience: int | None = None


def default(net: Network) -> Recipe:
    """Return the recipe of `net`: `maxout` for ``cnn3``, whose tiny first weights need it, else `standard`.

    Examples
    --------
    >>> from minicnn import models
    >>> default(models.cnn3()).patience
    100
    """
    return maxout(net) if net.name == "cnn3" else standard(net)


def standard(net: Network) -> Recipe:
    """Return the recipe of CNN1 and CNN2: the rate falls by 12 % an epoch, all filters are held to one norm.

    Examples
    --------
    >>> from minicnn import models
    >>> recipe = standard(models.cnn1(n_classes=10))
    >>> recipe.optimizer.momentum, len(recipe.constraints)
    (Constant(value=0.9), 1)
    """
    optimizer = SGD(net.parameters(), Exponential(LR, DECAY, per="epoch"), MOMENTUM)
    return Recipe(optimizer, [MaxNorm(net.parameters(), MAX_NORM)])


def maxout(net: Network) -> Recipe:
    """Return the recipe of CNN3, as its authors trained theirs on MNIST, in batches of 128.

    Rate 0.05, divided by 1.00004 at every step down to 1e-6; momentum from 0.5 to 0.7 over 250 epochs; filters of the
    first layer held to norm 0.9, all others to 1.9365; stop when the validation error has not fallen for 100 epochs
    (I. Goodfellow et al., Maxout Networks, ICML 2013, and the scripts published with Pylearn2).

    Examples
    --------
    >>> from minicnn import models
    >>> maxout(models.cnn3()).constraints[0].limit
    0.9
    """
    first, *rest = [p for p in net.parameters() if p.value.ndim > 1]
    optimizer = SGD(net.parameters(), Exponential(0.05, 1 / 1.00004, floor=1e-6), Linear(0.5, 0.7, epochs=250))
    return Recipe(optimizer, [MaxNorm([first], 0.9), MaxNorm(rest, 1.9365)], patience=100)
