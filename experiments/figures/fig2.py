"""Figure 2: a random forest and two kinds of support vector machines on the features of each layer of CNN1."""
from __future__ import annotations

from typing import Any

from experiments.figures import layers
from experiments.pipeline.lab import Lab
from experiments.pipeline.stage import Stage
from experiments.settings import Preset

TITLE = "Figure 2: classifiers on the layers of CNN1"
PAPER: dict[Any, Any] = {"layer": 3, "network": 0.5263, ("ovo", 3): 0.6393}

draw = layers.draw


def needs(sizes: Preset) -> list[Stage]:
    """Return the stages that `compute` asks for."""
    return layers.needs(sizes, "cnn1")


def compute(lab: Lab) -> dict[str, Any]:
    """Return the test accuracy of each classifier on each layer."""
    return layers.compute(lab, "cnn1", PAPER)
