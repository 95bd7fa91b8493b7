"""The machine that was measured on: what it is, which versions it ran, and the two ceilings no program can pass.

    arithmetic   a large float32 matrix product by NumPy's BLAS, in GFLOP/s: the most that multiply-adds have reached
                 here. Each of its numbers is used thousands of times once it is in a register.
    memory       the triad a = b + s*c over arrays far larger than the caches, in GB/s: the most that loads and stores
                 have reached here. Each of its numbers is used once.

A program between the two is limited by whichever it comes close to. Ceilings are the best of several tries, not a
median: what was reached once can be reached. They are measured in a process of their own, before each benchmark.

The triad counts two loads and a store of each element. A processor that first reads the line that it is going to
overwrite moves a third more than that.
"""
from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from typing import Any

import numpy as np
from numba import njit, prange, set_num_threads
from threadpoolctl import threadpool_limits

import minicnn
from benchmarks.harness import Options, run_child, serve, timed

MODULE = "benchmarks.machine"
PACKAGES = ("numpy", "numba", "scipy", "scikit-learn", "torch", "cupy-cuda12x", "cupy-cuda13x")


def stamp() -> dict[str, Any]:
    """Return processor, cores, date, and the versions of all that takes part."""
    versions = {"python": platform.python_version(), "minicnn": minicnn.__version__}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"processor": processor(), "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}",
            "date": datetime.date.today().isoformat(), "versions": versions}


def processor() -> str:
    """Return the name of the processor, with the vector instructions that tell its generations apart."""
    try:
        with open("/proc/cpuinfo") as file:
            entries = dict(line.strip().split("\t", 1) for line in file if "\t" in line)
    except OSError:
        return platform.processor() or platform.machine()
    facts = {key.strip(): value.strip().removeprefix(":").strip() for key, value in entries.items()}
    name = facts.get("model name", platform.machine())
    if "cpu family" in facts:
        name += f", family {facts['cpu family']} model {facts['model']}"
    flags = facts.get("flags", "").split()
    vectors = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else ""
    return f"{name}, {vectors}" if vectors else name


@njit(cache=True, parallel=True)
def triad(a, b, c, s):
    """a = b + s*c."""
    for i in prange(a.size):
        a[i] = b[i] + s * c[i]


def gemm(threads: int, size: int, seconds: float) -> float:
    """Return the GFLOP/s of the product of two float32 matrices (size, size) on so many threads."""
    rng = np.random.default_rng(0)
    a, b = (rng.random((size, size), dtype=np.float32) for _ in range(2))
    out = np.empty_like(a)
    with threadpool_limits(threads, user_api="blas"):
        return 2 * size**3 / min(timed(lambda: np.matmul(a, b, out=out), seconds)) / 1e9


def bandwidth(threads: int, elements: int, seconds: float) -> float:
    """Return the GB/s of the triad over float32 arrays of so many elements on so many threads."""
    set_num_threads(threads)
    a, b, c = (np.ones(elements, np.float32) for _ in range(3))
    return 3 * a.nbytes / min(timed(lambda: triad(a, b, c, np.float32(0.5)), seconds)) / 1e9


def child(task: dict[str, Any]) -> dict[str, Any]:
    """Measure both ceilings for each number of threads."""
    return {"gemm_gflops": {n: gemm(n, task["size"], task["seconds"]) for n in task["threads"]},
            "bandwidth_gbs": {n: bandwidth(n, task["elements"], task["seconds"]) for n in task["threads"]},
            "size": task["size"], "elements": task["elements"]}


def ceilings(options: Options) -> dict[str, Any]:
    """Return what `child` measured; its keys are threads, as text.

    Arrays of 128 MiB are far larger than any cache; those of a smoke run are not.
    """
    task = {"threads": sorted(options.threads), "size": 256 if options.quick else 2048,
            "elements": 2**18 if options.quick else 2**25, "seconds": 0.01 if options.quick else 2.0}
    return run_child(MODULE, task, blas_threads=max(options.threads))


def share(gflops: float, ceilings: dict[str, Any], threads: int) -> str:
    """Return GFLOP/s as a percentage of the matrix product's on as many threads.

    Examples
    --------
    >>> share(30.0, {"gemm_gflops": {"2": 120.0}}, 2)
    '25 %'
    """
    return f"{gflops / ceilings['gemm_gflops'][str(threads)]:.0%}".replace("%", " %")


def describe(record: dict[str, Any]) -> list[str]:
    """Return lines that say what machine a record was measured on, with its ceilings."""
    machine, limits = record["machine"], record["ceilings"]
    reached = ", ".join(f"{threads} thread{'s' * (threads != '1')} {limits['gemm_gflops'][threads]:,.0f} GFLOP/s and "
                        f"{limits['bandwidth_gbs'][threads]:,.1f} GB/s" for threads in limits["gemm_gflops"])
    return [f"{machine['date']}, {machine['cores']} cores of {machine['processor']}, {machine['system']}; "
            + ", ".join(f"{name} {version}" for name, version in machine["versions"].items()) + ".",
            f"Ceilings (float32 matrix product of {limits['size']}, triad of 3 x {limits['elements'] * 4 / 2**20:,.0f} "
            f"MiB): {reached}."]


if __name__ == "__main__":
    serve(child)
