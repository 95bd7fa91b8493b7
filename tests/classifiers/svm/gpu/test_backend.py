"""SVC on a GPU: the kernels of ``cuda/`` run on an emulator of CUDA threads, and on a device where there is one."""
from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from classifiers.archive import load_archive, save_archive
from classifiers.base import ConvergenceWarning
from classifiers.svm import storage
from classifiers.svm.c_path import svm_path
from classifiers.svm.calibration import CalibratedSVC
from classifiers.svm.gpu import decision as cupy_decision
from classifiers.svm.gpu import gram as cupy_gram
from classifiers.svm.gpu import plan as cupy_plan
from classifiers.svm.gpu import solver as cupy_solver
from classifiers.svm.gpu.plan import Shape
from classifiers.svm.svc import SVC

KERNELS = {"linear": {"kernel": "linear"}, "poly": {"kernel": "poly", "degree": 2, "gamma": 0.1, "coef0": 1.0},
           "rbf": {"kernel": "rbf"}, "sigmoid": {"kernel": "sigmoid", "gamma": 0.02, "coef0": -0.1, "C": 5.0}}
SHAPES = cupy_plan._SHAPES       # the real ones, of up to 1,024 threads
FITTED = ("support_", "support_vectors_", "n_support_", "dual_coef_", "intercept_", "n_iter_")


