"""Feed-forward networks as plain data, and transformations that preserve their outputs."""

from fastbcd.network.network import Layer as Layer
from fastbcd.network.network import Network as Network

__all__ = ["Layer", "Network"]
