"""Does the time for an image depend on the batch, and does memory grow while training goes on?

    python -m benchmarks steady

Two questions about minicnn alone. The time for an image, in batches of 32 to 1,024, should be flat: larger batches
overflow caches where code is careless, small ones drown in what every call costs. Each batch size is a process of its
own, and the sizes take turns. And 1,000 training steps in one process: memory after each hundred, beside the time of a
step, neither of which should grow, with the allocator as it comes.
"""
from __future__ import annotations

import statistics
from typing import Any

from matplotlib.figure import Figure

from benchmarks import flops, steps
from benchmarks.harness import ALLOCATOR, Options, of_rounds, run_child, say, spread
from benchmarks.machine import share
from benchmarks.plots import BLUE, ORANGE
from benchmarks.tables import Table
from minicnn import models

TITLE = "Steadiness: batch size, and a thousand steps"
BATCHES = (32, 64, 128, 256, 512, 1024)
ACTIVITIES = ("training", "inference")


def measure(options: Options) -> dict[str, Any]:
    """Return microseconds for an image by network, activity and batch, and the course of a long training."""
    batches = (8, 16) if options.quick else BATCHES
    rounds, threads = options.rounds_or(3), max(options.threads)
    flat: list[dict[str, Any]] = []
    for model in options.models:
        for activity in ACTIVITIES:
            microseconds: list[list[float]] = [[] for _ in batches]
            for _ in range(rounds):
                for batch, values in zip(batches, microseconds):
                    task = {"what": "speed", "library": "minicnn", "model": model, "activity": activity,
                            "threads": threads, "batch": batch, "seconds": 0.02 if options.quick else 1.0}
                    values.append(1e6 / run_child(steps.MODULE, task, threads, **ALLOCATOR)["images_per_second"])
            say(f"{model} {activity}: " + ", ".join(spread(values, 1) for values in microseconds))
            work = flops.per_image(models.MODELS[model]())[activity == "training"]
            flat.append({"model": model, "activity": activity, "threads": threads, "batches": list(batches),
                         "microseconds": microseconds, "flops": work})
    task = {"what": "endurance", "batch": batches[-1] if options.quick else 128, "threads": threads,
            "steps": 20 if options.quick else 1000}
    long = [{**task, "model": model, **run_child(steps.MODULE, {**task, "model": model}, threads)}
            for model in options.models]
    return {"rounds": rounds, "flat": flat, "long": long}


def unevenness(row: dict[str, Any]) -> float:
    """Return how much longer an image takes in the worst batch size than in the best, of medians, as a fraction.

    Examples
    --------
    >>> unevenness({"microseconds": [[10.0, 11.0, 30.0], [10.0]]})
    0.1
    """
    middles = [statistics.median(values) for values in row["microseconds"]]
    return round(max(middles) / min(middles) - 1, 4)


def tables(found: dict[str, Any], ceilings: dict[str, Any]) -> list[Table]:
    """Return the table over batch sizes and that of the long training."""
    first = found["flat"][0]
    flat = []
    for row in found["flat"]:
        gflops = row["flops"] / min(map(statistics.median, row["microseconds"])) / 1e3
        flat.append([row["model"], row["activity"], *(spread(values, 1) for values in row["microseconds"]),
                     f"{unevenness(row):.0%}".replace("%", " %"), f"{gflops:,.0f}",
                     share(gflops, ceilings, row["threads"])])
    long = [[row["model"], str(row["batch"]), f"{row['memory'][0] / 1e6:,.1f}", f"{row['memory'][-1] / 1e6:,.1f}",
             f"{(row['memory'][-1] - row['memory'][0]) / 1e6:+,.1f}", f"{1e3 * row['seconds'][0]:,.2f}",
             f"{1e3 * row['seconds'][-1]:,.2f}"] for row in found["long"]]
    return [
        Table(f"microseconds for an image by batch size, threads: {first['threads']}; {of_rounds(found['rounds'])}; "
              "GFLOP/s of the best", (
                  "net", "activity", *map(str, first["batches"]), "worst over best", "GFLOP/s", "of GEMM"), flat),
        Table(f"{found['long'][0]['steps']:,} training steps in one process: memory in MB, median ms of a step in the "
              "first tenth and the last", (
                  "net", "batch", "MB at first", "MB at the end", "growth", "ms at first", "ms at the end"), long)]


def draw(found: dict[str, Any], ceilings: dict[str, Any]) -> Figure:
    """Draw the time for an image over the batch size, and memory over the steps, as shares of where each began."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for row, marker in zip(found["flat"], "oossvv"):
        middles = [statistics.median(values) for values in row["microseconds"]]
        training = row["activity"] == "training"
        left.plot(row["batches"], [middle / min(middles) for middle in middles], marker=marker,
                  color=BLUE if training else ORANGE, linestyle="-" if training else "--",
                  label=f"{row['model']} {row['activity']}")
    left.axhline(1.2, color="black", linewidth=0.8)
    left.set(xlabel="images in a batch", ylabel="time for an image, best = 1", xscale="log", ylim=(0.9, None))
    left.set_xticks(found["flat"][0]["batches"], list(map(str, found["flat"][0]["batches"])))
    left.set_xticks([], minor=True)
    for row, marker in zip(found["long"], "osv"):
        right.plot([row["steps"] * k // 10 for k in range(11)], [size / 1e6 for size in row["memory"]], marker=marker,
                   color=BLUE, label=row["model"])
    right.set(xlabel="training steps", ylabel="memory of the process, MB", ylim=(0, None))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure
