"""minicnn: convolutional networks in which nothing is hidden. Start with `minicnn.ops`, then `minicnn.network`."""
import importlib
from typing import Any

from minicnn import layers, models, ops, optim
from minicnn.backend import get_backend, set_backend, use_backend
from minicnn.checkpoint import load, save
from minicnn.network import Network

__version__ = "0.1.0"

__all__ = ["Network", "data", "get_backend", "layers", "load", "models", "ops", "optim", "save", "set_backend",
           "use_backend"]


def __getattr__(name: str) -> Any:
    """Import `minicnn.data` when it is first asked for: what reads image files is half of the time to start."""
    if name == "data":
        return importlib.import_module("minicnn.data")
    raise AttributeError(f"module 'minicnn' has no attribute {name!r}")
