"""The V-step of a convolution: conjugate gradients on each image by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastbcd.linalg import products as la
from fastbcd.utils.types import Float

MOST_STEPS = 40
"""Steps, at most."""

ACCURACY = 0.05
"""The steps end when the subgradient is this share of gamma times the step of the block."""


class Operator(NamedTuple):
    """A convolution without bias.

    Parameters
    ----------
    gather, scatter : callable
        From images (n, d) to patches (n * p, k), and the adjoint.
    weight : (k, m) array
        Filters.
    channels : int
        Numbers in a pixel.
    stride : (int, int)
        Distance of neighbouring patches.
    """

    gather: Callable[[Float], Float]
    scatter: Callable[[Float], Float]
    weight: Float
    channels: int
    stride: tuple[int, int]


def least_squares(operator: Operator, residual: Float, start: Float, ratio: float) -> Float:
    r"""Minimise ``ratio ||E||^2 + ||A(E) W - residual||^2`` over images E, each by itself.

    The preconditioner is the mean block of the system that couples the channels of a pixel.
    Started anywhere, each step minimises over a larger space around the start, so what is reached
    lies below the start by at least ``ratio`` times the squared way, however early the steps end.

    Parameters
    ----------
    operator : Operator
        A and W.
    residual : (n * p, m) array
        What A(E) W shall be.
    start : (n, d) array
        Where to start.
    ratio : float
        Weight of the first term.

    Returns
    -------
    (n, d) array
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
    """Return the inverse of the block (c, c) of a pixel, averaged over pixels."""
    weight, c = operator.weight, operator.channels
    block = np.zeros((c, c))
    # A pixel is covered by every stride-th position of the kernel in each direction.
    for part in weight.astype(np.float64).reshape(-1, c, weight.shape[1]):
        block += part @ part.T / math.prod(operator.stride)
    block[np.diag_indices(c)] += ratio
    inverse: Float = np.linalg.inv(block).astype(weight.dtype)
    return inverse


def _dots(a: Float, b: Float) -> Float:
    """Return the inner products of the rows, (n, 1)."""
    result: Float = np.einsum("ij,ij->i", a, b)[:, None]
    return result
