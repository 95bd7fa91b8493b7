"""The wheel and the source distribution hold all that runs, and the wheel works where there is no checkout."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.processes import LIMIT, ROOT

PACKAGES = ("minicnn", "classifiers", "experiments")


def run(*command: str, cwd: Path) -> str:
    """Run a command that must succeed, where no checkout can be found, and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A copy of the packages and of what builds them, and the folder of the two files built from it.

    The wheel is built from the source distribution, as it is by pip where a wheel is refused: what the distribution
    lacks, the wheel lacks too.
    """
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(source), cwd=folder)
    return source, folder / "dist"


@pytest.mark.parametrize("ending", ["whl", "tar.gz"])
def test_the_distributions_hold_every_file_of_the_packages(built, ending):
    """A style sheet or a CUDA source that setup.cfg does not name is left out without a word."""
    source, folder = built
    (file,) = folder.glob(f"*.{ending}")
    if ending == "whl":
        names = set(zipfile.ZipFile(file).namelist())
    else:
        with tarfile.open(file) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
    ours = {path.relative_to(source).as_posix() for package in PACKAGES for path in (source / package).rglob("*")
            if path.is_file()}
    assert {Path(name).suffix for name in ours} >= {".py", ".css", ".cu", ".typed"}
    assert sorted(ours - names) == []


def test_the_installed_wheel_runs_where_there_is_no_checkout(built, tmp_path):
    (wheel,) = built[1].glob("*.whl")
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    python = str(tmp_path / "env/bin/python")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", str(wheel),
        cwd=tmp_path)
    place = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    # What minicnn depends on comes from the environment of this test. Python reads no .pth file of a folder that a
    # .pth file names, so an editable installation of the checkout stays out.
    (place / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    assert run(python, "-c", "import minicnn; print(minicnn.__file__)", cwd=tmp_path).startswith(str(place))
    assert "Max Pooling" in run(python, "-m", "minicnn", "summary", "cnn1", cwd=tmp_path)
    experiments = run(python, "-m", "experiments", "run", "all", "--preset", "smoke", "--dry-run", cwd=tmp_path)
    assert "train-cnn1" in experiments
