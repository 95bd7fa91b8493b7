"""The recipe `fit` follows when it is given no optimizer, and in which CNN1 and CNN2 are trained.

The paper says "mini-batch SGD with momentum, max-norm on the weights" and gives no numbers; these were chosen
on validation images. CNN3 has a recipe of its own, `minicnn.models.cnn3_recipe`.
"""
from __future__ import annotations

from minicnn.network import Network
from minicnn.optim import SGD, MaxNorm
from minicnn.schedules import Linear

LR = 0.05
MOMENTUM = 0.9
MAX_NORM = 3.0


def standard(net: Network, steps: int, lr: float = LR, momentum: float = MOMENTUM,
             max_norm: float = MAX_NORM) -> tuple[SGD, list[MaxNorm]]:
    """Return the optimizer and the constraints for a run of `steps` updates in all.

    Parameters
    ----------
    net : Network
        The network to train.
    steps : int
        Updates in the whole run, at the end of which the learning rate reaches 0.
    lr : float
        Learning rate of the first update.
    momentum : float
        Momentum of all updates.
    max_norm : float
        Largest L2 norm of the incoming weights of one unit.

    Examples
    --------
    >>> from minicnn import models
    >>> optimizer, constraints = standard(models.cnn1(n_classes=10), steps=1000)
    >>> optimizer.momentum, len(constraints)
    (Constant(value=0.9), 1)
    """
    optimizer = SGD(net.parameters(), Linear(lr, 0.0, steps=steps), momentum)
    return optimizer, [MaxNorm(net.parameters(), max_norm)]
