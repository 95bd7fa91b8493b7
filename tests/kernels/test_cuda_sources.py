"""The CUDA sources compile without a warning: what the emulator in `tests.cuda_emulator` cannot know, nvcc does."""
from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("minicnn/kernels/cuda/*.cu"), *ROOT.glob("classifiers/svm/gpu/*.cu")])
ARCHITECTURES = (80, 90)    # A100, H100


def constants(source: Path) -> list[list[str]]:
    """Return the sets of constants to compile `source` with: its first lines, ``// compile: -Dreal=float -DC=32``."""
    lines = re.match(r"(// compile:.*\n)*", source.read_text("utf-8"))
    return [re.findall(r"-D(\S+)", line) for line in lines[0].splitlines()] if lines else []


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_a_source_says_with_which_constants_it_compiles(source):
    assert constants(source)


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed (it comes with the CUDA toolkit)")
@pytest.mark.parametrize("source, defines", [
    pytest.param(source, defines, id=f"{source.stem}-{number}")
    for source in SOURCES for number, defines in enumerate(constants(source))])
def test_compiles(source, defines, tmp_path):
    # Constants as lines of the source, not as options: CUDA's own headers, which come first, use short names too.
    lines = [f"#define {name} {value or 1}" for name, _, value in (d.partition("=") for d in defines)]
    file = tmp_path / "kernel.cu"
    file.write_text("\n".join([*lines, f'#include "{source}"', ""]))
    targets = [f"-gencode=arch=compute_{number},code=sm_{number}" for number in ARCHITECTURES]
    done = subprocess.run(["nvcc", *targets, "-std=c++17", "-Werror", "all-warnings", "-fatbin", "-o",
                           str(tmp_path / "kernel.fatbin"), str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
