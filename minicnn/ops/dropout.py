"""Dropout: while training, switch off a random part of the units, so that none can rely on the others.

Equation
--------
With one uniform number u[i] in [0, 1) per element, drawn anew in every pass::

    training         y[i] = x[i] * factor[i],      factor[i] = scale if u[i] >= drop_prob else 0
    not training     y = x

`scale` is 1 / (1 - drop_prob) unless told otherwise ("inverted" dropout), which keeps the expectation::

    E[y] = x * (P(kept) * scale + P(dropped) * 0) = x * (1 - drop_prob) * scale = x

so that nothing has to be done when the network is used.

Worked example
--------------
`drop_prob` = 0.5, hence scale = 2; u is what ``numpy.random.default_rng(5)`` draws::

    x            u                     factor       y             dy           dx
    1  2  3      0.67  0.81  0.02      2  2  0      2  4   0      1  1  1      2  2  0
    4  5  6      0.81  0.47  0.52      2  0  2      8  0  12      1  2  3      2  0  6

Shapes
------
================  ================  =========================================================================
array             shape             what
================  ================  =========================================================================
x, y, dy, dx      any, all equal    activations and their gradients
cache.factor      shape of x        0 or scale, in the dtype of x; None when not training (then y is x)
================  ================  =========================================================================

Gradient
--------
Once u is drawn, dropout is the product with a constant array, and its Jacobian is diagonal::

    dx[i] = dy[i] * factor[i]

The *same* factor as in the forward pass, scale included: that is all the cache is for.

Cost
----
One random number, one comparison and one product per element forward, one product backward; float32 forward
reads 4 bytes and writes 4 + 4. The random number dominates: see the end of this page.

Pitfalls
--------
* `drop_prob` is the probability to *drop*. Papers and programs often state the probability to keep: 0.8
  there is 0.2 here.
* Drawing a second mask in the backward pass, or forgetting the scale there: the loss still falls, only more
  slowly.
* Leaving it on for validation. Layers pass ``training`` on; `predict` never sets it.
* ``scale=1`` breaks the expectation on purpose: the published maxout recipe has it on its input, and the
  units above then see inputs that are on average 1/(1 - drop_prob) times larger in use than in training.
* The numerical gradient check has to see one fixed mask: it must give every evaluation a generator in the
  same state.

Where the paper uses it: CNN3, "at the first layer": drop_prob = 0.2 with scale=1 on the input; in the second
reading of that sentence also drop_prob = 0.5 on the hidden layers.

Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014, Dropout: a simple way to prevent
neural networks from overfitting, sections 4 and 10 (the scaling); Goodfellow et al. 2013, Maxout networks.
"""
from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import InputTypeError, array_module, as_floating, operation


class DropoutCache(NamedTuple):
    """What the backward pass of `dropout` needs: what x was multiplied with (None: it was left alone)."""

    factor: Any


def _check_dropout(x: Any, drop_prob: Any, rng: Any, training: Any,
                   scale: Any) -> tuple[Any, float, Any, bool, float]:
    """Return the arguments of `dropout` checked and normalised, the default scale filled in."""
    x = as_floating(x, "x")
    if not isinstance(drop_prob, (int, float, np.floating)) or not 0 <= drop_prob < 1:
        raise ValueError(f"drop_prob={drop_prob!r}: expected a probability, 0 <= drop_prob < 1")
    scale = 1 / (1 - float(drop_prob)) if scale is None else scale
    if not isinstance(scale, (int, float, np.floating)) or not 0 < scale < math.inf:
        raise ValueError(f"scale={scale!r}: expected a positive number, or None for 1 / (1 - drop_prob)")
    if training and not isinstance(rng, np.random.Generator):
        raise InputTypeError(f"rng is of type {type(rng).__name__}: expected a numpy.random.Generator, such as "
                             "numpy.random.default_rng(seed)")
    return x, float(drop_prob), rng, bool(training), float(scale)


def _check_dropout_backward(dy: Any, cache: Any) -> tuple[Any, DropoutCache]:
    """Return the arguments of `dropout_backward`, checked to belong to each other."""
    if not isinstance(cache, DropoutCache):
        raise InputTypeError(f"cache is a {type(cache).__name__}: expected the DropoutCache that dropout returned")
    dy = as_floating(dy, "dy")
    if cache.factor is not None and (dy.shape != cache.factor.shape or dy.dtype != cache.factor.dtype):
        raise ValueError(f"dy is {dy.dtype} of shape {dy.shape}: expected {cache.factor.dtype} of shape "
                         f"{cache.factor.shape}, those of dropout's output")
    return dy, cache


# ----------------------------------------------------------------------------- loops: the equation, literally

