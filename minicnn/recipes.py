"""The recipes in which the paper's networks are trained, and `fit` follows when it is given no optimizer.

The paper says "mini-batch SGD with momentum, max-norm on the weights" and gives no numbers. Ours were chosen on
validation images of PlanktonSet: `standard` for CNN1 and CNN2, `maxout` for CNN3.

The learning rates depend on what is done, never on how many epochs are still to come, so a run can be made longer.
"""
from __future__ import annotations

from typing import NamedTuple

from minicnn.layers import Maxout
from minicnn.network import Network
from minicnn.optim import SGD, MaxNorm
from minicnn.schedules import Exponential

LR = 0.05
DECAY = 0.88
MOMENTUM = 0.9
MAX_NORM = 1.5
MAXOUT_LR = 0.04
MAXOUT_DECAY = 0.955


class Recipe(NamedTuple):
    """What `minicnn.training.fit` needs to train a network: its arguments of the same names."""

    optimizer: SGD
    constraints: list[MaxNorm]


def default(net: Network) -> Recipe:
    """Return the recipe of `net`: `maxout` for a network with a layer `Maxout`, such as CNN3, else `standard`.

    The layers decide, so a network keeps its recipe whatever it is called.

    Examples
    --------
    >>> from minicnn import models
    >>> default(models.cnn3()).optimizer.lr
    Exponential(start=0.04, factor=0.955, floor=0.0, per='epoch')
    """
    layers = (layer for stage in net.stages for layer in stage)
    return maxout(net) if any(isinstance(layer, Maxout) for layer in layers) else standard(net)


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
    """Return the recipe of CNN3: its authors' max-norm and first weights, at a pace for tens of epochs, not hundreds.

    The authors trained theirs on MNIST (I. Goodfellow et al., Maxout Networks, ICML 2013, and the scripts published
    with Pylearn2): filters of the first layer held to norm 0.9, all others to 1.9365, as here; rate 0.05 that halves
    in 17,000 steps, momentum that rises from 0.5 to 0.7 over 250 epochs. On plankton that had reached a validation
    accuracy of 0.54, and was rising, after 35 epochs of dropout everywhere; with momentum 0.9 and rate 0.05, falling by
    7 % an epoch, 23 epochs reached 0.58; at 0.08 it diverged. The rate here reaches 0.62 in 60 epochs.

    Examples
    --------
    >>> from minicnn import models
    >>> maxout(models.cnn3()).constraints[0].limit
    0.9
    """
    optimizer = SGD(net.parameters(), Exponential(MAXOUT_LR, MAXOUT_DECAY, per="epoch"), MOMENTUM)
    weights = [p for p in net.parameters() if p.value.ndim > 1]
    limits = [MaxNorm(weights[:1], 0.9)]
    return Recipe(optimizer, limits + [MaxNorm(weights[1:], 1.9365)] if weights[1:] else limits)
