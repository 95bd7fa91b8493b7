"""The replay of a tree's growth: the same tree, what a step says, and the plane after each split."""
from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from classifiers.forest.growing import grow_loops
from classifiers.forest.replay import COLOURS, replay

from .cases import assert_trees_equal, some_data, some_weights


def the_plane(seed=0, missing=0.0, kind="counts", n=60, **parameters):
    X, codes, rng = some_data(seed, n=n, missing=missing)
    X, weights = X[:, :2].copy(), some_weights(kind, rng, n)
    return replay(X, codes, weights, 3, np.array([77], np.uint64), 1, **parameters)


def test_watching_does_not_change_the_tree():
    seen = the_plane(missing=0.1, criterion="entropy", min_samples_leaf=2)
    tree, importances = grow_loops(seen.X, seen.codes, seen.weights, 3, np.array([77], np.uint64), 1,
                                   criterion="entropy", min_samples_leaf=2)
    assert_trees_equal(seen.tree, tree)
    np.testing.assert_array_equal(seen.importances, importances)
    assert len(seen.steps) == tree.node_count and seen.n_splits == tree.node_count - tree.n_leaves


def test_the_decreases_of_the_steps_add_up_to_the_importances():
    seen = the_plane()
    by_feature = [sum(s.decrease for s in seen.steps if s.best and s.best.feature == f) for f in range(2)]
    np.testing.assert_allclose(by_feature, seen.importances)


def test_a_step_in_words():
    X = np.array([[1, 5], [2, 5], [np.nan, 5]], np.float32)
    seen = replay(X, np.array([1, 1, 0]), np.array([2, 1, 3]), 2, np.array([5], np.uint64), 2)
    assert str(seen) == "\n".join([
        "node 0, depth 0, split: samples 3, weight 6 (class 0: 3, class 1: 3)",
        "    feature 0: 3 candidates, best score 6 at inf",
        "    chosen: feature 0 <= inf (missing: right), decrease 3, samples 2 left, 1 right",
        "node 1, depth 1, leaf: samples 2, weight 3 (class 1: 3)",
        "node 2, depth 1, leaf: samples 1, weight 3 (class 0: 3)"])


def rectangles(figure):
    return [(p.get_x(), p.get_y(), p.get_x() + p.get_width(), p.get_y() + p.get_height(), p.get_facecolor()[:3])
            for p in figure.axes[0].patches if isinstance(p, Rectangle)]


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_the_regions_tile_the_plane_after_every_split(missing):
    seen = the_plane(missing=missing)
    (x0, y0, x1, y1, _), = rectangles(seen.figure(0))
    for splits in range(seen.n_splits + 1):
        drawn = rectangles(seen.figure(splits))
        assert len(drawn) == splits + 1
        assert sum((c - a) * (d - b) for a, b, c, d, _ in drawn) == pytest.approx((x1 - x0) * (y1 - y0))


def test_the_colour_of_a_region_is_what_the_tree_answers_there():
    seen = the_plane(kind="ones")
    for a, b, c, d, colour in rectangles(seen.figure()):
        answer = seen.tree.predict_proba([[(a + c) / 2, (b + d) / 2]]).argmax()
        expected = tuple(int(COLOURS[answer][i:i + 2], 16) / 255 for i in (1, 3, 5))
        assert colour == pytest.approx(expected)


def test_the_last_cut_is_drawn_across_the_region_that_it_cut():
    X = np.array([[0, 0], [10, 0], [10, 10]], np.float32)
    seen = replay(X, np.array([0, 1, 2]), np.ones(3, np.int64), 3, np.array([99 << 40], np.uint64), 2)
    first, second = (seen.figure(i).axes[0].lines[0].get_xydata().tolist() for i in (1, 2))
    f = seen.steps[0].best.feature
    assert [point[f] for point in first] == pytest.approx([5, 5])
    assert sorted(point[1 - f] for point in first) == pytest.approx([-0.5, 10.5])
    assert [point[1 - f] for point in second] == pytest.approx([5, 5])
    far = (5, 10.5) if f == 0 else (-0.5, 5)
    assert sorted(point[f] for point in second) == pytest.approx(sorted(far))
    assert not seen.figure(0).axes[0].lines


def test_out_of_bag_samples_are_hollow_and_all_are_there():
    seen = the_plane()
    clouds = seen.figure().axes[0].collections
    hollow = sum(len(cloud.get_offsets()) for cloud in clouds if not len(cloud.get_facecolors()))
    assert hollow == (seen.weights == 0).sum() > 0
    assert sum(len(cloud.get_offsets()) for cloud in clouds) == len(seen.X)


def test_what_cannot_be_drawn_is_refused():
    seen = the_plane(max_depth=1)
    for splits in (-1, 2):
        with pytest.raises(ValueError, match=f"splits={splits}: expected 0 to 1"):
            seen.figure(splits)
    X, codes, _ = some_data(0, n=30)
    with pytest.raises(ValueError, match="4 features and 3 classes"):
        replay(X, codes, np.ones(30, np.int64), 3, np.array([1], np.uint64), 1).figure()
    with pytest.raises(ValueError, match="2 features and 9 classes"):
        replay(X[:, :2], codes, np.ones(30, np.int64), 9, np.array([1], np.uint64), 1).figure()
