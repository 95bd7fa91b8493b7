"""Our support vector machine beside LIBSVM (scikit-learn's SVC): the same optimum, time, memory, and growth.

    python -m benchmarks svm --plankton plankton:PATH --mnist mnist:PATH

RBF kernel, C = 10, gamma "scale", tol 1e-3, cache of 200 MB for both unless a line says otherwise. One-vs-one against
SVC, one-vs-rest against OneVsRestClassifier(SVC), and LinearSVC for context. Each fit is a process of its own, and the
libraries alternate. Correctness comes first: the dual objective of every binary problem, recomputed in float64 from
either solution, and the share of test rows on which predictions are equal (both decide equal votes of the pairs by the
sum of decisions then; timed is scikit-learn's faster default, the first class). LIBSVM has one thread; ours is shown on
one and on two. Results are written to ``svm.jsonl`` as they come, and a run that was stopped goes on where it was.
Delete it to measure anew.
"""
from __future__ import annotations

import statistics
import time
import warnings
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks import problems
from benchmarks.harness import Options, PeakMemory, measured, median, need, ratio, serve
from benchmarks.plots import BLUE, ORANGE, points
from benchmarks.tables import Table

TITLE = "Support vector machines, beside LIBSVM"
MODULE = "benchmarks.svm"
SAME = ("layer3", "pixels", "mnist")                    # where solutions are compared, one-vs-one
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


def child(task: dict[str, Any]) -> dict[str, Any]:
    """Fit one machine, and return what there is to know of it; its ``solution`` too if the task asks for it."""
    X, y, X_test, y_test = problems.read(task["problem"])
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
    result: dict[str, Any] = {"fit": fit, "peak": peak.bytes, "predict": statistics.median(times)}
    if task.get("solution"):
        if hasattr(machine, "break_ties"):      # scikit-learn times without it: equal votes go to the first class
            found = machine.set_params(break_ties=True).predict(X_test[:3800])
        result |= {"found": found.tolist(), "dual": dual_objectives(machine, X, y, task).tolist()}
    return {**result, "accuracy": float(np.mean(found == y_test[:3800]))}


def dual_objectives(machine: Any, X: np.ndarray, y: np.ndarray, task: dict[str, Any]) -> np.ndarray:
    """Return the dual objective of each binary problem, recomputed in float64 from the coefficients."""
    from classifiers.svm.theory.certificates import certify
    from classifiers.svm.theory.kernel_functions import Kernel

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


def pair(problem: str, strategy: str, jobs: int, peer_jobs: int, round: int, options: Options,
         **extra: Any) -> list[dict[str, Any]]:
    """Return the results of both libraries in one round."""
    task = {"problem": problem, "strategy": strategy, "round": round, **extra}
    return [measured(MODULE, {**task, "library": "minicnn", "jobs": jobs}, options),
            measured(MODULE, {**task, "library": "LIBSVM", "jobs": peer_jobs}, options)]


def measure(options: Options) -> dict[str, Any]:
    """Return how equal the solutions are, and speed, memory and growth."""
    need("sklearn")
    names = problems.prepare(options)
    cores = max(options.threads)
    same = [(name, "ovo") for name in names if name in SAME] + [("layer3", "ovr")] * ("layer3" in names)
    speed = [line for line in SPEED if line[0] in names and max(line[2:]) <= cores]
    memory = [line for line in MEMORY if line[0] in names or ":" in line[0]]
    growth = [(N, 100) for N in SAMPLES] + [(10_000, K) for K in CLASSES]
    if ":" in names[0]:     # a made-up problem in the place of the real ones
        same, speed = [(names[0], "ovo"), (names[0], "ovr")], [(names[0], "ovo", 1, 1), (names[0], "ovr", 1, 1)]
    if options.quick:
        memory, growth = [(names[0], "ovo", 200)], [(300, 5)]
    found: dict[str, Any] = {"correctness": [
        agreement(problem, strategy, *pair(problem, strategy, 1, 1, 0, options, solution=True))
        for problem, strategy in same]}
    linear = measured(MODULE, {"problem": names[0], "strategy": "ovr", "round": 0, "library": "LinearSVC", "jobs": 1},
                      options)
    found["correctness"].append(f"LinearSVC on {names[0]}, for context: fit {linear['fit']:.1f} s, accuracy "
                                f"{linear['accuracy']:.4f}")
    found["speed"] = [{"problem": problem, "strategy": strategy, "jobs": f"{jobs} : {peer_jobs}",
                       "pairs": [pair(problem, strategy, jobs, peer_jobs, round, options)
                                 for round in range(options.rounds_or(3))]}
                      for problem, strategy, jobs, peer_jobs in speed]
    found["memory"] = [measured(MODULE, {"problem": problem, "strategy": strategy, "round": 0, "library": "minicnn",
                                         "jobs": min(2, cores), "cache": cache}, options)
                       | dict(zip(("samples", "classes"), size_of(problem))) for problem, strategy, cache in memory]
    found["growth"] = [{"samples": N, "classes": K, "pair": pair(f"made:{N}:64:{K}", "ovo", 1, 1, 0, options)}
                       for N, K in growth]
    return found


