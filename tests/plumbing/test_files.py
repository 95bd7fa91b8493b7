"""A file is written whole or not at all, whoever else writes it at the same time."""
from __future__ import annotations

import pytest

from minicnn import npz
from minicnn.plumbing import files
from minicnn.plumbing.files import whole_file, write_atomically


def test_two_writers_of_one_name_in_one_process_leave_each_other_alone(tmp_path):
    """As two threads would: each temporary file belongs to one writer, and the last to end decides."""
    with whole_file(tmp_path / "a") as file:
        file.write(b"first")
        write_atomically(tmp_path / "a", b"second, and longer")
        assert (tmp_path / "a").read_bytes() == b"second, and longer"
    assert (tmp_path / "a").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_while_writing_leaves_the_old_file(tmp_path, error):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(error), whole_file(tmp_path / "a") as file:
        file.write(b"half of the n")
        raise error
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_functions_are_found_where_they_were(tmp_path):
    assert all(getattr(npz, name) is getattr(files, name)
               for name in ("remove_unfinished", "writable_folder", "write_atomically"))
