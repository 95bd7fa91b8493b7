"""Rows of a Gram matrix that does not fit in memory, for solvers that ask for the same ones again and again.

A row over all samples is what the gradient of a large problem needs for each variable that moved. Rows are computed
hundreds at a time, and those that were not asked for longest make room for new ones.
"""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from classifiers.svm.cpu.gram import Gram

__all__ = ["RowCache"]

_ROWS, _COLUMNS = 384, 1024  # computed at a time: enough for an efficient product, 1.5 MB


class RowCache:
    """The most recently used rows of a Gram matrix, within a bounded number of bytes.

    The rows lie in tiles of 1,024 columns, (capacity, 1024): the rows of a tile that are computed together stay near
    the processor while a product, its exponentials and sums pass over them.

    Parameters
    ----------
    gram : Gram
    size : int
        Bytes for rows. At least 16 rows are kept whatever it says.

    Examples
    --------
    >>> from classifiers.svm.theory.kernel_functions import Kernel
    >>> gram = Gram(np.array([[1.0], [2.0], [3.0]], np.float32), Kernel("linear"))
    >>> for K, columns, positions, samples in RowCache(gram, size=1000).walk(np.array([2, 0])):
    ...     print(samples, K[positions].tolist())
    [2] [[3.0, 6.0, 9.0]]
    [0] [[1.0, 2.0, 3.0]]
    """

    def __init__(self, gram: Gram, size: int):
        self.gram = gram
        self.capacity = min(gram.n, max(16, size // (gram.dtype.itemsize * gram.n)))
        self._together = max(1, min(_ROWS, self.capacity // 2))
        self._columns = [slice(start, min(start + _COLUMNS, gram.n)) for start in range(0, gram.n, _COLUMNS)]
        self._tiles = [np.empty((self.capacity, part.stop - part.start), gram.dtype) for part in self._columns]
        self._owner = np.full(self.capacity, -1, np.int64)  # which sample's row a position holds
        self._position = np.full(gram.n, -1, np.int64)      # where a sample's row is held, -1: nowhere
        self._used = np.zeros(self.capacity, np.int64)      # when a position was last asked for
        self._clock = 0

    def walk(self, samples: np.ndarray) -> Iterator[tuple[np.ndarray, slice, np.ndarray, np.ndarray]]:
        """Yield the rows of samples, a part at a time: a tile, its columns, positions in it, and whose rows they are.

        What is held comes first, before the others take its place. Each part is valid until the next one.

        Parameters
        ----------
        samples : (m,) int64
            Without repeats; any number.
        """
        held = self._position[samples] >= 0
        there, missing = samples[held], samples[~held]
        self._clock += 1
        self._used[self._position[there]] = self._clock
        if len(there):
            for K, columns in zip(self._tiles, self._columns):
                yield K, columns, self._position[there], there
        for start in range(0, len(missing), self._together):
            part = missing[start:start + self._together]
            free = np.sort(np.argsort(self._used, kind="stable")[:len(part)])
            evicted = self._owner[free]
            self._position[evicted[evicted >= 0]] = -1
            self._owner[free], self._position[part], self._used[free] = part, free, self._clock
            first, last = int(free[0]), int(free[-1]) + 1
            for K, columns in zip(self._tiles, self._columns):
                if last - first == len(free):               # neighbours, as nearly always: no copy
                    self.gram.block(part, columns, K[first:last])
                else:
                    K[free] = self.gram.block(part, columns)
                yield K, columns, free, part
