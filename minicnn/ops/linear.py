"""Linear layer: every output is a weighted sum of every input. Also called dense, or fully connected.

Equation
--------
::

    y[n,f] = b[f] + sum over d of  w[f,d] * x[n,d]              in matrices:  y = x w^T + b

A worked example: two samples, three features, two outputs::

    x           w            b          y                             dy         dx           dw         db
    1 2 3       1  0 -1      10 20      8  26   8 = 10 + 1*1 - 1*3    1  0       1  0 -1      1  4  3    3 -1
    0 1 0       2  2  0                10  22                         2 -1       0 -2 -2      0 -1  0

Shapes
------
======  ========  ==================================
x, dx   (N, D)    one row for each sample
w, dw   (F, D)    one row for each output
b, db   (F,)      or None
y, dy   (N, F)
======  ========  ==================================

Gradient
--------
x[n,d] is multiplied by w[f,d] on its way into y[n,f], for every f; w[f,d] by x[n,d], for every n; b[f] by 1::

    dx[n,d] = sum over f of  dy[n,f] * w[f,d]                   dx = dy w
    dw[f,d] = sum over n of  dy[n,f] * x[n,d]                   dw = dy^T x
    db[f]   = sum over n of  dy[n,f]                            db = column sums of dy

The shapes alone almost force the result: from dy (N, F) and w (F, D) there is one product that is (N, D).

Cost
----
2*N*D*F FLOPs forward and twice that backward; the least traffic is x + w + y. With few samples, w dominates:
one sample reads D*F weights for 2*D*F FLOPs, so a batch is what makes the layer worth its memory traffic.

Pitfalls
--------
* w is (F, D), one row per output, as in PyTorch; many textbooks write y = x W with W (D, F).
* Images must be flattened first (`minicnn.layers.Flatten`); the order (c, h, w) is part of what w means.
* Gradients are sums over the batch, not means: the 1/N comes with dy, from the mean in the loss.

Where the paper uses it: layers 4 and 5 of CNN1, 6 and 7 of CNN2 (the fully connected layer of 121 and the one
before the softmax), and layer 4 of CNN3.

Source: Rumelhart, Hinton and Williams 1986, Learning representations by back-propagating errors, equations 1
to 7.
"""
from __future__ import annotations

from typing import Any, NamedTuple

from minicnn.backend import InputTypeError, array_module, as_floating, operation


class LinearCache(NamedTuple):
    """What the backward pass of a linear layer needs."""

    x: Any
    w: Any
    has_bias: bool


def _check(x: Any, w: Any, b: Any) -> tuple[Any, Any, Any]:
    """Return the arguments of `linear` checked and normalised."""
    x, w = as_floating(x, "x", 2), as_floating(w, "w", 2)
    b = None if b is None else as_floating(b, "b", 1)
    if w.shape[1] != x.shape[1]:
        raise ValueError(f"x has shape {x.shape}, that is {x.shape[1]} features, but w has shape {w.shape}: "
                         f"expected w of shape (F, {x.shape[1]})")
    if b is not None and b.shape != w.shape[:1]:
        raise ValueError(f"b has shape {b.shape}: expected {w.shape[:1]}, one value for each row of w "
                         f"{w.shape}, or None")
    for name, array in (("w", w), ("b", b)):
        if array is not None and array.dtype != x.dtype:
            raise InputTypeError(f"{name} has dtype {array.dtype} but x has {x.dtype}: expected one dtype, "
                                 "convert one of them with .astype")
    return x, w, b


def _check_backward(dy: Any, cache: Any) -> tuple[Any, LinearCache]:
    """Return the arguments of `linear_backward`, `dy` checked to be shaped like y."""
    if not isinstance(cache, LinearCache):
        raise InputTypeError(f"cache is a {type(cache).__name__}: expected the LinearCache that linear returned")
    dy = as_floating(dy, "dy", 2)
    x, w, _ = cache
    expected = (x.shape[0], w.shape[0])
    if dy.shape != expected:
        raise ValueError(f"dy has shape {dy.shape}: expected {expected}, the shape of this layer's y")
    if dy.dtype != x.dtype:
        raise InputTypeError(f"dy has dtype {dy.dtype} but x has {x.dtype}: expected one dtype, use "
                             f"dy.astype({str(x.dtype)!r})")
    return dy, cache


# ----------------------------------------------------------------------------- loops: the equation, literally

