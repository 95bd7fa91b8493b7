"""An operation has one signature: vectorised, as loops, and as a kernel of every backend."""
from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import minicnn.kernels
from minicnn import ops

from .ops.versions import loops_name

KERNELS = Path(minicnn.kernels.__file__).parent
OPERATIONS = [name for name in ops.__all__ if hasattr(getattr(ops, name), "vectorised")]


def parameters(function):
    """Names, kinds and defaults; not annotations, which Numba's inner functions do without."""
    return [(p.name, p.kind.name, repr(p.default)) for p in inspect.signature(function).parameters.values()]


def functions(path):
    """Return the top-level functions of a file as syntax trees, without importing it: CuPy may be absent."""
    body = ast.parse(path.read_text("utf-8")).body
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef)}


def parsed_parameters(node):
    """What `parameters` returns, from the syntax tree of a function: an empty function with its arguments."""
    bare = [ast.arg(argument.arg) for argument in node.args.args]  # annotations may name what CuPy defines
    arguments = ast.unparse(ast.arguments(**{**vars(node.args), "args": bare}))
    scope = {}
    exec(f"def bare({arguments}): pass", scope)
    return parameters(scope["bare"])


def kernels():
    """Return (operation, file, syntax tree) of each kernel that the backend switch would find."""
    for path in sorted([*KERNELS.glob("numba_*.py"), *KERNELS.glob("cupy_*.py")]):
        page = path.stem.partition("_")[2]
        for name, node in functions(path).items():
            if name in OPERATIONS and getattr(ops, name).__module__ == f"minicnn.ops.{page}":
                yield pytest.param(name, node, id=f"{path.stem}.{name}")


@pytest.mark.parametrize("name, node", list(kernels()))
def test_a_kernel_takes_what_its_operation_takes(name, node):
    assert parsed_parameters(node) == parameters(getattr(ops, name))


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_loops_take_what_their_operation_takes(name):
    page = importlib.import_module(getattr(ops, name).__module__)
    assert parameters(getattr(page, loops_name(name))) == parameters(getattr(ops, name))


def test_every_kernel_file_named_after_a_page_replaces_an_operation_of_it():
    """A kernel whose name is misspelt would never be called, and nothing else would tell."""
    found = {param.id.partition(".")[0] for param in kernels()}
    pages = {getattr(ops, name).__module__.rpartition(".")[2] for name in OPERATIONS}
    named = {path.stem for path in KERNELS.glob("*_*.py") if path.stem.partition("_")[2] in pages}
    assert named == found


def test_every_operation_is_found():
    expected = {"conv2d", "max_pool2d", "relu", "maxout", "dropout", "linear", "softmax_cross_entropy"}
    expected |= {f"{name}_backward" for name in expected} | {"im2col", "col2im", "softmax"}
    assert set(OPERATIONS) == expected
