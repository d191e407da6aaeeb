"""Units for features whose ranges differ widely."""

from __future__ import annotations

import numpy as np

from fastbcd.utils.types import Float, Float64

ROBUST_ROWS = 2048
"""Approximate number of rows used to estimate medians and ranges."""

UNLIKE = 10.0
"""Maximum factor between the range of a feature and the median range; others are rescaled."""


def units(inside: Float, origin: Float, before: Float | None = None) -> Float64:
    """Return the unit of each feature, (d,): one unless the ranges differ widely.

    Parameters
    ----------
    inside : (n, d) array
        Absolute differences of some rows from ``origin``.
    origin : (d,) array
        Median of each feature.
    before : (d,) array, optional
        Units to keep for features that do not vary; one by default.
    """
    d = len(origin)
    # The range is the 90 % quantile of the non-zero distances from the median. Rarely active
    # features, such as a corner pixel, thus do not count as small, and outliers have no effect.
    reach = np.zeros(d)
    for j in range(d):
        moved = inside[inside[:, j] > 0, j]
        reach[j] = np.quantile(moved, 0.9) if moved.size else 0.0
    unit = np.ones(d) if before is None else before.astype(np.float64)
    alive = reach > 1e-9 * np.maximum(np.abs(origin), 1e-30)
    if alive.any():
        relative = reach[alive] / np.median(reach[alive])
        unlike = (relative > UNLIKE) | (relative < 1 / UNLIKE)
        unit[alive] = np.where(unlike, relative, 1.0)
    return unit


def units_of(x: Float) -> Float64:
    """Return the unit of each feature of ``x`` (n, d), estimated from some of its rows."""
    some = x[:: max(1, len(x) // ROBUST_ROWS)]
    origin = np.median(some, axis=0)
    return units(np.abs(some - origin), origin)
