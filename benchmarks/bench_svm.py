"""Our support vector machine beside LIBSVM (scikit-learn's SVC): the same optimum, time, memory, and growth.

    python -m benchmarks.bench_svm --plankton plankton:PATH --mnist mnist:PATH

RBF kernel, C = 10, gamma "scale", tol 1e-3, cache of 200 MB for both unless a line says otherwise. One-vs-one against
SVC, one-vs-rest against OneVsRestClassifier(SVC), and LinearSVC for context. Each fit is a process of its own, and the
libraries alternate. Correctness comes first: the dual objective of every binary problem, recomputed in float64 from
either solution, and the share of test rows on which predictions are equal (both decide equal votes of the pairs by the
sum of decisions then; timed is scikit-learn's faster default, the first class). LIBSVM has one thread; ours is shown on
one and on two. Results are written to ``--out`` as they come, and a run that was stopped goes on where it was.
"""
from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import problems
from benchmarks.harness import PeakMemory, Rounds, add_options, measure, median, print_machine, ratio

MODULE = "benchmarks.bench_svm"
SAME = ("layer3", "pixels", "mnist")                    # where solutions are compared
SAMPLES = (5_000, 10_000, 20_000, 40_000)               # with 64 features and 100 classes
CLASSES = (2, 10, 100, 300)                             # with 10,000 samples of 64 features
SPEED = [   # problem, strategy, jobs of ours, jobs of the peer
    ("layer3", "ovo", 1, 1), ("layer3", "ovo", 2, 1), ("layer2", "ovo", 1, 1), ("layer2", "ovo", 2, 1),
    ("layer3", "ovr", 1, 1), ("layer3", "ovr", 2, 2), ("copepods", "ovo", 1, 1)]
MEMORY = [  # problem, strategy, cache in MB
    ("layer3", "ovo", 200), ("layer3", "ovo", 1000), ("layer3", "ovr", 200), ("layer3", "ovr", 1000),
    ("made:100000:64:100", "ovo", 200), ("made:100000:64:2", "ovo", 200)]


def estimator(task: dict[str, Any]) -> Any:
    """Return an unfitted machine of one of the libraries."""
    if task["library"] == "minicnn":
        from classifiers import SVC
        return SVC(C=10.0, strategy=task["strategy"], n_jobs=task["jobs"], cache_size=task.get("cache", 200))
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import SVC as Peer
    from sklearn.svm import LinearSVC
    if task["library"] == "LinearSVC":
        return LinearSVC()
    peer = Peer(C=10.0, cache_size=task.get("cache", 200))
    return peer if task["strategy"] == "ovo" else OneVsRestClassifier(peer, n_jobs=task["jobs"])


def child(task: dict[str, Any], folder: Path) -> None:
    """Fit one machine, and print what there is to know of it as JSON."""
    X, y, X_test, y_test = problems.read(folder, task["problem"])
    if task["problem"] == "mnist":
        X, y, X_test, y_test = X[:10_000], y[:10_000], X_test[:3800], y_test[:3800]
    few = np.concatenate([np.flatnonzero(y == label)[:5] for label in np.unique(y)[:8]])
    with warnings.catch_warnings(action="ignore"):                          # loads what was compiled
        estimator({**task, "jobs": 1}).fit(X[few], y[few]).predict(X[few])
        machine = estimator(task)
        with PeakMemory() as peak:
            start = time.perf_counter()
            machine.fit(X, y)
            fit = time.perf_counter() - start
    times = []
    for _ in range(3 if task["library"] == "minicnn" else 1):
        start = time.perf_counter()
        found = machine.predict(X_test[:3800])
        times.append(time.perf_counter() - start)
    result = {**task, "fit": fit, "peak": peak.bytes, "predict": statistics.median(times),
              "accuracy": float(np.mean(found == y_test[:3800])), "found": found.tolist()}
    if task["problem"] in SAME and task["round"] == 0 and task["library"] != "LinearSVC":
        if hasattr(machine, "break_ties"):      # scikit-learn times without it: equal votes go to the first class
            found = machine.set_params(break_ties=True).predict(X_test[:3800])
            result |= {"found": found.tolist(), "accuracy": float(np.mean(found == y_test[:3800]))}
        result["dual"] = dual_objectives(machine, X, y, task).tolist()
    print(json.dumps(result))


def dual_objectives(machine: Any, X: np.ndarray, y: np.ndarray, task: dict[str, Any]) -> np.ndarray:
    """Return the dual objective of each binary problem, recomputed in float64 from the coefficients."""
    from classifiers.svm.certificates import certify
    from classifiers.svm.kernels import Kernel

    order = np.argsort(y, kind="stable")
    place = np.empty(len(y), np.int64)
    place[order] = np.arange(len(y))
    starts = np.searchsorted(y[order], np.append(np.unique(y), y.max() + 1))
    if hasattr(machine, "estimators_"):                 # OneVsRestClassifier: a machine for each class
        coef = np.zeros((len(machine.estimators_), len(y)))
        for k, one in enumerate(machine.estimators_):
            coef[k, place[one.support_]] = one.dual_coef_[0]
        intercept = np.array([one.intercept_[0] for one in machine.estimators_])
    else:
        coef = np.zeros((len(machine.dual_coef_), len(y)))
        coef[:, place[machine.support_]] = machine.dual_coef_
        intercept = machine.intercept_
    support = np.flatnonzero(coef.any(axis=0))
    kernel = Kernel("rbf", 1 / (X.shape[1] * float(X.astype(np.float64).var())), 3, 0.0)
    return certify(kernel, X[order], starts, np.full(len(y), 10.0), support, coef[:, support], intercept,
                   task["strategy"])["dual"]


