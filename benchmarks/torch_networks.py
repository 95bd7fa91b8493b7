"""The paper's networks in PyTorch, with the weights of ours: the peer of every comparison of networks."""
from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from minicnn import Network, layers


class TorchNetwork(nn.Module):
    """A PyTorch module that computes what `net` computes, starting from the same weights.

    Parameters
    ----------
    net : minicnn.Network
        Made of the layers that PyTorch has too; maxout is the maximum over a view.
    """

    def __init__(self, net: Network):
        super().__init__()
        self.plan = [layer for stage in net.stages for layer in stage]
        self.weights = nn.ParameterList(torch.tensor(p.value) for p in net.parameters())

    def forward(self, x: Any) -> Any:
        """Return the logits of images x (N, C, H, W)."""
        weights = iter(self.weights)
        for layer in self.plan:
            match layer:
                case layers.Conv2d():
                    x = F.conv2d(x, next(weights), next(weights), layer.stride, layer.pad)
                case layers.Linear():
                    x = F.linear(x, next(weights), next(weights))
                case layers.ReLU():
                    x = F.relu(x)
                case layers.Maxout():
                    x = x.unflatten(1, (-1, layer.pieces)).amax(2)
                case layers.MaxPool2d():
                    x = F.max_pool2d(x, layer.size, layer.stride, layer.pad, ceil_mode=layer.ceil_mode)
                case layers.Dropout():
                    if self.training:
                        scale = 1 / (1 - layer.drop_prob) if layer.scale is None else layer.scale
                        x = x * (torch.rand_like(x) >= layer.drop_prob) * scale
                case layers.Flatten():
                    x = x.flatten(1)
                case _:
                    raise TypeError(f"no PyTorch counterpart of {layer!r}")
        return x


def limit_norms(parameter: Any, limit: float) -> None:
    """Apply the max-norm constraint to a weight whose first axis is the output."""
    with torch.no_grad():
        norm = parameter.flatten(1).norm(dim=1).clamp_min(1e-30)
        parameter.mul_((limit / norm).clamp(max=1).view(-1, *[1] * (parameter.dim() - 1)))
