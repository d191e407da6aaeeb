"""The layers of a network that see images, and what they give to the dense ones after them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastbcd.network.network import Layer, Network
from fastbcd.utils.types import Float

MOST_FEATURES = 1 << 26
"""Numbers in what convolutions give to the refinement of the layers after them, about."""

FEATURE_ROWS = 256
"""Rows whose features are formed at once."""


def split(network: Network) -> tuple[list[Layer], Network]:
    """Return the layers up to the last that sees or pools images, and the dense ones after it."""
    plain = [layer.is_plain for layer in network.layers]
    start = len(plain) - plain[::-1].index(False) if False in plain else 0
    return list(network.layers[:start]), Network(network.layers[start:])


def features(front: Sequence[Layer], x: Float) -> Float:
    """Return what ``front`` gives to the next layer, some rows at a time."""
    if not front:
        return x
    parts = []
    for lo in range(0, len(x), FEATURE_ROWS):
        v = x[lo : lo + FEATURE_ROWS]
        for layer in front:
            v = layer.forward(v)
        parts.append(v)
    return np.concatenate(parts)