def agreement(problem: str, strategy: str, ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """Return how far objectives, predictions and accuracies are apart."""
    a, b = np.array(ours["dual"]), np.array(theirs["dual"])
    equal = np.mean(np.array(ours["found"]) == np.array(theirs["found"]))
    return (f"{problem}, {strategy}: the dual objectives of {len(a):,} problems differ by at most "
            f"{np.max(np.abs(a - b) / np.abs(b)):.1e} of LIBSVM's, {equal:.2%} of the predictions are equal, accuracy "
            f"{ours['accuracy']:.4f} and {theirs['accuracy']:.4f}")


def size_of(problem: str) -> tuple[int, int]:
    """Return the training samples and the classes of a problem.

    Examples
    --------
    >>> size_of("made:1000:64:10"), size_of("layer3")
    ((1000, 10), (25000, 121))
    """
    return (int(problem.split(":")[1]), int(problem.split(":")[3])) if ":" in problem else (25_000, 121)


def tables(found: dict[str, Any], ceilings: dict[str, Any]) -> list[Table]:
    """Return the tables of speed, of memory and of growth."""
    speed = []
    for line in found["speed"]:
        row = [line["problem"], line["strategy"], line["jobs"]]
        for key, digits, unit in (("fit", 2, 1.0), ("predict", 3, 1.0), ("peak", 0, 1e6)):
            row += [*(f"{median(line['pairs'], k, key) / unit:,.{digits}f}" for k in (0, 1)), ratio(line["pairs"], key)]
        speed.append(row)
    memory = [[line["problem"], line["strategy"], f"{line['cache']:,}", f"{line['peak'] / 2**20:,.0f}",
               f"{8 * line['samples'] * (line['classes'] - (line['strategy'] == 'ovo')) / 2**20:,.0f}"]
              for line in found["memory"]]
    growth = []
    for point in found["growth"]:
        ours, theirs = point["pair"]
        growth.append([f"{point['samples']:,}", f"{point['classes']:,}", f"{ours['fit']:.2f}", f"{theirs['fit']:.2f}",
                       f"{theirs['fit'] / ours['fit']:.1f}"])
    return [
        Table("medians; ratios LIBSVM : ours, median (min-max) over rounds; threads ours : LIBSVM; peak memory is that "
              "of the fit beyond the data", (
                  "problem", "strategy", "threads", "fit, s", "LIBSVM", "ratio", "predict, s", "LIBSVM", "ratio",
                  "peak, MB", "LIBSVM", "ratio"), speed),
        Table("peak memory of a fit beyond the data, beside what it was allowed, in MB", (
            "problem", "strategy", "cache", "peak", "of it coefficients"), memory),
        Table("growth: seconds of a one-vs-one fit with 64 features, one thread", (
            "samples", "classes", "minicnn", "LIBSVM", "ratio"), growth)]


def draw(found: dict[str, Any], ceilings: dict[str, Any]) -> Figure:
    """Draw the time of a fit on each problem."""
    lines = found["speed"]
    figure = Figure(figsize=(8, 1.5 + 0.7 * len(lines)), layout="constrained")
    seconds = [[[pair[k]["fit"] for pair in line["pairs"]] for line in lines] for k in (0, 1)]
    points(figure.subplots(), [f"{line['problem']} {line['strategy']}, threads {line['jobs']}" for line in lines],
           {"minicnn": (seconds[0], BLUE), "LIBSVM": (seconds[1], ORANGE)}, "seconds of a fit")
    return figure


if __name__ == "__main__":
    serve(child)
