"""What features see: the chosen features, their images and projections, and how they are drawn."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from experiments.analysis import centroids
from experiments.analysis.centroids import Centroids, Part
from experiments.figures import deconvnet
from experiments.pipeline.stages import Train
from minicnn import deconvnet as projections
from tests.experiments.planted import Planted

COPEPODS, PARTLY = centroids.PAPER_PARTS.values()
NAMES = (*COPEPODS, *PARTLY)
SCORES = np.zeros((7, 64))
SCORES[:4, [40, 16, 24]] = 9, 8, 7
SCORES[4:, [5, 40, 36]] = 9, 8, 7


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Return a lab with the untrained network of seed 0."""
    return Planted(tmp_path_factory.mktemp("deconvnet"), NAMES, {3: SCORES})


@pytest.fixture(scope="module")
def found(lab: Planted) -> dict[str, Any]:
    return deconvnet.compute(lab)


def test_it_needs_the_network_of_the_first_seed(lab: Planted) -> None:
    assert deconvnet.needs(lab.sizes) == [Train("cnn1", 0)]


def test_features_of_layer_3_are_the_top_ones_of_the_parts(found: dict[str, Any]) -> None:
    """40 is on top in both parts: shown once."""
    assert [(one["feature"], one["part"]) for one in found["features"] if one["layer"] == 3] == [
        (40, "Figure 6"), (16, "Figure 6"), (5, "Figure 9"), (36, "Figure 9")]


def test_a_part_whose_features_are_all_taken_shows_none() -> None:
    classes = Centroids(np.arange(2), ("a", "b"), np.array([[3.0, 2], [2, 3]]))
    chosen = deconvnet.choose(classes, [Part("A", ("a",)), Part("B", ("b",))])
    assert [(layer, feature, part and part.title) for layer, feature, part in chosen] == [(3, 0, "A"), (3, 1, "A")]


def test_the_features_of_lower_layers_are_the_strongest(lab: Planted, found: dict[str, Any]) -> None:
    net, images = lab.network("cnn1", 0), lab.three[2].images
    for layer, one in zip((1, 2), found["features"]):
        maps = net.features(images, layer).reshape(len(images), *net.shapes[layer])
        assert (one["layer"], one["part"], one["share"]) == (layer, None, None)
        assert one["feature"] == maps.max(axis=(2, 3)).mean(axis=0).argmax()


def test_the_strongest_feature_is_that_of_the_highest_peaks() -> None:
    """Two maps of two cells in two images: peaks 5 and 1 against 2 and 2, though the second map's mean is higher."""
    class Net:
        shapes = ((1, 1, 2), (2, 1, 2))

        def features(self, images: np.ndarray, layer: int) -> np.ndarray:
            return np.array([[5.0, 0, 2, 2], [1, 0, 2, 2]])

    assert deconvnet.strongest_channel(Net(), np.zeros((2, 1, 1, 2)), 1) == 0


def test_images_are_the_strongest_of_the_test_images(lab: Planted, found: dict[str, Any]) -> None:
    net, test = lab.network("cnn1", 0), lab.three[2]
    for one in found["features"]:
        maps = net.features(test.images, one["layer"]).reshape(len(test), *net.shapes[one["layer"]])
        highest = maps[:, one["feature"]].max(axis=(1, 2))
        assert one["rows"] == np.argsort(-highest, kind="stable")[:9].tolist()
        np.testing.assert_allclose(one["activations"], np.sort(highest)[::-1][:9], rtol=1e-4)
        assert one["classes"] == [NAMES[label] for label in test.labels[one["rows"]]]
        images = found["arrays"][f"images-{one['layer']}-{one['feature']}"]
        np.testing.assert_array_equal(images, test.images[one["rows"]])


