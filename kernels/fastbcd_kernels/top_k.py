"""Hard threshold: keep exactly the k entries of largest magnitude.

The magnitudes are read as unsigned integers (sign bit cleared), whose order is the
order of the floating-point numbers. Ties at the threshold are decided by position: the first
ones stay.

A large array is passed over twice. A sample guesses the k-th largest magnitude, and the first pass
counts what lies above the guess. The second writes all that is certain, as the count and the
sample show where the threshold may still be: the entries there, a few in a thousand, are noted,
and a radix selection decides among them. A histogram of the leading bits names the bin that
holds the k-th, and only that bin is looked at again: O(n), whatever the order of the entries.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

DIGIT_BITS = 12
SAMPLE = 16384
SMALLEST = 65536
BLOCK = 32
ROOM = 32
"""An n-th of the entries may be undecided after the second pass, or the selection is among all."""


@njit(cache=True, nogil=True)
def kth_largest_key(
    bits: NDArray[np.unsignedinteger], n_bits: int, k: int
) -> tuple[np.uint64, int, int]:
    """Find the k-th largest magnitude by histograms of the leading bits.

    Parameters
    ----------
    bits : (n,) uint32 or uint64 array
        Floating-point numbers seen as unsigned integers; NaN is larger than any number.
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
    word = bits.dtype.type
    candidates = bits
    counts = np.empty(1 << DIGIT_BITS, np.int64)
    n = bits.size
    shift = n_bits
    key = np.uint64(0)
    above = 0
    while True:
        width = min(DIGIT_BITS, shift)
        shift -= width
        low = word(shift)
        mask = word((1 << width) - 1)
        for digit in range(counts.size):
            counts[digit] = 0
        for i in range(n):
            counts[(candidates[i] >> low) & mask] += 1
        digit = (1 << width) - 1
        while digit > 0 and above + counts[digit] < k:
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
def _write_certain(
    x: NDArray[np.floating],
    low: np.floating,
    high: np.floating,
    places: NDArray[np.int64],
    out: NDArray[np.floating],
) -> int:
    """Write what exceeds ``high``, zeros for the rest, and note the places of [low, high].

    Returns how many of these there are, or -1 if there is no room for them.
    """
    zero = x.dtype.type(0)
    n = x.size
    whole = n - n % BLOCK
    room = places.size - 2 * BLOCK
    m = 0
    for start in range(0, whole, BLOCK):
        # Looked for without a branch, so that it vectorises; few blocks are looked at again.
        found = False
        for i in range(start, start + BLOCK):
            own = abs(x[i])
            found |= (own >= low) & (own <= high)
            out[i] = zero if own <= high else x[i]  # so a NaN stays, to be seen
        if found:
            if m > room:
                return -1
            for i in range(start, start + BLOCK):
                own = abs(x[i])
                places[m] = i  # every place is written, only matches advance
                m += (own >= low) & (own <= high)
    for i in range(whole, n):
        own = abs(x[i])
        out[i] = zero if own <= high else x[i]
        places[m] = i
        m += (own >= low) & (own <= high)
    return m


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
    x : (n,) C-contiguous float array
        The values. NaN is larger than any number, and stays.
    bits : (n,) uint32 or uint64 array
        The same memory as ``x``, seen as unsigned integers.
    n_bits : int
        Bits of the magnitude: 31 for float32, 63 for float64.
    k : int
        Number of entries to keep, 0 <= k <= n.
    out : (n,) array
        Result; other memory than ``x``.
    """
    n = x.size
    zero = x.dtype.type(0)
    if k == 0:
        for i in range(n):
            out[i] = zero
        return
    cell = np.empty(2, bits.dtype)
    bound = cell.view(x.dtype)  # the guess, and how far from it the threshold may be
    places = np.empty(n // ROOM + 2 * BLOCK, np.int64)
    candidates = bits
    m = 0
    n_certain = 0
    if n >= SMALLEST:
        size = min(n // 16, SAMPLE)
        stride = n // size
        sample = np.empty(size, bits.dtype)
        for i in range(size):
            sample[i] = bits[i * stride]
        rank = size * (k / n)
        n_above = 0
        for step in range(2):
            cell[step] = kth_largest_key(sample, n_bits, max(1, min(size, int(rank))))[0]
            if step == 0:
                guess = bound[0]
                one: Any = np.int32(1)  # counters of 32 bits vectorise
                none: Any = np.int32(0)
                for i in range(n):
                    n_above += one if abs(x[i]) > guess else none
                # How far off the guess is, in ranks of the sample, which err by the root of it.
                off = (k - n_above) * (size / n)
                spread = 4.0 * np.sqrt(abs(off)) + 4.0
                rank += off + (spread if off > 0 else -spread)
        if rank > size:
            bound[1] = zero
        elif rank < 1:
            bound[1] = np.inf
        m = _write_certain(x, min(guess, bound[1]), max(guess, bound[1]), places, out)
        inside = np.empty(max(m, 0), bits.dtype)
        n_certain = n_above
        for j in range(m):
            inside[j] = bits[places[j]]
            n_certain -= abs(x[places[j]]) > guess
        if n_certain < k <= n_certain + m:
            candidates = inside
        else:
            n_certain = 0
    cell[0], above, _ = kth_largest_key(candidates, n_bits, k - n_certain)
    least = bound[0]
    ties = k - n_certain - above
    if candidates.size < n:
        for j in range(m):
            i = places[j]
            own = abs(x[i])
            if own > least or (own == least and ties > 0):
                out[i] = x[i]
                ties -= own == least
        return
    for i in range(n):
        own = abs(x[i])
        out[i] = zero if own <= least else x[i]
    for i in range(n):
        if ties <= 0:
            break
        if abs(x[i]) == least:
            out[i] = x[i]
            ties -= 1
