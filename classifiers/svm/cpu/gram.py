"""The Gram matrix K[i, j] = k(x[i], x[j]) of all samples, sorted by class: whole, in parts, or row by row.

Every problem of a classifier for many classes, every C of a search and every fold of a cross-validation needs entries
of one and the same matrix. It has n^2 entries: 2.5 GB in float32 for 25,000 samples, 160 GB for 200,000. `Gram` hands
out what a solver asks for, and decides how it gets there:

- `full`: computed once, if n^2 * 4 bytes fit in `cache_size`; everything else is then read from it;
- `block`: a rectangle, computed by one matrix product over the samples; `class_blocks` keeps the blocks on the
  diagonal, because each of them serves all the problems of its class;

and ``row_cache.py`` keeps the rows that a solver of a large problem asks for again and again.

The matrix has the type of the samples: float32, which is half the memory and twice the speed, or float64 for problems
that need it (``precision.py``).

Same bits whatever the number of threads: a BLAS library may round an entry differently when it is computed in a
matrix of another shape, so each part is always one product of the same shape, and BLAS itself runs on one thread.
"""
from __future__ import annotations

import os
import threading
import uuid
from typing import Any

import joblib
import numpy as np

from classifiers.svm.cpu.compiled_gram import gather
from classifiers.svm.cpu.kernel_blocks import kernel_block, squared_norms
from classifiers.svm.theory.kernel_functions import Kernel
from minicnn.plumbing.threads import one_blas_thread

__all__ = ["Gram"]

Part = slice | np.ndarray  # samples: a range, or int64 indices

_ROWS = 384  # rows of the whole matrix that are one task


