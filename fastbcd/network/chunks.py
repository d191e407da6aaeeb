"""Conversion of input rows, and the forward pass in chunks."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbcd.network.network import Network
from fastbcd.utils.types import Float

PREDICT_CHUNK = 4096
"""Maximum number of rows predicted at once; it bounds the memory for activations."""


def as_dense(x: Any) -> Float:
    """Return a checked array or sparse matrix as a C-contiguous array."""
    dense: Float = np.ascontiguousarray(x.toarray() if hasattr(x, "toarray") else x)
    return dense


def as_network_type(x: Any, network: Network) -> Float:
    """Return ``x`` as a C-contiguous array with the dtype of the first layer's weights."""
    dense = x.toarray() if hasattr(x, "toarray") else x
    return np.ascontiguousarray(dense, dtype=network.layers[0].weight.dtype)


def forward(network: Network, x: Any) -> Float:
    """Return the outputs (n, k), computed in chunks; a sparse ``x`` is made dense by chunk."""
    last = network.layers[-1].weight
    out = np.empty((x.shape[0], last.shape[1]), last.dtype)
    for lo in range(0, len(out), PREDICT_CHUNK):
        part = slice(lo, lo + PREDICT_CHUNK)
        network.forward(as_dense(x[part]), out[part])
    return out
