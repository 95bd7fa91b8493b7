"""Stochastic gradient descent with momentum, and the max-norm constraint.

Equation, for every parameter w with gradient g (the mean over the mini-batch), velocity v, learning rate lr::

    g <- g + weight_decay * w          the gradient of weight_decay/2 * |w|^2
    v <- momentum * v + g
    w <- w - lr * v                    nesterov:   w <- w - lr * (g + momentum * v)

Why momentum: on a long narrow valley the gradient points across it, and the steps zigzag. In v the
components across cancel from step to step while those along the valley add up, to as much as g / (1 -
momentum): with momentum 0.9 the rate along the valley is ten times `lr`. That is also the pitfall: raise the
momentum, and the rate must come down.

The learning rate multiplies v and not g (PyTorch's rule; Sutskever et al. 2013 put it inside v). The two
agree while lr is constant; when a schedule lowers it, ours slows the old velocity down too, at once.

Max-norm (Srivastava et al. 2014, section 5.1) keeps the incoming weights of every unit, a convolution filter
(C, KH, KW) or a row of a fully connected layer (D,), inside a ball::

    w[f] <- w[f] * min(1, limit / |w[f]|_2)

so a large learning rate can explore without weights that blow up. It is applied after each update. Biases
are left alone: they are no incoming weights.

=================  ===========  =========================================================
cost per update    FLOPs        bytes moved, float32
=================  ===========  =========================================================
`sgd_update`       6 each w     20 each w in the fused kernel: read w, g, v; write w, v
`limit_norms`      2 each w     4 each w; 8 more for the rows that are too long
=================  ===========  =========================================================

What changes in the kernels (``kernels/numba_optim.py``): the NumPy lines below walk over memory once per
operator and make a temporary array each time; the kernel does all of it for one element while that is in a
register. No loop is parallel: CNN1 has 0.14 million weights, less work than waking a thread, and the result
is the same bits on any number of cores. `sgd_update` is the same arithmetic in the same order, so the two
versions agree to the last bit.

Sources: Polyak 1964; Nesterov 1983, in the form of Sutskever et al. 2013 as PyTorch writes it.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from minicnn import schedules
from minicnn.backend import InputTypeError, array_module, operation
from minicnn.inputs import flag, number, sequence
from minicnn.layers import Parameter
from minicnn.schedules import Schedule, as_schedule

__all__ = ["SGD", "MaxNorm", "limit_norms", "schedules", "sgd_update"]


def learning_rate(value: Any, name: str = "lr") -> float:
    """Return a learning rate, checked; ``python -m minicnn train --lr`` asks here, too."""
    return number(value, name, lambda lr: lr >= 0, "a finite learning rate not less than 0")


def momentum_factor(value: Any, name: str = "momentum") -> float:
    """Return a momentum, checked."""
    return number(value, name, lambda momentum: 0 <= momentum < 1, "0 <= momentum < 1")


def norm_limit(value: Any, name: str = "limit") -> float:
    """Return the limit of a max-norm, checked."""
    return number(value, name, lambda limit: limit > 0, "a positive finite number")


def _scheduled(value: Any, name: str, check: Callable[[Any, str], float]) -> Schedule:
    """Return a number or a schedule as a schedule; what is known of its values before training is checked."""
    schedule = as_schedule(value, name)
    for end, reached in schedule.ends().items():
        check(reached, f"{name}={value!r}: {end}" if schedule is value else name)
    return schedule


def _parameters_of(parameters: Any, who: str) -> list[Parameter]:
    """Return parameters as a list, each of them once."""
    found = sequence(parameters)
    if found is None:
        raise ValueError(f"{who} got a {type(parameters).__name__}: pass net.parameters()")
    if odd := [p for p in found if not isinstance(p, Parameter)]:
        raise ValueError(f"{who} got a {type(odd[0]).__name__} among its parameters: pass net.parameters()")
    if len({id(p) for p in found}) < len(found):
        raise ValueError(f"{who} got a parameter twice: it would be updated twice in a step")
    return list(found)


def _check_update(value: Any, grad: Any, velocity: Any, lr: Any, momentum: Any, nesterov: Any,
                  weight_decay: Any) -> tuple[Any, ...]:
    for name, array in (("grad", grad), ("velocity", velocity)):
        if array.shape != value.shape or array.dtype != value.dtype:
            raise ValueError(f"{name} has shape {array.shape} and dtype {array.dtype}: expected those of "
                             f"value, {value.shape} and {value.dtype}")
    _check_in_place(value, "value")
    _check_in_place(velocity, "velocity")
    return value, grad, velocity, float(lr), float(momentum), bool(nesterov), float(weight_decay)


def _check_in_place(array: Any, name: str) -> None:
    """Raise unless a kernel can walk over `array` as one line of memory and write to it."""
    if array.dtype not in ("float32", "float64"):
        raise InputTypeError(f"{name} has dtype {array.dtype}: expected float32 (the working type) or float64")
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} of shape {array.shape} is not contiguous, and is updated in place: "
                         "pass numpy.ascontiguousarray(...) and keep it")


@operation(_check_update)
def sgd_update(value: Any, grad: Any, velocity: Any, lr: float, momentum: float = 0.0, nesterov: bool = False,
               weight_decay: float = 0.0) -> None:
    """Take one step of gradient descent: change `velocity` and `value` in place.

    Parameters
    ----------
    value : array, contiguous
        The weights.
    grad : array
        Their gradient, of the same shape and dtype.
    velocity : array, contiguous
        Likewise; zeros before the first step.
    lr : float
        Learning rate.
    momentum : float
        Share of the velocity that is kept.
    nesterov : bool
        Look ahead along the velocity.
    weight_decay : float
        Strength of the pull of every weight towards 0.

    Raises
    ------
    ValueError
        Shapes or dtypes differ, or an array cannot be updated in place.

    Examples
    --------
    >>> import numpy as np
    >>> w, g, v = np.array([1.0]), np.array([0.5]), np.array([2.0])
    >>> sgd_update(w, g, v, lr=0.1, momentum=0.9)
    >>> v, w
    (array([2.3]), array([0.77]))
    """
    g = grad + weight_decay * value
    velocity *= momentum
    velocity += g
    value -= lr * (g + momentum * velocity if nesterov else velocity)


def _check_limit(value: Any, limit: Any) -> tuple[Any, ...]:
    _check_in_place(value, "value")
    if value.ndim < 2:
        raise ValueError(f"value has shape {value.shape}: expected filters (F, ...) of at least two axes")
    return value, norm_limit(limit)


@operation(_check_limit)
def limit_norms(value: Any, limit: float) -> None:
    """Scale every ``value[f]`` whose L2 norm is above `limit` down to `limit`, in place.

    Parameters
    ----------
    value : array (F, ...), contiguous
        F filters or rows.
    limit : float
        Largest norm, positive.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.array([[3.0, 4.0], [0.3, 0.4]])
    >>> limit_norms(w, limit=1.0)
    >>> w
    array([[0.6, 0.8],
           [0.3, 0.4]])
    """
    xp = array_module(value)
    rows = value.reshape(len(value), -1)                                # (F, D), a view: value is contiguous
    norms = xp.sqrt((rows * rows).sum(axis=1, keepdims=True))           # (F, 1)
    rows *= limit / xp.maximum(norms, limit)                            # limit / limit = 1 for the short ones


class SGD:
    """Mini-batch gradient descent with momentum, Nesterov's momentum and weight decay.

    Parameters
    ----------
    parameters : iterable of Parameter
        What ``net.parameters()`` returns; their values are updated in place.
    lr : float or Schedule
        Learning rate; see `minicnn.schedules`.
    momentum : float or Schedule
    nesterov : bool
        Look ahead along the velocity (needs a momentum).
    weight_decay : float
        Applied to every parameter, biases too.

    Attributes
    ----------
    steps, epoch : int
        Updates done (counted here) and epochs done (set by `minicnn.training.fit`); the schedules see both.
    velocities : list of array
        One for each parameter, zero at first.

    Raises
    ------
    ValueError
        No parameters, or a setting out of range.

    Examples
    --------
    Minimise w^2 / 2, whose gradient is w itself:

    >>> import numpy as np
    >>> from minicnn.layers import Parameter
    >>> w = Parameter("w", np.array([4.0]))
    >>> optimizer = SGD([w], lr=0.5, momentum=0.5)
    >>> for _ in range(3):
    ...     w.grad[...] = w.value
    ...     optimizer.step()
    ...     print(w.value[0])
    2.0
    0.0
    -1.0
    """

    def __init__(self, parameters: Iterable[Parameter], lr: float | Schedule,
                 momentum: float | Schedule = 0.0, nesterov: bool = False, weight_decay: float = 0.0):
        self.parameters = _parameters_of(parameters, "SGD")
        if not self.parameters:
            raise ValueError("SGD got no parameters: pass net.parameters()")
        self.lr = _scheduled(lr, "lr", learning_rate)
        self.momentum = _scheduled(momentum, "momentum", momentum_factor)
        self.nesterov = flag(nesterov, "nesterov")
        if self.nesterov and self.momentum == schedules.Constant(0.0):
            raise ValueError("nesterov=True looks ahead along the velocity: it needs a momentum above 0")
        self.weight_decay = number(weight_decay, "weight_decay", lambda decay: decay >= 0,
                                   "a finite number not less than 0")
        self.steps = 0
        self.epoch = 0
        self.velocities = [array_module(p.value).zeros_like(p.value) for p in self.parameters]

    def rates(self, ahead: int = 0) -> tuple[float, float]:
        """Return the learning rate and the momentum of the next step, or of the one that is `ahead` of it.

        Raises
        ------
        ValueError
            A schedule has left the range of what it is for; the message says at which step.
        """
        step = self.steps + ahead
        lr, momentum = self.lr(step, self.epoch), self.momentum(step, self.epoch)
        return (learning_rate(lr, f"lr={self.lr!r} in step {step} of epoch {self.epoch + 1}: lr"),
                momentum_factor(momentum, f"momentum={self.momentum!r} in step {step} of epoch {self.epoch + 1}: "
                                          "momentum"))

    def step(self) -> None:
        """Update every parameter from its gradient."""
        lr, momentum = self.rates()
        for parameter, velocity in zip(self.parameters, self.velocities):
            sgd_update(parameter.value, parameter.grad, velocity, lr, momentum, self.nesterov,
                       self.weight_decay)
        self.steps += 1

    def settings(self) -> dict[str, Any]:
        """Return what the optimizer was made with, as plain data; equal settings take equal steps."""
        return {"kind": type(self).__name__, "lr": repr(self.lr), "momentum": repr(self.momentum),
                "nesterov": self.nesterov, "weight_decay": self.weight_decay}

    def state_dict(self) -> dict[str, Any]:
        """Return what changes while it runs: ``steps``, ``epoch`` and copies of the ``velocities``."""
        return {"steps": self.steps, "epoch": self.epoch, "velocities": [v.copy() for v in self.velocities]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned.

        Raises
        ------
        ValueError
            The velocities are not those of these parameters.
        """
        shapes, expected = [v.shape for v in state["velocities"]], [v.shape for v in self.velocities]
        if shapes != expected:
            raise ValueError(f"optimizer state has velocities of shapes {shapes}: expected {expected}")
        for mine, saved in zip(self.velocities, state["velocities"]):
            mine[...] = array_module(mine).asarray(saved)
        self.steps, self.epoch = int(state["steps"]), int(state["epoch"])


class MaxNorm:
    """The max-norm constraint on the filters of a set of parameters.

    Parameters
    ----------
    parameters : iterable of Parameter
        Those with one axis, the biases, are left out.
    limit : float
        Largest L2 norm allowed for the incoming weights of one unit.

    Raises
    ------
    ValueError
        No weights among the parameters, or a limit that is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn.layers import Parameter
    >>> w = Parameter("linear.w", np.array([[3.0, 4.0], [0.3, 0.4]]))
    >>> MaxNorm([w], limit=2.5).apply()
    >>> w.value
    array([[1.5, 2. ],
           [0.3, 0.4]])
    """

    def __init__(self, parameters: Iterable[Parameter], limit: float):
        self.parameters = [p for p in _parameters_of(parameters, "MaxNorm") if p.value.ndim > 1]
        if not self.parameters:
            raise ValueError("MaxNorm got no weights (at least two axes): pass net.parameters()")
        self.limit = norm_limit(limit)

    def apply(self) -> None:
        """Rescale the filters that are too long; called by `fit` after every step."""
        for parameter in self.parameters:
            limit_norms(parameter.value, self.limit)

    def __repr__(self) -> str:
        return f"MaxNorm(limit={self.limit}, parameters={[p.name for p in self.parameters]})"
