"""Who may use the cores: BLAS has one thread while any Python thread runs kernels, and its own number afterwards."""
from __future__ import annotations

import threading

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from minicnn.kernels.threads import one_blas_thread


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_blocks_of_two_threads_that_overlap_leave_nothing_behind():
    """Each restoring what it found would leave BLAS with one thread for good: the second finds one, and ends last."""
    entered, leave = threading.Event(), threading.Event()

    def second():
        with one_blas_thread():
            entered.set()
            leave.wait(10)

    with threadpool_limits(2, user_api="blas"):
        thread = threading.Thread(target=second)
        with one_blas_thread():
            assert blas_threads() == {1}
            thread.start()
            assert entered.wait(10)
        leave.set()
        thread.join()
        assert blas_threads() == {2}


def test_an_error_inside_restores_it_too():
    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(KeyError), one_blas_thread():
            raise KeyError
        assert blas_threads() == {2}
