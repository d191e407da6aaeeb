"""Scalers of a Pipeline as parts of a network: regions in front of them and behind."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from fastbcd.inspection.certificates.regions import Ball, Box, as_region
from fastbcd.utils.types import Float64


def region_inside(model: Any, region: Any) -> Any:
    """Return a region of the columns of ``model`` in the columns of its last step.

    Only scalers change a region; True, which stands for the rows, stays.

    Raises
    ------
    ValueError
        If a step is no scaler, or scales the columns of a ball differently.
    """
    if region is True or not isinstance(model, Pipeline):
        return region
    for name, step in model.steps[:-1]:
        if step is None or step == "passthrough":
            continue
        n = step.n_features_in_
        factor, shift = scaling(name, step, n)
        found = as_region(region, n, "certify")
        assert found is not None
        if isinstance(found, Box):
            ends = factor * found.low + shift, factor * found.high + shift
            # One step of rounding for the product and one for the sum, outwards.
            slack = 4e-16 * (np.abs(factor) * np.abs(found.high).clip(np.abs(found.low)))
            slack += 4e-16 * np.abs(shift)
            region = np.minimum(*ends) - slack, np.maximum(*ends) + slack
        elif isinstance(found, Ball) and np.ptp(factor) == 0:
            region = factor * found.center + shift, found.r * float(factor[0]) * (1 + 1e-12)
        else:
            raise ValueError(
                f"certify: the step {name!r} of the Pipeline scales its columns differently, which "
                "makes no ball of a ball. Give a box (low, high)."
            )
    return region


def scaling(name: str, step: Any, n: int) -> tuple[Float64, Float64]:
    """Return factor and shift of a scaler of ``n`` columns.

    Raises
    ------
    ValueError
        If ``step`` is no such scaler; the message names it.
    """
    one, none = np.ones(n), np.zeros(n)
    if isinstance(step, StandardScaler):
        factor = one if step.scale_ is None else 1 / step.scale_
        return factor, none if not step.with_mean else -step.mean_ * factor
    if isinstance(step, MinMaxScaler) and not step.clip:
        return np.asarray(step.scale_), np.asarray(step.min_)
    if isinstance(step, MaxAbsScaler):
        return 1 / step.scale_, none
    if isinstance(step, RobustScaler):
        factor = one if step.scale_ is None else 1 / step.scale_
        return factor, none if step.center_ is None else -step.center_ * factor
    raise ValueError(
        f"The step {name!r} of the Pipeline, {type(step).__name__}, is no scaler that can be part "
        "of a certificate. Certify the last step, with a region in the columns that it takes."
    )
