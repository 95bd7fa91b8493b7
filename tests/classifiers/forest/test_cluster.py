"""A fit on a Dask cluster of two real processes: the same forest, also when one of the two is killed on the way."""
from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from classifiers.forest import RandomForestClassifier

from .cases import some_data
from .test_forest import assert_same_forest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def client(monkeypatch):
    """A client of a cluster of two worker processes, each with one thread."""
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed (pip install "
                                                            "distributed); it is needed for a fit on a cluster")
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))        # of the workers, which import `classifiers`
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client:
            yield client


def pids(client):
    return sorted(client.run(os.getpid).values())


@pytest.mark.parametrize("parameters", [{}, {"max_bins": None, "criterion": "entropy", "max_samples": 0.5}], ids=str)
def test_a_cluster_grows_the_same_forest(client, parameters):
    X, codes, _ = some_data(1, n=400, D=30, K=6)
    parameters = {"n_estimators": 40, "random_state": 0, "oob_score": True, **parameters}
    with joblib.parallel_config(backend="dask"):
        forest = RandomForestClassifier(**parameters).fit(X, codes)
    assert_same_forest(forest, RandomForestClassifier(**parameters).fit(X, codes))


def test_the_samples_are_sent_once_and_not_with_every_task(client, monkeypatch):
    X = np.random.default_rng(0).normal(size=(2000, 300))
    sizes, submit = [], client.submit

    def recorded(function, **arguments):
        if "tasks" in arguments:
            sizes.append(len(pickle.dumps(arguments["tasks"])))
        return submit(function, **arguments)

    monkeypatch.setattr(client, "submit", recorded)
    with joblib.parallel_config(backend="dask", client=client):
        RandomForestClassifier(80, max_depth=1, random_state=0).fit(X, X[:, 0] > 0)
    assert len(sizes) > 1 and max(sizes) < 300 * 2000 / 4       # bytes; the bins take 300 * 2000


def test_a_worker_that_is_killed_does_not_change_the_forest(client):
    X = np.random.default_rng(0).normal(size=(4000, 40)).astype(np.float32)
    codes = np.random.default_rng(1).integers(0, 10, 4000)      # nothing to be found: deep trees
    parameters: dict[str, Any] = {"n_estimators": 320, "max_features": 20, "random_state": 0}
    expected = RandomForestClassifier(**parameters, n_jobs=2).fit(X, codes)
    before, killed = pids(client), []

    def kill():
        killed.append(time.monotonic())
        os.kill(before[0], signal.SIGKILL)

    killer = threading.Timer(1.5, kill)
    begin = time.monotonic()
    with joblib.parallel_config(backend="dask"):
        killer.start()
        forest = RandomForestClassifier(**parameters).fit(X, codes)
    end = time.monotonic()
    killer.join()
    assert begin < killed[0] < end - 0.3        # in the middle
    assert_same_forest(forest, expected)
    client.wait_for_workers(2, timeout=30)
    assert before[0] not in pids(client) and before[1] in pids(client)
