"""Watch a support vector machine learn: every step of one binary problem, and the boundary moving as they are taken.

Both run `smo.solve_loops`, the readable solver, on kernel values in float64. It takes the maximal violating pair in
each step, where the fast solver looks one derivative further; the optimum is the same, the way there is not.

What to look for in a picture: the solid line is f(x) = 0, the dashed ones f(x) = +-1. When all is done, samples beyond
the dashed line of their side have no ring (alpha = 0), samples on it a thin one (0 < alpha < C), and samples that have
not reached it, or are on the wrong side, a thick one (alpha = C): these are the KKT conditions, seen.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from classifiers.svm.theory.kernel_functions import kernel_values
from classifiers.svm.theory.problems import TrainingSet, prepare
from classifiers.svm.theory.smo import solve_loops

__all__ = ["TRACE", "plot_boundary", "trace"]

TRACE = np.dtype([("i", "i8"), ("j", "i8"), ("step", "f8"), ("gap", "f8"), ("objective", "f8")])
_COLOURS = {1: "#0072b2", -1: "#d55e00"}        # blue and vermilion, which colour-blind readers can tell apart
_MARKERS = {1: "o", -1: "s"}


def trace(svc: Any, X: Any, y: Any, problem: Any = None) -> np.ndarray:
    """Return every step of the readable solver on one binary problem.

    Parameters
    ----------
    svc : SVC
        The estimator whose parameters are used; it need not be fitted, and is not changed. Its `max_iter` is the
        largest number of steps.
    X : array-like, (n, n_features)
        Samples, or kernel values for a precomputed kernel.
    y : array-like, (n,)
        Their labels.
    problem : pair of labels, label or None
        Two classes, the first of which is +1, for strategy "ovo"; the class that is +1 for "ovr". None is the only
        problem there is with two classes.

    Returns
    -------
    array of `TRACE`, (n_steps,)
        ``i`` and ``j``, the rows of X whose beta went up and down by ``step``; ``gap``, the KKT violation of the
        pair before that; ``objective``, the dual objective (to be minimised) after it.

    Raises
    ------
    ValueError
        There is no such problem, or the input makes no sense.

    Examples
    --------
    >>> from classifiers.svm.svc import SVC
    >>> trace(SVC(kernel="linear", C=10.0), [[1.0], [-1.0], [3.0]], ["ray", "eel", "ray"], ("ray", "eel"))
    array([(0, 1, 0.5, 2., -0.5)],
          dtype=[('i', '<i8'), ('j', '<i8'), ('step', '<f8'), ('gap', '<f8'), ('objective', '<f8')])
    """
    data, sign = _binary_problem(svc, X, y, problem)
    steps: list[Any] = []
    solve_loops(_gram(data), sign, svc.C * data.weight, svc.tol, _limit(svc), trace=steps)
    found = np.array(steps, dtype=TRACE)
    for name in ("i", "j"):
        found[name] = data.rows[found[name]]
    return found


def plot_boundary(svc: Any, X: Any, y: Any, problem: Any = None, iterations: Sequence[int] = (2, 10, 50),
                  resolution: int = 200) -> Figure:
    """Draw boundary, margins and support vectors of a problem in two dimensions after some numbers of iterations.

    Parameters
    ----------
    svc, X, y, problem
        The parameters of `trace`; X has two features, and the kernel function is not "precomputed".
    iterations : sequence of int
        Numbers of iterations, by default 2, 10 and 50; each gets a panel, and the solution gets one more.
    resolution : int
        Number of points of the drawn plane along each side, by default 200.

    Returns
    -------
    matplotlib.figure.Figure
        It is not shown; ``figure.savefig(path)`` writes it to a file.

    Raises
    ------
    ValueError
        X does not have two features, or `trace` would refuse the input.
    """
    data, sign = _binary_problem(svc, X, y, problem)
    if data.kernel.name == "precomputed" or data.X.shape[1] != 2:
        raise ValueError(f"plot_boundary needs samples with 2 features, got X of shape {data.X.shape} and the kernel "
                         f"{data.kernel.name!r}: choose two columns")
    K, C = _gram(data), svc.C * data.weight
    low, high = data.X.min(0), data.X.max(0)
    margin = 0.1 * np.maximum(high - low, 1e-6)
    axes = [np.linspace(a, b, resolution) for a, b in zip(low - margin, high + margin)]
    plane = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)                            # (resolution^2, 2)
    to_plane = kernel_values(data.kernel, plane, data.X)                                    # (resolution^2, n)
    figure = Figure(figsize=(3.4 * (len(iterations) + 1), 3.7), layout="constrained")
    panels = figure.subplots(1, len(iterations) + 1, sharex=True, sharey=True, squeeze=False)[0]
    for panel, limit in zip(panels, (*iterations, _limit(svc))):
        solution = solve_loops(K, sign, C, svc.tol, limit)
        values = (to_plane @ solution.beta + solution.bias).reshape(resolution, resolution)
        _draw(panel, axes, values, data.X, sign, np.abs(solution.beta), C)
        done = "converged" if solution.violation < svc.tol else f"violation {solution.violation:.2g}"
        panel.set_title(f"{solution.iterations} iterations: {done}", fontsize=10)
    return figure


def _draw(panel: Any, axes: list[np.ndarray], values: np.ndarray, X: np.ndarray, sign: np.ndarray, alpha: np.ndarray,
          C: np.ndarray) -> None:
    """Draw one panel: `values` of f over the plane of `axes`, and the samples."""
    panel.contourf(*axes, values, levels=[-np.inf, 0, np.inf], colors=[_COLOURS[-1], _COLOURS[1]], alpha=0.12)
    if values.min() < 0 < values.max():
        panel.contour(*axes, values, levels=[0], colors="black", linewidths=1.5)
    for level in (-1, 1):
        if values.min() < level < values.max():
            panel.contour(*axes, values, levels=[level], colors="black", linewidths=0.8, linestyles="dashed")
    for label in (1, -1):
        panel.scatter(*X[sign == label].T, s=14, c=_COLOURS[label], marker=_MARKERS[label], linewidths=0)
    for chosen, width in (((alpha > 0) & (alpha < C), 0.9), (alpha >= C, 2.2)):
        panel.scatter(*X[chosen].T, s=70, facecolors="none", edgecolors="black", linewidths=width)
    panel.set_xticks([])
    panel.set_yticks([])


def _limit(svc: Any) -> int:
    return svc.max_iter if svc.max_iter > 0 else 10_000_000


def _gram(data: TrainingSet) -> np.ndarray:
    """Return the Gram matrix, (n, n) float64."""
    if data.kernel.name == "precomputed":
        return data.X.astype(np.float64)
    return kernel_values(data.kernel, data.X, data.X)


def _binary_problem(svc: Any, X: Any, y: Any, problem: Any) -> tuple[TrainingSet, np.ndarray]:
    """Return the samples of one binary problem, and +1 or -1 for each."""
    data = prepare(svc, X, y)
    labels = data.classes.tolist()
    if problem is None:
        if len(labels) != 2:
            raise ValueError(f"problem=None with {len(labels)} classes: expected a pair of labels for strategy='ovo', "
                             "or a label for 'ovr'")
        problem = tuple(labels)
    one_to_one = isinstance(problem, (tuple, list))
    chosen = list(problem) if one_to_one else [problem]
    if any(label not in labels for label in chosen) or (one_to_one and (len(chosen) != 2 or chosen[0] == chosen[1])):
        raise ValueError(f"problem={problem!r}: expected two different labels, or one against the rest, of "
                         f"{labels[:10]!r}{' ...' if len(labels) > 10 else ''}")
    codes = np.repeat(np.arange(len(labels)), np.diff(data.starts))
    sign = np.where(codes == labels.index(chosen[0]), 1, -1)
    if not one_to_one:
        return data, sign
    keep = np.isin(codes, [labels.index(label) for label in chosen])
    X_kept = data.X[np.ix_(keep, keep)] if data.kernel.name == "precomputed" else data.X[keep]
    return data._replace(X=X_kept, rows=data.rows[keep], weight=data.weight[keep]), sign[keep]
