"""The contents of a report: everything that a run found, as it is kept in ``results.json``.

`gather` returns it in plain JSON values and without any date, so that a run which was killed and continued leaves the
same file as one that was not; only ``timings`` differ. The pages that `report.html` and `report.markdown` write are
made of these contents and of the pictures.
"""
from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from experiments.figures.experiment import needs
from experiments.pipeline.lab import Lab
from experiments.pipeline.runner import plan
from experiments.pipeline.stage import Stage
from experiments.settings import SIZES
from minicnn import __version__
from minicnn.npz import write_atomically

PACKAGES = ("numpy", "numba", "scipy", "matplotlib")


def gather(lab: Lab, found: Mapping[str, dict[str, Any]], verdicts: Sequence[Any], command: str,
             stages: Sequence[Stage]) -> dict[str, Any]:
    """Return all that is in ``results.json``.

    Parameters
    ----------
    lab : Lab
        The lab, in which all `stages` are done.
    found : dict
        What each experiment found; its arrays are left out.
    verdicts : sequence of named tuples
        The verdicts on the paper's claims.
    command : str
        The command that began the run.
    stages : sequence of Stage
        The stages whose times are listed, and whose versions are those that made a figure.

    Returns
    -------
    dict
        JSON values only, the same as after writing and reading them: keys are text, sequences are lists.
    """
    parts = dict(zip(("training", "validation", "test"), map(len, lab.parts(SIZES["cnn1"]))))
    gathered = {
        "experiments": {name: {key: value for key, value in values.items() if key != "arrays"}
                        for name, values in found.items()},
        "claims": [verdict._asdict() for verdict in verdicts],
        # Neither the folder nor the number of jobs decides a result.
        "settings": {"preset": lab.settings.preset, "backend": lab.settings.backend, **dataclasses.asdict(lab.sizes)},
        "data": {"name": lab.sizes.data, "classes": list(lab.class_names), "images": parts,
                 "fingerprint": lab.fingerprint(SIZES["cnn1"])},
        "environment": environment(),
        "made_by": {name: _made_by(lab, name, stages) for name in found},
        "command": command,
        "timings": {stage.name: lab.result(stage).plain["seconds"] for stage in stages},
    }
    return json.loads(json.dumps(gathered, allow_nan=False))


def _made_by(lab: Lab, name: str, stages: Sequence[Stage]) -> list[dict[str, str] | None]:
    """Return the versions that made the results of an experiment, each once; None stands for unknown ones."""
    own = {(stage.name, stage.key(lab)) for stage in plan(needs([name], lab.sizes), lab)}
    results = [lab.result(stage) for stage in stages if (stage.name, stage.key(lab)) in own]
    records: list[dict[str, str] | None] = []
    for result in results:
        if result.made_by not in records:
            records.append(result.made_by)
    return records


def environment() -> dict[str, Any]:
    """Return what the run ran on: versions, system, number of cores.

    Examples
    --------
    >>> environment()["minicnn"] == __version__
    True
    """
    return {"minicnn": __version__, "python": platform.python_version(),
            **{name: metadata.version(name) for name in PACKAGES},
            "system": platform.platform(), "cores": os.cpu_count()}


def write(path: Path, contents: dict[str, Any]) -> None:
    """Write ``results.json``: everything that was found but arrays; sorted, so that equal results are equal bytes."""
    plain = {**contents, "experiments": {name: {key: value for key, value in values.items() if key != "arrays"}
                                         for name, values in contents["experiments"].items()}}
    write_atomically(path, (json.dumps(plain, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())
