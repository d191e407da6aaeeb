"""The U-step is the exact proximal step of the activation, element by element."""

from __future__ import annotations

import numpy as np
import pytest
import reference

from fastbcd.network.layers.activations import ACTIVATIONS
from fastbcd_kernels import activation_step

PENALTIES = [
    (1.0, 1.0, 1.0),
    (0.5, 0.5, 1.0),
    (5.0, 0.1, 0.0),
    (0.01, 5.0, 0.001),
    (100.0, 0.5, 0.0),
    (0.0, 1.0, 2.0),
]
PIECES = {
    "relu": reference.piecewise_linear(0.0),
    "leaky_relu": reference.piecewise_linear(0.01),
    "steep": reference.piecewise_linear(0.6),
    "identity": reference.piecewise_linear(1.0),
    "hard_tanh": reference.HARD_TANH,
    "tanh": reference.TANH,
    "logistic": reference.LOGISTIC,
}
SHARP = {np.float32: 1e-5, np.float64: 1e-9}
# Relative to numbers of order one; a float32 has 1.2e-7.
TOL = {np.float32: 2e-5, np.float64: 1e-12}

each_activation = pytest.mark.parametrize("name", PIECES)
each_penalty = pytest.mark.parametrize("penalties", PENALTIES, ids=str)
each_dtype = pytest.mark.parametrize("dtype", TOL)


def take_step(name, u, z, v, penalties, weight=None):
    """Run the kernel on a copy of ``u`` and on u - z; return the copy and the two sums."""
    new, miss = u.copy(), u - z
    weight = np.ones(len(u)) if weight is None else weight
    if name == "hard_tanh":
        sums = activation_step.hard_tanh_step(new, miss, v, *penalties, weight)
    elif name in ("tanh", "logistic"):
        tol = SHARP[u.dtype.type]
        sums = activation_step.sigmoid_step(new, miss, v, *PIECES[name], *penalties, weight, tol)
    else:
        slope = PIECES[name][0].slope
        sums = activation_step.piecewise_linear_step(new, miss, v, slope, *penalties, weight)
    np.testing.assert_allclose(miss, new - z, rtol=0, atol=TOL[new.dtype.type])
    return new, sums


def blocks(dtype=np.float64, shape=(40, 9), seed=0):
    """Return random u, z, v; a few exactly on the kinks."""
    rng = np.random.default_rng(seed)
    u, z, v = (rng.normal(scale=1.5, size=shape).astype(dtype) for _ in range(3))
    for array in (u, z, v):
        array[rng.random(shape) < 0.05] = 0.0
        array[rng.random(shape) < 0.05] = 1.0
    return u, z, v


@each_activation
@each_penalty
@each_dtype
def test_the_step_equals_the_best_piece(name, penalties, dtype):
    u, z, v = blocks(dtype)
    new, _ = take_step(name, u, z, v, penalties)
    expected = reference.activation_step(u, z, v, PIECES[name], *penalties)
    assert new.dtype == dtype
    wide = [array.astype(np.float64) for array in (u, z, v)]
    cost = reference.activation_cost(new.astype(np.float64), *wide, PIECES[name], *penalties)
    best = reference.activation_cost(expected, *wide, PIECES[name], *penalties)
    scale = 1 + sum(penalties)
    assert np.max(cost - best) <= TOL[dtype] * scale
    # Two pieces may cost the same; elsewhere the point itself is the same.
    elsewhere = np.abs(new - expected) > TOL[dtype] * 10
    assert np.mean(elsewhere) < 0.02
    assert np.all(np.abs(cost - best)[elsewhere] <= TOL[dtype] * scale)


@each_activation
@each_penalty
def test_no_candidate_of_a_grid_beats_the_step(name, penalties):
    u, z, v = blocks(shape=(12, 5), seed=1)
    new, _ = take_step(name, u, z, v, penalties)
    cost = reference.activation_cost(new, u, z, v, PIECES[name], *penalties)
    for candidate in np.linspace(-6, 6, 601):
        other = np.full(u.shape, candidate)
        rival = reference.activation_cost(other, u, z, v, PIECES[name], *penalties)
        assert np.all(cost <= rival + 1e-12 * (1 + rival))


