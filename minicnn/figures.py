"""The pictures of a training run: its curves, and test images with what the network says they are.

Figures are made with matplotlib's objects, never with ``pyplot``: nothing global is changed, no window opens,
and nothing has to be closed. Where colour says something, a symbol, a word or a line style says it too.
"""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Two of Okabe and Ito's colours, told apart with any kind of colour vision (Wong, Nature Methods 8:441, 2011).
BLUE, ORANGE = "#0072B2", "#D55E00"


def history(columns: Mapping[str, Sequence[Any]], best: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Draw loss and accuracy of every epoch of a training run, and mark the epoch whose weights were kept.

    Parameters
    ----------
    columns : mapping of str to sequence
        The columns of a `minicnn.history.History` by name, each with one number for every epoch.
    best : mapping of str to number
        The record of the epoch whose weights were kept.
    path : str or path
        The picture file to write.
    """
    epochs = columns["epoch"]
    figure = Figure(figsize=(10, 4), layout="constrained")
    titles = {"loss": "cross-entropy (nats)", "accuracy": "accuracy"}
    for axes, (key, label) in zip(figure.subplots(1, 2), titles.items()):
        marker = "o" if len(epochs) < 30 else None
        axes.plot(epochs, columns[key], "--", color=ORANGE, marker=marker, markersize=4,
                  label="training (running mean)")
        axes.plot(epochs, columns[f"valid_{key}"], "-", color=BLUE, marker=marker, markersize=4,
                  label="validation")
        value = best[f"valid_{key}"]
        axes.plot(best["epoch"], value, "*", color="black", markersize=13, zorder=3,
                  label=f"kept: epoch {best['epoch']}, {value:.4f}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    _write(figure, path)


def predictions(images: Any, labels: Any, probabilities: Any, class_names: tuple[str, ...],
                path: str | os.PathLike[str], columns: int = 6, rows: int = 4) -> None:
    """Draw images with the predicted and the true class below them, right ones and wrong ones marked.

    Parameters
    ----------
    images : array (N, C, H, W)
        Pixels in [0, 1], one channel (drawn as dark on white) or three.
    labels : array (N,)
        True classes.
    probabilities : array (N, K)
        Class probabilities, from `Network.predict_proba`.
    class_names : tuple of K str
        What to call the classes.
    path : str or path
        Picture file to write.
    columns, rows : int
        The first ``columns * rows`` images are drawn.

    Raises
    ------
    ValueError
        There is no image.
    """
    count = min(len(images), columns * rows)
    if count == 0:
        raise ValueError("no image to draw: expected at least one")
    columns = min(columns, count)
    rows = -(-count // columns)
    predicted = np.argmax(probabilities, axis=1)
    figure = Figure(figsize=(2.1 * columns, 2.55 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for i, axes in enumerate(grid[:count]):
        # Data sets hold plankton as bright on dark; on paper it is drawn as it looks under the microscope.
        if images.shape[1] == 1:
            axes.imshow(1 - images[i, 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        else:
            axes.imshow(np.moveaxis(images[i], 0, -1), interpolation="nearest")
        k, right = predicted[i], predicted[i] == labels[i]
        text = f"{'✓' if right else '✗'} {_short(class_names[k])} {probabilities[i, k]:.0%}"
        text += "" if right else f"\ntrue: {_short(class_names[labels[i]])}"
        axes.set_title(text, fontsize=8, color=BLUE if right else ORANGE, loc="left")
        for spine in axes.spines.values():
            spine.set(color=BLUE if right else ORANGE, linewidth=1.5, linestyle="-" if right else "--")
    for axes in grid:
        axes.set(xticks=[], yticks=[])
    for axes in grid[count:]:
        axes.set_axis_off()
    right_of_all = int((predicted[:count] == labels[:count]).sum())
    figure.suptitle(f"{count} images: {right_of_all} right (✓, solid frame), {count - right_of_all} wrong "
                    "(✗, dashed frame), with the probability of the prediction", fontsize=10)
    _write(figure, path)


def _short(name: str, longest: int = 24) -> str:
    """Return a class name that fits above an image: names of the real set have up to 40 letters."""
    plain = name.replace("_", " ")
    return plain if len(plain) <= longest else plain[:longest - 9] + "…" + plain[-8:]


def _write(figure: Figure, path: str | os.PathLike[str]) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(os.fspath(path), dpi=120)
