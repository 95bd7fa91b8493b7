"""`minicnn.optim` in Numba: one pass over memory for each parameter.

What changes against the page: nothing is materialised between the operators of an update, so every weight,
gradient and velocity is read once and written once. The loops are not parallel (see the page), hence
deterministic to the bit.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.plumbing.compiled import njit


def sgd_update(value: Any, grad: Any, velocity: Any, lr: float, momentum: float, nesterov: bool,
               weight_decay: float) -> None:
    """Replace `minicnn.optim.sgd_update`."""
    # In the arrays' own type, as NumPy takes Python floats: a float64 rate would widen all the arithmetic.
    scalar = value.dtype.type
    _update(value.reshape(-1), grad.reshape(-1), velocity.reshape(-1),
            scalar(lr), scalar(momentum), nesterov, scalar(weight_decay))


# No fastmath at all: no operator may be fused or reordered, so that the bits are those of the page.
@njit(cache=True, nogil=True)
def _update(w, g, v, lr, momentum, nesterov, weight_decay):
    for i in range(w.size):
        gi = g[i] + weight_decay * w[i]
        vi = v[i] * momentum + gi
        v[i] = vi
        if nesterov:
            w[i] -= lr * (gi + momentum * vi)
        else:
            w[i] -= lr * vi


def limit_norms(value: Any, limit: float) -> None:
    """Replace `minicnn.optim.limit_norms`."""
    _limit(value.reshape(len(value), -1), value.dtype.type(limit))


# reassoc lets the sum of squares run in vector lanes: another order of additions, the same one every time.
@njit(cache=True, nogil=True, fastmath={"reassoc"})
def _limit(w, limit):
    F, D = w.shape
    for f in range(F):
        squares = limit * 0
        for d in range(D):
            squares += w[f, d] * w[f, d]
        if squares > limit * limit:
            scale = limit / np.sqrt(squares)
            for d in range(D):
                w[f, d] *= scale
