"""One thread for BLAS, while code of this library uses the cores itself.

The threads of a BLAS library wait for their next matrix product by spinning. Beside other threads on the same cores
they make a training step up to twice as long. And a BLAS library may round a product differently when it divides it
among another number of threads, which a classifier that promises the same bits for every `n_jobs` cannot have.
"""
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minicnn.plumbing.forks import kept_over_fork

_limiting = kept_over_fork(threading.RLock())       # around threadpoolctl's own locks, which a fork would leave held
_inside = 0                                         # blocks that run now, in all threads
_first: threading.Thread | None = None              # the thread that set the limit
_limit: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS at one thread while the block runs.

    The number of threads belongs to the whole process. So where the blocks of several Python threads overlap, the first
    one to begin sets the limit, and the last one to end restores the number that was found.

    Examples
    --------
    >>> with one_blas_thread():
    ...     pass  # matrix products, and other work on all cores between them
    """
    from threadpoolctl import OpenBLASController, get_cached_controller  # here: `import minicnn` does without

    global _inside, _first, _limit
    with _limiting:
        if _inside == 0:
            _limit, _first = get_cached_controller().limit(limits=1, user_api="blas"), threading.current_thread()
        _inside += 1
    try:
        yield
    finally:
        with _limiting:
            _inside -= 1
            if _inside == 0:
                # threadpoolctl lets one thread at a time decide about OpenBLAS, and ignores all others.
                if _first is not threading.current_thread():
                    OpenBLASController.clear_controlling_thread(force=True)
                _limit.restore_original_limits()
                OpenBLASController.clear_controlling_thread()
