"""One training step and one classification of a batch in either library, timed in a process of its own.

The process of PyTorch loads minicnn as well, whose networks it copies, but neither Numba nor any kernel: 11 MB of its
hundreds.
"""
from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import memory, peak_of_process, serve, timed
from minicnn import models, ops
from minicnn.optim import SGD, MaxNorm

MODULE = "benchmarks.steps"
Step = Callable[[], Any]


def batch_for(net: Any, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return made-up images and labels; speed hardly depends on what they show."""
    rng = np.random.default_rng(0)
    return rng.random((size, *net.input_shape), dtype=np.float32), rng.integers(0, net.n_classes, size)


def our_steps(net: Any, size: int, threads: int) -> dict[str, Step]:
    """Return one training step and one classification of a batch, in minicnn."""
    import numba
    from threadpoolctl import threadpool_limits

    numba.set_num_threads(threads)
    threadpool_limits(1, user_api="blas")
    x, y = batch_for(net, size)
    optimizer = SGD(net.parameters(), lr=0.01, momentum=0.9)
    constraint = MaxNorm(net.parameters(), 3.0)

    def train() -> None:
        _, cache = ops.softmax_cross_entropy(net.forward(x, training=True), y)
        net.backward(ops.softmax_cross_entropy_backward(cache))
        optimizer.step()
        constraint.apply()

    return {"training": train, "inference": lambda: net.predict_proba(x, batch_size=size)}


def torch_steps(net: Any, size: int, threads: int, layout: str) -> dict[str, Step]:
    """Return one training step and one classification of a batch, in PyTorch."""
    import torch

    from benchmarks.torch_networks import TorchNetwork, limit_norms

    torch.set_num_threads(threads)
    kind = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    model: Any = TorchNetwork(net)
    model = model.to(memory_format=kind)
    x, y = (torch.tensor(a) for a in batch_for(net, size))
    x = x.to(memory_format=kind)
    sgd = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def train() -> None:
        model.train()
        sgd.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        sgd.step()
        for parameter in model.weights:
            if parameter.dim() > 1:
                limit_norms(parameter, 3.0)

    def classify() -> None:
        model.eval()
        with torch.inference_mode():
            model(x).softmax(1)

    return {"training": train, "inference": classify}


def speed(task: dict[str, Any]) -> dict[str, Any]:
    """Return the images/s of one activity, the median of its calls, and the peak memory of the process in bytes."""
    net = models.MODELS[task["model"]]()
    size, threads = task["batch"], task["threads"]
    steps = our_steps(net, size, threads) if task["library"] == "minicnn" else \
        torch_steps(net, size, threads, task["layout"])
    durations = timed(steps[task["activity"]], task["seconds"])
    return {"images_per_second": size / statistics.median(durations), "peak": peak_of_process()}


def endurance(task: dict[str, Any]) -> dict[str, Any]:
    """Take many training steps; return memory in bytes and the median seconds of a step at the end of each tenth.

    The first tenth begins after a few steps that fill the buffers.
    """
    step = our_steps(models.MODELS[task["model"]](), task["batch"], task["threads"])["training"]
    timed(step, 0.0)
    sizes, seconds = [memory()], []
    for _ in range(10):
        seconds.append(statistics.median(timed(step, 0.0, warm_up=0)[0] for _ in range(task["steps"] // 10)))
        sizes.append(memory())
    return {"memory": sizes, "seconds": seconds}


def difference(task: dict[str, Any]) -> dict[str, Any]:
    """Return the largest relative difference of logits and gradients between the two libraries, on one batch."""
    import torch

    from benchmarks.torch_networks import TorchNetwork

    net = models.cnn3(dropout="none") if task["model"] == "cnn3" else models.MODELS[task["model"]]()
    x, y = batch_for(net, 32)
    peer = TorchNetwork(net)
    expected = peer(torch.tensor(x))
    torch.nn.functional.cross_entropy(expected, torch.tensor(y)).backward()
    logits = net.forward(x, training=True)
    net.backward(ops.softmax_cross_entropy_backward(ops.softmax_cross_entropy(logits, y)[1]))
    pairs = [(logits, expected.detach())] + [(p.grad, w.grad) for p, w in zip(net.parameters(), peer.weights)]
    return {"difference": max(float(np.abs(a - b.numpy()).max() / b.abs().max()) for a, b in pairs)}


if __name__ == "__main__":
    serve(lambda task: {"speed": speed, "endurance": endurance, "difference": difference}[task["what"]](task))
