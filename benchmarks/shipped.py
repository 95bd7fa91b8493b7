"""Our SVM beside LIBSVM (scikit-learn's SVC) on every classification set that scikit-learn ships: the same optimum?

    python -m benchmarks shipped

Iris, wine, breast cancer and digits, raw and standardised, and iris in other units; four kernel functions, C from 1e-4
to 1e6, gamma "scale", "auto", 1e-4 and 1e2, one-vs-one and one-vs-rest. `benchmarks.duals` judges both solutions: the
dual objective of each binary problem and its largest KKT violation, recomputed from the coefficients with long doubles.
Both libraries have tol 1e-3, and stop a binary problem after 300,000 iterations (LIBSVM has no limit of its own).

Each set, form of its features, kernel function and gamma is a process of its own, and its results are kept in
``shipped.jsonl``: a run that was stopped goes on where it was. Delete it to measure anew.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks import duals
from benchmarks.harness import Options, measured, need, serve
from benchmarks.plots import BLUE, ORANGE, points
from benchmarks.tables import Table

TITLE = "SVM on the sets that scikit-learn ships, beside LIBSVM"
MODULE = "benchmarks.shipped"
SETS = ("iris", "wine", "breast_cancer", "digits")
KERNELS = ("linear", "poly", "rbf", "sigmoid")
C: tuple[float, ...] = (1e-4, 1e-2, 1.0, 1e2, 1e4, 1e6)
LIMIT = 300_000
GAMMA: tuple[str | float, ...] = ("scale", "auto", 1e-4, 1e2)

FEATURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "raw": lambda X: X,
    "standardised": lambda X: (X - X.mean(0)) / np.where(X.std(0) > 0, X.std(0), 1.0),
    "times 1e-30": lambda X: X * 1e-30,
    "times 1e30": lambda X: X * 1e30,
    "one times 1e6": lambda X: X * np.where(np.arange(X.shape[1]) == 2, 1e6, 1.0),
    "plus 1e6": lambda X: X + 1e6,
    "and a year": lambda X: np.c_[X, 1950 + np.arange(len(X)) * 37 % 70],
    "as coordinates": lambda X: X[:, :2] * 0.01 + np.array([48.85, 2.35]),
    "and a constant 1e9": lambda X: np.c_[X, np.full(len(X), 1e9)],
}
UNITS = tuple(FEATURES)[2:]


def samples(name: str, features: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples (n, d) and the classes (n,) of a set, with its features as one of `FEATURES`."""
    from sklearn import datasets

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return FEATURES[features](X), y


def compare(X: np.ndarray, y: np.ndarray, strategy: str, kernel: str, gamma: str | float, price: float,
            K: np.ndarray) -> dict[str, Any]:
    """Fit both libraries with ``C=price``, and return what the table says of the two."""
    ours, theirs = (fit(X, y, K, strategy, kernel=kernel, gamma=gamma, C=price, max_iter=LIMIT)
                    for fit in (duals.fit_ours, duals.fit_peer))
    silent = not ours.said
    both = silent and theirs.comparable()
    return {"C": price, "gamma": gamma, "strategy": strategy,
            "wrong": duals.wrong(ours, theirs, K, kernel != "sigmoid"), "said": ours.said, "refused": ours.refused,
            "peer_said": theirs.said, "lower": max(duals.shortfall(ours, theirs), 0.0) if both else None,
            "higher": max(duals.shortfall(theirs, ours), 0.0) if both else None,
            "violation": float(ours.violation.max()) if silent else None,
            "peer_violation": float(theirs.violation.max()) if theirs.comparable() else None,
            "accuracy": None if ours.refused else ours.accuracy(X, y),
            "peer_accuracy": theirs.accuracy(X, y) if theirs.comparable() else None,
            "seconds": ours.seconds, "peer_seconds": theirs.seconds}


def child(task: dict[str, Any]) -> dict[str, Any]:
    """Return the comparisons of one set, one form of its features, one kernel function and one gamma."""
    X, y = samples(task["set"], task["features"])
    kernel, gamma = task["kernel"], task["gamma"]
    tiny = np.array([[0.0], [1.0]])                                         # loads what was compiled
    compare(tiny, np.array([0, 1]), "ovo", kernel, 1.0, 1.0, duals.gram(tiny, kernel, 1.0))
    K = duals.gram(X, kernel, gamma)
    fits = [compare(X, y, strategy, kernel, gamma, price, K)
            for price in task["C"] for strategy in ("ovo", "ovr")[:min(2, int(y.max()))]]
    return {"fit": sum(one["seconds"] for one in fits), "fits": fits}


