"""Random modules: what they import, as found without parsing them, is at least what Python's own parser finds.

The short run draws 300 modules.
"""
from __future__ import annotations

import ast

import pytest

from minicnn.plumbing import compiled

from .draws import generator, numbers

MODULES = ("minicnn", "minicnn.kernels", "classifiers.forest.tree", "numpy", "experiments.settings")
NAMES = ("a", "NODE", "first_one", "_private", "B2", "from_", "imports")
OTHER = ('"""A docstring. from minicnn import it, they say (and more."""', "x = 1  # from a import (", "", "w = '('",
         "y = (2,\n     3)", "if True:\n    z = 'import # no comment'", "@decorated\ndef f(x):\n    return x",
         "import numpy as np")


def statement(rng) -> str:
    """Return one ``from ... import`` in one of the ways to write it."""
    names = [str(name) for name in rng.choice(NAMES, rng.integers(1, 5), replace=False)]
    names = [f"{name} as other_{name}" if rng.random() < 0.3 else name for name in names]
    space = str(rng.choice([" ", "  ", "\t"]))
    start = f"from{space}{rng.choice(MODULES)} import{space}"
    way = rng.integers(4)
    if way == 0:
        return start + ", ".join(names)
    if way == 1:
        return start + ", ".join(names) + f"  # a comment, {rng.choice(['(all)', 'import x', ')'])}"
    if way == 2:
        return start + ", \\\n    ".join(names)
    comments = [str(rng.choice(["", "   # why (not)", "  # )", "\n"])) for _ in names]
    return start + "(" + "".join(f"\n    {name},{comment}" for name, comment in zip(names, comments)) + "\n)"


@pytest.mark.parametrize("number", numbers(300))
def test_every_import_is_found(number):
    rng = generator("compiled", number)
    lines = [statement(rng) if rng.random() < 0.5 else str(rng.choice(OTHER)) for _ in range(rng.integers(1, 12))]
    source = str(rng.choice(["\n", "\r\n"])).join("\n".join(lines).split("\n"))
    expected = {f"{node.module}.{alias.name}" for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)
                for alias in node.names}
    assert expected <= set(compiled._imports(source))
