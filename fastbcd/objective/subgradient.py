"""The subgradient of the objective of NN-BCD; see :mod:`fastbcd.objective.terms`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastbcd.objective.terms import Blocks, Problem, layer_input, residual
from fastbcd.utils.types import Float


def subgradient(problem: Problem, blocks: list[Blocks]) -> Iterator[tuple[str, int, Float]]:
    """Yield the subgradient of least norm of F, block by block, as (name, layer, array).

    Everywhere but at the kinks of the activation this is the gradient. At a kink that is
    convex in u the interval of slopes is searched, at a concave one its two ends.

    Cost: three products per layer. The compressed copies are not included: they minimise
    over a set, not a space.
    """
    p = problem.penalties
    weight = problem.sample_weight[:, None]
    last = len(blocks) - 1
    misses = [residual(problem, blocks, i) for i in range(len(blocks))]
    for i, block in enumerate(blocks):
        sigma = problem.activations[i]
        gap = block.act - sigma.value(block.pre)
        by_act: Float = p.gamma * gap
        if i == last:
            left, right = problem.loss.slopes(block.act, problem.y)
            by_act = least_slope(by_act + left, by_act + right)
        else:
            by_act = by_act - p.rho * problem.views[i + 1].pull_back(
                misses[i + 1], blocks[i + 1].weight
            )
        yield "activation", i, weight * by_act
        left, right = sigma.pull_back(p.gamma * gap, block.pre)
        smooth = p.rho * misses[i]
        yield "pre-activation", i, weight * least_slope(smooth - left, smooth - right)
        v = layer_input(problem, blocks, i)
        slope = -p.rho * problem.views[i].cross(v, misses[i], problem.sample_weight)
        by_weight, by_intercept = slope[:-1], slope[-1]
        if block.target is not None:
            by_weight = by_weight + p.tau_of(i) * (block.weight - block.target)
        yield "weight", i, by_weight
        yield "intercept", i, by_intercept


def least_slope(left: Float, right: Float) -> Float:
    """Return the subgradient nearest to zero of a function with these one-sided slopes.

    Where ``left <= right`` the function is convex there and every slope between is one;
    where ``left > right`` only the two themselves are (limiting subgradients).
    """
    between = np.clip(0, np.minimum(left, right), np.maximum(left, right))
    nearest_end = np.where(np.abs(left) <= np.abs(right), left, right)
    return np.where(left <= right, between, nearest_end)


def subgradient_norm(problem: Problem, blocks: list[Blocks]) -> float:
    """Return the norm of the least subgradient over all blocks."""
    squares = [
        np.sum(np.square(array), dtype=np.float64) for _, _, array in subgradient(problem, blocks)
    ]
    return float(np.sqrt(sum(squares)))
