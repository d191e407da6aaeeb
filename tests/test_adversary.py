"""Batches that are seen once more, moved to where the network does worst."""

from itertools import pairwise

import numpy as np
import pytest

from fastbcd.formats import DenseMatrix, LowRankMatrix, SparseMatrix
from fastbcd.network.network import Layer, Network
from fastbcd.solvers.refine import RefineSettings, Targets, refine
from fastbcd.solvers.refine.adversary import Adversary, certainty, plenty
from fastbcd.solvers.refine.chain import Chain
from fastbcd.solvers.refine.settings import DEFAULTS


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def network(rng, density=0.6, sizes=(12, 10, 8, 3)):
    layers = []
    for d, m in pairwise(sizes):
        weight = (rng.standard_normal((d, m)) * np.sqrt(2 / d)).astype(np.float32)
        last = m == sizes[-1]
        if not last:
            weight *= rng.random((d, m)) < density
        stored = DenseMatrix(weight) if last else SparseMatrix.from_dense(weight)
        intercept = 0.1 * rng.standard_normal(m).astype(np.float32)
        layers.append(Layer(stored, intercept, "identity" if last else "relu"))
    return Network(layers)


def test_the_pull_on_the_inputs_is_the_negative_gradient_of_the_loss(rng):
    net = network(rng)
    x = rng.standard_normal((20, 12)).astype(np.float32)
    targets = Targets(rng.standard_normal((20, 3)).astype(np.float32), None, True)
    rows = np.arange(20)
    chain = Chain(net.layers, x, targets, rows)
    chain.measure()
    chain.step(np.ascontiguousarray(x.T), rows, 0.0, 0.0, 0.0, True)
    for i, j in ((0, 0), (3, 7), (19, 11)):
        up, down = x.astype(np.float64), x.astype(np.float64)
        up[i, j] += 1e-4
        down[i, j] -= 1e-4
        exact = Network(
            [
                Layer(DenseMatrix(la.weight.to_dense().astype(float)), la.intercept, la.activation)
                for la in net.layers
            ]
        )
        high, low = (targets.loss(exact.forward(z), rows) for z in (up, down))
        slope = 20 * (high - low) / 2e-4
        assert chain.input_pull[j, i] == pytest.approx(-slope, rel=1e-3, abs=1e-5)


def test_rows_move_by_the_radius_against_the_pull(rng):
    v, pull = rng.standard_normal((2, 9, 30)).astype(np.float32)
    pull[:, 3] = 0
    moved = v.copy()
    Adversary(0.1, 4.0).move(moved, pull)
    change = moved - v
    length = np.linalg.norm(change, axis=0)
    np.testing.assert_allclose(np.delete(length, 3), 0.2, rtol=1e-4)
    assert (change[:, 3] == 0).all()
    cosine = np.sum(change * pull, axis=0) / np.maximum(length * np.linalg.norm(pull, axis=0), 1e-9)
    np.testing.assert_allclose(np.delete(cosine, 3), -1, rtol=1e-4)


def test_no_random_move_of_that_length_is_worse(rng):
    net = network(rng)
    x = rng.standard_normal((200, 12)).astype(np.float32)
    targets = Targets(net.forward(x) + 1, np.eye(3, dtype="f")[rng.integers(0, 3, 200)], True)
    rows = np.arange(200)
    chain = Chain(net.layers, x, targets, rows)
    chain.measure()
    v = np.ascontiguousarray(x.T)
    chain.step(v, rows, 0.0, 0.0, 0.0, True)
    Adversary(0.02, 12.0).move(v, chain.input_pull)
    worst = targets.loss(net.forward(np.ascontiguousarray(v.T)), rows)
    assert worst > targets.loss(net.forward(x), rows)
    for _ in range(20):
        step = rng.standard_normal(x.shape).astype(np.float32)
        step *= 0.02 * np.sqrt(12.0) / np.linalg.norm(step, axis=1, keepdims=True)
        assert targets.loss(net.forward(x + step), rows) < worst


def test_every_second_batch_is_the_one_before():
    adversary = Adversary(0.1, 1.0)
    seen = []
    for _ in range(6):
        seen.append(adversary.due())
        adversary.wanted()
    assert seen == [False, True] * 3
    adversary.wanted()
    adversary.forget()
    assert not adversary.due()
    still = Adversary(0.0, 1.0)
    assert not still.wanted()
    assert not still.due()


def test_only_single_weights_are_plenty(rng):
    net = network(rng, density=1.0)
    stored = sum(layer.weight.n_params for layer in net.layers)
    scarce, many = DEFAULTS.scarce, DEFAULTS.plenty
    assert plenty(net, round(stored / many / 2)) == 1
    assert plenty(net, round(stored / scarce) + 1) == 0
    assert plenty(net, stored) == pytest.approx(np.log(1 / scarce) / np.log(many / scarce))
    factors = LowRankMatrix(*rng.standard_normal((2, 3, 3)))
    assert plenty(Network([Layer(factors, np.zeros(3), "identity")]), 1) == 0


@pytest.mark.parametrize(
    ("n_rows", "width", "moves"),
    [(10_000, 1200, True), (300, 1200, True), (10_000, 30, False)],
)
@pytest.mark.parametrize("scale", [5, 1e-3])
def test_rows_move_where_weights_are_many_and_rows_certain(
    rng, monkeypatch, n_rows, width, moves, scale
):
    counted = []
    original = Adversary.move
    monkeypatch.setattr(Adversary, "move", lambda *args: counted.append(1) or original(*args))
    net = network(rng, sizes=(12, width, 3))
    x = rng.standard_normal((n_rows, 12)).astype(np.float32)
    dense = scale * net.forward(x)
    assert (certainty(dense) >= DEFAULTS.certain) == (scale > 1)
    moves = moves and scale > 1
    targets = Targets(dense, None, True)
    steps = []
    course = RefineSettings(epochs=0.5, batch_size=100)
    refine(net, x, targets, course, np.random.RandomState(0), lambda done, *_: steps.append(done))
    assert len(counted) == (len(steps) // 2 if moves else 0)


def test_certainty_lies_between_chance_and_none():
    assert certainty(np.zeros((5, 4), np.float32)) == pytest.approx(0)
    assert certainty(100 * np.eye(4, dtype=np.float32)) == pytest.approx(1)
    assert certainty(np.ones((3, 1), np.float32)) == 1
    half = np.log(np.array([[0.75, 0.25]], np.float32))
    assert certainty(half) == pytest.approx(0.5)
