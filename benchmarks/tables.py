"""Tables as benchmarks make them: the same rows as columns of text for the terminal, and as Markdown for a page."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Table(NamedTuple):
    """What a benchmark found: a title that names the units, columns, rows of text, and notes below."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def text(self) -> str:
        """Return the table for a terminal: the first column to the left, numbers to the right.

        Examples
        --------
        >>> print(Table("speed", ("net", "images/s"), [("cnn1", "1,234")]).text())
        speed
        net   images/s
        cnn1     1,234
        """
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        lines = ["  ".join(cell.rjust(width) if k else cell.ljust(width) for k, (cell, width)
                           in enumerate(zip(row, widths))).rstrip() for row in (self.columns, *self.rows)]
        return "\n".join([self.title, *lines, *self.notes])

    def markdown(self) -> str:
        """Return the table as a page of Markdown shows it.

        Examples
        --------
        >>> print(Table("speed", ("net", "images/s"), [("cnn1", "1,234")], ["Fast."]).markdown())
        **speed**
        <BLANKLINE>
        | net | images/s |
        |---|---:|
        | cnn1 | 1,234 |
        <BLANKLINE>
        Fast.
        """
        lines = [f"**{self.title}**", "", _line(self.columns), "|---|" + "---:|" * (len(self.columns) - 1)]
        lines += [_line(row) for row in self.rows]
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
