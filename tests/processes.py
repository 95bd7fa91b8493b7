"""Python in a process of its own, which never outlives the test: its whole group is killed when the time is up."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import minicnn

ROOT = Path(minicnn.__file__).parent.parent
LIMIT = 240         # seconds: far longer than any of them takes, so a machine under load fails no test


@contextmanager
def running(*command: str, cwd: Path = ROOT, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run `command` while the block runs, with its output in pipes; then kill what is left of its process group."""
    process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **environment}, text=True, start_new_session=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()    # type: ignore[union-attr]


def python(code: str, *arguments: str, cwd: Path = ROOT, **environment: str) -> tuple[int, str, str]:
    """Run `code` and return its exit status, stdout and stderr."""
    with running(sys.executable, "-c", textwrap.dedent(code), *arguments, cwd=cwd, **environment) as process:
        out, err = process.communicate(timeout=LIMIT)
    return process.returncode, out, err
