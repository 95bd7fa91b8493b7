"""Whole layers on the cupy backend: equal to the layers one by one in NumPy, and the same bits every time."""
from __future__ import annotations

import numpy as np
import pytest

from minicnn import Network, models, use_backend
from minicnn.kernels import cupy_fused
from minicnn.kernels.geometry import Geometry
from minicnn.layers import Conv2d, Flatten, Linear, Maxout, MaxPool2d, ReLU

# Convolution, activation, pooling, size of the image: CNN1's, CNN2's and CNN3's kinds of layer, small; windows that
# overlap, that leave a rest, that are padded; strides of the convolution; a filter alone; a rest of filters.
LAYERS = {
    "ReLU, pooled": (Conv2d(17, 3), ReLU(), MaxPool2d(2), (2, 8, 9)),
    "ReLU alone": (Conv2d(8, 3, pad=1), ReLU(), None, (3, 6, 5)),
    "maxout, windows that overlap": (Conv2d(8, 4, pad=2), Maxout(2), MaxPool2d(4, 2), (3, 7, 9)),
    "four pieces, three channels": (Conv2d(12, 2, pad=1), Maxout(4), MaxPool2d(2), (2, 5, 5)),
    "stride, padded windows, ceil": (Conv2d(5, 3, stride=(2, 1), pad=(1, 0)), ReLU(),
                                     MaxPool2d(3, 2, pad=1, ceil_mode=True), (2, 9, 8)),
    "maxout of three": (Conv2d(9, 2), Maxout(3), None, (1, 4, 4)),
    "windows apart": (Conv2d(1, 1), ReLU(), MaxPool2d(1, 3), (1, 7, 7)),
}


def layer_and_head(name, fuse=True):
    conv, activation, pooling, image = LAYERS[name]
    stage = [type(conv)(**conv.config()), activation] + ([pooling] if pooling else [])
    return Network([stage, [Flatten(), Linear(4)]], image, seed=3, dtype=np.float64, fuse=fuse), image


def passes(net, x, dlogits):
    """Return logits, dx and all gradients of one forward and one backward pass."""
    logits = net.forward(x, training=True)
    dx = net.backward(dlogits, input_gradient=True)
    return [logits, dx, *(p.grad for p in net.parameters())]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_equals_its_parts_in_numpy(cupy, name):
    rng = np.random.default_rng(1)
    with use_backend("numpy"):
        net, image = layer_and_head(name, fuse=False)
        x, dlogits = rng.normal(size=(3, *image)), rng.normal(size=(3, 4))
        expected = passes(net, x, dlogits)
    with use_backend("cupy"):
        device_net, _ = layer_and_head(name)
        assert [len(stage) for stage in device_net.plan()] == [1, 2]
        actual = passes(device_net, cupy.asarray(x), cupy.asarray(dlogits))
        again = passes(device_net, cupy.asarray(x), cupy.asarray(dlogits))
    for ours, theirs, same in zip(actual, expected, again):
        np.testing.assert_allclose(ours.get(), theirs, rtol=1e-10, atol=1e-12)
        assert ours.get().tobytes() == same.get().tobytes()


