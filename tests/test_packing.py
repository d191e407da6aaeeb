"""Codes packed to a few bits come back as they were, whatever their number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbcd.utils import bits as _packing
from fastbcd.utils.bits import bits_for, code_type, pack_bits, unpack_bits


def slowly_packed(codes, bits):
    """Set one bit after the other."""
    packed = np.zeros(-(-len(codes) * bits // 8), np.uint8)
    for i, code in enumerate(codes):
        for k in range(bits):
            place = i * bits + k
            packed[place // 8] |= (int(code) >> k & 1) << place % 8
    return packed


@st.composite
def packable(draw):
    bits = draw(st.integers(0, 16))
    codes = draw(st.lists(st.integers(0, 2**bits - 1), max_size=70))
    return np.array(codes, np.uint16), bits


@given(packable())
def test_codes_are_packed_bit_by_bit_and_come_back(case):
    codes, bits = case
    packed = pack_bits(codes, bits)
    np.testing.assert_array_equal(packed, slowly_packed(codes, bits))
    again = unpack_bits(packed, bits, codes.size)
    np.testing.assert_array_equal(again, codes)
    assert again.dtype == (np.uint8 if bits <= 8 else np.uint16)


@pytest.mark.parametrize("bits", range(17))
@pytest.mark.parametrize("n", [15, 16, 17, 40])
def test_chunks_join_without_a_seam(bits, n, monkeypatch):
    codes = np.random.default_rng(bits).integers(0, 2**bits, n).astype(np.uint16)
    monkeypatch.setattr(_packing, "CHUNK", 16)
    packed = pack_bits(codes, bits)
    np.testing.assert_array_equal(packed, slowly_packed(codes, bits))
    np.testing.assert_array_equal(unpack_bits(packed, bits, n), codes)


def test_codes_of_any_shape_and_order_are_read_row_by_row():
    codes = np.arange(12, dtype=np.uint8).reshape(3, 4) % 8
    np.testing.assert_array_equal(
        pack_bits(np.asfortranarray(codes), 3), slowly_packed(codes.ravel(), 3)
    )


@pytest.mark.parametrize(
    ("levels", "bits"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (256, 8), (257, 9)]
)
def test_a_code_takes_the_fewest_bits_that_tell_the_levels_apart(levels, bits):
    assert bits_for(levels) == bits
    assert np.iinfo(code_type(levels)).bits >= bits


def test_too_many_levels_are_refused():
    assert code_type(65_536) == np.uint16
    with pytest.raises(ValueError, match="65537"):
        code_type(65_537)


@pytest.mark.parametrize(("size", "bits", "n"), [(2, 3, 8), (4, 3, 8), (1, 0, 5), (0, 1, 1)])
def test_a_stream_of_the_wrong_size_is_refused(size, bits, n):
    with pytest.raises(ValueError, match="bytes"):
        unpack_bits(np.zeros(size, np.uint8), bits, n)


def test_a_number_of_bits_out_of_range_is_refused():
    with pytest.raises(ValueError, match="bits=17"):
        unpack_bits(np.zeros(17, np.uint8), 17, 8)
