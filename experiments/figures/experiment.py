"""The experiments: their names, what a module must have to be one, and how they are run and drawn.

Only stages take long, and their results are stored; `compute` and `draw` run anew every time.
"""
from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from experiments.analysis.claims import Found
from experiments.pipeline.lab import Lab
from experiments.pipeline.stage import Stage
from experiments.settings import Preset
from minicnn.npz import write_atomically

EXPERIMENTS = ("fig1", "fig2", "fig3", "fig4", "fig5", "bagging", "table4", "dendrogram", "scores", "deconvnet",
               "timing")


class Experiment(Protocol):
    """A module of this folder that makes one table or figure.

    Attributes
    ----------
    TITLE : str
        What it is, in one line.
    """

    TITLE: str

    @staticmethod
    def needs(sizes: Preset, /) -> list[Stage]:
        """Return the stages whose results `compute` reads."""

    @staticmethod
    def compute(lab: Lab, /) -> dict[str, Any]:
        """Return numbers from the results of those stages, as JSON values.

        Two keys are common to all experiments: ``rows`` are the cells to compare with the paper's
        (`analysis.comparison.Row`), ``arrays`` are pictures and the like, which stay out of ``results.json``.
        """

    @staticmethod
    def draw(found: dict[str, Any], /) -> Figure:
        """Return the picture of what `compute` found."""


def module(name: str) -> Experiment:
    """Return the module of an experiment.

    Examples
    --------
    >>> module("fig2").TITLE
    'Figure 2: classifiers on the layers of CNN1'
    """
    return cast(Experiment, import_module(f"experiments.figures.{name}"))


def needs(names: Iterable[str], sizes: Preset) -> list[Stage]:
    """Return the stages that some experiments name; several may name the same one."""
    return [stage for name in names for stage in module(name).needs(sizes)]


def compute(lab: Lab, names: Iterable[str]) -> Found:
    """Return what each experiment found."""
    return {name: module(name).compute(lab) for name in names}


def draw(out: Path, found: Mapping[str, dict[str, Any]]) -> dict[str, Path]:
    """Write the picture of each experiment as PNG and SVG, and return the paths of the PNGs."""
    paths = {}
    for name, values in found.items():
        figure = module(name).draw(values)
        FigureCanvasSVG(figure)
        drawn = io.BytesIO()
        with rc_context({"svg.hashsalt": name}):        # its names of lines and markers are otherwise drawn at random
            figure.savefig(drawn, format="svg", metadata={"Date": None})
        write_atomically(out / f"{name}.svg", drawn.getvalue())
        FigureCanvasAgg(figure)
        paths[name], drawn = out / f"{name}.png", io.BytesIO()
        figure.savefig(drawn, format="png", dpi=110, metadata={"Software": None})
        write_atomically(paths[name], drawn.getvalue())
    return paths
