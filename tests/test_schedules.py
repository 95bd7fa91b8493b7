"""Schedules against values worked out by hand."""
from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn.optim import schedules
from minicnn.schedules import Constant, Exponential, Linear, as_schedule


def test_linear_over_steps_by_hand():
    line = Linear(1.0, 0.0, steps=4)
    assert [line(step, epoch=99) for step in range(6)] == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


def test_linear_over_epochs_ignores_steps():
    line = Linear(0.5, 0.7, epochs=2)
    assert [line(step=1000, epoch=e) for e in range(4)] == pytest.approx([0.5, 0.6, 0.7, 0.7])


def test_exponential_by_hand_with_floor():
    halving = Exponential(1.0, 0.5, floor=0.2)
    assert [halving(step, epoch=0) for step in range(5)] == [1.0, 0.5, 0.25, 0.2, 0.2]
    assert Exponential(1.0, 0.5, per="epoch")(step=7, epoch=3) == 0.125


def test_rate_of_the_maxout_recipe_is_halved_after_its_half_life():
    rate = Exponential(0.05, 1 / 1.00004, floor=1e-6)
    steps = round(math.log(2) / math.log(1.00004))
    assert rate(steps, 0) == pytest.approx(0.025, rel=1e-4)


def test_schedules_are_reachable_from_optim_and_compare_by_value():
    assert schedules.Linear is Linear
    assert repr(Linear(0.1, 0, steps=3)) == repr(Linear(0.1, 0, steps=3)) != repr(Linear(0.1, 0, steps=4))
    assert as_schedule(Constant(0.3), "lr") == as_schedule(0.3, "lr")


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Linear(0.1, 0.0), "steps=.*or as epochs"),
    (lambda: Linear(0.1, 0.0, steps=3, epochs=3), "steps=.*or as epochs"),
    (lambda: Linear(0.1, 0.0, steps=0), "integer of at least 1"),
    (lambda: Linear(0.1, 0.0, epochs=2.5), "integer of at least 1"),
    (lambda: Linear(0.1, 0.0, epochs=True), "integer of at least 1"),
    (lambda: Exponential(0.1, 0.5, per=None), "per='step' or per='epoch'"),
    (lambda: Linear(math.nan, 0.0, steps=3), "start=nan"),
    (lambda: Exponential(0.1, 0.0), "positive factor"),
    (lambda: Exponential(0.1, 0.5, per="batch"), "per='step' or per='epoch'"),
    (lambda: Exponential(0.1, 0.5, floor=math.inf), "floor=inf"),
    (lambda: Constant("fast"), "value='fast'"),
    (lambda: as_schedule("0.1", "lr"), "lr='0.1'"),
    (lambda: as_schedule(math.nan, "momentum"), "momentum=nan"),
    (lambda: as_schedule(True, "lr"), "lr=True"),
])
def test_bad_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_length_may_be_a_numpy_integer_and_settings_stay_equal():
    assert repr(Linear(0.1, 0, steps=np.int64(3))) == repr(Linear(0.1, 0, steps=3))


def test_a_factor_above_one_ends_in_infinity_not_in_a_traceback():
    assert Exponential(0.1, 2.0)(step=10**6, epoch=0) == math.inf


def test_base_class_is_abstract():
    with pytest.raises(NotImplementedError):
        schedules.Schedule()(0, 0)
