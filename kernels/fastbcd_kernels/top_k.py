"""Hard threshold: keep exactly the k entries of largest magnitude.

The magnitudes are read as unsigned integers (sign bit cleared), whose order is the
order of the floating-point numbers. A sample brackets the k-th largest, one pass collects
what lies inside the bracket, and a radix selection decides among those: a histogram of
the leading bits names the bin that holds it, and only that bin is looked at again.
A second pass writes: O(n), and the result does not depend on the order of a partial sort.
Ties at the threshold are decided by position: the first ones stay.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

DIGIT_BITS = 12
SAMPLE = 4096


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
    bits: NDArray[np.unsignedinteger], n_bits: int, k: int
) -> tuple[np.uint64, int, int]:
    """Find the k-th largest magnitude.

    A sample first brackets it between two magnitudes. One pass counts what lies above the
    bracket and collects what lies inside, a few per cent, among which the radix selection
    decides. If the bracket misses, or there are few entries, it decides among all.

    Parameters
    ----------
    bits : (n,) uint32 or uint64 array
        Memory of float32 or float64 values, seen as unsigned integers.
    n_bits : int
        Bits of the magnitude: 31 or 63.
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
    if n < 16 * SAMPLE:
        return _radix_select(bits, n_bits, k)
    word = bits.dtype.type
    magnitude = word((np.uint64(1) << np.uint64(n_bits)) - np.uint64(1))
    sample = np.empty(SAMPLE, bits.dtype)
    stride = n // SAMPLE
    for i in range(SAMPLE):
        sample[i] = bits[i * stride]
    share = k / n
    spread = 4.0 * np.sqrt(SAMPLE * share * (1.0 - share)) + 4.0
    upper_rank = max(1, int(SAMPLE * share - spread))
    lower_rank = min(SAMPLE, int(SAMPLE * share + spread))
    high = word(_radix_select(sample, n_bits, upper_rank)[0])
    low = word(_radix_select(sample, n_bits, lower_rank)[0])
    # One slot more than there can be: every entry is written, only matches advance.
    inside = np.empty(n + 1, bits.dtype)
    above = 0
    m = 0
    for i in range(n):
        own = bits[i] & magnitude
        inside[m] = own
        m += (own >= low) & (own <= high)
        above += own > high
    if above < k <= above + m:
        key, more, equal = _radix_select(inside[:m], n_bits, k - above)
        return key, above + more, equal
    return _radix_select(bits, n_bits, k)


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
        out[:] = 0
        return
    word = bits.dtype.type
    wide, above, equal = kth_largest_key(bits, n_bits, k)
    key = word(wide)
    magnitude = word((np.uint64(1) << np.uint64(n_bits)) - np.uint64(1))
    zero = x.dtype.type(0)
    for i in range(x.size):
        out[i] = x[i] if (bits[i] & magnitude) >= key else zero
    excess = above + equal - k
    i = x.size - 1
    while excess > 0:
        if bits[i] & magnitude == key:
            out[i] = zero
            excess -= 1
        i -= 1
