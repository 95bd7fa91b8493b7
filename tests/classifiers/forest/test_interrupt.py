"""Ctrl-C in the middle of a long fit: heard at once, no forest left behind, and nobody goes on growing."""
from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

# Prints a line when the fit is about to begin, and what is left of it after the interrupt.
SCRIPT = """
import sys, time
import numpy as np
import joblib
from classifiers.forest import RandomForestClassifier

n_jobs, last, backend = int(sys.argv[1]), sys.argv[2] == "warm", sys.argv[3]
rng = np.random.default_rng(0)
X, y = rng.normal(size=(20_000, 20)), rng.integers(0, 50, 20_000)
forest = RandomForestClassifier(2, n_jobs=n_jobs, max_features=None, warm_start=last, random_state=0)
forest.fit(X[:300], y[:300])
before = forest.ensemble_
forest.set_params(n_estimators=100_000)
joblib.parallel_config(backend=backend)
print("growing", flush=True)
try:
    forest.fit(X, y)
except KeyboardInterrupt:
    print("interrupted", flush=True)
if last:
    print(forest.ensemble_ is before)
else:
    print(set(vars(forest)) == set(forest.get_params()))
time.sleep(0.5)                                 # a turn of a kernel that was under way
begin = time.process_time()
time.sleep(0.5)
print(time.process_time() - begin < 0.2)        # of all threads
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT that could be sent to one process")
@pytest.mark.parametrize("n_jobs, last, backend", [(1, "none", "threading"), (2, "none", "threading"),
                                                   (2, "warm", "threading"), (2, "none", "loky")])
def test_an_interrupt_is_heard_within_a_second_and_leaves_no_forest(n_jobs, last, backend):
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", SCRIPT, str(n_jobs), last, backend], cwd=root, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        try:
            assert process.stdout and process.stderr
            assert process.stdout.readline() == "growing\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1.5)                   # binning takes a tenth of that
            process.send_signal(signal.SIGINT)
            begin = time.monotonic()
            assert process.stdout.readline() == "interrupted\n"
            waited = time.monotonic() - begin
            assert process.stdout.read().split() == ["True", "True"], process.stderr.read()
        finally:
            watchdog.cancel()
            process.kill()
    assert waited < 1.5                             # a tenth of a second where nobody else computes
