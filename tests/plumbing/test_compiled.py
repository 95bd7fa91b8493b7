"""Compiled code that cannot be kept, or was damaged, costs time: one line on stderr, and the same results."""
from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numba
import numpy as np
import pytest
from numba import prange

from minicnn.plumbing import compiled
from minicnn.plumbing.compiled import njit
from tests.processes import ROOT, python

needs_compiler = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="interpreted: nothing is compiled or kept")

MODULE = """
from minicnn.plumbing.compiled import njit

@njit(cache=True)
def twice(x):
    return 2 * x
"""


def call(folder: Path) -> tuple[int, int]:
    """Call a function as a new process would: return its result, and how often kept code was found."""
    file = folder / "kept.py"
    file.write_text(MODULE)
    spec = importlib.util.spec_from_file_location("kept", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.twice(21), len(module.twice.stats.cache_hits)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """The only folder where compiled code is kept, and a process that has warned of nothing yet."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(numba.config, "CACHE_LOCATOR_CLASSES", "UserProvidedCacheLocator")
    monkeypatch.setattr(compiled, "_warned", False)
    return tmp_path / "cache"


@needs_compiler
def test_the_next_process_finds_what_was_compiled(tmp_path, cache):
    assert call(tmp_path) == (42, 0)
    assert call(tmp_path) == (42, 1)


@needs_compiler
def test_the_whole_library_runs_without_a_cache_and_says_so_once():
    status, out, err = python("""
    import minicnn, numpy as np
    from classifiers import SVC, RandomForestClassifier
    from experiments import cli
    from minicnn import ops
    X, y = np.eye(4, dtype=np.float32), [0, 1, 0, 1]
    print(ops.relu(X[0])[0].tolist(), SVC().fit(X, y).predict(X)[0], RandomForestClassifier(1).fit(X, y).n_classes_)
    """, NUMBA_CACHE_LOCATOR_CLASSES="UserProvidedCacheLocator", NUMBA_CACHE_DIR="/dev/null/cache")
    assert (status, out) == (0, "[1.0, 0.0, 0.0, 0.0] 0 2\n"), err
    assert err.count("\n") == 1 and "compiled code cannot be kept" in err


@needs_compiler
@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:len(data) // 2]])
def test_a_damaged_file_of_compiled_code_is_replaced(tmp_path, cache, ending, damage):
    """Numba alone: EOFError or UnpicklingError at every call, in every process, until somebody removes the file."""
    call(tmp_path)
    (file,) = cache.rglob(f"*.{ending}")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(UserWarning, match="compiled code cannot be kept"):
        assert call(tmp_path) == (42, 0)
    assert call(tmp_path) == (42, 1)


@needs_compiler
def test_a_disk_that_is_full_is_told_once_and_the_results_are_there(monkeypatch, tmp_path, cache):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)
    with pytest.warns(UserWarning, match=r"cannot be kept .*No space left on device\. Set NUMBA_CACHE_DIR"):
        assert call(tmp_path) == (42, 0)
    assert call(tmp_path) == (42, 0)        # a second warning would be an error here


def test_the_whole_library_compiles_in_this_one_way():
    """One module that takes Numba's own decorator, and the library cannot be imported where nothing can be kept."""
    numbas = re.compile(r"from numba import .*\b(njit|jit|vectorize)\b|numba\.(njit|jit|vectorize)\(")
    names = [path.relative_to(ROOT).as_posix() for package in ("minicnn", "classifiers", "experiments")
             for path in (ROOT / package).rglob("*.py") if numbas.search(path.read_text())]
    assert names == ["minicnn/plumbing/compiled.py"]


@pytest.mark.parametrize("lost", [False, True])
def test_parallel_functions_run_alone_where_parallel_loops_are_lost(monkeypatch, lost):
    @njit(cache=False, parallel=True)
    def squares(x, y):
        for i in prange(len(x)):
            y[i] = x[i] * x[i]

    monkeypatch.setattr(compiled, "parallel_loops_are_lost", lambda: lost)
    y = np.zeros(5)
    squares(np.arange(5.0), y)
    assert y.tolist() == [0, 1, 4, 9, 16]
    if not numba.config.DISABLE_JIT:
        assert bool(squares.sequential.signatures) == lost


@needs_compiler
def test_kept_files_of_the_two_versions_do_not_mix(monkeypatch, cache):
    """Numba names a file by function and arguments, not by options: one name would be one file for both."""

    @njit(parallel=True)
    def cubes(x):
        for i in prange(len(x)):
            x[i] = x[i] ** 3

    cubes(np.ones(3))
    monkeypatch.setattr(compiled, "parallel_loops_are_lost", lambda: True)
    cubes(np.ones(3))
    kept = {file.name.partition("-")[0].rpartition(".")[2] for file in cache.rglob("*.nbi")}
    assert {"cubes", "cubes_sequential"} <= kept
