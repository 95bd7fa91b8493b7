"""How fast do we train and classify, beside PyTorch on the same CPU in its best configuration?

    python -m benchmarks training --models cnn1 cnn2 cnn3 --rounds 5

Two OpenMP runtimes in one process disturb each other, so each library runs in a process of its own, and the processes
alternate: ours, PyTorch, ours, PyTorch ... The ratio is taken round by round. PyTorch is measured with and without
channels_last and with batches of 32 and 128, all with memory kept by the allocator (otherwise it spends its time in
page faults), and the best of these counts. Correctness comes first: the largest difference between the two libraries'
logits and gradients on one batch.

GFLOP/s are those of the dense arithmetic, see `benchmarks.flops`. Memory is the peak of a whole process that trains,
interpreter and libraries included.
"""
from __future__ import annotations

import statistics
import sys
from typing import Any

from matplotlib.figure import Figure

from benchmarks import flops, steps
from benchmarks.harness import ALLOCATOR, Options, need, of_rounds, ratios, run_child, say, spread
from benchmarks.machine import share
from benchmarks.plots import BLUE, ORANGE, points
from benchmarks.tables import Table
from minicnn import models

TITLE = "Training and inference, beside PyTorch"
BATCH = 128
PEERS = [(batch, layout) for batch in (128, 32) for layout in ("channels_last", "contiguous")]


def measure(options: Options) -> dict[str, Any]:
    """Return how far the libraries differ, and the rounds of each network, activity and number of threads."""
    need("torch")
    found: dict[str, Any] = {"rounds": options.rounds_or(5), "correctness": [], "rows": []}
    for model in options.models:
        difference = run_child(steps.MODULE, {"what": "difference", "model": model})["difference"]
        found["correctness"].append(f"{model}: logits and gradients differ by {difference:.1e} of the largest")
        say(found["correctness"][-1])
    for threads in options.threads:
        for model in options.models:
            for activity in ("training", "inference"):
                found["rows"].append(compare(model, activity, threads, options))
    return found


def compare(model: str, activity: str, threads: int, options: Options) -> dict[str, Any]:
    """Find PyTorch's best configuration, then alternate with ours for so many rounds."""
    common = {"what": "speed", "model": model, "activity": activity, "threads": threads,
              "seconds": 0.02 if options.quick else 2.0}

    def run(library: str, batch: int, layout: str = "") -> dict[str, Any]:
        task = {**common, "library": library, "batch": batch, "layout": layout}
        return run_child(steps.MODULE, task, blas_threads=threads, **ALLOCATOR)

    peers = PEERS[:1] if options.quick else PEERS
    # The best of two tries: a moment in which the machine does something else must not decide.
    scouts = {peer: max(run("torch", *peer)["images_per_second"] for _ in range(1 if options.quick else 2))
              for peer in peers}
    best = max(scouts, key=scouts.__getitem__)
    pairs = [(run("minicnn", BATCH), run("torch", *best)) for _ in range(options.rounds_or(5))]
    row: dict[str, Any] = {"model": model, "activity": activity, "threads": threads, "batch": best[0],
                           "layout": best[1], "flops": flops.per_image(models.MODELS[model]())[activity == "training"]}
    for k, library in enumerate(("minicnn", "torch")):
        row[library] = [pair[k]["images_per_second"] for pair in pairs]
        row[f"{library}_peak"] = [pair[k]["peak"] for pair in pairs]
    say(f"{model} {activity} {threads}: ratio {spread(ratios(row['minicnn'], row['torch']))}")
    return row


def tables(found: dict[str, Any], ceilings: dict[str, Any]) -> list[Table]:
    """Return the table of speed and that of memory."""
    speed, memory = [], []
    for row in found["rows"]:
        ours, theirs = (statistics.median(row[library]) * row["flops"] / 1e9 for library in ("minicnn", "torch"))
        head = [row["model"], row["activity"], str(row["threads"])]
        shares = [share(gflops, ceilings, row["threads"]) for gflops in (ours, theirs)]
        speed.append([*head, spread(row["minicnn"], 0), spread(row["torch"], 0),
                      spread(ratios(row["minicnn"], row["torch"])), f"{ours:,.0f} : {theirs:,.0f}", " : ".join(shares),
                      f"batch {row['batch']}, {row['layout']}"])
        if row["activity"] == "training":
            megabytes = [[peak / 1e6 for peak in row[f"{library}_peak"]] for library in ("minicnn", "torch")]
            memory.append([row["model"], str(row["threads"]), *(spread(peaks, 0) for peaks in megabytes),
                           spread(ratios(*megabytes))])
    rounds = of_rounds(found["rounds"])
    return [
        Table(f"images/s, {rounds}; ratio, GFLOP/s and share of the matrix product's are ours : PyTorch", (
            "net", "activity", "threads", "minicnn", "PyTorch", "ratio", "GFLOP/s", "of GEMM", "PyTorch's best"),
              speed),
        Table(f"peak memory of a training process in MB, {rounds}; ratio ours : PyTorch", (
            "net", "threads", "minicnn", "PyTorch", "ratio"), memory)]


def draw(found: dict[str, Any], ceilings: dict[str, Any]) -> Figure:
    """Draw the images/s of both libraries, with the extremes of the rounds."""
    rows = found["rows"]
    figure = Figure(figsize=(8, 1.2 + 0.55 * len(rows)), layout="constrained")
    points(figure.subplots(), [f"{row['model']} {row['activity']}, threads: {row['threads']}" for row in rows],
           {"minicnn": ([row["minicnn"] for row in rows], BLUE), "PyTorch": ([row["torch"] for row in rows], ORANGE)},
           "images/s")
    return figure


if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["training", *sys.argv[1:]])
