"""The system of the V-step: its gain, and the residual that it leaves without another product."""

from __future__ import annotations

import numpy as np
import pytest

from fastbcd.network.layers import row_step as _activation_system
from fastbcd.network.layers.patches import WHOLE_ROW
from fastbcd.network.layers.row_step import ActivationSystem, activation_gain

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def normal(*shape, dtype=np.float64, seed=0):
    """Return standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def full(lower):
    """Return the symmetric matrix of a lower half."""
    return np.tril(lower) + np.tril(lower, -1).T


@each_dtype
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 9), (9, 1), (20, 6), (6, 20), (8, 8), (100, 90)], ids=str
)
@pytest.mark.parametrize("ratio", [0.01, 1.0, 100.0])
def test_the_gain_is_the_ridge_inverse_whichever_side_is_smaller(dtype, shape, ratio):
    w = normal(*shape, dtype=dtype)
    wide = w.astype(np.float64)
    expected = np.linalg.solve(wide.T @ wide + ratio * np.eye(shape[1]), wide.T)
    gain = activation_gain(w, ratio)
    assert gain.dtype == dtype
    # In float32 the rounding grows with the condition of the system.
    condition = 1 + np.linalg.norm(wide, 2) ** 2 / ratio
    tol = np.finfo(dtype).eps * condition * np.abs(expected).max()
    np.testing.assert_allclose(gain, expected, rtol=1e-8 if dtype == np.float64 else 1e-6, atol=tol)


def test_the_gain_gives_the_minimiser_of_the_activation_block():
    rho, gamma = 0.7, 1.3
    w, u, s = normal(5, 3), normal(11, 3, seed=1), normal(11, 5, seed=2)
    v = s + (u - s @ w) @ activation_gain(w, gamma / rho)
    gradient = gamma * (v - s) - rho * (u - v @ w) @ w.T
    np.testing.assert_allclose(gradient, 0, atol=1e-12)


@each_dtype
@pytest.mark.parametrize("shape", [(1, 1), (9, 1), (20, 6), (8, 8), (100, 90)], ids=str)
@pytest.mark.parametrize("ratio", [0.5, 1.0, 100.0])
def test_the_shrinkage_is_what_the_step_leaves_of_a_miss(dtype, shape, ratio):
    w = normal(*shape, dtype=dtype) / np.sqrt(shape[0], dtype=dtype)
    shrinkage = ActivationSystem(w, ratio).shrinkage()
    assert shrinkage.dtype == dtype
    left = np.eye(shape[1]) - activation_gain(w, ratio).astype(np.float64) @ w
    condition = 1 + np.linalg.norm(w, 2) ** 2 / ratio
    tol = 10 * np.finfo(dtype).eps * condition
    np.testing.assert_allclose(full(shrinkage), left, rtol=0, atol=tol)


def test_there_is_no_shrinkage_of_a_wider_layer_or_of_a_bad_condition():
    w = normal(12, 7)
    assert ActivationSystem(w, 1.0).shrinkage() is not None
    assert ActivationSystem(np.ascontiguousarray(w.T), 1.0).shrinkage() is None
    # The bound lies at or above the condition itself, so that no bad one is missed.
    ratio = np.linalg.norm(w, 2) ** 2 / _activation_system.INVERSE_BELOW
    assert ActivationSystem(w, ratio).shrinkage() is None


@each_dtype
@pytest.mark.parametrize("shape", [(50, 80), (80, 50), (60, 60)], ids=str)
@pytest.mark.parametrize("ratio", [1e-9, 1e-2, 1.0, 1e3])
def test_a_dense_step_leaves_its_own_residual(dtype, shape, ratio):
    (d, m), n = shape, 200
    w = normal(d, m, dtype=dtype) / np.sqrt(d, dtype=dtype)
    s, goal = np.maximum(normal(n, d, dtype=dtype), 0), normal(n, m, dtype=dtype, seed=1)
    v, residual = s.copy(), np.full_like(goal, np.nan)
    WHOLE_ROW.solve_activation(v, goal.copy(), s, w, ratio, residual)
    v, s, w, goal = (array.astype(np.float64) for array in (v, s, w, goal))
    np.testing.assert_allclose(residual, goal - v @ w, rtol=0, atol=100 * np.finfo(dtype).eps)
    if dtype == np.float64:  # the gradient of the block vanishes
        gradient = ratio * (v - s) - (goal - v @ w) @ w.T
        np.testing.assert_allclose(gradient, 0, atol=1e-8)


def test_both_ways_of_a_dense_step_agree(monkeypatch):
    w, s, goal = normal(30, 20), normal(90, 30, seed=1), normal(90, 20, seed=2)
    results = []
    for bound in (_activation_system.INVERSE_BELOW, 0.0):
        monkeypatch.setattr(_activation_system, "INVERSE_BELOW", bound)
        v, residual = s.copy(), np.empty_like(goal)
        WHOLE_ROW.solve_activation(v, goal.copy(), s, w, 0.5, residual)
        results.append((v, residual))
    np.testing.assert_allclose(results[0][0], results[1][0], atol=1e-11)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-11)
