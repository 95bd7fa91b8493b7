"""Our random forest beside scikit-learn's: accuracy, time, memory, and how they grow with samples and classes.

    python -m benchmarks forest --plankton plankton:PATH --mnist mnist:PATH

Same data, same parameters (400 trees, two threads, sqrt(D) features a node, bootstrap). Each fit is a process of its
own, so that its peak memory is its own, and the two libraries alternate, round by round, each round with a seed of
its own. Kernels are compiled, and loaded from disk, before the clock starts; binning is part of the fit. Results are
written to ``forest.jsonl`` as they come: a run that was stopped goes on where it was. Delete it to measure anew.
"""
from __future__ import annotations

import pickle
import statistics
import time
import warnings
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks import problems
from benchmarks.harness import Options, PeakMemory, Rounds, measured, median, need, ratio, serve
from benchmarks.plots import BLUE, ORANGE, points
from benchmarks.tables import Table

TITLE = "Random forest, beside scikit-learn"
ROUNDS = {"layer2": 3, "layer1": 3}                     # 5 for the others
SAMPLES = (5_000, 20_000, 50_000, 100_000, 200_000)     # with 64 features and 100 classes
CLASSES = (2, 10, 100, 1_000)                           # with 20,000 samples of 64 features
MODULE = "benchmarks.forest"
LIBRARIES = ("minicnn", "scikit-learn")


def estimator(library: str, trees: int, jobs: int, seed: int) -> Any:
    """Return an unfitted forest of one of the two libraries."""
    if library == "minicnn":
        from classifiers import RandomForestClassifier
        return RandomForestClassifier(trees, n_jobs=jobs, random_state=seed)
    from sklearn.ensemble import RandomForestClassifier as Peer
    return Peer(trees, n_jobs=jobs, random_state=seed)


def visits(tree: Any) -> int:
    """Return how often a sample took part in a split: the work of growing a tree, apart from features tried."""
    return int(tree.n_node_samples[tree.children_left >= 0].sum())


def child(task: dict[str, Any]) -> dict[str, Any]:
    """Fit one forest, and return what there is to know of it; its ``details`` too if the task asks for them."""
    X, y, X_test, y_test = problems.read(task["problem"])
    warm = estimator(task["library"], 2, 1, 0).fit(X[:200], y[:200])        # loads what was compiled
    warm.predict_proba(X_test[:20])
    forest = estimator(task["library"], task["trees"], task["jobs"], task["seed"])
    with PeakMemory() as peak:
        start = time.perf_counter()
        forest.fit(X, y)
        fit = time.perf_counter() - start
    rows = X_test[:3800]
    times = []
    for _ in range(3):
        start = time.perf_counter()
        found = forest.predict(rows)
        times.append(time.perf_counter() - start)
    trees = [getattr(tree, "tree_", tree) for tree in forest.estimators_]
    result = {"fit": fit, "peak": peak.bytes, "predict": statistics.median(times),
              "accuracy": float(np.mean(found == y_test[:3800])), "nodes": int(sum(tree.node_count for tree in trees)),
              "visits": int(sum(map(visits, trees))), "importances": forest.feature_importances_.tolist()}
    if len(X_test) > 3800:
        result["accuracy"] = float(np.mean(forest.predict(X_test) == y_test))
    if task["details"] and task["seed"] == 0:
        result["pickled"] = len(pickle.dumps(forest))
        result["in_memory"] = forest.ensemble_.nbytes if task["library"] == "minicnn" else \
            sum(tree.__getstate__()["nodes"].nbytes + tree.value.nbytes for tree in trees)
    if task["details"] and task["library"] == "minicnn":
        with warnings.catch_warnings(action="ignore"):      # that there are no trees to add
            result["oob"] = float(forest.set_params(oob_score=True, warm_start=True).fit(X, y).oob_score_)
    return result


def measure(options: Options) -> dict[str, Any]:
    """Return the rounds of each problem, and the curves over samples and classes."""
    need("sklearn")
    trees = 5 if options.quick else 400

    def pair(problem: str, **task: Any) -> list[dict[str, Any]]:
        task = {"problem": problem, "jobs": min(2, max(options.threads)), **task}
        return [measured(MODULE, {**task, "library": library}, options) for library in LIBRARIES]

    rounds = {problem: [pair(problem, trees=trees, seed=seed, details=True)
                        for seed in range(max(2, options.rounds_or(ROUNDS.get(problem, 5))))]     # for a deviation
              for problem in problems.prepare(options)}
    sizes = [(300, 5)] if options.quick else [(N, 100) for N in SAMPLES] + [(20_000, K) for K in CLASSES]
    growth = [{"samples": N, "classes": K,
               "pair": pair(f"made:{N}:64:{K}", trees=min(trees, 20), seed=0, details=False)} for N, K in sizes]
    return {"problems": rounds, "growth": growth, "trees": trees}


