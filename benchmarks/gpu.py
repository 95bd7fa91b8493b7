"""How fast do we train and classify on an NVIDIA GPU, beside PyTorch on the same device?

    python -m benchmarks gpu --models cnn1 cnn2 cnn3 --rounds 5

Needs CuPy and PyTorch as they are found on the machine, and a device; it is not part of ``all``. The libraries run in
processes of their own that alternate. PyTorch is measured eagerly, with the step as a CUDA graph, and compiled by
``torch.compile``, each with and without channels_last, in float32 as ours (TF32 off); the table has eager and the best.
Ours is `minicnn.device`, whose step is a CUDA graph. Both have their images on the device already, and a measurement
ends when the device has finished.

Correctness comes first: the largest difference of logits and gradients from the numpy backend in float64. Then the
whole training of the paper's CNN1, 62 epochs of 25,000 images, in seconds.

The ceilings are measured as on the CPU: a large float32 matrix product, and the triad a = b + s*c over arrays far
larger than the caches.
"""
from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks import flops
from benchmarks.harness import Options, need, of_rounds, ratios, run_child, say, serve, spread
from benchmarks.plots import BLUE, ORANGE, points
from benchmarks.steps import batch_for
from benchmarks.tables import Table
from minicnn import device, models, ops, set_backend, use_backend
from minicnn.optim import SGD, MaxNorm

TITLE = "Training and inference on a GPU, beside PyTorch"
MODULE = "benchmarks.gpu"
BATCHES = (128, 1024)
PEERS = [(way, layout) for way in ("eager", "graph", "compile") for layout in ("contiguous", "channels_last")]
PAPER = (25_000, 62)     # images and epochs of the paper's CNN1


def measure(options: Options) -> dict[str, Any]:
    """Return the device and its ceilings, how far results differ from NumPy's, and the rounds of each line."""
    for package in ("cupy", "torch"):
        need(package)
    found: dict[str, Any] = {"rounds": options.rounds_or(5), "rows": [],
                             "device": run_child(MODULE, {"what": "device", "quick": options.quick})}
    found["correctness"] = [f"device: {found['device']['name']}, CuPy {found['device']['cupy']}, CUDA "
                            f"{found['device']['cuda']}"]
    for model in options.models:
        far = run_child(MODULE, {"what": "difference", "model": model})["difference"]
        found["correctness"].append(f"{model}: logits and gradients differ from NumPy's by {far:.1e} of the largest")
        say(found["correctness"][-1])
    for model in options.models:
        for batch in BATCHES[:1] if options.quick else BATCHES:
            for activity in ("training", "inference"):
                found["rows"].append(compare(model, batch, activity, options))
    images, epochs = (256, 2) if options.quick else PAPER
    found["paper"] = run_child(MODULE, {"what": "paper", "images": images, "epochs": epochs})
    return found


def compare(model: str, batch: int, activity: str, options: Options) -> dict[str, Any]:
    """Find PyTorch's best way, then alternate ours, eager and best for so many rounds."""
    common = {"what": "speed", "model": model, "batch": batch, "activity": activity,
              "seconds": 0.02 if options.quick else 2.0}

    def run(library: str, way: str = "graph", layout: str = "contiguous") -> float:
        return run_child(MODULE, {**common, "library": library, "way": way, "layout": layout})["images_per_second"]

    scouts = {peer: run("torch", *peer) for peer in (PEERS[:1] if options.quick else PEERS)}
    best = max(scouts, key=scouts.__getitem__)
    eager = max((peer for peer in scouts if peer[0] == "eager"), key=scouts.__getitem__)
    rounds = [(run("minicnn"), run("torch", *eager), run("torch", *best)) for _ in range(options.rounds_or(5))]
    ours, plain, fastest = (list(column) for column in zip(*rounds))
    row = {"model": model, "batch": batch, "activity": activity, "minicnn": ours, "eager": plain, "best": fastest,
           "way": f"{best[0]}, {best[1]}", "flops": flops.per_image(models.MODELS[model]())[activity == "training"]}
    say(f"{model} {batch} {activity}: ratio {spread(ratios(ours, plain))} to eager, {spread(ratios(ours, fastest))} to "
        f"{row['way']}")
    return row


