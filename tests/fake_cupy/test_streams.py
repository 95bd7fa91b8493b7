"""Streams, graphs and copies of the stand-in: work is captured, not done, and nothing that CUDA refuses is."""
from __future__ import annotations

import gc

import numpy as np
import pytest

from tests.fake_cupy.state import CUDARuntimeError, KernelError, state


def test_a_graph_does_at_each_launch_what_was_captured(cp, xy, launch):
    x, y = xy
    stream = cp.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        before = cp.launches
        y += x
        z = cp.maximum(y, 100)
        y[:2] = 7
        launch("y[threadIdx.x] += x[threadIdx.x];", x, z)
        graph = stream.end_capture()
    assert cp.launches == before and len(graph.operations) == 4
    assert (y.get() == 0).all() and np.isnan(z.get()).all()
    graph.launch()
    graph.launch(stream)
    assert cp.launches == before + 2
    expected = 2 * np.arange(64)
    expected[:2] = [7, 8]
    np.testing.assert_array_equal(z.get(), np.maximum(expected, 100) + np.arange(64))
    np.testing.assert_array_equal(y.get(), [7, 7, *expected[2:]])


@pytest.mark.parametrize("do", [lambda cp, x: float(x[0]), lambda cp, x: x.get(), lambda cp, x: x[x > 3],
                                lambda cp, x: cp.asarray(np.ones(3)),
                                lambda cp, x: cp.cuda.get_current_stream().synchronize()])
def test_waiting_is_not_captured(cp, xy, do):
    with cp.cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture()
        with pytest.raises(CUDARuntimeError, match="cudaErrorStreamCaptureUnsupported"):
            do(cp, xy[0])
        with pytest.raises(CUDARuntimeError, match="cudaErrorStreamCaptureInvalidated"):
            stream.end_capture()


@pytest.mark.parametrize("do", [lambda cp, x: x @ x, lambda cp, x: cp.tensordot(x, x, 1), lambda cp, x: x.dot(x)])
def test_cublas_is_not_captured(cp, xy, do):
    with cp.cuda.Stream() as stream:
        stream.begin_capture()
        with pytest.raises(NotImplementedError, match="cuBLAS API during stream capture"):
            do(cp, xy[0])
        assert not stream.end_capture().operations


def test_capture_belongs_to_its_stream(cp, xy):
    with pytest.raises(RuntimeError, match="cannot capture on the default"):
        cp.cuda.Stream.null.begin_capture()
    stream = cp.cuda.Stream()
    stream.begin_capture()
    with pytest.raises(CUDARuntimeError, match="another one"):
        xy[0].fill(0)


@pytest.mark.parametrize("own_pool", [False, True])
def test_a_graph_does_not_keep_the_memory_that_it_needs(cp, xy, own_pool, launch):
    x, y = xy
    pool = cp.cuda.MemoryPool()
    with cp.cuda.Stream() as stream, cp.cuda.using_allocator(pool.malloc if own_pool else None):
        stream.begin_capture()
        launch("y[threadIdx.x] = x[threadIdx.x];", x + 1, y)        # x + 1 is freed when this line is done
        graph = stream.end_capture()
    gc.collect()
    if own_pool:
        graph.launch()
        np.testing.assert_array_equal(y.get(), np.arange(1, 65))
    else:
        with pytest.raises(KernelError, match="memory that has been freed"):
            graph.launch()


def test_copies_that_do_not_wait(cp, x):
    import cupyx
    host = cupyx.empty_pinned((3, 4), "f4")
    x.get(out=host, blocking=False)
    assert np.isnan(host).all() and cp.synchronisations == 0
    cp.cuda.get_current_stream().synchronize()
    np.testing.assert_array_equal(host, np.arange(12).reshape(3, 4))

    event = cp.cuda.Event(disable_timing=True)
    x.set(host)
    event.record()
    event.synchronize()
    host[...] = 1           # the copy is done
    x.set(host)
    host[...] = 2           # this one may not be
    with pytest.raises(KernelError, match="changed pinned memory"):
        cp.cuda.Device(0).synchronize()


def test_the_counters_begin_at_zero(cp):
    assert (cp.launches, cp.synchronisations, cp.orders) == (0, 0, ("ascending", "descending"))
    assert state.capture is None        # though test_capture_belongs_to_its_stream left one
