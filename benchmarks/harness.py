"""What comparisons with another library have in common: a process for each measurement, results that survive a stop.

A measurement is a dict, the *task*. It is run by ``python -m MODULE --child TASK`` in a process of its own, so that its
peak memory is its own and nothing that another library started disturbs it; what that prints, the task and its
results as JSON, becomes a line of a file. A task that is in the file is not run again.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

Rounds = list[list[dict[str, Any]]]     # in each round the results of minicnn and those of its peer


class PeakMemory:
    """How much memory a block of code takes at its peak, beyond what the process had before: `bytes`, after the block.

    A thread looks every 5 ms. The operating system's own maximum would be that of everything before as well, such as
    of reading the data.

    Examples
    --------
    >>> with PeakMemory() as peak:
    ...     pass
    >>> peak.bytes >= 0
    True
    """

    def __enter__(self) -> PeakMemory:
        self._before = self._most = self._now()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._over.set()
        self._thread.join()
        self.bytes = self._most - self._before

    def _look(self) -> None:
        while not self._over.wait(0.005):
            self._most = max(self._most, self._now())

    @staticmethod
    def _now() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()


def add_options(parser: argparse.ArgumentParser, name: str) -> None:
    """Add where the problems come from, where the results go, and the task of a child."""
    parser.add_argument("--plankton", metavar="SPEC", help="such as plankton:PATH")
    parser.add_argument("--mnist", metavar="SPEC", help="such as mnist:PATH")
    parser.add_argument("--folder", type=Path, default=Path("runs/problems"), help="problems, once written")
    parser.add_argument("--out", type=Path, default=Path(f"runs/{name}.jsonl"), help="results, a line each")
    parser.add_argument("--child", help=argparse.SUPPRESS)


def measure(module: str, task: dict[str, Any], options: argparse.Namespace, blas_threads: int = 1) -> dict[str, Any]:
    """Return the results of `task`, from the file of results or from a process of its own."""
    for line in options.out.read_text().splitlines() if options.out.exists() else []:
        done = json.loads(line)
        if all(done.get(key) == value for key, value in task.items()):
            return done
    command = [sys.executable, "-m", module, "--folder", str(options.folder), "--child", json.dumps(task)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(blas_threads), "OPENBLAS_NUM_THREADS": str(blas_threads)}
    answer = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    result = json.loads(answer.splitlines()[-1])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with open(options.out, "a") as file:
        file.write(json.dumps(result) + "\n")
    print("  " + " ".join(map(str, task.values())), f"fit {result['fit']:.1f} s", file=sys.stderr)
    return result


def ratio(results: Rounds, key: str) -> str:
    """Return theirs : ours as the median over rounds, with the extremes."""
    ratios = sorted(theirs[key] / ours[key] for ours, theirs in results)
    return f"{statistics.median(ratios):.1f} ({ratios[0]:.1f}-{ratios[-1]:.1f})"


def median(results: Rounds, which: int, key: str) -> float:
    """Return the median over rounds of ours (0) or theirs (1)."""
    return statistics.median(pair[which][key] for pair in results)


def print_machine() -> None:
    """Print what was measured on what."""
    import numba
    import sklearn

    print(f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}; Python {platform.python_version()}, "
          f"NumPy {np.__version__}, Numba {numba.__version__}, scikit-learn {sklearn.__version__}")
