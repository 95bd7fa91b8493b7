"""Network and layers: passes through stages, features, predictions, fusion, and what is refused."""
from __future__ import annotations

import copy

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from minicnn import Network, models, ops
from minicnn.backend import use_backend
from minicnn.fusion import FusedLayer, fuse
from minicnn.layers import Conv2d, Dropout, Flatten, Layer, Linear, Maxout, MaxPool2d, Parameter, ReLU

RNG = np.random.default_rng(20)


def small(**kwargs):
    """A network with every kind of layer, fused and unfused, odd sizes, padding and overlap."""
    return Network([
        [Conv2d(6, 3, pad=1), ReLU(), MaxPool2d(3, 2, 1, ceil_mode=True)],
        [Dropout(0.3), Conv2d(8, (3, 2)), Maxout(2), MaxPool2d(2, 1)],
        [Conv2d(5, 2, stride=2), ReLU()],
        [Flatten(), Linear(7), ReLU()],
        [Linear(4)],
    ], (2, 11, 9), **kwargs)


def loss_and_gradients(net, x, labels):
    logits = net.forward(x, training=True)
    loss, cache = ops.softmax_cross_entropy(logits, labels)
    dx = net.backward(ops.softmax_cross_entropy_backward(cache), input_gradient=True)
    return loss, logits, dx, [p.grad.copy() for p in net.parameters()]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 2e-5)])
def test_fused_network_equals_unfused_and_numpy(dtype, tolerance, seed):
    x = RNG.random((5, 2, 11, 9)).astype(dtype)
    labels = RNG.integers(0, 4, 5)
    with use_backend("numba"):
        fused = loss_and_gradients(small(dtype=dtype, seed=seed), x, labels)
        unfused = loss_and_gradients(small(dtype=dtype, seed=seed, fuse=False), x, labels)
    with use_backend("numpy"):
        readable = loss_and_gradients(small(dtype=dtype, seed=seed), x, labels)
    for other in (unfused, readable):
        for ours, theirs in zip((fused[0], *fused[1:3], *fused[3]), (other[0], *other[1:3], *other[3])):
            assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()


def test_network_equals_torch(torch):
    net = models.cnn3(n_classes=9, dropout="none", dtype=np.float64, seed=4)
    for p in net.parameters():
        p.value[...] = RNG.normal(0, 0.1, p.value.shape)
    x, labels = RNG.random((3, 1, 28, 28)), np.array([0, 8, 4])
    loss, logits, dx, gradients = loss_and_gradients(net, x, labels)
    tensors = [torch.tensor(p.value, requires_grad=True) for p in net.parameters()]
    image = torch.tensor(x, requires_grad=True)
    f = torch.nn.functional
    w1, b1, w2, b2, w3, b3, w4, b4 = tensors
    h = f.max_pool2d(f.conv2d(image, w1, b1).view(3, 48, 2, 21, 21).amax(2), 4, 2, ceil_mode=True)
    h = f.max_pool2d(f.conv2d(h, w2, b2, padding=3).view(3, 48, 2, 9, 9).amax(2), 4, 2, ceil_mode=True)
    h = f.max_pool2d(f.conv2d(h, w3, b3, padding=3).view(3, 24, 4, 6, 6).amax(2), 2)
    expected = f.linear(h.flatten(1), w4, b4)
    expected_loss = f.cross_entropy(expected, torch.tensor(labels))
    expected_loss.backward()
    assert loss == pytest.approx(expected_loss.item(), rel=1e-12)
    assert np.abs(logits - expected.detach().numpy()).max() < 1e-10
    for ours, theirs in zip((dx, *gradients), (image.grad, *(t.grad for t in tensors))):
        assert np.abs(ours - theirs.numpy()).max() < 1e-10 * theirs.abs().max()