def dropout_loops(x: Any, drop_prob: float, rng: np.random.Generator, training: bool = True,
                  scale: float | None = None) -> tuple[Any, DropoutCache]:
    """Keep or drop one element at a time: `dropout` as explicit loops, with the same numbers drawn."""
    x, drop_prob, rng, training, scale = _check_dropout(x, drop_prob, rng, training, scale)
    if not training:
        return x, DropoutCache(None)
    xp = array_module(x)
    y, factor = xp.empty(x.shape, x.dtype), xp.empty(x.shape, x.dtype)
    for i in np.ndindex(x.shape):
        u = rng.random(dtype=np.float32)  # one by one or all at once: the generator gives the same numbers
        factor[i] = scale if u >= drop_prob else 0
        y[i] = x[i] * factor[i]
    return y, DropoutCache(factor)


def dropout_loops_backward(dy: Any, cache: DropoutCache) -> Any:
    """Gradient of `dropout`, one element at a time."""
    dy, cache = _check_dropout_backward(dy, cache)
    if cache.factor is None:
        return dy
    dx = array_module(dy).empty(dy.shape, dy.dtype)
    for i in np.ndindex(dy.shape):
        dx[i] = dy[i] * cache.factor[i]
    return dx


# ----------------------------------------------------------------------------- vectorised, for NumPy and CuPy

@operation(_check_dropout)
def dropout(x: Any, drop_prob: float, rng: np.random.Generator, training: bool = True,
            scale: float | None = None) -> tuple[Any, DropoutCache]:
    """Set elements to zero with probability `drop_prob`, and multiply the others by `scale`.

    Parameters
    ----------
    x : array of any shape
        float32 or float64.
    drop_prob : float
        Probability to drop an element, 0 <= drop_prob < 1.
    rng : numpy.random.Generator
        Source of the mask, advanced by one float32 per element (on cupy by one key). Not used, and may be None,
        when not training.
    training : bool
        If False, nothing is drawn and `y` is `x` itself.
    scale : float, optional
        Factor of the elements that are kept; 1 / (1 - drop_prob) by default.

    Returns
    -------
    y : array
        Shape and dtype of `x`.
    cache : DropoutCache
        For `dropout_backward`.

    Raises
    ------
    TypeError
        `rng` is no Generator, or `x` no real array of the backend in use.
    ValueError
        `drop_prob` is outside [0, 1), or `scale` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> y, cache = dropout([[1, 2, 3], [4, 5, 6]], 0.5, np.random.default_rng(5))
    >>> y.tolist()
    [[2.0, 4.0, 0.0], [8.0, 0.0, 12.0]]
    """
    if not training:
        return x, DropoutCache(None)
    xp = array_module(x)
    u = xp.asarray(rng.random(x.shape, dtype=np.float32))                 # shape of x
    factor = (u >= drop_prob).astype(x.dtype) * scale                     # shape of x
    return x * factor, DropoutCache(factor)


@operation(_check_dropout_backward)
def dropout_backward(dy: Any, cache: DropoutCache) -> Any:
    """Gradient of `dropout`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to `y`, of its shape and dtype.
    cache : DropoutCache
        From the forward pass.

    Returns
    -------
    dx : array
        Shape and dtype of `dy`; 0 for every element that was dropped. `dy` itself if not training.

    Raises
    ------
    TypeError
        `cache` is no DropoutCache, or `dy` no floating-point array.
    ValueError
        `dy` has not the shape and dtype of the forward pass.

    Examples
    --------
    >>> import numpy as np
    >>> y, cache = dropout([[1, 2, 3], [4, 5, 6]], 0.5, np.random.default_rng(5))
    >>> dropout_backward([[1, 1, 1], [1, 2, 3]], cache).tolist()
    [[2.0, 2.0, 0.0], [2.0, 0.0, 6.0]]
    """
    return dy if cache.factor is None else dy * cache.factor              # shape of dy


# ---------------------------------------------------------------------------------------------------- kernels
#
# Nothing: there is no Numba kernel. The mask comes from NumPy's Generator, on every backend, so that a seed
# gives the same mask everywhere and a checkpoint can hold the generator's state; and that draw, serial by
# nature, takes two thirds of the forward pass (3.3 of 4.9 ms for 2.4 million float32 elements). Fusing the
# comparison and the two products that remain would gain a quarter of an operation that is small beside any
# convolution.
#
# cupy_dropout.py: a counter-based generator, Philox, with which each thread draws its own numbers: element i of
# the mask is a function of i and of a key, and the key is all that is drawn from `rng`. A seed still gives the
# same mask every time, but not that of the other backends: it is numpy.random.Philox's for this key.
