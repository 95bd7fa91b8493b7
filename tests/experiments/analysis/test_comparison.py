"""McNemar's test and the summary over seeds, against SciPy and arithmetic by hand."""
from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from experiments.analysis.comparison import mcnemar, spread


def test_mcnemar_is_the_exact_two_sided_binomial_test() -> None:
    """Of 20 images that one alone gets right, 15 are a's: 2 P(X >= 15)."""
    a = np.r_[np.ones(15), np.zeros(5), np.ones(40), np.zeros(40)].astype(bool)
    b = np.r_[np.zeros(15), np.ones(5), np.ones(40), np.zeros(40)].astype(bool)
    found = mcnemar(a, b)
    assert found["p"] == pytest.approx(2 * binom.sf(14, 20, 0.5))
    assert (found["only_a"], found["only_b"], found["difference"]) == (15, 5, pytest.approx(0.1))


def test_mcnemar_ignores_images_on_which_both_agree() -> None:
    """A test of unpaired proportions would become weaker with each image that both get right."""
    a, b = np.array([True] * 9 + [False]), np.array([False] * 9 + [True])
    both = np.ones(1000, bool)
    assert mcnemar(np.r_[a, both], np.r_[b, both])["p"] == mcnemar(a, b)["p"]


def test_mcnemar_changes_sign_with_the_order() -> None:
    a, b = np.array([True, True, True, False]), np.array([False, False, True, True])
    assert mcnemar(a, b)["difference"] == 0.25 == -mcnemar(b, a)["difference"]


def test_equal_classifiers_do_not_differ() -> None:
    right = np.array([True, False, True])
    assert mcnemar(right, right) == {"difference": 0.0, "only_a": 0, "only_b": 0, "p": 1.0}


def test_spread_is_that_of_a_sample() -> None:
    """1, 2, 6: mean 3, squares 4 + 1 + 9 = 14 over n - 1 = 2."""
    assert spread([1, 2, 6]) == {"values": [1.0, 2.0, 6.0], "mean": 3.0, "std": pytest.approx(7 ** 0.5)}
    assert spread([0.5])["std"] is None
