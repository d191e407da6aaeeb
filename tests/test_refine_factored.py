"""Refinement of layers made of factors: their steps, how long, and what a budget gives them."""

import numpy as np
import pytest

from fastbcd.compression.allocation.by_bytes import discounted
from fastbcd.compression.lengths import automatic_epochs
from fastbcd.compression.settings import DEFAULTS
from fastbcd.formats import DenseMatrix, LowRankMatrix, TensorTrainMatrix
from fastbcd.formats.tensor_train import chain
from fastbcd.network.network import Layer, Network
from fastbcd.schemes import LowRank, Prune
from fastbcd.schemes.protocol import Level
from fastbcd.solvers.refine import RefineSettings
from fastbcd.solvers.refine.factored import LowRankBlock, ParametricBlock

D, M, B = 12, 6, 40


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def block(rng, kind):
    """Return a block of factors of very different sizes, with inputs and a pull."""
    if kind == "low rank":
        weight = LowRankMatrix(30 * rng.standard_normal((D, 2)), rng.standard_normal((2, M)))
        made = LowRankBlock(Layer(weight, np.zeros(M), "relu"), False, False)
    else:
        sizes = [(1, 4, 2), (2, 3, 3), (3, 6, 1)]
        cores = [k * rng.standard_normal(size) for k, size in zip((1, 20, 0.1), sizes, strict=True)]
        weight = TensorTrainMatrix(cores, (D, M))
        made = ParametricBlock(Layer(weight, np.zeros(M), "relu"), True, False)
    made.mean = rng.standard_normal(D).astype(np.float32)
    v = rng.standard_normal((D, B)).astype(np.float32)
    return made, v, rng.standard_normal((M, B)).astype(np.float32)


def product(factors):
    if len(factors) == 2:
        return factors[0] @ factors[1]
    return chain(factors).reshape(D, M)


@pytest.mark.parametrize("kind", ["low rank", "train"])
def test_factors_start_alike_and_keep_their_product(rng, kind):
    made, _, _ = block(rng, kind)
    sizes = [np.median(np.abs(factor)) for factor in made.factors]
    np.testing.assert_allclose(sizes, sizes[0], rtol=1e-5)
    wanted = made.start.weight.to_dense()
    np.testing.assert_allclose(made.weight(), wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("kind", ["low rank", "train"])
def test_gradients_are_those_of_centred_inputs(rng, kind):
    """The mean of pull' W' (v - mean) is linear in each factor: its slope is known exactly."""
    made, v, pull = block(rng, kind)
    made.forward(v)
    factors = [factor.astype(np.float64) for factor in made.factors]

    def value(factors):
        return np.sum(pull * (product(factors).T @ (v - made.mean[:, None]))) / B

    for k, gradient in enumerate(made.gradients(v, pull)):
        for _ in range(3):
            step = rng.standard_normal(factors[k].shape)
            moved = [f + step if i == k else f for i, f in enumerate(factors)]
            slope = value(moved) - value(factors)
            np.testing.assert_allclose(np.sum(gradient * step), slope, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("kind", ["low rank", "train"])
def test_a_step_of_factors_keeps_the_mean_of_the_outputs(rng, kind):
    made, v, pull = block(rng, kind)
    for _ in range(4):
        made.forward(v)
        before = made.product(made.mean) + made.intercept
        old = made.weight().copy()
        made.move(v, pull, 0.5, 0.9, 0.0)
        after = made.product(made.mean) + made.intercept
        assert np.abs(made.weight() - old).max() > 1e-3 * np.abs(old).max()
        np.testing.assert_allclose(after, before, atol=1e-3 * np.abs(before).max())


def test_layers_without_a_pull_or_of_zeros_stay_finite(rng):
    weight = LowRankMatrix(np.zeros((D, 2)), np.zeros((2, M)))
    made = LowRankBlock(Layer(weight, np.zeros(M), "relu"), True, False)
    v = rng.standard_normal((D, B)).astype(np.float32)
    made.forward(v)
    made.move(v, np.zeros((M, B), np.float32), 0.5, 0.9, 0.0)
    assert not made.weight().any()


def test_factors_see_few_rows_more_often():
    dense = DenseMatrix(np.ones((600, 400), np.float32))
    thin = LowRankMatrix(np.ones((600, 3), np.float32), np.ones((3, 400), np.float32))

    def network(weight):
        return Network([Layer(weight, np.zeros(400, np.float32), "identity")])

    many, few = 100_000, 1000
    assert automatic_epochs(network(thin), many) == automatic_epochs(network(dense), many)
    assert (
        automatic_epochs(network(dense), many) == DEFAULTS.steps * RefineSettings.batch_size / many
    )
    assert automatic_epochs(network(thin), few) == DEFAULTS.max_factored
    assert automatic_epochs(network(dense), few) == DEFAULTS.max_epochs


def test_errors_of_later_factors_count_less():
    curve = [Level(LowRank(rank=1), 10, 40, 3.0), Level(None, 20, 80, 0.0)]
    first, second = discounted([curve, curve])
    assert [level.error for level in first] == [3.0, 0.0]
    assert [level.error for level in second] == [3.0 * DEFAULTS.later, 0.0]


def test_errors_of_pruned_layers_count_alike():
    curves = [[Level(LowRank(rank=1), 10, 40, 3.0)], [Level(Prune(n_nonzero=4), 4, 30, 3.0)]]
    assert discounted(curves) is curves
