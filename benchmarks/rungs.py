"""The rungs of the ladder: CNN1's second layer, computed in every way from Python's loops to the fused kernel.

    images 32 x 12 x 12  ->  48 filters 5 x 5: 48 x 8 x 8  ->  ReLU, 2 x 2 max-pooling: 48 x 4 x 4

The images are what CNN1's first layer makes of noise, the weights those a new CNN1 begins with, both rounded to steps
of a power of two. All sums of the forward pass are then exact in float32, in whatever order they are added, so every
rung must give the same bits as the vectorised code in float64, and the same winners; the gradients differ by rounding.
"""
from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit, set_num_threads

from benchmarks import flops
from benchmarks.harness import serve, timed
from minicnn import models, ops
from minicnn.backend import use_backend
from minicnn.fusion import channels_last
from minicnn.kernels import numba_fused, numba_winners
from minicnn.kernels.geometry import Geometry
from minicnn.ops.conv import conv2d_loops

MODULE = "benchmarks.rungs"
GEOMETRY = Geometry((1, 1), (0, 0), 1, True, (2, 2), (2, 2), (0, 0), False)
SLICE = 4  # filters that Python's loops compute, of one image
Arrays = tuple[Any, ...]


class Rung(NamedTuple):
    """One way to compute: what it covers, the call, what it must give, and which part of the batch's work it does."""

    direction: str
    name: str
    covers: str
    run: Callable[[], Arrays]
    expected: Arrays
    part: float = 1.0


class Problem(NamedTuple):
    """Images, weights, bias, and the gradient of the pooled output."""

    x: np.ndarray
    w: np.ndarray
    b: np.ndarray
    dy: np.ndarray


def make_problem(N: int) -> Problem:
    """Return the second layer of CNN1 and a batch of N of its inputs."""
    net, rng = models.cnn1(seed=0), np.random.default_rng(0)
    with use_backend("numpy"):
        x = net.features(rng.random((N, 1, 28, 28), dtype=np.float32), stage=1).reshape(N, *net.shapes[1])
    w, b = (parameter.value for parameter in net.stages[1][0].parameters())
    dy = rng.standard_normal((N, *net.shapes[2]), dtype=np.float32)
    return Problem(np.round(x * 64) / 64, np.round(w * 256) / 256, b, dy)


@njit(cache=True)
def compiled_loops(x, w, b, y):
    """Fill y (N, F, OH, OW) by the loops of `conv2d_loops`, without padding and with stride 1."""
    N, F, OH, OW = y.shape
    for n in range(N):
        for f in range(F):
            for oy in range(OH):
                for ox in range(OW):
                    total = b[f]
                    for c in range(w.shape[1]):
                        for ky in range(w.shape[2]):
                            for kx in range(w.shape[3]):
                                total += w[f, c, ky, kx] * x[n, c, oy + ky, ox + kx]
                    y[n, f, oy, ox] = total


def three_operations(x: Any, w: Any, b: Any) -> tuple[Any, Arrays]:
    """Return the pooled output, one operation after the other, and their caches."""
    z, conv_cache = ops.conv2d(x, w, b)
    rectified, relu_cache = ops.relu(z)
    y, pool_cache = ops.max_pool2d(rectified, 2)
    return y, (conv_cache, relu_cache, pool_cache)


def before_convolution(dy: Any, caches: Arrays) -> Any:
    """Return the gradient of the convolution's output: `dy` sent back through pooling and ReLU."""
    return ops.relu_backward(ops.max_pool2d_backward(dy, caches[2]), caches[1])


