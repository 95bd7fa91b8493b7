"""Softmax, cross-entropy and gradient on the GPU, a block for each row. The page is `minicnn.ops.softmax`.

The operations keep the contract of the page, whose loss is a Python number: the host waits for it. `train_step` and
`tally` are for a training loop that does not wait: loss and hits are added up on the device.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.kernels.cuda_source import blocks, kernel, real
from minicnn.ops.softmax import SoftmaxCache

THREADS = 128


def _run(logits: Any, labels: Any, wants_gradient: bool) -> tuple[Any, Any, Any, Any]:
    """Return probabilities (N, K), dlogits (N, K), losses (N,) float64 and hits (N,) int32."""
    import cupy

    N, K = logits.shape
    probabilities, losses, hits = cupy.empty((N, K), logits.dtype), cupy.empty(N, np.float64), cupy.empty(N, np.int32)
    dlogits = cupy.empty((N, K) if wants_gradient else 1, logits.dtype)
    run = kernel("softmax.cu", "softmax_cross_entropy", real=real(logits.dtype), THREADS=THREADS)
    run((N,), (THREADS,), (cupy.ascontiguousarray(logits), labels, probabilities, dlogits, losses, hits, np.int32(K),
                           np.int32(wants_gradient)))
    return probabilities, dlogits, losses, hits


def softmax_cross_entropy(logits: Any, labels: Any) -> tuple[float, SoftmaxCache]:
    """Return mean loss and cache; same contract as `minicnn.ops.softmax_cross_entropy`, whose validation has run."""
    labels = labels.astype(np.int64, copy=False)
    probabilities, _, losses, _ = _run(logits, labels, False)
    return float(losses.mean()), SoftmaxCache(probabilities, labels)


def softmax_cross_entropy_backward(cache: SoftmaxCache) -> Any:
    """Return dlogits; same contract as the operation in `minicnn.ops`, whose validation has run."""
    import cupy

    probabilities, labels = cupy.ascontiguousarray(cache.probabilities), cache.labels.astype(np.int64, copy=False)
    N, K = probabilities.shape
    dlogits = cupy.empty((N, K), probabilities.dtype)
    run = kernel("softmax.cu", "softmax_cross_entropy_backward", real=real(dlogits.dtype), THREADS=THREADS)
    run(blocks(N * K, THREADS), (THREADS,), (probabilities, labels, dlogits, np.int32(N), np.int32(K)))
    return dlogits


def train_step(logits: Any, labels: Any, totals: Any, wants_gradient: bool = True) -> Any:
    """Return dlogits (N, K), and add the rows' losses and hits to `totals` (2,) float64; labels (N,) are int64."""
    _, dlogits, losses, hits = _run(logits, labels, wants_gradient)
    run = kernel("softmax.cu", "tally", real=real(logits.dtype), THREADS=THREADS)
    run((1,), (THREADS,), (losses, hits, totals, np.int32(len(losses))))
    return dlogits
