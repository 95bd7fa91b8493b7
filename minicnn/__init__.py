"""minicnn: convolutional networks in which nothing is hidden. Start reading at `minicnn.ops`, then `minicnn.network`."""
from minicnn import layers, models, ops, optim
from minicnn.backend import get_backend, set_backend, use_backend
from minicnn.network import Network

__version__ = "0.1.0"
