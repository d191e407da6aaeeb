"""The V-step of a convolution: conjugate gradients on each image separately."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastbcd.linalg import products as la
from fastbcd.linalg.factorisations import general_inverse
from fastbcd.utils.types import Float

MOST_STEPS = 40
"""Maximum number of conjugate gradient steps."""

ACCURACY = 0.05
"""Stopping tolerance: norm of the subgradient relative to gamma times the block's step length."""


class Operator(NamedTuple):
    """A convolution without bias.

    Parameters
    ----------
    gather, scatter : callable
        The map from images (n, d) to patches (n * p, k), and its adjoint.
    weight : (k, m) array
        Filters.
    channels : int
        Number of channels c of a pixel.
    stride : (int, int)
        Distance between neighbouring patches in pixels.
    """

    gather: Callable[[Float], Float]
    scatter: Callable[[Float], Float]
    weight: Float
    channels: int
    stride: tuple[int, int]


def least_squares(operator: Operator, residual: Float, start: Float, ratio: float) -> Float:
    r"""Minimise ``ratio ||E||^2 + ||A(E) W - residual||^2`` over each image E separately.

    The preconditioner is the average over pixels of the block that couples the channels of a pixel.
    Each step minimises over a larger affine space that contains the start. Therefore the objective
    decreases by at least ``ratio`` times the squared distance from the start, however early the
    iteration stops.

    Parameters
    ----------
    operator : Operator
        A and W.
    residual : (n * p, m) array
        Target for A(E) W.
    start : (n, d) array
        Initial E.
    ratio : float
        Weight of the first term, gamma / rho.

    Returns
    -------
    (n, d) array
        The approximate minimiser E.
    """
    gather, scatter, weight, c, _ = operator
    m, n = weight.shape[1], len(start)
    square = la.product(weight, weight, transposed=True) if len(weight) <= 2 * m else None
    scale = _preconditioner(operator, ratio)

    def system(e: Float) -> Float:
        rows = gather(e)
        if square is not None:
            image = la.product(rows, square)
        else:
            image = la.product(la.product(rows, weight), weight, transposed=True)
        result = scatter(image)
        result += start.dtype.type(ratio) * e
        return result

    x = start.copy()
    right = scatter(la.product(residual, weight, transposed=True))
    r = right - system(x)
    z = la.product(r.reshape(-1, c), scale).reshape(n, -1)
    direction, slope = z.copy(), _dots(r, z)
    tiny, eps = np.finfo(start.dtype).tiny, np.finfo(start.dtype).eps
    floor = eps**2 * _dots(right, right)
    for _ in range(MOST_STEPS):
        moved = x - start
        wanted = (ACCURACY * ratio) ** 2 * _dots(moved, moved)
        if np.all(_dots(r, r) <= np.maximum(wanted, floor)):
            break
        image = system(direction)
        length = slope / np.maximum(_dots(direction, image), tiny)
        x += length * direction
        r -= length * image
        z = la.product(r.reshape(-1, c), scale).reshape(n, -1)
        slope, before = _dots(r, z), slope
        direction *= slope / np.maximum(before, tiny)
        direction += z
    return x


def _preconditioner(operator: Operator, ratio: float) -> Float:
    """Return the inverse of the average block (c, c) of a pixel."""
    weight, c = operator.weight, operator.channels
    block = np.zeros((c, c))
    # A pixel is covered by every stride-th position of the kernel in each direction.
    for part in weight.astype(np.float64).reshape(-1, c, weight.shape[1]):
        block += part @ part.T / math.prod(operator.stride)
    block[np.diag_indices(c)] += ratio
    return general_inverse(block).astype(weight.dtype)


def _dots(a: Float, b: Float) -> Float:
    """Return the inner products of corresponding rows, (n, 1)."""
    result: Float = np.einsum("ij,ij->i", a, b)[:, None]
    return result
