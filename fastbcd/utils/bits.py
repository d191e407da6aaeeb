"""Packing of small integers at a fixed number of bits per code.

Code i occupies bits ``i * bits`` to ``(i + 1) * bits - 1`` of the stream, lowest bit first. Each
byte is filled from its lowest bit. A decoder can therefore read the i-th code without the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 19
"""Number of codes unpacked to bits at once; a multiple of 8, so chunks end on whole bytes."""

MAX_BITS = 16
"""Maximum number of bits per code."""


def bits_for(levels: int) -> int:
    """Return ceil(log2(levels)), the bits per code for ``levels`` values; 0 for one value."""
    return max(levels - 1, 0).bit_length()


def code_type(levels: int) -> np.dtype[Any]:
    """Return the unsigned integer type for codes of ``levels`` values: uint8 or uint16.

    Raises
    ------
    ValueError
        If there are more than 65536 values.
    """
    if levels > 1 << MAX_BITS:
        raise ValueError(
            f"levels={levels} must be at most {1 << MAX_BITS}: codes have at most {MAX_BITS} bits."
        )
    return np.dtype(np.uint8 if levels <= 256 else np.uint16)


def pack_bits(codes: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Return ``codes`` packed with ``bits`` bits per code.

    Parameters
    ----------
    codes : uint8 or uint16 array of any shape
        Read in C order; each code is below ``2 ** bits``.
    bits : int
        Bits per code, 0 to 16. With 0, all codes are zero and nothing is stored.

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
    """Return the ``n`` codes packed by :func:`pack_bits`: (n,) uint8, or uint16 above 8 bits.

    Raises
    ------
    ValueError
        If ``bits`` is not between 0 and 16, or ``packed`` does not have the size of ``n`` codes.
    """
    if not 0 <= bits <= MAX_BITS:
        raise ValueError(f"bits={bits} must be between 0 and {MAX_BITS}.")
    if packed.size != -(-n * bits // 8):
        raise ValueError(
            f"{n} codes of {bits} bits need {-(-n * bits // 8)} bytes; got {packed.size}."
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
