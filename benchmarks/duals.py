"""Two solutions of the same SVM problems, judged by arithmetic that neither library shares.

An SVM's training is the maximisation of the dual objective of each binary problem
(`classifiers.svm.theory.certificates` has the formulas). Two libraries agree when both reach the same objective,
whatever their coefficients are. So the objective is computed here from labels, coefficients and samples alone, with
numbers of 80 bits where the processor has them: kernel values anew, of samples whose mean has been subtracted where the
kernel function allows it, and from these the objective and the largest violation of a KKT condition.

The coefficients count only if they are feasible: 0 <= alpha <= C and sum y alpha = 0, because objectives above the
optimum are easy to reach outside.
"""
from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Fit", "binary_problems", "fit_ours", "fit_peer", "gram", "judge", "number_of_gamma", "shortfall", "wrong"]

FEASIBLE = 1e-6     # how far coefficients may lie outside, as a share of the largest C or of the sum of all alpha


class Fit(NamedTuple):
    """What one library made of one classification task.

    Attributes
    ----------
    machines : list of SVC
        What was fitted: one SVC, or for LIBSVM's "ovr" one for each class. Empty where there is no solution.
    dual, violation : array, (n_problems,)
        The objective and the largest KKT violation of each binary problem.
    infeasible : float
        How far coefficients lie outside of their bounds, as a share of the largest bound or of the sum of all alpha.
    said : str
        The text of the ConvergenceWarning or of the ValueError; empty for a silent fit.
    refused : bool
        Whether a ValueError was raised instead of a fit.
    seconds : float
        What the fit took.
    """

    machines: list[Any]
    dual: np.ndarray
    violation: np.ndarray
    infeasible: float
    said: str
    refused: bool
    seconds: float

    def comparable(self) -> bool:
        """Return whether there is a solution that is finite and feasible."""
        return bool(len(self.dual)) and bool(np.isfinite(self.dual).all()) and self.infeasible <= FEASIBLE

    def accuracy(self, X: Any, codes: np.ndarray) -> float:
        """Return the share of samples whose predicted class is `codes`."""
        if len(self.machines) > 1:
            found = np.argmax([machine.decision_function(X) for machine in self.machines], axis=0)
        else:
            found = np.searchsorted(self.machines[0].classes_, self.machines[0].predict(X))
        return float(np.mean(found == codes))


def number_of_gamma(gamma: str | float, X: np.ndarray) -> float:
    """Return gamma as scikit-learn computes it in float64.

    Examples
    --------
    >>> number_of_gamma("scale", np.array([[0.0, 2.0], [2.0, 0.0]])), number_of_gamma(0.25, np.zeros((5, 4)))
    (0.5, 0.25)
    """
    if gamma == "auto":
        return 1 / X.shape[1]
    if gamma == "scale":
        variance = float(X.var())
        return 1 / (X.shape[1] * variance) if variance else 1.0
    return float(gamma)


def gram(X: np.ndarray, kernel: str, gamma: str | float = "scale", degree: int = 3, coef0: float = 0.0,
         centred: bool = True) -> np.ndarray:
    """Return the kernel values of all pairs of samples as long doubles, (n, n).

    Centring changes the values of a linear kernel function, but no dual objective, because alpha is orthogonal to y;
    where the samples lie far from zero, the objective comes out more exact. Decision values need ``centred=False``.

    Examples
    --------
    >>> gram(np.array([[2.0], [4.0]]), "linear").astype(float)
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    factor = np.longdouble(number_of_gamma(gamma, X))
    with np.errstate(all="ignore"):
        wide = X.astype(np.longdouble)
        if kernel == "rbf" or (kernel == "linear" and centred):
            wide = wide - wide.mean(axis=0)
        if kernel == "rbf":
            distances = np.zeros((len(X), len(X)), np.longdouble)
            for column in wide.T:
                distances += (column[:, None] - column) ** 2
            return np.exp(-factor * distances)
        products = wide @ wide.T
        if kernel == "linear":
            return products
        products = factor * products + np.longdouble(coef0)
        return products ** degree if kernel == "poly" else np.tanh(products)


def binary_problems(machines: list[Any], codes: np.ndarray, strategy: str) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the rows, the labels +-1 and the coefficients beta = y alpha of each binary problem.

    Parameters
    ----------
    machines : list of SVC
        One fitted SVC of either library, or a binary one for each class.
    codes : array of int, (n,)
        The class of each sample, 0 to K - 1.
    strategy : {"ovo", "ovr"}
        What the problems of a single SVC of more than two classes are.
    """
    K, every = int(codes.max()) + 1, np.arange(len(codes))
    full = []
    for machine in machines:
        full.append(np.zeros((len(machine.dual_coef_), len(codes))))
        full[-1][:, machine.support_] = machine.dual_coef_
    if K == 2:                                                      # the second class is the positive one
        yield every, np.where(codes == 1, 1.0, -1.0), full[0][0]
    elif strategy == "ovr":
        for k, beta in enumerate(np.concatenate(full)):
            yield every, np.where(codes == k, 1.0, -1.0), beta
    else:
        for a, b in zip(*np.triu_indices(K, 1)):                    # LIBSVM's layout, the first class is positive
            rows = np.flatnonzero((codes == a) | (codes == b))
            first = codes[rows] == a
            yield rows, np.where(first, 1.0, -1.0), np.where(first, full[0][b - 1, rows], full[0][a, rows])


