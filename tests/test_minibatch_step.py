"""The mini-batch kernels and one step against slow twins, in float64 to the last digits."""

from __future__ import annotations

import numpy as np
import pytest
import reference_minibatch as reference
from numpy.testing import assert_allclose

from fastbcd.linalg import batch_products as products
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.layers.architecture import Architecture
from fastbcd.network.losses.losses import LOSSES
from fastbcd.solvers.minibatch import MiniBatchProblem, MiniBatchSolver
from fastbcd.solvers.minibatch import step as _step
from fastbcd.solvers.minibatch.rows import Rows
from fastbcd.solvers.minibatch.schedule import Schedule
from fastbcd.solvers.minibatch.settings import CompressionSchedule, Settings
from fastbcd_kernels import minibatch_step as kernel
from fastbcd_kernels import minibatch_weights

EXACT = Settings(noise=0.0, momentum=0.5, weight_decay=0.01, smoothing=0.1)


def data(loss, n=60, d=7, k=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 3
    if loss in ("cross_entropy", "hinge"):
        y = np.eye(k)[rng.integers(k, size=n)]
    elif loss == "logistic":
        y = rng.integers(2, size=(n, k)) * 1.0
    else:
        y = rng.standard_normal((n, k))
    return x, y, rng.integers(1, 4, size=n) * 1.0


def problem_of(x, y, weight, loss="cross_entropy", activation="relu", hidden=(6, 5), **changes):
    given = {"batch_size": len(x), "settings": EXACT, "schedule": Schedule(100)}
    given.update(changes)
    layout = Architecture.of(hidden, x.shape[1], y.shape[1])
    return MiniBatchProblem(
        Rows(x, y, weight, y.shape[1], x.dtype),
        layout,
        LOSSES[loss],
        ALL_ACTIVATIONS[activation],
        given.pop("schemes", [None] * len(layout.shapes)),
        copies=CompressionSchedule(),
        **given,
    )


def weights_of(state):
    return [layer.weight.copy() for layer in state.layers], [
        layer.bias.copy() for layer in state.layers
    ]


@pytest.mark.parametrize("hidden", [(6, 5), (70, 80)], ids=["many rows", "many units"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("activation", ALL_ACTIVATIONS)
@pytest.mark.parametrize("loss", ["cross_entropy", "squared", "hinge", "logistic"])
def test_full_batch_step_equals_slow_twin(loss, activation, weighted, hidden):
    x, y, weight = data(loss)
    problem = problem_of(x, y, weight if weighted else None, loss, activation, hidden)
    solver = MiniBatchSolver()
    state = solver.init(problem, np.random.default_rng(0))
    before = weights_of(state)
    relative = weight / weight.mean() if weighted else np.ones(len(x))
    z = state.inputs.whitened(state.inputs.centered(x.copy()))
    expected = reference.first_step(
        z, y, relative, *before, activation, loss,
        length=problem.schedule.length(0), rate=EXACT.learning_rate, damping=EXACT.damping,
        gain=EXACT.gain, smoothing=EXACT.smoothing, decay=EXACT.weight_decay,
    )  # fmt: skip
    solver.step(problem, state)
    assert state.step == 1
    for found, wanted in zip(weights_of(state), expected, strict=True):
        for a, b in zip(found, wanted, strict=True):
            assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_integer_weights_equal_repetitions_in_a_full_batch():
    # Enough rows for the running Gram matrices to forget equally fast in both fits.
    x, y, weight = data("cross_entropy", n=600)
    times = weight.astype(int)
    ends = []
    for rows in ((x, y, weight), (np.repeat(x, times, 0), np.repeat(y, times, 0), None)):
        problem = problem_of(*rows)
        state = MiniBatchSolver().init(problem, np.random.default_rng(0))
        for _ in range(5):
            MiniBatchSolver().step(problem, state)
        ends.append(MiniBatchSolver().network(problem, state).forward(x))
    assert_allclose(*ends, rtol=1e-6, atol=1e-8)


def test_rows_without_weight_change_nothing_in_a_full_batch():
    x, y, _ = data("squared", n=1200)
    weight = np.repeat([1.0, 0.0], 600)
    y[600:] = 100.0
    ends = []
    for rows in ((x, y, weight), (x[:600], y[:600], None)):
        problem = problem_of(*rows, loss="squared", settings=EXACT)
        state = MiniBatchSolver().init(problem, np.random.default_rng(0))
        for _ in range(3):
            MiniBatchSolver().step(problem, state)
        ends.append(MiniBatchSolver().network(problem, state).forward(x[:600]))
    assert_allclose(*ends, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared", "hinge", "logistic"])
def test_descent_direction(loss, dtype):
    rng = np.random.default_rng(1)
    z, bias = (3 * rng.standard_normal((40, 4))).astype(dtype), np.full(4, 0.3, dtype)
    _, y, _ = data(loss, 40, k=4)
    weight = rng.random(40).astype(dtype)
    u = (z + bias).astype(np.float64)
    mean = np.full(4, 9, dtype)
    value = LOSSES[loss].descend(z, bias, y.astype(dtype), weight, 0.1, mean)
    tol = 1e-5 if dtype == np.float32 else 1e-12
    expected = weight[:, None] * reference.DIRECTIONS[loss](u, y, 0.1)
    assert_allclose(z, expected, rtol=tol, atol=tol)
    assert_allclose(mean, z.mean(axis=0), rtol=tol, atol=tol)
    whole = LOSSES[loss].value(u, y, weight.astype(np.float64))
    assert_allclose(value, whole / 40, rtol=tol)


@pytest.mark.parametrize("loss", ["cross_entropy", "squared", "hinge", "logistic"])
def test_descent_sees_nan(loss):
    z = np.zeros((3, 4))
    z[1, 2] = np.nan
    y = np.eye(4)[:3]
    assert not np.isfinite(LOSSES[loss].descend(z, np.zeros(4), y, np.ones(3), 0.0, np.zeros(4)))


@pytest.mark.parametrize("activation", ALL_ACTIVATIONS)
def test_mask(activation):
    rng = np.random.default_rng(2)
    u, d, mean = rng.standard_normal((9, 5)), rng.standard_normal((9, 5)), np.empty(5)
    expected = d * reference.SLOPES[activation](u)
    sigma = ALL_ACTIVATIONS[activation]
    sigma.mask(d, reference.VALUES[activation](u) if sigma.by_value else u, mean)
    assert_allclose(d, expected)
    assert_allclose(mean, expected.mean(axis=0))


def test_updates():
    rng = np.random.default_rng(3)
    w, m, s, c = rng.standard_normal((4, 5, 6))
    support = rng.random((5, 6)) < 0.5
    m_new = 0.5 * m + s
    w_new = 0.9 * w + 0.2 * m_new
    c_new = c + (w_new - w) * support
    w2, m2, w3, m3 = w.copy(), m.copy(), w.copy(), m.copy()
    nothing, nowhere = w2[:0], np.empty((0, 0), bool)
    square = minibatch_weights.momentum_update(w2, nothing, m2, s, nowhere, 0.2, 0.5, 0.9)
    assert_allclose(square, np.sum(w_new**2))
    square = minibatch_weights.momentum_update(w3, c, m3, s, support, 0.2, 0.5, 0.9)
    assert_allclose(square, np.sum(w_new**2))
    for found, wanted in ((w2, w_new), (w3, w_new), (m2, m_new), (m3, m_new), (c, c_new)):
        assert_allclose(found, wanted)
    scale = rng.random(5) + 0.5
    masked = np.where(support, s, 0)
    square = minibatch_weights.scale_on_support(s, scale, support)
    assert_allclose(s, scale[:, None] * masked)
    assert_allclose(square, np.sum(s**2 / scale[:, None]))
    mean = w.ravel().copy()
    minibatch_weights.average(mean, m.ravel(), 0.25)
    assert_allclose(mean, (0.75 * w + 0.25 * m).ravel())


def test_rows_kernels():
    rng = np.random.default_rng(4)
    source, noise = rng.standard_normal((9, 4)), rng.standard_normal(30)
    rows, out = np.array([3, 0, 3]), np.empty((3, 4))
    kernel.gather_rows(source, rows, noise, 5, 0.5, out)
    assert_allclose(out, source[rows] + 0.5 * noise[5:17].reshape(3, 4))
    kernel.gather_rows(source, rows, noise, 0, 0.0, out)
    assert_allclose(out, source[rows])
    kernel.add_noise(out, noise, 2, 2.0)
    assert_allclose(out, source[rows] + 2 * noise[2:14].reshape(3, 4))
    wide, floor = np.empty((9, 4)), np.arange(4.0)
    more = rng.standard_normal(40)
    kernel.add_spread(source, 0.3, 2, 7, more, 4, floor, wide)
    apart = (np.roll(source, -2, axis=0) - np.roll(source, -7, axis=0)) / np.sqrt(2)
    assert_allclose(wide, source + 0.3 * (apart + floor * more[4:].reshape(9, 4)))
    x = source.copy()
    x[0] = 1e6
    kernel.center_rows(x, np.ones(4), np.full(4, 2.0), 5.0)
    assert_allclose(x[1:], source[1:] - 1)
    assert_allclose(np.sqrt(np.mean((x[0] / 2) ** 2)), 5)
    mean, weight = np.ones(4), rng.random(9)
    keep = kernel.running_mean(source, weight, 0.3, mean)
    assert_allclose(keep, 1 - 0.3 * weight.mean())
    assert_allclose(mean, keep + 0.3 / 9 * weight @ source)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products(dtype):
    rng = np.random.default_rng(5)
    a, b, c = (rng.standard_normal(s).astype(dtype) for s in ((6, 4), (4, 3), (6, 3)))
    tol = 1e-5 if dtype == np.float32 else 1e-13
    assert_allclose(products.product(a, b, np.empty((6, 3), dtype)), a @ b, rtol=tol, atol=tol)
    cross = products.cross_product(a, c, 0.5, np.empty((4, 3), dtype))
    assert_allclose(cross, a.T @ c / 2, rtol=tol, atol=tol)
    expected = cross - np.outer(b[:, 0], c[0])
    products.subtract_outer(cross, np.ascontiguousarray(b[:, 0]), c[0])
    assert_allclose(cross, expected, rtol=tol, atol=tol)
    gram = np.eye(4, dtype=dtype)
    products.decay_and_add_gram(gram, 0.25, a, 0.5)
    full = products.symmetric(gram)
    assert_allclose(full, np.eye(4) / 4 + a.T @ a / 2, rtol=tol, atol=tol)
    assert_allclose(products.spd_inverse(full.copy()) @ full, np.eye(4), atol=1e-9)
    assert_allclose(products.squared_norm(a), np.sum(a**2), rtol=tol)


def test_running_gram_is_the_weighted_covariance():
    x, y, weight = data("squared", n=50)
    problem = problem_of(x, y, weight, loss="squared")
    state = MiniBatchSolver().init(problem, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    layer = state.layers[1]
    gram, mean = products.symmetric(layer.gram), layer.mean.copy()
    v = rng.standard_normal((8, 6))
    s = rng.random(8)
    _step.observe(state, 1, v, s, False, Settings(), 0.2)
    keep = 1 - 0.2 * s.mean()
    assert_allclose(products.symmetric(layer.gram), keep * gram + 0.2 / 8 * (v.T * s) @ v)
    assert_allclose(layer.mean, keep * mean + 0.2 / 8 * s @ v)
