"""What the lock-step trainer needs of losses and activations: stacked arrays, in place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit

from fastbcd.network.layers.smooth import CURVES
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
    elif name in CURVES:
        CURVES[name].value(z, z)
    return z


def activate_and_keep(name: str, z: Float) -> Float:
    """Apply an activation in place; return what :func:`pull_back` needs to know.

    That is the values themselves, unless the derivative is not a function of them.
    """
    known = z if name not in CURVES or CURVES[name].by_value else z.copy()
    activate(name, z)
    return known


def pull_back(name: str, d: Float, known: Float) -> Float:
    """Multiply ``d`` by the derivative of an activation, in place.

    ``known`` is what :func:`activate_and_keep` returned: the pre-activations of SiLU and GELU,
    the values of all others.
    """
    if name == "relu":
        d *= known > 0
    elif name == "leaky_relu":
        d *= np.where(known > 0, np.float32(1), np.float32(LEAK))
    elif name == "hard_tanh":
        d *= np.abs(known) < 1
    elif name in CURVES:
        d *= CURVES[name].derivative(known)
    return d
