"""Figure 8: what does a feature see? DeConvNet projections of the features on top of the classes shown.

For each feature the nine test images in which it is strongest, and beside them what the DeConvNet (`minicnn.deconvnet`)
projects back of that activation, both cropped to the pixels which it can see. The features of layer 3 are those that
Figures 7 and 10 find on top of their classes. One feature each of layers 1 and 2, the one that is strongest over the
test images, shows what the higher ones are made of.

The paper names what it sees: "rounded blobs", "small tentacles". Beside the impression here is a number: how many of
the nine images show one of the classes whose top feature this is, and how many would if they were taken at random?
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure, SubFigure

from experiments.analysis import centroids
from experiments.analysis.centroids import LAYER, Part
from experiments.analysis.comparison import spread
from experiments.figures.scores import as_seen, describe
from experiments.pipeline.lab import Lab
from experiments.pipeline.stage import Stage
from experiments.pipeline.stages import Train
from experiments.settings import SIZES, Preset
from minicnn import deconvnet
from minicnn.network import Network

TITLE = "Figure 8: what features see"
SIDE = 3                # of the square of images of a feature
EACH = 2                # features of layer 3 for each part of the tree
FINE = 60               # dots of a picture
LINE, GREY = 3, 0.75    # width in dots and shade of the lines between them


def needs(sizes: Preset) -> list[Stage]:
    """Return the stages that `compute` asks for: the network of the first seed."""
    return [Train("cnn1", 0)]


def compute(lab: Lab) -> dict[str, Any]:
    """Return the chosen features and the images they are strongest in; as arrays, these images and projections."""
    net, test = lab.network("cnn1", 0), lab.parts(SIZES["cnn1"])[2]
    classes = centroids.of(*lab.known("cnn1", 0, LAYER), lab.class_names)
    parts = centroids.parts(classes.names, centroids.tree_of(classes.values))
    chosen = [(layer, strongest_channel(net, test.images, layer), None) for layer in range(1, LAYER)]
    features, arrays = [], {}
    for layer, feature, part in chosen + choose(classes, parts):
        best = deconvnet.strongest(net, test.images, layer, feature, SIDE * SIDE)
        images = test.images[best.rows]
        names = [test.class_names[label] for label in test.labels[best.rows]]
        wanted = [] if part is None else [test.class_names.index(name) for name in part.names]
        features.append({
            "layer": layer, "feature": feature, "part": part and part.title,
            "share": part and float(np.isin(test.labels[best.rows], wanted).mean()),
            "chance": part and float(np.isin(test.labels, wanted).mean()),
            "rows": best.rows.tolist(), "classes": names, "activations": best.activations.tolist(),
            "fields": [list(deconvnet.receptive_field(net, layer, *position)) for position in best.positions.tolist()]})
        arrays[f"images-{layer}-{feature}"] = images
        arrays[f"projections-{layer}-{feature}"] = deconvnet.project(net, images, layer, feature)
    rows = [{"what": f"feature {one['feature']} of layer {LAYER}, top in {one['part']}: share of its "
                     f"{len(one['rows'])} strongest images that show these classes (by chance {one['chance']:.1%})",
             "paper": None, "ours": spread([one["share"]])} for one in features if one["part"]]
    return {"features": features, "rows": rows, "arrays": arrays}


def choose(classes: centroids.Centroids, parts: list[Part]) -> list[tuple[int, int, Part | None]]:
    """Return layer, feature and part for the top features of each part, each feature once.

    Examples
    --------
    Both parts have feature 2 among their top three; the first one keeps it.

    >>> classes = centroids.Centroids(np.arange(2), ("a", "b"), np.array([[9.0, 1, 8, 0], [1, 7, 8, 3]]))
    >>> [(feature, part.title) for _, feature, part in choose(classes, [Part("A", ("a",)), Part("B", ("b",))])]
    [(0, 'A'), (2, 'A'), (1, 'B'), (3, 'B')]
    """
    chosen: list[tuple[int, int, Part | None]] = []
    for part in parts:
        scores = classes.values[[classes.names.index(name) for name in part.names]]
        fresh = [feature for feature in describe(scores, part.names)["top"]
                 if feature not in [taken for _, taken, _ in chosen]]
        chosen += [(LAYER, feature, part) for feature in fresh[:EACH]]
    return chosen


def strongest_channel(net: Network, images: np.ndarray, layer: int) -> int:
    """Return the feature map of a layer whose largest activation is largest, on the average over images."""
    channels = net.shapes[layer][0]
    activations = net.features(images, layer).reshape(len(images), channels, -1)                  # (N, C, OH*OW)
    return int(activations.max(axis=2).mean(axis=0).argmax())


def draw(found: dict[str, Any]) -> Figure:
    """Draw two squares for each feature: the images, and their projections on one scale that is symmetric about 0."""
    features = found["features"]
    lines = -(-len(features) // 2)
    figure = Figure(figsize=(10, 2.9 * lines + 0.4), layout="constrained")
    pieces: Any = figure.subfigures(lines, 2, squeeze=False)
    for piece, one in zip(pieces.ravel(), features):
        name = f"{one['layer']}-{one['feature']}"
        _feature(piece, one, found["arrays"][f"images-{name}"], found["arrays"][f"projections-{name}"])
    channels = found["arrays"][f"projections-{name}"].shape[1]
    colours = "red positive (ink), blue negative, white 0" if channels == 1 else "gray 0"
    figure.supxlabel(f"Left: images, cropped to what the feature sees. Right: projections, {colours}.", fontsize=9)
    return figure


def _feature(piece: SubFigure, one: dict[str, Any], images: np.ndarray, projections: np.ndarray) -> None:
    name, count = Counter(one["classes"]).most_common(1)[0]
    of = f", top in {one['part']}" if one["part"] else ""
    piece.suptitle(f"Layer {one['layer']}, feature {one['feature']}{of}\n{count} of {len(one['classes'])}: "
                   f"{name.replace('_', ' ')}", fontsize=9)
    both: list[Sequence[np.ndarray]] = [[as_seen(image) for image in images], list(in_colours(projections))]
    for axes, whole in zip(piece.subplots(1, 2), both):
        crops = [image[top:bottom, left:right] for image, (top, bottom, left, right) in zip(whole, one["fields"])]
        axes.imshow(mosaic(crops), interpolation="nearest")
        axes.set_axis_off()


def in_colours(projections: np.ndarray) -> np.ndarray:
    """Return projections (N, C, H, W) as pictures (N, H, W, 3), all on one scale.

    One channel is drawn from blue over white, which is 0, to red; three are the colours that they are, around gray.

    Examples
    --------
    >>> in_colours(np.array([[[[-2.0]]], [[[0.0]]], [[[1.0]]]])).round(1)[:, 0, 0].tolist()
    [[0.0, 0.2, 0.4], [1.0, 1.0, 1.0], [0.9, 0.5, 0.4]]
    """
    limit = float(np.abs(projections).max()) or 1.0
    shares = np.moveaxis(0.5 + projections / limit / 2, 1, -1)                                    # (N, H, W, C)
    return matplotlib.colormaps["RdBu_r"](shares[..., 0])[..., :3] if shares.shape[-1] == 1 else shares


def mosaic(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Put up to nine pictures (h, w, 3) in a square, row by row, with thin lines between them.

    Examples
    --------
    >>> two = mosaic([np.zeros((2, 1, 3)), np.ones((2, 1, 3))])
    >>> two.shape, two[0, [0, 29, 30, 31, 32, 33], 0].tolist()
    ((186, 96, 3), [0.0, 0.0, 0.75, 0.75, 0.75, 1.0])
    """
    largest = max(max(picture.shape[:2]) for picture in pictures)
    pixel = max(1, FINE // largest)                                     # few pixels become large ones
    pictures = [picture.repeat(pixel, axis=0).repeat(pixel, axis=1) for picture in pictures]
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    square = np.full((SIDE * (height + LINE) - LINE, SIDE * (width + LINE) - LINE, 3), GREY)
    for place, picture in enumerate(pictures):
        y, x = place // SIDE * (height + LINE), place % SIDE * (width + LINE)
        square[y:y + picture.shape[0], x:x + picture.shape[1]] = picture
    return square
