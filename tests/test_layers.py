"""Layers as plain data: what is written to a file and makes the same layer again."""
from __future__ import annotations

import json

import pytest

from minicnn.layers import Conv2d, Dropout, Flatten, Linear, Maxout, MaxPool2d, ReLU


@pytest.mark.parametrize("layer, config", [     # the keys are those of saved files
    (Conv2d(2, 3, (2, 1), 1, 0.5), {"filters": 2, "size": [3, 3], "stride": [2, 1], "pad": [1, 1], "init_limit": 0.5}),
    (MaxPool2d(3, ceil_mode=True), {"size": [3, 3], "stride": [3, 3], "pad": [0, 0], "ceil_mode": True}),
    (ReLU(), {}), (Maxout(2), {"pieces": 2}), (Dropout(0.5), {"drop_prob": 0.5, "scale": None}), (Flatten(), {}),
    (Linear(4), {"units": 4, "init_limit": None}),
])
def test_each_argument_of_a_layer_is_the_attribute_of_its_name(layer, config):
    assert layer.config() == config
    again = type(layer)(**json.loads(json.dumps(config)))
    assert again.config() == config and vars(again) == vars(layer)
    assert all(getattr(layer, name) == (tuple(value) if isinstance(value, list) else value)
               for name, value in config.items())