def linear_loops(x: Any, w: Any, b: Any) -> tuple[Any, LinearCache]:
    """Compute `linear` term by term, as the equation at the top of this page is written."""
    x, w, b = _check(x, w, b)
    (N, D), F = x.shape, w.shape[0]
    y = array_module(x).zeros((N, F), x.dtype)
    for n in range(N):
        for f in range(F):
            if b is not None:
                y[n, f] = b[f]
            for d in range(D):
                y[n, f] += w[f, d] * x[n, d]
    return y, LinearCache(x, w, b is not None)


def linear_loops_backward(dy: Any, cache: LinearCache) -> tuple[Any, Any, Any]:
    """Compute `linear_backward` by sending each dy back along every product of the forward pass."""
    dy, (x, w, has_bias) = _check_backward(dy, cache)
    (N, D), F = x.shape, w.shape[0]
    xp = array_module(x)
    dx, dw, db = xp.zeros_like(x), xp.zeros_like(w), xp.zeros(F, x.dtype)
    for n in range(N):
        for f in range(F):
            db[f] += dy[n, f]
            for d in range(D):
                dx[n, d] += dy[n, f] * w[f, d]
                dw[f, d] += dy[n, f] * x[n, d]
    return dx, dw, db if has_bias else None


# ------------------------------------------------------------------------------------------------- vectorised

@operation(_check)
def linear(x: Any, w: Any, b: Any) -> tuple[Any, LinearCache]:
    """Return ``x @ w.T + b``.

    Parameters
    ----------
    x : array (N, D)
        One sample a row, float32 or float64.
    w : array (F, D)
        Weights, of the dtype of x.
    b : array (F,) or None
        Biases.

    Returns
    -------
    y : array (N, F)
    cache : LinearCache
        For `linear_backward` or `linear_loops_backward`.

    Raises
    ------
    ValueError, TypeError
        Axes, feature counts or dtypes that do not fit each other; the message names them.

    Examples
    --------
    >>> y, cache = linear([[1, 2, 3], [0, 1, 0]], [[1, 0, -1], [2, 2, 0]], [10, 20])
    >>> y
    array([[ 8., 26.],
           [10., 22.]], dtype=float32)

    Source: Rumelhart, Hinton and Williams 1986, equation 1.
    """
    y = x @ w.T                                                     # (N, F)
    if b is not None:
        y += b                                                      # (F,)
    return y, LinearCache(x, w, b is not None)


@operation(_check_backward)
def linear_backward(dy: Any, cache: LinearCache) -> tuple[Any, Any, Any]:
    """Return the gradients of a linear layer with respect to its input, weights and bias.

    Parameters
    ----------
    dy : array (N, F)
        Gradient of the loss with respect to y.
    cache : LinearCache
        From the forward pass of any version of this operation.

    Returns
    -------
    dx, dw, db : arrays shaped like x, w and b
        `db` is None where b was None.

    Raises
    ------
    ValueError, TypeError
        `dy` is not shaped like y, its dtype is not that of x, or `cache` is of another operation.

    Examples
    --------
    >>> y, cache = linear([[1, 2, 3], [0, 1, 0]], [[1, 0, -1], [2, 2, 0]], [10, 20])
    >>> dx, dw, db = linear_backward([[1, 0], [2, -1]], cache)
    >>> dw, db
    (array([[ 1.,  4.,  3.],
           [ 0., -1.,  0.]], dtype=float32), array([ 3., -1.], dtype=float32))

    Source: Rumelhart, Hinton and Williams 1986, equations 6 and 7.
    """
    x, w, has_bias = cache
    dx = dy @ w                                                     # (N, D)
    dw = dy.T @ x                                                   # (F, D)
    return dx, dw, dy.sum(axis=0) if has_bias else None             # db (F,)


# ---------------------------------------------------------------------------------------------------- kernels
#
# None on the CPU. All three products are single calls of BLAS, which already blocks for the caches, keeps its
# sums in registers and shares the rows of the result among threads. There is nothing left that a kernel of ours
# could save: no intermediate is materialised, and y, dx, dw are each written once. The bias is added to y while
# y is still in the cache.
#
# cupy_linear.py: a product of our own for matrices as small as the paper's, whose tiles pass through shared memory and
# whose strides say how a matrix lies, so that none is transposed. It can be captured in a CUDA graph, which cuBLAS, to
# which large products go, cannot.
