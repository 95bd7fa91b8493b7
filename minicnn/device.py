"""Training on a GPU without waiting for it: what `minicnn.training.fit` does in an epoch on the cupy backend.

The host and the device work at the same time as long as the host asks for no result. Here it asks once, at the end of
an epoch, for two numbers: the sum of the losses and the number of hits, which the kernels of every step add to. All
that a step needs is on the device by then:

=====================  ==========================================================================================
images, labels         all of them, if they fit; a kernel gathers the mini-batch
order                  the epoch's permutation, uploaded once
rates (steps, 2)       learning rate and momentum of every step, uploaded once
step                   the number of the step: a kernel counts it
weights, velocities    they live there
=====================  ==========================================================================================

So a step has no argument that changes. Its kernels can be *captured* once as a CUDA graph, and one call launches them
all: for the paper's small layers, launching a kernel from Python takes longer than running it. The first step of a
run is taken kernel by kernel, which compiles and loads them and fills the memory pool; the second is captured; a
last, smaller batch is taken kernel by kernel again. Memory of a captured step comes from a pool of its own that nobody
else takes from: the graph has its addresses.

Images that do not fit pass through two buffers of pinned memory, from which the device copies while the host fills the
other one.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from minicnn.kernels import cupy_softmax
from minicnn.kernels.cuda_source import blocks, kernel, real
from minicnn.kernels.cupy_dropout import Stream
from minicnn.kernels.cupy_optim import Rows
from minicnn.layers import Dropout, Flatten, Linear, Parameter, ReLU
from minicnn.network import Network
from minicnn.optim import SGD, MaxNorm

SHARE = 0.5     # of the free memory that images may take
THREADS = 256


class DeviceTraining:
    """The epochs of a training run on the device.

    Parameters
    ----------
    net : Network
        With its parameters on the device.
    optimizer : SGD
    constraints : sequence
        `MaxNorm` constraints become part of the update; others are applied after it.
    images, labels : array (n, C, H, W), (n,) int64
        NumPy arrays, checked.
    batch_size : int
    graph : bool
        Capture a step; where a layer cannot be captured (one that is neither fused nor linear), steps are taken kernel
        by kernel all the same.
    """

    def __init__(self, net: Network, optimizer: SGD, constraints: Sequence[Any], images: np.ndarray,
                 labels: np.ndarray, batch_size: int, graph: bool = True):
        import cupy

        self.net, self.optimizer = net, optimizer
        self.batch = min(batch_size, len(images))
        steps = -(-len(images) // self.batch)
        dtype = net.dtype
        self.resident = images.nbytes <= SHARE * cupy.cuda.runtime.memGetInfo()[0]
        if self.resident:
            self.all_x, self.all_y = cupy.asarray(images), cupy.asarray(labels)
        else:
            self.staging = [_Staging(self.batch, images, labels) for _ in range(2)]
        self.x = cupy.empty((self.batch, *images.shape[1:]), dtype)
        self.y = cupy.empty(self.batch, np.int64)
        self.order = cupy.empty(len(images), np.int64)
        self.rates = cupy.empty((steps, 2), dtype)
        self.step, self.totals = cupy.zeros(1, np.int64), cupy.zeros(2, np.float64)
        self.key = cupy.zeros(2, np.uint64)
        self.dropouts = [layer for stage in net.stages for layer in stage if isinstance(layer, Dropout)]

        limits: dict[int, float] = {}       # of a parameter that is constrained twice, the tighter one
        for constraint in constraints:
            if isinstance(constraint, MaxNorm):
                limits |= {id(p): min(constraint.limit, limits.get(id(p), math.inf)) for p in constraint.parameters}
        self.others = [c for c in constraints if not isinstance(c, MaxNorm)]
        parameters = optimizer.parameters
        self.update = Update(parameters, optimizer.velocities, [limits.get(id(p), 0.0) for p in parameters],
                             optimizer.nesterov, optimizer.weight_decay)
        self.stream = cupy.cuda.Stream()     # waits for what came before on the default stream
        self.pool = cupy.cuda.MemoryPool()
        self.captures = graph and not self.others
        self.graph: Any = None
        self.warm = False

    def epoch(self, order: np.ndarray) -> tuple[float, float]:
        """Train on all images in this order; return mean loss and accuracy. The host waits once, at the end."""
        import cupy

        steps = len(self.rates)
        rates = [self.optimizer.rates(ahead) for ahead in range(steps)]
        with self.stream:
            self.rates.set(np.array(rates, self.rates.dtype))
            self.order.set(order.astype(np.int64, copy=False))
            self.step.fill(0)
            self.totals.fill(0)
            if self.dropouts:
                self.key.set(self.net.rng.integers(0, 2**64, 2, dtype=np.uint64))
            for number, layer in enumerate(self.dropouts):
                layer.stream = Stream(self.key, self.step, number)
            try:
                for start in range(0, len(order), self.batch):
                    self._take(order[start:start + self.batch], start // self.batch)
            finally:
                for layer in self.dropouts:
                    layer.stream = None
            self.optimizer.steps += steps
            loss, hits = cupy.asnumpy(self.totals)
        return float(loss) / len(order), float(hits) / len(order)

    def _take(self, batch: np.ndarray, number: int) -> None:
        """Take one step: by the graph, or kernel by kernel."""
        if not self.resident:
            self.staging[number % 2].send(batch, self.x, self.y)
        if len(batch) < self.batch:
            self._launch(len(batch))
            return
        if self.graph is None and self.captures and self.warm:
            self.captures = all(getattr(layer, "captured", False) or isinstance(layer, (Dropout, Flatten, Linear, ReLU))
                                for stage in self.net.plan() for layer in stage)    # each has run once, and knows
            if self.captures:
                with self._own_memory():
                    self.stream.begin_capture()
                    self._launch(self.batch)
                    self.graph = self.stream.end_capture()
        if self.graph is not None:
            self.graph.launch(self.stream)
            return
        with self._own_memory():
            self._launch(self.batch)
        self.warm = True

    def _own_memory(self) -> AbstractContextManager[Any]:
        """Return a context in which arrays come from the pool of the captured step."""
        import cupy

        return cupy.cuda.using_allocator(self.pool.malloc) if self.captures else nullcontext()

    def _launch(self, size: int) -> None:
        """Launch the kernels of one step on `size` images."""
        x, y = self.x[:size], self.y[:size]
        if self.resident:
            run = kernel("batch.cu", "gather", real=real(x.dtype))
            run(blocks(x.size, THREADS), (THREADS,),
                (self.all_x, self.all_y, self.order, self.step, x, y, np.int32(size), np.int32(self.batch),
                 np.int32(x[0].size)))
        logits = self.net.forward(x, training=True)
        self.net.backward(cupy_softmax.train_step(logits, y, self.totals))
        self.update(self.rates, self.step)
        for constraint in self.others:
            constraint.apply()
        kernel("batch.cu", "next_step", real=real(x.dtype))((1,), (1,), (self.step,))


class Update:
    """The update of a training step, of all parameters in one launch.

    It moves weights, gradients and velocities into one array each; the parameters' are views of those from then on.

    Parameters
    ----------
    parameters : sequence of Parameter
        With CuPy arrays.
    velocities : list of arrays
        The arrays that `minicnn.optim.SGD` keeps.
    limits : sequence of float
        Largest norm of a row of each parameter; 0 for none.
    nesterov, weight_decay
        The same as in `minicnn.optim.SGD`.
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


