"""Compiled code that cannot be kept, or was damaged, costs time: one line on stderr, and the same results."""
from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shutil
import sys
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
    if not file.exists():       # Numba 0.61 goes by the time of the file
        file.write_text(MODULE)
    spec = importlib.util.spec_from_file_location("kept", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.twice(21), len(module.twice.stats.cache_hits)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """The only folder where compiled code is kept, and a process that has warned of nothing yet."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(numba.config, "CACHE_LOCATOR_CLASSES", "UserProvidedCacheLocator", raising=False)
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


def calls(folder: Path, keep: Path) -> str:
    """Call a function that is compiled from three files as a new process would; return result and cache hits."""
    status, out, err = python("from minicnn.kernel import f; print(f(1), len(f.stats.cache_hits))",
                              cwd=folder, PYTHONPATH=str(folder), NUMBA_CACHE_DIR=str(keep))
    assert (status, err) == (0, "")
    return out.strip()


@pytest.fixture
def package(tmp_path):
    """A package that holds our plumbing, a kernel, and what the kernel imports from two other files."""
    folder = tmp_path / "minicnn"
    shutil.copytree(ROOT / "minicnn/plumbing", folder / "plumbing", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "__init__.py").write_text("")
    (folder / "kernel.py").write_text("""
from minicnn import helper
from minicnn.plumbing.compiled import njit

step = helper.step

@njit()
def f(x):
    return 10 * step(x)
""")
    (folder / "helper.py").write_text("""
from minicnn.plumbing.compiled import njit
from minicnn.constants import (OTHER,     # one of several lines (two)
                               STEP)

@njit()
def step(x):
    return x + STEP
""")
    (folder / "constants.py").write_text("STEP, OTHER = 1, 0\n")
    return tmp_path


@needs_compiler
def test_an_edit_of_a_helper_or_a_constant_counts_in_the_next_process(package, tmp_path):
    """Numba alone goes on with the old code: the file that defines `f` has not changed."""
    keep = tmp_path / "keep"
    assert (calls(package, keep), calls(package, keep)) == ("20 0", "20 1")
    helper, constants = package / "minicnn/helper.py", package / "minicnn/constants.py"
    helper.write_text(helper.read_text().replace("x + STEP", "x - STEP"))
    assert (calls(package, keep), calls(package, keep)) == ("0 0", "0 1")
    constants.write_text("STEP, OTHER = 5, 0\n")
    assert (calls(package, keep), calls(package, keep)) == ("-40 0", "-40 1")


@needs_compiler
def test_code_of_a_process_that_imported_before_an_edit_is_not_used_after_it(package, tmp_path):
    """Both write: the index is that of the new source, the code that it names was compiled from the old one."""
    keep = tmp_path / "keep"
    calls(package, keep)
    (code,) = keep.rglob("kernel.f-*.nbc")
    old = code.read_bytes()
    helper = package / "minicnn/helper.py"
    helper.write_text(helper.read_text().replace("x + STEP", "x - STEP"))
    assert calls(package, keep) == "0 0"
    code.write_bytes(old)
    assert (calls(package, keep), calls(package, keep)) == ("0 0", "0 1")


@needs_compiler
def test_the_digest_of_a_kernel_does_not_depend_on_what_else_is_imported():
    """It is taken while modules are imported: a circle of imports would give another one in another order, and the
    kernels would be compiled again and again."""
    for name in ("classifiers.svm", "experiments.cli", "minicnn.kernels.numba_fused"):
        importlib.import_module(name)
    stamps = {(value.py_func.__module__, value._cache._cache_file._source_stamp[1])
              for name, module in list(sys.modules.items()) if name.partition(".")[0] in compiled.PACKAGES
              for value in vars(module).values() if isinstance(getattr(value, "_cache", None), compiled._Cache)}
    assert len(stamps) > 10
    assert [module for module, digest in stamps if digest != compiled.source_digest(module)] == []
    assert "minicnn.kernels.numba_registers" in compiled._sources


def test_the_digest_is_that_of_the_source_that_was_imported(monkeypatch, tmp_path):
    """A file that is edited while the process runs counts from the moment when its module is loaded again."""
    monkeypatch.setattr(compiled, "_sources", {})
    file = tmp_path / "edited.py"
    digests = []
    for text, load in (("x = 1", True), ("x = 2", False), ("x = 2", True)):
        file.write_text(text)
        if load:
            spec = importlib.util.spec_from_file_location("minicnn.edited", file)
            monkeypatch.setitem(sys.modules, "minicnn.edited", importlib.util.module_from_spec(spec))
        digests.append(compiled.source_digest("minicnn.edited"))
    assert digests[0] == digests[1] != digests[2]


def imports(source: str) -> set[str]:
    """What a module imports of these packages, anywhere and in any way, as Python itself reads it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {f"import {alias.name}" for alias in node.names}
    return {name for name in names if re.match(rf"\.|(import )?({'|'.join(compiled.PACKAGES)})\b", name)}


def test_modules_of_kernels_import_where_the_digest_sees_it():
    sources = [path.read_text() for package in compiled.PACKAGES for path in (ROOT / package).rglob("*.py")]
    kernels = [text for text in sources if re.search(r"^(from|import) numba\b|import njit$", text, re.MULTILINE)]
    assert len(kernels) > 15
    assert [name for text in kernels for name in imports(text) - set(compiled._imports(text))] == []


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