def accuracy_row(problem: str, results: Rounds) -> list[str]:
    """Return the accuracies of both, their difference in standard errors, and how alike the importances are."""
    from scipy.stats import spearmanr

    ours, theirs = (np.array([pair[k]["accuracy"] for pair in results]) for k in (0, 1))
    error = np.sqrt(ours.var(ddof=1) / len(ours) + theirs.var(ddof=1) / len(theirs))
    oob = np.mean([pair[0]["oob"] for pair in results])
    rank = spearmanr(*(np.mean([pair[k]["importances"] for pair in results], axis=0) for k in (0, 1))).statistic
    one = spearmanr(results[0][0]["importances"], results[0][1]["importances"]).statistic
    apart = f"{(ours.mean() - theirs.mean()) / error:+.2f}" if error else "equal"
    return [problem, *(f"{each.mean():.4f} ({each.std(ddof=1):.4f})" for each in (ours, theirs)), apart, f"{oob:.4f}",
            f"{one:.3f}", f"{rank:.3f}"]


def speed_row(problem: str, results: Rounds) -> list[str]:
    """Return times and memory of both, and the ratios of pairs."""
    row = [problem]
    for key, digits, unit in (("fit", 2, 1.0), ("predict", 3, 1.0), ("peak", 0, 1e6)):
        row += [*(f"{median(results, k, key) / unit:,.{digits}f}" for k in (0, 1)), ratio(results, key)]
    ours, theirs = results[0]
    for key in ("in_memory", "pickled"):
        row += [f"{ours[key] / 1e6:,.0f}", f"{theirs[key] / ours[key]:.1f}"]
    return row


def growth_row(point: dict[str, Any]) -> list[str]:
    """Return the time of one size: of a fit, and of a sample's visit to a split."""
    seconds = [one["fit"] for one in point["pair"]]
    return [f"{point['samples']:,}", f"{point['classes']:,}", *(f"{fit:.2f}" for fit in seconds),
            f"{seconds[1] / seconds[0]:.1f}", *(f"{one['fit'] / one['visits'] * 1e9:,.1f}" for one in point["pair"])]


def tables(found: dict[str, Any], ceilings: dict[str, Any]) -> list[Table]:
    """Return the tables of accuracy, of speed and memory, and of growth."""
    pairs = found["problems"].items()
    return [
        Table("test accuracy, mean (standard deviation) over seeds; the difference in standard errors; accuracy out of "
              "bag of minicnn; rank correlation of importances, of one forest and of the mean of all", (
                  "problem", "minicnn", "scikit-learn", "difference", "out of bag", "one", "all"),
              [accuracy_row(*pair) for pair in pairs]),
        Table(f"{found['trees']} trees, medians; ratios scikit-learn : ours, median (min-max) over rounds; peak memory "
              "is that of the fit beyond the data", (
                  "problem", "fit, s", "scikit-learn", "ratio", "predict, s", "scikit-learn", "ratio", "peak, MB",
                  "scikit-learn", "ratio", "forest, MB", "ratio", "file, MB", "ratio"),
              [speed_row(*pair) for pair in pairs]),
        Table("growth: seconds of a fit with 64 features, and ns of a visit, a sample in a split", (
            "samples", "classes", "minicnn", "scikit-learn", "ratio", "visit, ns", "scikit-learn"),
              [growth_row(point) for point in found["growth"]])]


def draw(found: dict[str, Any], ceilings: dict[str, Any]) -> Figure:
    """Draw the time of a fit on each problem."""
    pairs = found["problems"]
    figure = Figure(figsize=(8, 1.5 + 0.7 * len(pairs)), layout="constrained")
    seconds = [[[pair[k]["fit"] for pair in results] for results in pairs.values()] for k in (0, 1)]
    points(figure.subplots(), list(pairs), {"minicnn": (seconds[0], BLUE), "scikit-learn": (seconds[1], ORANGE)},
           f"seconds of a fit of {found['trees']} trees")
    return figure


if __name__ == "__main__":
    serve(child)
