"""Training on a device: the same as on the CPU, one wait an epoch, few launches, graphs, staging, resuming."""
from __future__ import annotations

import numpy as np
import pytest

from minicnn import Network, deconvnet, device, use_backend
from minicnn.kernels import cupy_fused
from minicnn.layers import Conv2d, Dropout, Flatten, Linear, Maxout, MaxPool2d, ReLU
from minicnn.optim import SGD, MaxNorm, schedules
from minicnn.training import DivergedError, fit

RNG = np.random.default_rng(0)
N = 22
TRAIN = RNG.random((N, 1, 8, 8), dtype=np.float32), RNG.integers(0, 3, N)
VALID = RNG.random((7, 1, 8, 8), dtype=np.float32), RNG.integers(0, 3, 7)


def small(dropout=False):
    """Every kind of layer of the paper; images of 8 x 8, since the stand-in for a GPU is slow."""
    return Network([[*([Dropout(0.2)] if dropout else []), Conv2d(4, 3), ReLU(), MaxPool2d(2)],
                    [Conv2d(6, 2, pad=1), Maxout(2), MaxPool2d(2)], [Flatten(), Linear(5), ReLU()], [Linear(3)]],
                   (1, 8, 8), seed=1)


def train(backend, epochs=3, net=None, valid=VALID, **settings):
    """Train with a changing rate, momentum and a norm, in batches of 5, the last one smaller."""
    with use_backend(backend):
        net = small() if net is None else net()
        optimizer = SGD(net.parameters(), schedules.Exponential(0.05, 0.9, per="step"), momentum=0.9)
        history = fit(net, TRAIN, valid, epochs=epochs, optimizer=optimizer, batch_size=5, progress=False,
                      constraints=[MaxNorm(net.parameters(), 1.0)], **settings)
        return net, history


def weights(net):
    return [p.value.get() if hasattr(p.value, "get") else p.value for p in net.parameters()]


