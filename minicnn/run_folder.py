"""The files of a training run, and the checks that keep `minicnn.training.fit` from destroying those of another one.

A run is continued from its state alone. Without it, or with that of another run, the networks in the folder could not
be made again, so nothing there is then removed or replaced: each function raises `CheckpointError` and says what to do.
"""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from minicnn.checkpoint import CheckpointError, TrainingState, get_weights, load
from minicnn.history import History, is_record

STATE = "state.npz"
HISTORY = "history.jsonl"
NETWORKS = "epoch-[0-9]*.npz"
_AGAIN = "choose another folder, or start again with resume=False (--no-resume), which removes them"


def remove_run(folder: Path) -> None:
    """Remove what `fit` left in `folder`. The state goes first: without it nothing is taken for a run to continue."""
    for old in (folder / STATE, folder / HISTORY, *sorted(folder.glob(NETWORKS))):
        old.unlink(missing_ok=True)


def load_state(path: Path) -> TrainingState:
    """Return the state of a run.

    Raises
    ------
    CheckpointError
        The file is damaged, or holds values that no run writes.
    """
    try:
        state = TrainingState.load(path)
        _check(state, path)
        return state
    except CheckpointError as error:
        raise CheckpointError(f"{error}. The run cannot be continued without it. Its networks are untouched: "
                              f"{_AGAIN}") from error


def require_no_networks(folder: Path, first: dict[str, np.ndarray]) -> None:
    """Raise if `folder`, which has no state, has networks, unless it is the one network with the weights `first`.

    That one is there if the process was killed before it wrote the state.
    """
    networks = sorted(folder.glob(NETWORKS))
    history = (folder / HISTORY).exists()
    if not history and [path.name for path in networks] in ([], ["epoch-000.npz"]):
        if not networks or _equal(get_weights(load(networks[0])), first):
            return
    there = f"the networks {networks[0].name} to {networks[-1].name}" if networks else HISTORY
    raise CheckpointError(f"{folder} holds {there} of a run, but not its {STATE}, which says how that run goes on: put "
                          f"{STATE} back to continue it, {_AGAIN}")


def require_own_networks(path: Path, state: TrainingState) -> None:
    """Raise if the networks beside file `path` are not those of its run: the epochs to come would replace them."""
    later = [file for file in sorted(path.parent.glob(NETWORKS)) if _epoch(file) > state.epoch + 1]
    if later:
        raise CheckpointError(f"{path} knows of {state.epoch} epochs, but {later[-1].name} is there: it is an older "
                              f"copy. Put the latest {STATE} back, or move {later[0].name} and all later ones away")
    last = path.with_name(f"epoch-{state.epoch:03d}.npz")
    if last.exists() and not _equal(get_weights(load(last)), state.weights):
        raise CheckpointError(f"{path} is not the state of the run whose networks are there: {last.name} has other "
                              f"weights. Put the right {STATE} back, or choose another folder")
    if not _begins(state.history, path.with_name(HISTORY)):
        raise CheckpointError(f"{path} is not the state of the run whose {HISTORY} is there. Put the right {STATE} "
                              "back, or choose another folder")


def _begins(history: list[dict[str, Any]], path: Path) -> bool:
    """Return whether file `path`, which is written after the state, holds the first of these records."""
    try:
        records = History.load(path).records
    except (ValueError, OSError):       # gone or damaged: the state has all that it held
        return True
    return records == history[:len(records)]


def _check(state: TrainingState, path: Path) -> None:
    for name in ("epoch", "steps"):
        value = getattr(state, name)
        if type(value) is not int or value < 0:
            raise CheckpointError(f"{path}: its {name} is {value!r}: expected a whole number, 0 or more")
    for name in ("settings", "data_order", "dropout"):
        if not isinstance(getattr(state, name), dict):
            raise CheckpointError(f"{path}: its {name} is {getattr(state, name)!r}: expected names and values")
    if not isinstance(state.history, list) or not all(map(is_record, state.history)):
        raise CheckpointError(f"{path}: its history is not a list of records of epochs")
    if len(state.history) != state.epoch or any(r["epoch"] != i for i, r in enumerate(state.history, start=1)):
        raise CheckpointError(f"{path}: its history has {len(state.history)} records, which are not those of epochs 1 "
                              f"to {state.epoch}")


def _epoch(path: Path) -> int:
    """Return the number in the name of a file ``epoch-NNN.npz``, or -1 if the name has none."""
    digits = path.stem.removeprefix("epoch-")
    return int(digits) if digits.isascii() and digits.isdecimal() else -1


def _equal(some: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> bool:
    return some.keys() == others.keys() and all(np.array_equal(some[name], others[name]) for name in some)
