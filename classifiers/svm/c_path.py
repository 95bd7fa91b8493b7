"""A path along C: one classifier for each value, on one Gram matrix, each starting from the last one's solution.

A search over C asks for the same kernel values each time, and they are most of the work for small problems. And a
solution for C is inside the bounds of any larger C, where most samples keep the part they play: only bounded samples
whose bound has moved, and those near them, need iterations.

Source: the idea is old; Chu, Ho, Tsai, Lin and Lin 2015, "Warm start for parameter selection of linear classifiers",
measure what it gains.
"""
from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from classifiers.svm.cpu.training import gram_of, solve
from classifiers.svm.svc import SVC, solver_of
from classifiers.svm.theory.problems import prepare

__all__ = ["svm_path"]


def svm_path(svc: SVC, X: Any, y: Any, Cs: Sequence[float], sample_weight: Any = None) -> list[SVC]:
    """Fit one classifier for each value of C.

    Parameters
    ----------
    svc : SVC
        The estimator whose other parameters all of them have; it is not changed.
    X, y, sample_weight : array-like
        Samples, labels and weights, in the forms that `SVC.fit` takes.
    Cs : sequence of float
        Values of C, positive and in ascending order.

    Returns
    -------
    list of SVC
        Fitted; the solutions are those of single fits, to within `tol`.

    Raises
    ------
    ValueError
        `Cs` is empty or not ascending, or `SVC.fit` would refuse the input.

    Examples
    --------
    >>> path = svm_path(SVC(kernel="linear"), [[-2.0], [-1.0], [1.0], [2.0]], [0, 0, 1, 1], Cs=[0.1, 1.0])
    >>> [one.C for one in path], path[1].predict([[-3.0]])
    ([0.1, 1.0], array([0]))
    """
    if not len(Cs) or any(b <= a for a, b in pairwise(Cs)):
        raise ValueError(f"Cs={list(Cs)!r}: expected values of C in ascending order, because each solution starts from "
                         "that of the smaller C")
    path = [type(svc)(**{**svc.get_params(deep=False), "C": C}) for C in Cs]
    data = prepare(path[0], X, y, sample_weight)
    gram, beta = gram_of(path[0], data), None
    for one in path:
        found = solve(one, data, gram, solver_of(one), beta)
        one.adopt(data, found)
        beta = found.beta
    return path
