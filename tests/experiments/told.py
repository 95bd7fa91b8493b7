"""A lab whose stages are told what they found: nothing is trained, and every number can be reckoned by hand."""
from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from experiments.pipeline.lab import Lab
from experiments.pipeline.stage import Stage
from experiments.pipeline.stages import Choose, Forest, Machines, Train
from experiments.pipeline.store import Result
from experiments.settings import SIZES, Settings

TEST = 20       # test images of 160


def told_lab(out: Path, **sizes: Any) -> Lab:
    """Return a lab with 160 images of 3 classes, 20 of them test images, and other sizes of the run."""
    lab = Lab(Settings("smoke", data="synthetic:n=160,classes=3", out=out))
    lab.sizes = dataclasses.replace(lab.sizes, **sizes)
    assert len(lab.parts(28)[2]) == TEST
    return lab


def tell(lab: Lab, stage: Stage, plain: dict[str, Any] | None = None, **arrays: np.ndarray) -> None:
    """Store a result."""
    lab.store.write(stage.name, stage.key(lab), Result(plain or {}, arrays))


def answers(lab: Lab, model: str, rows: range) -> np.ndarray:
    """Return predictions (20,) that are right for the test images `rows` and wrong for the others."""
    labels = lab.parts(SIZES[model])[2].labels
    return np.where(np.isin(np.arange(TEST), rows), labels, (labels + 1) % 3)


def tell_network(lab: Lab, stage: Train, rows: range, **plain: Any) -> None:
    """Let a trained network be right for the test images `rows`, and quite sure of all its answers."""
    proba = np.full((TEST, 3), 0.05, np.float32)
    proba[np.arange(TEST), answers(lab, stage.model, rows)] = 0.9
    tell(lab, stage, plain, test_proba=proba)


def tell_forest(lab: Lab, stage: Forest, rows: range) -> None:
    """Let a forest be right for the test images `rows`."""
    tell(lab, stage, predicted=answers(lab, stage.model, rows))


def tell_machines(lab: Lab, stage: Machines, ovr: range, ovo: range) -> None:
    """Let machines be right for the test images `ovr` and `ovo`."""
    tell(lab, stage, ovr=answers(lab, stage.model, ovr), ovo=answers(lab, stage.model, ovo))


def tell_choice(lab: Lab, stage: Choose) -> None:
    """Let a choice of C and gamma be the first."""
    tell(lab, stage, {strategy: {"C": 1.0, "gamma": 1.0, "accuracy": 0.5} for strategy in ("ovr", "ovo")})
