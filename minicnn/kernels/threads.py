"""The one door to Numba's parallel loops, and who else may use the cores meanwhile: nobody.

Numba's fallback threading layer, *workqueue*, aborts the whole process when two threads enter parallel regions at
the same time, or when one region is entered from inside another. Every kernel compiled with ``parallel=True`` is
therefore called inside `parallel_region`, so that minicnn may be used from several Python threads at once. A process
that is forked waits until the region is left; what it finds then is told in `minicnn.plumbing.forks`.

The threads of a BLAS library wait for their next matrix product by spinning. Beside Numba's, on the same cores, they
make a training step up to twice as long, so networks on the Numba backend run inside `one_blas_thread`.
"""
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from minicnn.plumbing.forks import kept_over_fork

_lock = kept_over_fork(threading.RLock())
_limiting = kept_over_fork(threading.RLock())       # around threadpoolctl's own locks, which a fork would leave held


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


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Give BLAS one thread while the block runs.

    The number belongs to the process. Where the blocks of several Python threads overlap, the first thread decides, so
    that it always comes back (threadpoolctl 3.8).

    Examples
    --------
    >>> with one_blas_thread():
    ...     pass  # kernels with prange, and matrix products between them
    """
    from threadpoolctl import get_cached_controller  # here: the other backends do without

    with _limiting:
        limit = get_cached_controller().limit(limits=1, user_api="blas")
        limit.__enter__()
    try:
        yield
    finally:
        with _limiting:
            limit.__exit__(None, None, None)
