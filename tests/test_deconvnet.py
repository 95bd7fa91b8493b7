"""DeConvNet: where it must equal the gradient, where it must not, and what it must leave alone."""
from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from minicnn import Network, deconvnet, models, use_backend
from minicnn.layers import LAYERS, Conv2d, Dropout, Flatten, Layer, Linear, Maxout, MaxPool2d, ReLU


@pytest.fixture
def rng():
    """Random numbers of the test's own, so that it does the same alone and among others."""
    return np.random.default_rng(88)


def small(dropout=0.3, **kwargs):
    """A network with every kind of layer, odd sizes, strides, padding, overlap and ragged windows."""
    return Network([
        [Conv2d(6, 3, pad=(1, 0)), ReLU(), MaxPool2d(3, 2, 1, ceil_mode=True)],
        [Dropout(dropout), Conv2d(8, (3, 2), pad=2), Maxout(2), MaxPool2d((2, 3), (1, 2), ceil_mode=True)],
        [Conv2d(5, 2, stride=2), ReLU()],
        [Flatten(), Linear(7), ReLU()],
        [Linear(4)],
    ], (2, 11, 9), **kwargs)


def linear_and_pooling(**kwargs):
    """A network without an activation function: the DeConvNet's one difference from the gradient is absent."""
    return Network([
        [Conv2d(5, 3, stride=(2, 1), pad=(0, 2)), MaxPool2d(3, 2, 1, ceil_mode=True)],
        [Conv2d(4, 2, pad=1), MaxPool2d(2, 1)],
        [Flatten(), Linear(6)],
        [Linear(3)],
    ], (2, 12, 9), dtype=np.float64, **kwargs)


def with_weights(net, *values):
    """Give `net` these weights and biases, in order; the other parameters keep theirs."""
    for parameter, value in zip(net.parameters(), values):
        parameter.value[...] = np.reshape(value, parameter.value.shape)
    return net


def outputs(net, x):
    """Yield the output of every stage as maps (N, F, OH, OW); a fully connected unit is a map of 1x1."""
    for stage in net.stages:
        for layer in stage:
            x = layer.forward(x)
        yield x if x.ndim == 4 else x[:, :, None, None]


def live_channels(net, x, stage, count=2):
    """Return channels that some activation of every image reaches, where there are any."""
    maps = net.features(x, stage).reshape(len(x), net.shapes[stage][0], -1)
    return np.argsort(maps.max(axis=2).min(axis=0))[-count:]


def gradient(net, x, stage, channel, cells):
    """Gradient of activation `cells[n]` (flat) of a channel of image n: the layers' own backward passes."""
    layers = [layer for layers in net.stages[:stage] for layer in layers]
    y = x
    for layer in layers:
        y = layer.forward(y)
    dy = np.zeros_like(y)
    dy.reshape(len(y), y.shape[1], -1)[np.arange(len(y)), channel, cells] = 1
    for layer in reversed(layers):
        dy = layer.backward(dy)
    return dy, y.reshape(len(y), y.shape[1], -1)[np.arange(len(y)), channel, cells]


# ------------------------------------------------------------------------------------------ beside the gradient

@pytest.mark.parametrize("stage, channel", [(1, 0), (1, 4), (2, 3), (3, 5), (4, 1)])
def test_without_relu_the_projection_is_the_activation_times_its_gradient(rng, stage, channel):
    """Catches: a wrong transposed filter, a lost stride or pad, a bias on the way back, a start other than a."""
    net, x = linear_and_pooling(seed=stage), rng.normal(size=(6, 2, 12, 9))
    for p in net.parameters():
        p.value[...] = rng.normal(size=p.value.shape)  # biases too, or a bias in the projection would be 0
    cells = net.features(x, stage).reshape(6, net.shapes[stage][0], -1)[:, channel].argmax(axis=1)
    slope, activation = gradient(net, x, stage, channel, cells)
    expected = slope * activation[:, None, None, None]
    np.testing.assert_allclose(deconvnet.project(net, x, stage, channel), expected, rtol=1e-11, atol=1e-11)
    assert expected.any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("stage", range(1, 6))
