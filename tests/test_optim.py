"""SGD and max-norm: against PyTorch, by hand, and the kernels against the page, to the bit."""
from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn.kernels import numba_optim
from minicnn.layers import Parameter
from minicnn.optim import SGD, MaxNorm, limit_norms, schedules, sgd_update

SHAPES = [(7, 3, 5, 5), (7,), (13, 11), (13,)]
BACKENDS = ["numpy", "numba"]


def make_parameters(dtype, seed=0):
    rng = np.random.default_rng(seed)
    return [Parameter(f"p{i}", rng.standard_normal(shape).astype(dtype)) for i, shape in enumerate(SHAPES)]


def train(parameters, optimizer, steps=6, seed=1):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        for p in parameters:
            p.grad[...] = rng.standard_normal(p.value.shape)
        optimizer.step()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("settings", [
    {}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"weight_decay": 0.03},
    {"momentum": 0.8, "nesterov": True, "weight_decay": 0.03}], ids=str)
def test_equals_torch(torch, backend, dtype, settings):
    parameters = make_parameters(dtype)
    theirs = [torch.nn.Parameter(torch.from_numpy(p.value.copy())) for p in parameters]
    peer = torch.optim.SGD(theirs, lr=0.05, **settings)
    with minicnn.use_backend(backend):
        optimizer = SGD(parameters, lr=0.05, **settings)
        rng = np.random.default_rng(1)
        for _ in range(6):
            for p, t in zip(parameters, theirs):
                p.grad[...] = rng.standard_normal(p.value.shape)
                t.grad = torch.from_numpy(p.grad.copy())
            optimizer.step()
            peer.step()
    for p, t in zip(parameters, theirs):
        np.testing.assert_allclose(p.value, t.detach().numpy(), rtol=1e-5 if dtype == np.float32 else 1e-12,
                                   atol=1e-6 if dtype == np.float32 else 1e-13)


def test_two_steps_by_hand():
    # g=1 twice, lr 0.1, momentum 0.5: v = 1, then 1.5; w = 2 - 0.1 - 0.15. Nesterov: 2 - 0.15 - 0.175.
    for nesterov, expected in ((False, 1.75), (True, 1.675)):
        w = Parameter("w", np.array([2.0]))
        optimizer = SGD([w], lr=0.1, momentum=0.5, nesterov=nesterov)
        for _ in range(2):
            w.grad[...] = 1
            optimizer.step()
        assert w.value[0] == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("nesterov", [False, True])
def test_update_kernel_equals_the_page_to_the_bit(dtype, nesterov):
    results = {}
    for backend in BACKENDS:
        with minicnn.use_backend(backend):
            parameters = make_parameters(dtype)
            optimizer = SGD(parameters, lr=0.05, momentum=0.9, nesterov=nesterov, weight_decay=1e-3)
            train(parameters, optimizer)
            results[backend] = [p.value for p in parameters] + optimizer.velocities
    for page, kernel in zip(results["numpy"], results["numba"]):
        assert page.dtype == kernel.dtype == dtype
        np.testing.assert_array_equal(page, kernel)


