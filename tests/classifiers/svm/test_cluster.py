"""A fit on a real Dask cluster: two worker processes do the work, and find the same bits as at home."""
from __future__ import annotations

import os

import joblib
import numpy as np
import pytest

from classifiers.svm.calibration import CalibratedSVC
from classifiers.svm.svc import SVC

distributed = pytest.importorskip("distributed", reason="Dask is not installed (pip install distributed)")


@pytest.fixture(scope="module")
def cluster():
    with (distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
                                   host="127.0.0.1") as workers, distributed.Client(workers)):
        yield workers


def blobs(K, n=240, d=5):
    rng = np.random.default_rng(0)
    y = rng.integers(0, K, n)
    return rng.normal(size=(K, d))[y] + rng.normal(size=(n, d)), y


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_fit_on_a_cluster_equals_the_fit_at_home(cluster, strategy):
    X, y = blobs(8)
    home = SVC(strategy=strategy).fit(X, y)
    with joblib.parallel_config(backend="dask"):
        away = SVC(strategy=strategy, n_jobs=-1).fit(X, y)
    for name in ("support_", "dual_coef_", "intercept_", "n_iter_"):
        np.testing.assert_array_equal(getattr(away, name), getattr(home, name))


def test_workers_compute_the_kernel_and_this_process_does_not(cluster, tmp_path):
    def kernel(A, B):       # inside the test, so that it is sent by value
        (tmp_path / str(os.getpid())).touch()
        return A @ B.T

    with joblib.parallel_config(backend="dask"):
        SVC(kernel=kernel, n_jobs=-1).fit(*blobs(8))
    processes = {int(path.name) for path in tmp_path.iterdir()}
    assert processes and os.getpid() not in processes


def test_calibration_on_a_cluster(cluster):
    X, y = blobs(3)
    home = CalibratedSVC().fit(X, y)
    with joblib.parallel_config(backend="dask"):
        away = CalibratedSVC(SVC(n_jobs=-1)).fit(X, y)
    np.testing.assert_array_equal(away.predict_proba(X), home.predict_proba(X))
