"""What comparisons with another library have in common: a process for each measurement, and one arithmetic of ratios.

A measurement is a dict, the *task*. It is run by ``python -m MODULE --child TASK`` in a process of its own, so that its
peak memory is its own and nothing that another library started disturbs it; the child prints its results as JSON.
Where measurements take minutes, `measured` keeps each task and its results as a line of a file, and what is in the
file is not run again.

A number that has been measured several times is shown as the median with the extremes. A ratio is taken round by round,
between two measurements that were made one after the other, so that a machine that slows down slows both.
"""
from __future__ import annotations

import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Rounds = list[list[dict[str, Any]]]     # in each round the results of minicnn and those of its peer

# Memory is kept by the process instead of being given back and faulted in again: without this PyTorch spends its time
# in page faults. Both libraries get it where networks are timed.
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": "1000000000", "MALLOC_MMAP_THRESHOLD_": "1000000000",
             "MALLOC_TOP_PAD_": "100000000"}


@dataclass(frozen=True)
class Options:
    """What the command line says: see ``python -m benchmarks --help``."""

    quick: bool = False
    rounds: int | None = None
    models: tuple[str, ...] = ("cnn1", "cnn2", "cnn3")
    threads: tuple[int, ...] = (2, 1)
    plankton: str | None = None
    mnist: str | None = None
    out: Path = Path("runs/benchmarks")

    def rounds_or(self, usual: int) -> int:
        """Return the number of rounds that was asked for, else one for a smoke run, else `usual`."""
        return self.rounds or (1 if self.quick else usual)


class PeakMemory:
    """How much memory a block of code takes at its peak, beyond what the process had before: `bytes`, after the block.

    A thread looks every 5 ms. The operating system's own maximum would be that of everything before as well, such as
    of reading the data.

    Examples
    --------
    >>> with PeakMemory() as peak:
    ...     pass
    >>> peak.bytes > 0
    True
    """

    def __enter__(self) -> PeakMemory:
        self._before = self._most = memory()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._over.set()
        self._thread.join()
        self.bytes = max(self._most - self._before, resource.getpagesize())     # a ratio to nothing says nothing

    def _look(self) -> None:
        while not self._over.wait(0.005):
            self._most = max(self._most, memory())


def memory() -> int:
    """Return the bytes of memory that this process has now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def peak_of_process() -> int:
    """Return the most bytes of memory that this process has had since its program began.

    `resource.getrusage` would answer with its parent's memory where that is larger: Linux keeps the maximum of before
    `exec`.
    """
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def timed(step: Callable[[], Any], seconds: float, warm_up: int = 3) -> list[float]:
    """Return the duration of each call of `step`, at least one, after a warm-up, for so many seconds."""
    for _ in range(warm_up):
        step()
    durations: list[float] = []
    while not durations or sum(durations) < seconds:
        start = time.perf_counter()
        step()
        durations.append(time.perf_counter() - start)
    return durations


def run_child(module: str, task: dict[str, Any], blas_threads: int = 1, **environment: str) -> dict[str, Any]:
    """Return the results of `task`, measured by `module` in a process of its own with more of an environment."""
    command = [sys.executable, "-m", module, "--child", json.dumps(task)]
    threads = {"OMP_NUM_THREADS": str(blas_threads), "OPENBLAS_NUM_THREADS": str(blas_threads)}
    answer = subprocess.run(command, env={**os.environ, **threads, **environment}, check=True, stdout=subprocess.PIPE,
                            text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def serve(child: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Be the process that `run_child` starts: call `child` with the task, and print what it returns."""
    if len(sys.argv) != 3 or sys.argv[1] != "--child":
        sys.exit("this module measures in a process of its own: run python -m benchmarks list")
    print(json.dumps(child(json.loads(sys.argv[2]))))


def measured(module: str, task: dict[str, Any], options: Options) -> dict[str, Any]:
    """Return `task` and its results, from the lines of ``MODULE.jsonl`` or from a process of its own."""
    file = options.out / f"{module.rpartition('.')[2]}.jsonl"
    for line in file.read_text().splitlines() if file.exists() and not options.quick else []:
        done = json.loads(line)
        if all(done.get(key) == value for key, value in task.items()):
            return done
    result = {**task, **run_child(module, task)}
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "a") as lines:
        lines.write(json.dumps(result) + "\n")
    say(f"  {' '.join(map(str, task.values()))}: fit {result['fit']:.1f} s")
    return result


def say(line: str) -> None:
    """Tell how far a benchmark is, apart from its results."""
    print(line, file=sys.stderr, flush=True)


def of_rounds(rounds: int) -> str:
    """Return what a number of a table is, of so many rounds."""
    return "of one round" if rounds == 1 else f"median (min-max) of {rounds} rounds"


def need(package: str) -> None:
    """Raise an ImportError that says what to install unless `package`, a peer, is there."""
    if importlib.util.find_spec(package) is None:
        raise ImportError(f'this benchmark compares with {package}, which is not installed: pip install -e ".[bench]"')


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Return the quotient of each round.

    Examples
    --------
    >>> ratios([6.0, 8.0], [2.0, 4.0])
    [3.0, 2.0]
    """
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return median and extremes as text, or the value where there is one.

    Examples
    --------
    >>> spread([3.0, 1.0, 2.0], 1), spread([3.0])
    ('2.0 (1.0-3.0)', '3.00')
    """
    middle = f"{statistics.median(values):,.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def ratio(results: Rounds, key: str) -> str:
    """Return theirs : ours as the median over rounds, with the extremes."""
    ours, theirs = ([pair[k][key] for pair in results] for k in (0, 1))
    return spread(ratios(theirs, ours), 1)


def median(results: Rounds, which: int, key: str) -> float:
    """Return the median over rounds of ours (0) or theirs (1)."""
    return statistics.median(pair[which][key] for pair in results)
