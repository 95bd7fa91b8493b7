"""`njit`: Numba's, for all compiled code here, made to work on machines and in processes where Numba's own does not.

* Numba keeps compiled code in a folder, beside the source or in the user's home. Where neither can be written (an
  installation that is read-only, a container without a home) it refuses to even define a function. Here a warning,
  once, takes the place of that error, and each process compiles for itself; so it does if the disk is full, or what was
  kept is damaged.
* Parallel loops cannot run in a process that was forked after they had been used (`minicnn.plumbing.forks` says why). A
  function with ``parallel=True`` therefore has a sequential version, compiled when such a process first calls it. No
  loop here gives other bits with another number of threads, so its results are the same.
"""
from __future__ import annotations

import functools
import types
import warnings
from collections.abc import Callable
from typing import Any

import numba
from numba.core.caching import FunctionCache

from minicnn.plumbing.forks import parallel_loops_are_lost

_warned = False


def njit(cache: bool = True, parallel: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function when it is first called.

    Parameters
    ----------
    cache : bool
        Keep the compiled code for the next process, where a folder for it can be written. By default True.
    parallel : bool
        Run ``prange`` loops on all cores; such a function is called from Python only, inside
        `minicnn.kernels.threads.parallel_region`. By default False.
    **options
        Those of ``numba.njit``.

    Warns
    -----
    UserWarning
        Compiled code cannot be kept. The warning is given once.

    Examples
    --------
    >>> @njit(cache=True, nogil=True)
    ... def twice(x):
    ...     return 2 * x
    >>> twice(21)
    42
    """
    def decorate(function: Callable[..., Any]) -> Any:
        compiled = _compiled(function, cache, parallel=parallel, **options)
        if not parallel or compiled is function:        # compilation is switched off
            return compiled
        sequential = _compiled(_renamed(function, "_sequential"), cache, **options)

        @functools.wraps(function)
        def run(*args: Any) -> Any:
            return (sequential if parallel_loops_are_lost() else compiled)(*args)

        run.py_func, run.sequential = function, sequential      # type: ignore[attr-defined]
        return run
    return decorate


def _compiled(function: Callable[..., Any], cache: bool, **options: Any) -> Any:
    dispatcher = numba.njit(**options)(function)
    if cache and dispatcher is not function:
        try:
            dispatcher._cache = _Cache(function)        # what Dispatcher.enable_caching does
        except (RuntimeError, OSError) as error:        # "no locator available"
            _warn_once(error)
    return dispatcher


def _renamed(function: Callable[..., Any], ending: str) -> Callable[..., Any]:
    """Return a copy of another name: Numba tells files of compiled code apart by name, not by options."""
    if not isinstance(function, types.FunctionType):
        raise TypeError(f"{function!r}: expected a function written in Python")
    copy = types.FunctionType(function.__code__, function.__globals__, function.__name__ + ending,
                              function.__defaults__, function.__closure__)
    copy.__qualname__, copy.__module__ = function.__qualname__ + ending, function.__module__
    return copy


class _Cache(FunctionCache):
    """Numba's folder of compiled code, whose failures cost time and nothing else."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:      # a file that was cut short raises whatever unpickling it leads to
            _warn_once(error)
            self._forget()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn_once(error)

    def _forget(self) -> None:
        """Empty the damaged index, so that the next process finds a whole one."""
        try:
            self.flush()
        except OSError:                 # a folder that cannot be written either: told already
            pass


def _warn_once(error: Exception) -> None:
    global _warned
    if not _warned:
        _warned = True
        # Without a source line below it: one line on stderr.
        reason = " ".join(str(error).split()) or type(error).__name__
        warnings.warn_explicit(f"compiled code cannot be kept for the next process, which compiles again: {reason}. "
                               "Set NUMBA_CACHE_DIR to a folder that can be written", UserWarning, "minicnn", 0)