def judge(K: np.ndarray, y: np.ndarray, beta: np.ndarray, C: np.ndarray) -> tuple[float, float, float]:
    """Return the dual objective of one binary problem, its largest KKT violation, and how infeasible it is.

    Examples
    --------
    Samples at 1 and -1, whose optimum is alpha = 1/2 for both.

    >>> K, y = np.array([[1.0, -1.0], [-1.0, 1.0]]), np.array([1.0, -1.0])
    >>> judge(K, y, y / 2, np.array([10.0, 10.0]))
    (0.5, 0.0, 0.0)
    """
    beta = beta.astype(np.longdouble)
    alpha = y * beta
    support = np.flatnonzero(beta)
    output = K[:, support] @ beta[support]
    score = y - output
    free = alpha < C * (1 - 1e-12)                      # not at C but for the last digits
    rise, fall = np.where(y > 0, free, alpha > 0), np.where(y > 0, alpha > 0, free)
    violation = score[rise].max(initial=-np.inf) - score[fall].min(initial=np.inf)
    total = alpha.sum()
    outside = max(-alpha.min() / C.max(), (alpha - C).max() / C.max(), abs(beta.sum()) / total if total else 0.0, 0.0)
    return float(total - beta @ output / 2), float(max(violation, 0.0)), float(outside)


def fit_ours(X: Any, codes: np.ndarray, K: np.ndarray, strategy: str = "ovo", labels: Any = None,
             sample_weight: Any = None, **parameters: Any) -> Fit:
    """Fit our SVC, and judge it on the kernel values `K`.

    Parameters
    ----------
    X : array-like
        The samples, in whatever container.
    codes : array of int, (n,)
        The class of each sample, 0 to n_classes - 1.
    K : array, (n, n)
        `gram` of the samples.
    strategy : {"ovo", "ovr"}
        How several classes become binary problems; it and the other parameters are those of `classifiers.SVC`.
    labels : array-like, (n,), or None
        What is passed to ``fit`` instead of `codes`: labels in the same order, in whatever container.
    """
    from classifiers import SVC

    return _fit([SVC(strategy=strategy, **parameters)], X, [codes if labels is None else labels], codes, K, strategy,
                sample_weight)


def fit_peer(X: Any, codes: np.ndarray, K: np.ndarray, strategy: str = "ovo", sample_weight: Any = None,
             max_iter: int = 1_000_000, **parameters: Any) -> Fit:
    """Fit scikit-learn's SVC, which is LIBSVM, and judge it on the kernel values `K`; for "ovr" one for each class."""
    from sklearn.svm import SVC

    n_classes = int(codes.max()) + 1
    targets = [(codes == k).astype(int) for k in range(n_classes)] if strategy == "ovr" and n_classes > 2 else [codes]
    machines = [SVC(max_iter=max_iter, cache_size=500, **parameters) for _ in targets]
    return _fit(machines, X, targets, codes, K, strategy, sample_weight)


def _fit(machines: list[Any], X: Any, targets: list[Any], codes: np.ndarray, K: np.ndarray, strategy: str,
         sample_weight: Any) -> Fit:
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            for machine, target in zip(machines, targets):
                machine.fit(X, target, sample_weight)
        except ValueError as error:
            return Fit([], np.zeros(0), np.zeros(0), 0.0, str(error), True, time.perf_counter() - start)
    seconds = time.perf_counter() - start
    said = "; ".join(str(one.message) for one in told if type(one.message).__name__ == "ConvergenceWarning")
    C = np.broadcast_to(machines[0].C if sample_weight is None else machines[0].C * np.asarray(sample_weight), len(K))
    C = C * machines[0].class_weight_[codes] if len(machines) == 1 else C
    judged = [judge(K[np.ix_(rows, rows)], y, beta, C[rows])
              for rows, y, beta in binary_problems(machines, codes, strategy)]
    dual, violation, outside = (np.array(column) for column in zip(*judged))
    return Fit(machines, dual, violation, float(outside.max()), said, False, seconds)


def shortfall(ours: Fit, theirs: Fit) -> float:
    """Return by how much our worst dual objective stays below the peer's, relative to the larger of the two.

    It is negative where ours is higher in every problem.
    """
    size = np.maximum(np.maximum(np.abs(ours.dual), np.abs(theirs.dual)), np.finfo(float).tiny)
    return float(((theirs.dual - ours.dual) / size).max())


def wrong(ours: Fit, theirs: Fit, K: np.ndarray, convex: bool = True, tol: float = 1e-3) -> str:
    """Return what is silently wrong with our fit, or an empty text.

    A ConvergenceWarning or a ValueError is never silent. Kernel values that are not finite have no fit at all. Where
    the problem is not convex, as with most sigmoid kernel functions, there are several optima, and a fit that is at one
    of them by its own KKT violation is right; the same holds where LIBSVM has no solution to compare with.

    Parameters
    ----------
    ours, theirs : Fit
        What `fit_ours` and `fit_peer` returned for the same parameters.
    K : array, (n, n)
        The kernel values of both.
    convex : bool
        Whether K has no negative eigenvalue.
    tol : float
        The KKT violation at which both should have stopped.
    """
    if ours.refused or ours.said:
        return ""
    if not np.isfinite(K.astype(np.float64)).all():
        return "fitted to kernel values that are not finite"
    if not ours.comparable():
        return f"coefficients outside of their bounds, by a share of {ours.infeasible:.1g}"
    violation = ours.violation.max()
    if theirs.comparable():
        less = shortfall(ours, theirs)
        if less > 1e-3 and (convex or violation > 2 * tol):
            return (f"the dual objective is lower than LIBSVM's by {less:.1g} of it, with a KKT violation of "
                    f"{violation:.1g} against {theirs.violation.max():.1g}")
    elif violation > 2 * tol:
        return f"the KKT violation is {violation:.1g}, and LIBSVM has no solution to compare with"
    return ""
