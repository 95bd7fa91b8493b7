"""A forest on ordinary data of any scale: it learns what scikit-learn's learns, or says what is wrong.

Trees without bootstrap and without limits are grown to the end: they know every training sample whose values differ, in
float32, from those of all samples of other classes. That is arithmetic; scikit-learn's forest never knows more.
"""
from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier as Peer

from classifiers import RandomForestClassifier

from .draws import generator, numbers


def drawn_samples(rng):
    """Columns of all scales, offsets and shapes; some repeat, some are constant; values may be missing."""
    N, D = int(rng.choice([2, 7, 40, 300, 1500], p=[.05, .15, .3, .3, .2])), int(rng.integers(1, 6))
    shapes = [lambda: rng.normal(size=N), lambda: rng.lognormal(0, 3, N), lambda: rng.integers(0, 4, N) * 1.0,
              lambda: np.zeros(N), lambda: np.maximum(rng.normal(size=N), 0), lambda: rng.standard_cauchy(N),
              lambda: rng.permutation(N) * 1.0]
    X = np.stack([shapes[rng.integers(len(shapes))]() for _ in range(D)], axis=1)
    X *= 10.0 ** rng.integers(-30, 31, D) if rng.random() < 0.5 else 1
    X += rng.choice([0, 0, 1, 1e6, -1e9], D)
    if rng.random() < 0.2:
        X[:, -1] = X[:, 0]
    X = np.clip(X, -3e38, 3e38)
    rows = rng.random() < 0.2
    if rows:
        X = X[rng.integers(0, max(N // 2, 1), N)]
    if rng.random() < 0.3:
        X[rng.random(X.shape) < 0.1] = np.nan
    return X


def drawn_labels(rng, X):
    """Classes by chance, a rare one above a limit or in a band of a feature, or one sample of its own."""
    N, x = len(X), np.nan_to_num(X[:, 0], nan=0)
    kind = rng.integers(4)
    if kind == 0:
        y = rng.integers(0, rng.integers(2, 9), N)
    elif kind == 1:
        y = (x > np.sort(x)[-1 - N // 100 - 1]).astype(int)
    elif kind == 2:
        first = rng.integers(0, N)
        y = np.isin(np.arange(N), np.argsort(x, kind="stable")[first:first + 1 + N // 50]).astype(int)
    else:
        y = (np.arange(N) == rng.integers(N)).astype(int)
    y[:2] = 0, 1
    return y


def contained(rng, X, y):
    """Return the same samples and labels in another container, and how labels are read back."""
    X = [X, np.asfortranarray(X), X.tolist(), X.astype(object)][rng.integers(4)]
    names = np.array([f"class {k}" for k in range(9)])
    return X, [y, y.tolist(), y.astype(float), names[y], names[y].astype(object)][rng.integers(5)]


@pytest.mark.parametrize("number", numbers(120))
def test_trees_grown_to_the_end_know_all_samples_that_differ(number):
    rng = generator("forest", number)
    X = drawn_samples(rng)
    y = drawn_labels(rng, X)
    samples, labels = contained(rng, X, y)
    parameters = {"n_estimators": 3, "bootstrap": False, "random_state": number,
                  "criterion": str(rng.choice(["gini", "gini", "entropy"]))}
    weight = rng.integers(0, 3, len(X)) if rng.random() < 0.2 else None
    if weight is not None:
        weight[:2] = 1
    ours = RandomForestClassifier(**parameters).fit(samples, labels, weight)
    peer = Peer(**parameters).fit(X.astype(np.float32), labels, weight)
    used = np.ones(len(X), bool) if weight is None else weight > 0
    found, known = ours.predict_proba(samples)[used], peer.predict_proba(X.astype(np.float32))[used]
    code = np.searchsorted(ours.classes_, np.asarray(labels))[used]
    # Samples that nothing tells apart share a leaf, in which a class has its share; all others are known.
    rows = np.nan_to_num(X[used].astype(np.float32), nan=-3.4e38) + np.float32(0)
    _, same = np.unique(rows, axis=0, return_inverse=True)
    share = np.zeros((same.max() + 1, len(ours.classes_)))
    np.add.at(share, (same.ravel(), code), 1 if weight is None else weight[used])
    share = share / share.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, share[same.ravel()], rtol=1e-6, atol=1e-9)
    # scikit-learn takes values that differ by less than 1e-7 for equal, and so may know less.
    assert np.mean(found.argmax(axis=1) == code) >= np.mean(known.argmax(axis=1) == code)


@pytest.mark.parametrize("number", numbers(10))
def test_new_samples_are_classified_as_well_as_by_scikit_learn(number):
    """A rare class above a limit, in a band, or in the corner of two features, at any scale."""
    rng = generator("forest, new samples", number)
    N, rare, scale = 6000, rng.uniform(0.004, 0.05), 10.0 ** rng.integers(-30, 31)
    kind = rng.integers(3)

    def draw():
        X = rng.lognormal(0, 1, (N, 4))
        u, v = (np.argsort(np.argsort(X[:, f])) / N for f in (0, 1))
        y = [u > 1 - rare, np.abs(u - 0.6) < rare / 2, (u > 1 - rare**0.5) & (v > 1 - rare**0.5)][kind]
        return (X * scale).astype(np.float32), y.astype(int)

    (X, y), (new, expected) = draw(), draw()
    recalls = [(model.fit(X, y).predict(new)[expected == 1] == 1).mean() for model in (
        RandomForestClassifier(15, random_state=number), Peer(15, random_state=number))]
    assert recalls[0] > recalls[1] - 0.12, recalls


@pytest.mark.parametrize("number", numbers(20))
def test_samples_that_cannot_be_used_are_refused_in_words(number):
    rng = generator("forest, refused", number)
    X = rng.normal(size=(20, 3))
    y: object = np.arange(20) % 2
    place = int(rng.integers(20)), int(rng.integers(3))
    kind = number % 5
    if kind == 0:
        X[place] = rng.choice([np.inf, -np.inf, 1e39, -1e300])
    elif kind == 1:
        X = X.astype(object)
        X[place] = ["text", {}, [], 10**400, object()][rng.integers(5)]
    elif kind == 2:
        y = [1, 0.5, None, np.nan, "a"][rng.integers(5)]
    elif kind == 3:
        y = np.array([0, "a", None, 1.5, b"x"] * 4, object)
    else:
        X = X[:, :0] if rng.random() < 0.5 else X[:0]
    with pytest.raises((ValueError, TypeError)) as caught:      # TypeError: objects that are no numbers, as with peers
        RandomForestClassifier(2).fit(X, y)
    assert len(str(caught.value)) > 20 and caught.traceback[-1].path.name in ("inputs.py", "base.py", "validation.py")
