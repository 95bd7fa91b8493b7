"""BLAS has one thread while any Python thread is inside, and its own number afterwards."""
from __future__ import annotations

import threading

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from minicnn.plumbing.threads import one_blas_thread


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.parametrize("ends_last", ["the first", "the second"])
def test_blas_has_one_thread_until_the_last_block_has_ended(ends_last):
    """A limit of its own for each block would give BLAS its threads back too early, or leave it with one for good."""
    begun, end, ended, go = (threading.Event() for _ in range(4))

    def other():
        with one_blas_thread():
            begun.set()
            end.wait(10)
        ended.set()
        go.wait(10)             # it lives on: OpenBLAS would obey nobody else

    thread = threading.Thread(target=other)
    with threadpool_limits(2, user_api="blas"):
        if ends_last == "the first":
            with one_blas_thread():
                thread.start()
                assert begun.wait(10)
                end.set()
                assert ended.wait(10)
                assert blas_threads() == {1}
        else:
            with one_blas_thread():
                thread.start()
                assert begun.wait(10)
            assert blas_threads() == {1}
            end.set()
            assert ended.wait(10)
        assert blas_threads() == {2}
        go.set()
        thread.join()


def test_the_last_to_leave_restores_what_a_thread_that_lives_on_has_limited():
    begun, end, ended, go = (threading.Event() for _ in range(4))

    def other():
        with one_blas_thread():
            begun.set()
            end.wait(10)
        ended.set()
        go.wait(10)

    before, thread = blas_threads(), threading.Thread(target=other)
    thread.start()
    assert begun.wait(10)
    with one_blas_thread():
        end.set()
        assert ended.wait(10)
        assert blas_threads() == {1}
    assert blas_threads() == before
    found = []

    def third():
        with threadpool_limits(3, user_api="blas"):
            found.append(blas_threads())

    next_one = threading.Thread(target=third)
    next_one.start()
    next_one.join()
    assert (found, blas_threads()) == ([{3}], before)       # whoever comes next is obeyed
    go.set()
    thread.join()


def test_an_error_inside_restores_it_too():
    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(KeyError), one_blas_thread():
            raise KeyError
        assert blas_threads() == {2}
