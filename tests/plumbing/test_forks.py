"""Processes that fork: a network, a forest and an SVM give the child what they give the parent, and nothing hangs."""
from __future__ import annotations

import os

import numba
import pytest

from tests.processes import python

pytestmark = [pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
              pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="interpreted: there are no parallel loops")]

FORK = """
    import os, threading, numpy as np
    from minicnn import models
    from minicnn.kernels import threads
    from minicnn.plumbing.forks import parallel_loops_are_lost

    net = models.cnn1(n_classes=4, seed=0)
    X = np.random.default_rng(0).random((40, 1, 28, 28), dtype=np.float32)

    def in_child(work):
        "Return what `work` returns in a forked process, as bytes."
        receive, send = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.write(send, work())
                status = 0
            finally:
                os._exit(status)
        os.close(send)
        with os.fdopen(receive, "rb") as pipe:
            answer = pipe.read()
        assert os.waitpid(pid, 0)[1] == 0
        return answer

    def answer():
        return net.predict_proba(X).tobytes()
"""


@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_a_network_answers_in_a_child_and_a_grandchild_as_in_the_parent(layer):
    """With GNU OpenMP, Numba terminates the child, and the grandchild waits for threads that are not there."""
    status, _, err = python(FORK + """
    ours = answer()
    assert in_child(answer) == ours
    assert in_child(lambda: in_child(answer)) == ours
    assert answer() == ours and not parallel_loops_are_lost()
    """, NUMBA_THREADING_LAYER=layer)
    assert status == 0, err


def test_a_child_forked_before_any_parallel_loop_has_its_own():
    status, _, err = python(FORK + """
    first = in_child(lambda: answer() + bytes([parallel_loops_are_lost()]))
    assert first == answer() + b"\\0"
    """)
    assert status == 0, err


def test_training_in_a_child_gives_the_same_bits():
    """Every kernel of a step, forward and backward, plain and fused, has a sequential version that agrees."""
    status, _, err = python(FORK + """
    from minicnn.training import fit

    def trained():
        result = b""
        for model, size, fuse in (("cnn1", 28, True), ("cnn1", 28, False), ("cnn3", 28, True)):
            rng = np.random.default_rng(1)
            images, labels = rng.random((40, 1, size, size), dtype=np.float32), np.arange(40) % 4
            net = models.MODELS[model](n_classes=4, seed=0, fuse=fuse)
            fit(net, (images, labels), (images[:9], labels[:9]), epochs=1, batch_size=16, progress=False)
            result += b"".join(p.value.tobytes() for p in net.parameters())
        import zlib
        return str(zlib.crc32(result)).encode()

    ours = trained()
    assert in_child(lambda: trained() + bytes([parallel_loops_are_lost()])) == ours + b"\\1"
    """)
    assert status == 0, err


@pytest.mark.parametrize("lock", ["threads._lock", "blas._limiting", "compiler_lock.global_compiler_lock"])
def test_a_fork_waits_for_the_locks_of_other_threads(lock):
    """Forked while another thread holds it, a child would wait for it for ever."""
    status, _, err = python(FORK + f"""
    from numba.core import compiler_lock
    from minicnn.plumbing import threads as blas
    answer()
    taken, forking = threading.Event(), threading.Event()

    def other():
        with threads.parallel_region() if {lock!r} == "threads._lock" else {lock}:
            taken.set()
            forking.wait()

    os.register_at_fork(before=forking.set)     # called first: the last one registered
    thread = threading.Thread(target=other)
    thread.start()
    assert taken.wait(60)
    assert in_child(lambda: models.cnn1(n_classes=3).predict_proba(X.astype(np.float64)[:2]).tobytes())
    thread.join()
    """)
    assert status == 0, err


def test_two_threads_may_fork_at_the_same_time():
    """Each gives back the locks that it took itself."""
    status, out, err = python("""
    import os, threading
    from minicnn.plumbing.forks import kept_over_fork
    locks = [kept_over_fork(threading.RLock()) for _ in range(20)]
    together = threading.Barrier(4)

    def many():
        together.wait()
        for _ in range(50):
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(all(lock.acquire(blocking=False) for lock in locks))
    """)
    assert (status, out, err) == (0, "True\n", "")


def test_classifiers_and_drawing_in_a_pool_of_forked_processes():
    status, out, err = python("""
    import multiprocessing, threading, numpy as np
    from classifiers import SVC, RandomForestClassifier
    from minicnn import data
    from minicnn.plumbing import threads

    X = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    y = np.arange(60) % 3

    def work(_):
        forest = RandomForestClassifier(5, random_state=0, n_jobs=2).fit(X, y)
        svm = SVC(n_jobs=2).fit(X, y)
        images = data.load("synthetic:n=40,classes=3", 20).images
        return forest.predict_proba(X).tobytes(), svm.decision_function(X).tobytes(), images.tobytes()

    ours = work(0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(work, range(4)) == [ours] * 4

    taken, go = threading.Event(), threading.Event()

    def other():
        with threads._limiting:
            taken.set()
            go.wait()

    import os
    os.register_at_fork(before=go.set)
    threading.Thread(target=other).start()
    taken.wait()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map(work, range(1)) == [ours]
    """)
    assert status == 0, out + err


def test_a_pool_of_joblib_processes_answers():
    status, out, err = python(FORK + """
    import joblib       # its multiprocessing backend forks
    ours = answer()
    pool = joblib.Parallel(2, backend="multiprocessing")
    assert pool(joblib.delayed(answer)() for _ in range(3)) == [ours] * 3
    """)
    assert status == 0, out + err
