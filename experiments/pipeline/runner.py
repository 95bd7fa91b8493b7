"""Run stages: in order, each once, shared with other commands that work in the same folder."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack

from experiments.pipeline.lab import Lab
from experiments.pipeline.stage import Stage, Workplace
from experiments.pipeline.versions import present
from minicnn.plumbing.folders import FolderInUse


def plan(wanted: Iterable[Stage], lab: Workplace) -> list[Stage]:
    """Return the stages that are wanted and all that they need: each once, after those that it needs itself."""
    ordered: dict[Stage, None] = {}
    done: set[tuple[str, str]] = set()

    def add(stage: Stage) -> None:
        for before in stage.needs():
            add(before)
        what = (stage.name, stage.key(lab))         # two descriptions may come to the same: pixels are pixels
        if what not in done:
            done.add(what)
            ordered[stage] = None

    for stage in wanted:
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
    versions = present()            # of the code that is imported: a commit made meanwhile is not what runs
    begin = time.perf_counter()
    for i in range(len(todo)):
        with ExitStack() as held:
            stage = _take(lab, todo, held, say)
            todo.remove(stage)
            start = time.perf_counter()
            if lab.store.has(stage.name, stage.key(lab)):
                say(f"[{i + 1}/{len(expected)}] {stage.name}: done by another command")
                continue
            lab.store.write(stage.name, stage.key(lab), stage.run(lab)._replace(made_by=versions))
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
