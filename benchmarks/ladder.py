"""The ladder: CNN1's second layer from Python's loops to the fused kernel, every rung timed beside the ceiling.

    python -m benchmarks ladder

`docs/performance.md` walks up these rungs and says what each one gains. Each is first compared with the vectorised code
in float64, and then timed, rung by rung in turns, in a process of its own for each number of threads. GFLOP/s count the
dense arithmetic of the convolution, whatever a rung really multiplies, so those of the winners may pass the ceiling.
"""
from __future__ import annotations

import statistics
from itertools import cycle
from typing import Any

from matplotlib.figure import Figure

from benchmarks import rungs
from benchmarks.harness import ALLOCATOR, Options, of_rounds, run_child, say, spread
from benchmarks.machine import share
from benchmarks.plots import BLUE, ORANGE, points
from benchmarks.tables import Table

TITLE = "The ladder: one layer, from loops to the fused kernel"
IMAGES = 128
EXACT, ROUNDING = 0.0, 1e-5     # errors that are allowed forward and backward, as shares of the largest number


def measure(options: Options) -> dict[str, Any]:
    """Return the rows of all rungs; raise if one of them is wrong."""
    task = {"images": 8 if options.quick else IMAGES, "rounds": options.rounds_or(7),
            "seconds": 0.01 if options.quick else 0.3}
    rows, alive = [], 0.0
    for threads in options.threads:
        answer = run_child(rungs.MODULE, {**task, "threads": threads}, blas_threads=threads, **ALLOCATOR)
        rows += answer["rows"]
        alive = answer["alive"]
        say(f"ladder, threads: {threads}")
    for row in rows:
        if not row["error"] <= (EXACT if row["direction"] == "forward" else ROUNDING):
            raise ArithmeticError(f"rung {row['name']!r}, {row['direction']}: differs by {row['error']:.1e} from the "
                                  "vectorised code in float64")
    worst = max(row["error"] for row in rows if row["direction"] == "backward")
    return {"images": task["images"], "rounds": task["rounds"], "rows": rows, "alive": alive, "correctness": [
        "outputs: every rung gives the bits of the vectorised code in float64",
        f"gradients: every rung differs from it by at most {worst:.1e} of the largest",
        f"of the gradient of the convolution's output {alive:.1%} is not zero"]}


def tables(found: dict[str, Any], ceilings: dict[str, Any]) -> list[Table]:
    """Return a table of each direction."""
    return [Table(
        f"{direction}, {found['images']} images; ms: {of_rounds(found['rounds'])}",
        ("rung", "covers", "threads", "ms", "GFLOP/s", "of GEMM"),
        [table_row(row, ceilings) for row in found["rows"] if row["direction"] == direction],
        notes(found["rows"], direction)) for direction in ("forward", "backward")]


def table_row(row: dict[str, Any], ceilings: dict[str, Any]) -> list[str]:
    """Return what a table says of a rung."""
    reached = statistics.median(gflops(row))
    digits = 4 if reached < 0.1 else 2
    return [row["name"], row["covers"], str(row["threads"]), spread([1e3 * s for s in row["seconds"]]),
            f"{reached:,.{digits}f}", share(reached, ceilings, row["threads"])]


def gflops(row: dict[str, Any]) -> list[float]:
    """Return the GFLOP/s of each round, in rising order.

    Examples
    --------
    >>> gflops({"seconds": [2.0, 0.5, 1.0], "flops": 4e9})
    [2.0, 4.0, 8.0]
    """
    return sorted(row["flops"] / seconds / 1e9 for seconds in row["seconds"])


def notes(rows: list[dict[str, Any]], direction: str) -> list[str]:
    """Return what must be said of rungs that do only a part of the batch."""
    return [f"{row['name']}: timed on one image and {rungs.SLICE} filters, 1/{1 / row['part']:,.0f} of the work, and "
            "scaled." for row in rows if row["direction"] == direction and row["part"] < 1]


def draw(found: dict[str, Any], ceilings: dict[str, Any]) -> Figure:
    """Draw the GFLOP/s of all rungs, and the ceiling as a line for each number of threads."""
    figure = Figure(figsize=(9, 7), layout="constrained")
    for axes, direction in zip(figure.subplots(2, 1, height_ratios=[6, 4]), ("forward", "backward")):
        rows = [row for row in found["rows"] if row["direction"] == direction]
        names = list(dict.fromkeys(f"{row['name']} ({row['covers']})" for row in reversed(rows)))[::-1]
        groups = {}
        for threads, colour in zip(sorted({row["threads"] for row in rows}), cycle((BLUE, ORANGE))):
            values = {f"{row['name']} ({row['covers']})": gflops(row) for row in rows if row["threads"] == threads}
            groups[f"threads: {threads}"] = [values.get(name, []) for name in names], colour
            axes.axvline(ceilings["gemm_gflops"][str(threads)], color=colour, linestyle="--", linewidth=1)
        points(axes, names, groups, "GFLOP/s")
        axes.set_title(f"{direction}; dashed: a matrix product", fontsize=10)
    return figure
