"""Rectified linear unit: negative values become zero, the others pass.

Equation
--------
::

    y[i] = max(x[i], 0)        for every element i, whatever the shape of x

Worked example
--------------
::

    x                    y                    positive           dy                   dx
    +----+----+----+     +----+----+----+     +---+---+---+      +----+----+----+     +----+----+----+
    | -2 |  3 |  0 |     |  0 |  3 |  0 |     | . | 1 | . |      |  5 |  6 |  7 |     |  0 |  6 |  0 |
    |  1 | -1 |  4 |     |  1 |  0 |  4 |     | 1 | . | 1 |      |  8 |  9 | 10 |     |  8 |  0 | 10 |
    +----+----+----+     +----+----+----+     +---+---+---+      +----+----+----+     +----+----+----+

Shapes
------
=========================  ================  ============================================
array                      shape             what
=========================  ================  ============================================
x, y, dy, dx               any, all equal    activations and their gradients
cache.positive             the same, bool    where x > 0: all that backward needs of x
=========================  ================  ============================================

Gradient
--------
Each y[i] depends on its own x[i] only, so the Jacobian is diagonal, and the chain rule is one product per
element::

    d(y[i]) / d(x[i]) = 1 if x[i] > 0
                        0 if x[i] < 0          =>      dx = dy * [x > 0]

At x[i] = 0 the function has a kink: the slope is 0 from the left and 1 from the right, and every number
between them is a subgradient. We take 0, as PyTorch does; a unit that is exactly 0 then stays where it is.

Cost
----
One comparison per element forward, one product per element backward. Forward reads 4 bytes and writes 4 + 1
in float32, so at 1 FLOP per 9 bytes it is bound by memory, never by arithmetic: on the first layer of CNN1
with a batch of 128 (128 x 32 x 24 x 24 elements) it moves 21 MB for 2.4 MFLOP. This is why a fused kernel,
which applies the ReLU while the convolution's result is still in a register, makes it free.

Pitfalls
--------
* The mask is one byte per element; keeping x for the backward pass instead would cost four (and y would do
  as well: y > 0 exactly where x > 0).
* ``0 if x < 0 else x`` and ``x if x > 0 else 0`` differ for NaN. NaN must pass, or a diverged network looks
  healthy.
* A unit whose x is negative for every sample gets no gradient at all ("dead"): a too large learning rate
  does that.

Where the paper uses it: after every convolution and after the fully connected layer of CNN1 and CNN2. CNN3
has maxout in its place.

Source: Nair and Hinton 2010, Rectified linear units improve restricted Boltzmann machines.
"""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import InputTypeError, array_module, as_floating, operation


class ReluCache(NamedTuple):
    """What the backward pass of `relu` needs: the boolean array x > 0."""

    positive: Any


def _check_relu(x: Any) -> tuple[Any]:
    """Return the argument of `relu` as a floating-point array."""
    return (as_floating(x, "x"),)


def _check_relu_backward(dy: Any, cache: Any) -> tuple[Any, ReluCache]:
    """Return the arguments of `relu_backward`, checked to belong to each other."""
    if not isinstance(cache, ReluCache):
        raise InputTypeError(f"cache is a {type(cache).__name__}: expected the ReluCache that relu returned")
    dy = as_floating(dy, "dy")
    if cache.positive.dtype != bool or dy.shape != cache.positive.shape:
        raise ValueError(f"dy has shape {dy.shape} but cache.positive is {cache.positive.dtype} of shape "
                         f"{cache.positive.shape}: expected a bool array of dy's shape, from the same "
                         "forward pass")
    return dy, cache


# ----------------------------------------------------------------------------- loops: the equation, literally

def relu_loops(x: Any) -> tuple[Any, ReluCache]:
    """Rectify every element, one at a time: `relu` as explicit loops."""
    (x,) = _check_relu(x)
    xp = array_module(x)
    y, positive = xp.empty(x.shape, x.dtype), xp.empty(x.shape, bool)
    for i in np.ndindex(x.shape):
        positive[i] = x[i] > 0
        y[i] = 0 if x[i] <= 0 else x[i]  # this way round, NaN passes
    return y, ReluCache(positive)


def relu_loops_backward(dy: Any, cache: ReluCache) -> Any:
    """Gradient of `relu`, one element at a time."""
    dy, cache = _check_relu_backward(dy, cache)
    dx = array_module(dy).empty(dy.shape, dy.dtype)
    for i in np.ndindex(dy.shape):
        dx[i] = dy[i] * cache.positive[i]
    return dx


# ----------------------------------------------------------------------------- vectorised, for NumPy and CuPy

@operation(_check_relu)
def relu(x: Any) -> tuple[Any, ReluCache]:
    """Rectified linear unit, max(x, 0) of every element.

    Parameters
    ----------
    x : array of any shape
        float32 or float64.

    Returns
    -------
    y : array
        Shape and dtype of `x`. NaN stays NaN.
    cache : ReluCache
        For `relu_backward`.

    Raises
    ------
    TypeError
        `x` is not a real floating-point (or integer, or boolean) array of the backend in use.

    Examples
    --------
    >>> y, cache = relu([[-2, 3, 0], [1, -1, 4]])
    >>> y.tolist()
    [[0.0, 3.0, 0.0], [1.0, 0.0, 4.0]]
    """
    xp = array_module(x)
    y = xp.maximum(x, 0)                                                  # shape of x
    return y, ReluCache(x > 0)


@operation(_check_relu_backward)
def relu_backward(dy: Any, cache: ReluCache) -> Any:
    """Gradient of `relu`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to `y`, of its shape.
    cache : ReluCache
        From the forward pass.

    Returns
    -------
    dx : array
        Shape and dtype of `dy`; 0 where x <= 0.

    Raises
    ------
    TypeError
        `cache` is no ReluCache, or `dy` no floating-point array.
    ValueError
        `dy` has not the shape of the forward pass.

    Examples
    --------
    >>> y, cache = relu([[-2, 3, 0], [1, -1, 4]])
    >>> relu_backward([[5, 6, 7], [8, 9, 10]], cache).tolist()
    [[0.0, 6.0, 0.0], [8.0, 0.0, 10.0]]
    """
    return dy * cache.positive                                            # shape of dy


# ---------------------------------------------------------------------------------------------------- kernels
#
# numba_relu.py: the arrays are walked as one flat row, cut into one piece per thread; whoever reads x[i]
# writes y[i] and positive[i], and no two threads share an element. The two passes over x of the vectorised
# forward, one for the maximum and one for the comparison, become one, which is all there is to gain in an
# operation bound by memory.
#
# cupy_relu.py: the same with one thread for each element.
