r"""Pruning in the data's metric: which weights stay, and the best values for them.

    minimise  sum_i h_i (w_i - t_i)' G (w_i - t_i)   over W with at most k non-zeros

The support is found by the alternating direction method of multipliers on the split W = Z,
with Z sparse, in variables scaled so that G has a unit diagonal:

    B = (G + rho I)^{-1} (G T - Y + rho Z),   Z = keep_k(B + Y / rho),   Y += rho (B - Z)

One eigendecomposition of G serves every rho, which grows until the support stands still.
The sum of 1/rho is finite, so B - Z and the steps of Z go to zero (Meng et al., ALPS,
arXiv 2406.07831). The weights on the support then solve their least-squares problem exactly,
each output by itself. The plain magnitude support is refitted too, and the better one is kept.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastbcd.linalg import products as la
from fastbcd.linalg.spd import solve_once
from fastbcd.parallel.ranges import in_threads
from fastbcd.statistics.metric import Metric
from fastbcd.utils.small import is_small
from fastbcd.utils.types import Float, Float64
from fastbcd_kernels import masked_refit as kernel

Mask = NDArray[np.bool_]
Keep = Callable[[Float], Float]
"""Sets all entries of a matrix to zero but those that a constraint lets stay."""

RHO_START = 0.03
RHO_GROWTH = 1.1
MAX_ITERATIONS = 60
SETTLED = 2e-4
"""The search ends when a smaller share of the support than this changes in an iteration."""


def find_support(
    target: Float64,
    metric: Metric,
    keep: Keep,
    *,
    start: Float | None = None,
    rho: float = RHO_START,
    growth: float = RHO_GROWTH,
    max_iterations: int = MAX_ITERATIONS,
) -> Mask:
    """Search for the support of the best constrained approximation of ``target``.

    Parameters
    ----------
    target : (d, m) float64 array
        Best weights without the constraint.
    metric : Metric
        What is measured.
    keep : callable
        Projection on the constraint, in the scaled variables.
    start : (d, m) array, optional
        Weights to start from instead of the projected target.
    rho, growth : float
        First penalty, and its factor per iteration.
    max_iterations : int
        Bound of the iterations. Each costs 4 d^2 m flops in float32.

    Returns
    -------
    (d, m) bool array
    """
    values, vectors = metric.scaled_eigen
    scale = (metric.input_scale[:, None] * metric.output_scale).astype(np.float32)
    rotated = np.ascontiguousarray(vectors.T)
    goal = scale * target.astype(np.float32)
    # G T in the eigenbasis: the constant part of every right-hand side.
    attraction = values[:, None] * la.product(rotated, goal)
    z = keep(goal if start is None else scale * start.astype(np.float32))
    y = np.zeros_like(z)
    mask: Mask = z != 0
    work = np.empty_like(z)
    penalty = np.float32(rho)
    for _ in range(max_iterations):
        np.multiply(z, penalty, out=work)
        work -= y
        b = la.product(rotated, work)
        b += attraction
        b /= (values + penalty)[:, None]
        work = la.product(vectors, b)
        np.divide(y, penalty, out=b)
        b += work
        z = keep(b)
        work -= z
        work *= penalty
        y += work
        before, mask = mask, z != 0
        penalty = np.float32(penalty * growth)
        if np.count_nonzero(mask != before) <= SETTLED * np.count_nonzero(mask):
            break
    return mask


def refit(mask: Mask, target: Float64, metric: Metric) -> Float64:
    """Return the weights on ``mask`` (d, m) that are nearest to ``target`` in the metric.

    Every output is one least-squares problem; the sensitivities cancel.
    """
    d, m = target.shape
    start, index = supports(mask)
    cross: Float64 = np.ascontiguousarray(la.product(metric.gram, target).T)
    values = np.empty(index.size)
    if is_small(d * m):
        _refit_by_lapack(metric.gram, cross, start, index, values)
    else:
        in_threads(
            lambda lo, hi: kernel.masked_refit(metric.gram, cross, start, index, lo, hi, values),
            start,
        )
    weight = np.zeros((m, d))
    weight[np.repeat(np.arange(m), np.diff(start)), index] = values
    return np.ascontiguousarray(weight.T)


def _refit_by_lapack(
    gram: Float64,
    cross: Float64,
    start: NDArray[np.int64],
    index: NDArray[np.int64],
    out: Float64,
) -> None:
    """Do what :func:`fastbcd_kernels.masked_refit.masked_refit` does, one system after another."""
    for i, (lo, hi) in enumerate(zip(start[:-1].tolist(), start[1:].tolist(), strict=True)):
        if hi > lo:
            own = index[lo:hi]
            solution = solve_once(gram.take(own, 0).take(own, 1), cross[i, own])
            if solution is None:  # the kernel knows which unknowns to set to zero
                kernel.masked_refit(gram, cross, start, index, i, i + 1, out)
            else:
                out[lo:hi] = solution


def supports(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the supports of the columns of ``mask`` as lists: where each starts, and the rows."""
    columns, rows = np.nonzero(mask.T)
    counts = np.bincount(columns, minlength=mask.shape[1])
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return start, rows.astype(np.int64)


def prune(target: Float64, metric: Metric, keep: Keep, start: Float | None = None) -> Float64:
    """Return the best weights found that satisfy the constraint of ``keep``.

    Parameters
    ----------
    target, metric, keep, start
        As in :func:`find_support`.

    Returns
    -------
    (d, m) float64 array
        Never farther from ``target`` than the refitted magnitude support.
    """
    masks = [
        find_support(target, metric, keep, start=start),
        keep(np.ascontiguousarray(target)) != 0,
    ]
    candidates = [refit(mask, target, metric) for mask in masks]
    errors = [metric.error(weight - target) for weight in candidates]
    return candidates[int(np.argmin(errors))]