def pair(problem: str, strategy: str, jobs: int, peer_jobs: int, round: int, options: argparse.Namespace,
         **extra: Any) -> list[dict[str, Any]]:
    """Return the results of both libraries in one round."""
    task = {"problem": problem, "strategy": strategy, "round": round, **extra}
    return [measure(MODULE, {**task, "library": "minicnn", "jobs": jobs}, options),
            measure(MODULE, {**task, "library": "LIBSVM", "jobs": peer_jobs}, options)]


def report_same(options: argparse.Namespace) -> None:
    """Print how far objectives, predictions and accuracies are apart."""
    print(f"\n{'problem':<10}{'strategy':<10}{'problems':>9}{'objective, largest relative difference':>40}"
          f"{'equal predictions':>19}{'accuracy':>10}{'LIBSVM':>9}")
    for problem, strategy in [(problem, "ovo") for problem in SAME] + [("layer3", "ovr")]:
        ours, theirs = pair(problem, strategy, 1, 1, 0, options)
        a, b = np.array(ours["dual"]), np.array(theirs["dual"])
        equal = np.mean(np.array(ours["found"]) == np.array(theirs["found"]))
        print(f"{problem:<10}{strategy:<10}{len(a):>9}{np.max(np.abs(a - b) / np.abs(b)):>40.1e}{equal:>19.4%}"
              f"{ours['accuracy']:>10.4f}{theirs['accuracy']:>9.4f}")
    linear = measure(MODULE, {"problem": "layer3", "strategy": "ovr", "round": 0, "library": "LinearSVC", "jobs": 1},
                     options)
    print(f"LinearSVC on layer3, for context: fit {linear['fit']:.1f} s, accuracy {linear['accuracy']:.4f}")


def report_speed(options: argparse.Namespace) -> None:
    """Print times and memory of both, and the ratios of pairs."""
    print(f"\nmedians in s; ratios theirs : ours, median (min-max) over rounds\n{'problem':<10}{'strategy':<9}"
          f"{'threads':<9}{'fit':>7}{'LIBSVM':>8}{'ratio':>18}{'predict':>9}{'LIBSVM':>8}{'ratio':>18}{'peak, MB':>9}"
          f"{'LIBSVM':>8}")
    for problem, strategy, jobs, peer_jobs in SPEED:
        results: Rounds = [pair(problem, strategy, jobs, peer_jobs, round, options) for round in range(options.rounds)]
        print(f"{problem:<10}{strategy:<9}{f'{jobs} : {peer_jobs}':<9}{median(results, 0, 'fit'):7.2f}"
              f"{median(results, 1, 'fit'):8.1f}{ratio(results, 'fit'):>18}{median(results, 0, 'predict'):9.3f}"
              f"{median(results, 1, 'predict'):8.1f}{ratio(results, 'predict'):>18}"
              f"{median(results, 0, 'peak') / 1e6:9.0f}{median(results, 1, 'peak') / 1e6:8.0f}", flush=True)


def report_memory(options: argparse.Namespace) -> None:
    """Print the peak memory of fits, beyond the data, beside what they were allowed."""
    print(f"\n{'problem':<20}{'strategy':<9}{'cache, MB':>10}{'peak of the fit, MB':>21}{'of it coefficients':>20}")
    for problem, strategy, cache in MEMORY:
        task = {"problem": problem, "strategy": strategy, "round": 0, "library": "minicnn", "jobs": 2, "cache": cache}
        peak = measure(MODULE, task, options)["peak"]
        N, K = (int(problem.split(":")[1]), int(problem.split(":")[3])) if ":" in problem else (25_000, 121)
        print(f"{problem:<20}{strategy:<9}{cache:>10}{peak / 2**20:>21.0f}"
              f"{8 * N * (K - (strategy == 'ovo')) / 2**20:>20.0f}", flush=True)


def report_growth(options: argparse.Namespace) -> None:
    """Print the curves over samples and over classes."""
    print(f"\none-vs-one fit in s, one thread\n{'samples':>9}{'classes':>9}{'minicnn':>10}{'LIBSVM':>10}{'ratio':>8}")
    for N, K in [(N, 100) for N in SAMPLES] + [(10_000, K) for K in CLASSES]:
        ours, theirs = pair(f"made:{N}:64:{K}", "ovo", 1, 1, 0, options)
        print(f"{N:>9}{K:>9}{ours['fit']:>10.2f}{theirs['fit']:>10.2f}{theirs['fit'] / ours['fit']:>8.1f}", flush=True)


def main() -> None:
    """Measure what is not measured yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    add_options(parser, "bench_svm")
    options = parser.parse_args()
    if options.child:
        child(json.loads(options.child), options.folder)
        return
    print_machine()
    problems.prepare(options.folder, options.plankton, options.mnist)
    report_same(options)
    report_speed(options)
    report_memory(options)
    report_growth(options)


if __name__ == "__main__":
    main()
