"""What a forked process may not do, and what it finds.

``os.fork``, and with it ``multiprocessing`` with the method *fork*, copies a process with one thread only, the one that
forks. Two things of the others are then left behind in the child:

* A lock that another thread held is held for ever. Every lock of this library is therefore `kept_over_fork`: a fork
  waits until no other thread has it.
* Numba's parallel loops have lost their threads. What the next loop does depends on Numba's threading layer: with GNU
  OpenMP (Linux) the child is terminated, and its children hang; *workqueue* starts new threads; TBB does so if it was
  the main thread that forked. The child therefore runs no parallel loops at all if its parent had started their
  threads: `parallel_loops_are_lost` tells, and `minicnn.plumbing.compiled` then takes the sequential version.
"""
from __future__ import annotations

import os
import sys
import threading
from typing import Any

_locks: list[Any] = []
_forking = threading.local()        # .held: the locks that this thread took; two threads may fork at the same time
_lost = False


def kept_over_fork(lock: Any) -> Any:
    """Return `lock`, which from here on a fork takes before and gives back after, in parent and child.

    Locks are taken in the order in which they were registered, then Numba's own: whoever holds one of them may only
    ask for later ones.

    Examples
    --------
    >>> import threading
    >>> lock = kept_over_fork(threading.RLock())
    """
    _locks.append(lock)
    return lock


def parallel_loops_are_lost() -> bool:
    """Return whether this process was forked after its parent had started the threads of Numba's parallel loops.

    Examples
    --------
    >>> parallel_loops_are_lost()
    False
    """
    return _lost


def _before() -> None:
    compiler = sys.modules.get("numba.core.compiler_lock")     # absent: nobody can be compiling
    _forking.held = [*_locks] if compiler is None else [*_locks, compiler.global_compiler_lock]
    for lock in _forking.held:
        lock.acquire()


def _after() -> None:
    while _forking.held:
        _forking.held.pop().release()


def _in_child() -> None:
    global _lost
    _after()
    numba: Any = sys.modules.get("numba")
    if not _lost and numba is not None:
        try:
            numba.threading_layer()
            _lost = True
        except (ValueError, AttributeError):        # the threads were not started, or Numba is half imported
            pass


if hasattr(os, "register_at_fork"):     # Windows has no fork
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)
