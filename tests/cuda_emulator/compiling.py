"""CUDA C++ to a shared object that `emulator.h` makes runnable on the CPU.

The source is taken as it is. Constants given by ``-DNAME=VALUE`` become ``#define`` lines behind the emulator's own
headers, which use short names themselves. The result is kept in a folder, by the checksum of everything that went
into it: ``MINICNN_EMULATOR_CACHE``, or one below the folder for temporary files.
"""
from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
EMULATOR = sorted(HERE.glob("emulator*"))
# The sanitizers call functions of emulator.h. -ffp-contract=off: the same roundings on every machine.
FLAGS = ["-std=c++17", "-O2", "-fPIC", "-fno-exceptions", "-fno-strict-aliasing", "-ffp-contract=off",
         "-fno-ipa-reference", "-U_FORTIFY_SOURCE", "-w",
         "-fsanitize=bounds,alignment,shift,integer-divide-by-zero", "-fno-sanitize-recover=all", f"-I{HERE}"]
KNOWN_OPTIONS = re.compile(r"(-D\w+(=.*)?|--?std=c\+\+(11|14|17|20)|--?use_fast_math|--?fmad=(true|false)|--?restrict|"
                           r"--?(line|generate-line-)info|--?maxrregcount=\d+|--?extra-device-vectorization)")
KERNEL = re.compile(r"__attribute__\(\(noinline, used\)\)\s*void\s+(\w+)\s*\(([^()]*)\)")


class CompileException(Exception):
    """As `cupy.cuda.compiler.CompileException`; holds what g++ said."""


@dataclass(frozen=True)
class Parameter:
    """A kernel's parameter: its name and what may be passed."""

    name: str
    is_pointer: bool
    is_const: bool
    is_restrict: bool
    number: str         # NumPy's name of the type of the number, or of what a pointer points to: f4; "any" for void
    alignment: int      # in bytes, of what a pointer points to, where it is a vector type; else 1


@dataclass(frozen=True)
class Compiled:
    """A kernel that can be run."""

    name: str
    parameters: tuple[Parameter, ...]
    launch: Any


def check_options(options: Any) -> None:
    """Raise for options that NVRTC would not take, or that CuPy would not."""
    if not isinstance(options, tuple):
        raise TypeError(f"options is a {type(options).__name__}: CuPy takes a tuple of strings")
    for option in options:
        if not KNOWN_OPTIONS.fullmatch(option):
            raise ValueError(f"option {option!r} is unknown to the stand-in; NVRTC may know it")


@functools.cache
def compile_kernels(code: str, options: tuple[str, ...]) -> dict[str, Compiled]:
    """Return the kernels of `code`, by name.

    Raises
    ------
    CompileException
        g++ does not take the source; the message is g++'s.
    NotImplementedError
        The source needs what the emulator does not have.
    """
    plain = re.sub(r"//[^\n]*|/\*.*?\*/", " ", code, flags=re.DOTALL)
    if re.search(r"extern\s+__shared__", plain):
        raise NotImplementedError("extern __shared__: the emulator has no dynamic shared memory; give the array a size")
    if re.search(r"^\s*#\s*include", plain, re.MULTILINE):
        raise NotImplementedError("#include: NVRTC has no headers of the system, and the emulator none of CUDA's")
    folder = _cache()
    inputs = [*(file.read_bytes() for file in EMULATOR), code.encode(), repr(options).encode(), repr(FLAGS).encode()]
    checksum = hashlib.sha256(b"\0".join(inputs)).hexdigest()[:24]
    library, names = folder / f"{checksum}.so", folder / f"{checksum}.txt"
    if not (library.exists() and names.exists()):
        _build(code, options, library, names)
    found = [line.split("|") for line in names.read_text().splitlines()]
    _emulator(folder)
    loaded = ctypes.CDLL(str(library))
    return {name: _kernel(loaded, name, parameters) for name, parameters in found}


