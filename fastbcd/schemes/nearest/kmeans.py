r"""Codebooks for weights: k-means by dynamic programming, and the best symmetric uniform grid.

A uniform grid has the values s q with q among symmetric integers. For given q the best scale is
s = B / C with B = sum |w| |q| and C = sum q^2, and it lowers the squared error by B^2 / C. As s
falls, one q after the other grows, and the optimum is at one of these events: all of them are
sorted and B^2 / C is followed through them, which is exact. Two levels give binary weights with
s = mean |w|, three give ternary ones with the best threshold (Rastegari et al., arXiv 1603.05279;
Li et al., arXiv 1605.04711).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.utils.bits import bits_for, code_type
from fastbcd.utils.small import is_small
from fastbcd.utils.types import Float, Float64
from fastbcd_kernels import codebook_fit as kernel

EXACT_BELOW = 4096
"""Maximum number of distinct values for exact k-means, and number of candidate cuts above it."""

DP_LEVELS = 256
"""More levels than this start without dynamic programming."""

MAX_ITERATIONS = 300
"""Lloyd iterations; each takes microseconds."""

EVENTS = 1 << 19
"""Events of a uniform grid that are sorted; with more, a range of scales is tried."""

TRIED_SCALES = 32
"""How many, from clipping at the mean magnitude to clipping at the largest."""

TINY = 1e-300
"""Stands for zero in denominators."""


def kmeans(
    values: Float, levels: int, *, weight: Float64 | None = None, start: Float | None = None
) -> Float64:
    """Return the centers of k-means on numbers.

    Parameters
    ----------
    values : (n,) array
        The points.
    levels : int
        Number of centers.
    weight : (n,) positive array, optional
        Weights of the points.
    start : (levels,) array, optional
        Centers for points nearby. Large problems then start Lloyd's iteration from them.

    Returns
    -------
    (levels,) float64 array
        Increasing. The best possible for up to ``EXACT_BELOW`` distinct values, else a fixed point
        of Lloyd's iteration that starts near the best. Where there are fewer distinct values than
        levels, the last one is repeated.
    """
    if values.size == 0:
        return np.zeros(levels)
    if weight is None:
        points = np.sort(values, axis=None).astype(np.float64)
        mass = np.ones(points.size)
    else:
        order = np.argsort(values, axis=None)
        points, mass = values.ravel()[order].astype(np.float64), weight.ravel()[order]
    first_of_kind = np.flatnonzero(np.append(True, points[1:] != points[:-1]))
    if first_of_kind.size <= levels:
        distinct = points[first_of_kind]
        return np.append(distinct, np.full(levels - distinct.size, distinct[-1]))
    # Differences of prefix sums keep their digits best around the middle of the values.
    center = float(points[points.size // 2])
    shifted = points - center
    prefix = [
        np.append(0.0, np.cumsum(mass * power))
        for power in (np.ones(points.size), shifted, np.square(shifted))
    ]
    exact = first_of_kind.size <= EXACT_BELOW
    if start is not None and not exact:
        centers = np.sort(start).astype(np.float64) - center
    else:
        centers = _start(shifted, prefix, first_of_kind, levels)
    return np.sort(_lloyd(shifted, prefix[0], prefix[1], centers)) + center


def _lloyd(points: Float64, weight: Float64, first: Float64, centers: Float64) -> Float64:
    """Return ``centers``, ascending, after Lloyd's iteration on sorted ``points``.

    ``weight`` and ``first`` are the prefix sums of the weights and of weight times point. A center
    that loses all its points moves to the border of its neighbours. Cost of an iteration:
    k log n for k centers and n points.
    """
    cuts = np.empty(0, np.int64)
    for _ in range(MAX_ITERATIONS):
        before = cuts
        inner = np.searchsorted(points, 0.5 * (centers[:-1] + centers[1:]), side="right")
        # An empty center can leave the middles out of order; the cuts never are.
        inner = np.maximum.accumulate(inner)
        cuts = np.concatenate([[0], inner, [points.size]])
        if np.array_equal(cuts, before):
            break
        total = np.diff(weight[cuts])
        border = points[np.minimum(cuts[:-1], points.size - 1)]
        centers = np.divide(np.diff(first[cuts]), total, out=border, where=total > 0)
    return centers


def _start(
    points: Float64, prefix: list[Float64], first_of_kind: NDArray[Any], levels: int
) -> Float64:
    """Return the means of the best partition whose cuts are among ``EXACT_BELOW`` at most.

    The cuts of the best partition have about the density p^(1/3) of the points' density p (Panter
    and Dite, 1951). Gaps between sorted points are about 1 / p, so that equal shares of the sum
    of gap^(2/3) are cuts of that density: candidates for a few levels, a start for many.
    """
    edges = np.append(first_of_kind, points.size)
    n_cuts = EXACT_BELOW if levels <= DP_LEVELS else levels
    if edges.size > n_cuts + 1:
        gaps = np.diff(points[first_of_kind])
        position = np.append(0.0, np.cumsum(np.cbrt(np.square(gaps))))
        wanted = np.linspace(0, position[-1], n_cuts + 1)[1:-1]
        inner = np.unique(np.clip(np.searchsorted(position, wanted), 1, gaps.size))
        missing = levels - inner.size - 1
        if missing > 0:  # some gaps are so wide that several wanted cuts fell into one
            unused = np.setdiff1d(np.arange(1, gaps.size + 1), inner)
            inner = np.union1d(inner, unused[:: max(1, unused.size // missing)][:missing])
        edges = edges[np.concatenate([[0], inner, [edges.size - 1]])]
    cuts = edges
    if edges.size > levels + 1:
        cuts = _optimal_cuts(prefix, edges, levels)
    means: Float64 = np.diff(prefix[1][cuts]) / np.diff(prefix[0][cuts])
    return means


def _optimal_cuts(
    prefix: list[Float64], edges: NDArray[np.int64], levels: int
) -> NDArray[np.int64]:
    """Return the cuts (levels + 1,), from 0 to n, of the best partition into so many intervals."""
    weight, first, second = prefix
    total, moment, square = weight[edges], first[edges], second[edges]
    cost = np.zeros(edges.size)
    np.divide(np.square(moment), total, out=cost, where=total > 0)
    cost = np.maximum(square - cost, 0.0)
    back = np.empty((levels + 1, edges.size), np.int32)
    kernel.optimal_cuts(weight, first, second, edges, cost, np.empty_like(cost), back)
    chosen = [edges.size - 1]
    for c in range(levels, 1, -1):
        chosen.append(int(back[c, chosen[-1]]))
    return edges[[0, *chosen[::-1]]]


def nearest_codes(values: Float, codebook: Float, scale: Float | None = None) -> NDArray[Any]:
    """Return the code of the nearest value of an increasing codebook.

    Parameters
    ----------
    values : (n, m) array
        What to encode.
    codebook : (levels,) increasing array
        The values.
    scale : (m,) non-negative array, optional
        Factor of the codebook for each column.

    Returns
    -------
    (n, m) array of uint8 or uint16
    """
    middles = np.full(2 ** bits_for(codebook.size) - 1, np.inf)
    wide = codebook.astype(np.float64)
    middles[: codebook.size - 1] = 0.5 * (wide[:-1] + wide[1:])
    factor = np.ones(1) if scale is None else scale.astype(np.float64)
    if is_small(values.size) and factor.size and np.all(factor == factor[0]):
        found = np.searchsorted(factor[0] * middles[: codebook.size - 1], values)
        return found.astype(code_type(codebook.size))
    codes = np.empty(values.shape, np.uint16)  # one type to compile for
    kernel.assign(values, factor, middles, codes)
    return codes.astype(code_type(codebook.size), copy=False)


def symmetric_grid(levels: int) -> Float64:
    """Return ``levels`` integers around zero: steps of 1 for odd numbers, 2 for even ones."""
    step = 1 if levels % 2 else 2
    grid: Float64 = step * np.arange(levels, dtype=np.float64) - step * (levels - 1) / 2
    return grid


def uniform_scale(magnitudes: Float64, levels: int, counts: NDArray[Any] | None = None) -> Float64:
    """Return the scale of the symmetric grid that is nearest to each row.

    Parameters
    ----------
    magnitudes : (m, n) array
        Absolute values of the weights.
    levels : int
        Values of the grid; at least 2.
    counts : (m,) integers, optional
        Entries of each row that count; all others are zero and shall not. By default all do.

    Returns
    -------
    (m,) float64 array
        Exact if there are at most ``EVENTS`` events, else a fixed point of the alternation
        between codes and scale, started from the best of ``TRIED_SCALES`` scales.
    """
    grid = symmetric_grid(levels)
    grid = grid[grid >= 0]
    if counts is None:
        counts = np.full(len(magnitudes), magnitudes.shape[1])
    if magnitudes.size * (grid.size - 1) <= EVENTS:
        return _scale_by_events(magnitudes, grid, counts)
    return _scale_by_search(np.ascontiguousarray(magnitudes), levels, counts)


def _scale_by_events(magnitudes: Float64, grid: Float64, counts: NDArray[Any]) -> Float64:
    """Follow B^2 / C through all values of the scale at which some q changes."""
    m, n = magnitudes.shape
    product = grid[0] * magnitudes.sum(axis=1, keepdims=True)
    square = np.square(grid[0]) * counts.astype(np.float64)[:, None]
    if grid.size > 1:
        middles = 0.5 * (grid[:-1] + grid[1:])
        events = (magnitudes[:, :, None] / middles).reshape(m, -1)
        gain = (magnitudes[:, :, None] * np.diff(grid)).reshape(m, -1)
        growth = np.tile(np.diff(np.square(grid)), n)
        order = np.argsort(-events, axis=1)
        gains = np.cumsum(np.take_along_axis(gain, order, 1), axis=1)
        product = np.hstack([product, product + gains])
        square = np.hstack([square, square + np.cumsum(growth[order], axis=1)])
    worth = np.square(product) / np.maximum(square, TINY)
    best = np.arange(m), np.argmax(worth, axis=1)
    scale: Float64 = product[best] / np.maximum(square[best], TINY)
    return scale


def _scale_by_search(magnitudes: Float64, levels: int, counts: NDArray[Any]) -> Float64:
    """Take the best of many scales, then let codes and scale take turns."""
    m, n = magnitudes.shape
    top = symmetric_grid(levels)[-1]
    scale, worth = np.zeros(m), np.zeros(m)
    product, square = np.empty(m), np.empty(m)
    filler = (n - counts) * (levels % 2 == 0)  # zeros that do not count are coded as 1
    largest = np.maximum(magnitudes.max(axis=1), TINY)
    mean = np.maximum(magnitudes.sum(axis=1) / np.maximum(counts, 1), TINY)

    def improve(tried: Float64) -> bool:
        kernel.grid_sums(magnitudes, np.maximum(tried, TINY), levels, product, square)
        reached = np.maximum(square - filler, TINY)
        better = np.square(product) / reached > worth
        worth[better] = (np.square(product) / reached)[better]
        scale[better] = (product / reached)[better]
        return bool(better.any())

    for share in np.linspace(0, 1, TRIED_SCALES):
        improve(mean ** (1 - share) * largest**share / top)
    for _ in range(MAX_ITERATIONS):
        if not improve(scale):
            break
    return scale


def given_scale(
    values: Float, codebook: Float64, present: NDArray[np.bool_] | None = None
) -> Float64:
    """Return the scale with which a given codebook comes nearest to each row, or nearly so.

    Parameters
    ----------
    values : (m, n) array
        What to encode.
    codebook : (levels,) increasing array
        The values to scale.
    present : (m, n) boolean array, optional
        Entries that count.

    Returns
    -------
    (m,) non-negative array
        A fixed point of the alternation between codes and scale, started from the best of
        ``TRIED_SCALES`` scales.
    """
    wide = np.asarray(values, np.float64).T
    used = None if present is None else present.T
    top = max(float(np.abs(codebook).max()), TINY)
    magnitudes = np.abs(wide)
    largest = np.maximum(magnitudes.max(axis=0), TINY)
    mean = np.maximum(magnitudes.mean(axis=0), TINY)
    scale, worth = np.zeros(largest.size), np.zeros(largest.size)

    def improve(tried: Float64) -> bool:
        chosen = codebook[nearest_codes(wide, codebook, tried)]
        if used is not None:
            chosen = chosen * used
        product = np.maximum((wide * chosen).sum(axis=0), 0.0)
        square = np.maximum(np.square(chosen).sum(axis=0), TINY)
        better = np.square(product) / square > worth * (1 + 1e-12)
        worth[better] = (np.square(product) / square)[better]
        scale[better] = (product / square)[better]
        return bool(better.any())

    for share in np.linspace(0, 1, TRIED_SCALES):
        improve(mean ** (1 - share) * largest**share / top)
    for _ in range(MAX_ITERATIONS):
        if not improve(scale):
            break
    return scale
