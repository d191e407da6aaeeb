"""The output step is the exact proximal step of the loss, sample by sample."""

from __future__ import annotations

import numpy as np
import pytest
import reference

from fastbcd.network.losses.links import BY_CLASS
from fastbcd.network.losses.losses import LOSSES
from fastbcd_kernels import output_step

PENALTIES = [(1.0, 1.0), (0.5, 0.0), (0.01, 0.001), (100.0, 1.0), (1e-4, 0.0)]
TOL = {np.float32: 2e-5, np.float64: 1e-10}
LOSS_OF = {
    "squared": reference.squared_loss,
    "cross_entropy": reference.cross_entropy_loss,
}
STEP_OF = {
    "squared": reference.squared_step,
    "cross_entropy": reference.cross_entropy_step,
}

each_loss = pytest.mark.parametrize("name", LOSS_OF)
each_penalty = pytest.mark.parametrize("penalties", PENALTIES, ids=str)
each_dtype = pytest.mark.parametrize("dtype", TOL)
each_target = pytest.mark.parametrize("soft", [False, True], ids=["one-hot", "soft"])


def blocks(dtype=np.float64, shape=(25, 4), soft=False, scale=2.0, seed=0):
    """Return random v, u and rows y that sum to one."""
    rng = np.random.default_rng(seed)
    v, u = (rng.normal(scale=scale, size=shape).astype(dtype) for _ in range(2))
    if soft:
        y = rng.dirichlet(np.ones(shape[1]), size=shape[0])
    else:
        y = np.eye(shape[1])[rng.integers(shape[1], size=shape[0])]
    return v, u, y.astype(dtype)


def take_step(name, v, u, y, penalties, weight=None, tol=1e-13):
    """Run the kernel on a copy of ``v``; return the copy and what the kernel returned."""
    new = v.copy()
    weight = np.ones(len(v)) if weight is None else weight
    if name == "squared":
        return new, output_step.squared_step(new, u, y, *penalties, weight)
    return new, output_step.cross_entropy_step(new, u, y, *penalties, weight, tol)


def gradient_of(name, new, v, u, y, gamma, alpha):
    """Return the gradient of the step's objective at ``new``."""
    fit = new if name == "squared" else np.array([reference.softmax(row) for row in new])
    return fit - y + gamma * (new - u) + alpha * (new - v)


@each_loss
@each_penalty
@each_dtype
@each_target
def test_the_step_equals_the_reference(name, penalties, dtype, soft):
    v, u, y = blocks(dtype, soft=soft)
    new, _ = take_step(name, v, u, y, penalties)
    wide = [array.astype(np.float64) for array in (v, u, y)]
    expected = STEP_OF[name](*wide, *penalties)
    assert new.dtype == dtype
    # The smaller the curvature, the more a rounding of the gradient moves the minimiser.
    curvature = min(1.0, sum(penalties) + (name == "squared"))
    np.testing.assert_allclose(new, expected, rtol=TOL[dtype], atol=TOL[dtype] / curvature)


@each_loss
@each_penalty
@each_target
@pytest.mark.parametrize("n_outputs", [1, 2, 5, 60])
def test_the_gradient_vanishes_after_the_step(name, penalties, soft, n_outputs):
    v, u, y = blocks(shape=(25, n_outputs), soft=soft, seed=1)
    new, _ = take_step(name, v, u, y, penalties)
    gradient = gradient_of(name, new, v, u, y, *penalties)
    assert np.max(np.abs(gradient)) <= 5e-11


@pytest.mark.parametrize("penalties", PENALTIES[:4], ids=str)
@pytest.mark.parametrize("scale", [1e1, 1e2, 1e4, 1e6])
def test_huge_outputs_neither_overflow_nor_spoil_the_cross_entropy_step(penalties, scale):
    v, u, y = blocks(scale=scale, seed=2)
    new, (loss, step, n_newton) = take_step("cross_entropy", v, u, y, penalties)
    assert np.all(np.isfinite(new))
    assert np.isfinite(loss)
    assert np.isfinite(step)
    assert n_newton < output_step.MAX_NEWTON
    # The objective is r-strongly convex: it exceeds its minimum by at most ||gradient||^2 / 2r.
    gamma, alpha = penalties
    gradient = gradient_of("cross_entropy", new, v, u, y, *penalties)
    excess = np.sum(gradient**2, axis=1) / (2 * (gamma + alpha))
    near_u, near_v = np.sum((new - u) ** 2, axis=1), np.sum((new - v) ** 2, axis=1)
    value = reference.cross_entropy_loss(new, y) + gamma / 2 * near_u + alpha / 2 * near_v
    assert np.all(excess <= output_step.UNSEEN * (1 + value))


@each_penalty
def test_the_cross_entropy_step_keeps_the_sum_of_a_row_at_that_of_its_centre(penalties):
    # softmax(v) and y both sum to one, so the gradient's sum is that of the quadratic alone.
    gamma, alpha = penalties
    v, u, y = blocks(seed=3)
    new, _ = take_step("cross_entropy", v, u, y, penalties)
    centre = (gamma * u + alpha * v) / (gamma + alpha)
    tol = 1e-11 / min(1.0, sum(penalties))
    np.testing.assert_allclose(new.sum(axis=1), centre.sum(axis=1), atol=tol)


@each_loss
@each_penalty
def test_no_neighbour_beats_the_step(name, penalties):
    gamma, alpha = penalties
    v, u, y = blocks(seed=4)
    new, _ = take_step(name, v, u, y, penalties)

    def cost(x):
        near = gamma / 2 * np.sum((x - u) ** 2, axis=1) + alpha / 2 * np.sum((x - v) ** 2, axis=1)
        return LOSS_OF[name](x, y) + near

    rng = np.random.default_rng(5)
    best = cost(new)
    for size in (1e-3, 1e-1, 1.0, 10.0):
        for _ in range(10):
            assert np.all(best <= cost(new + size * rng.normal(size=v.shape)) + 1e-12)


