"""What the lock-step trainer needs of losses and activations: stacked arrays, in place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit

from fastbcd.utils.types import Float

LEAK = 0.01
"""Slope of the leaky ReLU below zero, as in the network."""

FLOOR = -25.0
"""Logarithm of the smallest probability, a number of the machine: float32 does not underflow."""


def _softmax(o: Float, target: Float) -> Float:
    o -= o.max(axis=-1, keepdims=True)
    np.maximum(o, FLOOR, out=o)
    np.exp(o, out=o)
    o /= o.sum(axis=-1, keepdims=True)
    return np.subtract(target, o, out=o)


def _sigmoid(o: Float, target: Float) -> Float:
    return np.subtract(target, expit(o), out=o)


def _squared(o: Float, target: Float) -> Float:
    return np.subtract(target, o, out=o)


def _hinge(o: Float, target: Float) -> Float:
    rising, falling = o > -1, o < 1
    return np.subtract(target * falling, (1 - target) * rising, out=o)


DESCENT: dict[str, Callable[[Float, Float], Float]] = {
    "cross_entropy": _softmax,
    "logistic": _sigmoid,
    "squared": _squared,
    "hinge": _hinge,
}
"""Minus the gradient of each loss in the outputs; overwrites them."""


def activate(name: str, z: Float) -> Float:
    """Apply an activation in place."""
    if name == "relu":
        np.maximum(z, 0, out=z)
    elif name == "leaky_relu":
        np.maximum(z, LEAK * z, out=z)
    elif name == "hard_tanh":
        np.clip(z, -1, 1, out=z)
    elif name == "tanh":
        np.tanh(z, out=z)
    elif name == "logistic":
        expit(z, out=z)
    return z


def pull_back(name: str, d: Float, v: Float) -> Float:
    """Multiply ``d`` by the derivative of an activation, in place; ``v`` are its values."""
    if name == "relu":
        d *= v > 0
    elif name == "leaky_relu":
        d *= np.where(v > 0, np.float32(1), np.float32(LEAK))
    elif name == "hard_tanh":
        d *= np.abs(v) < 1
    elif name == "tanh":
        d *= 1 - v * v
    elif name == "logistic":
        d *= v * (1 - v)
    return d
