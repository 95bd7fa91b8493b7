"""`History`: what happened in each epoch of a training run, kept as JSON lines.

One line of ``history.jsonl`` is one epoch::

    {"epoch": 1, "loss": 3.1, "accuracy": 0.21, "valid_loss": 2.7, "valid_accuracy": 0.29,
     "lr": 0.05, "momentum": 0.9, "seconds": 1.7, "images_per_second": 14705.9}

`loss` and `accuracy` are means over the mini-batches *while* the weights change and, if the network has it,
with dropout: they lag behind what the final weights of the epoch would give. `valid_*` are computed after the
epoch with its final weights, so early on validation may well look better than training. `lr` and `momentum`
are those of the epoch's first update; `seconds` is the time of its updates alone, without validation and
saving.
"""
from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

from minicnn.plumbing.files import write_atomically

KEYS = ("epoch", "loss", "accuracy", "valid_loss", "valid_accuracy", "lr", "momentum", "seconds",
        "images_per_second")


def is_record(value: Any) -> bool:
    """Return whether `value`, read from a file, is the record of an epoch: a number for each of `KEYS`.

    Examples
    --------
    >>> is_record(dict.fromkeys(KEYS, 0.0)), is_record({"epoch": 1})
    (True, False)
    """
    return isinstance(value, dict) and all(type(value.get(key)) in (int, float) for key in KEYS)


class History:
    """The records of a run, one dict for each epoch.

    Parameters
    ----------
    records : iterable of dict
        Each with the keys of `KEYS`.

    Examples
    --------
    >>> history = History([dict.fromkeys(KEYS, 0.0) | {"epoch": e, "valid_accuracy": a}
    ...                    for e, a in ((1, 0.2), (2, 0.5), (3, 0.4))])
    >>> history["valid_accuracy"]
    [0.2, 0.5, 0.4]
    >>> history.best["epoch"]
    2
    """

    def __init__(self, records: Iterable[dict[str, Any]] = ()):
        self.records = list(records)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.records)

    def __getitem__(self, key: str) -> list[Any]:
        """Return one column, such as ``history["valid_loss"]``."""
        if key not in KEYS:
            raise KeyError(f"{key!r}: a history has {', '.join(KEYS)}")
        return [record[key] for record in self.records]

    @property
    def best(self) -> dict[str, Any]:
        """The record of the highest validation accuracy; of equal ones, of the lowest validation loss.

        Raises
        ------
        ValueError
            No epoch is done yet.
        """
        if not self.records:
            raise ValueError("the history is empty: no epoch is done yet")
        return max(self.records, key=lambda record: (record["valid_accuracy"], -record["valid_loss"]))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the records to `path`, one JSON object on a line.

        Raises
        ------
        OSError
            The folder cannot be written or the disk is full.
        """
        lines = (json.dumps(record, allow_nan=False) + "\n" for record in self.records)
        write_atomically(path, "".join(lines).encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> History:
        """Read the records that `save` wrote.

        Raises
        ------
        ValueError
            A line is not a record; the message names it.
        OSError
            The file cannot be opened.
        """
        records = []
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise ValueError(f"{path}, line {number} is not JSON: {error}") from error
                if not is_record(record):
                    raise ValueError(f"{path}, line {number} is no record of an epoch: expected the keys "
                                     f"{', '.join(KEYS)}, each with a number")
                records.append(record)
        return cls(records)

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw loss and accuracy against the epoch to the picture file `path` (png, pdf or svg).

        Raises
        ------
        ValueError
            No epoch is done yet.
        """
        # Imported only here: matplotlib takes a while, and training does not need it.
        from minicnn import figures

        figures.history({key: self[key] for key in KEYS}, self.best, path)
