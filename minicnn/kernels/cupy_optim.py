"""`minicnn.optim` on the GPU: an update and the max-norm constraint, a block for each row of weights.

`Update` does it for all parameters of a network in one launch; `sgd_update` and `limit_norms` replace the operations of
the page, for one array.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.kernels.cuda_source import kernel, real
from minicnn.layers import Parameter

THREADS = 128
ROW = 4096  # numbers of a parameter without a limit that make a row


class Rows:
    """The rows of parameters that lie one behind the other: where they begin, how long they are, their largest norms.

    Parameters
    ----------
    shapes : sequence of tuples
        Of the parameters.
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


class Update:
    """The update of a training step, of all parameters in one launch.

    It moves weights, gradients and velocities into one array each; the parameters' are views of those from then on.

    Parameters
    ----------
    parameters : sequence of Parameter
        With CuPy arrays.
    velocities : list of arrays
        As `minicnn.optim.SGD` keeps them.
    limits : sequence of float
        Largest norm of a row of each parameter; 0 for none.
    nesterov, weight_decay
        As in `minicnn.optim.SGD`.
    """

    def __init__(self, parameters: Sequence[Parameter], velocities: list[Any], limits: Sequence[float],
                 nesterov: bool, weight_decay: float):
        import cupy

        self.rows = Rows([p.value.shape for p in parameters], limits, parameters[0].value.dtype)
        self.flat = [cupy.concatenate([a.reshape(-1) for a in arrays]) for arrays in
                     ([p.value for p in parameters], [p.grad for p in parameters], velocities)]
        self.nesterov, self.weight_decay = nesterov, weight_decay
        end = 0
        for k, p in enumerate(parameters):
            begin, end = end, end + p.value.size
            p.value, p.grad, velocities[k] = (a[begin:end].reshape(p.value.shape) for a in self.flat)

    def __call__(self, rates: Any, step: Any) -> None:
        """Update with the rates of this step; both are arrays on the device."""
        w, g, v = self.flat
        self.rows.update(w, g, v, rates, step, self.nesterov, self.weight_decay)


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