@each_penalty
def test_the_relu_step_equals_the_published_case_distinction(penalties):
    rho, gamma, alpha = penalties
    rng = np.random.default_rng(2)
    u, z, v = (rng.normal(scale=2, size=(200, 50)) for _ in range(3))
    new, _ = take_step("relu", u, z, v, penalties)
    c = (rho * z + alpha * u) / (rho + alpha)
    g = (rho + alpha) / gamma
    cases = np.vectorize(reference.relu_step_by_cases)(v, c, g)
    np.testing.assert_allclose(new, cases, rtol=1e-12, atol=1e-12)


@each_activation
@each_penalty
@each_dtype
def test_the_sums_are_the_weighted_gap_and_the_weighted_step(name, penalties, dtype):
    u, z, v = blocks(dtype)
    weight = np.random.default_rng(3).uniform(0, 3, len(u))
    new, (gap, step) = take_step(name, u, z, v, penalties, weight)
    sigma = reference.activate(new, PIECES[name])
    expected_gap = reference.weighted_squared_distance(v, sigma, weight)
    expected_step = reference.weighted_squared_distance(new, u, weight)
    assert gap == pytest.approx(expected_gap, rel=TOL[dtype] * 10, abs=TOL[dtype])
    assert step == pytest.approx(expected_step, rel=TOL[dtype] * 10, abs=TOL[dtype])


@each_activation
@each_dtype
def test_sample_weights_leave_the_step_as_it_is(name, dtype):
    u, z, v = blocks(dtype)
    plain, sums = take_step(name, u, z, v, (1.0, 2.0, 0.5))
    weighted, seven = take_step(name, u, z, v, (1.0, 2.0, 0.5), np.full(len(u), 7.0))
    np.testing.assert_array_equal(plain, weighted)
    np.testing.assert_allclose(seven, 7 * np.array(sums), rtol=1e-12)


@each_activation
def test_a_row_without_weight_is_updated_but_not_counted(name):
    u, z, v = blocks()
    weight = np.ones(len(u))
    weight[::2] = 0.0
    new, sums = take_step(name, u, z, v, (1.0, 1.0, 1.0), weight)
    everything, _ = take_step(name, u, z, v, (1.0, 1.0, 1.0))
    odd, odd_sums = take_step(name, u[1::2].copy(), z[1::2].copy(), v[1::2].copy(), (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(new, everything)
    np.testing.assert_array_equal(new[1::2], odd)
    np.testing.assert_allclose(sums, odd_sums, rtol=1e-12)


@each_activation
@each_dtype
def test_the_activations_are_only_read(name, dtype):
    u, z, v = blocks(dtype)
    before = v.copy()
    new, _ = take_step(name, u, z, v, (1.0, 1.0, 1.0))
    assert not np.array_equal(new, u)
    np.testing.assert_array_equal(v, before)


@each_activation
@each_penalty
def test_the_objective_falls_by_at_least_half_alpha_times_the_squared_step(name, penalties):
    rho, gamma, alpha = penalties
    u, z, v = blocks(seed=4)
    new, (_, step) = take_step(name, u, z, v, penalties)
    before = reference.activation_cost(u, u, z, v, PIECES[name], rho, gamma, 0.0).sum()
    after = reference.activation_cost(new, u, z, v, PIECES[name], rho, gamma, 0.0).sum()
    assert before - after >= alpha / 2 * step - 1e-10 * before


@each_activation
@each_penalty
def test_the_sigma_of_the_step_lies_between_the_activation_and_that_of_the_centre(name, penalties):
    # The gap never grows past what staying at the centre of both quadratics would leave.
    rho, _, alpha = penalties
    u, z, v = blocks(seed=5)
    new, _ = take_step(name, u, z, v, penalties)
    centre = (rho * z + alpha * u) / (rho + alpha)
    gap = np.abs(reference.activate(new, PIECES[name]) - v)
    at_centre = np.abs(reference.activate(centre, PIECES[name]) - v)
    assert np.all(gap <= at_centre + 1e-12)


@each_activation
@each_dtype
def test_a_consistent_layer_stays_where_it_is(name, dtype):
    u, _, _ = blocks(dtype)
    v = reference.activate(u, PIECES[name]).astype(dtype)
    new, (gap, step) = take_step(name, u, u.copy(), v, (1.0, 1.0, 1.0))
    np.testing.assert_allclose(new, u, rtol=TOL[dtype], atol=TOL[dtype])
    assert gap <= TOL[dtype]
    assert step <= TOL[dtype]


@each_activation
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (1, 17), (17, 1)], ids=str)
def test_every_shape_has_its_step(name, shape):
    u, z, v = blocks(shape=shape)
    new, sums = take_step(name, u, z, v, (1.0, 1.0, 1.0))
    expected = reference.activation_step(u, z, v, PIECES[name], 1.0, 1.0, 1.0)
    np.testing.assert_allclose(new, expected, atol=1e-12)
    assert np.all(np.isfinite(sums))


