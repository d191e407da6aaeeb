"""One codebook for all columns of a matrix, each up to a scale of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastbcd.schemes.nearest import kmeans as quantization
from fastbcd.utils.types import Float, Float64

ROUNDS, SETTLED = 30, 1e-4
"""Codes, codebook and scales take turns at most so often, and no longer than a round lowers the
error by this share."""


def kmeans_by_column(
    weight: Float,
    present: NDArray[np.bool_],
    levels: int,
    start: tuple[Float, Float] | None = None,
) -> tuple[Float64, Float64]:
    """Return a codebook and column scales near the best for ``weight``.

    Parameters
    ----------
    weight : (n_in, n_out) array
        What to encode.
    present : (n_in, n_out) boolean array
        Entries that count; all others are zero.
    levels : int
        Number of values.
    start : (levels,) and (n_out,) arrays, optional
        Codebook and scales for a matrix nearby.

    Returns
    -------
    codebook : (levels,) float64 array
        Increasing.
    scale : (n_out,) float64 array
        Not negative.

    Notes
    -----
    Starts from k-means of the columns brought to one size. Then codes, codebook and scales are
    chosen in turns, each the best for the other two.
    """
    wide = weight.astype(np.float64)
    if start is not None:
        codebook = np.sort(start[0].astype(np.float64))
        scale = start[1].astype(np.float64)
    else:
        counts = np.maximum(present.sum(axis=0), 1)
        scale = np.sqrt(np.square(wide).sum(axis=0) / counts)
        useful = present & (scale > 0)
        codebook = quantization.kmeans(
            (wide / np.where(scale > 0, scale, 1.0))[useful],
            levels,
            weight=np.broadcast_to(np.square(scale), weight.shape)[useful],
        )
    total = before = float(np.square(wide).sum())
    for _ in range(ROUNDS):
        codes = quantization.nearest_codes(wide, codebook, scale)
        mass = np.bincount(codes[present], np.broadcast_to(scale**2, wide.shape)[present])
        sums = np.bincount(codes[present], (wide * scale)[present])
        found = np.flatnonzero(mass)
        codebook[found] = sums[found] / mass[found]
        values = codebook[codes] * present
        product, square = (wide * values).sum(axis=0), np.square(values).sum(axis=0)
        # Each code was the nearest with a positive scale, so the best one is not negative.
        scale = np.maximum(np.divide(product, square, out=0 * scale, where=square > 0), 0.0)
        error = total - float((scale * product).sum())
        if before - error <= SETTLED * before:
            break
        before = error
    return codebook, scale
