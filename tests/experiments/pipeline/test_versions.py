"""What made a result: the commit is that of the checkout and of nothing else, and mixtures are told in words."""
from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.pipeline import versions

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    versions.commit.cache_clear()
    yield
    versions.commit.cache_clear()


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout with one commit, a changed file that is not tracked, and a folder of packages inside."""
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("x = 1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-q", "-m", "one")
    (tmp_path / "notes.txt").write_text("not tracked")
    (tmp_path / "site-packages").mkdir()
    return tmp_path


@needs_git
def test_the_commit_is_that_of_the_checkout(checkout: Path) -> None:
    assert versions.commit(checkout) == git(checkout, "rev-parse", "HEAD")[:12]


@needs_git
def test_code_that_differs_from_its_commit_is_marked(checkout: Path) -> None:
    (checkout / "code.py").write_text("x = 2\n")
    assert versions.commit(checkout) == git(checkout, "rev-parse", "HEAD")[:12] + "+changes"


@needs_git
def test_packages_inside_the_checkout_of_another_project_have_no_commit(checkout: Path) -> None:
    assert versions.commit(checkout / "site-packages") is None


def test_without_git_or_with_a_damaged_checkout_there_is_no_commit(tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    assert versions.commit(tmp_path) is None
    versions.commit.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert versions.commit(tmp_path) is None


def test_a_record_names_the_commit_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "commit", lambda root: None)
    assert "commit" not in versions.present() and versions.is_record(versions.present())
    monkeypatch.setattr(versions, "commit", lambda root: "0123456789ab")
    assert versions.present()["commit"] == "0123456789ab"


def test_only_what_differs_is_told() -> None:
    one, other = {"commit": "a", "numpy": "2.0", "numba": "0.61"}, {"numpy": "2.1", "numba": "0.61"}
    assert versions.mixture([one, other]) == "commit a, numpy 2.0; commit unknown, numpy 2.1"
    assert versions.mixture([one, None]) == "commit a, numpy 2.0, numba 0.61; unknown versions"
    assert versions.mixture([one]) == versions.mixture([None]) == versions.mixture([]) == ""
