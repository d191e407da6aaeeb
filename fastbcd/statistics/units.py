"""Units of features whose ranges differ wildly."""

from __future__ import annotations

import numpy as np

from fastbcd.utils.types import Float, Float64

ROBUST_ROWS = 2048
"""Rows from which medians and ranges are taken, about."""

UNLIKE = 10.0
"""Features whose range differs from the typical one by more than this factor are brought to it."""


def units(inside: Float, origin: Float, before: Float | None = None) -> Float64:
    """Return the unit of each feature: one, unless ranges differ wildly.

    Parameters
    ----------
    inside : (n, d) array
        Distances of some rows from ``origin``.
    origin : (d,) array
        Medians.
    before : (d,) array, optional
        Units of features that do not vary; one by default.
    """
    d = len(origin)
    # How far a feature goes when it leaves its median: rare features, such as a pixel in the
    # corner, are not small ones, and a few outliers make no range.
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
    """Return the unit of each feature of ``x`` (n, d), measured on some of its rows."""
    some = x[:: max(1, len(x) // ROBUST_ROWS)]
    origin = np.median(some, axis=0)
    return units(np.abs(some - origin), origin)
