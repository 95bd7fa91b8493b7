"""A program that trains CNN1 for one epoch with minicnn: ``python -m benchmarks.epoch_minicnn IMAGES THREADS``.

`benchmarks.end_to_end` times it from start to exit, beside `benchmarks.epoch_torch`, which does the same.
"""
from __future__ import annotations

import sys

import numpy as np
from numba import set_num_threads

from minicnn import models
from minicnn.training import fit


def main(count: int, threads: int) -> None:
    """Train on so many made-up images of 121 classes, and classify a sixteenth as many."""
    set_num_threads(threads)
    rng = np.random.default_rng(0)
    images = rng.random((count, 1, 28, 28), dtype=np.float32)
    labels = rng.integers(0, 121, count)
    held_out = max(1, count // 16)
    fit(models.cnn1(), (images, labels), (images[:held_out], labels[:held_out]), epochs=1, progress=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
