"""`njit`: Numba's, for all compiled code here, made to work on machines and in processes where Numba's own does not.

* Numba keeps compiled code in a folder, beside the source or in the user's home. Where neither can be written (an
  installation that is read-only, a container without a home) it refuses to even define a function. Here a warning,
  once, takes the place of that error, and each process compiles for itself; so it does if the disk is full, or what was
  kept is damaged.
* Numba compiles a function again when the file that defines it has changed. A function, a constant or a type that it
  imports from another file is compiled into it too, but Numba does not look at that file: after an edit or a pull, the
  kept code would go on computing what the old source said. Here kept code carries the digest of the source of every
  module that can be part of it (`source_digest`), and is used only if the digest is that of the source as it is now.
* Parallel loops cannot run in a process that was forked after they had been used (`minicnn.plumbing.forks` says why). A
  function with ``parallel=True`` therefore has a sequential version, compiled when such a process first calls it. No
  loop here gives other bits with another number of threads, so its results are the same.
"""
from __future__ import annotations

import functools
import hashlib
import re
import sys
import types
import warnings
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import Any, NamedTuple

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

from minicnn.plumbing.forks import parallel_loops_are_lost

PACKAGES = ("minicnn", "classifiers", "experiments")     # a change of any other package is a change of its version
_FROM = re.compile(r"^from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|.*)", re.MULTILINE)
_warned = False


class _Source(NamedTuple):
    """The source of a module as it was when it was imported."""
    spec: ModuleSpec                # a new one after `importlib.reload`
    digest: bytes
    imports: tuple[str, ...]        # each "module.name", where the name may be a module, a function or a constant


_sources: dict[str, _Source] = {}


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
    >>> @njit(cache=False, nogil=True)      # a function typed at the prompt has no file beside which to keep its code
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


def source_digest(name: str) -> bytes:
    """Return a digest of the source of a module and of all modules of `PACKAGES` that it imports, directly or not.

    Parameters
    ----------
    name : str
        Name of a module that is past its own import statements. Those that count are ``from module import name`` at
        the start of a line: what compiled code can see.

    Returns
    -------
    bytes
        It differs when the source of one of these modules differs, wherever the packages are installed. The source is
        read once in a process, because an edit of a file does not change a module that is imported already.

    Raises
    ------
    OSError
        The source of one of these modules cannot be read.
    """
    found: dict[str, bytes] = {}
    todo = [name]
    while todo:
        name = todo.pop()
        module = sys.modules.get(name) or sys.modules.get(name.rpartition(".")[0])
        spec = getattr(module, "__spec__", None)
        if spec is not None and spec.name not in found and spec.name.partition(".")[0] in PACKAGES:
            source = _source(spec)
            found[spec.name] = source.digest
            todo += source.imports
    return hashlib.sha256(repr(sorted(found.items())).encode()).digest()


def _source(spec: ModuleSpec) -> _Source:
    known = _sources.get(spec.name)
    if known is None or known.spec is not spec:
        # The loader reads archives of modules too.
        data = spec.loader.get_data(spec.origin)    # type: ignore[union-attr]
        known = _Source(spec, hashlib.sha256(data).digest(), _imports(data.decode(errors="replace")))
        _sources[spec.name] = known
    return known


def _imports(source: str) -> tuple[str, ...]:
    """Return "module.name" for what a module imports. To parse it with `ast` takes ten times as long."""
    code = re.sub(r"#.*|\\\r?\n", "", source)        # neither comments nor ends of lines that go on
    return tuple(f"{module}.{name}" for module, names in _FROM.findall(code) for name in re.findall(r"\w+", names))


class _Cache(FunctionCache):
    """Numba's folder of compiled code, for the source as it is now, whose failures cost time and nothing else."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp(), source_digest(function.__module__)
        self._cache_file = _CacheFile(self._cache_path, self._impl.filename_base, stamp)

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


class _CacheFile(IndexDataCacheFile):
    """An index and the files of compiled code that it names, each with the stamp of its source.

    The stamp of the index is not enough. Two processes that imported the source before and after an edit may write at
    the same time, and leave the index of one with the code of the other.
    """

    def save(self, key: Any, data: Any) -> None:
        super().save(key, (self._source_stamp, data))

    def load(self, key: Any) -> Any:
        kept = super().load(key)
        return kept[1] if kept is not None and kept[0] == self._source_stamp else None


def _warn_once(error: Exception) -> None:
    global _warned
    if not _warned:
        _warned = True
        # Without a source line below it: one line on stderr.
        reason = " ".join(str(error).split()) or type(error).__name__
        warnings.warn_explicit(f"compiled code cannot be kept for the next process, which compiles again: {reason}. "
                               "Set NUMBA_CACHE_DIR to a folder that can be written", UserWarning, "minicnn", 0)
