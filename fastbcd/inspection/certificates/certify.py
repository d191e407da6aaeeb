"""A certificate for one network: the methods from the cheapest to the closest."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from fastbcd.inspection.certificates.certificate import Certificate
from fastbcd.inspection.certificates.constraints import Increments, unit_slopes
from fastbcd.inspection.certificates.lipschitz import (
    as_constant,
    bound_of,
    closed_form,
    first_multipliers,
    minimise,
    norm_product,
)
from fastbcd.inspection.certificates.pattern import best_pattern, greatest_slope
from fastbcd.inspection.certificates.regions import Region
from fastbcd.inspection.certificates.relaxation import Bounds, preactivation_bounds
from fastbcd.inspection.certificates.stages import Stages
from fastbcd.utils.types import Float64

METHODS = ("auto", "product", "eclipse-fast", "layer", "neuron")
"""From the cheapest to the closest; "auto" is "neuron" while it fits in memory."""

MOST_UNITS = 6000
"""Inputs and free units up to which the matrices of the multipliers are built: they take five times
the square of it, 1.4 GB. A number of the machine."""


def certify_stages(
    stages: Stages,
    region: Region | None = None,
    *,
    method: str = "auto",
    constraint: str = "lipschitz",
    norm: str = "2",
    seconds: float = 30.0,
    gaps: bool = True,
) -> Certificate:
    """Return a certificate for a chain of stages.

    Parameters
    ----------
    stages : sequence of Stage
        The network.
    region : Region, optional
        Where the bound shall hold.
    method, constraint, norm : str
        See :func:`fastbcd.certify`.
    seconds : float
        When to stop the search for better multipliers. The bound found until then is returned.
    gaps : bool, default=True
        Whether to search lower bounds, too.
    """
    start = time.perf_counter()
    bounds = None if region is None else preactivation_bounds(stages, region)
    each = unit_slopes(stages, bounds)
    greatest = [np.maximum(np.abs(least), np.abs(most)) for least, most in each]
    nothing = np.zeros(0)
    note, used = "", method
    n = stages[0].matrix.shape[1] + sum(int(np.sum(a < b)) for a, b in each)
    if norm == "inf":
        bound, used = _in_maximum_norm(stages, each), "interval Jacobian"
        return Certificate(
            bound, constraint, norm, used, region, np.nan, np.nan, True,
            time.perf_counter() - start, nothing, note,
        )  # fmt: skip
    if method != "product" and n > MOST_UNITS:
        note = (
            f"{n} inputs and units are too many for method {method!r} (at most {MOST_UNITS}): "
            "the product of norms was taken"
        )
        used = "product"
    if used == "product":
        if constraint != "lipschitz":
            raise ValueError(f"method='product' bounds Lipschitz constants, not {constraint!r}.")
        bound, verified, multipliers = norm_product(stages, greatest), True, nothing
    else:
        bound, verified, multipliers, used, more = _by_multipliers(
            stages, bounds, each, greatest, used, constraint, seconds
        )
        note = note or more
    pattern = reached = np.nan
    if gaps and constraint == "lipschitz":
        rng = np.random.default_rng(0)
        pattern = best_pattern(stages, each, rng)
        reached = greatest_slope(stages, region, rng)
    return Certificate(
        bound, constraint, norm, used, region, pattern, reached, verified,
        time.perf_counter() - start, multipliers, note,
    )  # fmt: skip


def _by_multipliers(
    stages: Stages,
    bounds: list[Bounds] | None,
    each: list[tuple[Float64, Float64]],
    greatest: list[Float64],
    method: str,
    constraint: str,
    seconds: float,
) -> tuple[float, bool, Float64, str, str]:
    """Return bound, whether it is verified, multipliers, the method that gave it, and a note."""
    whole = Increments.of(stages, bounds)
    lipschitz = constraint == "lipschitz"
    small = whole.reduced() if lipschitz else whole
    bound = bound_of(small, constraint)
    first = first_multipliers(bound, stages, greatest)
    product = norm_product(stages, greatest) if lipschitz else np.nan
    if first is None:
        if not lipschitz:
            raise ValueError(
                f"no multipliers were found that bound {constraint!r} of this network. Shrink the "
                "region."
            )
        return product, True, np.zeros(0), "product", "no multipliers were found"
    groups = {"layer": _numbered(small.layer), "neuron": np.arange(small.n_units)}
    steps = {"eclipse-fast": (), "layer": ("layer",)}.get(method, ("layer", "neuron"))
    multipliers = first
    start = time.perf_counter()
    for step in steps:
        left = seconds - (time.perf_counter() - start)
        multipliers = minimise(bound, multipliers, groups[step], max(left, 0.0)).multipliers
    evaluation = bound.evaluate(multipliers)
    assert evaluation is not None
    rho = float(evaluation.values[-1])
    proven = bound_of(whole, constraint).verified(multipliers, rho)
    found = as_constant(rho if proven is None else proven, constraint)
    used = "neuron" if method == "auto" else method
    if lipschitz:
        if product <= found:
            return product, True, np.zeros(0), "product", ""
        if method == "eclipse-fast":
            # Its own formula is for slopes from zero: with known slopes ours is closer.
            found = min(found, closed_form(stages, greatest)[0]) if proven is None else found
    return found, proven is not None, multipliers, used, ""


def _numbered(layer: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the groups of equal numbers as 0, 1, ..."""
    return np.unique(layer, return_inverse=True)[1]


def _in_maximum_norm(stages: Stages, each: list[tuple[Float64, Float64]]) -> float:
    """Return a Lipschitz constant in the maximum norm, from intervals of the Jacobian's entries."""
    d = stages[0].matrix.shape[1]
    middle, half = np.eye(d), np.zeros((d, d))
    depth = 0
    for stage, (least, most) in zip(stages, each, strict=True):
        depth += 1
        a = stage.matrix
        size = np.abs(a) @ (np.abs(middle) + half)
        middle, half = a @ middle, np.abs(a) @ half + 2e-16 * (a.shape[1] + 4) * size
        low, high = least[:, None], most[:, None]
        ends = [low * (middle - half), low * (middle + half), high * (middle - half)]
        ends.append(high * (middle + half))
        least_of, most_of = np.min(ends, axis=0), np.max(ends, axis=0)
        middle, half = 0.5 * (least_of + most_of), 0.5 * (most_of - least_of)
        half += 1e-15 * (np.abs(middle) + half)
    return float(np.max(np.sum(np.abs(middle) + half, axis=1))) * (1 + 1e-13 * depth)
