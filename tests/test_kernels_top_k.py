"""The hard threshold keeps exactly k entries, the first of equal ones, bit by bit."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from fastbcd_kernels import top_k

WORDS = {np.float32: (np.uint32, 31), np.float64: (np.uint64, 63)}
SPECIAL = {
    dtype: [
        0.0,
        -0.0,
        1.0,
        -1.0,
        float(np.nextafter(dtype(1), dtype(2))),
        float(np.finfo(dtype).smallest_subnormal),
        -float(np.finfo(dtype).smallest_subnormal),
        float(np.finfo(dtype).tiny),
        float(np.finfo(dtype).max),
        -float(np.finfo(dtype).max),
        float("inf"),
        float("-inf"),
    ]
    for dtype in WORDS
}

each_dtype = pytest.mark.parametrize("dtype", WORDS)


def threshold(x, k):
    """Run the kernel as the scheme does, into memory that holds rubbish."""
    word, n_bits = WORDS[x.dtype.type]
    out = np.full_like(x, np.nan)
    top_k.hard_threshold(x, x.view(word), n_bits, k, out)
    return out


def assert_same_bits(a, b):
    """Compare the numbers where they are kept; a dropped entry is a plain zero."""
    word, _ = WORDS[a.dtype.type]
    np.testing.assert_array_equal(a.view(word), b.view(word))


@each_dtype
@given(data=st.data())
def test_the_result_equals_a_stable_sort(dtype, data):
    width = 32 if dtype == np.float32 else 64
    value = st.one_of(st.sampled_from(SPECIAL[dtype]), st.floats(width=width, allow_nan=False))
    x = np.array(data.draw(st.lists(value, min_size=1, max_size=40)), dtype)
    k = data.draw(st.integers(0, x.size))
    before = x.copy()
    assert_same_bits(threshold(x, k), reference.hard_threshold(x, k))
    assert_same_bits(x, before)


@each_dtype
@pytest.mark.parametrize("n", [1, 2, 1000, 20_011, top_k.SMALLEST, 100_003])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.99, 1.0])
def test_random_numbers_keep_exactly_k(dtype, n, share):
    x = np.random.default_rng(n).normal(size=n).astype(dtype)
    k = round(share * n)
    result = threshold(x, k)
    assert np.count_nonzero(result) == k
    assert_same_bits(result, reference.hard_threshold(x, k))


@each_dtype
@pytest.mark.parametrize("k", [0, 1, 3333, 5000, 9999, 10_000])
@pytest.mark.parametrize("levels", [1, 2, 5])
def test_massive_ties_keep_the_first(dtype, k, levels):
    rng = np.random.default_rng(levels)
    x = (rng.integers(1, levels + 1, 10_000) * rng.choice([-0.5, 0.5], 10_000)).astype(dtype)
    result = threshold(x, k)
    assert np.count_nonzero(result) == k
    assert_same_bits(result, reference.hard_threshold(x, k))


@each_dtype
@pytest.mark.parametrize("order", ["ascending", "period"])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.9])
def test_a_sample_that_misleads_changes_nothing(dtype, order, share):
    n = 2 * top_k.SMALLEST + 1
    x = np.arange(1, n + 1).astype(dtype)
    if order == "period":  # what is sampled is small, all else is large
        x[:: n // min(n // 32, top_k.SAMPLE)] *= 1e-6
    k = round(share * n)
    assert_same_bits(threshold(x, k), reference.hard_threshold(x, k))


@each_dtype
def test_zeros_are_kept_last(dtype):
    x = np.array([0, 3, -0.0, -2, 0, np.finfo(dtype).smallest_subnormal, 0], dtype)
    assert np.flatnonzero(threshold(x, 3)).tolist() == [1, 3, 5]
    assert np.flatnonzero(threshold(x, 6)).tolist() == [1, 3, 5]


@each_dtype
def test_neighbouring_numbers_are_told_apart_down_to_the_last_bit(dtype):
    word, _ = WORDS[dtype]
    # Neighbours share all leading digits of the radix selection.
    x = (np.full(200, 1.5, dtype).view(word) + np.arange(200, dtype=word)).view(dtype)
    x = np.random.default_rng(0).permutation(x)
    for k in (1, 64, 127, 128, 199):
        assert_same_bits(threshold(x, k), reference.hard_threshold(x, k))


@each_dtype
@pytest.mark.parametrize("k", range(7))
def test_no_support_of_k_entries_is_nearer(dtype, k):
    x = np.array([0.5, -2.0, 0.5, 1.25, -0.5, 0.0], dtype)
    error = np.sum((x - threshold(x, k)) ** 2)
    for kept in combinations(range(6), k):
        dropped = np.delete(x, list(kept))
        assert error <= np.sum(dropped**2)


@each_dtype
@given(data=st.data())
def test_the_key_is_the_kth_largest_magnitude_and_its_neighbours_are_counted(dtype, data):
    word, n_bits = WORDS[dtype]
    values = data.draw(st.lists(st.sampled_from(SPECIAL[dtype]), min_size=1, max_size=30))
    x = np.array(values, dtype)
    k = data.draw(st.integers(1, x.size))
    key, above, equal = top_k.kth_largest_key(x.view(word), n_bits, k)
    magnitude = np.sort(np.abs(x))[::-1]
    kth = magnitude[k - 1]
    assert np.array([key]).astype(word).view(dtype)[0] == kth
    assert above == np.sum(magnitude > kth)
    assert equal == np.sum(magnitude == kth)
    assert above < k <= above + equal
