"""Random inputs by number: input 17 of a test is the same on every machine, and can be had alone.

``MINICNN_FUZZ=5000 pytest tests/fuzz`` draws 5,000 inputs a test instead of the short run's; ``MINICNN_FUZZ=17:18``
draws number 17 alone.
"""
from __future__ import annotations

import os

import numpy as np


def numbers(short: int) -> range:
    """Return the numbers of the inputs to draw: `short` of them, or those that ``MINICNN_FUZZ`` asks for."""
    first, _, last = os.environ.get("MINICNN_FUZZ", str(short)).rpartition(":")
    return range(int(first or 0), int(last))


def generator(test: str, number: int) -> np.random.Generator:
    """Return the source of all that is random in one input of a test."""
    return np.random.default_rng([number, *test.encode()])