class _Staging:
    """A buffer of pinned memory: the host fills it while the device copies from the other one."""

    def __init__(self, size: int, images: np.ndarray, labels: np.ndarray):
        import cupy
        import cupyx

        self.images, self.labels = images, labels
        self.x = cupyx.empty_pinned((size, *images.shape[1:]), images.dtype)
        self.y = cupyx.empty_pinned((size,), np.int64)
        self.copied = cupy.cuda.Event(disable_timing=True)

    def send(self, batch: np.ndarray, x: Any, y: Any) -> None:
        """Copy these images and labels to the device; wait only for the copy before the last one."""
        self.copied.synchronize()
        self.images.take(batch, axis=0, out=self.x[:len(batch)], mode="clip")
        self.labels.take(batch, out=self.y[:len(batch)], mode="clip")
        x[:len(batch)].set(self.x[:len(batch)])
        y[:len(batch)].set(self.y[:len(batch)])
        self.copied.record()


def mean_loss_and_accuracy(net: Network, images: np.ndarray, labels: np.ndarray,
                           batch_size: int) -> tuple[float, float]:
    """Return what `minicnn.evaluation.mean_loss_and_accuracy` does; the host waits once."""
    import cupy

    totals = cupy.zeros(2, np.float64)
    for start in range(0, len(images), batch_size):
        x, y = (cupy.asarray(a[start:start + batch_size]) for a in (images, labels))
        cupy_softmax.train_step(net.forward(x), y, totals, wants_gradient=False)
    loss, hits = cupy.asnumpy(totals)
    return float(loss) / len(images), float(hits) / len(images)
