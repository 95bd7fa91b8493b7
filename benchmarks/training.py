"""How fast do we train and classify, beside PyTorch on the same CPU in its best configuration?

    python -m benchmarks.training --models cnn1 cnn2 cnn3 --rounds 5

Two OpenMP runtimes in one process disturb each other, so each library runs in a process of its own, and the processes
alternate: ours, PyTorch, ours, PyTorch ... The ratio is taken round by round. PyTorch is measured with and without
channels_last and with batches of 32 and 128, all with memory kept by the allocator (otherwise it spends its time in
page faults), and the best of these counts. Correctness comes first: the largest difference between the two libraries'
logits and gradients on one batch.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import models, ops
from minicnn.optim import SGD, MaxNorm

ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": "1000000000", "MALLOC_MMAP_THRESHOLD_": "1000000000",
             "MALLOC_TOP_PAD_": "100000000"}
PEERS = [("torch", batch, layout) for batch in (128, 32) for layout in ("channels_last", "contiguous")]


def timed(step: Any, seconds: float) -> list[float]:
    """Return the duration of each call of `step`, after a warm-up, for so many seconds."""
    for _ in range(3):
        step()
    durations, begin = [], time.perf_counter()
    while time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        step()
        durations.append(time.perf_counter() - start)
    return durations


def batch_for(net: Any, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return made-up images and labels; speed hardly depends on what they show."""
    rng = np.random.default_rng(0)
    return rng.random((size, *net.input_shape), dtype=np.float32), rng.integers(0, net.n_classes, size)


def our_steps(net: Any, size: int, threads: int) -> tuple[Any, Any]:
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

    return train, lambda: net.predict_proba(x, batch_size=size)


def torch_steps(net: Any, size: int, threads: int, layout: str) -> tuple[Any, Any]:
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

    return train, classify


def child(options: argparse.Namespace) -> None:
    """Measure one configuration and print images per second of both activities as JSON."""
    net = models.MODELS[options.models[0]]()
    library, size, layout = options.child.split(",")
    size = int(size)
    steps = our_steps(net, size, options.threads[0]) if library == "minicnn" else \
        torch_steps(net, size, options.threads[0], layout)
    print(json.dumps([size / statistics.median(timed(step, options.seconds)) for step in steps]))


def measure(model: str, threads: int, peer: tuple[str, int, str], seconds: float) -> list[float]:
    """Run `child` in a process of its own; return images per second of training and of classification."""
    command = [sys.executable, "-m", "benchmarks.training", "--models", model, "--threads", str(threads),
               "--seconds", str(seconds), "--child", ",".join(map(str, peer))]
    environment = {**os.environ, **ALLOCATOR, "OMP_NUM_THREADS": str(threads)}
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def check(model: str) -> float:
    """Return the largest relative difference of logits and gradients between the two libraries."""
    import torch

    from benchmarks.torch_networks import TorchNetwork

    net = models.cnn3(dropout="none") if model == "cnn3" else models.MODELS[model]()
    x, y = batch_for(net, 32)
    peer = TorchNetwork(net)
    expected = peer(torch.tensor(x))
    torch.nn.functional.cross_entropy(expected, torch.tensor(y)).backward()
    logits = net.forward(x, training=True)
    net.backward(ops.softmax_cross_entropy_backward(ops.softmax_cross_entropy(logits, y)[1]))
    pairs = [(logits, expected.detach())] + [(p.grad, w.grad) for p, w in zip(net.parameters(), peer.weights)]
    return max(float(np.abs(a - b.numpy()).max() / b.abs().max()) for a, b in pairs)


def compare(model: str, threads: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Find PyTorch's best configuration for each activity, then alternate with ours for so many rounds."""
    scouts = {peer: measure(model, threads, peer, options.seconds) for peer in PEERS}
    rows = []
    for k, activity in enumerate(("training", "inference")):
        best = max(scouts, key=lambda peer: scouts[peer][k])
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(measure(model, threads, ("minicnn", 128, "-"), options.seconds)[k])
            theirs.append(measure(model, threads, best, options.seconds)[k])
        ratios = sorted(a / b for a, b in zip(ours, theirs))
        rows.append({"model": model, "activity": activity, "threads": threads, "minicnn": ours, "torch": theirs,
                     "torch_configuration": f"batch {best[1]}, {best[2]}", "ratio": statistics.median(ratios),
                     "ratio_min": ratios[0], "ratio_max": ratios[-1]})
        row = rows[-1]
        print(f"{model:<6}{activity:<11}{threads:>7}{statistics.median(ours):>12.0f}{statistics.median(theirs):>12.0f}"
              f"{row['ratio']:>8.2f}  ({ratios[0]:.2f}-{ratios[-1]:.2f})   {row['torch_configuration']}", flush=True)
    return rows


def main() -> None:
    """Print correctness, then the table; write everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=sorted(models.MODELS), default=["cnn1", "cnn2", "cnn3"])
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of measuring, for each activity and process")
    parser.add_argument("--out", type=Path, default=Path("runs/training-speed.json"))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    import torch

    print("largest relative difference to PyTorch, logits and gradients: "
          + ", ".join(f"{model} {check(model):.1e}" for model in options.models))
    print(f"\nimages/s, medians of {options.rounds} rounds; ratio: median (min-max) round by round\n"
          f"{'net':<6}{'activity':<11}{'threads':>7}{'minicnn':>12}{'PyTorch':>12}{'ratio':>8}")
    rows = [row for threads in options.threads for model in options.models for row in compare(model, threads, options)]
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(),
               "python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
