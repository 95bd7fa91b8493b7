"""Stratified splits: exact totals, shares by largest remainder, nothing twice, and the record on disk."""
from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minicnn.data import Dataset, load_split, save_split, scale_counts, split
from minicnn.data.split import apportion, stratified


def make(class_counts):
    labels = np.repeat(np.arange(len(class_counts)), class_counts)
    names = tuple(f"class {k}" for k in range(len(class_counts)))
    return Dataset(np.zeros((len(labels), 1, 1, 1), np.float32), labels, names, name="made")


def test_apportionment_by_hand():
    # Exact shares of 10 seats for 47:16:15:12:6:1 (97): 4.85 1.65 1.55 1.24 .62 .10; whole parts 4 1 1 1 0 0,
    # the three seats left go to .85, .65 and .62.
    assert apportion(np.array([47, 16, 15, 12, 6, 1]), 10).tolist() == [5, 2, 1, 1, 1, 0]
    # With a least share of 1: 990:5:5 of 10 would be 10:0:0.
    assert apportion(np.array([990, 5, 5]), 10, np.array([1, 1, 1])).tolist() == [8, 1, 1]
    # Equal remainders go to the lower index.
    assert apportion(np.array([1, 1, 1]), 2).tolist() == [1, 1, 0]


@given(st.lists(st.integers(1, 60), min_size=2, max_size=25), st.data())
def test_parts_are_exact_disjoint_and_stratified(class_counts, data):
    dataset, n = make(class_counts), sum(class_counts)
    assume(n >= 6)
    many = sum(count >= 3 for count in class_counts)
    assume(max(many, 1) <= n - 2)
    train = data.draw(st.integers(max(many, 1), n - 2))
    valid = data.draw(st.integers(1, n - train - 1))
    test = data.draw(st.integers(1, n - train - valid))
    parts = split(dataset, (train, valid, test), seed=n)
    assert [len(part) for part in parts] == [train, valid, test]
    rows = np.concatenate([part.source["indices"] for part in parts])
    assert len(set(rows.tolist())) == train + valid + test
    for part in parts:
        assert np.array_equal(part.labels, dataset.labels[part.source["indices"]])
    got = parts[0].class_counts
    assert np.all(got[np.array(class_counts) >= 3] >= 1)
    if all(count * train >= n for count in class_counts):  # no class had to be lifted to 1
        assert np.all(np.abs(got - np.array(class_counts) * train / n) < 1)


def test_plankton_counts_are_the_papers():
    assert scale_counts(30336) == (25000, 1500, 3800)
    for n in (10, 61, 5000, 70000):
        train, valid, test = scale_counts(n)
        assert abs(train - n * 25000 / 30336) < 1 and abs(valid - n * 1500 / 30336) < 1
        assert abs(test - n * 3800 / 30336) < 1 and train + valid + test <= n


def test_seed_decides():
    dataset = make([40, 30, 20])
    rows = [[part.source["indices"] for part in split(dataset, (50, 10, 20), seed)] for seed in (0, 0, 1)]
    assert rows[0] == rows[1] != rows[2]
    # By definition (permute the members of each class in turn, take from the end): a split must not change
    # between versions, or published results could not be rerun.
    rng = np.random.default_rng(0)
    last = rng.permutation(np.flatnonzero(dataset.labels == 0))[-22:]  # class 0: 40 * 50 / 90 = 22.2
    assert {row for row in rows[0][0] if row < 40} == set(last.tolist())


def test_parts_are_shuffled():
    train, _, _ = split(make([50, 50]), (60, 20, 20))
    assert 10 < np.count_nonzero(train.labels[:30] == 0) < 20


@pytest.mark.parametrize(
    "counts, said",
    [
        ((80, 10, 11), r"ask for 101 images, but there are 100.*\(82, 5, 13\)"),
        ((90, 0, 5), "at least one image in each part"),
        ((1, 10, 10), "1 training images cannot hold one of each of 2 classes"),
        ((50, 50), "expected three"),
        ((50.5, 10, 10), r"counts=\(50.5, 10, 10\): expected integers"),
        ((True, 10, 10), "expected integers"),
        (50, "counts=50: expected three numbers of training, validation and test images"),
        ("abc", "counts='abc': expected"),
    ],
)
def test_impossible_counts(counts, said):
    with pytest.raises(ValueError, match=said):
        split(make([60, 40]), counts)


@pytest.mark.parametrize("seed", [-1, 1.5, None, "0", True])
def test_impossible_seeds(seed):
    with pytest.raises(ValueError, match=r"seed=.*: expected an integer of 0 or more"):
        split(make([60, 40]), (50, 10, 10), seed)


def test_record_and_reload(tmp_path):
    dataset = make([40, 30, 20])
    parts = split(dataset, (50, 10, 20), seed=3)
    save_split(tmp_path / "split.json", parts)
    again = load_split(tmp_path / "split.json", dataset)
    assert [p.source["indices"] for p in again] == [p.source["indices"] for p in parts]
    assert json.loads((tmp_path / "split.json").read_text())["dataset"] == "made"


def test_record_of_another_set_or_damaged_is_refused(tmp_path):
    path = tmp_path / "split.json"
    save_split(path, split(make([40, 30, 20]), (50, 10, 30)))
    with pytest.raises(ValueError, match="has 50 images: it is a split of 'made'"):
        load_split(path, make([20, 20, 10]))
    with pytest.raises(ValueError, match="labels of the train images are not those"):
        load_split(path, make([30, 40, 20]))
    record = json.loads(path.read_text())
    record["valid"]["indices"][0] = record["train"]["indices"][0]
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="listed twice"):
        load_split(path, make([40, 30, 20]))
    for text in ("{", "[]", '{"format": "other"}', '{"format": "minicnn split 1"}'):
        path.write_text(text)
        with pytest.raises(ValueError, match="not a split of this version"):
            load_split(path, make([40, 30, 20]))


@pytest.mark.parametrize("damage", [
    lambda record: record["train"]["indices"].__setitem__(0, -1), lambda record: record["train"].update(indices=[1.5]),
    lambda record: record["valid"].update(indices=[True]), lambda record: record["valid"].update(indices=[[1, 2]]),
    lambda record: record["test"].update(indices="12"), lambda record: record["test"].update(indices={"1": 2}),
    lambda record: record["test"].update(indices=[2**70]), lambda record: record.pop("dataset"),
    lambda record: record["train"].pop("labels"), lambda record: record.update(valid=None),
])
def test_every_entry_of_a_record_is_checked(tmp_path, damage):
    path = tmp_path / "split.json"
    save_split(path, split(make([40, 30, 20]), (50, 10, 20)))
    record = json.loads(path.read_text())
    damage(record)
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"split.json is not a split of this version"):
        load_split(path, make([40, 30, 20]))


def test_a_record_that_is_too_deep_is_refused(tmp_path):
    (tmp_path / "split.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"split.json is not a split of this version"):
        load_split(tmp_path / "split.json", make([3, 3]))


def test_saving_parts_without_rows_is_refused(tmp_path):
    whole = make([3, 3])
    with pytest.raises(ValueError, match="train part does not know its rows"):
        save_split(tmp_path / "split.json", (whole, whole, whole))
    assert list(tmp_path.iterdir()) == []


def test_rare_classes_are_in_train_even_when_train_is_small():
    labels = np.repeat(np.arange(4), [1000, 3, 3, 3])
    train, _ = stratified(labels, (10, 900), seed=0)
    assert np.bincount(labels[train]).tolist() == [7, 1, 1, 1]