def tables(found: dict[str, Any], ceilings: dict[str, Any]) -> list[Table]:
    """Return the table of speed and that of the paper's training; the ceilings that count are the device's."""
    peak, triad = found["device"]["gflops"], found["device"]["gigabytes"]
    rows = []
    for row in found["rows"]:
        gflops = statistics.median(row["minicnn"]) * row["flops"] / 1e9
        rows.append([row["model"], str(row["batch"]), row["activity"], spread(row["minicnn"], 0),
                     spread(ratios(row["minicnn"], row["eager"])), spread(ratios(row["minicnn"], row["best"])),
                     row["way"], f"{gflops:,.0f}", f"{100 * gflops / peak:.0f} %"])
    paper = found["paper"]
    return [
        Table(f"images/s, {of_rounds(found['rounds'])}; ratios ours : PyTorch; a matrix product reaches {peak:,.0f} "
              f"GFLOP/s, the triad {triad:,.0f} GB/s", (
                  "net", "batch", "activity", "minicnn", "to eager", "to best", "best", "GFLOP/s", "of GEMM"), rows),
        Table("the paper's training of CNN1", ("images", "epochs", "seconds", "of them the first epoch"),
              [[f"{paper['images']:,}", str(paper["epochs"]), f"{paper['seconds']:.1f}", f"{paper['first']:.1f}"]])]


def draw(found: dict[str, Any], ceilings: dict[str, Any]) -> Figure:
    """Draw the images/s of both libraries, with the extremes of the rounds."""
    rows = found["rows"]
    figure = Figure(figsize=(8, 1.2 + 0.55 * len(rows)), layout="constrained")
    points(figure.subplots(), [f"{row['model']} {row['activity']}, batch {row['batch']}" for row in rows],
           {"minicnn": ([row["minicnn"] for row in rows], BLUE), "PyTorch": ([row["best"] for row in rows], ORANGE)},
           "images/s")
    return figure


# ------------------------------------------------------------------------------------------ in a process of its own

def rate(step: Callable[[], Any], wait: Callable[[], Any], images: int, seconds: float) -> float:
    """Return images/s of `step`, called so often that it takes about so many seconds; `wait` waits for the device."""
    for _ in range(3):
        step()
    wait()
    calls, spent = 1, 0.0
    while True:
        start = time.perf_counter()
        for _ in range(calls):
            step()
        wait()
        spent = time.perf_counter() - start
        if spent > seconds / 2:
            return calls * images / spent
        calls = max(2 * calls, int(calls * seconds / max(spent, 1e-6)))


def our_step(task: dict[str, Any]) -> tuple[Callable[[], Any], Callable[[], Any], int]:
    """Return what trains an epoch of 16 steps, or classifies a batch, what waits, and its number of images."""
    import cupy

    set_backend("cupy")
    net = models.MODELS[task["model"]]()
    batch = task["batch"]
    wait = cupy.cuda.Device().synchronize
    if task["activity"] == "inference":
        x = cupy.asarray(batch_for(net, batch)[0])
        return lambda: ops.softmax(net.forward(x)), wait, batch
    images, labels = batch_for(net, 16 * batch)
    run = device.DeviceTraining(net, SGD(net.parameters(), lr=0.01, momentum=0.9), [MaxNorm(net.parameters(), 3.0)],
                                images, labels.astype(np.int64), batch)
    order = np.arange(len(images))
    return lambda: run.epoch(order), wait, len(images)


