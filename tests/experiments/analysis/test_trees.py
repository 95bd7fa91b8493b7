"""Trees of classes and tests on them, against SciPy, enumeration and arithmetic by hand."""
from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from scipy.cluster.hierarchy import cophenet, cut_tree, linkage
from scipy.spatial.distance import pdist, squareform
from scipy.stats import pearsonr, rankdata, spearmanr

from experiments.analysis import trees


def tree_of(K: int, seed: int) -> np.ndarray:
    return linkage(np.random.default_rng(seed).normal(size=(K, 3)), "average")


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.mark.parametrize("seed", range(5))
def test_the_smallest_subtree_is_as_high_as_the_farthest_pair(seed: int) -> None:
    """Of an ultrametric tree: the leaves meet where the two of them that meet last do."""
    tree = tree_of(9, seed)
    wanted = np.random.default_rng(seed).choice(9, 3, replace=False)
    node = trees.smallest_subtree(tree, wanted)
    assert set(wanted) <= set(trees.members(tree)[node].tolist())
    assert tree[node - 9, 2] == pytest.approx(squareform(cophenet(tree))[np.ix_(wanted, wanted)].max())


def test_the_smallest_subtree_of_some_of_the_leaves() -> None:
    """((0 1) 2) and (3 4): 0, 2 and 4 meet in the root, two of them in node 7."""
    tree = np.array([[0, 1, 1.0, 2], [3, 4, 2.0, 2], [2, 5, 3.0, 3], [6, 7, 4.0, 5]])
    assert [trees.smallest_subtree(tree, [0, 2, 4], least) for least in (None, 3, 2, 1)] == [8, 8, 7, 0]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("count", [2, 3])
def test_the_chance_of_a_subtree_is_that_of_all_choices(size: int, count: int) -> None:
    tree = tree_of(8, 3)
    choices = list(combinations(range(8), count))
    small = [len(trees.members(tree)[trees.smallest_subtree(tree, choice)]) <= size for choice in choices]
    assert trees.chance_of_subtree(tree, size, count) == pytest.approx(sum(small) / len(choices))


@pytest.mark.parametrize("seed", range(3))
def test_levels_are_the_numbers_of_clusters_of_a_cut(seed: int) -> None:
    """Baker's levels by their definition: cut into k clusters, and see for which k two leaves are still together."""
    tree = tree_of(8, seed)
    for i, j in combinations(range(8), 2):
        together = [k for k in range(1, 9) if (cut := cut_tree(tree, k).ravel())[i] == cut[j]]
        assert trees.levels(tree)[i, j] == 8 - max(together)


def test_bakers_gamma_is_spearmans_correlation_of_levels() -> None:
    a, b = trees.levels(tree_of(9, 0)), trees.levels(tree_of(9, 1))
    ranks = [squareform(rankdata(squareform(levels))) for levels in (a, b)]
    (found,) = trees.mantel(ranks[:1], ranks[1], rng())
    assert found["r"] == pytest.approx(spearmanr(squareform(a), squareform(b)).statistic)


def test_mantels_r_is_pearsons_and_its_p_that_of_all_permutations() -> None:
    """120 orders of 5 leaves; 10,000 drawn ones come within 5 standard errors of the exact share."""
    draw = np.random.default_rng(4)
    a, b = (squareform(pdist(draw.normal(size=(5, 2)))) for _ in range(2))
    constant = 1 - np.eye(5)
    itself, other, none = trees.mantel([b, a, constant], b, rng())
    r = pearsonr(squareform(a), squareform(b)).statistic
    assert itself["r"] == pytest.approx(1) and other["r"] == pytest.approx(r)
    for found, matrix, least in ((itself, b, 1.0), (other, a, r)):
        as_large = [pearsonr(squareform(matrix), squareform(b[np.ix_(order, order)])).statistic >= least - 1e-9
                    for order in map(list, permutations(range(5)))]
        p = np.mean(as_large)
        assert found["p"] == pytest.approx(p, abs=5 * (p * (1 - p) / 1e4) ** 0.5)
    assert none == {"r": None, "p": None}


def test_mantel_does_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = trees.heights(tree_of(7, 0)), trees.heights(tree_of(7, 1))
    whole = trees.mantel([a], b, rng())
    monkeypatch.setattr(trees, "_BLOCK", 21 * 999)      # 999 permutations; the last block is ragged
    assert trees.mantel([a], b, rng()) == whole


def test_mantel_of_two_leaves_says_nothing() -> None:
    assert trees.mantel([np.array([[0.0, 2], [2, 0]])], np.array([[0.0, 1], [1, 0]]), rng()) == [{"r": None, "p": None}]


def test_agreement_by_hand() -> None:
    """On a line at 0, 1, 5, 7, 7.5: nearest are 1, 0, 3, 4, 3. Groups a a b b c: yes, yes, yes, no; c has no other.

    Chance: each of four has one look-alike among four others.
    """
    alike = trees.same_word("a_1 a_2 b_1 b_2 c_1".split())
    found = trees.agreement(np.array([[0.0], [1], [5], [7], [7.5]]), alike, rng())
    assert found is not None
    assert found["agrees"].tolist() == [True, True, True, False]
    assert (found["share"], found["chance"]) == (0.75, 0.25)


def test_agreements_p_is_that_of_all_permutations() -> None:
    """Two pairs of neighbours, two groups of two: 8 of 24 orders keep the groups together."""
    found = trees.agreement(np.array([[0.0], [1], [10], [11]]), trees.same_word(["a_1", "a_2", "b_1", "b_2"]), rng())
    assert found is not None and found["share"] == 1 and found["p"] == pytest.approx(1 / 3, abs=0.025)


def test_agreement_when_look_alikes_are_not_mutual() -> None:
    """At 0, 1 and 10, nearest are 1, 0 and 1: closest relatives in ((0 1) 2), though 2 is not one of 1's.

    Of the six orders, only this one and that with 0 and 1 exchanged agree in all three.
    """
    relatives = trees.closest_relatives(np.array([[0, 1, 4], [1, 0, 4], [4, 4, 0]]))
    found = trees.agreement(np.array([[0.0], [1], [10]]), relatives, rng())
    assert found is not None
    assert (found["share"], found["chance"]) == (1, pytest.approx((1 + 1 + 2) / 2 / 3))
    assert found["p"] == pytest.approx(2 / 6, abs=0.025)


def test_agreement_without_look_alikes() -> None:
    assert trees.agreement(np.eye(3), trees.same_word(["cat", "dog", "ship"]), rng()) is None


def test_relatives_need_not_be_mutual() -> None:
    """((0 1) 2) with ages 1 and 4: the closest to 2 are 0 and 1, but 2 is the closest to neither."""
    relatives = trees.closest_relatives(np.array([[0, 1, 4], [1, 0, 4], [4, 4, 0]]))
    assert relatives.tolist() == [[False, True, False], [True, False, False], [True, True, False]]


def test_words_end_at_a_blank_or_an_underscore() -> None:
    names = ["shrimp-like_other", "shrimp_zoea", "Calnella acunata"]
    assert trees.first_words(names) == ["shrimp-like", "shrimp", "Calnella"]
    assert not trees.same_word(names).any()