def test_sums_over_the_batch_do_not_depend_on_how_it_is_cut(cupy, monkeypatch):
    """Positions of 32 bits reach only so far: a batch that is cut gives the same numbers."""
    x, w = np.random.default_rng(0).normal(size=(7, 2, 6, 6)), np.random.default_rng(1).normal(size=(3, 2, 3, 3))
    g = Geometry((1, 1), (0, 0), 1, True, (2, 2), (2, 2), (0, 0), False)
    results = []
    for limit in (cupy_fused.LIMIT, 200):
        monkeypatch.setattr(cupy_fused, "LIMIT", limit)
        y, cache = cupy_fused.forward(cupy.asarray(x), cupy.asarray(w), cupy.zeros(3), g)
        gradients = cupy_fused.backward(cupy.ones(y.shape), cache)
        results.append([a.get() for a in (y, *gradients)])
    for whole, cut in zip(*results):
        np.testing.assert_allclose(whole, cut, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("image, kernel, expected", [
    ((3, 32, 32), (32, 3, 5, 5), True), ((3, 224, 224), (64, 3, 7, 7), True), ((3, 512, 3000), (8, 3, 3, 3), False)])
def test_which_layers_have_a_plan(image, kernel, expected):
    g = Geometry((1, 1), (0, 0), 1, True, (2, 2), (2, 2), (0, 0), False)
    assert cupy_fused.has_plan(image, kernel, g, "float32") == expected


@pytest.mark.parametrize("seed", range(30))
def test_plans_stay_within_a_block(seed):
    """Shared memory, threads, and every filter and row in some block, for layers of many sizes."""
    rng = np.random.default_rng(seed)
    C, H, W = (int(n) for n in (rng.integers(1, 100), rng.integers(8, 80), rng.integers(8, 80)))
    F, K, pieces = int(rng.integers(1, 50)), int(rng.integers(1, 9)), int(rng.integers(1, 5))
    g = Geometry((1, 1), (0, 0), pieces, pieces == 1, (2, 2), (2, 2), (0, 0), True)
    arguments = (C, H, W), (F * pieces, C, K, K), g, True, "float32"
    for make, rows, filters in ((cupy_fused._forward_plan, None, F * pieces), (cupy_fused._input_gradient_plan, H, C),
                                (cupy_fused._weight_gradient_plan, C, F * pieces)):
        plan = make(*arguments)
        if plan is None:
            continue
        c = plan.constants
        assert 1 <= plan.threads <= 512 and plan.filters * c["FB"] >= filters
        if make is cupy_fused._weight_gradient_plan:
            assert plan.rows * c["CB"] >= rows and c["TK"] * plan.threads >= c["CB"] * K * K * c["FB"] // c["TF"]
        else:
            assert plan.rows * c["TILE"] >= (rows or c["PH"])
            assert make is cupy_fused._input_gradient_plan or c["FB"] % c["PIECES"] == 0
            assert c["PT"] * c["TP"] >= (c["TILE"] * W if rows else ((c["TILE"] - 1) * 2 + 2) * c["OW"])


def test_a_layer_without_a_plan_runs_part_by_part(cupy, monkeypatch):
    monkeypatch.setattr(cupy_fused, "SHARED", 100)
    cupy_fused._forward_plan.cache_clear()
    try:
        test_a_layer_equals_its_parts_in_numpy(cupy, "ReLU, pooled")
    finally:
        for plan in (cupy_fused._forward_plan, cupy_fused._input_gradient_plan, cupy_fused._weight_gradient_plan):
            plan.cache_clear()


@pytest.mark.parametrize("make", [models.cnn1, models.cnn2, lambda **options: models.cnn3(dropout="none", **options)],
                         ids=["cnn1", "cnn2", "cnn3"])
def test_the_papers_networks_in_float32_equal_numpy_in_float64(cupy, make):
    """Within 1e-5 of the largest: the plans of the real sizes, with slabs, tiles and a rest of filters."""
    rng = np.random.default_rng(0)
    with use_backend("numpy"):
        net = make(n_classes=5, seed=1)
        x, dlogits = rng.random((2, *net.input_shape), dtype=np.float32), rng.normal(size=(2, 5)).astype("f4")
        net.dtype = np.dtype("f8")
        for p in net.parameters():
            p.value, p.grad = p.value.astype("f8"), p.grad.astype("f8")
        expected = passes(net, x.astype("f8"), dlogits.astype("f8"))
    with use_backend("cupy"):
        actual = passes(make(n_classes=5, seed=1), cupy.asarray(x), cupy.asarray(dlogits))
    for ours, theirs in zip(actual, expected):
        assert np.abs(ours.get() - theirs).max() <= 1e-5 * np.abs(theirs).max()
