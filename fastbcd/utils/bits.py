"""Small integers in as few bits as they need.

Code number i takes the bits ``i * bits`` to ``(i + 1) * bits - 1`` of the stream, its lowest bit
first; a byte is filled from its lowest bit. Any decoder can therefore find the i-th code by itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 19
"""Codes spread out to single bits at once; a multiple of 8, so that chunks end on bytes."""

MAX_BITS = 16


def bits_for(levels: int) -> int:
    """Return the bits that tell ``levels`` values apart: ceil(log2(levels)), 0 for one value."""
    return max(levels - 1, 0).bit_length()


def code_type(levels: int) -> np.dtype[Any]:
    """Return the unsigned type that holds codes of ``levels`` values.

    Raises
    ------
    ValueError
        If there are more than 65536 values.
    """
    if levels > 1 << MAX_BITS:
        raise ValueError(f"levels={levels} is too many: codes have at most {MAX_BITS} bits.")
    return np.dtype(np.uint8 if levels <= 256 else np.uint16)


def pack_bits(codes: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Return ``codes`` packed to ``bits`` bits each.

    Parameters
    ----------
    codes : array of any shape of uint8 or uint16
        Read in C order; each below ``2 ** bits``.
    bits : int
        From 0 to 16. With 0 all codes are zero and nothing is stored.

    Returns
    -------
    (ceil(codes.size * bits / 8),) uint8 array
        The unused bits of the last byte are zero.
    """
    flat = codes.reshape(-1)
    if bits == 8:
        return flat.astype(np.uint8)
    if bits == 16:
        return flat.astype("<u2").view(np.uint8)
    packed = np.empty(-(-flat.size * bits // 8), np.uint8)
    for lo in range(0, flat.size, CHUNK):
        words = flat[lo : lo + CHUNK].astype("<u2").view(np.uint8).reshape(-1, 2)
        single = np.unpackbits(words, axis=1, count=bits, bitorder="little")
        part = np.packbits(single, bitorder="little")
        start = lo * bits // 8
        packed[start : start + part.size] = part
    return packed


def unpack_bits(packed: NDArray[np.uint8], bits: int, n: int) -> NDArray[Any]:
    """Return the ``n`` codes that :func:`pack_bits` packed, (n,) uint8, or uint16 above 8 bits.

    Raises
    ------
    ValueError
        If ``packed`` is not of the size that ``n`` codes of ``bits`` bits take.
    """
    if not 0 <= bits <= MAX_BITS:
        raise ValueError(f"bits={bits} must be between 0 and {MAX_BITS}.")
    if packed.size != -(-n * bits // 8):
        raise ValueError(
            f"{n} codes of {bits} bits take {-(-n * bits // 8)} bytes, not {packed.size}."
        )
    if bits == 0:
        return np.zeros(n, np.uint8)
    if bits == 8:
        return packed.astype(np.uint8)
    if bits == 16:
        return np.ascontiguousarray(packed).view("<u2").astype(np.uint16)
    codes = np.empty(n, np.uint8 if bits <= 8 else np.uint16)
    for lo in range(0, n, CHUNK):
        count = min(CHUNK, n - lo)
        part = packed[lo * bits // 8 : -(-(lo + count) * bits // 8)]
        single = np.unpackbits(part, count=count * bits, bitorder="little").reshape(count, bits)
        words = np.zeros((count, codes.itemsize), np.uint8)
        words[:, : -(-bits // 8)] = np.packbits(single, axis=1, bitorder="little")
        codes[lo : lo + count] = words.view(codes.dtype.newbyteorder("<"))[:, 0]
    return codes
