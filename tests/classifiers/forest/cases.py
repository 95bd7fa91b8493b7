"""Data for trees, trees grown on it, and what it means for two trees to be equal."""
from __future__ import annotations

import numpy as np

from classifiers.forest.growing import grow_loops

PARTS = "nodes", "missing_left", "leaf_start", "leaf_class", "leaf_weight"


def some_data(seed, n=120, D=4, K=3, missing=0.0, noise=0.2):
    """Classes cut out by two features, some of them wrong; whole numbers, so that midpoints are exact in float32."""
    rng = np.random.default_rng(seed)
    X = rng.permuted(np.tile(np.arange(n), (D, 1)), axis=1).T.astype(np.float32)
    codes = ((X[:, 0] + 2 * X[:, 1]) * K / (3 * n)).astype(np.int64)
    wrong = rng.random(n) < noise
    codes[wrong] = rng.integers(0, K, wrong.sum())
    X[rng.random(X.shape) < missing] = np.nan
    return X, codes, rng


def some_weights(kind, rng, n):
    """Ones, bootstrap counts (with zeros), or fractions.

    The fractions are 64ths, whose sums are exact: scikit-learn otherwise goes on to split pure nodes whose
    impurity is not quite zero after rounding.
    """
    if kind == "ones":
        return np.ones(n, np.int64)
    return rng.poisson(1.0, n).astype(np.int64) if kind == "counts" else rng.integers(1, 128, n) / 64


def grow(X, codes, weights=None, seed=2026, max_features=None, n_classes=None, **parameters):
    """Grow one tree, by default on all samples and all features; return it, its importances, and its steps."""
    X, codes, steps = np.asarray(X, np.float32), np.asarray(codes, np.int64), []
    weights = np.ones(len(X), np.int64) if weights is None else np.asarray(weights)
    tree, importances = grow_loops(X, codes, weights, n_classes or int(codes.max()) + 1,
                                   np.array([seed], np.uint64), max_features or X.shape[1],
                                   observer=steps.append, **parameters)
    return tree, importances, steps


def assert_trees_equal(tree, other):
    """Node for node and bit for bit."""
    for part in PARTS:
        np.testing.assert_array_equal(getattr(tree, part), getattr(other, part), err_msg=part)
