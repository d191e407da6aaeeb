"""Factored layers in the mini-batch solver: pairs of thin layers, and steps within trains."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.datasets import load_digits

from fastbcd import BCDClassifier
from fastbcd.formats import DenseMatrix
from fastbcd.formats.tensor_train import chain
from fastbcd.layers import AveragePool2D, Conv2D, MaxPool2D
from fastbcd.network.layers.activations import ACTIVATIONS
from fastbcd.network.layers.architecture import Architecture
from fastbcd.network.layers.patches import WHOLE_ROW, Patches
from fastbcd.network.losses.losses import LOSSES
from fastbcd.network.network import Layer, Network
from fastbcd.schemes import LowRank, Prune, TensorTrain
from fastbcd.schemes.by_layer import schemes_by_layer
from fastbcd.schemes.nearest.train_tangent import TangentSpace
from fastbcd.solvers.minibatch.copies import renew
from fastbcd.solvers.minibatch.factored import merged, pair_of, plan, split
from fastbcd.solvers.minibatch.problem import MiniBatchProblem, prepare
from fastbcd.solvers.minibatch.rows import Rows
from fastbcd.solvers.minibatch.schedule import Schedule
from fastbcd.solvers.minibatch.settings import CompressionSchedule, Settings
from fastbcd.solvers.minibatch.solver import MiniBatchSolver
from fastbcd.solvers.minibatch.step import batch_mean, take_step

TRAINS = [((12, 10), (3, 4, 5, 2), 3), ((6, 4), (2, 3, 4), 3), ((16, 16), (4, 4, 4, 4), 5)]


def random_network(shapes, seed=0):
    rng = np.random.default_rng(seed)
    layers = [
        Layer(DenseMatrix(rng.standard_normal(s)), rng.standard_normal(s[1]), "relu")
        for s in shapes
    ]
    return Network(layers)


@pytest.mark.parametrize(("shape", "modes", "rank"), TRAINS)
def test_tangent_space_is_spanned_by_changes_of_single_cores(shape, modes, rank):
    rng = np.random.default_rng(0)
    cores = TensorTrain(rank, modes).project(rng.standard_normal(shape)).cores
    columns = []
    for k, core in enumerate(cores):
        for unit in np.eye(core.size):
            changed = [*cores[:k], unit.reshape(core.shape), *cores[k + 1 :]]
            columns.append(chain(changed).ravel())
    u, s, _ = np.linalg.svd(np.transpose(columns), full_matrices=False)
    u = u[:, s > 1e-10 * s[0]]
    step = rng.standard_normal(shape)
    expected = u @ (u.T @ step.ravel())
    TangentSpace(cores).project(step)
    assert_allclose(step.ravel(), expected, atol=1e-12)
    assert np.linalg.norm(expected) < np.sqrt(shape[0] * shape[1])  # something was cut off


def test_train_itself_and_its_scaling_are_tangent():
    train = TensorTrain(2, (4, 4, 4)).project(np.random.default_rng(1).standard_normal((16, 4)))
    step = 3 * train.to_dense()
    TangentSpace(train.cores).project(step)
    assert_allclose(step, 3 * train.to_dense(), atol=1e-12)


@pytest.mark.parametrize(("shape", "modes", "rank"), TRAINS)
def test_retraction_of_a_tangent_step_loses_as_little_as_a_decomposition(shape, modes, rank):
    rng = np.random.default_rng(2)
    scheme = TensorTrain(rank, modes)
    train = scheme.project(rng.standard_normal(shape))
    space = TangentSpace(train.cores)
    step = rng.standard_normal(shape)
    space.project(step)
    lost = []
    for length in (1e-2, 1e-3):
        moved = train.to_dense() + length * step
        cores = space.retract(moved)
        found = chain(cores).reshape(shape)
        lost.append(np.linalg.norm(found - moved))
        least = np.linalg.norm(scheme.project(moved).to_dense() - moved)
        assert lost[-1] <= 1.5 * least + 1e-12
        # It is a train of those ranks: decomposed once more, nothing is lost.
        assert_allclose(scheme.project(found).to_dense(), found, atol=1e-9)
    assert lost[1] <= 0.02 * lost[0] + 1e-12  # of second order


@pytest.mark.parametrize(
    ("scheme", "rank"),
    [
        (LowRank(3), 3),
        (TensorTrain(4, (3, 4, 5, 4)), 4),
        (TensorTrain(4), 4),
        (LowRank(energy=0.9), None),
        (LowRank(8), None),  # two layers that are larger than the one
        (TensorTrain(4, (2, 5, 8, 3)), None),  # no cut between 12 and 20
        (Prune(0.5), None),
        (None, None),
    ],
)
def test_what_becomes_a_pair(scheme, rank):
    pair = pair_of(scheme, (12, 20))
    assert (pair and pair.rank) == rank


@pytest.mark.parametrize("scheme", [LowRank(3), TensorTrain(4, (3, 4, 5, 4))])
def test_split_and_merged_networks_are_the_projected_one(scheme):
    shapes = ((9, 12), (12, 20), (20, 3))
    whole = Patches((3, 3, 1), (3, 3))  # an image of one position: a plain layer in effect
    layout = Architecture(shapes, (whole, WHOLE_ROW, WHOLE_ROW), (None,) * 3)
    schemes = [None, scheme, None]
    thin, thin_schemes, linear = plan(layout, schemes)
    assert linear == {1}
    assert thin.shapes == ((9, 12), (12, scheme.rank), (scheme.rank, 20), (20, 3))
    network = random_network(shapes)
    pairs = split(network, schemes, linear)
    assert [layer.activation for layer in pairs.layers] == ["relu", "identity", "relu", "relu"]
    projected = list(network.layers)
    projected[1] = Layer(scheme.project(network.layers[1].weight.to_dense()),
                         projected[1].intercept, "relu")  # fmt: skip
    x = np.random.default_rng(2).standard_normal((7, 9))
    expected = Network(projected).forward(x)
    assert_allclose(pairs.forward(x), expected)
    # With an intercept between the two, and in the formats that the solver hands over.
    layers = list(pairs.layers)
    for k in (1, 2):
        stored = layers[k].weight
        if thin_schemes[k] is not None:
            stored = thin_schemes[k].project(stored.to_dense())
        layers[k] = Layer(stored, layers[k].intercept + k, layers[k].activation)
    joined = Network(merged(layers, linear))
    assert_allclose(joined.forward(x), Network(layers).forward(x))
    made = projected[1].weight
    assert type(joined.layers[1].weight) is type(made)
    assert joined.layers[1].weight.n_params == made.n_params


def test_first_layers_and_networks_without_images_have_no_pairs():
    images = Architecture.of((Conv2D(12, 3), 20), 25, 3, (5, 5, 1))
    assert plan(images, [LowRank(3), LowRank(3), None]).linear == {1}
    plain = Architecture.of((9, 12), 25, 3)
    assert not plan(plain, [LowRank(3), LowRank(3), None]).linear


def problem_with_pairs(x, y, **changes):
    layout = Architecture.of((Conv2D(4, 3), 30, 20), 64, 10, (8, 8, 1))
    thin, schemes, linear = plan(layout, [None, LowRank(5), TensorTrain(4), None])
    return MiniBatchProblem(
        Rows(x, y, None, 10, x.dtype), thin, LOSSES["cross_entropy"], ACTIVATIONS["relu"], schemes,
        50, Settings(noise=0.0), Schedule(100), CompressionSchedule(), linear, **changes,
    )  # fmt: skip


def test_a_fit_that_steps_back_finds_the_train_of_the_snapshot():
    x, y = load_digits(return_X_y=True)
    problem, solver = problem_with_pairs(x / 16, y), MiniBatchSolver()
    state = solver.init(problem, np.random.default_rng(0))
    solver.step(problem, state)
    state.take_snapshot()
    train = next(layer for layer in state.layers if layer.tangent is not None)
    kept = train.scheme.project(train.weight).to_dense()
    solver.step(problem, state)
    state.step_back()
    assert train.tangent is None
    renew(train, Settings().thin_copies, 0.5)
    assert train.tangent is not None
    assert_allclose(train.weight, kept, atol=1e-8)


@pytest.mark.parametrize("weighted", [False, True])
def test_steps_of_thin_layers_do_not_lag_behind_the_layers_below(weighted):
    x, y = load_digits(return_X_y=True)
    problem = problem_with_pairs(x[:50] / 16, y[:50])
    weight = np.random.default_rng(1).random(50) if weighted else np.ones(50)
    ends = []
    for stale in (0.0, 3.0):
        state = MiniBatchSolver().init(problem, np.random.default_rng(0))
        thin = [layer for layer in state.layers if layer.thin]
        assert len(thin) == 4
        for layer in thin:
            layer.mean += stale  # what a running mean would still be
        batch = prepare(problem, state, (x[:50] / 16, problem.rows.targets(np.arange(50)), weight))
        take_step(
            state, problem.layout, problem.activations, problem.loss, problem.settings, batch, 1.0,
            not weighted,
        )  # fmt: skip
        ends.append([a.copy() for a in state.trainables()])
    for a, b in zip(*ends, strict=True):
        assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_batch_mean_is_weighted():
    rng = np.random.default_rng(0)
    v, weight = rng.standard_normal((6, 4)), np.array([1.0, 0.0, 2.0])
    by_hand = np.repeat(weight, 2) @ v / 6  # two patches of each row
    assert_allclose(batch_mean(v, weight), by_hand)
    assert_allclose(batch_mean(v, None), v.mean(axis=0))
    assert_allclose(batch_mean(v, 0 * weight), v.mean(axis=0))


def test_linear_layers_start_with_the_gain_of_no_activation():
    x, y = load_digits(return_X_y=True)
    problem = problem_with_pairs(x / 16, y)
    state = MiniBatchSolver().init(problem, np.random.default_rng(0))
    for index in (1, 2, 3, 4):
        weight = state.layers[index].weight
        expected = (1 if index in problem.linear else 2) * weight.shape[1]
        assert 0.6 * expected < np.vdot(weight, weight) < 1.6 * expected


def test_modes_follow_height_width_and_channels():
    layers = (Conv2D(8, 3), MaxPool2D(2), Conv2D(6, 3, stride=2), 64, 32)
    layout = Architecture.of(layers, 22 * 16, 10, (22, 16, 1))
    assert layout.images == [None, None, (4, 3, 6), None, None]
    pooled = Architecture.of((Conv2D(8, 3), AveragePool2D(2), 64), 22 * 16, 10, (22, 16, 1))
    assert pooled.images == [None, (10, 7, 8), None]
    given = TensorTrain(4, (8, 9, 8, 8))
    schemes = {2: TensorTrain(4), 3: TensorTrain(4)}
    found = schemes_by_layer(schemes, layout.shapes, layout.images)
    assert found[2].modes == (4, 3, 6, 4, 4, 4)
    assert found[3].modes is None
    assert schemes[2].modes is None  # the user's own stays as it is
    assert schemes_by_layer({2: given}, layout.shapes, layout.images)[2] is given
    assert schemes_by_layer(schemes, layout.shapes)[2].modes is None
    assert TensorTrain(4).for_image((12, 8), (1, 1, 12)).modes == (3, 4, 8)
    low = LowRank(3)
    assert low.for_image((12, 8), (2, 2, 3)) is low


@pytest.mark.parametrize("scheme", [LowRank(6), TensorTrain(6)])
def test_fit_learns_goes_on_and_keeps_its_form(scheme):
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    clf = BCDClassifier(
        (Conv2D(8, 3), 64), input_shape=(8, 8), solver="minibatch", scheme={1: scheme},
        max_iter=6, warm_start=True, random_state=0,
    )  # fmt: skip
    dense = clone(clf).set_params(scheme=None).fit(x[:1200], y[:1200])
    clf.fit(x[:1200], y[:1200])
    score, stored = clf.score(x[1200:], y[1200:]), clf.layers_[1]
    assert score > dense.score(x[1200:], y[1200:]) - 0.06
    assert type(stored) is type(scheme.project(stored.to_dense()))
    assert np.linalg.matrix_rank(stored.to_dense()) <= 6
    first_loss = clf.objective_curve_[0]
    clf.fit(x[:1200], y[:1200])
    assert clf.objective_curve_[0] < 0.5 * first_loss
    assert clf.score(x[1200:], y[1200:]) > score - 0.02
