"""The output steps of the hinge and the logistic loss: they minimise what they should."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar

from fastbcd.network.losses.links import BY_CLASS, BY_LABEL
from fastbcd.network.losses.losses import LOSSES


@pytest.mark.parametrize("name", ["hinge", "logistic"])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("gamma", "alpha"), [(1.0, 1.0), (0.2, 0.0), (5.0, 2.0)])
def test_output_step_is_the_minimiser(name, soft, gamma, alpha):
    rng = np.random.default_rng(0)
    loss = LOSSES[name]
    v, u = 3 * rng.standard_normal((2, 30, 3))
    y = rng.random((30, 3)) if soft else rng.integers(2, size=(30, 3)) * 1.0
    weight = rng.random(30)
    new = v.copy()
    value, step = loss.step(new, u, y, gamma, alpha, weight)
    assert_allclose(value, loss.value(new, y, weight), rtol=1e-9)
    assert_allclose(step, weight @ np.sum((new - v) ** 2, axis=1), rtol=1e-9)
    one = np.ones(1)
    for i, j in np.ndindex(v.shape):

        def objective(t, i=i, j=j):
            part = loss.value(np.array([[t]]), y[i : i + 1, j : j + 1], one)
            return part + gamma / 2 * (t - u[i, j]) ** 2 + alpha / 2 * (t - v[i, j]) ** 2

        best = minimize_scalar(objective, bounds=(-20, 20), method="bounded")
        assert objective(new[i, j]) <= best.fun + 1e-10


@pytest.mark.parametrize("name", ["hinge", "logistic"])
def test_gradient_is_a_slope(name):
    rng = np.random.default_rng(1)
    loss, one = LOSSES[name], np.ones(1)
    v, y = 2 * rng.standard_normal((10, 2)), rng.random((10, 2))
    g = loss.gradient(v, y)
    for i, j in np.ndindex(v.shape):
        ends = [
            loss.value(np.array([[v[i, j] + h]]), y[i : i + 1, j : j + 1], one)
            for h in (-1e-6, 1e-6)
        ]
        assert_allclose(g[i, j], (ends[1] - ends[0]) / 2e-6, atol=1e-4)


def test_probabilities():
    v = np.array([[-3.0, -2.0], [2.0, 0.0], [0.0, 0.0]])
    assert_allclose(BY_CLASS["hinge"](v), [[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])
    assert_allclose(BY_LABEL["logistic"](v), 1 / (1 + np.exp(-v)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["hinge", "logistic"])
def test_extreme_values_stay_finite(name, dtype):
    v = np.array([[1e30, -1e30]], dtype)
    y = np.array([[0.0, 1.0]], dtype)
    value, step = LOSSES[name].step(v, v.copy(), y, 1.0, 1.0, np.ones(1))
    assert np.isfinite([value, step]).all()
    assert np.isfinite(v).all()
