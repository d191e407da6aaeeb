"""The smallest lossless form of a matrix in flash, and its bits.

There are four forms. ``dense`` and ``codes`` hold every entry: as a number, or as a packed code
of the fewest bits that tell the distinct numbers apart. ``sparse`` and ``sparse_codes`` hold the
non-zeros in row-major order, each after the number of zeros that it skips; empty rows cost no
more than any other zeros.

A gap is written as q zeros and a one, then k + q * growth bits: with growth 0 this is the Rice
code, near the entropy of zeros spread evenly; with growth 1 the exponential Golomb code, better
where some rows are much denser than others. The smaller of both, at the best k, is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbcd.utils.bits import bits_for, pack_bits

MOST_BITS = 17
"""Low bits of a gap: with a code of up to 8 bits they make the 25 that C reads at once."""

PADDING = 3
"""Bytes after a stream, which are read but not used."""

MOST_LEVELS = 256
"""Distinct numbers up to which codes are considered."""


class GapCode(NamedTuple):
    """Parameters of the code of the gaps."""

    k: int
    growth: int


NO_GAPS = GapCode(0, 0)


@dataclass(frozen=True)
class Storage:
    """A matrix as it lies in flash.

    Parameters
    ----------
    form : {"dense", "codes", "sparse", "sparse_codes"}
        What is held.
    shape : (n_in, n_out)
        Shape of the matrix.
    values : 1-D array
        Entries, non-zeros or the codebook, in the type of the matrix.
    stream : (n_bytes,) uint8 array
        Packed codes, gaps, or each gap followed by a code; least significant bits first, and
        padded.
    bits : int
        Width of a code.
    count : int
        Number of non-zeros, in the sparse forms.
    gaps : GapCode
        How gaps are written, in the sparse forms.
    """

    form: str
    shape: tuple[int, int]
    values: NDArray[Any]
    stream: NDArray[np.uint8]
    bits: int = 0
    count: int = 0
    gaps: GapCode = NO_GAPS

    @property
    def n_bytes(self) -> int:
        """Bytes of the tables."""
        return self.values.nbytes + self.stream.nbytes


def smallest(weight: NDArray[Any]) -> Storage:
    """Return the smallest of the forms of ``weight`` (n_in, n_out), a float32 or int8 array.

    Takes about 30 passes over the non-zeros, to compare the codes of the gaps.
    """
    nothing = np.empty(0, np.uint8)
    shape = (weight.shape[0], weight.shape[1])
    flat = weight.ravel()
    forms = [Storage("dense", shape, flat, nothing)]
    positions = np.flatnonzero(flat)
    gaps = np.diff(positions, prepend=-1) - 1
    entries = flat[positions]
    code = _best_gap_code(gaps)
    stream = _pack(gaps, code)
    forms.append(Storage("sparse", shape, entries, stream, 0, positions.size, code))
    levels, codes = _levels(flat)
    if levels.size <= MOST_LEVELS:
        bits = bits_for(levels.size)
        stream = _padded(pack_bits(codes.astype(np.uint8), bits))
        forms.append(Storage("codes", shape, levels, stream, bits))
    levels, codes = _levels(entries)
    if levels.size <= MOST_LEVELS:
        bits = bits_for(levels.size)
        stream = _pack(gaps, code, codes, bits)
        forms.append(Storage("sparse_codes", shape, levels, stream, bits, positions.size, code))
    return min(forms, key=lambda form: form.n_bytes)


def _levels(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    levels, codes = np.unique(values, return_inverse=True)
    return levels, codes.astype(np.int64)


def _split(gaps: NDArray[np.int64], code: GapCode) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return q of each gap and what is left for its low bits."""
    if not code.growth:
        return gaps >> code.k, gaps & ((1 << code.k) - 1)
    # frexp gives floor(log2) exactly: gaps are far below 2^53.
    q = np.frexp(((gaps >> code.k) + 1).astype(np.float64))[1].astype(np.int64) - 1
    return q, gaps - (((1 << q) - 1) << code.k)


def _best_gap_code(gaps: NDArray[np.int64]) -> GapCode:
    widest = int(gaps.max(initial=0)).bit_length()
    best = (np.inf, GapCode(0, 0))
    for k in range(min(widest, MOST_BITS) + 1):
        for growth in (0, 1):
            code = GapCode(k, growth)
            q, _ = _split(gaps, code)
            if k + growth * int(q.max(initial=0)) <= MOST_BITS:
                size = float(np.sum((1 + growth) * q + 1 + k))
                best = min(best, (size, code))
    return best[1]


def _pack(
    gaps: NDArray[np.int64],
    code: GapCode,
    codes: NDArray[np.int64] | None = None,
    bits: int = 0,
) -> NDArray[np.uint8]:
    """Write each gap, and the code after it, into one stream."""
    q, low = _split(gaps, code)
    low_bits = code.k + code.growth * q
    lengths = q + 1 + low_bits + bits
    ends = np.cumsum(lengths)
    stream = np.zeros(int(lengths.sum()), np.uint8)
    at = ends - lengths + q
    stream[at] = 1
    _write(stream, at + 1, low, low_bits)
    if codes is not None:
        _write(stream, ends - bits, codes, np.full(codes.shape, bits))
    return _padded(np.packbits(stream, bitorder="little"))


def _padded(stream: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.pad(stream, (0, max(PADDING, PADDING + 1 - stream.size)))


def _write(
    stream: NDArray[np.uint8],
    starts: NDArray[np.int64],
    values: NDArray[np.int64],
    widths: NDArray[np.int64],
) -> None:
    """Write ``widths`` bits of each of the values from ``starts`` on."""
    for bit in range(int(widths.max(initial=0))):
        present = widths > bit
        stream[starts[present] + bit] = (values[present] >> bit) & 1