class Gram:
    """Gram matrix of samples sorted by class.

    Parameters
    ----------
    X : (n, d) float32 or float64
        Samples, placed in the frame of `kernel` (see `theory.frame`) where they lie far from the origin; for
        the kernel "precomputed" the matrix (n, n) itself.
    kernel : Kernel
        Kernel function.
    cache_size_mb : float
        Memory for parts of the matrix, in MB of 2^20 bytes, in each process.
    n_jobs : int or None
        Threads that compute `full`, as joblib counts them.

    Attributes
    ----------
    n : int
        Number of samples.
    dtype : dtype
        Type of the entries, that of `X`.
    budget : int
        `cache_size_mb` in bytes.

    Examples
    --------
    >>> X = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], np.float32)
    >>> gram = Gram(X, Kernel("linear"))
    >>> gram.block(slice(0, 2), slice(1, 3))
    array([[0., 1.],
           [4., 2.]], dtype=float32)
    >>> gram.restrict([0, 2]).full()
    array([[1., 1.],
           [1., 2.]], dtype=float32)
    """

    def __init__(self, X: np.ndarray, kernel: Kernel, cache_size_mb: float = 200.0, n_jobs: int | None = None):
        self.kernel = kernel
        self.n_jobs = n_jobs
        self.budget = int(cache_size_mb * 2**20)
        self.n, self.dtype = len(X), X.dtype
        self._token = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._class_blocks: dict[tuple[int, int], np.ndarray] = {}
        self._given = kernel.name == "precomputed"
        self._matrix: np.ndarray | None = None  # a whole matrix of which this one is the rows and columns `_indices`
        self._indices: np.ndarray | None = None
        if self._given:
            self._matrix = X
        else:
            self._X, self._squares = X, squared_norms(kernel, X)

    @property
    def samples(self) -> tuple[np.ndarray, np.ndarray | None]:
        """What kernel values are computed from: samples (n, d), and `squared_norms` of them."""
        return self._X, self._squares

    @property
    def fits(self) -> bool:
        """Whether the whole matrix exists already or may be computed within the cache size."""
        return self._matrix is not None or self.dtype.itemsize * self.n * self.n <= self.budget

    @property
    def whole(self) -> np.ndarray | None:
        """The whole matrix if it exists already, else None."""
        return self._matrix if self._indices is None else None

    def full(self) -> np.ndarray:
        """Return the whole matrix (n, n); computed at the first call.

        Raises
        ------
        MemoryError
            It needs more than the cache size.
        """
        if not self.fits:
            needed = self.dtype.itemsize * self.n**2 / 2**20
            raise MemoryError(f"the Gram matrix of {self.n} samples needs {needed:.3g} MB: more than cache_size="
                              f"{self.budget / 2**20:.3g} MB; ask for blocks or rows instead")
        with self._lock:
            if self._matrix is None or self._indices is not None:
                K = np.empty((self.n, self.n), self.dtype)
                every = slice(0, self.n)
                chunks = [slice(i, min(i + _ROWS, self.n)) for i in range(0, self.n, _ROWS)]
                with one_blas_thread():
                    joblib.Parallel(n_jobs=self.n_jobs, require="sharedmem")(
                        joblib.delayed(self.block)(rows, every, K[rows]) for rows in chunks)
                self._matrix, self._indices = K, None
            return self._matrix

    def block(self, rows: Part, columns: Part, out: np.ndarray | None = None) -> np.ndarray:
        """Return K[rows][:, columns], contiguous; written to `out` if that is given.

        Parameters
        ----------
        rows, columns : slice or int64 array
            Samples: a slice with start and stop, or indices.
        out : array, optional
            C-contiguous, of the right shape and type.
        """
        if self._matrix is not None:
            r, c = self._positions(rows), self._positions(columns)
            if out is None:
                out = np.empty((len(r), len(c)), self.dtype)
            gather(self._matrix, r, c, out)
            return out
        A, B = self._X[rows], self._X[columns]
        squares = (None, None) if self._squares is None else (self._squares[rows], self._squares[columns])
        return kernel_block(self.kernel, A, B, out, squares)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from `start` to `stop`, (stop - start, n): a view if the whole matrix exists."""
        if self.whole is not None:
            return self.whole[start:stop]
        return self.block(slice(start, stop), slice(0, self.n))

    def row(self, i: int) -> np.ndarray:
        """Return row i, (n,)."""
        return self.rows(i, i + 1)[0]

    def class_blocks(self, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the blocks K[start:stop, start:stop] of neighbouring classes, one behind the other.

        They are kept for the next call while half the cache size has room for them; those that were not used for
        longest go first.

        Parameters
        ----------
        edges : (Q + 1,) int64
            Class q has the samples from ``edges[q]`` to ``edges[q + 1]``.

        Returns
        -------
        blocks : 1-D array
        where : (Q + 1,) int64
            Class q has the entries from ``where[q]`` to ``where[q + 1]``.
        """
        where = np.concatenate([[0], np.cumsum(np.diff(edges)**2)])
        key = int(edges[0]), int(edges[-1])
        with self._lock:                                     # other threads that need the same blocks wait for them
            if key not in self._class_blocks:
                room = self.budget // 2 - self.dtype.itemsize * int(where[-1])
                while self._class_blocks and sum(held.nbytes for held in self._class_blocks.values()) > room:
                    del self._class_blocks[next(iter(self._class_blocks))]
                blocks = np.empty(where[-1], self.dtype)
                for start, stop, at in zip(edges, edges[1:], where):
                    size, part = stop - start, slice(start, stop)
                    self.block(part, part, blocks[at:at + size * size].reshape(size, size))
                if room >= 0:
                    self._class_blocks[key] = blocks
                return blocks, where
            blocks = self._class_blocks[key] = self._class_blocks.pop(key)      # now the newest
            return blocks, where

    def forget_class_blocks(self) -> None:
        """Give their memory back."""
        with self._lock:
            self._class_blocks.clear()

    def restrict(self, indices: Any) -> Gram:
        """Return the Gram matrix of some of the samples; it reads from this one's whole matrix if that exists.

        Parameters
        ----------
        indices : (m,) array of int
            Samples, in the order that the new matrix has.
        """
        indices = np.asarray(indices, np.int64)
        part = Gram.__new__(Gram)
        part.__dict__.update(self.__dict__)
        part.n, part._token, part._lock, part._class_blocks = len(indices), uuid.uuid4().hex, threading.Lock(), {}
        if not self._given:
            part._X = self._X[indices]
            part._squares = None if self._squares is None else self._squares[indices]
        if self._matrix is not None:
            part._indices = self._positions(indices)
        return part

    def _positions(self, part: Part) -> np.ndarray:
        """Return where samples are in the whole matrix."""
        if isinstance(part, slice):
            part = np.arange(part.start, part.stop)
        return part if self._indices is None else self._indices[part]

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs: the samples, not the matrix, which it computes faster than it reads."""
        state = self.__dict__.copy()
        state.update(_lock=None, _class_blocks={})
        if not self._given:
            state.update(_matrix=None, _indices=None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
        if not self._given:  # Dask delivers arrays at odd addresses, for which NumPy chooses other BLAS routines
            self._X = np.require(self._X, requirements="A")

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, (self._token, os.getpid(), self.__getstate__())

    def __sizeof__(self) -> int:  # Dask sends large arguments to a worker once instead of with every task
        return object.__sizeof__(self) + (self._matrix.nbytes if self._given and self._matrix is not None
                                          else self._X.nbytes)


_arrived: dict[str, Gram] = {}  # in a worker process: the matrix of the tasks that arrive one after the other


def _arrive(token: str, sender: int, state: dict[str, Any]) -> Gram:
    """Unpickle: the tasks of one fit share one `Gram` in a worker, and with it what it has computed."""
    if token in _arrived:
        return _arrived[token]
    gram = Gram.__new__(Gram)
    gram.__setstate__(state)
    if sender != os.getpid():
        _arrived.clear()
        _arrived[token] = gram
    return gram
