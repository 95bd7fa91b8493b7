"""The report of a run: everything that was found, for ``results.json``, and the page that shows it, ``report.html``.

`contents` gathers what is found, in plain JSON values and without any date, so that a run which was killed and
continued leaves the same file as one that was not; only ``timings`` differ. `write` makes of it one HTML file that
holds its pictures and its style, needs no network and no scripts, and can be sent to somebody as it is.
"""
from __future__ import annotations

import base64
import dataclasses
import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from experiments.pipeline.lab import Lab
from experiments.pipeline.stages import Stage
from experiments.report import html
from experiments.settings import SIZES
from minicnn import __version__
from minicnn.npz import write_atomically

PACKAGES = ("numpy", "numba", "scipy", "matplotlib")


def contents(lab: Lab, found: Mapping[str, dict[str, Any]], verdicts: Sequence[Any], command: str,
             stages: Sequence[Stage]) -> dict[str, Any]:
    """Return all that is in ``results.json``.

    Parameters
    ----------
    lab : Lab
        Whose stages are done.
    found : dict
        What each experiment found; its arrays are left out.
    verdicts : sequence of named tuples
        On the paper's claims.
    command : str
        That began the run.
    stages : sequence of Stage
        Whose times are listed.

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
        "command": command,
        "timings": {stage.name: lab.result(stage).plain["seconds"] for stage in stages},
    }
    return json.loads(json.dumps(gathered, allow_nan=False))


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


def write(path: Path, contents: Mapping[str, Any], pictures: Mapping[str, Path]) -> Path:
    """Write the page and return its path.

    Parameters
    ----------
    path : path
        Of the HTML file.
    contents : dict
        What `contents` returned, or ``results.json`` read again.
    pictures : dict
        For each experiment the path of its PNG.

    Raises
    ------
    OSError
        A picture cannot be read, or the folder cannot be written.
    ValueError
        A picture is not a PNG.
    """
    images = {name: _picture(file) for name, file in pictures.items()}
    # A path that is not valid Unicode comes from the command line with lone surrogates, which UTF-8 cannot hold.
    write_atomically(path, html.render(contents, images).encode(errors="backslashreplace"))
    return path


def _picture(path: Path) -> html.Picture:
    """Return a PNG as a data URI, and its width and height, which let a browser leave the room before it is decoded."""
    data = path.read_bytes()
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError(f"{path} is not a PNG: expected the picture of an experiment")
    width, height = (int.from_bytes(data[start:start + 4]) for start in (16, 20))
    return html.Picture("data:image/png;base64," + base64.b64encode(data).decode(), width, height)
