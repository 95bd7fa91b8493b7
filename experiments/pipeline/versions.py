"""What made a result: the version and the commit of minicnn, and the versions of the libraries that computed it."""
from __future__ import annotations

import functools
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from minicnn import __version__

LIBRARIES = ("numpy", "numba", "llvmlite", "scipy")
_ROOT = Path(__file__).parents[2]       # of the checkout, or the folder of installed packages


def present() -> dict[str, str]:
    """Return the versions that run now; ``commit`` is among them where minicnn runs from a git checkout.

    Examples
    --------
    >>> present()["minicnn"] == __version__, "numpy" in present()
    (True, True)
    """
    versions = {"minicnn": __version__, "python": platform.python_version(),
                **{name: metadata.version(name) for name in LIBRARIES}}
    found = commit(_ROOT)
    return versions if found is None else {"commit": found, **versions}


@functools.cache
def commit(root: Path) -> str | None:
    """Return the commit of a git checkout, or None if the folder is not one or git is not installed.

    Parameters
    ----------
    root : path
        The top folder of the checkout. A folder somewhere inside a checkout does not count: a virtual environment
        often lies in the checkout of another project, whose commit says nothing about minicnn.

    Returns
    -------
    str or None
        Twelve digits of the commit, with ``+changes`` if a tracked file differs from it. The answer is kept for the
        rest of the process, which runs the code that it has imported.
    """
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "--short=12", "HEAD")
        return head + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def is_record(value: Any) -> bool:
    """Return whether a value, read from a file, names versions: a dict of short lines that is not empty.

    Examples
    --------
    >>> is_record({"minicnn": "0.1"}), is_record({}), is_record({"minicnn": 1}), is_record({"minicnn": "0.1\\n"})
    (True, False, False, False)
    """
    return (isinstance(value, dict) and bool(value)
            and all(isinstance(text, str) and text.isprintable() for text in value.values()))


def mixture(records: list[dict[str, str] | None]) -> str:
    """Return in words what differs between records, or an empty text if there are fewer than two.

    Parameters
    ----------
    records : list of dict or None
        Different records; None stands for results that were stored before versions were recorded.

    Examples
    --------
    >>> mixture([{"minicnn": "0.1", "numpy": "2.0"}, {"minicnn": "0.1", "numpy": "2.1"}, None])
    'numpy 2.0; numpy 2.1; unknown versions'
    >>> mixture([{"minicnn": "0.1"}, None]), mixture([None])
    ('minicnn 0.1; unknown versions', '')
    """
    if len(records) < 2:
        return ""
    known = [record for record in records if record is not None]
    names = dict.fromkeys(name for record in known for name in record)
    differ = [name for name in names if len({record.get(name) for record in known}) > 1] or list(names)
    texts = [", ".join(f"{name} {record.get(name, 'unknown')}" for name in differ) for record in known]
    return "; ".join([*texts, "unknown versions"] if None in records else texts)


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True, text=True, timeout=30)
    return done.stdout.strip()
