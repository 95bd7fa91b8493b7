"""What a user waits for: the first epoch of CNN1 from a cold start, and what compiling costs.

    python -m benchmarks end_to_end

A whole process, from start to exit: interpreter, imports, 25,000 made-up images of 121 classes, one epoch, and the
images it is validated on. Ours loads its compiled kernels from disk; the peer is PyTorch in the best of its
configurations. Both keep their memory, as in `benchmarks.training`, and they alternate. Timed apart: the same program
on one batch, with an empty folder for compiled kernels, where it compiles, and again with that folder, where it loads
them.
"""
from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from matplotlib.figure import Figure

from benchmarks.harness import ALLOCATOR, Options, need, of_rounds, ratios, say, spread
from benchmarks.plots import BLUE, ORANGE
from benchmarks.tables import Table
from benchmarks.training import PEERS

TITLE = "End to end: the first epoch, and compilation"
IMAGES, ONE_BATCH = 25_000, 128
OURS, THEIRS = "benchmarks.epoch_minicnn", "benchmarks.epoch_torch"


def seconds_of(program: str, *arguments: Any, **environment: str) -> float:
    """Return how long a process takes from its start to its exit."""
    command = [sys.executable, "-m", program, *map(str, arguments)]
    start = time.perf_counter()
    subprocess.run(command, env={**os.environ, **ALLOCATOR, **environment}, check=True)
    return time.perf_counter() - start


def measure(options: Options) -> dict[str, Any]:
    """Return the seconds of whole processes: epochs of both, and starts with and without compiled kernels."""
    need("torch")
    images, threads = 256 if options.quick else IMAGES, max(options.threads)
    seconds_of(OURS, ONE_BATCH, threads)        # whatever is not compiled yet
    peers = PEERS[:1] if options.quick else PEERS
    scouts = {peer: seconds_of(THEIRS, images, *peer, threads) for peer in peers}
    best = min(scouts, key=scouts.__getitem__)
    rounds = options.rounds_or(5)
    epochs: dict[str, list[float]] = {"minicnn": [], "torch": []}
    for _ in range(rounds):
        epochs["minicnn"].append(seconds_of(OURS, images, threads))
        epochs["torch"].append(seconds_of(THEIRS, images, *best, threads))
    say(f"first epoch: ratio {spread(ratios(epochs['torch'], epochs['minicnn']))}")
    starts: dict[str, list[float]] = {"compiling": [], "cached": [], "torch": []}
    for _ in range(min(rounds, 3)):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("compiling", "cached"):
                starts[name].append(seconds_of(OURS, ONE_BATCH, threads, NUMBA_CACHE_DIR=folder))
        starts["torch"].append(seconds_of(THEIRS, ONE_BATCH, *best, threads))
    return {"images": images, "threads": threads, "rounds": rounds, "configuration": f"batch {best[0]}, {best[1]}",
            "epochs": epochs, "starts": starts}


def tables(found: dict[str, Any], ceilings: dict[str, Any]) -> list[Table]:
    """Return the table of the first epoch and that of the start."""
    epochs, starts = found["epochs"], found["starts"]
    compiling = [a - b for a, b in zip(starts["compiling"], starts["cached"])]
    return [
        Table(f"first epoch of CNN1 on {found['images']:,} images, whole process in s, threads: {found['threads']}; "
              f"{of_rounds(found['rounds'])}; ratio PyTorch : ours", (
                  "", "minicnn", "PyTorch", "ratio", "PyTorch's best"),
              [["from a cold start, kernels on disk", spread(epochs["minicnn"]), spread(epochs["torch"]),
                spread(ratios(epochs["torch"], epochs["minicnn"])), found["configuration"]]]),
        Table(f"the same program on one batch of {ONE_BATCH}, whole process in s; {of_rounds(len(compiling))}", (
            "", "s"),
              [["minicnn, first start ever: kernels are compiled", spread(starts["compiling"])],
               ["minicnn, later: kernels are loaded from disk", spread(starts["cached"])],
               ["the difference: compilation", spread(compiling)],
               ["PyTorch", spread(starts["torch"])]])]


def draw(found: dict[str, Any], ceilings: dict[str, Any]) -> Figure:
    """Draw the seconds of an epoch in each round, and the medians of the starts."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    rounds = range(1, found["rounds"] + 1)
    left.plot(rounds, found["epochs"]["minicnn"], "o-", color=BLUE, label="minicnn")
    left.plot(rounds, found["epochs"]["torch"], "s--", color=ORANGE, label="PyTorch")
    left.set(xlabel="round", ylabel=f"s for an epoch of {found['images']:,} images", ylim=(0, None))
    left.set_xticks(rounds)
    left.legend()
    names = {"compiling": "minicnn,\ncompiling", "cached": "minicnn,\ncached", "torch": "PyTorch"}
    right.bar(list(names.values()), [statistics.median(found["starts"][name]) for name in names],
              color=[BLUE, BLUE, ORANGE])
    right.set(ylabel="s from start to exit, one batch (median)")
    for axes in (left, right):
        axes.grid(axis="y", alpha=0.3)
    return figure
