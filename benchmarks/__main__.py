"""Run benchmarks: correctness first, then tables, a picture, and everything as JSON.

    python -m benchmarks list
    python -m benchmarks ladder training               these two: runs/benchmarks/NAME.json and NAME.png
    python -m benchmarks all --plankton plankton:PATH --mnist mnist:PATH
    python -m benchmarks report                        BENCHMARKS.md again, from the JSON files that are there

`all` runs every benchmark and writes BENCHMARKS.md. Each file of results holds the machine, the versions and the
ceilings measured just before. Without ``--plankton`` and ``--mnist`` the classifiers are compared on made-up samples.
`gpu`, which needs a device, and `benchmarks.accuracy`, which trains whole networks, stay apart.
"""
from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numba

from benchmarks import machine
from benchmarks.harness import Options
from minicnn import data, models
from minicnn.arguments import positive

NAMES = ("ladder", "training", "steady", "end_to_end", "forest", "rare", "svm", "shipped")  # what `all` means
GPU = "gpu"  # asked for by name: it needs a device
REPORT = "BENCHMARKS.md"
BY_HAND = "<!-- What follows is written by hand: `python -m benchmarks report` keeps it. -->"


def module(name: str) -> Any:
    """Return the module of a benchmark: `TITLE`, `measure(options)`, `tables(found, ceilings)`, `draw` likewise."""
    return importlib.import_module(f"benchmarks.{name}")


def run(name: str, options: Options) -> None:
    """Measure, print correctness and the tables, and write the file and the picture."""
    ceilings = machine.ceilings(options)
    found = module(name).measure(options)
    record = {"name": name, "quick": options.quick, "machine": machine.stamp(), "ceilings": ceilings, "found": found}
    options.out.mkdir(parents=True, exist_ok=True)
    part = options.out / f"{name}.part"
    part.write_text(json.dumps(record, indent=1, allow_nan=False))
    part.replace(options.out / f"{name}.json")
    print(f"\n{module(name).TITLE}", *found.get("correctness", []), sep="\n")
    for table in module(name).tables(found, ceilings):
        print("\n" + table.text(), flush=True)
    module(name).draw(found, ceilings).savefig(options.out / f"{name}.png", dpi=120)


def report(folder: Path) -> str:
    """Return the page of all benchmarks whose results are in `folder`."""
    files = [folder / f"{name}.json" for name in (*NAMES, GPU)]
    records = [json.loads(file.read_text()) for file in files if file.exists()]
    if not records:
        raise FileNotFoundError(f"no results in {folder}: run python -m benchmarks all")
    lines = ["# Benchmarks", "", "Written by `python -m benchmarks report`; how to read it: `docs/performance.md`. "
             "Where there is a range, the number before it is the median."]
    for record in records:
        smoke = " --quick`, a smoke run, whose numbers mean nothing" if record["quick"] else "`"
        lines += ["", f"## {module(record['name']).TITLE}", "", f"`python -m benchmarks {record['name']}{smoke}", ""]
        lines += [f"- {line}" for line in [*machine.describe(record), *record["found"].get("correctness", [])]]
        for table in module(record["name"]).tables(record["found"], record["ceilings"]):
            lines += ["", table.markdown()]
    return "\n".join(lines) + "\n"


def by_hand(page: Path) -> str:
    """Return the part of a page that somebody wrote: all from the line `BY_HAND` on, nothing where there is none."""
    _, line, text = page.read_text(encoding="utf-8").partition(f"\n{BY_HAND}") if page.exists() else ("", "", "")
    return line + text


def parse(arguments: Sequence[str] | None) -> tuple[list[str], Options]:
    """Return the names that were asked for, and the options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="list | report | all | NAME",
                        choices=(*NAMES, GPU, "list", "report", "all"))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one round: shows that everything runs")
    parser.add_argument("--rounds", type=positive, metavar="N", help="instead of the number usual for each benchmark")
    parser.add_argument("--models", nargs="+", choices=sorted(models.MODELS), help="default: all; of a smoke run cnn1")
    cores = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    parser.add_argument("--threads", type=positive, nargs="+", metavar="N", default=[n for n in (2, 1) if n <= cores])
    parser.add_argument("--plankton", metavar="SPEC", help="such as plankton:PATH")
    parser.add_argument("--mnist", metavar="SPEC", help="such as mnist:PATH")
    parser.add_argument("--out", type=Path, help="default: runs/benchmarks, of a smoke run runs/benchmarks-quick")
    given = parser.parse_args(arguments)
    for spec in filter(None, (given.plankton, given.mnist)):
        try:
            path = data.place(spec)
        except ValueError as error:
            parser.error(str(error))
        if path is not None and not Path(path).exists():
            parser.error(f"{spec}: there is no file or folder {path}")
    if max(given.threads) > cores:
        parser.error(f"--threads: expected 1 to {cores}, what this machine has")
    out = given.out or Path("runs/benchmarks-quick" if given.quick else "runs/benchmarks")
    nets = given.models or (["cnn1"] if given.quick else sorted(models.MODELS))
    names = list(NAMES) if "all" in given.names else given.names
    return names + ["report"] * ("all" in given.names), Options(
        given.quick, given.rounds, tuple(nets), tuple(given.threads), given.plankton, given.mnist, out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    names, options = parse(arguments)
    for name in names:
        if name == "list":
            for each in (*NAMES, GPU):
                print(f"{each:<12}{module(each).TITLE}")
        elif name == "report":
            # The page in the repository is about real measurements; that of a smoke run stays with its results.
            page = options.out / REPORT if options.quick else Path(REPORT)
            part = page.with_suffix(".part")
            part.write_text(report(options.out) + by_hand(page), encoding="utf-8")
            part.replace(page)
            print(f"wrote {page}")
        else:
            run(name, options)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, OSError, ImportError, MemoryError) as mistake:
        sys.exit(f"benchmarks: error: {mistake}")
