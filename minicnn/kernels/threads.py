"""The one door to Numba's parallel loops.

Numba's fallback threading layer, *workqueue*, aborts the whole process when two threads enter parallel regions at
the same time, or when one region is entered from inside another. Every kernel compiled with ``parallel=True`` is
therefore called inside `parallel_region`, so that minicnn may be used from several Python threads at once. A process
that is forked waits until the region is left; what it finds then is told in `minicnn.plumbing.forks`.

Networks on the Numba backend run inside `minicnn.plumbing.threads.one_blas_thread` as well, so that BLAS leaves the
cores to Numba.
"""
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from minicnn.plumbing.forks import kept_over_fork

_lock = kept_over_fork(threading.RLock())


@contextmanager
def parallel_region() -> Iterator[None]:
    """Hold the process-wide lock under which kernels with ``prange`` run.

    Examples
    --------
    >>> with parallel_region():
    ...     pass  # call one kernel compiled with parallel=True
    """
    with _lock:
        yield
