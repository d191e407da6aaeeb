r"""Lipschitz constants and their relatives: how much outputs change with inputs, and how little.

=====================  ==========================================================================
constraint             the number
=====================  ==========================================================================
``"lipschitz"``        least L with :math:`|\Delta f| \le L |\Delta x|`
``"lower"``            greatest l with :math:`|\Delta f| \ge l |\Delta x|`
``"one_sided"``        least c with :math:`\Delta x^T \Delta f \le c |\Delta x|^2`
``"monotone"``         greatest m with :math:`\Delta x^T \Delta f \ge m |\Delta x|^2`
=====================  ==========================================================================

A contraction is a Lipschitz constant below one, in the units of a metric.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from fastbcd.inspection.certificates.constraints import Bound, Increments
from fastbcd.inspection.certificates.stages import Stages
from fastbcd.inspection.certificates.verified import norm_bound
from fastbcd.linalg.eigen import all_eigenpairs
from fastbcd.utils.types import Float64

CONSTRAINTS = ("lipschitz", "lower", "one_sided", "monotone")
"""What can be bounded."""

N_TOP = 6
"""Eigenvalues that the smoothed objective counts, a number of the machine: where several are equal,
the largest one alone has no gradient. Each costs a product of a matrix and a vector."""

SHARPNESS = (1e-2, 1e-3, 1e-4)
"""Width of the smoothing relative to rho, from round to round, numbers of the machine: log(N_TOP)
times the last one bounds what it costs."""


@dataclass(frozen=True)
class Found:
    """A bound, its multipliers and how it was found."""

    rho: float
    multipliers: Float64
    n_evaluations: int


def bound_of(increments: Increments, constraint: str) -> Bound:
    """Return rho as a function of the multipliers, for the quadratic form of a constraint."""

    def form(out: Float64) -> Float64:
        if constraint in ("lipschitz", "lower"):
            return out.T @ out
        d = increments.n_inputs
        found = np.zeros((out.shape[1],) * 2)
        found[:d] += 0.5 * out
        found[:, :d] += 0.5 * out.T
        return found

    sign = 1.0 if constraint in ("lipschitz", "one_sided") else -1.0
    return Bound(increments, sign * form(increments.outputs), form(increments.output_sizes))


def as_constant(rho: float, constraint: str) -> float:
    """Return the number that rho stands for, rounded to the safe side."""
    if constraint == "lipschitz":
        return float(np.nextafter(np.sqrt(max(rho, 0.0)), np.inf))
    if constraint == "lower":
        return float(max(np.nextafter(np.sqrt(max(-rho, 0.0)), -np.inf), 0.0))
    return rho if constraint == "one_sided" else -rho


def norm_product(stages: Stages, greatest: list[Float64]) -> float:
    """Return the product of the norms of all matrices: the plainest Lipschitz constant.

    Parameters
    ----------
    stages : sequence of Stage
        The network.
    greatest : list of arrays
        The largest absolute slope of each unit.
    """
    found, skipped = 1.0, 0
    for stage, slope in zip(stages, greatest, strict=True):
        if skipped:
            skipped -= 1
            continue
        if stage.whole is not None:
            skipped, factor = stage.whole[0] - 1, stage.whole[1]
            found *= factor
            continue
        found *= norm_bound(slope[:, None] * stage.matrix) * (1 + 1e-13)
    return found


def closed_form(stages: Stages, greatest: list[Float64]) -> tuple[float, list[float]]:
    r"""Return the Lipschitz constant of ECLipsE-Fast, and the multiplier of each stage it uses.

    It starts from :math:`X = I`. A stage with slopes in [0, b] has :math:`S = b W X^{-1} W' b`, the
    multiplier :math:`\lambda = 1 / \sigma_{\max}(S)` and hands on
    :math:`X \leftarrow 2 \lambda I - \lambda^2 S`. The constant is the root of
    :math:`\sigma_{\max}(W X^{-1} W')` for the last matrix, computed in float64, without proof.

    References
    ----------
    Y. Xu, S. Sivaranjani, "ECLipsE: efficient compositional Lipschitz constant estimation for deep
    neural networks", NeurIPS 2024.
    """
    root = np.eye(stages[0].matrix.shape[1])  # X^-1 = root root'
    multipliers = []
    for stage, slope in zip(stages[:-1], greatest[:-1], strict=True):
        image = (slope[:, None] * stage.matrix) @ root
        square = image @ image.T
        values, vectors = all_eigenpairs(square)
        top = max(float(values[-1]), 1e-300)
        rest = np.clip(values / top, 0, 1)
        # X = lambda (2 - S / top), with eigenvalues from lambda to 2 lambda.
        root = vectors * np.sqrt(top / (2 - rest))
        multipliers.append(1 / top)
    last = (greatest[-1][:, None] * stages[-1].matrix) @ root
    return float(np.linalg.norm(last, 2)), multipliers


def first_multipliers(bound: Bound, stages: Stages, greatest: list[Float64]) -> Float64 | None:
    """Return multipliers that bound something: those of the closed form, at the best scale."""
    own = bound.increments
    constant, each = closed_form(stages, greatest)
    per_unit = np.array([each[k] for k in own.layer]) if own.n_units else np.zeros(0)
    return _at_best(bound, per_unit, constant**2 * 2.0 ** np.arange(-3, 12, 0.5))


def repaired(bound: Bound, multipliers: Float64, start: Float64) -> Float64:
    """Return multipliers near those that a solver of semidefinite programs found, which do bound.

    A solver stops at a residual: its multipliers may be negative or violate the inequality, and
    then its rho is too small. Negative ones become zero, as little of ``start`` is added as makes
    them bound something, and the exact Schur form of ``bound`` tells what they prove.

    Parameters
    ----------
    bound : Bound
        rho as a function of the multipliers.
    multipliers : (n,) array
        What the solver returned.
    start : (n,) array
        Multipliers that bound something, such as those of :func:`first_multipliers`.
    """
    clipped = np.maximum(multipliers, 0)
    best: tuple[float, Float64] | None = None
    for share in (0.0, *2.0 ** np.arange(-20, 1)):
        mixed = (1 - share) * clipped + share * start  # the set of all that bound is convex
        found = bound.evaluate(mixed)
        if found is not None and (best is None or found.values[-1] < best[0]):
            best = float(found.values[-1]), mixed
    assert best is not None  # the last one is ``start``
    return best[1]


def _at_best(bound: Bound, multipliers: Float64, scales: Float64) -> Float64 | None:
    """Return the multipliers at the scale with the smallest rho."""
    best: tuple[float, Float64] | None = None
    for scale in scales:
        found = bound.evaluate(scale * multipliers)
        if found is not None and (best is None or found.values[-1] < best[0]):
            best = float(found.values[-1]), scale * multipliers
    return None if best is None else best[1]


def minimise(
    bound: Bound,
    start: Float64,
    group: np.ndarray[tuple[int], np.dtype[np.intp]],
    seconds: float,
    tolerance: float = 1e-7,
) -> Found:
    """Minimise rho over one factor of the multipliers ``start`` for each group.

    Parameters
    ----------
    bound : Bound
        rho as a function of the multipliers.
    start : (n,) array
        Multipliers that bound something.
    group : (n,) integer array
        Groups 0, 1, ... of units that share a factor.
    seconds : float
        When to stop.
    tolerance : float
        Relative decrease at which a round ends.
    """
    n_groups = int(group.max()) + 1 if len(group) else 0
    least, best = np.inf, start
    count = 0
    until = time.perf_counter() + seconds
    first = bound.evaluate(start)
    assert first is not None
    unit = max(abs(float(first.values[-1])), 1e-300)

    def objective(width: float) -> Callable[[Float64], tuple[float, Float64]]:
        def of(log: Float64) -> tuple[float, Float64]:
            nonlocal count, least, best
            count += 1
            multipliers = start * np.exp(np.clip(log, -60, 60))[group]
            found = bound.evaluate(multipliers, N_TOP)
            if found is None:
                return 1e6, np.zeros(n_groups)
            rho = float(found.values[-1])
            if rho < least:
                least, best = rho, multipliers
            if time.perf_counter() > until:
                raise _OutOfTimeError
            scaled = (found.values - rho) / (width * unit)
            share = np.exp(scaled)
            value = rho / unit + width * float(np.log(share.sum()))
            slope = (share / share.sum()) @ found.gradients * multipliers / unit
            return value, np.bincount(group, slope, n_groups).astype(np.float64)

        return of

    if n_groups:
        log = np.zeros(n_groups)
        try:
            for width in SHARPNESS:
                solution = minimize(
                    objective(width), log, jac=True, method="L-BFGS-B",
                    options={"maxiter": 2000, "maxfun": 4000, "ftol": tolerance, "maxcor": 30},
                )  # fmt: skip
                log = solution.x
        except _OutOfTimeError:
            pass
    else:
        least = float(first.values[-1])
    return Found(least, best, count)


class _OutOfTimeError(Exception):
    """The time that was given is over."""