def _cache() -> Path:
    usual = Path(tempfile.gettempdir()) / f"minicnn-emulator-{os.getuid()}"
    folder = Path(os.environ.get("MINICNN_EMULATOR_CACHE", usual))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _build(code: str, options: tuple[str, ...], library: Path, names: Path) -> None:
    """Write `library`, and `names`: a line for each kernel with its parameters as the preprocessor left them."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed: CUDA kernels cannot be run on the CPU")
    constants = [option[2:].partition("=") for option in options if option.startswith("-D")]
    defines = "".join(f"#define {name} {value if equals else 1}\n" for name, equals, value in constants)
    undefines = "".join(f"#undef {name}\n" for name, _, _ in constants)
    source = f'#include "emulator.h"\n{defines}namespace {{\n#line 1 "kernel.cu"\n{code}\n}}\n{undefines}'
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        file = Path(scratch) / "kernel.cpp"
        file.write_text(source)
        plain = re.sub(r"^#.*$", "", _gcc("-E", str(file)), flags=re.MULTILINE)
        kernels = [(name, " ".join(parameters.split())) for name, parameters in KERNEL.findall(plain)]
        file.write_text(source + "".join(f"EMULATOR_KERNEL({name})\n" for name, _ in kernels))
        _gcc("-c", str(file), "-o", f"{scratch}/kernel.o")
        # Linked without -fsanitize, so without its library.
        _gcc("-shared", f"{scratch}/kernel.o", str(_emulator(library.parent)), "-o", f"{scratch}/kernel.so",
             flags=["-Wl,-Bsymbolic", "-Wl,-z,defs"])
        (Path(scratch) / "kernel.txt").write_text("".join(f"{name}|{p}\n" for name, p in kernels))
        os.replace(f"{scratch}/kernel.so", library)
        os.replace(f"{scratch}/kernel.txt", names)


def _emulator(folder: Path) -> Path:
    """Return the shared object of `emulator.cpp`, which those of the kernels refer to, compiled once."""
    checksum = hashlib.sha256(b"\0".join(file.read_bytes() for file in EMULATOR)).hexdigest()[:24]
    library = folder / f"emulator-{checksum}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _gcc("-shared", "-std=c++17", "-O2", "-fPIC", str(HERE / "emulator.cpp"), "-o",
                 f"{scratch}/emulator.so", flags=[])
            os.replace(f"{scratch}/emulator.so", library)
    return library


def _gcc(*arguments: str, flags: list[str] | None = None) -> str:
    done = subprocess.run(["g++", *(FLAGS if flags is None else flags), *arguments], capture_output=True, text=True)
    if done.returncode:
        hint = "\n(NVRTC does not define it either: write __int_as_float(0x7f800000), int, unsigned, long long)" \
            if "poisoned" in done.stderr else ""
        raise CompileException(done.stderr + hint)
    return done.stdout


class _Type(ctypes.Structure):
    """As `emulator::Type`."""

    _fields_ = (("kind", ctypes.c_char), ("bytes", ctypes.c_int), ("alignment", ctypes.c_int),
                ("is_pointer", ctypes.c_bool), ("is_const", ctypes.c_bool))


def _kernel(library: ctypes.CDLL, name: str, text: str) -> Compiled:
    """Return a kernel of `library`; its parameters have the types that the compiler knows, and the names in `text`."""
    types = getattr(library, f"types_{name}")
    types.restype = ctypes.POINTER(_Type)
    parameters = []
    for word, kind in zip(text.split(",") if text else [], types()):
        number = "any" if kind.kind == b"v" else f"{kind.kind.decode()}{kind.bytes}"
        parameters.append(Parameter(re.findall(r"\w+", word)[-1], kind.is_pointer, kind.is_const, "restrict" in word,
                                    number, kind.alignment))
    launch = getattr(library, f"launch_{name}")
    launch.restype = ctypes.c_char_p
    return Compiled(name, tuple(parameters), launch)
