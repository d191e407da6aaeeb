"""Units for outputs whose standard deviations differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastbcd.formats.operations import scale_outputs
from fastbcd.network.network import Network
from fastbcd.utils.types import Float, Float64

ALIKE = 2.0
"""Maximum factor between the standard deviations of outputs that share one unit.

Units are powers of two, so a smaller factor would have no effect."""


def output_units(outputs: Float) -> Float64 | None:
    """Return a unit for each column of outputs (n, k), or None if one unit fits all.

    Each unit is the standard deviation relative to the largest one, rounded to a power of two, so
    that dividing and multiplying by it is exact. A constant output has the largest unit.
    """
    spread = np.std(outputs, axis=0, dtype=np.float64)
    varying = spread > 0
    if not varying.any():
        return None
    spread[~varying] = spread.max()
    if spread.max() <= ALIKE * spread.min():
        return None
    units: Float64 = np.exp2(np.round(np.log2(spread / spread.max())))
    return units


def with_outputs_times(network: Network, factor: Float64) -> Network:
    """Return the network whose outputs are multiplied by ``factor`` (k,), column by column."""
    last = network.layers[-1]
    dtype = last.intercept.dtype
    weight = scale_outputs(last.weight, factor.astype(last.weight.dtype))
    intercept = (last.intercept * factor).astype(dtype)
    return Network([*network.layers[:-1], replace(last, weight=weight, intercept=intercept)])