def blobs(sizes=(40, 25, 33, 1), seed=0, d=4):
    """Overlapping classes of these sizes, in random order."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    X = rng.normal(size=(len(sizes), d))[y] * 1.5 + rng.normal(size=(len(y), d)) * 1.5
    return X.astype(np.float32).astype(np.float64), y


def assert_same_bits(one, other):
    for name in FITTED:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def assert_same_optimum(ours, numba, X, tol=1e-3):
    np.testing.assert_allclose(ours.certificates_["dual"], numba.certificates_["dual"], rtol=1e-5)
    assert ours.certificates_["violation"].max() <= 1.05 * tol      # certified on kernel values in float64
    assert np.abs(ours.certificates_["sum_y_alpha"]).max() < 1e-9
    np.testing.assert_array_equal(ours.predict(X), numba.predict(X))


@pytest.mark.parametrize("sizes", [(40, 25, 33, 1), (50, 70)], ids=["four classes", "two classes"])
@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
@pytest.mark.parametrize("name", KERNELS)
def test_it_is_the_machine_of_the_processor(device, name, strategy, sizes):
    X, y = blobs(sizes)
    ours = SVC(strategy=strategy, backend="cupy", **KERNELS[name]).fit(X, y)
    numba = SVC(strategy=strategy, **KERNELS[name]).fit(X, y)
    assert_same_optimum(ours, numba, X)
    for attribute in (*FITTED, "classes_", "class_weight_"):
        mine, theirs = getattr(ours, attribute), getattr(numba, attribute)
        assert type(mine) is np.ndarray and mine.dtype == theirs.dtype and mine.ndim == theirs.ndim
    np.testing.assert_allclose(ours.decision_function(X), numba.decision_function(X), atol=2e-2)


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_weights_of_classes_and_samples(device, strategy):
    X, y = blobs()
    weight = np.random.default_rng(1).uniform(0.2, 3.0, len(y))
    weight[5] = 0.0
    ours, numba = (SVC(C=3.0, strategy=strategy, class_weight={0: 2.0, 1: 0.3}, backend=backend).fit(X, y, weight)
                   for backend in ("cupy", "numba"))
    assert_same_optimum(ours, numba, X)
    assert 5 not in ours.support_


def test_the_same_bits_whatever_the_blocks_slices_and_launches(device, monkeypatch):
    X, y = blobs((60, 30, 45, 2, 1))
    for strategy in ("ovo", "ovr"):
        first = SVC(strategy=strategy, C=5.0, backend="cupy").fit(X, y)
        assert_same_bits(first, SVC(strategy=strategy, C=5.0, backend="cupy").fit(X, y))
        for page, name, value in ((cupy_plan, "_SHAPES", (Shape(64, 3), Shape(64, 0))),
                                  (cupy_plan, "_SHAPES", (Shape(128, 0),)),
                                  (cupy_solver, "_ITERATIONS", 7),
                                  (cupy_plan, "_SAMPLES", 100)):
            before = getattr(device, "launches", 0)
            with monkeypatch.context() as patch:
                patch.setattr(page, name, value)
                assert_same_bits(first, SVC(strategy=strategy, C=5.0, backend="cupy").fit(X, y))
            if hasattr(device, "launches") and name == "_ITERATIONS":
                assert device.launches - before >= first.n_iter_.max() / 7


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape_of_a_block(device, monkeypatch, shape):
    X, y = blobs((11, 14))
    expected = SVC(backend="cupy").fit(X, y)
    monkeypatch.setattr(cupy_plan, "_SHAPES", (shape, SHAPES[-1]) if shape.items else (shape,))
    assert_same_bits(SVC(backend="cupy").fit(X, y), expected)


@pytest.mark.parametrize("cupy", [pytest.param("gpu", marks=pytest.mark.gpu)], indirect=True)
@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_problems_of_every_size_on_a_device(cupy, strategy):
    X, y = blobs((2600, 2300, 700, 300, 150, 20, 1))
    ours, again = (SVC(C=5.0, strategy=strategy, backend="cupy").fit(X, y) for _ in range(2))
    assert_same_bits(ours, again)
    numba = SVC(C=5.0, strategy=strategy, n_jobs=2).fit(X, y)
    np.testing.assert_allclose(ours.certificates_["dual"], numba.certificates_["dual"], rtol=1e-5)
    assert ours.certificates_["violation"].max() <= 1.05e-3
    assert np.mean(ours.predict(X) == numba.predict(X)) > 0.998


@pytest.mark.parametrize("kernel", ["rbf", "precomputed"])
def test_a_matrix_in_parts_gives_the_same_machine(device, monkeypatch, kernel):
    X, y = blobs((25, 9, 17, 3, 20, 1))
    samples = X if kernel == "rbf" else X @ X.T
    whole = SVC(kernel=kernel, backend="cupy").fit(samples, y)
    parts = []
    matrix = cupy_gram.DeviceGram.matrix
    monkeypatch.setattr(cupy_gram.DeviceGram, "matrix", lambda self, some: parts.append(some) or matrix(self, some))
    monkeypatch.setattr(cupy_solver, "side", lambda *_: 45)
    cut = SVC(kernel=kernel, backend="cupy").fit(samples, y)
    assert len(parts) > 3 and max(sum(part.stop - part.start for part in some) for some in parts) <= 45
    if kernel == "precomputed":     # with products of another shape, BLAS may round differently
        assert_same_bits(whole, cut)
    assert_same_optimum(cut, whole, samples)
    monkeypatch.setattr(cupy_solver, "side", lambda *_: 44)
    with pytest.raises(MemoryError, match=r"that of 45 samples .* Use backend='numba'"):
        SVC(kernel=kernel, backend="cupy").fit(samples, y)
    with pytest.raises(MemoryError, match="that of 75 samples"):
        SVC(kernel=kernel, strategy="ovr", backend="cupy").fit(samples, y)


def test_a_kernel_that_is_a_function_is_called_on_the_host(device, monkeypatch):
    def laplacian(A, B):
        return np.exp(-0.3 * np.abs(A[:, None] - B[None]).sum(-1))

    monkeypatch.setattr(cupy_gram, "_ENTRIES", 500)     # some rows at a time
    monkeypatch.setattr(cupy_decision, "_ENTRIES", 500)
    X, y = blobs()
    ours, numba = (SVC(kernel=laplacian, backend=backend).fit(X, y) for backend in ("cupy", "numba"))
    np.testing.assert_allclose(ours.decision_function(X), numba.decision_function(X), atol=2e-2)
    np.testing.assert_array_equal(ours.predict(X), numba.predict(X))


def test_max_iter_leaves_an_honest_violation(device):
    X, y = blobs((30, 20, 25))
    with pytest.warns(ConvergenceWarning, match=r"3 of 3 binary problems .* after 5 iterations"):
        ours = SVC(max_iter=5, tol=1e-6, backend="cupy").fit(X, y)
    np.testing.assert_array_equal(ours.n_iter_, 5)
    assert ours.certificates_["violation"].min() > 1e-3


def test_a_path_starts_from_the_last_solution(device):
    X, y = blobs((30, 20, 25))
    path = svm_path(SVC(gamma=0.2, tol=1e-4, backend="cupy"), X, y, [0.5, 2.0, 4.0])
    for machine in path:
        assert machine.certificates_["violation"].max() < 1.1e-4
    alone = SVC(gamma=0.2, tol=1e-4, C=4.0, backend="cupy").fit(X, y)
    np.testing.assert_allclose(path[2].decision_function(X), alone.decision_function(X), atol=1e-2)
    assert path[2].n_iter_.sum() < alone.n_iter_.sum()


@pytest.mark.parametrize("strategy, shape", [("ovo", "ovr"), ("ovo", "ovo"), ("ovr", "ovr")])
@pytest.mark.parametrize("settings", [*KERNELS.values(), {"kernel": "precomputed"}], ids=lambda s: s["kernel"])
def test_decisions_of_one_machine_on_both_backends(device, monkeypatch, settings, strategy, shape):
    X, y = blobs((20, 15, 1, 12, 9))
    X_test = blobs((30, 30), seed=2)[0]
    if settings["kernel"] == "rbf":
        X, X_test = X + 50, X_test + 50                         # far from the origin, which is moved
    if settings["kernel"] == "precomputed":
        X, X_test = X @ X.T, X_test @ X.T
    svc = SVC(strategy=strategy, decision_function_shape=shape, **settings)
    svc.fit(X, y)
    expected, labels = svc.decision_function(X_test), svc.predict(X_test)
    svc.set_params(backend="cupy")
    monkeypatch.setattr(cupy_decision, "_ENTRIES", 1000)       # several blocks
    found = svc.decision_function(X_test)
    assert found.dtype == np.float64 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(svc.predict(X_test), labels)
    np.testing.assert_allclose(svc.decision_function(X_test[:1]), found[:1], atol=1e-4 * np.abs(expected).max())
    if settings["kernel"] == "rbf":
        svc.set_params(backend="gpu")
        with pytest.raises(ValueError, match="SVC: backend='gpu', expected one of"):
            svc.predict(X_test)


def test_samples_of_any_layout_and_type(device):
    X, y = blobs()
    expected = SVC(backend="cupy").fit(X.astype(np.float32), y)
    for samples in (X, np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], X.tolist()):
        svc = SVC(backend="cupy").fit(samples, y)
        assert_same_bits(svc, expected)
        np.testing.assert_array_equal(svc.decision_function(samples), expected.decision_function(X))


def test_a_saved_machine_predicts_here_and_there(device, tmp_path, monkeypatch):
    X, y = blobs()
    svc = SVC(backend="cupy").fit(X, y)
    svc.save(tmp_path / "a.npz")
    back = SVC.load(tmp_path / "a.npz")
    assert back.backend == "cupy"
    np.testing.assert_array_equal(back.decision_function(X), svc.decision_function(X))
    labels = svc.predict(X)
    monkeypatch.setitem(sys.modules, "cupy", None)             # on a machine without CuPy
    back = SVC.load(tmp_path / "a.npz")
    with pytest.raises(ImportError, match="pip install cupy"):
        back.predict(X)
    np.testing.assert_array_equal(back.set_params(backend="numba").predict(X), labels)


def test_a_file_from_before_there_were_backends(tmp_path):
    X, y = blobs()
    svc, path = SVC().fit(X, y), tmp_path / "a.npz"
    svc.save(path)
    header, arrays = load_archive(path, storage._FORMAT, storage._VERSION)
    del header["parameters"]["backend"]
    save_archive(path, storage._FORMAT, storage._VERSION, header, arrays)
    back = SVC.load(path)
    assert back.backend == "numba"
    np.testing.assert_array_equal(back.predict(X), svc.predict(X))


def test_calibrated_probabilities(device):
    X, y = blobs((20, 15, 12))
    ours, numba = (CalibratedSVC(SVC(backend=backend), folds=2).fit(X, y) for backend in ("cupy", "numba"))
    np.testing.assert_allclose(ours.predict_proba(X), numba.predict_proba(X), atol=0.02)


def test_an_interrupt_or_an_error_leaves_it_unfitted(device, monkeypatch):
    def interrupted(cupy):
        raise KeyboardInterrupt

    monkeypatch.setattr(cupy_solver, "free_bytes", interrupted)
    X, y = blobs()
    svc = SVC(backend="cupy")
    with pytest.raises(KeyboardInterrupt):
        svc.fit(X, y)
    assert not [name for name in vars(svc) if name.endswith("_")]


def test_progress_is_shown_on_request(device, capsys):
    X, y = blobs((12, 9, 10))
    SVC(backend="cupy", verbose=True).fit(X, y)
    assert "0 of 3 binary problems are left" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["module", "device", "driver"])
def test_without_cupy_or_a_device_it_says_what_to_install(monkeypatch, missing):
    def broken():
        raise RuntimeError("cudaErrorInsufficientDriver")

    runtime = SimpleNamespace(getDeviceCount=broken if missing == "driver" else lambda: 0)
    module = None if missing == "module" else SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))
    monkeypatch.setitem(sys.modules, "cupy", module)
    X, y = blobs()
    svc = SVC(backend="cupy")
    with pytest.raises(ImportError, match=r"backend='cupy' is not available: .*pip install cupy-cuda12x"):
        svc.fit(X, y)
    assert not svc.__sklearn_is_fitted__()


def test_the_parameter_keeps_to_the_contract():
    base = pytest.importorskip("sklearn.base", reason="scikit-learn is not installed (pip install 'scikit-learn>=1.9')")
    assert SVC().backend == "numba"
    copy = base.clone(SVC(backend="cupy"))
    assert copy.backend == "cupy" and copy.get_params()["backend"] == "cupy"
    assert repr(copy) == "SVC(backend='cupy')"
    svc = SVC(backend="CuPy")                                   # stored as it is, checked in fit
    assert svc.backend == "CuPy"
    with pytest.raises(ValueError, match="SVC: backend='CuPy', expected one of"):
        svc.fit(*blobs())
