"""Softmax and cross-entropy: turn scores into class probabilities, and say how badly they fit the labels.

Equation
--------
For logits z (N, K) and labels t (N,)::

    p[n,k] = exp(z[n,k]) / sum over j of exp(z[n,j])
    loss   = -(1/N) * sum over n of  log p[n, t[n]]

With the row maximum m[n] and s[n] = sum over j of exp(z[n,j] - m[n]), the form that is computed::

    p[n,k] = exp(z[n,k] - m[n]) / s[n]                           -log p[n,t] = log s[n] - (z[n,t] - m[n])

A worked example: two samples, three classes; log 2 = 0.693, log 4 = 1.386::

    logits               t    z - m                   s    p              -log p[t]        dlogits
    0   log 2  0         1    -0.693  0     -0.693    2    1/4  1/2  1/4  log 2 = 0.693    1/8 -1/4  1/8
    5   5      5+log 2   0    -0.693 -0.693  0        2    1/4  1/4  1/2  log 4 = 1.386   -3/8  1/8  1/4

    loss = (log 2 + log 4) / 2 = 1.0397

Shapes
------
======================  =======  =================================================
logits, dlogits         (N, K)   any real numbers; one row for each sample
labels                  (N,)     integers in 0 ... K-1
probabilities           (N, K)   each row sums to 1
loss                    a float  mean over the N samples, in nats
======================  =======  =================================================

Gradient
--------
Write one row's loss as log(sum over j of exp z[j]) - z[t]. The first term's derivative by z[k] is exp(z[k]) /
sum = p[k]; the second's is 1 for k = t and 0 elsewhere. So, with the mean over N samples::

    dlogits[n,k] = (p[n,k] - [k == t[n]]) / N

Probability minus truth. Every row sums to 0: what the true class gains, the others lose. Nothing is divided
by p, so the gradient is exact even where p[t] underflows to 0; this is why softmax and the loss are one
operation.

Cost
----
N*K exponentials, and about 5*N*K other operations; backward N*K subtractions and divisions. Logits are read
and probabilities written once: 8*N*K bytes in float32. CNN1's batch, 128 x 121, is 60 KB: beside the
convolutions, nothing.

Pitfalls
--------
* exp overflows above 88 in float32 (709 in float64). Subtracting m makes the largest exponent 0, and changes
  no p.
* log(p) of a p that underflowed is -inf; log s - (z - m) never takes the logarithm of anything below 1.
* Forgetting the 1/N makes the learning rate depend on the batch size.
* A loss that starts far from log K (4.796 for 121 classes) means that the initial weights are too large.
* A NaN, or +inf, among the logits makes its row, and the loss, NaN, on purpose: training stops and says so.

Where the paper uses it: the last layer of all three networks; the bagging experiment averages these
probabilities.

Source: Bridle 1990, Probabilistic interpretation of feedforward classification network outputs; Goodfellow,
Bengio and Courville 2016, Deep Learning, section 6.2.2.3 and, for the subtraction of the maximum, section
4.1.
"""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import InputTypeError, array_module, as_array, as_floating, operation


class SoftmaxCache(NamedTuple):
    """What the backward pass of softmax cross-entropy needs."""

    probabilities: Any
    labels: Any


def _check(logits: Any) -> tuple[Any]:
    """Return the argument of `softmax` checked and normalised."""
    logits = as_floating(logits, "logits", 2)
    if min(logits.shape) < 1:
        raise ValueError(f"logits has shape {logits.shape}: expected (N, K) with at least one sample "
                         "and one class")
    return (logits,)


def _check_labels(logits: Any, labels: Any) -> tuple[Any, Any]:
    """Return the arguments of `softmax_cross_entropy` checked and normalised."""
    (logits,) = _check(logits)
    N, K = logits.shape
    xp = array_module(logits)
    if array_module(labels) is not xp:
        raise InputTypeError(f"labels is a {type(labels).__module__}.{type(labels).__name__}, but logits is a "
                             f"{type(logits).__module__}.{type(logits).__name__}: expected arrays of one library")
    labels = as_array(labels, "labels") if xp is np else labels
    if labels.shape != (N,):
        raise ValueError(f"labels has shape {labels.shape}: expected ({N},), one class for each row of "
                         f"logits {logits.shape}")
    if labels.dtype.kind not in "iu":
        raise InputTypeError(f"labels has dtype {labels.dtype}: expected integers, the class of each row")
    wrong = (labels < 0) | (labels >= K)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"labels[{row}] is {int(labels[row])}: expected a class from 0 to {K - 1}, one of "
                         f"the {K} columns of logits")
    return logits, labels


def _check_backward(cache: Any) -> tuple[SoftmaxCache]:
    """Return the argument of `softmax_cross_entropy_backward`, checked to suit the backend in use."""
    if not isinstance(cache, SoftmaxCache):
        raise InputTypeError(f"cache is a {type(cache).__name__}: expected the SoftmaxCache that "
                             "softmax_cross_entropy returned")
    return (cache._replace(probabilities=as_floating(cache.probabilities, "cache.probabilities", 2)),)


# ----------------------------------------------------------------------------- loops: the equation, literally

def softmax_loops(logits: Any) -> Any:
    """Compute `softmax` one row at a time: maximum, exponentials and their sum, division."""
    (logits,) = _check(logits)
    xp = array_module(logits)
    N, K = logits.shape
    probabilities = xp.zeros_like(logits)
    for n in range(N):
        m = logits[n, 0]
        for k in range(1, K):
            m = max(m, logits[n, k])
        s = 0
        for k in range(K):
            probabilities[n, k] = xp.exp(logits[n, k] - m)
            s += probabilities[n, k]
        for k in range(K):
            probabilities[n, k] /= s
    return probabilities


