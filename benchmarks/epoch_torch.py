"""What `benchmarks.epoch_minicnn` does, as a user of PyTorch would write it.

    python -m benchmarks.epoch_torch IMAGES BATCH LAYOUT THREADS

It loads nothing of minicnn, whose time it would have to pay for. Data, network, rule of learning, max-norm and the
number of images that are classified in the end are the same.
"""
from __future__ import annotations

import sys

import numpy as np
import torch
from torch import nn


def network() -> nn.Sequential:
    """Return CNN1 for 121 classes."""
    return nn.Sequential(nn.Conv2d(1, 32, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 48, 5), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Conv2d(48, 64, 5, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(64, 121), nn.ReLU(), nn.Linear(121, 121))


def main(count: int, batch: int, layout: str, threads: int) -> None:
    """Train on so many made-up images of 121 classes, and classify a sixteenth as many."""
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.random((count, 1, 28, 28), dtype=np.float32))
    labels = torch.from_numpy(rng.integers(0, 121, count))
    kind = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    model = network().to(memory_format=kind)
    sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for chosen in torch.randperm(count).split(batch):
        sgd.zero_grad()
        nn.functional.cross_entropy(model(images[chosen].to(memory_format=kind)), labels[chosen]).backward()
        sgd.step()
        with torch.no_grad():
            for weight in model.parameters():
                if weight.dim() > 1:
                    norm = weight.flatten(1).norm(dim=1).clamp_min(1e-30)
                    weight.mul_((1.5 / norm).clamp(max=1).view(-1, *[1] * (weight.dim() - 1)))
    model.eval()
    with torch.inference_mode():
        for part in images[:max(1, count // 16)].split(256):
            model(part.to(memory_format=kind)).argmax(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
