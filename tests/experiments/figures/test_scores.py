"""Scores of features: top features by hand, sharing by enumeration, and what the bars show."""
from __future__ import annotations

import dataclasses
import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from experiments.analysis import centroids, trees
from experiments.figures import scores
from experiments.pipeline.stages import Train
from tests.experiments.planted import Planted

COPEPODS, PARTLY = centroids.PAPER_PARTS.values()
NAMES = (*COPEPODS, *PARTLY, "detritus_other")
# Features 0 to 2 are the copepods', 3 to 5 the others'.
SCORES = np.array([[9.0, 8, 7, 0, 0, 0], [9, 7, 8, 1, 0, 0], [8, 9, 7, 0, 0, 1], [9, 8, 0, 7, 0, 0],
                   [0, 0, 1, 9, 8, 7], [0, 0, 0, 9, 8, 7], [1, 0, 0, 7, 8, 9], [0, 6, 0, 9, 0, 5]])


def lab_of(out: Path, **seeds: np.ndarray) -> Planted:
    """Return a lab with the scores of the first seed, and others."""
    lab = Planted(out, NAMES, {(3, 0): SCORES, **{(3, int(name[4:])): values for name, values in seeds.items()}})
    lab.sizes = dataclasses.replace(lab.sizes, seeds={"cnn1": 1 + len(seeds)})
    return lab


def test_top_features_of_parts_and_classes(tmp_path: Path) -> None:
    copepods, partly = scores.compute(lab_of(tmp_path))["parts"]
    assert [one["top"] for one in copepods["classes"]] == [[0, 1, 2], [0, 2, 1], [1, 0, 2], [0, 1, 3]]
    assert copepods["top"] == [0, 1, 2]                     # means 8.75, 8, 5.5
    assert copepods["common"] == pytest.approx(11 / 12)     # all but one of four times three
    assert (partly["top"], partly["common"]) == ([3, 4, 5], 1)      # means 8.33, 8, 7.67
    assert [one["name"] for one in partly["classes"]] == list(PARTLY)
    np.testing.assert_allclose([one["scores"] for one in partly["classes"]], SCORES[4:7])


def test_sharing_by_hand() -> None:
    """Tops {0,1,2}, {0,1,3}, {3,4,5}, {0,4,5}: the pair alike shares 2 of 3; the others 0, 1, 1, 1 and 2 of 3."""
    values = np.array([[3.0, 2, 1, 0, 0, 0], [3, 2, 0, 1, 0, 0], [0, 0, 0, 1, 2, 3], [1, 0, 0, 0, 2, 3]])
    found = scores.sharing(values, trees.same_word(["a_1", "a_2", "b", "c"]), np.random.default_rng(0))
    assert found is not None
    assert (found["pairs"], found["alike"], found["others"]) == (1, pytest.approx(2 / 3), pytest.approx(5 / 3 / 5))
    pairs = {frozenset(order[:2]) for order in permutations(range(4))}
    assert len(pairs) == 6                                  # two of these six share 2 of 3 or more
    assert found["p"] == pytest.approx(2 / 6, abs=0.025)


def test_a_pair_is_alike_if_one_is_the_others_relative() -> None:
    """The closest to 2 are 0 and 1, though not the other way: all three pairs are alike, and none is left."""
    relatives = trees.closest_relatives(np.array([[0, 1, 3], [1, 0, 3], [3, 3, 0]]))
    assert scores.sharing(SCORES[:3], relatives, np.random.default_rng(0)) is None


def test_sharing_without_look_alikes() -> None:
    assert scores.sharing(SCORES[:3], np.zeros((3, 3), bool), np.random.default_rng(0)) is None


def test_fewer_features_than_three() -> None:
    """All of two features are in everybody's top."""
    found = scores.sharing(SCORES[:4, :2], trees.same_word(["a_1", "a_2", "b", "c"]), np.random.default_rng(0))
    assert found is not None and found["alike"] == found["others"] == 1


def test_samples_are_the_first_training_images_of_the_class(tmp_path: Path) -> None:
    lab = lab_of(tmp_path)
    found = scores.compute(lab)
    train = lab.three[0]
    assert set(found["arrays"]) == {*COPEPODS, *PARTLY}
    np.testing.assert_array_equal(found["arrays"][PARTLY[0]], train.images[train.labels == 4][:4])


def test_rows_spread_over_seeds_and_do_not_compare_numbers_of_features(tmp_path: Path) -> None:
    """In the second network all classes share all."""
    lab = lab_of(tmp_path, seed1=np.tile(SCORES[:1], (8, 1)) + 1e-3 * np.arange(8)[:, None])
    assert scores.needs(lab.sizes) == [Train("cnn1", 0), Train("cnn1", 1)]
    rows = scores.compute(lab)["rows"]
    assert "0, 1, 2, of another network than the paper's 16, 24, 40" in rows[0]["what"]
    assert all(row["paper"] is None for row in rows)
    # Copepods: {0,1,2} three times and {0,1,3}: three pairs share 3, three share 2.
    assert rows[2]["ours"]["values"] == pytest.approx([5 / 6, 1])


def test_what_is_found_is_json(tmp_path: Path) -> None:
    found = scores.compute(lab_of(tmp_path))
    json.dumps({key: value for key, value in found.items() if key != "arrays"}, allow_nan=False)


def test_the_bars_are_the_scores(tmp_path: Path) -> None:
    found = scores.compute(lab_of(tmp_path))
    figure = scores.draw(found)
    FigureCanvasAgg(figure).draw()
    bars = [axes for axes in figure.get_axes() if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in bars] == [name.replace("_", " ") for name in (*COPEPODS, *PARTLY)]
    for axes, values in zip(bars, SCORES):
        (drawn,) = axes.containers
        np.testing.assert_allclose([bar.get_height() for bar in drawn], values, atol=1e-5)
        assert {text.get_text() for text in axes.texts} == {str(f) for f in np.argsort(-values, kind="stable")[:3]}
        colours = [bar.get_facecolor() for bar in drawn]
        marked = [f for f in range(6) if colours[f] == colours[int(values.argmax())]]
        assert len(set(colours)) == 2 and marked == sorted(np.argsort(-values, kind="stable")[:3])
    assert sum(len(axes.images) for axes in figure.get_axes()) == 7 * 4


def test_colour_images_few_samples_and_silent_features(tmp_path: Path) -> None:
    """A network whose features are all 0 still has a figure."""
    lab = Planted(tmp_path, ["cat", "dog"], {3: np.zeros((2, 64))}, channels=3)
    found = scores.compute(lab)
    found["arrays"]["cat"] = found["arrays"]["cat"][:1]
    FigureCanvasAgg(scores.draw(found)).draw()
    picture = scores.as_seen(lab.three[0].images[0])
    np.testing.assert_array_equal(picture[3, 4], lab.three[0].images[0, :, 3, 4])


def test_one_channel_is_drawn_dark_on_white() -> None:
    assert scores.as_seen(np.array([[[0.25]]])).tolist() == [[[0.75, 0.75, 0.75]]]
