"""How far the outputs of two networks can be apart.

Both networks read the same inputs: side by side, with their outputs subtracted, they are one
network. Its outputs are bounded over a region in three ways, and each output takes the smallest
bound: by linear relaxation, by linear relaxation of pairs of units, and by its Lipschitz constant
from the center of the region.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from fastbcd.inspection.certificates.certificate import DifferenceCertificate
from fastbcd.inspection.certificates.certify import certify_stages
from fastbcd.inspection.certificates.constraints import unit_slopes
from fastbcd.inspection.certificates.pairs import paired_bounds
from fastbcd.inspection.certificates.pattern import best_pattern, worst_inputs
from fastbcd.inspection.certificates.regions import Moments, Region
from fastbcd.inspection.certificates.relaxation import preactivation_bounds
from fastbcd.inspection.certificates.slopes import LINEAR
from fastbcd.inspection.certificates.stages import Stages, filled, forward, side_by_side
from fastbcd.utils.types import Float64

RELAXATION, PAIRS, LIPSCHITZ = "linear relaxation", "pairs of units", "Lipschitz constant"


def difference_of(
    f: Stages,
    g: Stages,
    region: Region,
    *,
    multipliers: bool = True,
    search: bool = True,
    seconds: float = 30.0,
) -> DifferenceCertificate:
    """Bound ``f(x) - g(x)`` for each output over a region.

    Parameters
    ----------
    f, g : sequences of Stage
        Networks of as many inputs and outputs.
    region : Region
        The inputs.
    multipliers : bool, default=True
        Whether to try the Lipschitz constants, too, which takes most of the time.
    search : bool, default=True
        Whether to search for the worst inputs.
    seconds : float
        When to stop the search for multipliers.
    """
    start = time.perf_counter()
    joined = side_by_side(f, g)
    bounds = preactivation_bounds(joined, region)
    low, high = bounds[-1].low.copy(), bounds[-1].high.copy()
    m = len(low)
    method = [RELAXATION] * m
    depth = max(len(f), len(g))
    paired = paired_bounds(filled(f, depth), filled(g, depth), region)
    for j in range(m):
        if max(-paired.low[j], paired.high[j]) < max(-low[j], high[j]):
            method[j] = PAIRS
    low, high = np.maximum(low, paired.low), np.minimum(high, paired.high)
    middle = forward(joined, region.middle[None])[0]
    slack = 1e-12 * _magnitude(joined, region.middle)
    rng = np.random.default_rng(0)
    for j in range(m) if multipliers else ():
        left = (seconds - (time.perf_counter() - start)) / (m - j)
        one = _output(joined, j)
        least = best_pattern(one, unit_slopes(one, bounds), rng, n_starts=1)
        if left <= 0 or abs(middle[j]) + least * region.radius >= max(-low[j], high[j]):
            continue  # no Lipschitz constant can be close enough
        constant = certify_stages(one, region, method="neuron", seconds=left, gaps=False)
        if not constant.verified:
            continue
        reach = constant.bound * region.radius * (1 + 1e-12) + slack[j]
        if max(abs(middle[j] - reach), abs(middle[j] + reach)) < max(-low[j], high[j]):
            method[j] = LIPSCHITZ
        low[j], high[j] = max(low[j], middle[j] - reach), min(high[j], middle[j] + reach)
    worst, value = np.tile(region.middle, (m, 1)), middle
    if search:
        worst, value = worst_inputs(joined, region, rng)
    return DifferenceCertificate(
        np.maximum(np.abs(low), np.abs(high)), np.abs(value), worst, low, high, tuple(method),
        region, time.perf_counter() - start,
    )  # fmt: skip


def mean_square_difference(
    f: Stages, g: Stages, moments: Moments, *, seconds: float = 30.0
) -> DifferenceCertificate:
    r"""Bound the root of the mean square of ``f(x) - g(x)`` for all distributions with the moments.

    With the mean :math:`\mu` and the variances :math:`\sigma^2` of the inputs, and the global
    Lipschitz constant L of the difference of an output, it is at most
    :math:`|f(\mu) - g(\mu)| + L \sqrt{\sum \sigma^2}`.
    """
    start = time.perf_counter()
    joined = side_by_side(f, g)
    mean = np.asarray(moments.mean, np.float64)
    spread = float(np.sqrt(np.sum(np.asarray(moments.variance, np.float64)))) * (1 + 1e-12)
    middle = np.abs(forward(joined, mean[None])[0])
    slack = 1e-12 * _magnitude(joined, mean)
    constants = np.array(
        [
            certify_stages(
                _output(joined, j), None, seconds=seconds / len(middle), gaps=False
            ).bound
            for j in range(len(middle))
        ]
    )
    bound = middle + constants * spread + slack
    return DifferenceCertificate(
        bound, middle, np.tile(mean, (len(middle), 1)), -bound, bound,
        (LIPSCHITZ,) * len(middle), moments, time.perf_counter() - start,
    )  # fmt: skip


def _output(stages: Stages, j: int) -> Stages:
    """Return the network of one output."""
    last = stages[-1]
    one = replace(
        last,
        matrix=last.matrix[j : j + 1],
        bias=last.bias[j : j + 1],
        activations=((LINEAR, 0, 1),),
    )
    return [*stages[:-1], one]


def _magnitude(stages: Stages, x: Float64) -> Float64:
    """Return the sum of the magnitudes of all terms of the outputs, which rounding scales with."""
    size, value = np.abs(x), x
    for stage in stages:
        u = stage.matrix @ value + stage.bias
        size = np.abs(stage.matrix) @ size + np.abs(stage.bias)
        value = stage.value(u)
        size = np.maximum(size, np.abs(value))
    return size
