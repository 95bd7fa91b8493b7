"""The stand-in for CuPy refuses what it must: each test makes the mistake that it is there to catch."""
from __future__ import annotations

import copy

import numpy as np
import pytest

from minicnn.backend import array_module, as_floating, use_backend
from tests.fake_cupy.state import KernelError

# ---------------------------------------------------------------------------- NumPy stays outside

def test_it_is_what_minicnn_takes_for_cupy(cp, x):
    import cupy
    assert cupy is cp and array_module(x) is cp and type(x).__module__ == "cupy"
    with use_backend("cupy"):
        assert as_floating(x, "x", 2) is x


@pytest.mark.parametrize("convert", [np.asarray, np.array, np.ascontiguousarray, lambda x: np.zeros(12)[x[0, 0]],
                                     lambda x: np.copyto(np.zeros((3, 4)), x), lambda x: np.float32(0) + np.asarray(x)])
def test_nothing_turns_it_into_a_numpy_array_silently(x, convert):
    with pytest.raises((TypeError, IndexError)):
        convert(x)


def test_a_numpy_array_cannot_be_filled_from_it(x):
    host = np.zeros((3, 4), "f4")
    with pytest.raises(TypeError, match="Implicit conversion to a NumPy array is not allowed"):
        host[...] = x
    with pytest.raises(TypeError, match="Unsupported type"):
        host += x


@pytest.mark.parametrize("mix", [
    lambda cp, x, h: x + h, lambda cp, x, h: h * x, lambda cp, x, h: x < h, lambda cp, x, h: x @ h.T,
    lambda cp, x, h: cp.maximum(x, h), lambda cp, x, h: np.maximum(x, h), lambda cp, x, h: np.where(x, x, h),
    lambda cp, x, h: cp.concatenate([x, h]), lambda cp, x, h: cp.exp(h), lambda cp, x, h: cp.sum(h),
    lambda cp, x, h: x.__iadd__(h), lambda cp, x, h: cp.add(x, x, out=h), lambda cp, x, h: cp.zeros_like(h),
    lambda cp, x, h: cp.matmul(x, h.T), lambda cp, x, h: cp.maximum(x, [1, 2, 3, 4]),
    lambda cp, x, h: x.__setitem__(..., h), lambda cp, x, h: cp.copyto(x, h)])
def test_it_does_not_mix_with_numpy_arrays(cp, x, mix):
    with pytest.raises((TypeError, ValueError), match=r"Unsupported type|cupy\.ndarray|cannot be used for fill"):
        mix(cp, x, np.ones((3, 4), "f4"))


def test_numbers_of_either_kind_mix(cp, x):
    for y in (2 * x, x * 2, np.float32(2) * x, x * np.float32(2), np.multiply(x, 2)):
        assert type(y) is cp.ndarray and y.dtype == "f4"
        np.testing.assert_array_equal(y.get(), 2 * np.arange(12).reshape(3, 4))


def test_names_that_cupy_does_not_have(cp):
    for name in ("errstate", "ndindex", "testing_of_nothing", "float128"):
        with pytest.raises(AttributeError, match=name):
            getattr(cp, name)
    with pytest.raises(AttributeError):
        _ = cp.ndarray.flat
    with pytest.raises(NotImplementedError):
        _ = cp.random
    with pytest.raises(TypeError, match="mode"):
        cp.arange(3).take(cp.arange(2), mode="clip")


# ---------------------------------------------------------------------------- results, counted

def test_reductions_and_integers_give_arrays_without_axes(cp, x):
    for y in (x.sum(), x.mean(dtype=cp.float64), x.max(), x.argmax(), x[1, 2], x[1][2], cp.isfinite(x).all()):
        assert type(y) is cp.ndarray and y.shape == ()
    assert cp.synchronisations == 0
    assert float(x[1, 2]) == 6 and int(x.argmax()) == 11 and bool((x < 12).all()) and x.sum().item() == 66
    assert cp.synchronisations == 4


def test_what_waits_for_the_device_is_counted(cp, x):
    before = cp.synchronisations
    waiting = [lambda: x.get(), lambda: cp.asnumpy(x), lambda: x.tolist(), lambda: str(x), lambda: x[x > 3],
               lambda: cp.flatnonzero(x), lambda: cp.where(x), lambda: cp.cuda.Device(0).synchronize(),
               lambda: cp.cuda.Stream.null.synchronize(), lambda: x.__setitem__(x > 3, 0),
               lambda: copy.copy(x).item(0)]
    for number, wait in enumerate(waiting):
        wait()
        assert cp.synchronisations - before == number + 1
    free = [lambda: len(x), lambda: list(x), lambda: x.shape, lambda: x.T.reshape(-1), lambda: x[cp.arange(2)],
            lambda: x.sum(axis=0), lambda: copy.deepcopy(x), lambda: cp.asarray([1, 2]),
            lambda: x[[0, 1], np.arange(2)]]
    for do in free:
        do()
    assert cp.synchronisations - before == len(waiting)


def test_launches_are_counted_and_views_are_none(cp, x):
    cp.launches = 0
    _ = x.T, x[1:], x[0, 0], x.reshape(2, 6), x.ravel(), cp.broadcast_to(x, (5, 3, 4)), cp.asarray(x), x[None]
    cp.empty(3)
    assert cp.launches == 0
    y = x * 2 + 1               # two
    x += y                      # one
    x[1] -= 3                   # one: the assignment that ends it copies nothing
    x.T.reshape(-1)             # one: not contiguous
    cp.zeros(3)                 # one
    assert cp.launches == 6


def test_views_share_memory_and_copies_do_not(cp, x):
    x[1:].fill(0)
    x.T[0, 0] = 5
    y = x.copy()
    y += 1
    np.testing.assert_array_equal(x.get()[:, 0], [5, 0, 0])


def test_new_memory_is_garbage(cp):
    assert np.isnan(cp.empty(5).get()).all() and (cp.empty(5, np.int32).get() == 0x7F7F7F7F).all()


def test_races_between_the_elements_of_one_assignment(cp, x):
    with pytest.raises(KernelError, match="overlap"):
        x[1:] = x[:-1]
    with pytest.raises(KernelError, match="names a place twice"):
        x[cp.asarray([0, 0])] = x[:2]
    total = cp.zeros(2)
    cp.add.at(total, cp.asarray([0, 0, 1]), cp.ones(3))
    np.testing.assert_array_equal(total.get(), [2, 1])