def test_stage_zero_features_are_the_pixels_and_the_last_are_the_logits():
    net = models.cnn1(n_classes=6)
    x = RNG.random((9, 1, 28, 28), dtype=np.float32)
    assert (net.features(x, 0) == x.reshape(9, 784)).all()
    np.testing.assert_allclose(net.features(x, 5, batch_size=4), net.forward(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stage, size", [(1, 32 * 12 * 12), (2, 48 * 16), (3, 64), (4, 121), (5, 10)])
def test_features_are_channels_then_rows_then_columns_on_every_backend(stage, size):
    net = models.cnn1(n_classes=10)
    x = RNG.random((3, 1, 28, 28), dtype=np.float32)
    features = net.features(x, stage)
    assert features.shape == (3, size)
    with use_backend("numpy"):
        np.testing.assert_allclose(features, net.features(x, stage), rtol=1e-4, atol=1e-5)


def test_predictions_do_not_depend_on_the_batch_size():
    net = models.cnn1(n_classes=6)
    x = RNG.random((23, 1, 28, 28), dtype=np.float32)
    proba = net.predict_proba(x)
    assert proba.shape == (23, 6)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(net.predict_proba(x, batch_size=5), proba, rtol=1e-5)
    assert (net.predict(x, batch_size=1) == proba.argmax(axis=1)).all()
    assert net.predict(x).dtype == np.int64


def test_no_images_give_no_predictions():
    assert models.cnn1().predict(np.zeros((0, 1, 28, 28), np.float32)).shape == (0,)


def test_dropout_drops_only_in_training_and_is_repeatable():
    x = RNG.random((4, 2, 11, 9), dtype=np.float32)
    net = small(seed=5)
    assert (net.forward(x) == net.forward(x)).all()
    first = net.forward(x, training=True)
    assert (first != net.forward(x, training=True)).any()
    assert (first == small(seed=5).forward(x, training=True)).all()


def test_prediction_keeps_no_activations():
    net = models.cnn1()
    net.predict(np.zeros((3, 1, 28, 28), np.float32))
    assert all(layer.cache is None for stage in (*net.stages, *net.plan()) for layer in stage)
    with pytest.raises(RuntimeError, match="without a forward pass"):
        net.backward(np.zeros((3, 121), np.float32))


@pytest.mark.parametrize("pad", [0, 1])
def test_the_callers_images_survive_a_backward_pass(pad):
    """Fused layers write gradients over each other's outputs, but the first one's input is not theirs."""
    net = Network([[Conv2d(4, 3, pad=pad), ReLU(), MaxPool2d(2)], [Conv2d(4, 3, pad=pad), ReLU()],
                   [Flatten(), Linear(3)]], (1, 10, 10))
    x = np.random.default_rng(0).random((9, 1, 10, 10), dtype=np.float32)
    before = x.copy()
    for input_gradient in (False, True):
        net.backward(np.ones_like(net.forward(x, training=True)), input_gradient)
        assert (x == before).all()


@pytest.mark.parametrize(("backend", "one"), [("numba", True), ("numpy", False)])
def test_blas_has_one_thread_beside_numba_and_only_inside_a_pass(backend, one):
    class Asking(Flatten):
        def forward(self, x, training=False):
            inside.append(threads())
            return super().forward(x, training)

        def backward(self, dy):
            inside.append(threads())
            return super().backward(dy)

    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    inside: list[list[int]] = []
    net = Network([[Conv2d(4, 3), ReLU()], [Asking(), Linear(3)]], (1, 8, 8))
    images = np.zeros((2, 1, 8, 8), np.float32)
    with use_backend(backend):
        net.forward(images)  # whatever brings a BLAS of its own is loaded now
        before = threads()
        inside.clear()
        net.backward(net.forward(images, training=True))
        net.predict(images)
    assert len(inside) == 3
    assert all(seen == ([1] * len(before) if one else before) for seen in inside)
    assert threads() == before


def test_backward_twice_is_refused_by_network_and_layer():
    net = small()
    net.backward(net.forward(np.zeros((1, 2, 11, 9), np.float32)))
    with pytest.raises(RuntimeError, match="without a forward pass"):
        net.backward(np.zeros((1, 4), np.float32))
    layer = ReLU()
    layer.backward(layer.forward(np.ones((1, 2), np.float32)))
    with pytest.raises(RuntimeError, match=r"ReLU\.backward called without a forward"):
        layer.backward(np.ones((1, 2), np.float32))


@pytest.mark.parametrize("shape", [(2, 1, 28, 27), (2, 3, 28, 28), (1, 28, 28), (2, 784)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"'cnn1' expects \(N, 1, 28, 28\)"):
        models.cnn1().forward(np.zeros(shape, np.float32))


def test_integer_pixels_are_taken_as_floats():
    net = models.cnn1()
    x = RNG.integers(0, 2, (2, 1, 28, 28))
    assert (net.forward(x) == net.forward(x.astype(np.float32))).all()


@pytest.mark.parametrize("stages, message", [
    ([], "at least one stage"),
    ([[]], "each with at least one layer"),
    ([[Linear(3)]], r"stage 1 of 'network', Linear.*put Flatten\(\) before it"),
    ([[Flatten(), Conv2d(3, 3)]], r"stage 1 .*Conv2d.*expected images"),
    ([[Flatten(), MaxPool2d(2)]], r"stage 1 .*MaxPool2d.*expected images"),
    ([[Conv2d(3, 9)]], r"stage 1 .*Conv2d"),
    ([[Conv2d(3, 3), Maxout(2)]], r"Maxout\(pieces=2\) after 3 channels"),
    ([[Conv2d(3, 3)]], "expected logits"),
    ([[Flatten(), Linear(3), Linear(3)]], "split the stage"),
    (5, "expected at least one stage.*a list of lists"), (None, "a list of lists"), ("abc", "a list of lists"),
    ([Flatten(), Linear(3)], "a list of lists"),
    ([[Flatten, Linear(3)]], "stage 1 holds <class .*Flatten'>: expected a layer, such as ReLU"),
    ([["relu"]], "stage 1 holds 'relu': expected a layer"),
])
def test_stages_that_do_not_fit_are_refused(stages, message):
    with pytest.raises(ValueError, match=message):
        Network(stages, (1, 8, 8))


@pytest.mark.parametrize("make, message", [
    (lambda: Conv2d(0, 3), "filters=0: expected a positive integer"),
    (lambda: Conv2d(True, 3), "filters=True"),
    (lambda: Conv2d(3, 0), "size=0"),
    (lambda: Conv2d(3, 3, stride=0), "stride=0"),
    (lambda: Conv2d(3, 3, pad=-1), "pad=-1"),
    (lambda: Conv2d(3, 3, init_limit=0), "init_limit=0: expected a positive number"),
    (lambda: Dropout(1.0), "drop_prob=1.0"),
    (lambda: Maxout(1.5), "pieces=1.5"),
    (lambda: Linear(-1), "units=-1"),
    (lambda: Network([[Flatten(), Linear(2)]], (8, 8)), r"input_shape=\(8, 8\)"),
    (lambda: Network([[Flatten(), Linear(2)]], (1, 8, 0)), "all positive"),
    (lambda: Network([[Flatten(), Linear(2)]], (1, 8, 8), dtype=np.float16), "expected float32 or float64"),
    (lambda: Network([[Flatten(), Linear(2)]], (1, 8, 8), seed=1.5), r"seed=1\.5: expected an integer not less than 0"),
    (lambda: Network([[Flatten(), Linear(2)]], (1, 8, 8), seed=-1), "seed=-1"),
    (lambda: models.cnn1(seed=True), "seed=True"), (lambda: models.cnn2(seed="0"), "seed='0'"),
    (lambda: models.cnn3(seed=None), "seed=None"),
    (lambda: Network([[Flatten(), Linear(2)]], (1, 8, 8), dtype=None), "dtype=None: expected float32 or float64"),
    (lambda: Network([[Flatten(), Linear(2)]], (1, 8, 8), fuse="no"), "fuse='no': expected True or False"),
    (lambda: MaxPool2d(2, ceil_mode="False"), "ceil_mode='False': expected True or False"),
    (lambda: Conv2d(3, 3, init_limit=np.nan), "init_limit=nan"), (lambda: Linear(3, "He"), "init_limit='He'"),
    (lambda: Linear(3, True), "init_limit=True"), (lambda: Dropout("0.5"), "drop_prob='0.5'"),
    (lambda: Dropout(0.5, scale=0), "scale=0: expected a positive number"), (lambda: Dropout(0.5, "1"), "scale='1'"),
    (lambda: models.cnn1().features(np.zeros((1, 1, 28, 28)), 6), r"stages 0 \(pixels\) to 5"),
    (lambda: models.cnn1().features(np.zeros((1, 1, 28, 28)), 1.0), r"stage=1\.0: .* stages 0 \(pixels\) to 5"),
    (lambda: models.cnn1().features(np.zeros((1, 1, 28, 28)), True), "stage=True"),
    (lambda: models.cnn1().predict(np.zeros((1, 1, 28, 28)), batch_size=2.5), r"batch_size=2\.5"),
    (lambda: models.cnn1().predict(np.zeros((1, 1, 28, 28)), batch_size=True), "batch_size=True"),
    (lambda: models.cnn1().predict(np.zeros((1, 1, 28, 28)), batch_size=0), "batch_size=0"),
])
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_settings_may_be_numpy_integers():
    net = models.cnn1(n_classes=np.int64(4), seed=np.uint8(3), input_shape=np.array([1, 28, 28]))
    other = models.cnn1(n_classes=4, seed=3)
    assert all((p.value == q.value).all() for p, q in zip(net.parameters(), other.parameters()))
    x = RNG.random((3, 1, 28, 28), dtype=np.float32)
    assert (net.features(x, np.int32(2), batch_size=np.int16(2)) == other.features(x, 2, batch_size=2)).all()


def test_a_layer_object_has_one_place():
    """In two, the second forward pass would write over what the first one keeps, and over its parameters."""
    relu = ReLU()
    with pytest.raises(ValueError, match=r"stage 2: the layer object ReLU\(\) stands there twice.* a new ReLU"):
        Network([[Conv2d(2, 3), relu], [Conv2d(2, 3), relu], [Flatten(), Linear(2)]], (1, 8, 8))
    linear = Linear(4)
    with pytest.raises(ValueError, match="stands there twice"):
        Network([[Flatten(), linear], [linear]], (1, 2, 2))


def test_a_layer_object_of_another_network_is_copied():
    """A second network would give the layer new parameters, and the first would compute with them."""
    stages = [[Conv2d(2, 3), ReLU()], [Flatten(), Linear(2)]]
    copies = copy.deepcopy(stages)
    with pytest.raises(ValueError, match="stage 1"):
        Network(stages, (2, 1, 8))      # too small: no network was made, so its layers are free
    net, x = Network(stages, (1, 8, 8)), RNG.random((2, 1, 8, 8), dtype=np.float32)
    before = net.predict_proba(x)
    for again in (stages, copies, copy.deepcopy(stages)):
        other = Network(again, (1, 8, 8), seed=1)
        assert other.stages[0][0] is not net.stages[0][0] and (other.predict_proba(x) != before).any()
    assert net.stages[0][0] is stages[0][0]
    assert (net.predict_proba(x) == before).all()


def test_architecture_round_trip_and_damage():
    net = small(seed=3)
    again = Network.from_architecture(net.architecture(), seed=3)
    assert again.architecture() == net.architecture()
    assert all((p.value == q.value).all() for p, q in zip(net.parameters(), again.parameters()))
    for damage in ({}, {"stages": 3}, [], {**net.architecture(), "stages": [[{"type": "Exec"}]]},
                   {**net.architecture(), "stages": [[{"type": "Conv2d", "bogus": 1}]]},
                   {**net.architecture(), "dtype": "no such type"}):
        with pytest.raises(ValueError, match=r"not the description of a network|unknown layer type"):
            Network.from_architecture(damage)


def test_what_is_fused_and_what_is_not():
    def kinds(*stage):
        return [type(layer) for layer in fuse(stage)]

    assert kinds(Conv2d(2, 3), ReLU(), MaxPool2d(2)) == [FusedLayer]
    assert kinds(Dropout(0.1), Conv2d(2, 3), Maxout(2), MaxPool2d(2)) == [Dropout, FusedLayer]
    assert kinds(Conv2d(2, 3), ReLU(), Conv2d(2, 3), ReLU(), Flatten()) == [FusedLayer, FusedLayer, Flatten]
    assert kinds(Conv2d(2, 3), MaxPool2d(2)) == [Conv2d, MaxPool2d]
    assert kinds(Conv2d(2, 3), ReLU(), MaxPool2d(16)) == [Conv2d, ReLU, MaxPool2d]  # 256 codes: not one byte
    assert kinds(Linear(3), ReLU()) == [Linear, ReLU]


def test_parameter_and_layer_say_what_they_are():
    assert repr(Parameter("a.w", np.zeros((2, 3)))) == "Parameter('a.w', shape=(2, 3), dtype=float64)"
    assert repr(Conv2d(2, 3, pad=(0, 1))) == (
        "Conv2d(filters=2, size=[3, 3], stride=[1, 1], pad=[0, 1], init_limit=None)")
    assert [p.name for p in small().parameters()][:2] == ["stage1.conv2d.w", "stage1.conv2d.b"]


def test_base_layer_asks_for_its_methods():
    layer = Layer()
    for call in (lambda: layer.build((1,), RNG, np.float32), lambda: layer.forward(0), lambda: layer.backward(0)):
        with pytest.raises(NotImplementedError):
            call()
    assert layer.parameters() == [] and layer.config() == {} and layer.size_text() == ""


def test_summary_names_stride_padding_and_backend():
    with use_backend("numpy"):
        text = small().summary()
    assert "6 3x3 filters, pad 1" in text and "5 2x2 filters, stride 2" in text
    assert "3x3, stride 2, pad 1" in text and "8 3x2 filters, 2 pieces" in text and "drop 0.3" in text
    assert text.endswith("backend numpy")


def test_ten_steps_of_training_equal_those_of_torch(torch):
    """The whole chain: forward, loss, backward, momentum, max-norm. In float64, so that chaos stays small."""
    from minicnn.optim import SGD, MaxNorm

    net = models.cnn1(n_classes=5, dtype=np.float64, seed=2)
    optimizer, constraint = SGD(net.parameters(), lr=0.1, momentum=0.9), MaxNorm(net.parameters(), 1.0)
    tensors = [torch.tensor(p.value, requires_grad=True) for p in net.parameters()]
    theirs = torch.optim.SGD(tensors, lr=0.1, momentum=0.9)
    f = torch.nn.functional
    for _ in range(10):
        x, labels = RNG.random((8, 1, 28, 28)), RNG.integers(0, 5, 8)
        loss, cache = ops.softmax_cross_entropy(net.forward(x, training=True), labels)
        net.backward(ops.softmax_cross_entropy_backward(cache))
        optimizer.step()
        constraint.apply()

        h, (w1, b1, w2, b2, w3, b3, w4, b4, w5, b5) = torch.tensor(x), tensors
        for w, b, pad in ((w1, b1, 0), (w2, b2, 0), (w3, b3, 1)):
            h = f.max_pool2d(f.relu(f.conv2d(h, w, b, padding=pad)), 2)
        expected = f.cross_entropy(f.linear(f.relu(f.linear(h.flatten(1), w4, b4)), w5, b5), torch.tensor(labels))
        theirs.zero_grad()
        expected.backward()
        theirs.step()
        with torch.no_grad():
            for w in (w1, w2, w3, w4, w5):
                w /= w.flatten(1).norm(dim=1).clamp_min(1).view(-1, *[1] * (w.dim() - 1))
        assert loss == pytest.approx(expected.item(), rel=1e-8)
    for p, tensor in zip(net.parameters(), tensors):
        np.testing.assert_allclose(p.value, tensor.detach().numpy(), rtol=1e-6, atol=1e-9)


def test_training_computes_no_gradient_before_the_first_weights(monkeypatch):
    """CNN3 drops pixels before its first convolution: whose input's gradient would change nothing."""
    asked = []
    really = FusedLayer.backward

    def listen(self, dy, input_gradient=True, overwrite_input=False):
        asked.append(input_gradient)
        return really(self, dy, input_gradient, overwrite_input)

    monkeypatch.setattr(FusedLayer, "backward", listen)
    net = models.cnn3(n_classes=3)
    for wanted in (False, True):
        asked.clear()
        with use_backend("numba"):
            logits = net.forward(RNG.random((2, 1, 28, 28), dtype=np.float32), training=True)
            dx = net.backward(np.ones_like(logits), input_gradient=wanted)
        assert asked == [True, True, wanted] and (dx is not None) == wanted
        assert all(layer.cache is None for stage in net.stages for layer in stage)
