"""Our random forest beside scikit-learn's: accuracy, time, memory, and how they grow with samples and classes.

    python -m benchmarks.bench_forest --plankton plankton:PATH --mnist mnist:PATH

Same data, same parameters (400 trees, two threads, sqrt(D) features a node, bootstrap). Each fit is a process of its
own, so that its peak memory is its own, and the two libraries alternate, round by round, each round with a seed of
its own. Kernels are compiled, and loaded from disk, before the clock starts; binning is part of the fit. Results are
written to ``--out`` as they come: a run that was stopped goes on where it was, and the tables are printed from it.
"""
from __future__ import annotations

import argparse
import json
import pickle
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import problems
from benchmarks.harness import PeakMemory, Rounds, add_options, measure, median, print_machine, ratio

ROUNDS = {"layer3": 5, "layer2": 3, "layer1": 3, "pixels": 5, "copepods": 5, "mnist": 5}
SAMPLES = (5_000, 20_000, 50_000, 100_000, 200_000)     # with 64 features and 100 classes
CLASSES = (2, 10, 100, 1_000)                           # with 20,000 samples of 64 features
MODULE = "benchmarks.bench_forest"
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


def child(task: dict[str, Any], folder: Path) -> None:
    """Fit one forest, and print what there is to know of it as JSON."""
    X, y, X_test, y_test = problems.read(folder, task["problem"])
    warm = estimator(task["library"], 2, 1, 0).fit(X[:200], y[:200])        # loads what was compiled
    warm.predict_proba(X_test[:20])
    forest = estimator(task["library"], task["trees"], task["jobs"], task["seed"])
    with PeakMemory() as peak:
        start = time.perf_counter()
        forest.fit(X, y)
        fit = time.perf_counter() - start
    result = {**task, "fit": fit, "peak": peak.bytes}
    rows = X_test[:3800]
    times = []
    for _ in range(3):
        start = time.perf_counter()
        found = forest.predict(rows)
        times.append(time.perf_counter() - start)
    result |= {"predict": statistics.median(times), "accuracy": float(np.mean(found == y_test[:3800])),
               "nodes": int(sum(getattr(tree, "tree_", tree).node_count for tree in forest.estimators_)),
               "visits": int(sum(visits(getattr(tree, "tree_", tree)) for tree in forest.estimators_)),
               "importances": forest.feature_importances_.tolist()}
    if len(X_test) > 3800:
        result["accuracy"] = float(np.mean(forest.predict(X_test) == y_test))
    if task["seed"] == 0 and "made" not in task["problem"]:
        result["pickled"] = len(pickle.dumps(forest))
        result["in_memory"] = forest.ensemble_.nbytes if task["library"] == "minicnn" else \
            sum(tree.tree_.__getstate__()["nodes"].nbytes + tree.tree_.value.nbytes for tree in forest.estimators_)
    if task["library"] == "minicnn" and "made" not in task["problem"]:
        with warnings.catch_warnings(action="ignore"):      # that there are no trees to add
            result["oob"] = forest.set_params(oob_score=True, warm_start=True).fit(X, y).oob_score_
    print(json.dumps(result))


def pairs(problem: str, options: argparse.Namespace) -> Rounds:
    """Return the results of both libraries, round by round."""
    task = {"problem": problem, "trees": options.trees, "jobs": 2}
    return [[measure(MODULE, {**task, "library": library, "seed": seed}, options) for library in LIBRARIES]
            for seed in range(ROUNDS[problem])]


def report_accuracy(problem: str, results: Rounds) -> None:
    """Print the accuracies of both, their difference in standard errors, and how alike the importances are."""
    from scipy.stats import spearmanr

    ours, theirs = (np.array([pair[k]["accuracy"] for pair in results]) for k in (0, 1))
    error = np.sqrt(ours.var(ddof=1) / len(ours) + theirs.var(ddof=1) / len(theirs))
    oob = np.mean([pair[0]["oob"] for pair in results])
    rank = spearmanr(*(np.mean([pair[k]["importances"] for pair in results], axis=0) for k in (0, 1))).statistic
    one = spearmanr(results[0][0]["importances"], results[0][1]["importances"]).statistic
    print(f"{problem:<10}{ours.mean():9.4f} ({ours.std(ddof=1):.4f}){theirs.mean():9.4f} ({theirs.std(ddof=1):.4f})"
          f"{(ours.mean() - theirs.mean()) / error:+8.2f}{oob:9.4f}{one:9.3f}{rank:9.3f}")


