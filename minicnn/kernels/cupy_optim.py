"""`minicnn.optim` on the GPU: an update and the max-norm constraint, a block for each row of weights.

`Rows` does it for all parameters of a network in one launch (`minicnn.device` uses it); `sgd_update` and `limit_norms`
replace the operations of the page, for one array.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.kernels.cuda_source import kernel, real

THREADS = 128
ROW = 4096  # numbers of a parameter without a limit that make a row


class Rows:
    """The rows of parameters that lie one behind the other: where they begin, how long they are, their largest norms.

    Parameters
    ----------
    shapes : sequence of tuples
        Shapes of the parameters.
    limits : sequence of float
        Largest norm of a row (along the first axis) of each; 0 for none.
    dtype : numpy dtype
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], limits: Sequence[float], dtype: Any):
        import cupy

        starts, lengths, bounds, begin = [], [], [], 0
        for shape, limit in zip(shapes, limits):
            size = math.prod(shape)
            length = size // shape[0] if limit else ROW
            for start in range(0, size, length):
                starts.append(begin + start)
                lengths.append(min(length, size - start))
                bounds.append(limit)
            begin += size
        self.starts, self.lengths = cupy.asarray(np.array(starts, np.int64)), cupy.asarray(np.array(lengths, np.int32))
        self.limits = cupy.asarray(np.array(bounds, dtype))

    def update(self, w: Any, g: Any, v: Any, rates: Any, step: Any, nesterov: bool, weight_decay: float) -> None:
        """Update flat arrays with row ``step[0]`` of rates (steps, 2): learning rate and momentum."""
        run = kernel("update.cu", "update", real=real(w.dtype), THREADS=THREADS)
        run((len(self.lengths),), (THREADS,), (w, g, v, self.starts, self.lengths, self.limits, rates, step,
                                               np.int32(nesterov), w.dtype.type(weight_decay)))


def sgd_update(value: Any, grad: Any, velocity: Any, lr: float, momentum: float = 0.0, nesterov: bool = False,
               weight_decay: float = 0.0) -> None:
    """Replace `minicnn.optim.sgd_update`, whose validation has run."""
    import cupy

    if value.size:
        rates = cupy.asarray(np.array([[lr, momentum]], value.dtype))
        Rows([value.shape], [0.0], value.dtype).update(value, cupy.ascontiguousarray(grad), velocity, rates,
                                                       cupy.zeros(1, np.int64), nesterov, weight_decay)


def limit_norms(value: Any, limit: float) -> None:
    """Replace `minicnn.optim.limit_norms`, whose validation has run."""
    run = kernel("update.cu", "limit_norms", real=real(value.dtype), THREADS=THREADS)
    if value.size:
        run((len(value),), (THREADS,), (value, np.int32(math.prod(value.shape[1:])), value.dtype.type(limit)))
