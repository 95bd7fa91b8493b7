"""Results on disk: whole or absent, never half, never believed when damaged."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.pipeline.store import Result, Store, key_of
from minicnn.npz import CheckpointError, write_archive

KEY = "0" * 16


def test_what_is_written_is_read(tmp_path: Path) -> None:
    arrays = {"predicted": np.array([3, 1, 2]), "proba": np.array([[0.25, 0.75]], np.float32)}
    Store(tmp_path).write("forest", KEY, Result({"accuracy": 0.1, "tried": [{"C": 1.0}]}, arrays))
    found = Store(tmp_path).read("forest", KEY)
    assert found is not None and found.plain == {"accuracy": 0.1, "tried": [{"C": 1.0}]}
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype


def test_versions_are_kept_with_a_result(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write("forest", KEY, Result({}, {}, {"minicnn": "0.1"}))
    found = store.read("forest", KEY)
    assert found is not None and found.made_by == {"minicnn": "0.1"}


def test_a_result_of_the_time_before_versions_were_recorded_is_read(tmp_path: Path) -> None:
    """The header had the one entry ``plain``."""
    store = Store(tmp_path)
    write_archive(store.path("forest", KEY), "minicnn experiments stage", 1, {"plain": {"accuracy": 0.5}},
                  {"predicted": np.arange(3)})
    found = store.read("forest", KEY)
    assert found is not None and found.plain == {"accuracy": 0.5} and found.made_by is None


@pytest.mark.parametrize("header", [{}, {"plain": [0.5]}, {"plain": {}, "made_by": "0.1"}, {"plain": {}, "made_by": {}},
                                    {"plain": {}, "made_by": {"numpy": 2}}, {"plain": {}, "made_by": {"numpy": "2\n"}}])
def test_a_header_that_is_not_that_of_a_result_is_an_error(tmp_path: Path, header: dict[str, object]) -> None:
    store = Store(tmp_path)
    write_archive(store.path("forest", KEY), "minicnn experiments stage", 1, header, {})
    with pytest.raises(CheckpointError, match=r"forest-.*its header is damaged.*delete the file"):
        store.read("forest", KEY)


def test_a_result_belongs_to_one_name_and_key(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write("forest", KEY, Result({}, {}))
    assert store.has("forest", KEY)
    assert not store.has("machines", KEY) and not store.has("forest", "1" * 16)
    assert store.read("machines", KEY) is None


@pytest.mark.parametrize("damage", [lambda b: b[:-200], lambda b: b[:300] + bytes([b[300] ^ 1]) + b[301:],
                                    lambda b: b""])
def test_a_damaged_result_is_an_error_that_says_what_to_do(tmp_path: Path, damage) -> None:
    store = Store(tmp_path)
    store.write("forest", KEY, Result({"accuracy": 0.5}, {"predicted": np.arange(100)}))
    path = store.path("forest", KEY)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match="delete the file"):
        store.read("forest", KEY)


def test_a_write_that_fails_leaves_the_old_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.write("forest", KEY, Result({"accuracy": 0.5}, {}))

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        store.write("forest", KEY, Result({"accuracy": 0.9}, {}))
    monkeypatch.undo()
    found = store.read("forest", KEY)
    assert found is not None and found.plain == {"accuracy": 0.5}
    assert [path.name for path in tmp_path.iterdir()] == [f"forest-{KEY}.npz"]


def test_keys_tell_descriptions_apart_and_not_their_order() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert len({key_of({"a": 1}), key_of({"a": 2}), key_of({"a": "1"}), key_of({"b": 1})}) == 4
