r"""Bounds of the difference of two networks that know which of their units are nearly equal.

Unit i of one network and unit j of the other have arguments u and v. If slopes of the activation
lie in :math:`[\alpha, \beta]` between both, the difference of the values is s (u - v) with s in
:math:`[\alpha, \beta]`, which lies between two lines over the bounds of u - v. Linear relaxation
puts rows of coefficients through both networks at once, from the outputs to the inputs. Where the
coefficients of a pair have opposite signs, the smaller one counts the difference of the pair, whose
lines are closer than those of the two values if the arguments differ by less than they vary.

Bounds of u - v come from the layers before in the same way. Any pairing gives bounds that hold; a
bad one gives nothing.

References
----------
B. Paulsen, J. Wang, C. Wang, "ReluDiff: differential verification of deep neural networks", ICSE
2020, with intervals in place of lines. B. Paulsen, J. Wang, J. Wang, C. Wang, "NeuroDiff: scalable
differential verification of neural networks using fine-grained approximation", ASE 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from fastbcd.inspection.certificates.regions import Region
from fastbcd.inspection.certificates.relaxation import (
    ROUNDING,
    Bounds,
    Lines,
    lines_of,
    preactivation_bounds,
)
from fastbcd.inspection.certificates.slopes import LINEAR, slopes
from fastbcd.inspection.certificates.stages import Stage, Stages
from fastbcd.utils.types import Float64

Index = NDArray[np.intp]

N_POINTS = 64
"""Inputs at which units are compared to pair them, a number of the machine: the comparison costs
less than one product of two matrices."""

MOST_PAIRED = 2000
"""Units of a stage up to which pairs are searched: the search takes the cube of it, some seconds. A
number of the machine."""


@dataclass(frozen=True)
class Pairs:
    """The pairs of one stage and the lines about the differences of their values.

    Parameters
    ----------
    first, second : (p,) integer arrays
        Units of both networks.
    lines : Lines
        Over the differences of their arguments.
    """

    first: Index
    second: Index
    lines: Lines


def paired_bounds(f: Stages, g: Stages, region: Region) -> Bounds:
    """Return bounds of ``f(x) - g(x)`` for each output over a region.

    Parameters
    ----------
    f, g : sequences of Stage
        Networks of as many stages, inputs and outputs.
    region : Region
        The inputs.
    """
    both = (f, g)
    bounds = [preactivation_bounds(stages, region) for stages in both]
    lines = [
        [lines_of(stage, each) for stage, each in zip(stages, found, strict=True)]
        for stages, found in zip(both, bounds, strict=True)
    ]
    pairs: list[Pairs] = []
    rng = np.random.default_rng(0)
    values = [np.vstack([region.middle[None], region.sample(N_POINTS - 1, rng)])] * 2
    last = len(f) - 1
    for number, (one, other) in enumerate(zip(f, g, strict=True)):
        arguments = [
            x @ stage.matrix.T + stage.bias for x, stage in zip(values, (one, other), strict=True)
        ]
        i, j = _paired(one, other, arguments) if number < last else (np.arange(len(one.bias)),) * 2
        apart = _difference(f, g, number, lines, pairs, region, i, j)
        mine, yours = bounds[0][number], bounds[1][number]
        low = np.maximum(apart.low, mine.low[i] - yours.high[j])
        high = np.minimum(apart.high, mine.high[i] - yours.low[j])
        if number == last:
            return Bounds(low, high)
        pairs.append(
            _closest(one, i, j, Bounds(low, high), (mine, yours), [each[number] for each in lines])
        )
        values = [stage.value(u) for stage, u in zip((one, other), arguments, strict=True)]
    raise AssertionError("a network has stages")


def _paired(one: Stage, other: Stage, arguments: Sequence[Float64]) -> tuple[Index, Index]:
    """Return pairs of units with the same activation.

    The sum of the squared distances of their arguments at some inputs is smallest. Too many units
    are paired by place, if both stages are alike.
    """
    alike = one.activations == other.activations
    if alike and len(one.bias) > MOST_PAIRED:
        place = np.arange(len(one.bias))
        return place, place
    u, v = arguments
    found: list[tuple[Index, Index]] = []
    for name, a, b in one.activations:
        for same, c, d in other.activations:
            if same != name or max(b - a, d - c) > MOST_PAIRED:
                continue
            left, right = u[:, a:b], v[:, c:d]
            apart = (
                np.sum(left * left, axis=0)[:, None]
                + np.sum(right * right, axis=0)
                - 2 * left.T @ right
            )
            i, j = linear_sum_assignment(apart)
            found.append((i + a, j + c))
    if not found:
        nothing = np.zeros(0, np.intp)
        return nothing, nothing
    return np.concatenate([i for i, _ in found]), np.concatenate([j for _, j in found])


def _closest(
    stage: Stage,
    i: Index,
    j: Index,
    apart: Bounds,
    bounds: tuple[Bounds, Bounds],
    lines: Sequence[Lines],
) -> Pairs:
    """Return the pairs for which lines about the difference are closer than those about each."""
    name = np.empty(len(stage.bias), object)
    for kind, a, b in stage.activations:
        name[a:b] = kind
    low = np.minimum(bounds[0].low[i], bounds[1].low[j])
    high = np.maximum(bounds[0].high[i], bounds[1].high[j])
    least, most = np.ones(len(i)), np.ones(len(i))
    for kind in set(name[i]) - {LINEAR}:
        of = name[i] == kind
        least[of], most[of] = slopes(kind, low[of], high[of])
    about = _lines_about(least, most, apart)
    gap = _gap(about, apart)
    alone = _gap(lines[0], bounds[0])[i] + _gap(lines[1], bounds[1])[j]
    use = gap < alone
    return Pairs(i[use], j[use], Lines(*(part[use] for part in about)))


def _lines_about(least: Float64, most: Float64, apart: Bounds) -> Lines:
    """Return lines below and above s d, for s in [least, most] and d within bounds.

    max(least d, most d) is convex and lies below its chord, and min(...) is concave.
    """
    low, high = apart
    width = np.maximum(high - low, 1e-300)
    wide = (low < 0) & (high > 0)
    top, bottom = np.maximum(most * high, least * high), np.minimum(most * high, least * high)
    top_low, bottom_low = np.maximum(most * low, least * low), np.minimum(most * low, least * low)
    right = low >= 0  # all differences are positive: one slope is above, the other below
    above = np.where(wide, (top - top_low) / width, np.where(right, most, least))
    below = np.where(wide, (bottom - bottom_low) / width, np.where(right, least, most))
    above_at = np.where(wide, top_low - above * low, 0.0)
    below_at = np.where(wide, bottom_low - below * low, 0.0)
    size = np.maximum(np.abs(low), np.abs(high)) * np.maximum(np.abs(least), np.abs(most))
    slack = ROUNDING * size
    return Lines(below, below_at - slack, above, above_at + slack)


def _gap(lines: Lines, bounds: Bounds) -> Float64:
    """Return the mean distance of the two lines between the bounds."""
    middle = 0.5 * (bounds.low + bounds.high)
    found: Float64 = (lines.above - lines.below) * middle + lines.above_at - lines.below_at
    return found


def _difference(
    f: Stages,
    g: Stages,
    number: int,
    lines: Sequence[Sequence[Lines]],
    pairs: Sequence[Pairs],
    region: Region,
    i: Index,
    j: Index,
) -> Bounds:
    """Return bounds of the arguments of units ``i`` of a stage minus those of units ``j``."""
    one, other = f[number].matrix[i], -g[number].matrix[j]
    bias = f[number].bias[i] - g[number].bias[j]
    high = _maximum(f[:number], g[:number], lines, pairs, region, one, other) + bias
    low = bias - _maximum(f[:number], g[:number], lines, pairs, region, -one, -other)
    slack = ROUNDING * (np.abs(low) + np.abs(high) + np.abs(f[number].bias[i]))
    slack += ROUNDING * np.abs(g[number].bias[j])
    return Bounds(low - slack, high + slack)


def _maximum(
    f: Stages,
    g: Stages,
    lines: Sequence[Sequence[Lines]],
    pairs: Sequence[Pairs],
    region: Region,
    one: Float64,
    other: Float64,
) -> Float64:
    """Return upper bounds of ``one @ v + other @ w`` for the values v and w of the last stages."""
    constant, size = np.zeros(len(one)), np.zeros(len(one))
    rows, sizes = [one.copy(), other.copy()], [np.abs(one), np.abs(other)]
    for number in range(len(f) - 1, -1, -1):
        pair = pairs[number]
        i, j = pair.first, pair.second
        b, c = rows[0][:, i], rows[1][:, j]
        shared = np.where(b * c < 0, np.sign(b) * np.minimum(np.abs(b), np.abs(c)), 0.0)
        most = np.minimum(sizes[0][:, i], sizes[1][:, j])
        rows[0][:, i] -= shared
        rows[1][:, j] += shared
        about, more, terms = _through(shared, most, pair.lines)
        constant, size = constant + more, size + terms
        for side, (stages, units, sign) in enumerate(((f, i, 1), (g, j, -1))):
            found, more, terms = _through(rows[side], sizes[side], lines[side][number])
            constant, size = constant + more, size + terms
            spread = sizes[side] * _steepest(lines[side][number])
            found[:, units] += sign * about
            spread[:, units] += most * _steepest(pair.lines)
            stage = stages[number]
            constant = constant + found @ stage.bias
            size = size + spread @ np.abs(stage.bias)
            rows[side], sizes[side] = found @ stage.matrix, spread @ np.abs(stage.matrix)
    whole, spread = rows[0] + rows[1], sizes[0] + sizes[1]
    size = size + region.reach(spread) + spread @ np.abs(region.middle)
    bound: Float64 = whole @ region.middle + region.reach(whole) + constant
    bound += ROUNDING * (len(f) + 1) * size
    return bound


def _through(rows: Float64, sizes: Float64, lines: Lines) -> tuple[Float64, Float64, Float64]:
    """Return rows for the arguments, the constants that come with them, and their magnitudes."""
    up, down = np.maximum(rows, 0), np.minimum(rows, 0)
    constant = up @ lines.above_at + down @ lines.below_at
    terms = sizes @ np.maximum(np.abs(lines.above_at), np.abs(lines.below_at))
    return up * lines.above + down * lines.below, constant, terms


def _steepest(lines: Lines) -> Float64:
    found: Float64 = np.maximum(np.abs(lines.above), np.abs(lines.below))
    return found
