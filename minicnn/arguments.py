"""What parses the options of every command line here: a text becomes a checked value, or one line says why not.

argparse shows the message of an `ArgumentTypeError` as it is. Of any other error it would show the name of the
function, which means nothing to a user.
"""
from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from typing import Any

MOST_JOBS = 1024    # threads: more than any machine here has, and few enough to be started


def whole(text: str) -> int:
    """Parse a whole number, 0 or more.

    Examples
    --------
    >>> whole("12")
    12
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 18):     # 18 digits fit 64 bits
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 0 or more")
    return int(text)


def positive(text: str) -> int:
    """Parse a positive whole number."""
    if whole(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a positive whole number")
    return int(text)


def at_most(limit: int) -> Callable[[str], int]:
    """Return a parser of a positive whole number up to `limit`.

    Examples
    --------
    >>> at_most(100)("7")
    7
    """
    def parse(text: str) -> int:
        if positive(text) > limit:
            raise argparse.ArgumentTypeError(f"{text!r}: expected at most {limit}")
        return int(text)
    return parse


def counts(text: str) -> tuple[int, ...]:
    """Parse ``25000,1500,3800``: at least one image in each part."""
    parts = text.split(",")
    try:
        numbers = tuple(map(whole, parts))
    except argparse.ArgumentTypeError:
        numbers = ()
    if len(numbers) != 3 or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected three whole numbers, each at least 1, such as "
                                         "25000,1500,3800")
    return numbers


def jobs(text: str) -> int:
    """Parse a number of threads as joblib counts them: -1 is all cores, -2 all but one.

    Examples
    --------
    >>> jobs("-1"), jobs("4")
    (-1, 4)
    """
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 6 and 1 <= int(digits) <= MOST_JOBS):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of threads from 1 to {MOST_JOBS}, or -1 for all "
                                         "cores")
    return sign * int(digits)


def setting(check: Callable[[Any], float]) -> Callable[[str], float]:
    """Return a parser of a number that `check` takes: what a class refuses is refused before anything is loaded.

    Parameters
    ----------
    check : callable
        Returns its argument, or raises a ValueError that says what it expects.

    Examples
    --------
    >>> from minicnn.optim import learning_rate
    >>> setting(learning_rate)("0.1")
    0.1
    """
    @functools.wraps(check)
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a number") from None
        try:
            return check(value)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error
    return parse
