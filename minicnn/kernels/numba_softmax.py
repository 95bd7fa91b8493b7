"""The gradient of softmax cross-entropy in one pass.

Why the forward pass has no kernel is said on the page `minicnn.ops.softmax`.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.ops.softmax import SoftmaxCache
from minicnn.plumbing.compiled import njit


@njit(cache=True, nogil=True)
def _gradient(probabilities, labels):
    """dlogits (N, K): (p - [k == label]) / N, with each entry read once and written once."""
    N, K = probabilities.shape
    dlogits = np.empty_like(probabilities)
    samples = probabilities.dtype.type(N)  # an int would make Numba divide float32 numbers in float64
    for n in range(N):
        for k in range(K):
            dlogits[n, k] = probabilities[n, k] / samples
        t = labels[n]
        dlogits[n, t] = (probabilities[n, t] - probabilities.dtype.type(1)) / samples
    return dlogits


def softmax_cross_entropy_backward(cache: SoftmaxCache) -> Any:
    """Return dlogits; same contract as the operation in `minicnn.ops`, whose validation has run."""
    return _gradient(*cache)
