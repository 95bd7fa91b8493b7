"""Checkpoints: a network in one file, and a training run in one file.

    save(net, path), load(path)     format "minicnn network": architecture and weights
    TrainingState                   format "minicnn training state": everything that decides the next update

Both are the ``.npz`` files of `minicnn.npz`: plain arrays and a JSON header, never pickle.

What decides the next update of SGD? The weights, the velocity, how many steps and epochs are done (the
schedules), which images come next (the state of the generator that shuffles), and which units drop out (the
state of the network's generator). Leave one out and a resumed run is another run: with the velocity lost it
merely stumbles, with a generator lost it silently sees other batches. `TrainingState` keeps them all, so 2 +
2 epochs equal 4 bit for bit.
"""
from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from minicnn.backend import array_module
from minicnn.network import Network
from minicnn.npz import CheckpointError, read_archive, to_host, write_archive

__all__ = ["CheckpointError", "TrainingState", "get_weights", "load", "save", "set_weights"]

NETWORK_FORMAT = ("minicnn network", 1)
STATE_FORMAT = ("minicnn training state", 1)


def save(net: Network, path: str | os.PathLike[str]) -> None:
    """Write the architecture, the weights and the class names of `net` to `path`, whole or not at all.

    Parameters
    ----------
    net : Network
        The network.
    path : str or path
        By custom ``*.npz``.

    Raises
    ------
    OSError
        The folder cannot be written or the disk is full.

    Examples
    --------
    >>> import os, tempfile
    >>> from minicnn import models
    >>> net = models.cnn1(n_classes=10, seed=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "net.npz")
    ...     save(net, path)
    ...     same = load(path)
    >>> bool((same.parameters()[0].value == net.parameters()[0].value).all())
    True
    """
    names = {} if net.class_names is None else {"class_names": list(net.class_names)}
    write_archive(path, *NETWORK_FORMAT, {"architecture": net.architecture(), **names}, get_weights(net))


def load(path: str | os.PathLike[str]) -> Network:
    """Return the network that `save` wrote to `path`.

    Raises
    ------
    CheckpointError
        Not such a file, cut short, of another version, or its weights are not those of its architecture.
    OSError
        The file cannot be opened.
    """
    header, arrays = read_archive(path, *NETWORK_FORMAT)
    try:
        net = Network.from_architecture(header["architecture"])
    except (KeyError, TypeError, ValueError, AttributeError, MemoryError) as error:
        raise CheckpointError(f"{path}: its header describes no network that can be built "
                              f"({type(error).__name__}: {error})") from error
    try:
        set_weights(net, arrays)
        net.class_names = header.get("class_names")     # files of older versions have none
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return net


def get_weights(net: Network) -> dict[str, np.ndarray]:
    """Return copies of the weights of `net` by name, as NumPy arrays."""
    return {p.name: to_host(p.value).copy() for p in net.parameters()}


def set_weights(net: Network, weights: dict[str, np.ndarray]) -> None:
    """Write `weights`, as `get_weights` returned them, into `net`.

    Raises
    ------
    ValueError
        A name, shape or dtype is not the network's; `net` is then unchanged.
    """
    parameters = {p.name: p for p in net.parameters()}
    missing, unknown = set(parameters) - set(weights), set(weights) - set(parameters)
    if missing or unknown:
        which = [f"{what} {', '.join(sorted(names))}" for what, names in
                 (("missing", missing), ("not the network's:", unknown)) if names]
        raise ValueError(f"weights do not fit network {net.name!r}: {'; '.join(which)}")
    for name, parameter in parameters.items():
        value, array = parameter.value, weights[name]
        if (array.shape, array.dtype) != (value.shape, value.dtype):
            raise ValueError(f"weights {name} are {array.dtype} of shape {array.shape}: network {net.name!r} "
                             f"expects {value.dtype} of shape {value.shape}")
    for name, parameter in parameters.items():
        parameter.value[...] = array_module(parameter.value).asarray(weights[name])


@dataclass
class TrainingState:
    """A training run after a whole number of epochs.

    Parameters
    ----------
    settings : dict
        What must be equal for a run to continue: architecture, data, batch size, seed, optimizer,
        constraints.
    epoch, steps : int
        Epochs and updates done.
    data_order : dict
        State of the generator that will shuffle the next epoch.
    dropout : dict
        State of the network's generator.
    history : list of dict
        The records of `minicnn.history.History`.
    weights, velocities, best : dict of str to array
        By parameter name; `best` are the weights of the best validation epoch so far.
    """

    settings: dict[str, Any]
    epoch: int
    steps: int
    data_order: dict[str, Any]
    dropout: dict[str, Any]
    history: list[dict[str, Any]]
    weights: dict[str, np.ndarray]
    velocities: dict[str, np.ndarray]
    best: dict[str, np.ndarray]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to `path`, atomically.

        Raises
        ------
        OSError
            The folder cannot be written or the disk is full; what `path` held before is then still there.
        """
        header = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {f"{group}/{name}": array for group in _ARRAYS for name, array in header.pop(group).items()}
        write_archive(path, *STATE_FORMAT, header, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TrainingState:
        """Return the state that `save` wrote.

        Raises
        ------
        CheckpointError
            Not such a file, damaged, or of another version.
        OSError
            The file cannot be opened.
        """
        header, arrays = read_archive(path, *STATE_FORMAT)
        plain = {field.name for field in fields(cls)} - set(_ARRAYS)
        if missing := sorted(plain - set(header)):
            raise CheckpointError(f"{path}: its header lacks {', '.join(missing)}")
        groups: dict[str, dict[str, np.ndarray]] = {group: {} for group in _ARRAYS}
        for full, array in arrays.items():
            group, _, name = full.partition("/")
            if group not in groups:
                raise CheckpointError(f"{path}: array {full} belongs to none of {', '.join(_ARRAYS)}")
            groups[group][name] = array
        everything: dict[str, Any] = {name: header[name] for name in plain} | groups
        return cls(**everything)

    def require(self, settings: dict[str, Any], path: str | os.PathLike[str]) -> None:
        """Raise unless this state belongs to a run with `settings`.

        Raises
        ------
        CheckpointError
            It belongs to another run; the message lists every difference.
        """
        plain = json.loads(json.dumps(settings))  # as read back from JSON: lists for tuples
        if found := differences(self.settings, plain):
            raise CheckpointError(f"{path} belongs to another run: {'; '.join(found)}. Continue with the "
                                  "saved settings, choose another folder, or start again without resume")


_ARRAYS = ("weights", "velocities", "best")


def differences(saved: Any, given: Any, where: str = "") -> list[str]:
    """Return, one sentence each, the places where two pieces of plain data differ.

    Examples
    --------
    >>> differences({"seed": 1, "optimizer": {"lr": 0.1}}, {"seed": 1, "optimizer": {"lr": 0.2}})
    ['optimizer lr is 0.1 in the saved run, 0.2 here']
    """
    if isinstance(saved, dict) and isinstance(given, dict):
        keys = list(saved) + [key for key in given if key not in saved]
        return [line for key in keys
                for line in differences(saved.get(key), given.get(key), f"{where} {key}".strip())]
    if isinstance(saved, list) and isinstance(given, list) and len(saved) == len(given):
        return [line for i, (a, b) in enumerate(zip(saved, given))
                for line in differences(a, b, f"{where}[{i}]")]
    return [] if saved == given else [f"{where} is {saved!r} in the saved run, {given!r} here"]
