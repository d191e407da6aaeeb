"""The linear solves of the block updates."""

from __future__ import annotations

import numpy as np
import pytest

from fastbcd.linalg import spd as _spd_system
from fastbcd.linalg.spd import SMALL, SPDSystem, solving_type

pytestmark = pytest.mark.usefixtures("alone_and_shared")

TOL = {np.float32: 1e-5, np.float64: 1e-12}

each_dtype = pytest.mark.parametrize("dtype", TOL)


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@each_dtype
@pytest.mark.parametrize("n", [1, SMALL, SMALL + 1, 90])
def test_the_inverse_of_a_system_is_that_of_its_matrix(dtype, n):
    rows = normal(3 * n, n, dtype=dtype)
    matrix, ridge = rows.T @ rows / (3 * n), np.linspace(1, 2, n)
    expected = np.linalg.inv(matrix.astype(np.float64) + np.diag(ridge))
    lower = SPDSystem(matrix, ridge).inverse()
    np.testing.assert_allclose(np.tril(lower), np.tril(expected), atol=TOL[dtype])


@pytest.mark.parametrize("n", [1, SMALL - 1, SMALL, SMALL + 1, 150])
def test_a_system_is_solved_once_factored_any_number_of_times(n):
    a = normal(n, n + 3)
    matrix, ridge = a @ a.T, np.linspace(0.5, 2, n)
    half = np.tril(matrix) + np.triu(np.full((n, n), np.nan), 1)
    system = SPDSystem(half, ridge)
    for m in (1, 4, 200):
        rhs = normal(n, m, seed=m)
        before = rhs.copy()
        x = system.solve(rhs)
        assert x.flags.c_contiguous
        np.testing.assert_array_equal(rhs, before)
        np.testing.assert_allclose((matrix + np.diag(ridge)) @ x, rhs, atol=1e-9)


@pytest.mark.parametrize("n", [3, SMALL + 10])
def test_a_system_that_is_not_positive_definite_is_refused_with_advice(n):
    matrix = np.eye(n)
    matrix[2, 2] = -5.0
    with pytest.raises(np.linalg.LinAlgError, match=r"positive definite \(pivot 3\)"):
        SPDSystem(matrix, np.zeros(n)).solve(np.ones((n, 1)))


def test_small_and_large_systems_agree(monkeypatch):
    a, rhs = normal(20, 30), normal(20, 4, seed=1)
    small = SPDSystem(a @ a.T, np.ones(20)).solve(rhs)
    monkeypatch.setattr(_spd_system, "SMALL", 0)
    large = SPDSystem(a @ a.T, np.ones(20)).solve(rhs)
    np.testing.assert_allclose(small, large, rtol=1e-10, atol=1e-12)


def test_only_well_conditioned_float32_systems_are_solved_in_float32():
    ridge = np.array([2.0, 1.0])
    single, double = np.dtype(np.float32), np.dtype(np.float64)
    assert solving_type(10.0, ridge, single) == single
    assert solving_type(10.0, ridge, double) == double
    assert solving_type(10.0 * _spd_system.SINGLE_BELOW, ridge, single) == double


@pytest.mark.parametrize("n", [40, 150])
def test_a_float32_system_is_solved_to_its_precision(n):
    a, rhs = normal(n, n + 3, dtype=np.float32), normal(n, 4, dtype=np.float32)
    matrix, ridge = a @ a.T, np.full(n, 5.0)
    x = SPDSystem(matrix.copy(), ridge).solve(rhs)
    assert x.dtype == np.float32
    expected = np.linalg.solve(matrix.astype(np.float64) + np.diag(ridge), rhs)
    np.testing.assert_allclose(x, expected, atol=1e-4 * np.abs(expected).max())
