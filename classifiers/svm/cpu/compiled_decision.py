"""From the sums of each class's support vectors to decision values and to scores of the classes, one sample at a time.

S (K, rows, K - 1) has the products of ``decision.py``: S[a, r, b - 1] is what the support vectors of class a add to the
decision of the pair a < b for sample r, and S[b, r, a] what those of b add. A sample needs K (K - 1) numbers, 58 KB for
121 classes, and all of it stays in cache for its two visits.
"""
from __future__ import annotations

import numpy as np

from minicnn.plumbing.compiled import njit

__all__ = ["class_scores", "pair_values"]


@njit(cache=True, nogil=True)
def pair_values(S, intercept, out):
    """Write the decision of each pair to `out` (rows, K (K - 1) / 2) float64."""
    n_classes = S.shape[0]
    for r in range(S.shape[1]):
        problem = 0
        for a in range(n_classes):
            for b in range(a + 1, n_classes):
                out[r, problem] = np.float64(S[a, r, b - 1]) + np.float64(S[b, r, a]) + intercept[problem]
                problem += 1


@njit(cache=True, nogil=True)
def class_scores(S, intercept, out):
    """Write votes + confidence / (3 (|confidence| + 1)) of each class to `out` (rows, K) float64."""
    n_classes = S.shape[0]
    confidence = np.empty(n_classes)
    for r in range(S.shape[1]):
        votes = out[r]
        votes[:] = 0.0
        confidence[:] = 0.0
        problem = 0
        for a in range(n_classes):
            of_a, won, sum_a = S[a, r], 0.0, 0.0
            for b in range(a + 1, n_classes):
                value = np.float64(of_a[b - 1]) + np.float64(S[b, r, a]) + intercept[problem]
                first = 1.0 if value >= 0.0 else 0.0
                won += first
                votes[b] += 1.0 - first
                sum_a += value
                confidence[b] -= value
                problem += 1
            votes[a] += won
            confidence[a] += sum_a
        for a in range(n_classes):
            votes[a] += confidence[a] / (3.0 * (np.abs(confidence[a]) + 1.0))