def measure(options: Options) -> dict[str, Any]:
    """Return the comparisons of all sets, forms of features and kernel functions, each a line of the table."""
    need("sklearn")
    pairs = [(name, features) for name in SETS for features in ("raw", "standardised")]
    pairs += [("iris", features) for features in UNITS]
    prices, gammas = C, GAMMA
    if options.quick:
        pairs, prices, gammas = pairs[1:2], C[2:3], GAMMA[:1]
    lines = []
    for name, features in pairs:
        for kernel in KERNELS:
            line = {"set": name, "features": features, "kernel": kernel}
            parts = [measured(MODULE, {**line, "gamma": gamma, "C": list(prices)}, options)
                     for gamma in (gammas if kernel != "linear" else gammas[:1])]
            lines.append({**line, "fits": [one for part in parts for one in part["fits"]]})
    return {"correctness": correctness(lines), "lines": lines}


def correctness(lines: list[dict[str, Any]]) -> list[str]:
    """Return how many fits there were, and each of ours that is silently wrong."""
    fits = [(line, one) for line in lines for one in line["fits"]]
    wrong = [f"{line['set']} {line['features']}, {line['kernel']}, {one['strategy']}, C={one['C']:g}, "
             f"gamma={one['gamma']}: {one['wrong']}" for line, one in fits if one["wrong"]]
    return [f"of {len(fits)} fits, {sum(bool(one['said']) and not one['refused'] for _, one in fits)} warned, "
            f"{sum(one['refused'] for _, one in fits)} were refused, and {len(wrong)} are silently wrong; LIBSVM "
            f"stopped early in {sum(bool(one['peer_said']) for _, one in fits)}", *wrong]


def most(fits: list[dict[str, Any]], key: str) -> str:
    """Return the largest of the values that are there, as text.

    Examples
    --------
    >>> most([{"lower": 1e-5}, {"lower": None}, {"lower": 3e-4}], "lower"), most([{"lower": None}], "lower")
    ('3e-04', '')
    """
    values = [one[key] for one in fits if one[key] is not None]
    return f"{max(values):.0e}" if values else ""


def mean(fits: list[dict[str, Any]], key: str) -> str:
    """Return the mean of the values that are there, as text."""
    values = [one[key] for one in fits if one[key] is not None]
    return f"{np.mean(values):.4f}" if values else ""


def tables(found: dict[str, Any], ceilings: dict[str, Any]) -> list[Table]:
    """Return the table of all lines."""
    rows = []
    for line in found["lines"]:
        fits = line["fits"]
        rows.append([line["set"].replace("_", " "), line["features"], line["kernel"], str(len(fits)),
                     str(sum(bool(one["wrong"]) for one in fits)),
                     str(sum(bool(one["said"]) and not one["refused"] for one in fits)),
                     str(sum(one["refused"] for one in fits)), str(sum(bool(one["peer_said"]) for one in fits)),
                     most(fits, "lower"), most(fits, "higher"), most(fits, "violation"), most(fits, "peer_violation"),
                     mean(fits, "accuracy"), mean(fits, "peer_accuracy"),
                     f"{sum(one['seconds'] for one in fits):.1f}", f"{sum(one['peer_seconds'] for one in fits):.1f}"])
    return [Table("fits of both strategies, all C and all gamma; dual objectives of ours relative to LIBSVM's; "
                  "training accuracies are means, seconds are sums", (
                      "set", "features", "kernel function", "fits", "silently wrong", "warned", "refused",
                      "LIBSVM warned", "lower by", "higher by", "KKT violation", "LIBSVM", "accuracy", "LIBSVM",
                      "seconds", "LIBSVM"), rows)]


def draw(found: dict[str, Any], ceilings: dict[str, Any]) -> Figure:
    """Draw the seconds of each line."""
    lines = found["lines"]
    figure = Figure(figsize=(8, 1.5 + 0.3 * len(lines)), layout="constrained")
    names = [f"{line['set']} {line['features']}, {line['kernel']}" for line in lines]
    seconds = [[[sum(one[key] for one in line["fits"])] for line in lines] for key in ("seconds", "peer_seconds")]
    points(figure.subplots(), names, {"minicnn": (seconds[0], BLUE), "LIBSVM": (seconds[1], ORANGE)},
           "seconds of all fits")
    return figure


if __name__ == "__main__":
    serve(child)
