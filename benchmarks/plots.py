"""What the pictures of benchmarks have in common: a point for each median, with the range of the rounds."""
from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from matplotlib.ticker import LogFormatter

from minicnn.figures import BLUE, ORANGE

__all__ = ["BLUE", "ORANGE", "points"]


def points(axes: Any, names: Sequence[str], groups: Mapping[str, tuple[Sequence[Sequence[float]], str]],
           unit: str) -> None:
    """Draw for each name, from the top down, one point of each group on a logarithmic axis.

    Points, not bars: a logarithmic axis has no zero for a bar to begin at.

    Parameters
    ----------
    axes : matplotlib axes
    names : sequence of str
        What was measured.
    groups : mapping
        For each library the rounds of each name, none where it was not measured, and a colour.
    unit : str
        Label of the axis.
    """
    for k, ((label, (values, colour)), marker) in enumerate(zip(groups.items(), cycle("os^"))):
        there = [row for row, rounds in enumerate(values) if rounds]
        middles = [statistics.median(values[row]) for row in there]
        ranges = [[middle - min(values[row]) for row, middle in zip(there, middles)],
                  [max(values[row]) - middle for row, middle in zip(there, middles)]]
        places = [row + 0.25 * (k - (len(groups) - 1) / 2) for row in there]
        axes.errorbar(middles, places, xerr=ranges, fmt=marker, color=colour, label=label, capsize=3)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
    axes.set_xlabel(f"{unit}, logarithmic; point: median, line: least to most of the rounds")
    axes.grid(alpha=0.3)
    axes.legend()
