"""Which ramps encode the columns of a table; see :class:`.PiecewiseLinearEncoding`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fastbcd.network.layers.encoding import PiecewiseLinearEncoding
from fastbcd.solvers.batch.settings import BatchSettings
from fastbcd.utils.types import Float, Float64

RESOLUTION = 16 * float(np.finfo(np.float32).eps)
"""Smallest width of a ramp, relative to its ends: float32 cannot tell them apart below.
A number of the machine."""


@dataclass(frozen=True)
class Ramps:
    """An encoding of the columns, and who reads which ramp.

    Parameters
    ----------
    encoding : PiecewiseLinearEncoding
        All ramps. The first ones reach over whole columns, from the least entry to the greatest:
        there they equal the column, so that a network on columns can read them instead. All
        features lie in [0, 1], whatever the units of the columns.
    whole : (p,) integer array
        Columns that are not constant, those of the first p ramps.
    bent : (m,) integer array
        Ramps that networks on the encoding read.
    """

    encoding: PiecewiseLinearEncoding
    whole: NDArray[np.intp]
    bent: NDArray[np.intp]

    def rows(self, x: Float) -> Float:
        """Return what networks on the encoding read of rows ``x``."""
        return self.encoding.take(self.bent).rows(x)

    def of_columns(self, weight: Float64, intercept: Float64) -> tuple[Float64, Float64]:
        """Return weights (p, h) of the whole ramps that equal these (d, h) of the columns."""
        n = len(self.whole)
        starts, slopes = self.encoding.starts[:n], self.encoding.slopes[:n]
        own = weight[self.whole]
        return own / slopes[:, None], intercept + starts @ own


def encode(
    x: Float, sample_weight: Float64, settings: BatchSettings, constant: NDArray[np.bool_]
) -> Ramps | None:
    """Return an encoding of the columns of ``x`` (n, d), but for the ``constant`` ones.

    A column with a tail has a second ramp over its usual reach, which no outlier leaves. A column
    of enough distinct quantiles has one ramp from each quantile to the next.

    Returns
    -------
    Ramps or None
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
    whole: list[tuple[int, float, float]] = []
    more: list[tuple[int, float, float]] = []
    tails: set[int] = set()
    has_quantiles = False
    for c in np.flatnonzero(~constant).tolist():
        column = x[:, c].astype(np.float64)
        low, high = float(column.min()), float(column.max())
        mean = float(share @ column)
        reach = settings.reach * float(np.sqrt(share @ np.square(column - mean)))
        if mean - reach > low or mean + reach < high:
            tails.add(len(whole))
            more.append((c, max(low, mean - reach), min(high, mean + reach)))
        whole.append((c, low, high))
        edges = _distinct(_quantiles(column, share, levels))
        if len(edges) >= settings.fewest_edges:
            has_quantiles = True
            more += [(c, *pair) for pair in pairwise(edges)]
    if not has_quantiles or len(whole) + len(more) > settings.most_features:
        return None
    columns, starts, ends = (np.array(part) for part in zip(*whole, *more, strict=True))
    none = np.empty(0, np.intp)
    encoding = PiecewiseLinearEncoding(d, none, columns, starts, 1 / (ends - starts))
    bent = [k for k in range(len(columns)) if k not in tails]
    return Ramps(encoding, columns[: len(whole)], np.array(bent))


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
        if _are_distinct(found[-1], float(edge)):
            found.append(float(edge))
    return found


def _are_distinct(low: float, high: float) -> bool:
    """Return whether float32 tells ``high`` from ``low``, with room for a ramp."""
    return high - low > RESOLUTION * max(abs(low), abs(high))
