"""How the arrays of a format become the small streams of a file, and back.

What a format keeps for computing is not what compresses best, so a file differs in three ways:

- The places of non-zeros become one stream of *gaps*: the zeros before each non-zero, row after row
  as if the matrix were one long row, a byte each. 255 stands for 255 zeros and no non-zero yet.
- Codes of 3, 5, 6 or 7 bits may become *symbols*, a byte each: an entropy coder of bytes sees
  nothing in codes that straddle them.
- Gaps, codes and values each are a stream of their own, deflated where that is smaller. Numbers
  are first split into planes of their first bytes, second bytes, ...: exponents repeat, mantissas
  do not.

Short streams such as shapes are lists of integers in the metadata, where they take fewer bytes.
Separate streams come within a few per cent of their zeroth-order entropy by Huffman's code alone.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.io.codecs.container import DTYPES, expect, is_sizes, type_name
from fastbcd.utils.bits import bits_for, pack_bits, unpack_bits

Array = NDArray[Any]

ESCAPE = 255
"""The gap that represents this number of zeros without a non-zero after them."""

MAX_ROWS = 1 << 24
"""Rows of a sparse matrix: the only array whose length a file need not pay for."""

MAX_INFLATION = 1100
"""Deflate shrinks nothing by more than 1032."""

SHORT = 64
"""Integers up to which an array is written in the metadata."""

_RAW_DEFLATE = -zlib.MAX_WBITS
_SETTINGS = [
    (strategy, memory)
    for strategy in (zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_DEFAULT_STRATEGY)
    for memory in (4, 6, 8)
]
_LONG = 1 << 17
"""Bytes from which one setting must do."""


@dataclass(frozen=True)
class Encoded:
    """The arrays of one layer as a file holds them.

    Parameters
    ----------
    arrays : dict of str to array
        The streams, deflated ones as uint8.
    packed : dict of str to [dtype, shape]
        What the deflated ones hold.
    short : dict of str to int or list of int
        The short integer arrays.
    """

    arrays: dict[str, Array]
    packed: dict[str, Any]
    short: dict[str, Any]

    @property
    def n_bytes(self) -> int:
        """Bytes of the streams."""
        return sum(array.nbytes for array in self.arrays.values())


def encode(state: Mapping[str, Array]) -> Encoded:
    """Return ``state``, what a format's ``state_dict`` gave, as streams."""
    arrays: dict[str, Array] = {}
    packed: dict[str, Any] = {}
    short: dict[str, Any] = {}
    for plain_name, array in _with_gaps(dict(state)).items():
        if array.dtype == np.uint32 and array.ndim <= 1 and array.size <= SHORT:
            short[plain_name] = array.tolist()
            continue
        name, stored, plain = _smallest(plain_name, array, state)
        arrays[name] = stored
        if stored is not plain:
            packed[name] = [type_name(plain.dtype), list(plain.shape)]
    return Encoded(arrays, packed, short)


def decode(encoded: Encoded) -> dict[str, Array]:
    """Return the state that :func:`encode` encoded.

    Raises
    ------
    DamagedError
        If the streams cannot have come from there. What is allocated is bounded by what there is.
    """
    state: dict[str, Array] = {}
    for name, array in encoded.arrays.items():
        packed = encoded.packed.get(name)
        state[name] = array if packed is None else _inflated(name, array, packed)
    for name, value in encoded.short.items():
        sizes = value if isinstance(value, list) else [value]
        fits = is_sizes(sizes) and len(sizes) <= SHORT and max(sizes, default=0) < 1 << 32
        expect(fits and name not in state, f"{name!r} is no short list of sizes")
        state[name] = np.asarray(value, np.uint32)
    for prefix in _prefixes(state, "symbols"):
        state[f"{prefix}codes"] = _from_symbols(
            state.pop(f"{prefix}symbols"), _sibling(state, prefix, "codebook")
        )
    for prefix in _prefixes(state, "gaps"):
        n_in, n_out = (int(_sibling(state, prefix, name)) for name in ("n_in", "n_out"))
        columns, lengths = _from_gaps(state.pop(f"{prefix}gaps"), n_in, n_out)
        state[f"{prefix}columns"], state[f"{prefix}row_lengths"] = columns, lengths
        del state[f"{prefix}n_in"]
    return state


def _prefixes(state: Mapping[str, Array], last: str) -> list[str]:
    """Return what stands before ``last`` in the names that end so: "", or the number of a part."""
    return [name.removesuffix(last) for name in state if name.rpartition(".")[2] == last]


def _sibling(state: Mapping[str, Array], prefix: str, name: str) -> Array:
    expect(prefix + name in state, f"{prefix + name!r} is missing")
    found = state[prefix + name]
    expect(name == "codebook" or found.ndim == 0, f"{prefix + name!r} is no number")
    return found


def deflate(data: bytes, expected: bytes = b"") -> bytes:
    """Return the smallest deflated form that a few settings find; no header, no checksum.

    What ``data`` shares with ``expected`` takes hardly any room; :func:`inflate` must know it.
    """
    found = []
    for strategy, memory in _SETTINGS if len(data) < _LONG else _SETTINGS[2:3]:
        packer = zlib.compressobj(9, zlib.DEFLATED, _RAW_DEFLATE, memory, strategy, expected)
        found.append(packer.compress(data) + packer.flush())
    return min(found, key=len)


