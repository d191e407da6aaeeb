"""Which ramps encode the columns of a table; see :class:`.PiecewiseLinear`."""

from __future__ import annotations

import numpy as np

from fastbcd.network.layers.encoding import PiecewiseLinear
from fastbcd.solvers.batch.settings import BatchSettings
from fastbcd.utils.types import Float, Float64

RESOLUTION = 16 * float(np.finfo(np.float32).eps)
"""Smallest width of a ramp, relative to its ends: float32 cannot tell them apart below."""


def encode(x: Float, sample_weight: Float64, settings: BatchSettings) -> PiecewiseLinear | None:
    """Return an encoding of the columns of ``x`` (n, d): all columns, then their ramps.

    Each column that is not constant has a ramp over its whole reach, which no outlier leaves. A
    column of enough distinct quantiles has one ramp from each quantile to the next.

    Returns
    -------
    PiecewiseLinear or None
        None if no column has quantiles enough, or all of them would be too many.
    """
    d = x.shape[1]
    share = sample_weight / sample_weight.sum()
    effective = 1 / float(share @ share)
    bins = round(np.sqrt(effective) / settings.rows_per_bin)
    bins = int(np.clip(bins, settings.few_bins, settings.many_bins))
    if 2 * d > settings.most_features:
        return None
    levels = np.linspace(0, 1, bins + 1)
    columns, starts, ends = [], [], []
    any_quantiles = False
    for c in range(d):
        column = x[:, c].astype(np.float64)
        mean = share @ column
        spread = np.sqrt(share @ np.square(column - mean))
        low, high = column.min(), column.max()
        if high - low <= RESOLUTION * max(abs(low), abs(high)):
            continue
        lows = [max(low, mean - settings.reach * spread)]
        highs = [min(high, mean + settings.reach * spread)]
        edges = _distinct(_quantiles(column, share, levels))
        if len(edges) >= settings.fewest_edges:
            any_quantiles = True
            lows += edges[:-1]
            highs += edges[1:]
        columns += [c] * len(lows)
        starts += lows
        ends += highs
    if not any_quantiles or d + len(columns) > settings.most_features:
        return None
    first = np.array(starts)
    return PiecewiseLinear(d, np.arange(d), np.array(columns), first, 1 / (np.array(ends) - first))


def _quantiles(column: Float64, share: Float64, levels: Float64) -> Float64:
    """Return the smallest entries below or at which at least so large shares of the rows are."""
    order = np.argsort(column, kind="stable")
    reached = np.cumsum(share[order])
    place = np.searchsorted(reached, levels * reached[-1] * (1 - 1e-12))
    found: Float64 = column[order[np.minimum(place, len(order) - 1)]]
    return found


def _distinct(edges: Float64) -> list[float]:
    """Return ascending edges without those that float32 cannot tell from the one before."""
    found = [float(edges[0])]
    for edge in edges[1:]:
        if edge - found[-1] > RESOLUTION * max(abs(edge), abs(found[-1])):
            found.append(float(edge))
    return found
