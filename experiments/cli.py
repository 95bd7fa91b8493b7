"""The command line: list the experiments, or run them.

    python -m experiments list
    python -m experiments run all --preset quick
    python -m experiments run fig2 fig3 --preset paper --data plankton:PATH --out runs/paper

The same command again continues a run that was stopped, killed or changed: only what is missing is done. In the folder
``--out`` it leaves ``report.html`` and ``report.md``, ``results.json``, each figure as PNG and SVG, and a cache of what
took long.
"""
from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import joblib

from experiments.analysis import claims
from experiments.figures import experiment
from experiments.pipeline import runner
from experiments.pipeline.lab import Lab
from experiments.report import contents, html, markdown
from experiments.settings import PRESETS, Settings
from minicnn.arguments import at_most, jobs
from minicnn.backend import BACKENDS, set_backend
from minicnn.data import SPECS
from minicnn.plumbing.folders import owned

MOST_SEEDS = 1000   # trainings of each network: years on the paper's data, and a plan of them still fits in memory


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 2 after a mistake, 130 after Ctrl-C.

    Examples
    --------
    >>> main(["list"])  # doctest: +ELLIPSIS
    fig1        Figure 1...
    0
    """
    parser = _parser()
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(words)
    try:
        if options.command == "list":
            for name in experiment.EXPERIMENTS:
                print(f"{name:<11} {experiment.module(name).TITLE}")
        elif options.command == "run":
            _run(options, f"python -m experiments {shlex.join(words)}")
        else:
            parser.print_help()
    except KeyboardInterrupt:
        print("\nstopped; what was finished is kept, and the same command continues", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, MemoryError) as error:
        print(f"experiments: error: {' '.join(str(error).split()) or 'out of memory'}", file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace, command: str) -> None:
    names = [name for name in experiment.EXPERIMENTS if name in options.names or "all" in options.names]
    set_backend(options.backend)
    settings = Settings(options.preset, options.data or "", options.seeds, options.backend, options.jobs, options.out)
    lab = Lab(settings)
    stages = runner.plan(experiment.needs(names, lab.sizes), lab)
    if options.dry_run:
        for line in runner.dry_run(lab, stages):
            print(line)
        return
    begin = time.perf_counter()
    with _cluster(options.cluster):
        runner.run_stages(lab, stages, say=lambda line: print(line, flush=True))
    found = experiment.compute(lab, names)
    verdicts = claims.judge(found)
    with owned(settings.out, wait=lambda who: print(f"waiting for {who}, which writes its report there", flush=True)):
        pictures = experiment.draw(settings.out, found)
        gathered = contents.gather(lab, found, verdicts, command, stages)
        contents.write(settings.out / "results.json", gathered)
        page = html.write(settings.out / "report.html", gathered, pictures)
        markdown.write(settings.out / "report.md", gathered)
    for verdict in verdicts:
        print(f"claim {verdict.number}: {verdict.verdict}. {verdict.evidence}")
    print(f"{page} after {runner.duration(time.perf_counter() - begin)}")


@contextlib.contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """Spread classifiers over a Dask cluster while the block runs."""
    if address is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError("--cluster needs Dask: python -m pip install distributed") from error
    with Client(None if address == "local" else address) as client:
        print(f"cluster {client.scheduler.address}, dashboard {client.dashboard_link}")
        with joblib.parallel_config(backend="dask"):
            yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments", description="The paper's figures and claims.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("list", help="name the experiments")
    run = commands.add_parser("run", help="run experiments, or continue", description="Run experiments, or continue.")
    run.add_argument("names", nargs="+", choices=[*experiment.EXPERIMENTS, "all"], metavar="NAME",
                     help="names that `list` prints, or all")
    run.add_argument("--data", metavar="SPEC", help=f"one of {', '.join(SPECS)} (default: the preset's)")
    run.add_argument("--preset", choices=PRESETS, default="quick", help="sizes of the run (default: quick)")
    run.add_argument("--seeds", type=at_most(MOST_SEEDS), metavar="K",
                     help="train each network K times (default: the preset's)")
    run.add_argument("--backend", choices=BACKENDS, default="numba", help="of the networks (default: numba)")
    run.add_argument("--jobs", type=jobs, default=-1, metavar="N", help="classifiers' threads (default: -1, all cores)")
    run.add_argument("--out", type=Path, default=Path("runs/experiments"), metavar="DIR",
                     help="folder for everything (default: runs/experiments)")
    run.add_argument("--cluster", metavar="ADDRESS", help="a Dask scheduler for classifiers; local: start one")
    run.add_argument("--dry-run", action="store_true", help="say what would be done, what is stored, and what it takes")
    return parser

