"""A stage: one piece of work whose result is stored, so that it is done once.

Here is what all stages have in common, and what they may ask of the lab. The stages themselves are in
`pipeline.stages` and, where one figure alone needs them, in the module of that figure.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from experiments.analysis.svms import Distances
from experiments.pipeline.store import Result, key_of
from experiments.settings import Preset, Settings
from minicnn.data import Dataset
from minicnn.network import Network

Parts = tuple[Dataset, Dataset, Dataset]


class Workplace(Protocol):
    """What a stage asks of the place where it works; `pipeline.lab.Lab` is one, and describes each method."""

    settings: Settings
    sizes: Preset
    epoch_done: Callable[..., Any]

    def parts(self, size: int) -> Parts: ...
    def fingerprint(self, size: int) -> str: ...
    def count(self, size: int) -> int: ...
    def rows(self, size: int) -> tuple[slice, slice, slice]: ...
    def labels(self, size: int) -> np.ndarray: ...
    def folder(self, stage: Stage) -> Path: ...
    def result(self, stage: Stage) -> Result: ...
    def network(self, model: str, seed: int, epoch: int | None = None, dropout: str | None = None) -> Network: ...
    def features(self, model: str, seed: int, layer: int, epoch: int | None = None,
                 dropout: str | None = None) -> np.ndarray: ...
    def distances(self, model: str, seed: int, layer: int, epoch: int | None = None,
                  dropout: str | None = None) -> Distances: ...


@dataclass(frozen=True)
class Stage:
    """What all stages have: a version, to be raised when its results change, and a key."""

    version: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """The first part of its file's name."""
        fields = dataclasses.asdict(self)
        words = [f"{key}{value}" if isinstance(value, int) else str(value)
                 for key, value in fields.items() if value is not None]
        return "-".join([type(self).__name__.lower(), *words])

    def needs(self) -> list[Stage]:
        """Return the stages before it."""
        return []

    def depends_on(self, lab: Workplace) -> dict[str, Any]:
        """Return all that decides its result, apart from the stages before it."""
        raise NotImplementedError

    def key(self, lab: Workplace) -> str:
        """Return the name of its result."""
        return key_of({"stage": type(self).__name__, "version": self.version, "backend": lab.settings.backend,
                       **self.depends_on(lab), "needs": [stage.key(lab) for stage in self.needs()]})

    def run(self, lab: Workplace) -> Result:
        """Do the work."""
        raise NotImplementedError

    def estimate(self, lab: Workplace) -> tuple[float, float]:
        """Return roughly how many seconds it takes on two cores, and how many bytes of memory."""
        raise NotImplementedError

    def disk(self, lab: Workplace) -> float:
        """Return roughly how many bytes it leaves on disk."""
        return 1e5
