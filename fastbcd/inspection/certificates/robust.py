"""How far an input may move before another class can win."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastbcd.inspection.certificates.certify import certify_stages
from fastbcd.inspection.certificates.regions import Ball, Box, Region
from fastbcd.inspection.certificates.relaxation import preactivation_bounds
from fastbcd.inspection.certificates.slopes import LINEAR
from fastbcd.inspection.certificates.stages import Stage, Stages, forward
from fastbcd.utils.types import Float64


def robust_radius_of(
    stages: Stages,
    x: Float64,
    norm: str = "2",
    largest: float = 1.0,
    tolerance: float = 1e-2,
    seconds: float = 1.0,
) -> float:
    r"""Return a radius within which the largest output of ``x`` is certified to stay the largest.

    For each other class the difference of the two outputs is one output of a network. It stays
    positive within a radius r if its lower bound by linear relaxation is positive, or if it exceeds
    its certified local Lipschitz constant times r. The radius is found by bisection.

    Parameters
    ----------
    stages : sequence of Stage
        A network of at least two outputs.
    x : (d,) array
        The input.
    norm : {"2", "inf"}
        Of the change of the input.
    largest : float
        No larger radius is tried.
    tolerance : float
        Relative accuracy of the radius, from below.
    seconds : float
        Bound of the search for multipliers at each radius.
    """

    def holds(r: float) -> bool:
        return is_robust_at(stages, x, r, norm, seconds)

    if not _wins(stages, x):
        return 0.0
    low, high = 0.0, largest
    if holds(largest):
        return largest
    # From far below, where everything holds, up by doubling; then by bisection.
    step = largest
    while step > 1e-6 * largest:
        step *= 0.5
        if holds(step):
            low = step
            break
        high = step
    while low and high - low > tolerance * low:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def is_robust_at(
    stages: Stages, x: Float64, r: float, norm: str = "2", seconds: float = 1.0
) -> bool:
    """Return whether the largest output of ``x`` is certified to stay the largest within ``r``.

    Parameters
    ----------
    stages, x, norm, seconds
        As in :func:`robust_radius_of`.
    r : float
        The radius.
    """
    if not _wins(stages, x):
        return False
    margins = _margins(stages, x)
    region = _around(x, r, norm)
    low = preactivation_bounds(margins, region)[-1].low
    if np.all(low > 0):
        return True
    if norm != "2":
        return False
    for j in np.flatnonzero(low <= 0):
        one = [*margins[:-1], _row(margins[-1], int(j))]
        constant = certify_stages(one, region, seconds=seconds, gaps=False)
        now = float(forward(one, x[None])[0, 0])
        if not constant.verified or constant.bound * r >= now * (1 - 1e-9):
            return False
    return True


def _wins(stages: Stages, x: Float64) -> bool:
    """Return whether one output is larger than all others."""
    return bool(np.all(forward(_margins(stages, x), x[None]) > 0))


def _around(x: Float64, r: float, norm: str) -> Region:
    return Ball(x, r) if norm == "2" else Box(x - r, x + r)


def _margins(stages: Stages, x: Float64) -> Sequence[Stage]:
    """Return the network of the largest output at ``x`` minus each other output."""
    label = int(np.argmax(forward(stages, x[None])[0]))
    last = stages[-1]
    others = [k for k in range(len(last.bias)) if k != label]
    matrix = last.matrix[label] - last.matrix[others]
    bias = last.bias[label] - last.bias[others]
    return [*stages[:-1], Stage(matrix, bias, ((LINEAR, 0, len(others)),))]


def _row(stage: Stage, j: int) -> Stage:
    return Stage(stage.matrix[j : j + 1], stage.bias[j : j + 1], ((LINEAR, 0, 1),))
