"""Docstrings are what they look like: examples that run, lists and tables whose lines stand where they were written.

A program that fills paragraphs tears an example, a list or a table that it takes for a paragraph.
"""
from __future__ import annotations

import ast
import re

import pytest

from tests.processes import ROOT

PACKAGES = ("minicnn", "classifiers", "experiments", "benchmarks", "tests")
MIDDLE = {"prompt": re.compile(r"\S.*>>> "), "bullet": re.compile(r"[;:,.] [*•] \w")}


def lines_of_docstrings(source: str) -> list[tuple[int, str]]:
    """Return the number and the text of each line of the docstrings of a module, its classes and its functions."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            lines += enumerate(ast.get_docstring(node, clean=False).split("\n"), node.body[0].lineno)
    return lines


@pytest.fixture(scope="module")
def docstrings():
    """The lines of all docstrings, by file."""
    found = {path.relative_to(ROOT).as_posix(): lines_of_docstrings(path.read_text())
             for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert len(found) > 150
    return found


@pytest.mark.parametrize("what", MIDDLE)
def test_no_prompt_and_no_bullet_stands_in_the_middle_of_a_line(docstrings, what):
    """doctest sees a prompt at the start of a line only: elsewhere an example looks tested and never runs."""
    assert [f"{file}:{number}: {line}" for file, lines in docstrings.items() for number, line in lines
            if MIDDLE[what].search(line)] == []


def test_rows_of_tables_keep_to_their_columns(docstrings):
    """The gap between two columns of a table in ``=====`` is blank in each of its rows."""
    torn = []
    for file, lines in docstrings.items():
        gaps: list[tuple[int, int]] = []
        for number, line in lines:
            if re.fullmatch(r" *=+( +=+)+", line):
                gaps = [match.span() for match in re.finditer(r"(?<==) +(?==)", line)]
            elif not line.strip():
                gaps = []
            elif any(line[start:end].strip() for start, end in gaps):
                torn.append(f"{file}:{number}: {line}")
    assert torn == []
