"""Lower bounds: what no certificate of this kind can go below, and what is really reached."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

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


def gradients_at(stages: Stages, x: Float64, output: NDArray[np.intp]) -> Float64:
    """Return the gradient of one output at each row of ``x`` (n, d).

    It costs two products of a row and a matrix for each stage, not the whole Jacobian.
    """
    slopes = []
    for stage in stages:
        u = x @ stage.matrix.T + stage.bias
        each = [derivative(name, u[:, a:b]) for name, a, b in stage.activations]
        slopes.append(np.concatenate(each, axis=1))
        x = stage.value(u)
    rows = np.zeros_like(x)
    place = np.arange(len(x))
    rows[place, output] = 1
    for stage, slope in zip(reversed(stages), reversed(slopes), strict=True):
        rows = (rows * slope) @ stage.matrix
    return rows


def worst_inputs(
    stages: Stages, region: Region, rng: np.random.Generator, n_starts: int = 512
) -> tuple[Float64, Float64]:
    """Search inputs of the region at which each output is largest in magnitude.

    Projected steps along the gradient and its sign, each half as long as the one before if it does
    not help, from random points and the center: from the eight best for each output.

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
    first = np.argsort(-np.abs(values), axis=0)[:8].T  # (m, 8)
    output = np.repeat(np.arange(m), first.shape[1])
    x, now = starts[first.ravel()], values[first.ravel(), output]
    step = np.full(len(x), 2 * region.radius)
    place = np.arange(len(x))
    for _ in range(30):
        gradient = np.sign(now)[:, None] * gradients_at(stages, x, output)
        length = np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-300)
        helped = np.zeros(len(x), bool)
        begun = x
        for move in (gradient / length, np.sign(gradient)):
            ahead = region.nearest(begun + step[:, None] * move)
            tried = forward(stages, ahead)[place, output]
            better = np.abs(tried) > np.abs(now)
            x, now = np.where(better[:, None], ahead, x), np.where(better, tried, now)
            helped |= better
        step = np.where(helped, step, 0.5 * step)
    best = np.argmax(np.abs(now).reshape(m, -1), axis=1) + np.arange(m) * first.shape[1]
    return x[best], now[best]
