"""The report in Markdown, ``report.md``: what a repository shows of a run without opening a page.

It holds the verdicts, every number beside the paper's, and links to the pictures that lie beside it. All of it is made
of the values of ``results.json``, so a results file that was kept can be turned into the same text again.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.analysis.claims import ALPHA
from experiments.figures import experiment
from experiments.pipeline.versions import mixture
from experiments.report.alternative import alternative_text
from experiments.report.html import MIXED, caveats
from experiments.report.markup import difference, is_whole, number
from minicnn.npz import write_atomically


def render(contents: Mapping[str, Any]) -> str:
    """Return the text of ``report.md``.

    Parameters
    ----------
    contents : dict
        The values of ``results.json``; see `report.contents.gather`.
    """
    data = contents["data"]
    found = {name: contents["experiments"][name] for name in experiment.EXPERIMENTS if name in contents["experiments"]}
    parts = [
        "# CNN features of plankton: a reproduction",
        f"Data `{data['name']}`: {sum(data['images'].values()):,} images of {len(data['classes']):,} classes; preset "
        f"`{contents['settings']['preset']}`. Means over seeds; std is the standard deviation (n − 1).",
        *(f"**Not comparable with the paper.** {reason}" for reason in caveats(contents)),
        "## The paper's claims",
        f"p is the largest of the p-values that a verdict rests on; a difference counts if it is below {ALPHA}.",
        claims_table(contents["claims"])]
    for name, values in found.items():
        mixed = mixture(contents.get("made_by", {}).get(name, []))
        parts += [f"## {experiment.module(name).TITLE}", f"![{alternative_text(name, values)}]({name}.png)",
                  table(("what", "paper", "ours", "std", "seeds", "ours − paper"), map(_row, values["rows"])),
                  *([f"{MIXED}{mixed}."] if mixed else [])]
    parts += ["## Command and environment", f"```\n{contents['command']}\n```",
              table(("what", "value"), sorted(contents["environment"].items()))]
    return "\n\n".join(parts) + "\n"


def write(path: Path, contents: Mapping[str, Any]) -> Path:
    """Write ``report.md`` and return its path.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    write_atomically(path, render(contents).encode(errors="backslashreplace"))
    return path


def claims_table(claims: Sequence[Mapping[str, Any]]) -> str:
    """Return the verdicts on the paper's claims as a Markdown table.

    Examples
    --------
    >>> claims = [{"number": 5, "claim": "works well", "verdict": "inconclusive", "evidence": "0.1 | 0.2", "p": 0.25}]
    >>> print(claims_table(claims))
    | | claim | verdict | numbers | p |
    |---|---|---|---|---|
    | 5 | works well | inconclusive | 0.1 \\| 0.2 | 0.25 |
    """
    rows = ((claim["number"], claim["claim"], claim["verdict"], claim["evidence"],
             "" if claim["p"] is None else f"{claim['p']:.2g}") for claim in claims)
    return table(("", "claim", "verdict", "numbers", "p"), rows)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table; a bar within a cell is escaped."""
    def line(cells: Sequence[Any]) -> str:
        return "".join(f"| {text} " if text else "| " for text in map(_escaped, cells)) + "|"

    return "\n".join([line(columns), "|---" * len(columns) + "|", *map(line, rows)])


def _escaped(cell: Any) -> str:
    return str(cell).replace("|", "\\|").replace("\n", " ")


def _row(row: Mapping[str, Any]) -> list[Any]:
    paper, ours = row["paper"], row["ours"]
    whole, printed = is_whole(row), isinstance(paper, (int, float))
    return [row["what"], "" if paper is None else f"{paper:,}" if printed else paper, number(ours["mean"], whole),
            "" if ours["std"] is None else number(ours["std"], whole), len(ours["values"]),
            difference(ours["mean"] - paper, whole) if printed else ""]
