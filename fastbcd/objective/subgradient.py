"""Subgradient of the NN-BCD objective; see :mod:`fastbcd.objective.terms`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastbcd.objective.terms import Blocks, Problem, layer_input, residual
from fastbcd.utils.types import Float


def subgradient(problem: Problem, blocks: list[Blocks]) -> Iterator[tuple[str, int, Float]]:
    """Yield the minimum-norm subgradient of F, block by block, as (name, layer, array).

    Away from the kinks of the activations and the loss it is the gradient. At a kink where F is
    convex in the entry, the slope nearest to zero between the one-sided slopes is chosen. At a
    concave kink, the one-sided slope nearest to zero is chosen.

    The compressed copies are not included, because they are minimised over a set that is not a
    vector space. Cost: three products per layer.
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
        l2 = problem.l2_of(i)
        if l2 is not None:
            by_weight = by_weight + l2[:, None] * block.weight
        yield "weight", i, by_weight
        yield "intercept", i, by_intercept


def least_slope(left: Float, right: Float) -> Float:
    """Return the subgradient nearest to zero of a function with the given one-sided slopes.

    Where ``left <= right`` the function is locally convex, and every slope in between is a
    subgradient. Where ``left > right`` only the two slopes are (limiting) subgradients.
    """
    between = np.clip(0, np.minimum(left, right), np.maximum(left, right))
    nearest_end = np.where(np.abs(left) <= np.abs(right), left, right)
    return np.where(left <= right, between, nearest_end)


def subgradient_norm(problem: Problem, blocks: list[Blocks]) -> float:
    """Return the Euclidean norm of the minimum-norm subgradient over all blocks."""
    squares = [
        np.sum(np.square(array), dtype=np.float64) for _, _, array in subgradient(problem, blocks)
    ]
    return float(np.sqrt(sum(squares)))