@each_activation
@each_dtype
@pytest.mark.parametrize("spoilt", ["u", "z", "v"])
def test_a_nan_shows_in_the_sums(name, dtype, spoilt):
    arrays = dict(zip("uzv", blocks(dtype), strict=True))
    arrays[spoilt][3, 2] = np.nan
    new, sums = take_step(name, arrays["u"], arrays["z"], arrays["v"], (1.0, 1.0, 1.0))
    assert np.isnan(new).any() or np.isnan(sums).any()


@pytest.mark.parametrize("name", ACTIVATIONS)
@each_dtype
def test_the_value_and_the_fused_value_equal_the_pieces(name, dtype):
    u, _, _ = blocks(dtype)
    activation = ACTIVATIONS[name]
    expected = reference.activate(u, PIECES[name])
    value = activation.value(u)
    assert value.dtype == dtype
    np.testing.assert_allclose(value, expected, rtol=TOL[dtype])
    out = np.empty_like(u)
    assert activation.value(u, out=out) is out
    np.testing.assert_array_equal(out, value)
    bias = np.linspace(-1, 1, u.shape[1]).astype(dtype)
    shifted = u - bias
    activation.add_bias(shifted, bias)
    assert shifted.dtype == dtype
    np.testing.assert_allclose(shifted, expected, rtol=TOL[dtype], atol=TOL[dtype])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_slopes_are_the_one_sided_difference_quotients(name):
    u = np.array([[-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0]])
    h = 2.0**-20
    left, right = ACTIVATIONS[name].slopes(u)
    at, pieces = reference.activate(u, PIECES[name]), PIECES[name]
    atol = h if isinstance(pieces, reference.Sigmoid) else 1e-9
    np.testing.assert_allclose(left, (at - reference.activate(u - h, pieces)) / h, atol=atol)
    np.testing.assert_allclose(right, (reference.activate(u + h, pieces) - at) / h, atol=atol)


@pytest.mark.parametrize("name", ACTIVATIONS)
@each_dtype
def test_the_step_of_an_activation_is_that_of_its_kernel(name, dtype):
    u, z, v = blocks(dtype)
    weight = np.linspace(0, 2, len(u))
    mine = u.copy()
    sums = ACTIVATIONS[name].step(mine, u - z, v, (1.0, 2.0, 0.5), weight)
    new, expected = take_step(name, u, z, v, (1.0, 2.0, 0.5), weight)
    np.testing.assert_array_equal(mine, new)
    assert sums == expected


# ------------------------------------------------------------------ sigmoids


