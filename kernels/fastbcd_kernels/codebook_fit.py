"""Codebooks of numbers: the best partition of sorted values, Lloyd's iteration, nearest codes.

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
def _spread(
    weight: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    lo: int,
    hi: int,
) -> float:
    """Return the weighted squared distance of the points lo .. hi - 1 from their mean."""
    total = weight[hi] - weight[lo]
    if total <= 0.0:
        return 0.0
    moment = first[hi] - first[lo]
    spread: float = max(0.0, second[hi] - second[lo] - moment * moment / total)
    return spread


@njit(cache=True, nogil=True)
def optimal_cuts(
    weight: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    edges: NDArray[np.int64],
    cuts: NDArray[np.int64],
) -> float:
    """Cut sorted points into k intervals of least squared distance from their means.

    Parameters
    ----------
    weight, first, second : (n + 1,) arrays
        Prefix sums, from 0, of the weights, of weight times value, of weight times square.
    edges : (m + 1,) increasing integers
        Where a cut may be: from 0 to n; m >= k.
    cuts : (k + 1,) array
        Result: interval c holds the points cuts[c] .. cuts[c + 1] - 1.

    Returns
    -------
    float
        The cost.
    """
    k = cuts.size - 1
    m = edges.size - 1
    cost = np.empty(m + 1)
    for j in range(m + 1):
        cost[j] = _spread(weight, first, second, edges[0], edges[j])
    better = np.empty(m + 1)
    back = np.empty((k + 1, m + 1), np.int32)
    # Rows are set entry by entry: assigning a tuple would take longer to compile than all the rest.
    stack = np.empty((64, 4), np.int64)
    for c in range(2, k + 1):
        # The last row is needed at its end only.
        stack[0, 0] = m if c == k else c
        stack[0, 1] = m
        stack[0, 2] = c - 1
        stack[0, 3] = m - 1
        height = 1
        while height > 0:
            height -= 1
            j_lo = stack[height, 0]
            j_hi = stack[height, 1]
            i_lo = stack[height, 2]
            i_hi = stack[height, 3]
            if j_lo > j_hi:
                continue
            j = (j_lo + j_hi) // 2
            best_i = max(i_lo, c - 1)
            best = np.inf
            for i in range(best_i, min(i_hi, j - 1) + 1):
                own = cost[i] + _spread(weight, first, second, edges[i], edges[j])
                if own < best:
                    best = own
                    best_i = i
            better[j] = best
            back[c, j] = best_i
            # The rows before j, on top of the place that was read, and those behind it.
            stack[height, 1] = j - 1
            stack[height, 3] = best_i
            stack[height + 1, 0] = j + 1
            stack[height + 1, 1] = j_hi
            stack[height + 1, 2] = best_i
            stack[height + 1, 3] = i_hi
            height += 2
        for j in range(c, m + 1):
            cost[j] = better[j]
    j = m
    cuts[k] = edges[m]
    cuts[0] = 0
    for c in range(k, 1, -1):
        j = back[c, j]
        cuts[c - 1] = edges[j]
    total: float = cost[m]
    return total


@njit(cache=True, nogil=True)
def lloyd(
    values: NDArray[np.float64],
    weight: NDArray[np.float64],
    first: NDArray[np.float64],
    centers: NDArray[np.float64],
    max_iter: int,
) -> int:
    """Improve ``centers`` in place by Lloyd's iteration on sorted values: O(k log n) each time.

    Parameters
    ----------
    values : (n,) increasing array
        The points; n >= 1.
    weight, first : (n + 1,) arrays
        Prefix sums as in :func:`optimal_cuts`.
    centers : (k,) increasing array
        Where to start, overwritten. A center that loses all its points moves to the border
        of its neighbours.
    max_iter : int
        Most iterations.

    Returns
    -------
    int
        Iterations after which nothing changed, or ``max_iter``.
    """
    n, k = values.size, centers.size
    cuts = np.empty(k + 1, np.int64)
    for c in range(1, k):
        cuts[c] = -1
    cuts[0] = 0
    cuts[k] = n
    for iteration in range(max_iter):
        changed = False
        for c in range(1, k):
            middle = 0.5 * (centers[c - 1] + centers[c])
            lo, hi = cuts[c - 1], n
            while lo < hi:
                mid = (lo + hi) // 2
                if values[mid] <= middle:
                    lo = mid + 1
                else:
                    hi = mid
            changed |= lo != cuts[c]
            cuts[c] = lo
        if not changed and iteration > 0:
            return iteration
        for c in range(k):
            total = weight[cuts[c + 1]] - weight[cuts[c]]
            if total > 0.0:
                centers[c] = (first[cuts[c + 1]] - first[cuts[c]]) / total
            else:
                centers[c] = values[min(cuts[c], n - 1)]
    return max_iter


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
