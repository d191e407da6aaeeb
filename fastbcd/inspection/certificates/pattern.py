"""Lower bounds: what no certificate of this kind can go below, and what is really reached."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastbcd.inspection.certificates.regions import Region
from fastbcd.inspection.certificates.slopes import derivative
from fastbcd.inspection.certificates.stages import Stages, forward, jacobian
from fastbcd.linalg.factorisations import thin_svd
from fastbcd.utils.types import Float64

Slopes = Sequence[tuple[Float64, Float64]]
"""The least and the greatest slope of the units of each stage."""


def best_pattern(
    stages: Stages, each: Slopes, rng: np.random.Generator, n_starts: int = 8
) -> float:
    r"""Return the largest norm found of a Jacobian with any slopes of its units.

    No certificate by incremental constraints is below it, as each choice of slopes satisfies all
    constraints. It need not be the Jacobian at any input.

    For singular vectors u and w, :math:`u' W_L D_{L-1} \cdots D_1 W_1 w` is linear in the slopes
    of one stage, so that its best slopes are found at once. Stages and singular vectors take
    turns until nothing changes.
    """
    best = 0.0
    for start in range(n_starts):
        if start == 0:
            chosen = [most.copy() for _, most in each]
        else:
            chosen = [np.where(rng.random(len(a)) < 0.5, a, b) for a, b in each]
        value = -1.0
        for _ in range(100):
            matrix = jacobian(stages, chosen)
            left, sizes, right = thin_svd(matrix)
            if sizes[0] <= value * (1 + 1e-9):
                break
            value = float(sizes[0])
            up, down = left[:, 0], right[0]
            backward = [up]
            for stage, slope in zip(reversed(stages), reversed(chosen), strict=True):
                backward.append((backward[-1] * slope) @ stage.matrix)
            backward = backward[::-1][1:]  # of the values of each stage
            v = down
            for number, (stage, (least, most)) in enumerate(zip(stages, each, strict=True)):
                u = stage.matrix @ v
                gain = backward[number] * u
                chosen[number] = np.where(gain > 0, most, least)
                v = chosen[number] * u
        best = max(best, value)
    return best


def greatest_slope(
    stages: Stages, region: Region | None, rng: np.random.Generator, n_points: int = 64
) -> float:
    """Return the largest norm found of the Jacobian at inputs of the region.

    It is a lower bound of the Lipschitz constant there: outputs do change as fast.
    """
    d = stages[0].matrix.shape[1]
    points = rng.standard_normal((n_points, d)) if region is None else region.sample(n_points, rng)
    return max(float(np.linalg.norm(jacobian_at(stages, x), 2)) for x in points)


def jacobian_at(stages: Stages, x: Float64) -> Float64:
    """Return the Jacobian at ``x`` (d,)."""
    slopes = []
    for stage in stages:
        u = stage.matrix @ x + stage.bias
        slopes.append(np.concatenate([derivative(n, u[a:b]) for n, a, b in stage.activations]))
        x = stage.value(u)
    return jacobian(stages, slopes)


def gradient_at(stages: Stages, x: Float64, output: int) -> Float64:
    """Return the gradient of one output at ``x`` (d,): one product of a vector per stage."""
    slopes = []
    for stage in stages:
        u = stage.matrix @ x + stage.bias
        slopes.append(np.concatenate([derivative(n, u[a:b]) for n, a, b in stage.activations]))
        x = stage.value(u)
    row: Float64 = stages[-1].matrix[output] * slopes[-1][output]
    for stage, slope in zip(reversed(stages[:-1]), reversed(slopes[:-1]), strict=True):
        row = (row * slope) @ stage.matrix
    return row


def worst_inputs(
    stages: Stages, region: Region, rng: np.random.Generator, n_starts: int = 512
) -> tuple[Float64, Float64]:
    """Search inputs of the region at which each output is largest in magnitude.

    Projected steps along the sign of the gradient, each half as long as the one before if it does
    not help, from random points and the center.

    Returns
    -------
    x : (m, d) array
        An input for each output.
    value : (m,) array
        The output there, with its sign.
    """
    m = len(stages[-1].bias)
    starts = np.vstack([region.middle[None], region.sample(n_starts, rng)])
    values = forward(stages, starts)
    found_x, found = np.empty((m, starts.shape[1])), np.empty(m)
    for output in range(m):
        order = np.argsort(-np.abs(values[:, output]))[:8]
        best_x, best = starts[order[0]], values[order[0], output]
        for place in order:
            x, now = starts[place], values[place, output]
            step = 2 * region.radius
            for _ in range(30):
                gradient = np.sign(now) * gradient_at(stages, x, output)
                length = float(np.linalg.norm(gradient))
                if length == 0:
                    break
                ahead = [
                    region.nearest((x + step * move)[None])[0]
                    for move in (gradient / length, np.sign(gradient))
                ]
                tried = forward(stages, np.array(ahead))[:, output]
                which = int(np.argmax(np.abs(tried)))
                if np.abs(tried[which]) > np.abs(now):
                    x, now = ahead[which], tried[which]
                else:
                    step *= 0.5
            if np.abs(now) > np.abs(best):
                best_x, best = x, now
        found_x[output], found[output] = best_x, best
    return found_x, found
