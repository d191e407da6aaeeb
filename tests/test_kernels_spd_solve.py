"""The small Cholesky solver solves, reads one triangle and reports what it cannot solve."""

from __future__ import annotations

import numpy as np
import pytest
import reference

from fastbcd_kernels.spd_solve import spd_solve

each_size = pytest.mark.parametrize("n", [1, 2, 5, 33, 64])


def system(n, m=3, condition=1e3, seed=0):
    """Return an SPD matrix of the given condition number and right-hand sides."""
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    a = (q * np.geomspace(1, condition, n)) @ q.T
    return (a + a.T) / 2, rng.normal(size=(n, m))


@each_size
@pytest.mark.parametrize("m", [0, 1, 7])
@pytest.mark.parametrize("condition", [1.0, 1e3, 1e8])
def test_the_solution_equals_the_reference(n, m, condition):
    a, b = system(n, m, condition)
    x = b.copy()
    assert spd_solve(a.copy(), x) == 0
    expected = reference.spd_solve(a, b)
    scale = 1 + np.max(np.abs(expected), initial=0)
    np.testing.assert_allclose(x, expected, atol=1e-14 * condition * scale)


@each_size
def test_the_residual_is_at_rounding_level_whatever_the_condition(n):
    a, b = system(n, condition=1e12)
    x = b.copy()
    assert spd_solve(a.copy(), x) == 0
    bound = 1e-15 * n * (np.linalg.norm(a, 2) * np.linalg.norm(x) + np.linalg.norm(b))
    assert np.linalg.norm(a @ x - b) <= 10 * bound


@each_size
def test_the_matrix_is_overwritten_by_its_cholesky_factor(n):
    a, b = system(n)
    factor = a.copy()
    spd_solve(factor, b)
    lower = np.tril(factor)
    np.testing.assert_allclose(lower @ lower.T, a, atol=1e-11)
    assert np.all(np.diag(lower) > 0)


@each_size
def test_the_upper_triangle_is_neither_read_nor_written(n):
    a, b = system(n)
    half = a.copy()
    half[np.triu_indices(n, 1)] = np.nan
    x, y = b.copy(), b.copy()
    assert spd_solve(half, x) == 0
    spd_solve(a.copy(), y)
    np.testing.assert_array_equal(x, y)
    assert np.all(np.isnan(half[np.triu_indices(n, 1)]))


@pytest.mark.parametrize("bad", [0, 3, 6])
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_a_pivot_that_is_not_positive_is_named_and_the_right_hand_side_kept(bad, value):
    a, b = np.eye(7), np.arange(14.0).reshape(7, 2)
    a[bad, bad] = value
    x = b.copy()
    assert spd_solve(a, x) == bad + 1
    np.testing.assert_array_equal(x, b)


def test_an_indefinite_matrix_is_refused_at_the_pivot_that_fails():
    # The diagonal is positive; only the elimination shows it.
    x = np.ones((2, 1))
    assert spd_solve(np.array([[1.0, 2.0], [2.0, 1.0]]), x) == 2
    np.testing.assert_array_equal(x, 1.0)
