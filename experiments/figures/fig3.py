"""Figure 3: a random forest and two kinds of support vector machines on the features of each layer of CNN2."""
from __future__ import annotations

from typing import Any

from experiments.figures import layers
from experiments.pipeline.lab import Lab
from experiments.pipeline.stage import Stage
from experiments.settings import Preset

TITLE = "Figure 3: classifiers on the layers of CNN2"
PAPER: dict[Any, Any] = {"layer": 4, "network": 0.5597}

draw = layers.draw


def needs(sizes: Preset) -> list[Stage]:
    """Return the stages that `compute` asks for."""
    return layers.needs(sizes, "cnn2")


def compute(lab: Lab) -> dict[str, Any]:
    """Return the test accuracy of each classifier on each layer."""
    return layers.compute(lab, "cnn2", PAPER)
