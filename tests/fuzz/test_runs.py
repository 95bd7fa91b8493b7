"""Run folders in any state: a run goes on to the same bits, or an error says why not; no network is ever lost."""
from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import checkpoint
from minicnn.data import Dataset, load_split, save_split, split
from minicnn.history import History
from tests.fuzz.draws import generator, numbers
from tests.runs import make_net, run

pytestmark = pytest.mark.usefixtures("numpy_backend")

EPOCHS = 2
VALUES: tuple[Any, ...] = (None, True, -1, 0, 1, 2, 3, 10**30, 0.5, 1e308, "", "x", "float32", [], [1], [[1]], {},
                           {"a": 1})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `EPOCHS` epochs, and a longer one that continues it."""
    folder = tmp_path_factory.mktemp("runs")
    with minicnn.use_backend("numpy"):
        run(folder / "short", EPOCHS)
        shutil.copytree(folder / "short", folder / "long")
        run(folder / "long", EPOCHS + 1)
        run(folder / "other", EPOCHS, make_net(seed=9))
        shutil.copytree(folder / "other", folder / "other long")
        run(folder / "other long", EPOCHS + 1)
    return folder


def damage(folder: Path, other: Path, rng: np.random.Generator) -> None:
    """Do to one file what people, disks and other processes do to files."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if not files:
        return
    path = files[rng.integers(len(files))]
    data = path.read_bytes()
    kind = rng.integers(7)
    if kind == 0:
        path.unlink()
    elif kind == 1:
        path.write_bytes(data[:rng.integers(len(data) + 1)])
    elif kind == 2 and data:
        at = int(rng.integers(len(data)))
        path.write_bytes(data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1:])
    elif kind == 3:
        path.write_bytes(b"")
    elif kind == 4 and (other / path.name).exists():
        shutil.copy(other / path.name, path)
    elif kind == 5:
        path.rename(path.with_name(str(rng.choice(["epoch-007.npz", "epoch-0.npz", "epoch-1x.npz", "net.npz"]))))
    else:
        path.with_name(f".{path.name}.{rng.integers(99999)}.part").write_bytes(data[:10])


@pytest.mark.parametrize("number", numbers(60))
def test_a_run_goes_on_or_says_why_not_and_loses_no_network(tmp_path: Path, whole: Path, number: int) -> None:
    rng = generator("runs", number)
    folder = Path(shutil.copytree(whole / "short", tmp_path / "run"))
    for _ in range(int(rng.integers(1, 4))):
        damage(folder, whole / "other", rng)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith(".part")}
    try:
        run(folder, EPOCHS + 1)
    except (ValueError, OSError):
        after = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith(".part")}
        assert after == before
        return
    for name, data in before.items():
        if name not in ("state.npz", "history.jsonl"):
            assert (folder / name).read_bytes() == data, name
    ends = [(place / "epoch-003.npz").read_bytes() for place in (folder, whole / "long", whole / "other long")]
    assert ends[0] in ends[1:]      # if all that tells two runs apart was replaced, it is the other run now


def change(value: Any, rng: np.random.Generator) -> Any:
    """Return a JSON value in which one thing, anywhere, is another one."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = list(value)[rng.integers(len(value))]
        if rng.random() < 0.1:
            return {name: part for name, part in value.items() if name != key}
        return {**value, key: change(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = int(rng.integers(len(value)))
        return [*value[:at], change(value[at], rng), *value[at + 1:]]
    return VALUES[rng.integers(len(VALUES))]


def change_header(path: Path, rng: np.random.Generator) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    entries["header.json"] = json.dumps(change(json.loads(entries["header.json"]), rng)).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


@pytest.mark.parametrize("number", numbers(150))
def test_headers_that_say_anything_are_read_or_refused(tmp_path: Path, whole: Path, number: int) -> None:
    rng = generator("headers", number)
    folder = Path(shutil.copytree(whole / "short", tmp_path / "run"))
    name = ("epoch-002.npz", "state.npz")[number % 2]
    change_header(folder / name, rng)

    def use() -> None:
        if name == "state.npz":
            run(folder, EPOCHS + 1)
        else:
            checkpoint.load(folder / name)
    allowed(use)


@pytest.mark.parametrize("number", numbers(150))
def test_records_that_say_anything_are_read_or_refused(tmp_path: Path, whole: Path, number: int) -> None:
    rng = generator("records", number)
    dataset = Dataset(np.zeros((30, 1, 2, 2), np.float32), np.repeat([0, 1], 15), ("a", "b"))
    save_split(tmp_path / "split.json", split(dataset, (20, 5, 5)))
    record = json.dumps(change(json.loads((tmp_path / "split.json").read_text()), rng))
    (tmp_path / "split.json").write_text(record)
    allowed(lambda: load_split(tmp_path / "split.json", dataset))
    lines = (whole / "short" / "history.jsonl").read_text().splitlines()
    (tmp_path / "history.jsonl").write_text("\n".join([lines[0], json.dumps(change(json.loads(lines[1]), rng))]))
    allowed(lambda: History.load(tmp_path / "history.jsonl").best)


def allowed(use: Callable[[], Any]) -> None:
    try:
        use()
    except (ValueError, OSError) as error:
        assert str(error)
