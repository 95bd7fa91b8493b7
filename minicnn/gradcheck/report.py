"""What a gradient check found: one line for each array, and the worst entry with both of its values.

    gradient check of conv2d (stride 2): FAILED (387 slopes compared, 0 skipped at kinks)
    array  shape    compared  skipped  max |slope|  worst at       difference  allowed
    x      2x3x7x8  336       0        4.17         x[0, 2, 1, 3]  2.1e-10     1.4e-06
    w      2x3x2x4  48        0        13.9         w[1, 0, 0, 2]  1.1e+01     8.8e-06
    b      2        2         0        5.03         b[1]           3.3e-10     5.0e-06
    w: the analytic gradient is wrong in 48 of 48 slopes
    worst: w[1, 0, 0, 2]: analytic -5.31, numeric 5.31, difference 1.1e+01, allowed 8.8e-06

The checker itself is `minicnn.gradcheck.checker`.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_SKIPPED = 0.5        # share of the probes of an array that may fall on kinks
MOST_ROUNDING = 1e-3      # share of the typical slope that rounding errors may reach


@dataclass(frozen=True)
class Comparison:
    """One slope: what the backward pass says (`analytic`) and what central differences measure (`numeric`).

    `index` is the entry of the array, or ``"direction k"``. `allowed` is the largest difference that passes.
    """

    array: str
    index: tuple[int, ...] | str
    analytic: float
    numeric: float
    allowed: float

    @property
    def excess(self) -> float:
        """The difference as a multiple of what is allowed; more than 1 fails (and so does NaN, as
        infinity)."""
        ratio = abs(self.analytic - self.numeric) / self.allowed
        return ratio if np.isfinite(ratio) else np.inf

    @property
    def where(self) -> str:
        """The entry or direction as text: ``w[0, 2, 1, 1]``."""
        return self.array + (f" {self.index}" if isinstance(self.index, str) else str(list(self.index)))

    def __str__(self) -> str:
        return (f"{self.where}: analytic {self.analytic:.9g}, numeric {self.numeric:.9g}, "
                f"difference {abs(self.analytic - self.numeric):.1e}, allowed {self.allowed:.1e}")


@dataclass(frozen=True)
class ArrayReport:
    """What was compared of one array's gradient, how many probes were skipped, and what is wrong."""

    name: str
    shape: tuple[int, ...]
    comparisons: tuple[Comparison, ...]
    skipped: int
    problem: str              # "" when the gradient is right

    @property
    def worst(self) -> Comparison | None:
        """The comparison with the largest difference relative to what is allowed."""
        return max(self.comparisons, key=lambda c: c.excess, default=None)


@dataclass(frozen=True)
class GradientReport:
    """The outcome of a gradient check; `str()` of it is a table with one line per array and the worst entry
    below.

    Attributes
    ----------
    title : str
    arrays : tuple of ArrayReport
        In the order of the inputs.
    """

    title: str
    arrays: tuple[ArrayReport, ...]

    @property
    def passed(self) -> bool:
        """True if every array's gradient was compared and found right."""
        return not any(a.problem for a in self.arrays)

    @property
    def checked(self) -> int:
        """Number of slopes compared."""
        return sum(len(a.comparisons) for a in self.arrays)

    @property
    def skipped(self) -> int:
        """Number of probes skipped because they crossed a kink."""
        return sum(a.skipped for a in self.arrays)

    @property
    def worst(self) -> Comparison | None:
        """The comparison, over all arrays, with the largest difference relative to what is allowed."""
        return max((a.worst for a in self.arrays if a.worst), key=lambda c: c.excess, default=None)

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [
            ("array", "shape", "compared", "skipped", "max |slope|", "worst at", "difference", "allowed")]
        for a in self.arrays:
            cells = ["-"] * 4
            if (worst := a.worst) is not None:
                largest = max(abs(c.numeric) for c in a.comparisons)
                cells = [f"{largest:.3g}", worst.where, f"{abs(worst.analytic - worst.numeric):.1e}",
                         f"{worst.allowed:.1e}"]
            shape = "x".join(map(str, a.shape)) or "scalar"
            rows.append((a.name, shape, str(len(a.comparisons)), str(a.skipped), *cells))
        widths = [max(map(len, column)) for column in zip(*rows)]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        problems = [f"{a.name}: {a.problem}" for a in self.arrays if a.problem]
        verdict = "passed" if self.passed else "FAILED"
        return "\n".join([f"gradient check of {self.title}: {verdict} "
                          f"({self.checked} slopes compared, {self.skipped} skipped at kinks)",
                          *table, *problems, f"worst: {self.worst or 'nothing compared'}"])


class GradientError(AssertionError):
    """A backward pass is not the derivative of its forward pass. `report` holds the whole GradientReport."""

    def __init__(self, report: GradientReport):
        super().__init__(str(report))
        self.report = report


def compare(name: str, shape: tuple[int, ...], indices: list[tuple[int, ...] | str], analytic: list[float],
            slopes: list[tuple[float, float] | None], rtol: float) -> ArrayReport:
    """Judge the gradient of one array from its analytic slopes and the measured ones.

    `slopes` holds (numeric, rounding error), or None for a probe that crossed a kink.
    """
    smooth = [(index, a, *s) for index, a, s in zip(indices, analytic, slopes) if s is not None]
    skipped = len(slopes) - len(smooth)
    # A slope may be tiny by cancellation, so its error is measured against the array's typical slope too.
    typical = float(np.sqrt(np.mean([s[2]**2 for s in smooth]))) if smooth else 0.0
    tiny = float(np.finfo(np.float64).tiny)
    comparisons = tuple(
        Comparison(name, index, a, numeric, rtol * max(abs(a), abs(numeric), typical) + rounding + tiny)
        for index, a, numeric, rounding in smooth)
    wrong = sum(c.excess > 1 for c in comparisons)
    problem = ""
    if wrong:
        problem = f"the analytic gradient is wrong in {wrong} of {len(comparisons)} slopes"
    elif skipped > MOST_SKIPPED * len(slopes):
        problem = (f"{skipped} of {len(slopes)} probes crossed a kink, so too little was compared: choose "
                   "inputs without ties and away from 0")
    elif not all(rounding < MOST_ROUNDING * typical for _, _, _, rounding in smooth):
        problem = (f"the slopes, typically {typical:.1e}, are zero or drown in the rounding error of the "
                   "output, so a wrong backward could pass: choose inputs on which it depends more strongly")
    return ArrayReport(name, shape, comparisons, skipped, problem)