def report_speed(problem: str, results: Rounds) -> None:
    """Print times, memory and sizes of both, and the ratios of pairs."""
    print(f"{problem:<10}{median(results, 0, 'fit'):8.1f}{median(results, 1, 'fit'):8.1f}{ratio(results, 'fit'):>20}"
          f"{median(results, 0, 'predict'):8.3f}{median(results, 1, 'predict'):8.3f}{ratio(results, 'predict'):>20}"
          f"{median(results, 0, 'peak') / 1e6:9.0f}{median(results, 1, 'peak') / 1e6:9.0f}"
          f"{ratio(results, 'peak'):>18}"
          f"{results[0][0]['in_memory'] / 1e6:9.0f}{results[0][1]['in_memory'] / results[0][0]['in_memory']:7.1f}"
          f"{results[0][0]['pickled'] / 1e6:9.0f}{results[0][1]['pickled'] / results[0][0]['pickled']:7.1f}")


def report_growth(options: argparse.Namespace) -> None:
    """Print the curves over samples and over classes."""
    print(f"\ntime of a fit of {options.growth_trees} trees in s\n{'samples':>9}{'classes':>9}{'minicnn':>10}"
          f"{'sklearn':>10}{'ratio':>8}{'per visit, ns':>15}{'sklearn':>10}   (a visit: a sample in a split)")
    for N, K in [(N, 100) for N in SAMPLES] + [(20_000, K) for K in CLASSES]:
        task = {"problem": f"made:{N}:64:{K}", "jobs": 2, "seed": 0, "trees": options.growth_trees}
        ours, theirs = (measure(MODULE, {**task, "library": library}, options) for library in LIBRARIES)
        visit = [result["fit"] / result["visits"] * 1e9 for result in (ours, theirs)]
        print(f"{N:>9}{K:>9}{ours['fit']:>10.2f}{theirs['fit']:>10.2f}{theirs['fit'] / ours['fit']:>8.1f}"
              f"{visit[0]:>15.1f}{visit[1]:>10.1f}")


def main() -> None:
    """Measure what is not measured yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", choices=problems.NAMES, default=list(problems.NAMES))
    parser.add_argument("--trees", type=int, default=400)
    parser.add_argument("--growth-trees", type=int, default=20, help="for the curves; 0: no curves")
    add_options(parser, "bench_forest")
    options = parser.parse_args()
    if options.child:
        child(json.loads(options.child), options.folder)
        return
    print_machine()
    problems.prepare(options.folder, options.plankton, options.mnist)
    results = {name: pairs(name, options) for name in options.problems}
    print(f"\ntest accuracy, mean (std) over seeds; difference in standard errors; out-of-bag accuracy of minicnn; "
          f"rank correlation of importances, one forest and the mean of all\n{'problem':<10}{'minicnn':>17}"
          f"{'sklearn':>17}{'diff':>9}{'oob':>9}{'one':>9}{'all':>9}")
    for name, pair in results.items():
        report_accuracy(name, pair)
    print(f"\nmedians; ratios theirs : ours, median (min-max) over rounds\n{'problem':<10}{'fit, s':>8}{'sklearn':>8}"
          f"{'ratio':>20}{'predict':>8}{'sklearn':>8}{'ratio':>20}{'peak, MB':>9}{'sklearn':>9}{'ratio':>18}"
          f"{'size, MB':>9}{'ratio':>7}{'file, MB':>9}{'ratio':>7}")
    for name, pair in results.items():
        report_speed(name, pair)
    if options.growth_trees:
        report_growth(options)


if __name__ == "__main__":
    main()