def test_backend_numba_does_call_the_kernels(monkeypatch):
    called = []
    monkeypatch.setattr(numba_optim, "_update", lambda *a: called.append("update"))
    monkeypatch.setattr(numba_optim, "_limit", lambda *a: called.append("limit"))
    with minicnn.use_backend("numba"):
        sgd_update(np.zeros(2), np.zeros(2), np.zeros(2), 0.1)
        limit_norms(np.zeros((2, 2)), 1.0)
    assert called == ["update", "limit"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_max_norm_cuts_the_long_filters_and_no_others(backend, dtype):
    rng = np.random.default_rng(0)
    value = (rng.standard_normal((9, 3, 4, 5)) * np.linspace(0.01, 1, 9)[:, None, None, None]).astype(dtype)
    before = value.copy()
    norms = np.linalg.norm(before.reshape(9, -1).astype(np.float64), axis=1)
    limit = float(np.median(norms)) * 1.01
    bias = Parameter("b", np.full(9, 100, dtype))
    with minicnn.use_backend(backend):
        MaxNorm([Parameter("w", value), bias], limit).apply()
    after = np.linalg.norm(value.reshape(9, -1).astype(np.float64), axis=1)
    np.testing.assert_allclose(after, np.minimum(norms, limit), rtol=1e-6 if dtype == np.float32 else 1e-14)
    short = norms <= limit
    assert 0 < short.sum() < 9
    np.testing.assert_array_equal(value[short], before[short])  # untouched, to the bit
    long = ~short
    np.testing.assert_allclose(value[long] / after[long, None, None, None],
                               before[long] / norms[long, None, None, None], rtol=1e-5)  # the direction stays
    assert (bias.value == 100).all()


def test_schedules_see_steps_and_epoch():
    seen = []

    class Spy(schedules.Schedule):
        def __call__(self, step, epoch):
            seen.append((step, epoch))
            return 0.0

    w = Parameter("w", np.ones(1))
    optimizer = SGD([w], lr=Spy(), momentum=0.5)
    optimizer.step()
    optimizer.epoch = 1
    optimizer.step()
    assert seen == [(0, 0), (1, 1)]
    assert optimizer.steps == 2


def test_a_falling_rate_scales_the_old_velocity_too():
    # lr 1 then 0: with the rate outside of the velocity (PyTorch's rule) the second step moves nothing.
    w = Parameter("w", np.array([1.0]))
    optimizer = SGD([w], lr=schedules.Linear(1.0, 0.0, steps=1), momentum=0.9)
    w.grad[...] = 0.25
    optimizer.step()
    optimizer.step()
    assert w.value[0] == 0.75


@pytest.mark.parametrize("backend", BACKENDS)
def test_state_dict_continues_exactly(backend):
    with minicnn.use_backend(backend):
        def fresh():
            parameters = make_parameters(np.float32)
            return parameters, SGD(parameters, schedules.Exponential(0.1, 0.9), momentum=0.9)

        straight, optimizer = fresh()
        train(straight, optimizer, steps=3)
        state = optimizer.state_dict()
        weights = [p.value.copy() for p in straight]
        train(straight, optimizer, steps=3, seed=5)
        again, other = fresh()
        for p, w in zip(again, weights):
            p.value[...] = w
        other.load_state_dict(state)
        train(again, other, steps=3, seed=5)
    assert other.steps == 6
    for a, b in zip(straight, again):
        np.testing.assert_array_equal(a.value, b.value)


def test_settings_name_every_choice():
    w = [Parameter("w", np.ones((2, 2)))]
    base = SGD(w, 0.1, 0.5).settings()
    others = [SGD(w, 0.2, 0.5), SGD(w, 0.1, 0.6), SGD(w, 0.1, 0.5, nesterov=True),
              SGD(w, 0.1, 0.5, weight_decay=1)]
    assert base == SGD(w, 0.1, 0.5).settings()
    assert all(other.settings() != base for other in others)
    assert repr(MaxNorm(w, 2)) == "MaxNorm(limit=2.0, parameters=['w'])"


@pytest.mark.parametrize(("make", "message"), [
    (lambda w: SGD([], 0.1), "no parameters"),
    (lambda w: SGD([w], -0.1), "lr=-0.1"),
    (lambda w: SGD([w], "fast"), "lr='fast'"),
    (lambda w: SGD([w], 0.1, momentum=1.0), "momentum=1.0"),
    (lambda w: SGD([w], 0.1, nesterov=True), "needs a momentum"),
    (lambda w: SGD([w], 0.1, 0.5, nesterov="no"), "nesterov='no': expected True or False"),
    (lambda w: SGD([w], True), "lr=True"), (lambda w: SGD([w], 10**400), "lr=1000"),
    (lambda w: SGD([w], schedules.Exponential(-1, 0.88)), r"lr=Exponential\(start=-1.*: start=-1: expected a finite"),
    (lambda w: SGD([w], schedules.Linear(0.1, -0.1, steps=3)), r"stop=-0\.1"),
    (lambda w: SGD([w], schedules.Constant(-1)), "value=-1"),
    (lambda w: SGD([w], 0.1, schedules.Linear(0.5, 1.0, epochs=3)), r"stop=1\.0: expected 0 <= momentum < 1"),
    (lambda w: SGD([w], 0.1, weight_decay="0.1"), "weight_decay='0.1'"),
    (lambda w: SGD([w], 0.1, weight_decay=np.nan), "weight_decay=nan"),
    (lambda w: SGD([w, w], 0.1), "a parameter twice"), (lambda w: SGD(w, 0.1), r"SGD got a Parameter: pass net\.param"),
    (lambda w: SGD([w.value], 0.1), "a ndarray among its parameters"),
    (lambda w: SGD(iter([w, 3]), 0.1), "a int among its parameters"),
    (lambda w: MaxNorm(w, 1.0), "MaxNorm got a Parameter"), (lambda w: MaxNorm([w], "1"), "limit='1'"),
    (lambda w: MaxNorm([w], True), "limit=True"),
    (lambda w: SGD([w], 0.1, weight_decay=-1), "weight_decay=-1"),
    (lambda w: MaxNorm([Parameter("b", np.ones(3))], 1.0), "no weights"),
    (lambda w: MaxNorm([w], 0.0), "limit=0.0"),
    (lambda w: MaxNorm([w], float("nan")), "limit=nan"),
    (lambda w: SGD([w], 0.1).load_state_dict({"steps": 0, "epoch": 0, "velocities": [np.ones(3)]}),
     r"velocities of shapes \[\(3,\)\]: expected \[\(2, 2\)\]"),
    (lambda w: sgd_update(np.ones(3), np.ones(2), np.ones(3), 0.1), r"grad has shape \(2,\)"),
    (lambda w: sgd_update(np.ones(3), np.ones(3, np.float32), np.ones(3), 0.1), "dtype float32"),
    (lambda w: sgd_update(np.ones((4, 4)).T[:2], np.ones((2, 4)), np.ones((2, 4)), 0.1), "not contiguous"),
    (lambda w: limit_norms(np.ones(3), 1.0), "at least two axes"),
    (lambda w: limit_norms(np.ones((3, 3)), -1.0), "limit=-1.0"),
])
def test_bad_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make(Parameter("w", np.ones((2, 2))))


class Late(schedules.Schedule):
    """A schedule of a user, whose values nobody knows before they are asked for."""

    def __init__(self, values):
        self.values = values

    def __call__(self, step, epoch):
        return self.values[step]


@pytest.mark.parametrize(("lr", "momentum", "message"), [
    (Late([0.1, -0.1]), 0.5, r"in step 1 of epoch 1: lr=-0\.1: expected a finite learning rate"),
    (Late([0.1, float("nan")]), 0.5, "in step 1 of epoch 1: lr=nan"), (Late([0.1, None]), 0.5, "lr=None"),
    (0.1, Late([0.5, 1.0]), r"in step 1 of epoch 1: momentum=1\.0: expected 0 <= momentum < 1"),
    (0.1, schedules.Exponential(0.5, 3.0), r"in step 1 of epoch 1: momentum=1\.5"),
    (schedules.Exponential(0.1, 1e200, per="step"), 0.0, None),
])
def test_a_schedule_that_leaves_its_range_is_stopped_at_that_step(lr, momentum, message):
    w = Parameter("w", np.ones((2, 2)))
    optimizer = SGD([w], lr, momentum)
    optimizer.step()
    if message is None:     # 0.1 * 1e200 is a number; the next power is none
        optimizer.step()
        message = "in step 2 of epoch 1: lr=inf"
    before = w.value.copy()
    with pytest.raises(ValueError, match=message):
        optimizer.step()
    assert (w.value == before).all()


def test_what_is_refused_as_a_type_is_a_value_error_too():
    """All bad input is a ValueError; Python's custom for a type that does not fit stays."""
    for error in (TypeError, ValueError):
        with pytest.raises(error, match="int64"):
            sgd_update(np.ones(3, int), np.ones(3, int), np.ones(3, int), 0.1)


def test_integer_weights_are_refused():
    with pytest.raises(TypeError, match="int64"):
        sgd_update(np.ones(3, int), np.ones(3, int), np.ones(3, int), 0.1)
