"""Random training sets for the SVM: its optimum is LIBSVM's, or it warned, or it refused with a ValueError.

Drawn are the units of the features and how far they lie from zero, duplicates, constants, rare classes, the containers
of samples and labels, the kernel function and all parameters that change the optimum. The dual objectives of both
libraries are recomputed with long doubles (`benchmarks.duals`), and the decision values from the coefficients.
"""
from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed (pip install 'scikit-learn>=1.9')")
pytest.importorskip("pandas", reason="pandas is not installed (pip install 'pandas>=2.2.3')")

import pandas as pd

from benchmarks import duals
from tests.fuzz.draws import generator, numbers

LIMIT = 100_000     # iterations of either library: an input that takes longer is warned of


def draw_samples(rng):
    """Return samples (n, d) in float64 whose features have any unit, and their classes (n,), each at least once."""
    n_classes, d = int(rng.integers(2, 5)), int(rng.integers(1, 7))
    n = int(rng.integers(n_classes, 60))
    shares = rng.dirichlet(np.ones(n_classes))                      # of the classes; some of them are rare
    y = np.concatenate([np.arange(n_classes), rng.choice(n_classes, n - n_classes, p=shares)])
    X = rng.normal(size=(n_classes, d))[y] * rng.choice([0.0, 1.0, 10.0]) + rng.normal(size=(n, d))
    if rng.random() < 0.2:
        X = np.round(X)                                             # a grid: equal samples, equal distances
    if rng.random() < 0.2:
        X[rng.integers(n, size=n // 2)] = X[rng.integers(n, size=n // 2)]   # duplicates, of other classes as well
    if rng.random() < 0.2:
        X[:, rng.integers(d)] = rng.normal()                        # a constant
    if rng.random() < 0.5:
        X = X * 10.0 ** rng.choice([0.0, rng.uniform(-30, 30), rng.uniform(-5, 5)])
    if rng.random() < 0.3:
        X = X * 10.0 ** rng.uniform(-6, 6, size=d)                  # each feature has a unit of its own
    if rng.random() < 0.4:
        X = X + np.abs(X).max() * rng.choice([-1, 1], size=d) * 10.0 ** rng.uniform(0, 6, size=d)
    if rng.random() < 0.15:
        X[rng.integers(n)] *= 10.0 ** rng.uniform(1, 12)            # one sample far from all others
    order = rng.permutation(n)
    return X[order], y[order]


def draw_parameters(rng, X):
    """Return the parameters of both libraries."""
    variance = float(X.var()) or 1.0
    kernel = str(rng.choice(["linear", "poly", "rbf", "sigmoid"]))
    gamma = rng.choice(np.array(["scale", "auto", "number"]), p=[0.5, 0.1, 0.4])
    if gamma == "number":
        gamma = 10.0 ** rng.uniform(-6, 6) / (X.shape[1] * variance)
        gamma = float(gamma) if np.isfinite(gamma) and gamma > 0 else 1.0
    return {"kernel": kernel, "gamma": gamma if isinstance(gamma, float) else str(gamma),
            "C": float(10.0 ** rng.uniform(-4, 6)), "degree": int(rng.integers(0, 6)),
            "coef0": float(rng.choice([0.0, 0.0, 1.0, 10.0])), "tol": float(rng.choice([1e-3, 1e-3, 1e-5])),
            "class_weight": rng.choice(np.array([None, None, "balanced"])), "max_iter": LIMIT}


def laplacian(A, B):
    """A kernel function that no name stands for."""
    return np.exp(-np.abs(np.asarray(A)[:, None] - np.asarray(B)[None]).sum(-1))


def in_a_container(rng, X):
    """Return the samples as a user may hold them."""
    as_container = [np.asarray, np.asfortranarray, np.ndarray.tolist, pd.DataFrame,
                    lambda X: np.repeat(X, 2, axis=0)[::2], lambda X: X.astype(">f8")]
    return as_container[rng.integers(len(as_container))](X)


def labels_of(rng, codes):
    """Return labels in the order of the codes, in a container of their own."""
    names = ["amphipod", "copepod", "diatom", "unknown"]
    words, few = np.array(names)[codes], np.array([-7, 0, 3, 100])[codes]
    as_labels = [lambda: codes, lambda: few, lambda: few.astype(np.int8), lambda: few.astype(float), lambda: words,
                 lambda: words.astype(object), lambda: words.tolist(), lambda: pd.Series(words),
                 lambda: pd.Series(few, index=few[::-1]), lambda: pd.Series(words).astype("category"),
                 lambda: codes > 0 if codes.max() == 1 else codes.astype(np.uint16)]
    return as_labels[rng.integers(len(as_labels))]()


def refused(call, X):
    """Return whether a call ends with a ValueError."""
    try:
        call(X)
    except ValueError:
        return True
    return False


def decisions_apart(machine, X, K, codes, strategy):
    """Return the largest difference between the decision values and those recomputed from the coefficients.

    Relative to the size of the value and of what is added up to it, of which float64 keeps 16 digits.
    """
    if strategy == "ovo" and codes.max() > 1:
        machine.set_params(decision_function_shape="ovo")
    found = np.asarray(machine.decision_function(X), dtype=np.longdouble).reshape(len(K), -1)
    worst = 0.0
    for k, (rows, _, beta) in enumerate(duals.binary_problems([machine], codes, strategy)):
        output = K[:, rows] @ beta.astype(np.longdouble) + machine.intercept_[k]
        size = 1 + np.abs(output) + 1e-10 * (np.abs(K[:, rows]) @ np.abs(beta) + abs(machine.intercept_[k]))
        worst = max(worst, float((np.abs(output - found[:, k]) / size).max()))
    return worst


def draw_problem(rng):
    """Return samples, classes, both forms of the kernel values, parameters, and whether the optimum is the only one."""
    X, codes = draw_samples(rng)
    parameters, other = draw_parameters(rng, X), rng.random()
    if other < 0.1:
        parameters["kernel"] = laplacian
        K = laplacian(X, X).astype(np.longdouble)
        return X, codes, K, K, parameters, True
    shape = {key: parameters[key] for key in ("kernel", "gamma", "degree", "coef0")}
    K, decisive = duals.gram(X, **shape), duals.gram(X, **shape, centred=False)
    if other < 0.2:
        parameters["kernel"], X = "precomputed", decisive.astype(np.float64)
        K = decisive = X.astype(np.longdouble)
    return X, codes, K, decisive, parameters, shape["kernel"] != "sigmoid"


@pytest.mark.parametrize("number", numbers(120))
def test_the_optimum_is_libsvms_or_something_was_said(number):
    rng = generator("svm", number)
    X, codes, K, decisive, parameters, convex = draw_problem(rng)
    strategy = str(rng.choice(["ovo", "ovr"]))
    weight = 10.0 ** rng.uniform(-2, 2, size=len(X)) if rng.random() < 0.2 else None
    if weight is not None or (strategy == "ovr" and codes.max() > 1):
        parameters["class_weight"] = None       # LIBSVM would weigh by other numbers: of samples, of two classes
    ours = duals.fit_ours(in_a_container(rng, X), codes, K, strategy, labels_of(rng, codes), weight, **parameters)
    if not np.isfinite(K.astype(np.float64)).all():
        assert ours.refused, "kernel values that are not finite have no optimum"
        return
    theirs = duals.fit_peer(X, codes, K, strategy, weight, **parameters)
    assert duals.wrong(ours, theirs, K, convex, parameters["tol"]) == "", (parameters, strategy, X.shape)
    if not ours.said and not refused(ours.machines[0].decision_function, X):
        assert decisions_apart(ours.machines[0], X, decisive, codes, strategy) < 1e-2, (parameters, strategy, X.shape)
