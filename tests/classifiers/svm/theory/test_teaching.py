"""The trace of a problem and the picture of its boundary."""
from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from classifiers.svm.svc import SVC
from classifiers.svm.theory import teaching
from classifiers.svm.theory.smo import solve_loops
from classifiers.svm.theory.teaching import plot_boundary, trace


def blobs(K, n=60, d=2):
    rng = np.random.default_rng(0)
    y = rng.integers(0, K, n)
    return rng.normal(size=(K, d))[y] * 2 + rng.normal(size=(n, d)), y


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_steps_lead_to_the_solution_of_the_fit(strategy):
    X, y = blobs(3)
    svc = SVC(C=2.0, gamma=0.5, strategy=strategy, tol=1e-4).fit(X, y)
    problems = [(0, 1), (0, 2), (1, 2)] if strategy == "ovo" else [0, 1, 2]
    for p, problem in enumerate(problems):
        steps = trace(svc, X, y, problem)
        beta = np.zeros(len(y))
        for step in steps:
            beta[step["i"]] += step["step"]
            beta[step["j"]] -= step["step"]
        positive = y == (problem[0] if strategy == "ovo" else problem)
        assert (beta[positive] >= -1e-12).all() and (beta[~positive] <= 1e-12).all()
        if strategy == "ovo":
            assert not beta[~np.isin(y, problem)].any()     # i and j are rows of X, not of the problem
        assert (np.diff(steps["objective"]) <= 1e-12).all()
        assert steps["objective"][-1] == pytest.approx(-svc.certificates_[p]["dual"], rel=1e-4)
        assert steps["gap"][0] == 2 and steps["gap"][-1] >= 1e-4
    assert svc.C == 2.0 and svc.__sklearn_is_fitted__()     # it is left as it was


def test_first_class_of_the_pair_is_positive_and_any_order_will_do():
    X, y = np.array([[0.0], [1.0], [5.0]]), np.array(["eel", "ray", "cod"])
    assert trace(SVC(kernel="linear"), X, y, ("ray", "eel"))[["i", "j"]].tolist() == [(1, 0)]
    assert trace(SVC(kernel="linear"), X, y, ("eel", "ray"))[["i", "j"]].tolist() == [(0, 1)]


def test_precomputed_kernel_has_the_same_trace():
    X, y = blobs(3)
    X = X.astype(np.float32).astype(np.float64)
    plain, given = (trace(SVC(kernel=name), matrix, y, (0, 2)) for name, matrix in
                    (("linear", X), ("precomputed", X @ X.T)))
    assert plain[["i", "j"]][:10].tolist() == given[["i", "j"]][:10].tolist()
    np.testing.assert_allclose(plain["objective"][-1], given["objective"][-1], rtol=1e-4)


def test_max_iter_ends_a_trace():
    X, y = blobs(2)
    svc = SVC(max_iter=3)
    assert len(trace(svc, X, y)) == 3
    assert not svc.__sklearn_is_fitted__()


@pytest.mark.parametrize("problem", [None, (0, 5), (1, 1), (0, 1, 2), 7])
def test_unknown_problem_is_named(problem):
    X, y = blobs(3)
    with pytest.raises(ValueError, match="problem="):
        trace(SVC(), X, y, problem)


def test_picture_shows_the_machine_at_each_number_of_iterations(monkeypatch, tmp_path):
    drawn = []
    original = teaching._draw
    monkeypatch.setattr(teaching, "_draw", lambda *a: (drawn.append(a), original(*a)))
    X, y = blobs(2)
    svc = SVC(C=1.0, gamma=0.5)
    figure = plot_boundary(svc, X, y, iterations=(1, 5), resolution=40)
    FigureCanvasAgg(figure).draw()
    titles = [panel.get_title() for panel in figure.axes]
    assert titles[0].startswith("1 iterations: violation") and titles[1].startswith("5 iterations")
    assert titles[2].endswith("converged")
    assert len(drawn) == 3
    axes, values = drawn[-1][1:3]
    svc.fit(X, y)
    plane = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    expected = -svc.decision_function(plane)            # +1 is the first class here, the second in scikit-learn
    np.testing.assert_allclose(values.ravel(), expected, atol=5e-3)
    assert np.count_nonzero(drawn[0][5]) == 2           # one step makes two support vectors
    figure.savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_trace_is_that_of_the_readable_solver():
    X, y = blobs(2)
    order, steps = np.argsort(y, kind="stable"), []
    K = X[order] @ X[order].T
    solve_loops(K, np.where(y[order] == 0, 1, -1), np.ones(len(y)), 1e-3, 1000, trace=steps)
    found = trace(SVC(kernel="linear"), X, y)
    assert found["i"].tolist() == [order[step[0]] for step in steps]
    np.testing.assert_array_equal(found["step"], [step[2] for step in steps])


def test_picture_needs_two_features():
    X, y = blobs(2, d=3)
    with pytest.raises(ValueError, match="2 features"):
        plot_boundary(SVC(), X, y)