def test_with_relu_it_is_so_where_nothing_negative_flows(rng, stage):
    """Weights, biases and pixels are positive: every ReLU is open both ways. Catches: masks that are not 1."""
    net, x = small(dropout=0.0, dtype=np.float64), rng.random((4, 2, 11, 9))
    for p in net.parameters():
        p.value[...] = rng.random(p.value.shape)
    cells = net.features(x, stage).reshape(4, net.shapes[stage][0], -1)[:, 2].argmax(axis=1)
    slope, activation = gradient(net, x, stage, 2, cells)
    projection = deconvnet.project(net, x, stage, 2)
    np.testing.assert_allclose(projection, slope * activation[:, None, None, None], rtol=1e-11)
    assert (projection >= 0).all() and projection.any(axis=(1, 2, 3)).all()


def project_by_torch(torch, net, x, stage, channel):
    """The DeConvNet by autograd, in whose eyes an activation function's gradient is a rectifier."""
    class Rectify(torch.autograd.Function):
        @staticmethod
        def forward(context, x, y):
            return y.clone()

        @staticmethod
        def backward(context, signal):
            return signal.clamp_min(0), None

    f = torch.nn.functional
    image = torch.tensor(x, requires_grad=True)
    y = image
    for layer in itertools.chain(*net.stages[:stage]):
        w, b = (torch.tensor(p.value) for p in layer.parameters()) if layer.parameters() else (None, None)
        if isinstance(layer, Conv2d):
            y = f.conv2d(y, w, b, layer.stride, layer.pad)
        elif isinstance(layer, MaxPool2d):
            y = f.max_pool2d(y, layer.size, layer.stride, layer.pad, ceil_mode=layer.ceil_mode)
        elif isinstance(layer, ReLU):
            y = Rectify.apply(y, y.clamp_min(0))
        elif isinstance(layer, Maxout):
            N, C, H, W = y.shape
            y = y.view(N, C // layer.pieces, layer.pieces, H, W).max(dim=2).values
            y = Rectify.apply(y, y)
        elif isinstance(layer, Linear):
            y = f.linear(y.flatten(1), w, b)
    activation = y.flatten(2)[:, channel].max(dim=1).values if y.ndim == 4 else y[:, channel]
    (activation ** 2 / 2).sum().backward()  # the gradient of this is the activation: the start of the signal
    return image.grad.numpy()


@pytest.mark.parametrize("make, side, stage", [
    *((models.cnn1, 28, stage) for stage in range(1, 6)), *((models.cnn2, 40, stage) for stage in range(1, 8)),
    *((models.cnn3, 28, stage) for stage in range(1, 5))])
def test_the_papers_networks_equal_torch_with_a_backward_pass_that_rectifies(torch, rng, make, side, stage):
    """Real depth, all weights signed. Catches what small cases let through: the order of the steps, any rule."""
    net, x = make(n_classes=7, dtype=np.float64, seed=stage), rng.normal(size=(2, 1, side, side))
    for channel in live_channels(net, x, stage):
        expected = project_by_torch(torch, net, x, stage, channel)
        projection = deconvnet.project(net, x, stage, channel)
        assert expected.any(axis=(1, 2, 3)).all()
        np.testing.assert_allclose(projection, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_a_case_by_hand_where_gradient_deconvnet_and_guided_backpropagation_all_differ():
    """Pixels 1 -1 2. Stage 1: two filters of 1x2, then ReLU. Stage 2: one filter of 1x2 over both maps, then ReLU.

        w[0] = (1, 1)      1-1 = 0 + b = 1     ->  1       -1+2 = 1 + b = 1  ->  2         (b[0] = 1)
        w[1] = (1, 2)      1-2 = -1            ->  0       -1+4 = 3          ->  3         (b[1] = 0)
        stage 2, w = (-1, 2) over map 0 and (4, 1) over map 1:   a = -1*1 + 2*2 + 4*0 + 1*3 = 6

    The way back. The ReLU of stage 2 passes 6. The transposed filter gives map 0: (-6, 12), map 1: (24, 6).
    Rectified: (0, 12) and (24, 6); the first -6 is stopped although x was positive there (the gradient passes
    it), and 24 goes on although x was negative there (the gradient and guided backpropagation stop it).

        transposed w[0]:   (0*1,   0*1 + 12*1,   12*1)    = (0, 12, 12)
        transposed w[1]:   (24*1,  24*2 + 6*1,    6*2)    = (24, 54, 12)        sum (24, 66, 24)

    Gradient times 6: maps (-6, 12) and (0, 6):  (-6, 6, 12) + (0, 6, 12)  = (-6, 12, 24).
    """
    net = Network([[Conv2d(2, (1, 2)), ReLU()], [Conv2d(1, (1, 2)), ReLU()], [Flatten(), Linear(2)]], (1, 1, 3))
    with_weights(net, [[1, 1], [1, 2]], [1, 0], [[-1, 2], [4, 1]])
    x = np.array([[[[1, -1, 2]]]], np.float32)
    assert net.features(x, 1).tolist() == [[1, 2, 0, 3]]
    assert net.features(x, 2).tolist() == [[6]]
    assert deconvnet.project(net, x, stage=2, channel=0).tolist() == [[[[24, 66, 24]]]]
    slope, activation = gradient(net, x, 2, 0, [0])
    assert (slope * activation).tolist() == [[[[-6, 12, 24]]]]


# ------------------------------------------------------------------------------------------------ layer by layer

POOLINGS = [dict(size=2), dict(size=3, stride=2), dict(size=3, stride=2, pad=1), dict(size=3, stride=1),
            dict(size=2, stride=2, ceil_mode=True), dict(size=4, stride=2, pad=1, ceil_mode=True),
            dict(size=(3, 2), stride=(1, 3), pad=(1, 0), ceil_mode=True), dict(size=2, stride=3)]


@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_unpooling_puts_each_value_where_its_window_had_its_maximum(rng, pooling, backend):
    """Against loops over windows. Catches: = for += where windows overlap, padding and ragged windows forgotten."""
    H, W = 7, 8
    net = Network([[MaxPool2d(**pooling)], [Flatten(), Linear(2)]], (2, H, W))
    x = rng.normal(size=(3, 2, H, W)).astype(np.float32) - 2  # mostly negative: a zero in the padding would win
    (KH, KW), (sy, sx), (py, px) = net.stages[0][0].size, net.stages[0][0].stride, net.stages[0][0].pad
    _, OH, OW = net.shapes[1]
    expected = np.zeros_like(x)
    for n, oy, ox in np.ndindex(3, OH, OW):
        window = [(oy * sy - py + ky, ox * sx - px + kx) for ky in range(KH) for kx in range(KW)]
        inside = [(iy, ix) for iy, ix in window if 0 <= iy < H and 0 <= ix < W]
        iy, ix = max(inside, key=lambda cell: x[n, 1, cell[0], cell[1]])
        expected[n, 1, iy, ix] += x[n, 1, iy, ix]
    with use_backend(backend):
        np.testing.assert_allclose(deconvnet.project(net, x, 1, 1, position="all"), expected, rtol=1e-6)


def test_the_drawing_of_unpooling_on_the_module_page():
    """Switches come from the image, the values from above: they are not the pixels that won."""
    net = with_weights(Network([[MaxPool2d(2)], [Conv2d(4, 2)], [Flatten(), Linear(2)]], (1, 4, 4)),
                       [[9, 2, 3, 4]] + [[0] * 4] * 3, [0] * 4)
    x = np.array([[[1, 5, 2, 0], [3, 4, 8, 6], [7, 0, 1, 6], [2, 3, 4, 5]]], np.float32)
    a = 9 * 5 + 2 * 8 + 3 * 7 + 4 * 6
    assert (deconvnet.project(net, x, 2, 0) / a).tolist() == [
        [[0, 9, 0, 0], [0, 0, 2, 0], [3, 0, 0, 4], [0, 0, 0, 0]]]


def test_maxout_rectifies_the_signal_and_sends_it_to_the_winning_piece():
    """Pixels 2 and -1. Four filters of one pixel, 1 -1 2 -3, biases 0 0 0 7, in two groups; then 3 and -1.

        filters    2, -2 | 4, 1      at pixel 0: maxout (2, 4), winners 0 and 0;     3*2 - 1*4  =  2
                  -1,  1 | -2, 10    at pixel 1: maxout (1, 10), winners 1 and 1;    3*1 - 1*10 = -7

    Back from pixel 0: the signals 2*3 and 2*-1, rectified 6 and 0; 6 times filter 0 is 6. From pixel 1, the
    signals -7*3 and -7*-1, rectified 0 and 7; 7 times filter 3 is -21.
    """
    net = Network([[Conv2d(4, 1), Maxout(2)], [Conv2d(1, 1)], [Flatten(), Linear(2)]], (1, 1, 2))
    with_weights(net, [1, -1, 2, -3], [0, 0, 0, 7], [3, -1])
    x = np.array([[[2, -1]]], np.float32)
    assert deconvnet.project(net, x, 2, 0).tolist() == [[[6, 0]]]
    assert deconvnet.project(net, x, 2, 0, position=(0, 1)).tolist() == [[[0, -21]]]
    assert deconvnet.project(net, x, 2, 0, position="all").tolist() == [[[6, -21]]]
    with_weights(net, [1, 2, 2, -3], [-9, -9, 0, 7])  # map 0 is now -5 and -10: a feature that is absent
    assert net.features(x[None], 1)[0, :2].tolist() == [-5, -10]
    assert not deconvnet.project(net, x, 1, 0, position="all").any()


def test_without_pooling_every_image_gives_the_same_picture(rng):
    """The signal meets the image in its start and in switches only. Catches: masks of the forward pass."""
    net = Network([[Conv2d(6, 3), ReLU()], [Conv2d(5, 3), ReLU()], [Flatten(), Linear(2)]], (1, 9, 9))
    pictures = deconvnet.project(net, rng.random((20, 1, 9, 9)), 2, 3, position=(2, 2))
    pictures = pictures[pictures.any(axis=(1, 2, 3))]
    scaled = pictures / np.abs(pictures).max(axis=(1, 2, 3), keepdims=True)
    assert len(pictures) > 3
    np.testing.assert_allclose(scaled, np.broadcast_to(scaled[0], scaled.shape), atol=1e-5)


# --------------------------------------------------------------------------------------- which activations, where

def test_the_strongest_activation_of_each_image_is_the_one_projected(rng):
    """Catches: one position for all images, the strongest of the whole batch, the smallest, the wrong channel."""
    net, x = small(), rng.random((8, 2, 11, 9), dtype=np.float32)
    maps = net.features(x, 1).reshape(8, *net.shapes[1])[:, 4]
    chosen = [np.unravel_index(m.argmax(), m.shape) for m in maps]
    assert len(set(chosen)) > 2
    each = [deconvnet.project(net, image, 1, 4, position) for image, position in zip(x, chosen)]
    np.testing.assert_allclose(deconvnet.project(net, x, 1, 4), each, rtol=1e-5, atol=1e-6)
    assert deconvnet.project(net, x[0], 1, 4).shape == (2, 11, 9)


def test_strongest_finds_the_images_and_positions(rng, monkeypatch):
    """Catches: rows that count from the start of a batch, ascending order, row and column swapped, ties backwards."""
    monkeypatch.setattr(deconvnet, "_BATCH", 7)
    net, x = small(), rng.random((30, 2, 11, 9), dtype=np.float32)
    x[17] = x[5]
    for stage, channel in ((1, 2), (2, 1), (5, 3)):
        maps = net.features(x, stage).reshape(30, *(*net.shapes[stage], 1, 1)[:3])[:, channel]
        best = deconvnet.strongest(net, x, stage, channel, count=30)
        assert sorted(best.rows) == list(range(30))
        if stage < 5:  # where a matrix product may round the same image differently in another row of the batch
            assert list(best.rows).index(17) == list(best.rows).index(5) + 1
        np.testing.assert_allclose(best.activations, np.sort(maps.max(axis=(1, 2)))[::-1], rtol=1e-5, atol=1e-6)
        for n, activation, (row, column) in zip(*best):
            assert maps[n, row, column] == pytest.approx(activation, rel=1e-5, abs=1e-6)
        first = deconvnet.strongest(net, x, stage, channel, count=4)
        assert all((few == all_[:4]).all() for few, all_ in zip(first, best))
    assert len(deconvnet.strongest(net, x[:3], 1, 0).rows) == 3
    assert len(deconvnet.strongest(net, x, 1, 0).rows) == 9


def holes():
    """Strides larger than kernels, so that pixels are skipped, and padding so wide that some windows hold no pixel."""
    return Network([[Conv2d(2, 2, stride=3, pad=(0, 3)), ReLU()], [Conv2d(2, (1, 2), stride=2)],
                    [Flatten(), Linear(2)]], (1, 13, 11))


def ragged():
    """A convolution that leaves the last row unseen, below one whose padding would reach it if nothing clipped it."""
    return Network([[Conv2d(2, 2, stride=2)], [Conv2d(2, 3, pad=1), Maxout(2)], [Flatten(), Linear(2)]], (1, 7, 9))


@pytest.mark.parametrize("make", [models.cnn1, models.cnn2, models.cnn3, small, holes, ragged])
def test_receptive_field_holds_exactly_the_pixels_that_change_an_activation(rng, make):
    """Light one pixel at a time. With positive weights and no biases, on black, whatever sees that pixel rises.

    Every position of every stage. Catches: a pad, stride or kernel missed, borders not clipped or clipped only at
    the pixels, ceil mode, inclusive ends, rows and columns confused.
    """
    net = make()
    for p in net.parameters():
        p.value[...] = 0 if p.name.endswith("b") else rng.uniform(0.5, 1, p.value.shape)
    C, H, W = net.input_shape
    rises = [[] for _ in net.stages]
    for iy in range(H):
        lit = np.zeros((W, C, H, W), np.float32)
        lit[range(W), :, iy, range(W)] = 1
        for found, y in zip(rises, outputs(net, lit)):
            assert ((y > 0) == (y[:, :1] > 0)).all()  # all channels see the same pixels
            found.append(y[:, 0] > 0)
    for stage, found in enumerate(rises, start=1):
        rising = np.stack(found)                                          # H W OH OW
        for row, column in np.ndindex(rising.shape[2:]):
            ys, xs = np.nonzero(rising[:, :, row, column])
            expected = (ys.min(), ys.max() + 1, xs.min(), xs.max() + 1) if len(ys) else (0, 0, 0, 0)
            assert deconvnet.receptive_field(net, stage, row, column) == expected, (stage, row, column)


def test_a_projection_stays_in_the_receptive_field(rng):
    net, x = small(), rng.random((5, 2, 11, 9), dtype=np.float32)
    for stage, row, column in ((1, 0, 0), (1, 5, 3), (2, 2, 1), (2, 4, 2), (3, 1, 0)):
        projection = deconvnet.project(net, x, stage, 1, (row, column))
        top, bottom, left, right = deconvnet.receptive_field(net, stage, row, column)
        outside = projection.copy()
        outside[:, :, top:bottom, left:right] = 0
        assert not outside.any()


# ---------------------------------------------------------------------------------- every network, any backend

@pytest.mark.parametrize("make, side, dropout", [
    (models.cnn1, 28, {}), (models.cnn2, 40, {}), (models.cnn3, 28, {}), (models.cnn3, 28, {"dropout": "all"})])
def test_every_stage_on_every_backend_fused_or_not(rng, make, side, dropout):
    """Catches: fused layers on the way, and a kernel that disagrees. Dropout must be the identity."""
    x = rng.random((3, 1, side, side), dtype=np.float32)
    for stage in range(1, len(make().stages) + 1):
        (channel,) = live_channels(make(**dropout), x, stage, count=1)
        with use_backend("numba"):
            fused = deconvnet.project(make(**dropout), x, stage, channel)
            unfused = deconvnet.project(make(fuse=False, **dropout), x, stage, channel)
        with use_backend("numpy"):
            readable = deconvnet.project(make(**dropout), x, stage, channel)
        assert fused.shape == x.shape and fused.dtype == np.float32 and fused.any(axis=(1, 2, 3)).all()
        assert (fused == unfused).all()
        np.testing.assert_allclose(fused, readable, rtol=1e-3, atol=1e-4 * np.abs(fused).max())


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("fuse", [True, False])
def test_the_network_is_left_as_it_was(rng, backend, fuse):
    """In the middle of a training step. Catches: caches taken or left, gradients overwritten, random numbers drawn."""
    x, other = rng.random((4, 2, 11, 9), dtype=np.float32), rng.random((3, 2, 11, 9), dtype=np.float32)
    with use_backend(backend):
        net, twin = small(seed=4, fuse=fuse), small(seed=4, fuse=fuse)
        logits, expected = net.forward(x, training=True), twin.forward(x, training=True)
        caches = [layer.cache for layer in itertools.chain(*net.stages, *net.plan())]
        for p in net.parameters():
            p.grad[...] = 7
        values, before = [p.value.copy() for p in net.parameters()], other.copy()
        for stage in range(1, 6):
            deconvnet.project(net, other, stage, 1)
            deconvnet.strongest(net, other, stage, 1)
        assert (other == before).all()
        assert all((p.value == v).all() and (p.grad == 7).all() for p, v in zip(net.parameters(), values))
        assert all(a is layer.cache for a, layer in zip(caches, itertools.chain(*net.stages, *net.plan())))
        assert net.rng.bit_generator.state == twin.rng.bit_generator.state
        net.backward(np.ones_like(logits))
        twin.backward(np.ones_like(expected))
        assert all((p.grad == q.grad).all() for p, q in zip(net.parameters(), twin.parameters()))
        net.predict(x)  # leaves no caches, and neither does a projection
        deconvnet.project(net, other, 5, 1)
        assert all(layer.cache is None for layer in itertools.chain(*net.stages, *net.plan()))


# -------------------------------------------------------------------------------------------------------- errors

IMAGE = np.zeros((1, 1, 28, 28), np.float32)


@pytest.mark.parametrize("arguments, message", [
    ((IMAGE, 0, 0), "stage=0: expected an integer from 1 to 5, for 'cnn1'"),
    ((IMAGE, 6, 0), "stage=6: .* from 1 to 5"),
    ((IMAGE, 1.0, 0), r"stage=1\.0: .* from 1 to 5"),
    ((IMAGE, True, 0), "stage=True"),
    ((IMAGE, 1, 32), "channel=32: expected an integer from 0 to 31, for stage 1 of 'cnn1'"),
    ((IMAGE, 1, -1), "channel=-1: .* from 0 to 31"),
    ((IMAGE, 4, 121), "channel=121: .* from 0 to 120"),
    ((IMAGE, 1, None), "channel=None"),
    ((IMAGE, 1, 0, (12, 0)), "row=12: expected an integer from 0 to 11, for maps of 12x12"),
    ((IMAGE, 1, 0, (0, -1)), "column=-1: .* from 0 to 11"),
    ((IMAGE, 4, 0, (0, 1)), "column=1: expected an integer from 0 to 0, for maps of 1x1"),
    ((IMAGE, 1, 0, (0.5, 1)), r"row=0\.5"),
    ((IMAGE, 1, 0, "strongest"), r"position='strongest': expected \(row, column\), 'all', or None"),
    ((IMAGE, 1, 0, 3), "position=3"),
    ((IMAGE, 1, 0, (1, 2, 3)), r"position=\(1, 2, 3\)"),
    ((IMAGE[:, :, :27], 1, 0), r"x has shape \(1, 1, 27, 28\): 'cnn1' expects \(N, 1, 28, 28\)"),
    ((np.zeros((5, 28, 28)), 1, 0), r"x has shape \(5, 28, 28\): .* or one image \(1, 28, 28\)"),
    ((IMAGE[:0], 1, 0), r"x has shape \(0, 1, 28, 28\): 'cnn1' expects .* at least one image"),
])
def test_bad_arguments_of_project_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        deconvnet.project(models.cnn1(), *arguments)


@pytest.mark.parametrize("call, message", [
    (lambda net: deconvnet.strongest(net, IMAGE, 9, 0), "stage=9"),
    (lambda net: deconvnet.strongest(net, IMAGE, 2, 48), "channel=48: .* from 0 to 47"),
    (lambda net: deconvnet.strongest(net, IMAGE, 2, 0, count=0), "count=0: expected a positive integer"),
    (lambda net: deconvnet.strongest(net, IMAGE[0], 2, 0), r"images has shape \(1, 28, 28\): 'cnn1' expects"),
    (lambda net: deconvnet.strongest(net, IMAGE[:0], 2, 0), "at least one image"),
    (lambda net: deconvnet.receptive_field(net, 0, 0, 0), "stage=0"),
    (lambda net: deconvnet.receptive_field(net, 2, 4, 0), "row=4: expected an integer from 0 to 3, for maps of 4x4"),
    (lambda net: deconvnet.receptive_field(net, 2, 0, -1), "column=-1"),
])
def test_bad_arguments_of_the_others_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(models.cnn1())


def test_every_layer_has_a_way_back_and_an_unknown_one_is_named():
    """A layer that is added to the library must be added here too."""
    class Square(Layer):
        def build(self, input_shape, rng, dtype):
            return input_shape

        def forward(self, x, training=False):
            self.cache = x
            return x * x

    assert {type(layer) for layer in itertools.chain(*small().stages)} == set(LAYERS.values())
    net = Network([[Square()], [Flatten(), Linear(2)]], (1, 2, 2))
    with pytest.raises(ValueError, match="no way back through a Square"):
        deconvnet.project(net, np.zeros((1, 2, 2)), 1, 0)
    assert math.prod(deconvnet.project(small(), np.zeros((2, 11, 9)), 5, 0).shape) == 198
