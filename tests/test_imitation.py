"""What a classification asks of its outputs: rows by uncertainty, output layers by probability."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from fastbcd.formats import DenseMatrix
from fastbcd.network.network import Layer, Network
from fastbcd.schemes import Prune, Quantize
from fastbcd.solvers.reconstruct import Calibration
from fastbcd.solvers.reconstruct import calibration as sequential
from fastbcd.solvers.reconstruct.imitation import imitate, row_weights
from fastbcd.solvers.reconstruct.settings import DEFAULTS
from fastbcd.statistics.moments import Moments

ENOUGH, TEMPERATURE = DEFAULTS.enough, DEFAULTS.temperature


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def divergence(z, u, weight=None):
    """Return T^2 times the mean KL divergence of softmax(u / T) from softmax(z / T)."""
    p, q = log_softmax(z / TEMPERATURE, axis=1), log_softmax(u / TEMPERATURE, axis=1)
    rows = TEMPERATURE**2 * np.sum(np.exp(p) * (p - q), axis=1)
    return float(np.average(rows, weights=weight))


def problem(rng, n=600, d=7, k=4, scale=3.0):
    v = np.maximum(rng.standard_normal((n, d)), 0)
    z = scale * rng.standard_normal((n, k)) + v @ rng.standard_normal((d, k))
    return v, z


# ------------------------------------------------------------------ rows


def test_uncertainty_is_the_trace_of_the_curvature_of_the_divergence(rng):
    z = rng.standard_normal(5)
    h, trace = 1e-3, 0.0
    for unit in np.eye(5):
        trace += (
            divergence(z[None], z[None] + h * unit) + divergence(z[None], z[None] - h * unit)
        ) / h**2
    p = softmax(z / TEMPERATURE)
    assert trace == pytest.approx(1 - p @ p, rel=1e-4)


def test_rows_count_by_their_uncertainty(rng):
    outputs = 4 * rng.standard_normal((ENOUGH, 3))
    weights = row_weights(outputs)
    p = softmax(outputs / TEMPERATURE, axis=1)
    uncertain = 1 - np.square(p).sum(axis=1)
    assert weights.mean() == pytest.approx(1)
    assert weights.min() >= 1 - DEFAULTS.uncertain
    np.testing.assert_array_equal(np.argsort(weights), np.argsort(uncertain))


def test_a_weight_of_two_is_a_row_twice(rng):
    outputs = 4 * rng.standard_normal((ENOUGH, 3))
    own = np.ones(ENOUGH)
    own[:100] = 2
    weighted = row_weights(outputs, own)
    twice = row_weights(np.concatenate([outputs, outputs[:100]]))
    twice[:100] += twice[ENOUGH:]
    np.testing.assert_allclose(weighted, twice[:ENOUGH], rtol=1e-10)


@pytest.mark.parametrize("outputs", [np.ones((ENOUGH - 1, 2)), np.tile([0.0, 1e6], (ENOUGH, 1))])
def test_few_rows_and_certain_ones_count_alike(outputs):
    assert row_weights(outputs) is None
    own = np.ones(len(outputs))
    assert row_weights(outputs, own) is own


# ------------------------------------------------------------------ the output layer


@pytest.mark.parametrize("weighted", [False, True])
def test_imitation_is_stationary(rng, weighted):
    v, z = problem(rng)
    own = rng.random(len(v)) if weighted else None
    start, ridge = rng.standard_normal((7, 4)), np.full(7, 0.05)
    weight, intercept = imitate(v, z, start, ridge, own)
    share = np.full(len(v), 1 / len(v)) if own is None else own / own.sum()
    u = v @ weight + intercept
    pull = share[:, None] * (softmax(z / TEMPERATURE, axis=1) - softmax(u / TEMPERATURE, axis=1))
    gradient = TEMPERATURE * v.T @ pull - ridge[:, None] * (weight - start)
    assert np.abs(gradient).max() < 1e-4
    assert np.abs(TEMPERATURE * pull.sum(axis=0)).max() < 1e-4


def test_imitation_beats_least_squares_where_it_counts(rng):
    v, z = problem(rng)
    moments = Moments.of(v, z)
    ridge = np.full(7, 1e-6)
    squares = moments.best_weight(np.zeros((7, 4)), ridge)
    before = v @ squares + moments.best_intercept(squares)
    weight, intercept = imitate(v, z, squares, ridge)
    after = v @ weight + intercept
    assert divergence(z, after) < 0.96 * divergence(z, before)
    # Nothing near it is better.
    for _ in range(20):
        near = weight + 0.05 * rng.standard_normal(weight.shape)
        assert divergence(z, v @ near + intercept) > divergence(z, after)


def test_who_agrees_already_stays(rng):
    v, _ = problem(rng)
    start, b = rng.standard_normal((7, 4)), rng.standard_normal(4)
    weight, intercept = imitate(v, v @ start + b, start, np.full(7, 1e-3))
    np.testing.assert_allclose(weight, start, atol=1e-10)
    np.testing.assert_allclose(intercept, b, atol=1e-10)


def test_inputs_that_do_not_vary_keep_their_weights(rng):
    v, z = problem(rng)
    v = np.hstack([v, np.full((len(v), 1), 0.1), np.zeros((len(v), 1))]).astype(np.float32)
    start = rng.standard_normal((9, 4))
    weight, intercept = imitate(v, z.astype(np.float32), start, np.full(9, 1e-12))
    np.testing.assert_array_equal(weight[7:], start[7:])
    assert np.abs(weight).max() < 100
    assert np.isfinite(intercept).all()


# ------------------------------------------------------------------ in the pass over the layers


def dense_network(rng):
    sizes = (12, 20, 10, 4)
    return Network([
        Layer(
            DenseMatrix(rng.standard_normal((d, m)) * np.sqrt(2 / d) * (3 if m == 4 else 1)),
            0.3 * rng.standard_normal(m),
            "relu" if m > 4 else "identity",
        )
        for d, m in pairwise(sizes)
    ])  # fmt: skip


def by_squares(v, z, weight, ridge, sample_weight=None):
    """Leave the output layer at its least squares."""
    return weight, z.mean(axis=0) - v.mean(axis=0) @ weight


@pytest.mark.parametrize("last", [None, Quantize(bits=4)])
def test_the_output_layer_is_fitted_to_probabilities(rng, monkeypatch, last):
    net, x = dense_network(rng), rng.standard_normal((3000, 12))
    z = net.forward(x)
    schemes = [Prune(density=0.2), Prune(density=0.3), last]
    by_divergence = Calibration(net, x, None, True).reconstruct(schemes).network.forward(x)
    monkeypatch.setattr(sequential, "imitate", by_squares)
    squares = Calibration(net, x, None, True).reconstruct(schemes).network.forward(x)
    assert divergence(z, by_divergence) < 0.99 * divergence(z, squares)
    assert np.square(z - squares).mean() < np.square(z - by_divergence).mean()


def test_a_regression_is_fitted_to_its_numbers(rng, monkeypatch):
    net, x = dense_network(rng), rng.standard_normal((300, 12))
    schemes = [Prune(density=0.2), Prune(density=0.3), None]
    found = Calibration(net, x, None, False).reconstruct(schemes).network.forward(x)
    monkeypatch.setattr(sequential, "imitate", by_squares)
    again = Calibration(net, x, None, False).reconstruct(schemes).network.forward(x)
    np.testing.assert_array_equal(found, again)
