"""The gradient checker finds what it should, names it, and fails where it could not have found anything."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from minicnn import Network, models, ops, use_backend
from minicnn.gradcheck import GradientError, check_gradients, check_network
from minicnn.gradcheck.checker import STEP
from minicnn.layers import Conv2d, Flatten, Linear, ReLU
from tests.gradcheck.small import network


def square(x):
    return x**2, x


def square_backward(dy, x):
    return 2 * x * dy


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((2, 3, 4))


# ------------------------------------------------------------ what it reports

def test_right_gradient_passes_and_every_entry_is_compared(x):
    report = check_gradients(square, square_backward, {"x": x}, title="square")
    assert report.passed and report.checked == 24 and report.skipped == 0
    assert {c.index for c in report.arrays[0].comparisons} == set(np.ndindex(2, 3, 4))


def test_one_wrong_entry_is_named_with_both_values(x):
    def backward(dy, x):
        dx = square_backward(dy, x)
        dx[1, 2, 0] += 0.25
        return dx

    with pytest.raises(GradientError) as error:
        check_gradients(square, backward, {"image": x})
    report = error.value.report
    worst = report.worst
    assert (worst.array, worst.index) == ("image", (1, 2, 0))
    assert worst.analytic - worst.numeric == pytest.approx(0.25, abs=1e-8)
    assert abs(worst.numeric) <= 1.5 * abs(2 * x[1, 2, 0])            # dy is within 1.5
    assert "wrong in 1 of 24" in str(report) and "FAILED" in str(report)
    assert f"worst: image[1, 2, 0]: analytic {worst.analytic:.9g}, numeric {worst.numeric:.9g}" in str(report)


def test_report_has_one_line_per_array():
    a, b = np.array([1.0, 2.0]), np.array([[3.0]])
    report = check_gradients(lambda a, b: (a * b[0], (a, b)),
                             lambda dy, ab: (dy * ab[1][0], np.array([[(dy * ab[0]).sum()]])),
                             {"a": a, "b": b}, title="product")
    lines = str(report).splitlines()
    assert lines[0].startswith("gradient check of product: passed (3 slopes")
    assert [line.split()[:3] for line in lines[2:4]] == [["a", "2", "2"], ["b", "1x1", "1"]]


def test_failure_can_be_returned_instead_of_raised(x):
    report = check_gradients(square, lambda dy, x: x * dy, {"x": x}, raise_on_failure=False)
    assert not report.passed and report.worst.excess > 1


def test_numeric_value_is_the_true_slope_times_the_upstream_gradient():
    seen = {}

    def backward(dy, x):
        seen["dy"] = dy
        return dy * np.cos(x)

    report = check_gradients(lambda x: (np.sin(x), x), backward, {"x": np.array([0.3, 2.0])})
    for comparison in report.arrays[0].comparisons:
        exact = seen["dy"][comparison.index] * np.cos([0.3, 2.0])[comparison.index]
        assert comparison.numeric == pytest.approx(exact, rel=1e-9)
    assert not np.allclose(np.abs(seen["dy"]), 1) and (np.abs(seen["dy"]) >= 0.5).all()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_step_follows_the_size_of_the_input(scale, x):
    """A fixed step of 1e-5 would be larger than the first input and lost in the rounding of the last."""
    assert check_gradients(lambda x: (np.sin(x / scale), x), lambda dy, x: dy * np.cos(x / scale) / scale,
                           {"x": scale * x}).passed


# ------------------------------------------------------------ large arrays

def test_one_wrong_entry_among_many_is_seen_by_the_directions():
    x = np.random.default_rng(0).standard_normal(100_000)

    def backward(dy, x):
        dx = square_backward(dy, x)
        dx[77_777] *= 2
        return dx

    report = check_gradients(square, backward, {"x": x}, directions=3, entries=5, raise_on_failure=False)
    assert report.checked == 8 and not report.passed
    assert str(report.worst.index).startswith("direction")
    assert check_gradients(square, square_backward, {"x": x}, directions=3, entries=5).passed


def test_seed_decides_upstream_gradient_and_directions():
    x = np.random.default_rng(0).standard_normal(1000)
    reports = [check_gradients(square, square_backward, {"x": x}, rng=np.random.default_rng(seed))
               for seed in (1, 1, 2)]
    assert str(reports[0]) == str(reports[1]) != str(reports[2])


# ------------------------------------------------------------ kinks

def test_relu_at_zero_is_skipped_and_counted():
    x = np.array([-1.0, 0.0, 2.0, -0.0, 3.0])
    with use_backend("numpy"):
        report = check_gradients(ops.relu, ops.relu_backward, {"x": x})
    assert (report.checked, report.skipped) == (3, 2)


def test_kink_inside_the_step_is_stepped_around():
    x = np.array([STEP / 4, 1.0, -1.0])
    with use_backend("numpy"):
        report = check_gradients(ops.relu, ops.relu_backward, {"x": x})
    assert (report.checked, report.skipped) == (3, 0)


def test_ties_of_pooling_and_maxout_are_skipped():
    x = np.array([[[[1.0, 1.0, 0.5, 2.0], [0.0, 0.2, 0.9, 0.7]]]])    # only the 1s are tied
    with use_backend("numpy"):
        pooled = check_gradients(lambda x: ops.max_pool2d(x, 2, 1), ops.max_pool2d_backward, {"x": x})
        maxed = check_gradients(lambda x: ops.maxout(x, 2), ops.maxout_backward, {"x": x.reshape(1, 8)})
    assert (pooled.checked, pooled.skipped) == (6, 2)
    assert (maxed.checked, maxed.skipped) == (6, 2)


def test_nothing_but_kinks_is_a_failure():
    with use_backend("numpy"), pytest.raises(GradientError, match="3 of 4 probes crossed a kink"):
        check_gradients(ops.relu, ops.relu_backward, {"x": np.array([0.0, 0.0, 0.0, 1.0])})


def test_winners_are_found_anywhere_in_the_cache():
    @dataclass
    class Kept:
        parts: dict[str, Any]
        myself: Any = None

    def forward(x):
        kept = Kept({"one": [(x > 0,)]})
        kept.myself = kept                                             # as the layers of a network may
        return np.abs(x), kept

    def backward(dy, kept):
        return dy * np.where(kept.parts["one"][0][0], 1, -1)

    report = check_gradients(forward, backward, {"x": np.array([-1.0, 0.0, 2.0])})
    assert (report.checked, report.skipped) == (2, 1)


# ------------------------------------------------------------ checks that could not have failed

def test_gradient_that_is_zero_everywhere_fails():
    with use_backend("numpy"), pytest.raises(GradientError, match="are zero or drown in the rounding error"):
        check_gradients(ops.relu, lambda dy, cache: 0 * dy, {"x": np.array([-1.0, -2.0])})


def test_gradient_drowned_by_rounding_fails():
    """1e9 + x keeps 7 decimals, and the step is 8e-6: the difference is good for one digit or two."""
    with pytest.raises(GradientError, match="drown in the rounding error"):
        check_gradients(lambda x: (1e9 + x, None), lambda dy, _: dy, {"x": np.ones(3)})


# ------------------------------------------------------------ malformed gradients

@pytest.mark.parametrize(("gradient", "message"), [
    (lambda dy: dy.swapaxes(1, 2), r"has shape \(2, 4, 3\), expected that of the array, \(2, 3, 4\)"),
    (lambda dy: dy.astype(np.float32), "the gradient has dtype float32"),
    (lambda dy: None, "backward returned None"),
    (lambda dy: dy * np.nan, r"the gradient is not finite at \[0, 0, 0\] \(nan\)"),
    (lambda dy: np.where(dy > 0, dy, -np.inf), "the gradient is not finite"),
])
def test_malformed_gradient_fails(gradient, message, x):
    with pytest.raises(GradientError, match=message):
        check_gradients(lambda x: (x.copy(), None), lambda dy, _: gradient(dy), {"x": x})


def test_number_of_gradients_must_fit(x):
    with pytest.raises(ValueError, match=r"1 gradients for 2 inputs \(x, w\)"):
        check_gradients(lambda x, w: (x * w, None), lambda dy, _: dy, {"x": x, "w": x})
    with pytest.raises(ValueError, match="2 gradients for 1 inputs"):
        check_gradients(lambda x: (x, None), lambda dy, _: (dy, dy), {"x": x})
    check_gradients(lambda x: (x.copy(), None), lambda dy, _: (dy, None), {"x": x})  # db of a layer without b


# ------------------------------------------------------------ bad inputs

def test_only_float64(x):
    with pytest.raises(TypeError, match=r"x has dtype float32.*x\.astype\(numpy\.float64\)"):
        check_gradients(square, square_backward, {"x": x.astype(np.float32)})
    with pytest.raises(TypeError, match="the output y has dtype float32"):
        check_gradients(lambda x: (x.astype(np.float32), x), square_backward, {"x": x})


@pytest.mark.parametrize(("value", "message"), [
    (np.array([1.0, np.nan]), r"x is not finite at \[1\] \(nan\)"),
    (np.empty((0, 3)), r"x has shape \(0, 3\)"),
])
def test_values_that_cannot_be_checked(value, message):
    with pytest.raises(ValueError, match=message):
        check_gradients(square, square_backward, {"x": value})


def test_output_must_be_finite_and_inputs_given():
    with pytest.raises(ValueError, match="the output y is not finite"):
        check_gradients(lambda x: (np.where(x > 1, np.inf, x), x), square_backward, {"x": np.array([0, 2.0])})
    with pytest.raises(ValueError, match="inputs is empty"):
        check_gradients(square, square_backward, {})


def test_inputs_and_generators_are_left_as_they_were(x):
    before, generator = x.copy(), np.random.default_rng(4)
    state = generator.bit_generator.state

    def forward(x):
        x *= generator.random(x.shape)                                 # in place: on a copy
        return x, None

    x.setflags(write=False)
    with pytest.raises(GradientError):
        check_gradients(forward, lambda dy, _: dy, {"x": x}, generators=[generator])
    assert (x == before).all() and generator.bit_generator.state == state


def test_forward_that_works_in_place_is_checked_where_it_was_asked(x):
    def forward(x):
        before = x.copy()
        x *= x
        return x, before

    assert check_gradients(forward, square_backward, {"x": x}).passed


def test_dropout_needs_its_generator_frozen(x):
    generator = np.random.default_rng(4)

    def forward(x):
        return ops.dropout(x, 0.5, generator)

    check_gradients(forward, ops.dropout_backward, {"x": x}, generators=[generator])
    with pytest.raises(GradientError):
        check_gradients(forward, ops.dropout_backward, {"x": x})


# ------------------------------------------------------------ networks

IMAGES, LABELS = np.random.default_rng(6).random((3, 2, 6, 7)), np.array([0, 4, 4])


@pytest.mark.parametrize(("backend", "fuse"), [("numpy", True), ("numba", False), ("numba", True)])
def test_network_passes(backend, fuse):
    with use_backend(backend):
        report = check_network(network(fuse=fuse), IMAGES, LABELS)
    assert report.passed and "network small" in str(report)
    assert [a.name for a in report.arrays] == ["x", "stage1.conv2d.w", "stage1.conv2d.b", "stage2.conv2d.w",
                                               "stage2.conv2d.b", "stage3.linear.w", "stage3.linear.b"]


def test_network_is_left_as_it_was():
    net = network()
    for parameter in net.parameters():
        parameter.grad[...] = 7
    values, state = [p.value.copy() for p in net.parameters()], net.rng.bit_generator.state
    with use_backend("numpy"):
        check_network(net, IMAGES, LABELS)
    assert all((p.value == v).all() and (p.grad == 7).all() for p, v in zip(net.parameters(), values))
    assert net.rng.bit_generator.state == state


def test_wrong_layer_is_found_by_name(monkeypatch):
    """A bias gradient that is averaged shows in that bias alone: the others, and x, stay right."""
    right = ops.conv2d_backward

    def averaged(dy, cache):
        dx, dw, db = right(dy, cache)
        return dx, dw, db / len(dy)

    monkeypatch.setattr(ops, "conv2d_backward", averaged)
    with use_backend("numpy"):
        report = check_network(network(), IMAGES, LABELS, raise_on_failure=False)
    assert [a.name for a in report.arrays if a.problem] == ["stage1.conv2d.b", "stage2.conv2d.b"]
    assert report.worst.array in ("stage1.conv2d.b", "stage2.conv2d.b")


def test_wrong_input_gradient_is_found(monkeypatch):
    monkeypatch.setattr(ops, "dropout_backward", lambda dy, cache: dy)
    with use_backend("numpy"), pytest.raises(GradientError) as error:
        check_network(network(), IMAGES, LABELS)
    assert error.value.report.arrays[0].problem


def test_initial_weights_too_small_to_check_are_no_obstacle():
    """With its own U(-0.005, 0.005) the slopes of CNN3 are some 1e-7 beside a loss of 4.8."""
    small = [[Conv2d(4, 3, init_limit=1e-5), ReLU()], [Flatten(), Linear(4, init_limit=1e-5)]]
    with use_backend("numpy"):
        net = Network(small, (1, 5, 5), dtype=np.float64)
        assert check_network(net, IMAGES[:, :1, :5, :5], np.array([0, 3, 3])).passed


def test_float32_network_is_refused():
    with pytest.raises(TypeError, match=r"dtype=numpy\.float64"):
        check_network(models.cnn1(), np.zeros((1, 1, 28, 28)), np.array([0]))