def problems(name, n=3000, seed=0):
    """Yield random sigmoid steps of all scales: u, z, v (1, n) and penalties."""
    rng = np.random.default_rng(seed)
    for _ in range(12):
        rho, alpha, gamma = 10 ** rng.uniform([-4, -4, -1], [1, 1, 2])
        u, z = rng.normal(scale=10 ** rng.uniform(-1, 1), size=(2, 1, n // 12))
        v = rng.normal(0.5 * (name == "logistic"), 0.6, (1, n // 12))
        yield u, z, v, (rho, gamma, alpha)


each_sigmoid = pytest.mark.parametrize("name", ["tanh", "logistic"])


@each_sigmoid
def test_no_point_of_a_fine_grid_beats_the_step_of_a_sigmoid(name):
    n_choices = np.zeros(2, int)
    for u, z, v, penalties in problems(name):
        new, _ = take_step(name, u, z, v, penalties)
        cost = reference.activation_cost(new, u, z, v, PIECES[name], *penalties)[0]
        grid = np.linspace(-50, 50, 20001)[:, None]
        rivals = reference.activation_cost(grid, u, z, v, PIECES[name], *penalties)
        assert np.all(cost <= rivals.min(axis=0) * (1 + 1e-12))
        inner = (rivals[1:-1] < rivals[:-2]) & (rivals[1:-1] < rivals[2:])
        n_minima = inner.sum(axis=0)
        assert n_minima.max() <= 2
        # The nearer minimum is the one that is met first on the way from the centre.
        rho, _, alpha = penalties
        centre = (rho * z + alpha * u)[0] / (rho + alpha)
        distance = np.where(inner, np.abs(grid[1:-1] - centre), np.inf).min(axis=0)
        farther = np.abs(new[0] - centre) > distance + 0.1
        n_choices += [np.count_nonzero(n_minima > 1), np.count_nonzero(farther)]
    assert np.all(n_choices > 20)  # the choice between two minima was tried, with either result
    assert n_choices[0] > n_choices[1] + 20


@each_sigmoid
def test_the_step_of_a_sigmoid_equals_its_twin_at_all_scales(name):
    for u, z, v, penalties in problems(name, n=240, seed=1):
        new, _ = take_step(name, u, z, v, penalties)
        expected = reference.activation_step(u, z, v, PIECES[name], *penalties)
        costs = [
            reference.activation_cost(x, u, z, v, PIECES[name], *penalties) for x in (new, expected)
        ]
        np.testing.assert_allclose(*costs, rtol=1e-11)
        same = np.abs(new - expected) < 1e-7 * (1 + np.abs(expected))
        assert np.all(same | (np.abs(costs[0] - costs[1]) < 1e-12 * costs[0]))


@each_sigmoid
@each_dtype
def test_the_step_of_a_sigmoid_ends_for_numbers_of_any_size(name, dtype):
    sizes = [0, 1, 0.5, 1e-30, 1e-7, 1 - 2.0**-24, 30, 1e9]
    sizes = [sign * size for size in sizes for sign in (1, -1)]
    u, z, v = (a.reshape(1, -1).astype(dtype) for a in np.meshgrid(sizes, sizes, sizes))
    for rho in (0.0, 1e-9, 1.0, 1e9):
        for alpha in (1e-9, 1.0):
            new, sums = take_step_of_any_size(name, u, z, v, (rho, 1.0, alpha))
            assert np.isfinite(new).all()
            assert np.isfinite(sums).all()
            wide = [a.astype(np.float64) for a in (u, z, v)]
            after = reference.activation_cost(
                new.astype(np.float64), *wide, PIECES[name], rho, 1.0, alpha
            )
            before = reference.activation_cost(wide[0], *wide, PIECES[name], rho, 1.0, alpha)
            # Rounding the step itself to the type costs that much.
            slack = (rho + alpha + 1) * (np.finfo(dtype).eps * (1 + sum(map(abs, wide)))) ** 2
            assert np.all(after <= before * (1 + 1e-5) + 100 * slack)


def take_step_of_any_size(name, u, z, v, penalties):
    """Take a step without a check of the residuals, which lose digits where u and z differ."""
    new, miss = u.copy(), u - z
    sums = activation_step.sigmoid_step(
        new, miss, v, *PIECES[name], *penalties, np.ones(len(u)), SHARP[u.dtype.type]
    )
    return new, sums