def softmax_cross_entropy_loops(logits: Any, labels: Any) -> tuple[float, SoftmaxCache]:
    """Compute `softmax_cross_entropy` row by row, as the equation at the top of this page is written."""
    logits, labels = _check_labels(logits, labels)
    xp = array_module(logits)
    N, K = logits.shape
    loss = 0.0
    for n in range(N):
        m = logits[n].max()
        s = 0
        for k in range(K):
            s += xp.exp(logits[n, k] - m)
        loss += float(xp.log(s) - (logits[n, labels[n]] - m)) / N
    return loss, SoftmaxCache(softmax_loops(logits), labels)


def softmax_cross_entropy_loops_backward(cache: SoftmaxCache) -> Any:
    """Compute `softmax_cross_entropy_backward` entry by entry: probability minus truth, over N."""
    ((probabilities, labels),) = _check_backward(cache)
    N, K = probabilities.shape
    dlogits = array_module(probabilities).zeros_like(probabilities)
    for n in range(N):
        for k in range(K):
            truth = 1 if k == labels[n] else 0
            dlogits[n, k] = (probabilities[n, k] - truth) / N
    return dlogits


# ------------------------------------------------------------------------------------------------- vectorised

@operation(_check)
def softmax(logits: Any) -> Any:
    """Return the class probabilities of each row of logits.

    Parameters
    ----------
    logits : array (N, K)
        Scores, float32 or float64.

    Returns
    -------
    probabilities : array (N, K)
        Between 0 and 1; each row sums to 1.

    Raises
    ------
    ValueError, TypeError
        Not a matrix with at least one row and one column, or a dtype that is not floating.

    Examples
    --------
    >>> import numpy as np
    >>> softmax(np.log([[1.0, 2.0, 1.0]]))
    array([[0.25, 0.5 , 0.25]])

    Source: Bridle 1990; Goodfellow, Bengio and Courville 2016, equation 6.29.
    """
    xp = array_module(logits)
    powers = xp.exp(logits - logits.max(axis=1, keepdims=True))            # (N, K)
    powers /= powers.sum(axis=1, keepdims=True)                            # (N, 1)
    return powers                                                          # (N, K)


@operation(_check_labels)
def softmax_cross_entropy(logits: Any, labels: Any) -> tuple[float, SoftmaxCache]:
    """Return the mean cross-entropy of softmax probabilities against integer labels.

    Parameters
    ----------
    logits : array (N, K)
        Scores, float32 or float64.
    labels : integer array (N,)
        The class of each row, 0 to K-1.

    Returns
    -------
    loss : float
        Mean over the rows, in nats.
    cache : SoftmaxCache
        For `softmax_cross_entropy_backward`; ``cache.probabilities`` are the softmax.

    Raises
    ------
    ValueError, TypeError
        Shapes that differ, labels that are not integers, or a label out of range; the message names the first
        such row.

    Examples
    --------
    >>> import numpy as np
    >>> loss, cache = softmax_cross_entropy(np.log([[1.0, 2.0, 1.0], [1.0, 1.0, 2.0]]), [1, 0])
    >>> round(loss, 4)                                                     # (log 2 + log 4) / 2
    1.0397

    Source: Goodfellow, Bengio and Courville 2016, section 6.2.2.3.
    """
    xp = array_module(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)                   # (N, K)
    probabilities = xp.exp(shifted)                                        # (N, K)
    s = probabilities.sum(axis=1)                                          # (N,)
    losses = xp.log(s) - shifted[xp.arange(len(labels)), labels]           # (N,)
    probabilities /= s[:, None]                                            # (N, 1)
    return float(losses.mean(dtype=xp.float64)), SoftmaxCache(probabilities, labels)


@operation(_check_backward)
def softmax_cross_entropy_backward(cache: SoftmaxCache) -> Any:
    """Return the gradient of the mean cross-entropy with respect to the logits.

    Parameters
    ----------
    cache : SoftmaxCache
        From the forward pass of any version of this operation.

    Returns
    -------
    dlogits : array (N, K)
        Every row sums to 0.

    Raises
    ------
    TypeError
        The cache is of another operation, or holds arrays of another backend.

    Examples
    --------
    >>> import numpy as np
    >>> loss, cache = softmax_cross_entropy(np.log([[1.0, 2.0, 1.0], [1.0, 1.0, 2.0]]), [1, 0])
    >>> softmax_cross_entropy_backward(cache)
    array([[ 0.125, -0.25 ,  0.125],
           [-0.375,  0.125,  0.25 ]])

    Source: the derivation at the top of this page; Goodfellow, Bengio and Courville 2016, section 6.2.2.3.
    """
    probabilities, labels = cache
    N = len(labels)
    dlogits = probabilities.copy()                                         # (N, K)
    dlogits[array_module(dlogits).arange(N), labels] -= 1                  # one entry of each row
    dlogits /= N
    return dlogits                                                         # (N, K)


# ---------------------------------------------------------------------------------------------------- kernels
#
# numba (kernels/numba_softmax.py) replaces the backward pass only: p is read once and dlogits written once,
# where the code above copies, subtracts and divides in three passes. It is serial: at 60 KB, waking threads
# costs more than the work. The forward pass is all exponentials, and NumPy computes those several at a time
# in vector registers, while compiled Numba code calls a scalar exp unless Intel's SVML is installed: a fused
# kernel measured half as fast, so there is none.
#
# cupy (kernels/cupy_softmax.py): a block of threads for each row. Maximum and sum are trees over its threads, in
# a fixed order; loss, hit and gradient come out of the same kernel. `train_step` there adds losses and hits up on
# the device, so that a training loop need not wait for them.