def make_rungs(problem: Problem, loops: bool) -> tuple[list[Rung], float]:
    """Return all rungs, those of loops only if asked for, and the share of the gradient that is not zero."""
    x, w, b, dy = problem
    with use_backend("numpy"):
        exact = [array.astype(np.float64) for array in problem]
        y, caches = three_operations(*exact[:3])
        z = ops.conv2d(*exact[:3])[0]
        dz_exact = before_convolution(exact[3], caches)
        gradients = ops.conv2d_backward(dz_exact, caches[0])
    dz = dz_exact.astype(np.float32)
    x_last, dy_last, out = channels_last(x), channels_last(dy), np.empty(z.shape, np.float32)

    def on(backend: str, call: Callable[[], Arrays]) -> Callable[[], Arrays]:
        def run() -> Arrays:
            with use_backend(backend):
                return call()
        return run

    def call_compiled() -> Arrays:
        compiled_loops(x, w, b, out)
        return (out,)

    with use_backend("numba"):
        unfused_caches = three_operations(x, w, b)[1]
    fused_cache = numba_fused.forward(x_last, w, b, GEOMETRY)[1]

    def unfused_backward() -> Arrays:
        return ops.conv2d_backward(before_convolution(dy, unfused_caches), unfused_caches[0])

    def fused_forward() -> Arrays:
        return (numba_fused.forward(x_last, w, b, GEOMETRY)[0].transpose(0, 3, 1, 2),)

    def over_winners() -> Arrays:
        dx, dw, db = numba_winners.backward(dy_last, fused_cache)
        return dx.transpose(0, 3, 1, 2), dw, db

    rungs = [
        Rung("forward", "Python loops", "convolution", lambda: conv2d_loops(x[:1], w[:SLICE], b[:SLICE])[:1],
             (z[:1, :SLICE],), SLICE / (len(x) * len(w))),
        Rung("forward", "compiled loops", "convolution", call_compiled, (z,)),
    ] if loops else []
    return rungs + [
        Rung("forward", "im2col + GEMM", "convolution", on("numpy", lambda: ops.conv2d(x, w, b)[:1]), (z,)),
        Rung("forward", "register tile", "convolution", on("numba", lambda: ops.conv2d(x, w, b)[:1]), (z,)),
        Rung("forward", "three operations", "layer", on("numba", lambda: three_operations(x, w, b)[:1]), (y,)),
        Rung("forward", "fused layer", "layer", fused_forward, (y,)),
        Rung("backward", "im2col + GEMM", "convolution",
             on("numpy", lambda: ops.conv2d_backward(dz, caches[0]._replace(x=x, w=w))), gradients),
        Rung("backward", "dense tiles", "convolution",
             on("numba", lambda: ops.conv2d_backward(dz, unfused_caches[0])), gradients),
        Rung("backward", "three operations", "layer", on("numba", unfused_backward), gradients),
        Rung("backward", "winners only", "layer", over_winners, gradients),
    ], float(np.count_nonzero(dz) / dz.size)


def error(found: Arrays, expected: Arrays) -> float:
    """Return the largest difference, as a share of the largest number of its array."""
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(found, expected, strict=True))


def child(task: dict[str, Any]) -> dict[str, Any]:
    """Check every rung, then time them in turns; seconds are those of the whole batch."""
    set_num_threads(task["threads"])
    problem = make_problem(task["images"])
    rungs, alive = make_rungs(problem, loops=task["threads"] == 1)
    OH, OW = (problem.x.shape[k] - problem.w.shape[k] + 1 for k in (2, 3))
    work = flops.convolution(len(problem.x), problem.w.shape[1], len(problem.w), problem.w.shape[2:], (OH, OW))
    errors = [error(rung.run(), rung.expected) for rung in rungs]
    seconds: list[list[float]] = [[] for _ in rungs]
    for _ in range(task["rounds"]):
        for rung, rounds in zip(rungs, seconds):
            durations = timed(rung.run, task["seconds"], warm_up=0 if rung.part < 1 else 3)
            rounds.append(statistics.median(durations) / rung.part)
    return {"alive": alive, "rows": [
        {"direction": rung.direction, "name": rung.name, "covers": rung.covers, "threads": task["threads"],
         "part": rung.part, "error": wrong, "seconds": rounds, "flops": work * (1 + (rung.direction == "backward"))}
        for rung, wrong, rounds in zip(rungs, errors, seconds)]}


if __name__ == "__main__":
    serve(child)