def inflate(data: bytes, size: int, expected: bytes = b"") -> bytes:
    """Return the ``size`` bytes that ``data`` holds; never more are allocated.

    Raises
    ------
    DamagedError
        If it holds more or fewer, or is damaged.
    """
    expect(size <= MAX_INFLATION * (len(data) + 1), "a stream claims an impossible size")
    unpacker = zlib.decompressobj(_RAW_DEFLATE, zdict=expected)
    try:
        # One byte more, or a stream that is too long would look complete.
        plain = unpacker.decompress(data, size + 1)
    except zlib.error:
        plain = b""
    whole = len(plain) == size and unpacker.eof and not unpacker.unused_data
    expect(whole, "a stream is damaged")
    return plain


def to_gaps(columns: Array, row_lengths: Array, n_out: int) -> NDArray[np.uint8]:
    """Return the gaps before the non-zeros of a matrix of width ``n_out``, 255 an escape."""
    rows = np.repeat(np.arange(row_lengths.size, dtype=np.int64), row_lengths)
    places = rows * n_out + columns
    zeros = np.diff(places, prepend=-1) - 1
    escapes, rest = np.divmod(zeros, ESCAPE)
    gaps = np.full(zeros.size + int(escapes.sum()), ESCAPE, np.uint8)
    gaps[np.cumsum(escapes + 1) - 1] = rest
    return gaps


def _from_gaps(gaps: Array, n_in: int, n_out: int) -> tuple[Array, Array]:
    expect(gaps.dtype == np.uint8 and gaps.ndim == 1, "gaps are no bytes")
    expect(n_in <= MAX_ROWS and n_out > 0, f"a matrix of {n_in} x {n_out} is absurd")
    present = gaps != ESCAPE
    places = np.cumsum(gaps + present.astype(np.int64))[present] - 1
    inside = not places.size or int(places[-1]) < n_in * n_out
    expect(inside, "non-zeros lie outside of their matrix")
    rows, columns = np.divmod(places, n_out)
    # The types that the formats keep: the smallest that the width allows.
    lengths = np.bincount(rows, minlength=n_in).astype(np.min_scalar_type(n_out))
    return columns.astype(np.min_scalar_type(max(n_out - 1, 0))), lengths


def _with_gaps(state: dict[str, Array]) -> dict[str, Array]:
    """Replace columns and row lengths by gaps, in every part of the state."""
    for prefix in _prefixes(state, "row_lengths"):
        lengths, n_out = state.pop(f"{prefix}row_lengths"), int(state[f"{prefix}n_out"])
        if lengths.size > MAX_ROWS:
            raise ValueError(
                f"A sparse layer of {lengths.size} rows cannot be saved; {MAX_ROWS} is the most."
            )
        state[f"{prefix}gaps"] = to_gaps(state.pop(f"{prefix}columns"), lengths, n_out)
        state[f"{prefix}n_in"] = np.asarray(lengths.size, np.uint32)
    return state


def _from_symbols(symbols: Array, codebook: Array) -> Array:
    bits = bits_for(codebook.size)
    fits = (
        symbols.dtype == np.uint8 and bits < 8 and (not symbols.size or symbols.max() >> bits == 0)
    )
    expect(bool(fits), "codes do not fit their codebook")
    return pack_bits(symbols, bits)


def _smallest(name: str, array: Array, state: Mapping[str, Array]) -> tuple[str, Array, Array]:
    """Return name, stored form and plain form of the smallest way to store ``array``.

    Stored and plain are the same if it is not deflated.
    """
    candidates = [(name, array)]
    if name.rpartition(".")[2] == "codes":
        bits = bits_for(state[name.removesuffix("codes") + "codebook"].size)
        if bits in (3, 5, 6, 7):
            # Padding of the last byte becomes zeros that are packed to the same byte again.
            symbols = unpack_bits(array, bits, 8 * array.size // bits)
            candidates.append((f"{name.removesuffix('codes')}symbols", symbols))
    best = name, array, array
    for other, plain in candidates:
        data = deflate(_planes(plain))
        # Matrices stay as they are, for any reader, unless that is a waste.
        limit = 0.75 * array.nbytes if plain.ndim > 1 else best[1].nbytes
        # What says how to unpack it takes some bytes too.
        if len(data) + 16 < limit:
            best = other, np.frombuffer(data, np.uint8), plain
    return best


def _planes(array: Array) -> bytes:
    """Return all first bytes, then all second bytes, ... of the numbers, lowest bytes first."""
    little = np.asarray(array, array.dtype.newbyteorder("<"), order="C").reshape(-1, 1)
    return little.view(np.uint8).T.tobytes()


def _inflated(name: str, stored: Array, described: Any) -> Array:
    """Return the array that ``stored`` holds."""
    known = isinstance(described, list) and len(described) == 2 and described[0] in DTYPES
    known = known and is_sizes(described[1]) and len(described[1]) <= 8
    expect(known and stored.dtype == np.uint8, f"the stream {name!r} is not described")
    dtype, shape = DTYPES[described[0]], described[1]
    n = math.prod(shape)
    plain = np.frombuffer(inflate(stored.tobytes(), n * dtype.itemsize), np.uint8)
    numbers = np.ascontiguousarray(plain.reshape(dtype.itemsize, n).T).view(dtype)
    array: Array = numbers.reshape(shape).astype(dtype.newbyteorder("="))
    return array
