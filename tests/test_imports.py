"""Who imports whom: read from the sources by `ast`, nothing is run.

An import inside a function counts like one at the top of a module. What the backend switch looks up by a name that it
puts together at run time is not seen here, and is the only way from `minicnn.ops` to `minicnn.kernels`.
"""
from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ("minicnn", "classifiers", "experiments")
PACKAGES = (*PRODUCT, "benchmarks", "course")
Imports = dict[str, set[str]]       # module: the modules it imports; a package's own file is named package.__init__

# What each package may import of the others: the packages named, and everything below them.
ALLOWED = {"minicnn": (), "classifiers": ("minicnn.plumbing",), "experiments": ("minicnn", "classifiers"),
           "benchmarks": ("minicnn", "classifiers", "experiments"), "course": ("minicnn", "classifiers", "experiments")}
PEERS = ("sklearn", "torch", "pandas", "libsvm", "svmutil")     # compared with in tests and benchmarks only

# scikit-learn itself asks for its tags (`__sklearn_tags__`), so there it has been imported already.
ASKED_BY_PEERS = {"classifiers.base -> sklearn.utils"}

# What is still wrong. Whoever mends one strikes it off; nothing may be added.
KNOWN_CIRCLES: set[str] = set()


def read(root: Path, packages: Iterable[str] = PACKAGES) -> Imports:
    """Return all imports of all modules in `packages`, folders of `root`; imports of other libraries included."""
    files = {".".join(path.relative_to(root).with_suffix("").parts): path
             for package in packages for path in (root / package).rglob("*.py")}

    def names(module: str) -> Iterator[str]:
        for node in ast.walk(ast.parse(files[module].read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                parents = module.split(".")[:-node.level] if node.level else []
                origin = ".".join([*parents, *([node.module] if node.module else [])])
                for alias in node.names:
                    inner = f"{origin}.{alias.name}"
                    yield inner if inner in files or f"{inner}.__init__" in files else origin
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") \
                    and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value)

    return {module: {f"{name}.__init__" if f"{name}.__init__" in files else name for name in names(module)} - {module}
            for module in files}


def circles(imports: Imports) -> set[str]:
    """Return the circles as texts ``folder: member, member``, the folder's members being its modules and folders.

    In each folder, the modules of one folder below it count as one. So a circle of modules is found in the folder in
    which their paths part, and a circle of folders is found even where no module of it is in a circle.
    """
    folders = {module.rpartition(".")[0][:end] for module in imports
               for end in [i for i, letter in enumerate(module) if letter == "."]} | {""}
    found = set()
    for folder in folders:
        start = f"{folder}." if folder else ""
        graph: Imports = {}
        for module, others in imports.items():
            if module.startswith(start):
                inside = {other[len(start):].partition(".")[0] for other in others
                          if other.startswith(start) and (other in imports)}
                member = module[len(start):].partition(".")[0]
                graph.setdefault(member, set()).update(inside - {member})
        reached = {member: _reached(member, graph) for member in graph}
        for member in graph:
            if member in reached[member]:
                found.add(f"{folder}: " + ", ".join(sorted(m for m in graph if m in reached[member]
                                                           and member in reached[m])))
    return found


def _reached(member: str, graph: Imports) -> set[str]:
    """Return where imports lead from `member`; itself only if they come back."""
    seen: set[str] = set()
    waiting = [member]
    while waiting:
        for other in graph[waiting.pop()] - seen:
            seen.add(other)
            waiting.append(other)
    return seen


def below(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")


def wrong_directions(imports: Imports) -> set[str]:
    """Return the imports that go against the order of the packages, as texts ``importer -> imported``."""
    found = set()
    for module, others in imports.items():
        home = module.partition(".")[0]
        for other in others:
            top = other.partition(".")[0]
            wrong = top in PACKAGES and top != home and not any(below(other, p) for p in ALLOWED[home])
            wrong |= below(module, "minicnn.plumbing") and top in PACKAGES and not below(other, "minicnn.plumbing")
            wrong |= below(module, "minicnn.ops") and below(other, "minicnn.kernels")
            wrong |= home in PRODUCT and top in PEERS
            if wrong:
                found.add(f"{module} -> {other}")
    return found


@pytest.fixture(scope="module")
def imports() -> Imports:
    return read(ROOT)


def test_there_is_no_circle(imports):
    found = circles(imports)
    assert found - KNOWN_CIRCLES == set(), "these import each other: move what both need into a module below both"
    assert KNOWN_CIRCLES - found == set(), "these circles are gone: strike them off KNOWN_CIRCLES"


def test_dependencies_run_one_way(imports):
    assert wrong_directions(imports) == ASKED_BY_PEERS


def test_cupy_is_imported_by_functions_only():
    at_top = [path for package in PRODUCT for path in (ROOT / package).rglob("*.py")
              for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, (ast.Import, ast.ImportFrom))
              if any(name.partition(".")[0] in ("cupy", "cupyx") for name in
                     [*(alias.name for alias in node.names), getattr(node, "module", None) or ""])]
    assert at_top == []     # else nothing could be imported where there is no GPU


@pytest.mark.parametrize("files, expected", [
    ({"a/one.py": "import a.two", "a/two.py": "def f():\n    from a import one"}, {"a: one, two"}),
    ({"a/one.py": "from . import two", "a/two.py": "from .one import f"}, {"a: one, two"}),
    ({"a/one.py": "from a import two", "a/two.py": "from a.three import f", "a/three.py": "import a.one as one"},
     {"a: one, three, two"}),
    ({"a/one.py": "import importlib\nimportlib.import_module('a.two')", "a/two.py": "import a.one"}, {"a: one, two"}),
    # Two folders need each other, although no module does.
    ({"a/x/one.py": "import a.y.one", "a/y/one.py": "", "a/y/two.py": "from a.x import two", "a/x/two.py": ""},
     {"a: x, y"}),
    # A module that takes a name from its own package, whose file imports the module.
    ({"a/__init__.py": "from a.one import f", "a/one.py": "from a import g"}, {"a: __init__, one"}),
    ({"a/__init__.py": "from a.one import f", "a/one.py": "from a import two", "a/two.py": "import numpy"}, set()),
    ({"a/x/one.py": "from ..y import f", "a/y/__init__.py": "from a.y.two import f", "a/y/two.py": "import a.three",
      "a/three.py": ""}, set()),
    ({"a/one.py": "import b.one", "b/one.py": "from a.one import f"}, {": a, b"}),
], ids=["in a function", "relative", "of three", "import_module", "of folders", "with its package", "none",
        "none, relative", "of packages"])
def test_circles_are_found(tmp_path, files, expected):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), "utf-8")
    assert circles(read(tmp_path, ("a", "b"))) == expected


@pytest.mark.parametrize("module, other, wrong", [
    ("minicnn.network", "classifiers.base", True), ("minicnn.network", "experiments.lab", True),
    ("classifiers.base", "minicnn.backend", True), ("classifiers.base", "minicnn.__init__", True),
    ("classifiers.base", "minicnn.plumbing.forks", False), ("classifiers.base", "minicnn.plumbing.__init__", False),
    ("minicnn.plumbing.forks", "minicnn.backend", True), ("minicnn.plumbing.forks", "minicnn.plumbing.files", False),
    ("minicnn.ops.conv", "minicnn.kernels.numba_conv", True), ("minicnn.kernels.numba_conv", "minicnn.ops.conv", False),
    ("experiments.lab", "benchmarks.svm", True), ("benchmarks.svm", "experiments.lab", False),
    ("course.grader", "benchmarks.svm", True), ("course.grader", "classifiers.svm.svc", False),
    ("classifiers.svm.svc", "sklearn.svm", True), ("benchmarks.svm", "sklearn.svm", False),
])
def test_wrong_directions_are_found(module, other, wrong):
    assert bool(wrong_directions({module: {other}})) is wrong
