"""Codebooks of numbers: the best partition of sorted values, and nearest codes.

In one dimension the clusters of k-means are intervals of the sorted values. With prefix sums of
weights, values and squares the cost of any interval takes O(1), so that dynamic programming
finds the best partition; its optimal cuts move in one direction, which a divide and conquer
uses (Grønlund et al., arXiv 1701.07204): O(k m log m) for m candidate cuts.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Reassociation lets the sums vectorise. NaN and inf keep their meaning.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}


@njit(cache=True, nogil=True)
def optimal_cuts(
    weight: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    edges: NDArray[np.int64],
    cost: NDArray[np.float64],
    better: NDArray[np.float64],
    back: NDArray[np.int32],
) -> None:
    """Cut sorted points into k intervals of least squared distance from their means.

    Parameters
    ----------
    weight, first, second : (n + 1,) arrays
        Prefix sums, from 0, of the weights, of weight times value, of weight times square.
    edges : (m + 1,) increasing integers
        Where a cut may be: from 0 to n; m >= k.
    cost : (m + 1,) array
        Squared distance of the points before each edge from their mean; overwritten. The last
        entry is then that of k intervals.
    better : (m + 1,) array
        Overwritten.
    back : (k + 1, m + 1) array
        Overwritten: ``back[c, j]`` is the edge where the last of the best c intervals starts that
        end at edge j, for c > 1 and j >= c. For c = k only the last j is computed.
    """
    k = back.shape[0] - 1
    m = edges.size - 1
    widest = 1
    while 2 * widest <= m:
        widest *= 2
    for c in range(2, k + 1):
        # Odd multiples of a width lie between two edges whose starts are known, and theirs is
        # between those: first halves, then quarters, and so on.
        width = widest
        while width > 0:
            for j in range(m if c == k else width, m + 1, 2 * width):
                if j < c:
                    continue
                lo = c - 1
                hi = j
                if c < k:
                    if j - width >= c:
                        lo = back[c, j - width]
                    if j + width <= m:
                        hi = min(back[c, j + width] + 1, j)
                best = np.inf
                best_i = lo
                for i in range(lo, hi):
                    own = cost[i]
                    total = weight[edges[j]] - weight[edges[i]]
                    if total > 0.0:
                        moment = first[edges[j]] - first[edges[i]]
                        square = second[edges[j]] - second[edges[i]]
                        own += max(0.0, square - moment * moment / total)
                    if own < best:
                        best = own
                        best_i = i
                better[j] = best
                back[c, j] = best_i
            width = width // 2 if c < k else 0
        for j in range(c, m + 1):
            cost[j] = better[j]


@njit(cache=True, nogil=True)
def assign(
    values: NDArray[np.floating],
    scale: NDArray[np.floating],
    middles: NDArray[np.floating],
    codes: NDArray[np.uint16],
) -> None:
    """Write the code of the interval that holds each value.

    Parameters
    ----------
    values : (n, m) array
        What to encode.
    scale : (m,) or (1,) array
        The middles of column j are ``middles`` times its scale, which is not negative.
    middles : (2 ** bits - 1,) increasing array
        Upper borders of the intervals but the last; filled up with inf.
    codes : (n, m) uint16 array
        Result.
    """
    n, m = values.shape
    top = (middles.size + 1) // 2
    for i in range(n):
        for j in range(m):
            value = values[i, j]
            own = scale[j if scale.size > 1 else 0]
            place = 0
            step = top
            while step > 0:
                # inf * 0 is no number and greater than nothing.
                place += step if value > own * middles[place + step - 1] else 0
                step //= 2
            codes[i, j] = place


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def grid_sums(
    magnitudes: NDArray[np.float64],
    scale: NDArray[np.float64],
    levels: int,
    product: NDArray[np.float64],
    square: NDArray[np.float64],
) -> None:
    """Sum |w| q and q^2 over each row, for q the nearest of the symmetric integer grid.

    The grid is 0, 1, 2, .. for an odd number of levels and 1, 3, 5, .. for an even one. For
    these q the best scale is product / square, and it lowers the squared error by
    product^2 / square.

    Parameters
    ----------
    magnitudes : (m, n) array
        Absolute values.
    scale : (m,) positive array
        Width of the grid of each row.
    levels : int
        Values of the grid, both signs counted.
    product, square : (m,) arrays
        Results.
    """
    m, n = magnitudes.shape
    even = 1.0 - levels % 2
    step = 1.0 + even
    shift = 0.5 * (1.0 - even)
    top = (levels - 1) / (2.0 - even)
    for i in range(m):
        # Without a grid every entry is nearest to its first value.
        width = step * scale[i] if scale[i] > 0.0 else np.inf
        total = 0.0
        squares = 0.0
        for j in range(n):
            # A quotient beyond all integers is cut off like any other.
            q = min(step * np.floor(magnitudes[i, j] / width + shift) + even, top)
            total += magnitudes[i, j] * q
            squares += q * q
        product[i] = total
        square[i] = squares


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def snap(
    values: NDArray[np.float32],
    scale: NDArray[np.float32],
    edges: NDArray[np.float32],
    levels: NDArray[np.float32],
    codes: NDArray[np.int32],
    out: NDArray[np.float32],
) -> None:
    """Write the nearest level times scale for every value.

    Parameters
    ----------
    values, scale : (n,) float32 arrays
        What to round, and the positive factor of the levels for each.
    edges : (k - 1,) float32 array
        The middles between neighbouring levels, ascending.
    levels : (k,) float32 array
        The levels, ascending.
    codes : (n,) int32 array
        Overwritten with the place of the level.
    out : (n,) float32 array
        Overwritten.
    """
    n = values.size
    for i in range(n):
        codes[i] = 0
    for e in range(edges.size):
        edge = edges[e]
        for i in range(n):
            codes[i] += values[i] > edge * scale[i]
    for i in range(n):
        out[i] = levels[codes[i]] * scale[i]