@each_loss
@each_dtype
def test_the_sums_are_the_weighted_loss_and_the_weighted_step(name, dtype):
    v, u, y = blocks(dtype, soft=True)
    weight = np.random.default_rng(6).uniform(0, 3, len(v))
    new, sums = take_step(name, v, u, y, (1.0, 0.5), weight)
    loss = weight @ LOSS_OF[name](new.astype(np.float64), y.astype(np.float64))
    step = reference.weighted_squared_distance(new, v, weight)
    np.testing.assert_allclose(sums[:2], [loss, step], rtol=TOL[dtype])


@each_loss
@each_dtype
def test_sample_weights_leave_the_step_as_it_is(name, dtype):
    v, u, y = blocks(dtype)
    plain, sums = take_step(name, v, u, y, (1.0, 0.5))
    weighted, seven = take_step(name, v, u, y, (1.0, 0.5), np.full(len(v), 7.0))
    np.testing.assert_array_equal(plain, weighted)
    np.testing.assert_allclose(seven[:2], 7 * np.array(sums[:2]), rtol=1e-12)


@each_loss
@each_dtype
def test_only_the_outputs_are_overwritten(name, dtype):
    v, u, y = blocks(dtype)
    before = u.copy(), y.copy()
    new, _ = take_step(name, v, u, y, (1.0, 0.5))
    assert not np.array_equal(new, v)
    np.testing.assert_array_equal(u, before[0])
    np.testing.assert_array_equal(y, before[1])


@each_loss
@each_penalty
def test_the_objective_falls_by_the_strong_convexity_times_the_squared_step(name, penalties):
    gamma, alpha = penalties
    v, u, y = blocks(seed=7)
    new, sums = take_step(name, v, u, y, penalties)
    before = np.sum(LOSS_OF[name](v, y)) + gamma / 2 * np.sum((v - u) ** 2)
    after = np.sum(LOSS_OF[name](new, y)) + gamma / 2 * np.sum((new - u) ** 2)
    gain = (gamma + LOSSES[name].convexity) / 2 + alpha
    assert before - after >= gain * sums[1] - 1e-11 * (1 + before)


@each_penalty
def test_a_finished_row_takes_at_most_one_more_newton_step(penalties):
    gamma, _ = penalties
    v, u, y = blocks(seed=8)
    once, (_, _, first) = take_step("cross_entropy", v, u, y, (gamma, 0.0))
    again, (_, step, n_newton) = take_step("cross_entropy", once, u, y, (gamma, 0.0))
    assert 1 < first < 20
    assert n_newton <= 1
    assert step <= 1e-20 / gamma**2
    np.testing.assert_allclose(again, once, atol=1e-11 / gamma)


def test_a_single_class_has_no_loss_to_reduce():
    v, u = np.array([[3.0]]), np.array([[1.0]])
    new, (loss, _, _) = take_step("cross_entropy", v, u, np.ones((1, 1)), (1.0, 3.0))
    assert new[0, 0] == pytest.approx(2.5)
    assert loss == 0.0


@each_loss
def test_no_sample_gives_no_loss(name):
    empty = np.empty((0, 3))
    _, sums = take_step(name, empty, empty, empty, (1.0, 1.0))
    assert sums[:2] == (0.0, 0.0)


@each_loss
@each_dtype
def test_the_value_of_a_loss_equals_the_reference(name, dtype):
    v, _, y = blocks(dtype, soft=True)
    weight = np.random.default_rng(9).uniform(0, 3, len(v))
    expected = weight @ LOSS_OF[name](v.astype(np.float64), y.astype(np.float64))
    assert LOSSES[name].value(v, y, weight) == pytest.approx(expected, rel=TOL[dtype])


@each_loss
@each_dtype
def test_the_gradient_of_a_loss_is_its_difference_quotient(name, dtype):
    v, _, y = blocks(dtype, soft=True)
    gradient = LOSSES[name].gradient(v, y)
    assert gradient.dtype == dtype
    wide, h = v.astype(np.float64), 1e-6
    for j in range(v.shape[1]):
        shift = h * np.eye(v.shape[1])[j]
        quotient = (LOSS_OF[name](wide + shift, y) - LOSS_OF[name](wide - shift, y)) / (2 * h)
        np.testing.assert_allclose(gradient[:, j], quotient, atol=1e-6)


@each_loss
@each_dtype
def test_the_step_of_a_loss_is_that_of_its_kernel(name, dtype):
    v, u, y = blocks(dtype)
    weight = np.linspace(0, 2, len(v))
    mine = v.copy()
    sums = LOSSES[name].step(mine, u, y, 1.0, 0.5, weight)
    new, expected = take_step(name, v, u, y, (1.0, 0.5), weight)
    np.testing.assert_allclose(mine, new, atol=TOL[dtype])
    np.testing.assert_allclose(sums, expected[:2], rtol=TOL[dtype])


@each_loss
@each_dtype
def test_probabilities_are_non_negative_and_sum_to_one(name, dtype):
    v = np.array([[0.3, -0.2, 2.0], [-1.0, -2.0, -3.0], [0.0, 0.0, 0.0], [1e4, 0.0, -1e4]], dtype)
    p = BY_CLASS[name](v)
    assert p.dtype == dtype
    assert np.all(p >= 0)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(p[2], p[2, 0])
