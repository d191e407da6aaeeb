"""Hard threshold: keep exactly the k entries of largest magnitude.

The magnitudes are read as unsigned integers (sign bit cleared), whose order is the
order of the floating-point numbers. A sample brackets the k-th largest, one pass collects
what lies inside the bracket, and a radix selection decides among those: a histogram of
the leading bits names the bin that holds it, and only that bin is looked at again.
A last pass writes: O(n), and the result does not depend on the order of a partial sort.
Ties at the threshold are decided by position: the first ones stay.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

DIGIT_BITS = 12
SAMPLE = 16384
SMALLEST = 65536
BLOCK = 32


@njit(cache=True, nogil=True)
def _radix_select(
    bits: NDArray[np.unsignedinteger], n_bits: int, k: int
) -> tuple[np.uint64, int, int]:
    """Do the work of :func:`kth_largest_key` by histograms of the leading bits."""
    word = bits.dtype.type
    candidates = bits
    n = bits.size
    shift = n_bits
    key = np.uint64(0)
    above = 0
    while True:
        width = min(DIGIT_BITS, shift)
        shift -= width
        low = word(shift)
        mask = word((1 << width) - 1)
        counts = np.zeros(1 << DIGIT_BITS, np.int64)
        for i in range(n):
            counts[(candidates[i] >> low) & mask] += 1
        digit = (1 << width) - 1
        while above + counts[digit] < k:
            above += counts[digit]
            digit -= 1
        key = (key << np.uint64(width)) | np.uint64(digit)
        if shift == 0:
            return key, above, counts[digit]
        # One slot more than the bin holds: every entry is written, only matches advance.
        kept = np.empty(counts[digit] + 1, bits.dtype)
        wanted = word(digit)
        m = 0
        for i in range(n):
            kept[m] = candidates[i]
            m += ((candidates[i] >> low) & mask) == wanted
        candidates = kept
        n = m


@njit(cache=True, nogil=True)
def kth_largest_key(
    x: NDArray[np.floating], bits: NDArray[np.unsignedinteger], n_bits: int, k: int
) -> tuple[np.uint64, int, int]:
    """Find the k-th largest magnitude.

    A sample guesses it, one pass counts what lies above the guess, and with that count the sample
    brackets it closely. A second pass counts what lies above the bracket and collects what lies
    inside, some entries in a thousand, among which the radix selection decides. If the bracket
    misses, or there are few entries, it decides among all.

    Parameters
    ----------
    x : (n,) C-contiguous float array without NaN
        The values.
    bits : (n,) uint32 or uint64 array
        The same memory, seen as unsigned integers.
    n_bits : int
        Bits of the magnitude: 31 for float32, 63 for float64.
    k : int
        Rank, 1 <= k <= n.

    Returns
    -------
    key : int
        The magnitude as an unsigned integer.
    above, equal : int
        How many magnitudes exceed it, and how many equal it.
    """
    n = bits.size
    candidates = bits
    above = 0
    if n >= SMALLEST:
        size = min(n // 16, SAMPLE)
        stride = n // size
        sample = np.empty(size, bits.dtype)
        for i in range(size):
            sample[i] = bits[i * stride]
        keys = np.empty(3, bits.dtype)
        bounds = keys.view(x.dtype)  # first the guess, then the bracket's ends
        one: Any = np.int32(1)  # counters of 32 bits vectorise
        none: Any = np.int32(0)
        middle = size * (k / n)
        spread = 0.0
        for step in range(3):
            rank = middle + spread if step == 1 else middle - spread
            keys[step] = _radix_select(sample, n_bits, max(1, min(size, int(rank))))[0]
            if step == 0:
                guess = bounds[0]
                n_above = 0
                for i in range(n):
                    n_above += one if abs(x[i]) > guess else none
                # How far off the guess is, in ranks of the sample, which err by the root of it.
                off = (k - n_above) * (size / n)
                middle += off
                spread = 4.0 * np.sqrt(abs(off)) + 4.0
        low = bounds[1]
        high = bounds[2]
        inside = np.empty(n + 1, bits.dtype)  # every entry is written, only matches advance
        m = 0
        whole = n - n % BLOCK
        for start in range(0, whole, BLOCK):
            # Counted without a branch, so that it vectorises; few blocks are looked at again.
            n_higher = none
            n_not_lower = none
            for i in range(start, start + BLOCK):
                own = abs(x[i])
                n_higher += one if own > high else none
                n_not_lower += one if own >= low else none
            above += n_higher
            if n_not_lower > n_higher:
                for i in range(start, start + BLOCK):
                    inside[m] = bits[i]
                    m += low <= abs(x[i]) <= high
        for i in range(whole, n):
            inside[m] = bits[i]
            m += low <= abs(x[i]) <= high
            above += abs(x[i]) > high
        if above < k <= above + m:
            candidates = inside[:m]
        else:
            above = 0
    key, more, equal = _radix_select(candidates, n_bits, k - above)
    return key, above + more, equal


@njit(cache=True, nogil=True)
def hard_threshold(
    x: NDArray[np.floating],
    bits: NDArray[np.unsignedinteger],
    n_bits: int,
    k: int,
    out: NDArray[np.floating],
) -> None:
    """Write ``x`` into ``out``, with all but the k entries of largest magnitude set to zero.

    Parameters
    ----------
    x : (n,) C-contiguous float array without NaN
        The values.
    bits : (n,) uint32 or uint64 array
        The same memory as ``x``, seen as unsigned integers.
    n_bits : int
        Bits of the magnitude: 31 for float32, 63 for float64.
    k : int
        Number of entries to keep, 0 <= k <= n.
    out : (n,) array
        Result; other memory than ``x``.
    """
    if k == 0:
        for i in range(x.size):
            out[i] = 0
        return
    cell = np.empty(1, bits.dtype)
    cell[0], above, equal = kth_largest_key(x, bits, n_bits, k)
    least = cell.view(x.dtype)[0]
    zero = x.dtype.type(0)
    for i in range(x.size):
        out[i] = x[i] if abs(x[i]) >= least else zero
    excess = above + equal - k
    i = x.size - 1
    while excess > 0:
        if abs(x[i]) == least:
            out[i] = zero
            excess -= 1
        i -= 1
