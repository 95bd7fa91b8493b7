"""From samples and labels to binary problems, and what the folder `theory` may import."""
from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

import classifiers.svm.theory
from classifiers.svm.svc import SVC
from classifiers.svm.theory.problems import coef_rows, pairs, places, prepare

X = np.array([[3.0, 1.0], [0.0, 2.0], [5.0, 5.0], [1.0, 0.0], [4.0, 4.0]])
Y = ["ray", "eel", "cod", "eel", "ray"]


def test_preparing_writes_nothing_into_the_estimator():
    svc = SVC(C=2.0, class_weight={"eel": 3.0})
    before = dict(vars(svc))
    data = prepare(svc, X, Y, [1.0, 1.0, 1.0, 0.0, 2.0])
    assert vars(svc) == before
    assert data.classes.tolist() == ["cod", "eel", "ray"] and data.n_features == 2 and data.feature_names is None
    assert data.rows.tolist() == [2, 1, 0, 4] and data.starts.tolist() == [0, 1, 2, 4]   # row 3 has the weight 0
    assert data.weight.tolist() == [1.0, 3.0, 1.0, 2.0]
    np.testing.assert_array_equal(data.X, X[data.rows])


def test_a_refusal_leaves_a_fitted_estimator_as_it_was():
    svc = SVC().fit(X, Y)
    before = dict(vars(svc))
    with pytest.raises(ValueError, match="got 1 class"):
        prepare(svc, X[:, :1], ["eel"] * 5)
    assert vars(svc) == before


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_every_coefficient_belongs_to_one_problem(strategy):
    starts = np.array([0, 1, 4, 6])
    taken = np.zeros((2 if strategy == "ovo" else 3, 6), int)
    for p in range(3):
        for row, samples in places(starts, strategy, p):
            taken[row, samples] += 1
    assert (taken == 1).all()
    if strategy == "ovo":                       # LIBSVM: the pair of c with d is in row d - 1 if d > c, else in row d
        assert [coef_rows(a, b) for a, b in pairs(3)] == [(0, 0), (1, 0), (1, 1)]


def test_theory_imports_nothing_fast():
    found = set()
    for path in Path(classifiers.svm.theory.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else \
                [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found |= {f"{path.name} imports {name}" for name in names
                      if name.startswith(("numba", "cupy", "minicnn"))
                      or (name.startswith("classifiers.svm") and not name.startswith("classifiers.svm.theory"))}
    assert found == set()
