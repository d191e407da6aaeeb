"""Bounds of all pre-activations over a region, by linear relaxation.

Each activation lies between two lines over the bounds of its argument. Lines are put through the
layers before, back to the inputs, whose extremes over a region are known in closed form. Bounds of
one layer make the lines of the next.

References
----------
H. Zhang, T.-W. Weng, P.-Y. Chen, C.-J. Hsieh, L. Daniel, "Efficient neural network robustness
certification with general activation functions", NeurIPS 2018.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastbcd.inspection.certificates.regions import Region
from fastbcd.inspection.certificates.slopes import KINKS, slopes, value
from fastbcd.inspection.certificates.stages import Stage, Stages
from fastbcd.utils.types import Float64

ROUNDING = 1e-12
"""By how much each stage widens bounds, relative to the sum of the magnitudes of all terms: more
than the rounding of dot products of 4000 entries, a number of the machine."""


class Lines(NamedTuple):
    """Lines below and above each activation: slope and intercept."""

    below: Float64
    below_at: Float64
    above: Float64
    above_at: Float64


class Bounds(NamedTuple):
    """Bounds of the pre-activations of a stage."""

    low: Float64
    high: Float64


def preactivation_bounds(stages: Stages, region: Region) -> list[Bounds]:
    """Return bounds of the pre-activations of each stage over the region.

    Those of the last stage bound the outputs. It costs one product of matrices for each pair of
    stages.
    """
    found: list[Bounds] = []
    lines: list[Lines] = []
    for number, stage in enumerate(stages):
        high = _maximum(stages[:number], lines, region, stage.matrix) + stage.bias
        low = stage.bias - _maximum(stages[:number], lines, region, -stage.matrix)
        slack = ROUNDING * (np.abs(low) + np.abs(high) + np.abs(stage.bias))
        bounds = Bounds(low - slack, high + slack)
        if found:  # the interval of each unit by itself is sometimes closer
            bounds = _closer(bounds, _interval(stages[number - 1], found[-1], stage))
        found.append(bounds)
        lines.append(lines_of(stage, bounds))
    return found


def _interval(before: Stage, bounds: Bounds, stage: Stage) -> Bounds:
    """Return bounds of ``stage`` from those of the values of the stage before."""
    each = [
        _value_bounds(name, bounds.low[a:b], bounds.high[a:b]) for name, a, b in before.activations
    ]
    least, most = (np.concatenate(parts) for parts in zip(*each, strict=True))
    middle, half = 0.5 * (least + most), 0.5 * (most - least)
    center = stage.matrix @ middle + stage.bias
    reach = np.abs(stage.matrix) @ half
    slack = ROUNDING * (np.abs(stage.matrix) @ np.abs(middle) + np.abs(stage.bias) + reach)
    return Bounds(center - reach - slack, center + reach + slack)


def _value_bounds(name: str, low: Float64, high: Float64) -> tuple[Float64, Float64]:
    """Return bounds of the values of an activation between bounds of its argument."""
    ends = value(name, low), value(name, high)
    least, most = np.minimum(*ends), np.maximum(*ends)
    if name in ("silu", "gelu"):  # they fall before they rise: their least value is above -0.28
        least = np.where(low < 0, np.minimum(least, -0.28), least)
    return least, most


def _closer(one: Bounds, other: Bounds) -> Bounds:
    return Bounds(np.maximum(one.low, other.low), np.minimum(one.high, other.high))


def _maximum(before: Stages, lines: list[Lines], region: Region, rows: Float64) -> Float64:
    """Return upper bounds of ``rows @ v``, v the values of the last of the stages ``before``."""
    constant = np.zeros(len(rows))
    size = np.zeros(len(rows))  # of all terms, however they cancel
    sizes = np.abs(rows)
    for stage, line in zip(reversed(before), reversed(lines), strict=True):
        up, down = np.maximum(rows, 0), np.minimum(rows, 0)
        constant = constant + up @ line.above_at + down @ line.below_at
        size += sizes @ np.maximum(np.abs(line.above_at), np.abs(line.below_at))
        rows = up * line.above + down * line.below
        sizes = sizes * np.maximum(np.abs(line.above), np.abs(line.below))
        constant = constant + rows @ stage.bias
        size += sizes @ np.abs(stage.bias)
        rows, sizes = rows @ stage.matrix, sizes @ np.abs(stage.matrix)
    size += region.reach(sizes) + sizes @ np.abs(region.middle)
    found: Float64 = rows @ region.middle + region.reach(rows) + constant
    found += ROUNDING * (len(before) + 1) * size
    return found


def lines_of(stage: Stage, bounds: Bounds) -> Lines:
    """Return lines below and above the activations of a stage between bounds of their arguments."""
    parts = [_lines_of(name, bounds.low[a:b], bounds.high[a:b]) for name, a, b in stage.activations]
    return Lines(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _lines_of(name: str, low: Float64, high: Float64) -> Lines:
    """Return lines below and above an activation between ``low`` and ``high``."""
    least, most = slopes(name, low, high)
    f_low, f_high = value(name, low), value(name, high)
    # f(u) - least u never falls and f(u) - most u never rises: their ends are their extremes.
    below, below_at = least, f_low - least * low
    above, above_at = least, f_high - least * high
    if name in ("relu", "leaky_relu"):
        width = np.maximum(high - low, 1e-300)
        bends = least < most
        chord = np.where(bends, (f_high - f_low) / width, least)
        above = np.where(bends, chord, above)
        above_at = np.where(bends, f_low - chord * low, above_at)
        steep = np.where(high > -low, most, KINKS[name][1][0])
        below = np.where(bends, steep, below)
        below_at = np.where(bends, 0.0, below_at)
    slack = ROUNDING * (np.abs(low) + np.abs(high) + np.abs(f_low) + np.abs(f_high))
    return Lines(below, below_at - slack, above, above_at + slack)
