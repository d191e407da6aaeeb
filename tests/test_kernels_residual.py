"""Weighted distances and the fused bias and activation."""

from __future__ import annotations

import numpy as np
import pytest
import reference

from fastbcd_kernels.residual import (
    add_bias_piecewise_linear,
    column_sums,
    weighted_squared_distance,
)

TOL = {np.float32: 1e-5, np.float64: 1e-13}
SHAPES = [(0, 3), (3, 0), (1, 1), (1, 50), (50, 1), (31, 17)]
SLOPES = [0.0, 0.01, 0.5, 1.0]

each_dtype = pytest.mark.parametrize("dtype", TOL)
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_slope = pytest.mark.parametrize("slope", SLOPES)


def normal(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@each_dtype
@each_shape
def test_the_distance_equals_the_double_loop(dtype, shape):
    a, b = normal(shape, dtype), normal(shape, dtype, seed=1)
    weight = np.random.default_rng(2).uniform(0, 3, shape[0])
    expected = reference.weighted_squared_distance(a, b, weight)
    assert weighted_squared_distance(a, b, weight) == pytest.approx(expected, rel=TOL[dtype])


@each_dtype
def test_the_distance_of_equal_arrays_is_zero(dtype):
    a = normal((20, 30), dtype)
    assert weighted_squared_distance(a, a.copy(), np.ones(20)) == 0.0


def test_the_distance_is_linear_in_the_weights():
    a, b = normal((20, 30)), normal((20, 30), seed=1)
    one = weighted_squared_distance(a, b, np.ones(20))
    assert weighted_squared_distance(a, b, np.full(20, 7.0)) == pytest.approx(7 * one, rel=1e-14)
    assert weighted_squared_distance(a, b, np.zeros(20)) == 0.0


def test_many_rows_of_float32_are_summed_in_double():
    # In float32 the sum would stop growing at 2^24.
    n = 2**24 + 1000
    ones, zeros = np.ones((n, 1), np.float32), np.zeros((n, 1), np.float32)
    assert weighted_squared_distance(ones, zeros, np.ones(n)) == n


@each_dtype
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_distance_does_not_hide_what_is_not_finite(dtype, bad):
    a = normal((5, 40), dtype)
    a[3, 17] = bad
    assert not np.isfinite(weighted_squared_distance(a, np.zeros_like(a), np.ones(5)))


@each_dtype
@each_shape
@each_slope
def test_bias_and_activation_equal_the_reference(dtype, shape, slope):
    z, bias = normal(shape, dtype), normal(shape[1:], dtype, seed=1)
    before = bias.copy()
    expected = reference.add_bias(z, bias, slope)
    assert add_bias_piecewise_linear(z, bias, slope) is None
    np.testing.assert_allclose(z, expected, rtol=TOL[dtype], atol=TOL[dtype])
    np.testing.assert_array_equal(bias, before)


@each_dtype
@each_slope
def test_activation_keeps_a_nan(dtype, slope):
    z = np.array([[np.nan, 1.0]], dtype)
    add_bias_piecewise_linear(z, np.zeros(2, dtype), slope)
    assert np.isnan(z[0, 0])
    assert z[0, 1] == 1


@each_dtype
@each_slope
def test_activation_takes_infinities_to_their_limits(dtype, slope):
    z = np.array([[np.inf, -np.inf]], dtype)
    add_bias_piecewise_linear(z, np.zeros(2, dtype), slope)
    assert z[0, 0] == np.inf
    assert z[0, 1] == (-np.inf if slope else 0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (50, 7)], ids=str)
def test_column_sums_are_weighted_and_summed_in_double(dtype, shape):
    rng = np.random.default_rng(0)
    a, weight = rng.normal(size=shape).astype(dtype), rng.uniform(0, 2, shape[0])
    out = np.full(shape[1], np.nan)
    column_sums(a, weight, out)
    np.testing.assert_allclose(out, weight @ a.astype(np.float64), rtol=1e-12, atol=1e-14)
