"""The convolutional front of a network, and its features for the dense layers after it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastbcd.network.network import Layer, Network
from fastbcd.utils.types import Float

MOST_FEATURES = 1 << 26
"""Approximate maximum number of feature entries for fine-tuning the dense layers."""

FEATURE_ROWS = 256
"""Number of rows whose features are computed at once."""


def split(network: Network) -> tuple[list[Layer], Network]:
    """Return the layers up to the last with patches or pooling, and the dense layers after it."""
    plain = [layer.is_plain for layer in network.layers]
    start = len(plain) - plain[::-1].index(False) if False in plain else 0
    return list(network.layers[:start]), Network(network.layers[start:])


def features(front: Sequence[Layer], x: Float) -> Float:
    """Return the outputs of the layers ``front`` for ``x``, computed in chunks of rows."""
    if not front:
        return x
    parts = []
    for lo in range(0, len(x), FEATURE_ROWS):
        v = x[lo : lo + FEATURE_ROWS]
        for layer in front:
            v = layer.forward(v)
        parts.append(v)
    return np.concatenate(parts)
