"""Does our training reach the accuracy of PyTorch's? The same recipe, split, first weights and data order in both.

    python -m benchmarks.accuracy --data plankton:PATH --model cnn1 --seeds 0 1 2 --epochs 25 --peer

For each seed: train on the training part, keep the epoch that is best on the validation part, and classify the test
part once. With ``--peer`` PyTorch does the same beside it. Every finished run is a line of ``--out``, and is not run
again, so that the benchmark can be stopped and continued. The table at the end gives mean, standard deviation and, of
two columns, the difference in units of its standard error.
"""
from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import data, models, recipes
from minicnn.arguments import positive, whole
from minicnn.evaluation import evaluate
from minicnn.training import fit


def train_ours(net: Any, parts: Any, epochs: int, seed: int) -> dict[str, float]:
    """Train with minicnn; return validation and test accuracy and the seconds of training."""
    training, valid, test = parts
    begin = time.perf_counter()
    history = fit(net, training, valid, epochs, seed=seed, progress=False)
    seconds = time.perf_counter() - begin
    return {"valid": history.best["valid_accuracy"], "best_epoch": history.best["epoch"],
            "test": evaluate(net, test)[1], "seconds": seconds}


def train_torch(net: Any, parts: Any, epochs: int, seed: int) -> dict[str, float]:
    """Do what `train_ours` does in PyTorch, from the weights of `net` and in the same order of images."""
    import torch

    from benchmarks.torch_networks import TorchNetwork, limit_norms

    torch.manual_seed(seed)
    model: Any = TorchNetwork(net)
    model = model.to(memory_format=torch.channels_last)
    schedule, constraints = recipes.default(net)
    place = {p.name: k for k, p in enumerate(net.parameters())}
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    (images, labels), *held_out = [(torch.tensor(part.images), torch.tensor(part.labels)) for part in parts]

    def accuracy_and_loss(x: Any, y: Any) -> tuple[float, float]:
        model.eval()
        with torch.no_grad():
            logits = torch.cat([model(batch) for batch in x.split(256)])
        return float((logits.argmax(1) == y).float().mean()), float(torch.nn.functional.cross_entropy(logits, y))

    order = np.random.Generator(np.random.PCG64(seed))
    best, best_loss = {"valid": -1.0}, math.inf
    begin = time.perf_counter()
    for epoch in range(epochs):
        model.train()
        schedule.epoch = epoch
        shuffled = torch.tensor(order.permutation(len(images)))
        for k in range(0, len(images), 128):
            batch = shuffled[k:k + 128]
            sgd.param_groups[0]["lr"], sgd.param_groups[0]["momentum"] = schedule.rates()
            sgd.zero_grad()
            torch.nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            sgd.step()
            schedule.steps += 1
            for constraint in constraints:
                for parameter in constraint.parameters:
                    limit_norms(model.weights[place[parameter.name]], constraint.limit)
        valid, loss = accuracy_and_loss(*held_out[0])
        if (valid, -loss) > (best["valid"], -best_loss):  # as `History.best`: of equal accuracies the smaller loss
            weights = {name: value.clone() for name, value in model.state_dict().items()}
            best, best_loss = {"valid": valid, "best_epoch": epoch + 1}, loss
    best["seconds"] = time.perf_counter() - begin
    model.load_state_dict(weights)
    return {**best, "test": accuracy_and_loss(*held_out[1])[0]}


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", choices=sorted(models.MODELS), default="cnn1")
    parser.add_argument("--seeds", type=whole, nargs="+", default=[0])
    parser.add_argument("--epochs", type=positive, default=25)
    parser.add_argument("--size", type=positive)
    parser.add_argument("--dropout", choices=("first", "all", "none"), default="first", help="of cnn3")
    parser.add_argument("--split-seed", type=whole, default=0)
    parser.add_argument("--peer", action="store_true", help="train PyTorch too")
    parser.add_argument("--out", type=Path, default=Path("runs/accuracy.jsonl"))
    options = parser.parse_args()
    name = options.data.partition(":")[0]
    size = options.size or models.MODELS[options.model]().input_shape[1]
    parts = None
    options.out.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    chosen = {"data": name, "model": options.model, "epochs": options.epochs, "size": size,
              "split_seed": options.split_seed}
    if options.model == "cnn3":
        chosen["dropout"] = options.dropout
    for seed in options.seeds:
        for who, train in (("minicnn", train_ours), ("torch", train_torch))[:2 if options.peer else 1]:
            key = {**chosen, "seed": seed, "library": who}
            if any(all(record.get(k) == v for k, v in key.items()) for record in done):
                continue
            if parts is None:
                parts = data.load_splits(options.data, size=size, seed=options.split_seed)
            extra = {"dropout": options.dropout} if options.model == "cnn3" else {}
            net = models.MODELS[options.model](len(parts[0].class_names), seed, parts[0].images.shape[1:], **extra)
            record = {**key, **train(net, parts, options.epochs, seed), "machine": platform.processor() or
                      platform.machine(), "numpy": np.__version__}
            with options.out.open("a") as file:
                file.write(json.dumps(record) + "\n")
            done.append(record)
            print(record, flush=True)
    report([r for r in done if all(r.get(k) == v for k, v in chosen.items()) and r["seed"] in options.seeds])


def report(records: list[dict[str, Any]]) -> None:
    """Print accuracy by library, and how far apart two libraries are."""
    print(f"\n{'library':<10}{'seeds':>6}{'valid':>9}{'test':>9}{'std':>9}{'seconds':>10}")
    tests: dict[str, list[float]] = {}
    for who in ("minicnn", "torch"):
        rows = [r for r in records if r["library"] == who]
        if not rows:
            continue
        tests[who] = [r["test"] for r in rows]
        spread = statistics.stdev(tests[who]) if len(rows) > 1 else math.nan
        print(f"{who:<10}{len(rows):>6}{statistics.mean(r['valid'] for r in rows):>9.4f}"
              f"{statistics.mean(tests[who]):>9.4f}{spread:>9.4f}{statistics.mean(r['seconds'] for r in rows):>10.1f}")
    if len(tests) == 2:
        difference = statistics.mean(tests["minicnn"]) - statistics.mean(tests["torch"])
        line = f"difference {difference:+.4f}"
        if min(map(len, tests.values())) > 1:
            error = math.sqrt(sum(statistics.variance(t) / len(t) for t in tests.values()))
            line += f", standard error {error:.4f}: {abs(difference) / error:.2f} standard errors"
        print(line)


if __name__ == "__main__":
    main()