def test_projections_are_the_deconvnets_and_lie_in_the_fields(lab: Planted, found: dict[str, Any]) -> None:
    for one in found["features"]:
        name = f"{one['layer']}-{one['feature']}"
        images, seen = found["arrays"][f"images-{name}"], found["arrays"][f"projections-{name}"]
        expected = projections.project(lab.network("cnn1", 0), images, one["layer"], one["feature"])
        np.testing.assert_array_equal(seen, expected)
        for picture, (top, bottom, left, right) in zip(seen.copy(), one["fields"]):
            assert (bottom - top, right - left) == {1: (6, 6), 2: (16, 16), 3: (28, 28)}[one["layer"]]
            picture[:, top:bottom, left:right] = 0
            assert not picture.any()


def test_the_share_of_images_that_show_the_part(found: dict[str, Any]) -> None:
    for one in found["features"][2:]:
        wanted = {"Figure 6": COPEPODS, "Figure 9": PARTLY}[one["part"]]
        assert one["share"] == pytest.approx(sum(name in wanted for name in one["classes"]) / 9)
        assert one["chance"] == pytest.approx(len(wanted) / 7)          # two test images of each class
    assert [row["ours"]["values"][0] for row in found["rows"]] == [one["share"] for one in found["features"][2:]]


def test_what_is_found_is_json(found: dict[str, Any]) -> None:
    json.dumps({key: value for key, value in found.items() if key != "arrays"}, allow_nan=False)


def test_the_figure_shows_crops_side_by_side(found: dict[str, Any]) -> None:
    figure = deconvnet.draw(found)
    FigureCanvasAgg(figure).draw()
    left, right = figure.get_axes()[:2]
    one = found["features"][0]
    top, bottom, first, last = one["fields"][0]
    crop = found["arrays"][f"images-1-{one['feature']}"][0, 0, top:bottom, first:last]
    drawn = left.images[0].get_array()
    np.testing.assert_allclose(drawn[:60:10, :60:10, 0], 1 - crop, atol=1e-6)       # 6 pixels, each of 10 dots
    assert right.images[0].get_array().shape == drawn.shape == (186, 186, 3)
    assert len(figure.get_axes()) == 2 * len(found["features"])


def test_colours_are_symmetric_about_zero_and_of_one_scale() -> None:
    """The largest magnitude of all, 4, is a negative one: it alone has the darkest blue, and 2 is half way to red."""
    values = np.array([-4.0, 0, 2, 4]).reshape(4, 1, 1, 1)
    least, zero, half, most = deconvnet.in_colours(values)[:, 0, 0]
    darkest, lightest, reddest = deconvnet.matplotlib.colormaps["RdBu_r"]([0.0, 0.5, 1.0])[:, :3]
    np.testing.assert_array_equal([least, zero, most], [darkest, lightest, reddest])
    assert zero.min() > 0.95 and half[0] > half[2] and half[2] > most[2]
    np.testing.assert_array_equal(deconvnet.in_colours(values[:3])[:3, 0, 0], [least, zero, half])


def test_three_channels_are_colours_around_gray() -> None:
    drawn = deconvnet.in_colours(np.array([2.0, 0, -1]).reshape(1, 3, 1, 1))
    assert drawn.ravel().tolist() == [1.0, 0.5, 0.25]


def test_a_silent_feature_is_gray_or_white() -> None:
    assert deconvnet.in_colours(np.zeros((2, 1, 3, 3))).min() > 0.95
    assert (deconvnet.in_colours(np.zeros((2, 3, 3, 3))) == 0.5).all()


def test_a_mosaic_of_fewer_and_of_clipped_pictures() -> None:
    """Two pictures, the second cut off at an edge: the rest is the grey of the lines."""
    square = deconvnet.mosaic([np.zeros((60, 60, 3)), np.ones((40, 60, 3))])
    assert square.shape == (186, 186, 3)
    assert not square[:60, :60].any() and (square[:40, 63:123] == 1).all()
    assert (square[40:, 60:] == deconvnet.GREY).all() and (square[60:] == deconvnet.GREY).all()


def test_colour_images(tmp_path: Path) -> None:
    lab = Planted(tmp_path, ["cat", "dog"], {3: SCORES[[0, 4]]}, channels=3)
    found = deconvnet.compute(lab)
    assert len(found["features"][0]["rows"]) == 4           # all test images
    FigureCanvasAgg(deconvnet.draw(found)).draw()
