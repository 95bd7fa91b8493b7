"""Trees in words and pictures: word for word scikit-learn's text of the same tree; what the boxes say."""
from __future__ import annotations

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree import export_text as reference_text

from classifiers.forest.export import export_text, plot_tree
from classifiers.forest.tree import NODE, Tree

from .cases import grow, some_data


def both(seed=0, missing=0.0):
    """One tree of ours and the same one of scikit-learn: one feature, so nothing depends on the order of drawing."""
    X, codes, _ = some_data(seed, n=80, missing=missing)
    X = X[:, :1]
    tree, *_ = grow(X, codes)
    return tree, DecisionTreeClassifier().fit(X, codes)


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("options", [{}, {"max_depth": 0}, {"max_depth": 2}, {"decimals": 4, "max_depth": 3},
                                     {"feature_names": ["area"], "class_names": ["a", "b", "c"]}], ids=str)
def test_the_text_is_that_of_scikit_learn(options, missing):
    tree, model = both(missing=missing)
    assert tree.node_count > 30
    assert export_text(tree, **options) == reference_text(model, **options)


def test_the_threshold_that_asks_for_missing_values_reads_inf_as_in_scikit_learn():
    X, codes = [[1], [2], [float("nan")]], [0, 0, 1]
    tree, *_ = grow(X, codes)
    assert export_text(tree).startswith("|--- feature_0 <= inf\n")
    assert export_text(tree) == reference_text(DecisionTreeClassifier().fit(X, codes))


def test_a_tree_of_one_leaf():
    tree, *_ = grow([[1], [1]], [1, 1])
    assert export_text(tree) == "|--- class: 1\n"
    assert len(plot_tree(tree).axes[0].texts) == 1


def test_a_very_deep_tree_needs_no_recursion():
    splits = 3000  # each cuts off one sample on its left
    nodes = np.zeros(2 * splits + 1, NODE)
    nodes["feature"], nodes["threshold"], nodes["child"], nodes["samples"] = -1, 1, -1, 1
    nodes[np.arange(0, 2 * splits, 2)] = [(0, i + 0.5, 2 * i + 1, splits + 1 - i) for i in range(splits)]
    tree = Tree(nodes, np.zeros(len(nodes), np.uint8), np.zeros(1, np.int64), np.zeros(0, np.int32),
                np.zeros(0, np.float32), n_classes=1, n_features=1)
    assert tree.max_depth == splits
    assert export_text(tree, max_depth=splits).count("\n") == 3 * splits + 1
    assert f"... {splits - 1} level" in plot_tree(tree, max_depth=1).axes[0].texts[-1].get_text()


@pytest.mark.parametrize("function", [export_text, plot_tree])
def test_names_must_fit(function):
    tree, _ = both()
    with pytest.raises(ValueError, match="feature_names has 2 names: expected 1"):
        function(tree, feature_names=["a", "b"])
    with pytest.raises(ValueError, match="class_names has 1 names: expected 3"):
        function(tree, class_names=["a"])


# -------------------------------------------------------------------------------------------------- the picture

def boxes(figure):
    """Text and position of the boxes, without the answers beside the lines."""
    return {text.get_text(): text.get_position() for text in figure.axes[0].texts
            if text.get_text() not in ("yes", "no")}


EXAMPLE = [[1], [2], [3], [4], [5]], [0, 0, 1, 0, 1]


def test_what_the_boxes_of_the_worked_example_say_and_where_they_stand():
    found = boxes(plot_tree(grow(*EXAMPLE)[0], ["length"], ["copepod", "chain"], max_depth=2))
    root, left, right = ("length <= 2.50\n5 samples\ncopepod 60 %", "2 samples\ncopepod 100 %",
                         "length <= 3.50\n3 samples\nchain 67 %")
    assert found == {root: (0.75, 0), left: (0, -1), right: (1.5, -1), "1 sample\nchain 100 %": (1, -2),
                     "length <= 4.50\n2 samples\ncopepod 50 %\n... 1 level below": (2, -2)}


def test_every_box_lies_inside_the_figure_and_none_on_another():
    X, codes, _ = some_data(1, n=200)
    figure = plot_tree(grow(X, codes)[0], [f"a long name of feature {i}" for i in range(4)], max_depth=4)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    patches = [text.get_bbox_patch().get_window_extent(renderer) for text in figure.axes[0].texts
               if text.get_text() not in ("yes", "no")]
    assert len(patches) > 15
    for i, box in enumerate(patches):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        assert not any(box.overlaps(other) for other in patches[:i])


def test_purer_is_darker_and_100_percent_is_said_of_pure_nodes_only():
    tree, *_ = grow(np.arange(1001)[:, None], [0] * 1000 + [1])
    figure = plot_tree(tree)
    faces = {t.get_text(): t.get_bbox_patch().get_facecolor()[0] for t in figure.axes[0].texts if t.get_bbox_patch()}
    root, pure = "feature_0 <= 999.50\n1001 samples\nclass 0 99 %", "1000 samples\nclass 0 100 %"
    assert faces[pure] < faces[root]
