"""Schedules: a learning rate or a momentum that changes while the network trains.

    Linear(0.05, 0, steps=4)          Exponential(0.05, 1/2)            Exponential(0.05, 1/2, floor=0.01)

    0.05 |*                           0.05 |*                           0.05 |*
         |   *                             |                                 |
         |      *                          |   *                             |   *
         |         *                       |      *  *                       |      *  *  *   floor
       0 +------------*--*  step         0 +------------*--*  step         0 +---------------  step
         0  1  2  3  4  5                  0  1  2  3  4  5                  0  1  2  3  4

A schedule is called as ``schedule(step, epoch)``. Both count what is *done*: the very first update of a run
sees step 0 and epoch 0. A schedule keeps no state of its own, so a run that continues from a checkpoint
needs only the two numbers to continue on the same curve. To write your own, subclass `Schedule` as a frozen
dataclass: its `repr` is what tells a checkpoint whether two runs have the same settings.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from minicnn.inputs import number


class Schedule:
    """A number as a function of the updates (`step`) and passes over the data (`epoch`) done so far."""

    def __call__(self, step: int, epoch: int) -> float:
        """Return the value for the next update, after `step` updates and `epoch` epochs."""
        raise NotImplementedError

    def ends(self) -> dict[str, float]:
        """Return values that it is sure to reach or to come near, by name: wrong ones are refused before training."""
        return {}


@dataclass(frozen=True)
class Constant(Schedule):
    """The same `value` always.

    Examples
    --------
    >>> Constant(0.9)(step=1000, epoch=8)
    0.9
    """

    value: float

    def __post_init__(self) -> None:
        _finite(self, value=self.value)

    def __call__(self, step: int, epoch: int) -> float:
        return self.value

    def ends(self) -> dict[str, float]:
        return {"value": self.value}


@dataclass(frozen=True)
class Linear(Schedule):
    """A straight line from `start` to `stop` in so many `steps` (updates) or `epochs`, then flat.

    Parameters
    ----------
    start, stop : float
    steps : int, optional
        Length of the line in updates. Give this or `epochs`.
    epochs : int, optional
        Length of the line in epochs; the value is then the same during a whole epoch.

    Examples
    --------
    The momentum of the maxout authors' MNIST recipe (Goodfellow et al. 2013, in Pylearn2):

    >>> momentum = Linear(0.5, 0.7, epochs=250)
    >>> [round(momentum(step=0, epoch=e), 3) for e in (0, 125, 250, 300)]
    [0.5, 0.6, 0.7, 0.7]
    """

    start: float
    stop: float
    steps: int | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        _finite(self, start=self.start, stop=self.stop)
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(f"{self}: give the length of the line either as steps=... or as epochs=...")
        length = self.steps if self.epochs is None else self.epochs
        if isinstance(length, bool) or not isinstance(length, (int, np.integer)) or length < 1:
            raise ValueError(f"{self}: expected a length that is an integer of at least 1")
        object.__setattr__(self, "steps" if self.epochs is None else "epochs", int(length))  # for a plain `repr`

    def __call__(self, step: int, epoch: int) -> float:
        way = step / self.steps if self.steps is not None else epoch / (self.epochs or 1)
        return self.start + (self.stop - self.start) * min(way, 1.0)

    def ends(self) -> dict[str, float]:
        return {"start": self.start, "stop": self.stop}


@dataclass(frozen=True)
class Exponential(Schedule):
    """`start` multiplied by `factor` once per update or per epoch, never below `floor`.

    Parameters
    ----------
    start : float
    factor : float
        Positive; less than 1 to decay.
    floor : float
        The smallest value ever returned.
    per : {"step", "epoch"}

    Examples
    --------
    The learning rate of that recipe, divided by 1.00004 at every update and kept above 1e-6:

    >>> rate = Exponential(0.05, 1 / 1.00004, floor=1e-6)
    >>> round(rate(step=17_329, epoch=34), 5), rate(step=10_000_000, epoch=20_000)
    (0.025, 1e-06)
    """

    start: float
    factor: float
    floor: float = 0.0
    per: str = "step"

    def __post_init__(self) -> None:
        _finite(self, start=self.start, factor=self.factor, floor=self.floor)
        if self.factor <= 0:
            raise ValueError(f"{self}: expected a positive factor")
        if not isinstance(self.per, str) or self.per not in ("step", "epoch"):
            raise ValueError(f"{self}: expected per='step' or per='epoch'")

    def __call__(self, step: int, epoch: int) -> float:
        try:
            power = self.factor ** (step if self.per == "step" else epoch)
        except OverflowError:  # of a factor above 1: Python raises where NumPy says infinity
            power = math.inf
        return max(self.floor, self.start * power)

    def ends(self) -> dict[str, float]:
        return {"start": self.start}


def as_schedule(value: float | Schedule, name: str) -> Schedule:
    """Return `value`, a number or a schedule, as a schedule.

    Examples
    --------
    >>> as_schedule(0.1, "lr")
    Constant(value=0.1)
    """
    if isinstance(value, Schedule):
        return value
    return Constant(number(value, name, lambda _: True, "a finite number or a minicnn.schedules.Schedule"))


def _finite(schedule: Schedule, **values: float) -> None:
    """Raise if one of the numbers a schedule is made of is none, or is infinite or NaN."""
    for name, value in values.items():
        number(value, f"{type(schedule).__name__}: {name}", lambda _: True, "a finite number")
