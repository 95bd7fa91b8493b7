"""minicnn: convolutional networks in which nothing is hidden. Start with `minicnn.ops`, then `minicnn.network`."""
from minicnn import data, layers, models, ops, optim
from minicnn.backend import get_backend, set_backend, use_backend
from minicnn.checkpoint import load, save
from minicnn.network import Network

__version__ = "0.1.0"

__all__ = ["Network", "data", "get_backend", "layers", "load", "models", "ops", "optim", "save", "set_backend",
           "use_backend"]
