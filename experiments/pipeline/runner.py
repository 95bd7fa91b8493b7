"""Run experiments: their stages in order, each once, then what they compute and draw, then the report.

An experiment is a module with four names::

    TITLE                           what it is, in a line
    needs(sizes) -> stages          what has to be done before
    compute(lab) -> found           numbers from the results of those stages: a dict of JSON values;
                                    found["rows"]   cells to compare with the paper's: what, paper, ours
                                    found["arrays"] pictures and the like, which stay out of results.json
    draw(found) -> Figure           the picture of it

Only stages take long, and their results are stored; `compute` and `draw` run anew every time.
"""
from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG

from experiments.analysis.claims import Found
from experiments.pipeline.lab import Lab
from experiments.pipeline.stages import Stage
from minicnn.npz import write_atomically
from minicnn.plumbing.folders import FolderInUse

EXPERIMENTS = ("fig1", "fig2", "fig3", "fig4", "fig5", "bagging", "table4", "dendrogram", "scores", "deconvnet",
               "timing")


def module(name: str) -> Any:
    """Return the module of an experiment.

    Examples
    --------
    >>> module("fig2").TITLE
    'Figure 2: classifiers on the layers of CNN1'
    """
    return import_module(f"experiments.figures.{name}")


def plan(names: Sequence[str], lab: Lab) -> list[Stage]:
    """Return all stages of some experiments, each once, after those that it needs."""
    ordered: dict[Stage, None] = {}
    done: set[tuple[str, str]] = set()

    def add(stage: Stage) -> None:
        for before in stage.needs():
            add(before)
        what = (stage.name, stage.key(lab))         # two descriptions may come to the same: pixels are pixels
        if what not in done:
            done.add(what)
            ordered[stage] = None

    for name in names:
        for stage in module(name).needs(lab.sizes):
            add(stage)
    return list(ordered)


def missing(lab: Lab, stages: Sequence[Stage]) -> list[Stage]:
    """Return those stages whose results are not stored."""
    return [stage for stage in stages if not lab.store.has(stage.name, stage.key(lab))]


def dry_run(lab: Lab, stages: Sequence[Stage]) -> Iterator[str]:
    """Tell what would be done: a line for each stage, and what it would take."""
    todo = missing(lab, stages)
    total, most = 0.0, 0.0
    for stage in stages:
        seconds, memory = stage.estimate(lab)
        if stage in todo:
            total, most = total + seconds, max(most, memory)
        yield f"{stage.name:<34} {'to do, about ' + duration(seconds) if stage in todo else 'done'}"
    disk = sum(stage.disk(lab) for stage in todo)
    yield (f"{len(stages)} stages, {len(todo)} to do: about {duration(total)} on two cores, {most / 1e9:.1f} GB of "
           f"memory beside the images, {disk / 1e9:.2f} GB on disk")


def run_stages(lab: Lab, stages: Sequence[Stage], say: Callable[[str], None] = print) -> None:
    """Do what is missing, and tell how long the rest will take: estimates, scaled by how they have fared."""
    todo = missing(lab, stages)
    if len(todo) < len(stages):
        say(f"{len(stages) - len(todo)} of {len(stages)} stages are done already")
    expected = {stage: stage.estimate(lab)[0] for stage in todo}
    begin = time.perf_counter()
    for i in range(len(todo)):
        with ExitStack() as held:
            stage = _take(lab, todo, held, say)
            todo.remove(stage)
            start = time.perf_counter()
            if lab.store.has(stage.name, stage.key(lab)):
                say(f"[{i + 1}/{len(expected)}] {stage.name}: done by another command")
                continue
            lab.store.write(stage.name, stage.key(lab), stage.run(lab))
        now = time.perf_counter()
        left = sum(expected[stage] for stage in todo)
        left *= (now - begin) / (sum(expected.values()) - left)
        say(f"[{i + 1}/{len(expected)}] {stage.name}: {duration(now - start)}; about {duration(left)} left")


def _take(lab: Lab, todo: Sequence[Stage], held: ExitStack, say: Callable[[str], None]) -> Stage:
    """Return the next stage that no other command is doing; `held` keeps it ours.

    Several commands may share a folder of results. If others are doing all stages that can be done now, one is waited
    for.
    """
    ready = [stage for stage in todo if not missing(lab, stage.needs())]
    for stage in ready:
        try:
            held.enter_context(lab.store.owned(stage.name, stage.key(lab)))
            return stage
        except FolderInUse:
            continue
    stage = ready[0]
    held.enter_context(lab.store.owned(stage.name, stage.key(lab),
                                       lambda who: say(f"waiting for {stage.name}, which is done by {who}")))
    return stage


def compute(lab: Lab, names: Sequence[str]) -> Found:
    """Return what each experiment found."""
    return {name: module(name).compute(lab) for name in names}


def draw(out: Path, found: Found) -> dict[str, Path]:
    """Write the picture of each experiment as PNG and SVG, and return the paths of the PNGs."""
    paths = {}
    for name, values in found.items():
        figure = module(name).draw(values)
        FigureCanvasSVG(figure)
        drawn = io.BytesIO()
        with rc_context({"svg.hashsalt": name}):        # its names of lines and markers are otherwise drawn at random
            figure.savefig(drawn, format="svg", metadata={"Date": None})
        write_atomically(out / f"{name}.svg", drawn.getvalue())
        FigureCanvasAgg(figure)
        paths[name], drawn = out / f"{name}.png", io.BytesIO()
        figure.savefig(drawn, format="png", dpi=110, metadata={"Software": None})
        write_atomically(paths[name], drawn.getvalue())
    return paths


def write_results(path: Path, contents: dict[str, Any]) -> None:
    """Write ``results.json``: everything that was found but arrays; sorted, so that equal results are equal bytes."""
    plain = {**contents, "experiments": {name: {key: value for key, value in values.items() if key != "arrays"}
                                         for name, values in contents["experiments"].items()}}
    write_atomically(path, (json.dumps(plain, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())


def duration(seconds: float) -> str:
    """Return a time as a person says it.

    Examples
    --------
    >>> duration(8.26), duration(95), duration(7300)
    ('8.3 s', '1 min 35 s', '2 h 1 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
