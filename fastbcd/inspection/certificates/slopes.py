"""Slopes of activations between two bounds of their arguments.

For u, v in [l, h] every activation here satisfies a <= (f(u) - f(v)) / (u - v) <= b. The slopes of
a smooth one are the extremes of its derivative, at the bounds or where the derivative turns.
"""

from __future__ import annotations

import numpy as np

from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.layers.smooth import CURVES
from fastbcd.utils.types import Float64

RAMP = "ramp"
"""min(max(u, 0), 1), of a piecewise-linear encoding."""

LINEAR = "identity"
"""No activation."""

KINKS = {
    "relu": ((0.0,), (0.0, 1.0)),
    "leaky_relu": ((0.0,), (0.01, 1.0)),
    "hard_tanh": ((-1.0, 1.0), (0.0, 1.0, 0.0)),
    RAMP: ((0.0, 1.0), (0.0, 1.0, 0.0)),
    LINEAR: ((), (1.0,)),
}
"""Where a piecewise-linear activation bends, and its slopes from left to right."""

TURNS = {
    "tanh": (0.0,),
    "logistic": (0.0,),
    "softplus": (),
    "silu": (-2.399357280520045, 2.399357280520045),
    "gelu": (-1.4142135623730951, 1.4142135623730951),
}
"""Where the derivative of a smooth activation has its extremes."""

CLOSE = 1e-13
"""Error that the derivatives of smooth activations may have, a number of the machine."""


def value(name: str, u: Float64) -> Float64:
    """Return the values of an activation."""
    if name == RAMP:
        clipped: Float64 = np.clip(u, 0, 1)
        return clipped
    if name == LINEAR:
        return u
    return np.asarray(ALL_ACTIVATIONS[name].value(u.copy()), np.float64)


def is_known(name: str) -> bool:
    """Return whether the slopes of an activation are known."""
    return name in KINKS or name in TURNS


def slopes(name: str, low: Float64, high: Float64) -> tuple[Float64, Float64]:
    """Return the least and the greatest slope of an activation between bounds, for each unit."""
    if name in KINKS:
        kinks, each = KINKS[name]
        edges = (-np.inf, *kinks, np.inf)
        least = np.full(low.shape, np.inf)
        most: Float64 = np.full(low.shape, -np.inf)
        for slope, left, right in zip(each, edges, edges[1:], strict=False):
            there = (low < right) & (high > left)
            there |= (low == high) & (low >= left) & (low <= right)
            least = np.where(there, np.minimum(least, slope), least)
            most = np.where(there, np.maximum(most, slope), most)
        return least, most
    ends = [derivative(name, low), derivative(name, high)]
    for turn in TURNS[name]:
        inside = (low < turn) & (high > turn)
        at = derivative(name, np.full(low.shape, turn))
        ends.append(np.where(inside, at, ends[0]))
    lowest: Float64 = np.min(ends, axis=0)
    highest: Float64 = np.max(ends, axis=0)
    lowest = lowest - CLOSE * (1 + np.abs(lowest))
    if name in ("tanh", "logistic", "softplus"):
        lowest = np.maximum(lowest, 0)
    return lowest, highest + CLOSE * (1 + np.abs(highest))


def derivative(name: str, u: Float64) -> Float64:
    """Return the derivative of an activation, from the left where it bends."""
    if name in KINKS:
        kinks, each = KINKS[name]
        return np.asarray(np.asarray(each)[np.searchsorted(kinks, u)])
    curve = CURVES[name]
    bounded = np.clip(u, -700.0, 700.0)  # flat or straight beyond
    known = curve.value(bounded.copy(), None) if curve.by_value else bounded
    return np.asarray(curve.derivative(known), np.float64)