def test_training_agrees_with_the_cpu_and_with_itself(cupy):
    net, history = train("cupy")
    other, again = train("cupy")
    cpu, expected = train("numba")
    for ours, theirs, same in zip(weights(net), weights(cpu), weights(other)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
        assert ours.tobytes() == same.tobytes()
    for record, theirs, same in zip(history.records, expected.records, again.records):
        assert record["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert record["accuracy"] == theirs["accuracy"] and record["valid_accuracy"] == theirs["valid_accuracy"]
        assert record["valid_loss"] == pytest.approx(theirs["valid_loss"], rel=1e-5)
        assert [record[key] for key in ("loss", "valid_loss")] == [same[key] for key in ("loss", "valid_loss")]


def trainer(net, batch=5, graph=True, constraints=()):
    optimizer = SGD(net.parameters(), 0.05, momentum=0.9)
    return device.DeviceTraining(net, optimizer, constraints, *TRAIN, batch, graph)


def test_the_host_waits_once_an_epoch(cupy):
    if not hasattr(cupy, "synchronisations"):
        pytest.skip("a device does not count how often the host waits; the stand-in does")
    with use_backend("cupy"):
        run = trainer(small(dropout=True))
        run.epoch(np.arange(N))  # compiles and captures
        before = cupy.synchronisations
        run.epoch(np.arange(N))
        assert cupy.synchronisations == before + 1


def test_a_graph_takes_the_same_steps_as_launch_by_launch(cupy):
    """With dropout: a captured step that drew its numbers once for all would repeat them."""
    results = []
    for graph in (True, False):
        with use_backend("cupy"):
            net = small(dropout=True)
            run = trainer(net, graph=graph)
            losses = [run.epoch(np.random.default_rng(k).permutation(N)) for k in range(3)]
            assert (run.graph is not None) == graph
        results.append((losses, [a.tobytes() for a in weights(net)]))
    assert results[0] == results[1]


@pytest.mark.parametrize("norms", [(2.0, 0.3), (0.3, 2.0)])
def test_of_two_norms_the_tighter_one_holds(cupy, norms):
    with use_backend("cupy"):
        net = small()
        trainer(net, constraints=[MaxNorm(net.parameters(), norm) for norm in norms]).epoch(np.arange(N))
    longest = max(np.linalg.norm(w.reshape(len(w), -1), axis=1).max() for w in weights(net) if w.ndim > 1)
    assert longest == pytest.approx(0.3, rel=1e-5)


def test_a_layer_too_large_for_the_kernels_trains_without_a_graph(cupy, monkeypatch):
    """What it does instead asks the device for results, which a capture does not survive."""
    results = []
    for shared in (cupy_fused.SHARED, 100):
        monkeypatch.setattr(cupy_fused, "SHARED", shared)
        for plan in (cupy_fused._forward_plan, cupy_fused._input_gradient_plan, cupy_fused._weight_gradient_plan):
            plan.cache_clear()
        with use_backend("cupy"):
            net = small()
            run = trainer(net)
            losses = [run.epoch(np.arange(N)) for _ in range(2)]
            assert (run.graph is None) == (shared == 100)
        results.append((losses, weights(net)))
    for plan in (cupy_fused._forward_plan, cupy_fused._input_gradient_plan, cupy_fused._weight_gradient_plan):
        plan.cache_clear()
    for fused, unfused in zip(results[0][1], results[1][1]):
        np.testing.assert_allclose(fused, unfused, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)


def test_few_launches_a_step(cupy):
    if not hasattr(cupy, "launches"):
        pytest.skip("a device does not count launches; the stand-in does")
    with use_backend("cupy"):
        run = trainer(small(), graph=False)
        run.epoch(np.arange(N))
        before = cupy.launches
        run.epoch(np.arange(N))
        steps = 5  # the last one smaller
        assert cupy.launches - before == 2 + steps * 26  # step and totals are set to 0
        run = trainer(small())
        run.epoch(np.arange(N))
        before = cupy.launches
        run.epoch(np.arange(N))
        assert cupy.launches - before == 2 + 4 + 26  # four graphs, and the smaller batch kernel by kernel


def test_images_that_do_not_fit_pass_through_pinned_memory(cupy, monkeypatch):
    results = []
    for share in (device.SHARE, 0.0):
        monkeypatch.setattr(device, "SHARE", share)
        with use_backend("cupy"):
            net = small()
            run = trainer(net)
            assert run.resident == (share > 0)
            losses = [run.epoch(np.random.default_rng(k).permutation(N)) for k in range(2)]
        results.append((losses, [a.tobytes() for a in weights(net)]))
    assert results[0] == results[1]


def test_a_run_that_stopped_goes_on_bit_for_bit(cupy, tmp_path):
    net, history = train("cupy", epochs=3, net=lambda: small(dropout=True))
    train("cupy", epochs=2, net=lambda: small(dropout=True), checkpoint_dir=tmp_path)
    resumed, continued = train("cupy", epochs=3, net=lambda: small(dropout=True), checkpoint_dir=tmp_path)
    assert [a.tobytes() for a in weights(net)] == [a.tobytes() for a in weights(resumed)]
    assert [r["loss"] for r in history.records] == [r["loss"] for r in continued.records]


def test_a_run_that_diverges_says_so(cupy):
    with use_backend("cupy"):
        net = small()
        with pytest.raises(DivergedError, match=r"epoch 1: the loss is nan.* try 1e\+29"):
            fit(net, TRAIN, VALID, epochs=1, optimizer=SGD(net.parameters(), 1e30), batch_size=5, progress=False,
                constraints=())


def test_host_images_are_sent_batch_by_batch_and_results_come_back(cupy):
    """What a user has are NumPy images; what an experiment stores are NumPy features."""
    images = VALID[0]
    with use_backend("numpy"):
        net = small()
        expected = net.predict_proba(images), net.predict(images), net.features(images, 2)
    with use_backend("cupy"):
        net = small()
        actual = net.predict_proba(images, 3), net.predict(images, 3), net.features(images, 2, 3)
        on_device = net.predict_proba(cupy.asarray(images))
    for ours, theirs in zip(actual, expected):
        assert isinstance(ours, np.ndarray)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert isinstance(on_device, cupy.ndarray)
    with use_backend("cupy"), pytest.raises(TypeError, match="takes CuPy arrays"):
        net.forward(images)  # a single pass moves nothing silently


@pytest.mark.parametrize("position", [None, (0, 1), "all"])
def test_deconvnet_projects_host_images(cupy, position):
    results = []
    for backend in ("numpy", "cupy"):
        with use_backend(backend):
            net = small()
            best = deconvnet.strongest(net, VALID[0], 2, 1, count=3)
            results.append([*best, deconvnet.project(net, VALID[0][best.rows], 2, 1, position)])
    for expected, ours in zip(*results):
        assert isinstance(ours, np.ndarray)
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


def test_a_network_moves_between_backends(cupy):
    images = VALID[0]
    with use_backend("numba"):
        net = small()
        expected = net.predict_proba(images)
    with use_backend("cupy"):
        net.to_backend()
        np.testing.assert_allclose(net.predict_proba(images), expected, rtol=1e-5, atol=1e-6)
    with use_backend("numba"):
        net.to_backend()
        assert (net.predict_proba(images) == expected).all()
