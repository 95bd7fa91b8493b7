"""A small network in which every kind of layer occurs."""
from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import Network
from minicnn.layers import Conv2d, Dropout, Flatten, Linear, Maxout, MaxPool2d, ReLU


def network(**options: Any) -> Network:
    stages = [[Dropout(0.2, scale=1.0), Conv2d(4, 3, pad=1), Maxout(2), MaxPool2d(3, 2, ceil_mode=True)],
              [Conv2d(3, 2), ReLU()],
              [Flatten(), Dropout(0.5), Linear(5)]]
    return Network(stages, (2, 6, 7), dtype=np.float64, name="small", **options)
