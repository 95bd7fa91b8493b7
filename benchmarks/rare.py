"""What is rare: does our random forest find it as scikit-learn's does, and as with thresholds between all values?

    python -m benchmarks rare --plankton plankton:PATH

Accuracy, macro F1 and the recall of the rarest class, means over seeds, of the default forest, of ``max_bins=None`` and
of scikit-learn's, on the classification sets that scikit-learn ships, on events made up to be rare, and on the paper's
features of layer 3. Every third sample of a shipped set is a test sample; made-up sets are drawn twice.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks import problems
from benchmarks.harness import Options, need
from benchmarks.plots import BLUE, ORANGE, points
from benchmarks.tables import Table

TITLE = "Random forest: rare classes"
MODELS = ("default", "max_bins=None", "scikit-learn")
SHIPPED = ("iris", "wine", "breast_cancer", "digits")
MADE = ("above a limit", "in a band", "in a corner", "four rare classes", "blobs, 1 of 100", "heavy tails",
        "many duplicates")


def made(name: str, N: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw N samples of a problem with a class that about 1 of 400 samples has, of blobs 1 of 100."""
    X = rng.lognormal(0, 1, (N, 4))
    if name == "above a limit":
        return X, (X[:, 0] > 16.5).astype(int)                                      # exp(2.81), the normal's quantile
    if name == "in a band":
        return X, (np.abs(X[:, 0] - 1) < 0.0031).astype(int)
    if name == "in a corner":
        return X, ((X[:, 0] > 5.18) & (X[:, 1] > 5.18)).astype(int)                 # 0.05 of each
    if name == "four rare classes":
        return X, (np.arange(1, 5) * (X > 16.5)).max(axis=1)
    if name == "blobs, 1 of 100":
        y = (rng.random(N) < 0.01).astype(int)
        return rng.normal(size=(N, 4)) + 2 * y[:, None], y
    if name == "heavy tails":
        X = rng.standard_cauchy((N, 4))
        return X, (X[:, 0] > 127.3).astype(int)
    X = np.floor(X * 20)
    return X, (X[:, 0] == 20).astype(int) * (X[:, 1] > 30)


def parts(name: str, options: Options) -> tuple[Any, Any, Any, Any]:
    """Return X, y, X_test and y_test of a problem."""
    if name in SHIPPED:
        from sklearn import datasets

        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        held = np.arange(len(y)) % 3 == 0
        return X[~held], y[~held], X[held], y[held]
    if name in MADE:
        rng = np.random.default_rng(MADE.index(name))
        N = 2_000 if options.quick else 40_000
        return *made(name, N, rng), *made(name, N, rng)
    return problems.read(name)


def scores(name: str, options: Options) -> dict[str, Any]:
    """Return accuracy, macro F1 and the rarest class's recall of each model, means over seeds."""
    from sklearn.ensemble import RandomForestClassifier as Peer
    from sklearn.metrics import f1_score

    from classifiers import RandomForestClassifier

    X, y, X_test, y_test = parts(name, options)
    X, X_test = X.astype(np.float32), X_test.astype(np.float32)
    classes, counts = np.unique(y, return_counts=True)
    rarest = classes[counts.argmin()]
    found: dict[str, Any] = {"name": name, "rare": int(counts.min()), "samples": len(y)}
    for model in MODELS:
        lines = []
        for seed in range(options.rounds_or(3 if name in MADE else 5)):
            parameters: dict[str, Any] = {"n_estimators": 5 if options.quick else 50, "random_state": seed,
                          "n_jobs": max(options.threads)}
            forest: Any = Peer(**parameters) if model == "scikit-learn" else RandomForestClassifier(
                **parameters, max_bins=255 if model == "default" else None)
            answer = forest.fit(X, y).predict(X_test)
            lines.append([np.mean(answer == y_test), f1_score(y_test, answer, average="macro", zero_division=0),
                          np.mean(answer[y_test == rarest] == rarest)])
        found[model] = np.mean(lines, axis=0).tolist()
    return found


def measure(options: Options) -> dict[str, Any]:
    """Return the scores of all problems."""
    need("sklearn")
    real = [name for name in problems.prepare(options) if name == "layer3"]
    return {"problems": [scores(name, options) for name in (*SHIPPED, *MADE, *real)]}


def tables(found: dict[str, Any], ceilings: dict[str, Any]) -> list[Table]:
    """Return the table of scores."""
    columns = [f"{what}, {model}" for what in ("accuracy", "macro F1", "rarest recall") for model in MODELS]
    rows = [[f"{each['name']} ({each['rare']} of {each['samples']:,})",
             *(f"{each[model][k]:.3f}" for k in range(3) for model in MODELS)] for each in found["problems"]]
    return [Table("test scores, means over seeds; behind the name: training samples of the rarest class",
                  ("problem", *columns), rows)]


def draw(found: dict[str, Any], ceilings: dict[str, Any]) -> Figure:
    """Draw the macro F1 of the default forest and of scikit-learn's."""
    each = found["problems"]
    figure = Figure(figsize=(8, 1.5 + 0.4 * len(each)), layout="constrained")
    points(figure.subplots(), [one["name"] for one in each], {
        "minicnn": ([[one["default"][1]] for one in each], BLUE),
        "scikit-learn": ([[one["scikit-learn"][1]] for one in each], ORANGE)}, "macro F1")
    return figure