def torch_step(task: dict[str, Any]) -> tuple[Callable[[], Any], Callable[[], Any], int]:
    """Return the same for PyTorch, in one of its ways."""
    import torch

    from benchmarks.torch_networks import TorchNetwork, limit_norms

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    net = models.MODELS[task["model"]]()
    kind = torch.channels_last if task["layout"] == "channels_last" else torch.contiguous_format
    model: Any = TorchNetwork(net)
    model = model.cuda().to(memory_format=kind)
    weights = [p for p in model.weights if p.dim() > 1]
    x, y = (torch.tensor(a).cuda() for a in batch_for(net, task["batch"]))
    x = x.to(memory_format=kind)
    sgd = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    run = torch.compile(model) if task["way"] == "compile" else model

    def train() -> None:
        sgd.zero_grad(set_to_none=False)
        torch.nn.functional.cross_entropy(run(x), y).backward()
        sgd.step()
        for parameter in weights:
            limit_norms(parameter, 3.0)

    def classify() -> None:
        with torch.no_grad():
            run(x).softmax(1)

    model.train(task["activity"] == "training")
    step = train if task["activity"] == "training" else classify
    if task["way"] != "graph":
        return step, torch.cuda.synchronize, task["batch"]
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay, torch.cuda.synchronize, task["batch"]


def speed(task: dict[str, Any]) -> dict[str, Any]:
    """Return the images/s of one library, activity and way."""
    step, wait, images = (our_step if task["library"] == "minicnn" else torch_step)(task)
    return {"images_per_second": rate(step, wait, images, task["seconds"])}


def about_the_device(task: dict[str, Any]) -> dict[str, Any]:
    """Return name, versions, and the two ceilings."""
    import cupy

    size, elements = (256, 2**16) if task["quick"] else (8192, 2**28)
    wait = cupy.cuda.Device().synchronize
    a, b = (cupy.ones((size, size), np.float32) for _ in range(2))
    x, y, z = (cupy.ones(elements, np.float32) for _ in range(3))
    triad = cupy.ElementwiseKernel("float32 b, float32 c", "float32 a", "a = b + 3 * c", "triad")
    products = rate(lambda: cupy.matmul(a, b), wait, 1, 0.5)
    passes = rate(lambda: triad(x, y, z), wait, 1, 0.5)
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"]
    return {"name": name.decode() if isinstance(name, bytes) else str(name), "cupy": cupy.__version__,
            "cuda": cupy.cuda.runtime.runtimeGetVersion(), "gflops": products * 2 * size**3 / 1e9,
            "gigabytes": passes * 12 * elements / 1e9}


def difference(task: dict[str, Any]) -> dict[str, Any]:
    """Return the largest relative difference of logits and gradients from NumPy's in float64, on one batch."""
    import cupy

    net = models.cnn3(dropout="none") if task["model"] == "cnn3" else models.MODELS[task["model"]]()
    x, y = batch_for(net, 32)

    def passes(x: Any, y: Any) -> list[Any]:
        logits = net.forward(x, training=True)
        net.backward(ops.softmax_cross_entropy_backward(ops.softmax_cross_entropy(logits, y)[1]))
        return [logits, *(p.grad for p in net.parameters())]

    with use_backend("cupy"):
        net.to_backend()
        actual = [a.get() for a in passes(cupy.asarray(x), cupy.asarray(y))]
    with use_backend("numpy"):
        net.to_backend()
        net.dtype = np.dtype(np.float64)
        for parameter in net.parameters():
            parameter.value, parameter.grad = parameter.value.astype(np.float64), parameter.grad.astype(np.float64)
        expected = passes(x.astype(np.float64), y)
    return {"difference": max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(actual, expected))}


def paper(task: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds of a whole training of CNN1, and of its first epoch, which compiles kernels where it must."""
    set_backend("cupy")
    net = models.cnn1()
    images, labels = batch_for(net, task["images"])
    run = device.DeviceTraining(net, SGD(net.parameters(), lr=0.05, momentum=0.9), [MaxNorm(net.parameters(), 1.5)],
                                images, labels.astype(np.int64), 128)
    rng, begin, first = np.random.default_rng(0), time.perf_counter(), 0.0
    for _ in range(task["epochs"]):
        run.epoch(rng.permutation(len(images)))
        first = first or time.perf_counter() - begin
    return {"images": task["images"], "epochs": task["epochs"], "seconds": time.perf_counter() - begin, "first": first}


if __name__ == "__main__":
    serve(lambda task: {"speed": speed, "device": about_the_device, "difference": difference,
                        "paper": paper}[task["what"]](task))
