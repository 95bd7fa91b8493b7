"""The dendrogram, on centroids whose tree is known beforehand."""
from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr

from experiments.analysis import centroids, trees
from experiments.figures import dendrogram
from experiments.pipeline.stages import Train
from minicnn.data.synthetic import phylogeny
from tests.experiments.planted import Planted, with_distances

COPEPODS, PARTLY = centroids.PAPER_PARTS.values()
# On a line: three copepods, a fish and the fourth copepod; a partly visible animal, detritus, and the other two.
NAMES = (*COPEPODS[:3], "fish_larvae", COPEPODS[3], PARTLY[0], "detritus_other", *PARTLY[1:])
FEATURES = np.array([[0.0], [1], [3], [6], [6.5], [20], [30], [31], [32]])
PIXELS = np.array([[0.0], [10], [21], [33], [46], [60], [75], [91], [108]])


@pytest.fixture
def plankton(tmp_path: Path) -> dict[str, Any]:
    """Return what is found of nine classes with names of the real set."""
    return dendrogram.compute(Planted(tmp_path, NAMES, {0: PIXELS, 3: FEATURES}))


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what is found when the features are as far apart as the true tree says, and pixels are not."""
    true = phylogeny(12, 5)
    shuffled = np.random.default_rng(0).permutation(12)
    features = with_distances(true.cophenetic())
    lab = Planted(tmp_path_factory.mktemp("synthetic"), true.names, {0: features[shuffled], 3: features},
                  {"spec": "synthetic", "n_classes": 12, "seed": 5})
    return dendrogram.compute(lab)


def test_the_parts_and_the_subtrees_that_hold_them(plankton: dict[str, Any]) -> None:
    """The copepods are joined with the fish among them: one subtree of five."""
    copepods, partly = plankton["features"]["parts"]
    assert (copepods["size"], copepods["together"]) == (5, False)
    assert sorted(copepods["subtree"]) == sorted([*COPEPODS, "fish_larvae"])
    assert (partly["size"], sorted(partly["drawn"])) == (4, sorted([*PARTLY, "detritus_other"]))
    assert copepods["p"] == pytest.approx(6 / 126)      # 4 of these 5, or all 4 others, of the choices of 4 out of 9
    assert [part["title"] for part in plankton["parts"]] == ["Figure 6", "Figure 9"]


def test_agreement_with_names_and_the_difference(plankton: dict[str, Any]) -> None:
    """Only copepods and none else have look-alikes. Nearest in features: yes, yes, yes, and the fish for the fourth.

    In pixels the gaps grow, so the nearest is the one before, a copepod for three and the fish for the fourth.
    """
    assert plankton["classes_with_look_alikes"] == 4
    assert plankton["features"]["agreement"]["share"] == 0.75 == plankton["pixels"]["agreement"]["share"]
    assert plankton["difference"] == {"difference": 0.0, "only_a": 0, "only_b": 0, "p": 1.0}
    assert plankton["features"]["truth"] is None


def test_the_difference_is_features_minus_pixels(tmp_path: Path) -> None:
    """All four agree in features and none in pixels."""
    near, far = np.array([[0.0], [1], [10], [11]]), np.array([[0.0], [10], [1], [11]])
    found = dendrogram.compute(Planted(tmp_path, ["a_1", "a_2", "b_1", "b_2"], {0: far, 3: near}))
    assert found["difference"] == {"difference": 1.0, "only_a": 4, "only_b": 0, "p": pytest.approx(2 / 2 ** 4)}


def test_each_linkage_is_scipys(plankton: dict[str, Any]) -> None:
    for space, values in (("features", FEATURES), ("pixels", PIXELS)):
        for method, found in plankton[space]["methods"].items():
            tree = linkage(values, method)
            np.testing.assert_allclose(found["cophenetic_correlation"], cophenet(tree, pdist(values))[0])
            leaves = [NAMES.index(name) for name in COPEPODS]
            assert found["sizes"][0] == len(trees.members(tree)[trees.smallest_subtree(tree, leaves)])


def test_the_true_tree_is_found_again(synthetic: dict[str, Any]) -> None:
    """Distances that are those of the true tree: correlations of 1, which hardly any order reaches."""
    truth = synthetic["features"]["truth"]
    assert truth["cophenetic"]["r"] == pytest.approx(1, abs=1e-4) and truth["baker"]["r"] == pytest.approx(1)
    assert max(truth["cophenetic"]["p"], truth["baker"]["p"]) < 0.01
    assert synthetic["features"]["agreement"]["share"] > synthetic["pixels"]["agreement"]["share"]


def test_a_wrong_tree_is_compared_with_the_true_one(synthetic: dict[str, Any]) -> None:
    true, found = phylogeny(12, 5).cophenetic(), squareform(cophenet(synthetic["arrays"]["pixels"]))
    truth = synthetic["pixels"]["truth"]
    assert truth["cophenetic"]["r"] == pytest.approx(np.corrcoef(squareform(true), squareform(found))[0, 1], abs=1e-3)
    # Without ties the order of the joins is that of the heights; rounding may part equal heights, but not here.
    assert truth["baker"]["r"] == pytest.approx(spearmanr(squareform(true), squareform(found)).statistic, abs=1e-2)
    assert truth["baker"]["p"] > 0.01


def test_rows_spread_over_seeds(tmp_path: Path) -> None:
    lab = Planted(tmp_path, NAMES, {0: PIXELS, (3, 0): FEATURES, (3, 1): PIXELS})
    lab.sizes = dataclasses.replace(lab.sizes, seeds={"cnn1": 2})
    assert dendrogram.needs(lab.sizes) == [Train("cnn1", 0), Train("cnn1", 1)]
    rows = {row["what"]: row for row in dendrogram.compute(lab)["rows"]}
    what = "Figure 6: classes in the smallest subtree that holds these 4"
    assert rows[f"{what} (layer-3 features)"]["ours"]["values"][0] == 5
    assert rows[f"{what} (layer-3 features)"]["ours"]["values"][1:] == rows[f"{what} (pixels)"]["ours"]["values"]
    assert (rows[f"{what} (layer-3 features)"]["paper"], rows[f"{what} (pixels)"]["paper"]) == (4, None)


def test_what_is_found_is_json(plankton: dict[str, Any], synthetic: dict[str, Any]) -> None:
    for found in (plankton, synthetic):
        json.dumps({key: value for key, value in found.items() if key != "arrays"}, allow_nan=False)


def test_data_without_look_alikes_or_truth(tmp_path: Path) -> None:
    """Two classes of other data: nothing to test, and still a figure."""
    found = dendrogram.compute(Planted(tmp_path, ["cat", "dog"], {0: np.eye(2), 3: np.eye(2)}))
    assert (found["measure"], found["difference"], found["features"]["agreement"]) == (None, None, None)
    assert found["features"]["parts"][0]["p"] is None
    FigureCanvasAgg(dendrogram.draw(found)).draw()


def test_the_figure_has_every_class_in_both_trees(plankton: dict[str, Any]) -> None:
    figure = dendrogram.draw(plankton)
    FigureCanvasAgg(figure).draw()
    first, second, features, pixels = figure.get_axes()
    plain = {name.replace("_", " ") for name in NAMES}
    for axes in (features, pixels):
        labels = [label.get_text().split("  ")[0] for label in axes.get_yticklabels()]
        assert set(labels) == plain and len(labels) == 9
        assert len(axes.collections[0].get_segments()) == 8             # joins
    assert [label.get_text().split("  ")[0] for label in second.get_yticklabels()] == [
        name.replace("_", " ") for name in plankton["features"]["parts"][1]["drawn"]]
    assert len(first.collections[0].get_segments()) == 4
    bold = [label.get_text() for label in pixels.get_yticklabels() if label.get_fontweight() == "bold"]
    assert len(bold) == 7 and sum(text.endswith("(a)") for text in bold) == 4
    assert "in a subtree of 5" in first.get_title(loc="left")


def test_a_join_is_drawn_at_its_height(plankton: dict[str, Any]) -> None:
    """The corners of all joins: from the tree itself."""
    axes = dendrogram.draw(plankton).get_axes()[2]
    heights = sorted(segment[:, 0].max() for segment in axes.collections[0].get_segments())
    np.testing.assert_allclose(heights, linkage(FEATURES, "average")[:, 2], rtol=1e-6)
    ends = np.concatenate([segment[segment[:, 0] == 0] for segment in axes.collections[0].get_segments()])
    assert sorted(ends[:, 1]) == list(axes.get_yticks()) == list(range(9))     # leaves are beside their names


def test_a_part_that_is_scattered_is_drawn_where_most_of_it_is(tmp_path: Path) -> None:
    """Three copepods are near each other, the fourth is beyond 20 other classes."""
    names = [*COPEPODS[:3], *(f"other{k}" for k in range(20)), COPEPODS[3]]
    values = np.array([0.0, 1, 2, *np.arange(100, 120), 500])[:, None]
    found = dendrogram.compute(Planted(tmp_path, names, {0: values, 3: values}))
    place = found["features"]["parts"][0]
    assert place["size"] == 24 and sorted(place["drawn"]) == sorted(COPEPODS[:3])
    assert "3 of 4" in dendrogram.draw(found).get_axes()[0].get_title(loc="left")


def test_a_part_that_is_scattered_everywhere_is_drawn_where_two_of_it_are(tmp_path: Path) -> None:
    """Two copepods with 18 other classes between them, and the others far away."""
    names = [COPEPODS[0], *(f"other{k}" for k in range(18)), *COPEPODS[1:]]
    values = np.array([*np.arange(20), 500, 2000])[:, None]
    place = dendrogram.compute(Planted(tmp_path, names, {0: values, 3: values}))["features"]["parts"][0]
    assert place["size"] == 22 and sorted(place["drawn"]) == sorted(names[:20])
