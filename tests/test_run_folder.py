"""What a run folder holds is not destroyed: not by a lost or foreign state, a second process, or a kill."""
from __future__ import annotations

import shutil
import sys

import pytest

from minicnn import checkpoint
from minicnn.data import Dataset
from minicnn.npz import CheckpointError

from .plumbing.test_folders import OWNER
from .processes import running
from .runs import TRAIN, VALID, assert_same_run, make_net, run
from .test_resume import Stop

pytestmark = pytest.mark.usefixtures("numpy_backend")


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("gone", [["state.npz"], ["state.npz", "history.jsonl"],
                                  ["state.npz", *(f"epoch-{epoch:03d}.npz" for epoch in range(3))],
                                  ["state.npz", "history.jsonl", "epoch-001.npz", "epoch-002.npz", "epoch-003.npz"]])
def test_without_the_state_nothing_is_removed(tmp_path, gone):
    """The networks took hours, and without the state they cannot be made again from where they stopped."""
    run(tmp_path, 3)
    for name in gone:
        (tmp_path / name).unlink()
    before = files(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds .* but not its state\.npz.*put state\.npz back.*--no-resume"):
        run(tmp_path, 3, make_net(seed=1))
    assert files(tmp_path) == before
    run(tmp_path, 1, resume=False)
    assert set(files(tmp_path)) == {"epoch-000.npz", "epoch-001.npz", "history.jsonl", "state.npz"}


def test_a_run_killed_before_its_first_state_begins_again(tmp_path):
    """All that there is then is the network with the first weights, which this run writes too."""
    run(tmp_path / "straight", 2)
    run(tmp_path / "parts", 1)
    for name in ("state.npz", "history.jsonl", "epoch-001.npz"):
        (tmp_path / "parts" / name).unlink()
    run(tmp_path / "parts", 2)
    assert_same_run(tmp_path / "straight", tmp_path / "parts", 2)


def test_a_damaged_state_is_told_with_what_to_do_and_nothing_is_removed(tmp_path):
    run(tmp_path, 2)
    (tmp_path / "state.npz").write_bytes((tmp_path / "state.npz").read_bytes()[:-100])
    before = files(tmp_path)
    with pytest.raises(CheckpointError, match=r"state\.npz .*damaged.*networks are untouched.*--no-resume"):
        run(tmp_path, 3)
    assert files(tmp_path) == before


def test_an_older_copy_of_the_state_does_not_replace_later_networks(tmp_path):
    run(tmp_path, 1)
    old = (tmp_path / "state.npz").read_bytes()
    run(tmp_path, 4)
    (tmp_path / "state.npz").write_bytes(old)
    before = files(tmp_path)
    with pytest.raises(CheckpointError, match=r"knows of 1 epochs, but epoch-004\.npz .*move epoch-003\.npz and all"):
        run(tmp_path, 4)
    assert files(tmp_path) == before


def test_the_state_of_a_run_with_other_first_weights_does_not_replace_these_networks(tmp_path):
    run(tmp_path / "mine", 2)
    run(tmp_path / "other", 2, make_net(seed=9))
    (tmp_path / "mine" / "state.npz").write_bytes((tmp_path / "other" / "state.npz").read_bytes())
    before = files(tmp_path / "mine")
    with pytest.raises(CheckpointError, match=r"not the state of the run .*epoch-002\.npz has other weights"):
        run(tmp_path / "mine", 3)
    assert files(tmp_path / "mine") == before


def test_the_state_of_a_run_with_another_history_does_not_replace_this_one(tmp_path):
    """Where the networks are moved away, the times of the epochs tell two runs apart."""
    run(tmp_path / "mine", 2)
    run(tmp_path / "other", 2, make_net(seed=9))
    (tmp_path / "mine" / "state.npz").write_bytes((tmp_path / "other" / "state.npz").read_bytes())
    (tmp_path / "mine" / "epoch-002.npz").unlink()
    before = files(tmp_path / "mine")
    with pytest.raises(CheckpointError, match=r"not the state of the run whose history\.jsonl is there"):
        run(tmp_path / "mine", 3)
    assert files(tmp_path / "mine") == before


@pytest.mark.parametrize("content", ["", "{", "[" * 5000, '{"epoch": 1}'])
def test_a_damaged_history_is_written_anew_from_the_state(tmp_path, content):
    run(tmp_path / "straight", 3)
    run(tmp_path / "parts", 2)
    (tmp_path / "parts" / "history.jsonl").write_text(content)
    _, history = run(tmp_path / "parts", 3)
    assert_same_run(tmp_path / "straight", tmp_path / "parts", 3)
    assert (tmp_path / "parts" / "history.jsonl").read_text().count("\n") == len(history) == 3


def test_networks_that_the_user_moved_away_are_not_missed(tmp_path):
    run(tmp_path / "straight", 3)
    run(tmp_path / "parts", 2)
    for epoch in range(3):
        (tmp_path / "parts" / f"epoch-{epoch:03d}.npz").rename(tmp_path / f"{epoch}")
    run(tmp_path / "parts", 3)
    ends = [(tmp_path / folder / "epoch-003.npz").read_bytes() for folder in ("straight", "parts")]
    assert ends[0] == ends[1]


def test_a_run_goes_on_where_it_was_copied_to(tmp_path):
    run(tmp_path / "straight", 3)
    run(tmp_path / "here", 2)
    shutil.move(tmp_path / "here", tmp_path / "there" / "run")
    run(tmp_path / "there" / "run", 3)
    assert_same_run(tmp_path / "straight", tmp_path / "there" / "run", 3)


@pytest.mark.parametrize(("change", "message"), [
    ({"epoch": -1}, "its epoch is -1: expected a whole number"), ({"epoch": "2"}, "its epoch is '2'"),
    ({"epoch": 10**30}, "not those of epochs 1 to 10"), ({"steps": 2.5}, "its steps is 2.5"),
    ({"epoch": 1}, "2 records, which are not those of epochs 1 to 1"),
    ({"history": {}}, "its history is not a list"),
    ({"history": [{"epoch": 1}, {"epoch": 2}]}, "its history is not a list of records"),
    ({"dropout": [1]}, r"its dropout is \[1\]"), ({"data_order": {"bit_generator": "PCG64"}}, "is inconsistent"),
    ({"dropout": {"bit_generator": "PCG64", "state": {"state": -1, "inc": 2}, "has_uint32": 0, "uinteger": 0}},
     "is inconsistent: OverflowError"),
])
def test_a_state_with_values_that_no_run_writes(tmp_path, change, message):
    run(tmp_path, 2)
    state = checkpoint.TrainingState.load(tmp_path / "state.npz")
    for name, value in change.items():
        setattr(state, name, value)
    state.save(tmp_path / "state.npz")
    with pytest.raises(CheckpointError, match=message):
        run(tmp_path, 3)


def test_best_weights_of_another_network_are_found_before_training(tmp_path):
    run(tmp_path, 2)
    state = checkpoint.TrainingState.load(tmp_path / "state.npz")
    state.best = {name: value[:1] for name, value in state.best.items()}
    state.save(tmp_path / "state.npz")
    net = make_net()
    Stop(net, 0, AssertionError("training began"))
    with pytest.raises(CheckpointError, match="is inconsistent: ValueError: weights"):
        run(tmp_path, 3, net)


# One process at a time

def test_a_folder_in_which_another_process_trains_is_refused(tmp_path):
    run(tmp_path, 1)
    before = files(tmp_path)
    with running(sys.executable, "-c", OWNER, str(tmp_path)) as other:
        assert other.stdout.readline() == "mine\n"
        for resume in (True, False):
            with pytest.raises(OSError, match=f"is in use by process {other.pid} on .*choose another folder"):
                run(tmp_path, 2, resume=resume)
        (tmp_path / ".lock").unlink()
        assert files(tmp_path) == before


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    run(tmp_path, 1)
    mine = [".notes.txt.12.part", ".epoch.npz.1.part", "state.npz.1.part"]
    for name in [".state.npz.123.part", ".epoch-002.npz.7.part", ".history.jsonl.9.part", *mine]:
        (tmp_path / name).write_bytes(b"half")
    run(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.glob("*.part")) == sorted(mine)


def test_a_folder_inside_the_data_folder_is_refused(tmp_path):
    """The pictures of a run there would be images of the next one."""
    images = tmp_path / "data"
    images.mkdir()
    data = [Dataset(x, y, ("a", "b", "c"), source={"path": str(images)}) for x, y in (TRAIN, VALID)]
    with pytest.raises(ValueError, match="is inside the data folder"):
        run(images / "run", 1, train=data[0], valid=data[1])
    assert not list(images.iterdir())
    run(tmp_path / "run", 1, train=data[0], valid=data[1])


@pytest.mark.parametrize(("make", "what"), [
    (lambda path: path.write_text("x"), "run is a file"),
    (lambda path: path.symlink_to("nowhere"), "run is a link to nowhere, which does not exist")])
def test_what_is_no_folder_is_told_and_left_alone(tmp_path, make, what):
    make(tmp_path / "run")
    for folder in (tmp_path / "run", tmp_path / "run" / "a" / "b"):
        with pytest.raises(OSError, match=r"output folder .*run.* cannot be written: .*\. Choose") as caught:
            run(folder, 1)
        assert what in str(caught.value) or "Not a directory" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
