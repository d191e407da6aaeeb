"""The L2 penalty, the batch size and the loss curve: what scikit-learn's MLPs have."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from test_full_solver import SCHEMES, random_problem, sweep

from fastbcd import BCDClassifier, BCDRegressor
from fastbcd.exceptions import IgnoredParameterWarning
from fastbcd.layers import Conv2D
from fastbcd.objective.subgradient import subgradient, subgradient_norm
from fastbcd.objective.terms import objective
from fastbcd.schemes import Prune
from fastbcd.solvers.full.sweep import Sweep
from fastbcd.solvers.minibatch import l2 as minibatch_l2
from fastbcd.solvers.minibatch.step import wide_step
from fastbcd.statistics.inputs import Moments

SOLVERS = ("batch", "full", "minibatch")


def penalised_problem(seed, loss="cross_entropy", scheme=None):
    """A random problem with a penalty for each row of the first layer, and one for each other."""
    problem, weights, intercepts = random_problem(seed, loss, scheme)
    rng = np.random.default_rng(seed)
    l2 = [10 ** rng.uniform(-1, 1, len(weights[0])), *10 ** rng.uniform(-1, 1, len(weights) - 1)]
    return replace(problem, l2=l2), weights, intercepts


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
@pytest.mark.parametrize("name", SCHEMES)
def test_each_block_lowers_the_penalised_objective_by_what_is_promised(name, loss):
    for seed in range(10):
        problem, weights, intercepts = penalised_problem(seed, loss, SCHEMES[name])
        state = sweep(problem, weights, intercepts, 6, certificate=True)
        record = state.record
        scale = record.objective[0]
        for step in (step for steps in record.block_steps for step in steps):
            assert step.decrease >= step.guaranteed - 1e-11 * scale, (seed, step)
        assert np.all(record.decreases >= -1e-11 * scale)
        scratch = objective(problem, state.blocks)
        assert_allclose(record.terms[-1].l2, scratch.l2, rtol=1e-12)
        by_hand = [
            0.5 * np.sum(np.reshape(l2, (-1, 1)) * block.weight**2)
            for l2, block in zip(problem.l2, state.blocks, strict=True)
        ]
        assert_allclose(scratch.l2, by_hand, rtol=1e-12)
        rest = replace(scratch, l2=[])
        assert scratch.total == pytest.approx(rest.total + sum(by_hand))


@pytest.mark.parametrize("scheme", [None, Prune(sparsity=0.5)])
def test_the_weight_step_solves_the_ridge_problem_of_its_block(scheme):
    problem, weights, intercepts = penalised_problem(5, "squared", scheme)
    state = sweep(problem, weights, intercepts, 1, accelerate=False)
    p, block = problem.penalties, state.blocks[0]
    v = np.hstack([problem.x, np.ones((len(problem.x), 1))])
    old = np.vstack([block.weight, block.intercept])
    tau = 0.0 if scheme is None else p.tau_of(0)
    left = p.rho * v.T @ (problem.sample_weight[:, None] * v) + p.proximal * np.eye(v.shape[1])
    left[:-1, :-1] += np.diag(tau + problem.l2[0])
    right = p.rho * v.T @ (problem.sample_weight[:, None] * block.pre) + p.proximal * old
    if scheme is not None:
        right[:-1] += tau * block.target
    expected = np.linalg.solve(left, right)
    Sweep(problem, state, certificate=False).weight_step(0)
    assert_allclose(np.vstack([block.weight, block.intercept]), expected, rtol=1e-8, atol=1e-10)


def test_the_subgradient_has_the_penalty_and_vanishes_at_the_end():
    problem, weights, intercepts = penalised_problem(3)
    blocks = sweep(problem, weights, intercepts, 2).blocks
    slopes = {
        layer: array for name, layer, array in subgradient(problem, blocks) if name == "weight"
    }
    for layer, slope in slopes.items():
        weight = blocks[layer].weight
        for place in [(0, 0), (1, 1)]:
            kept = weight[place]
            ends = []
            for move in (1e-5, -1e-5):
                weight[place] = kept + move
                ends.append(objective(problem, blocks).total)
            weight[place] = kept
            assert slope[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-7)
    problem, weights, intercepts = penalised_problem(0, "squared")
    start = subgradient_norm(problem, sweep(problem, weights, intercepts, 1).blocks)
    end = subgradient_norm(problem, sweep(problem, weights, intercepts, 500).blocks)
    assert end < 1e-3 * start


def unlike_columns(n=300):
    """Rows whose columns have unlike units, with two classes."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 5))
    y = x[:, 0] + x[:, 1] + 0.3 * rng.standard_normal(n) > 0
    return x * [1, 30, 0.01, 2, 1] + [0, 5, 1, -3, 0], y.astype(int)


def test_the_penalty_of_a_full_fit_is_that_of_the_raw_weights():
    x, y = unlike_columns()
    model = BCDClassifier((6,), solver="full", alpha=0.7, tol=1e-4, random_state=0).fit(x, y)
    squares = [np.sum(w**2) for w in model.coefs_]
    assert_allclose(model.convergence_.terms[-1].l2, np.multiply(0.35, squares), rtol=1e-9)


def closed_form(x, y, alpha):
    """Return the product w of the weights of a linear network of two layers and one output.

    The least sum of squares of factors of w is 2 ||w||, so w minimises
    ||y - x w||^2 / 2 + alpha ||w||: a ridge regression whose penalty is alpha / ||w||.
    """
    centred, length = x - x.mean(axis=0), 1.0
    for _ in range(1000):
        ridge = alpha / length * np.eye(x.shape[1])
        w = np.linalg.solve(centred.T @ centred + ridge, centred.T @ y)
        length = np.linalg.norm(w)
    return w


@pytest.mark.parametrize(
    ("solver", "tolerance", "more"),
    [
        ("batch", 0.015, {"encoding": None}),  # the step at which a race ends is coarse
        ("full", 0.01, {"gamma": 100.0, "rho": 100.0}),
        ("minibatch", 0.05, {}),  # as far without a penalty: its noise and shrinkage remain
    ],
)
def test_a_linear_network_is_the_ridge_regression_of_its_closed_form(solver, tolerance, more):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 5)) * [1, 2, 0.5, 3, 1] + [0, 1, 0, 0, 5]
    y = x @ [1, 0.5, 0, -0.3, 0.5] + 0.5 * rng.standard_normal(2000)
    y = (y - y.mean()) / y.std()
    for alpha in (30, 300):
        model = BCDRegressor(
            (8,), activation="identity", solver=solver, alpha=alpha, random_state=0, **more
        ).fit(x, y)
        found, expected = (model.coefs_[0] @ model.coefs_[1])[:, 0], closed_form(x, y, alpha)
        free = closed_form(x, y, 0)
        assert np.linalg.norm(found - expected) < tolerance * np.linalg.norm(expected)
        if alpha == 300:  # the penalty moves it by more than the tolerance
            assert np.linalg.norm(expected - free) > 3 * tolerance * np.linalg.norm(free)
            first, second = (np.sum(w**2) for w in model.coefs_)
            assert first == pytest.approx(second, rel=0.15)  # equal at a stationary point


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", [BCDClassifier, BCDRegressor])
def test_the_norm_of_the_weights_falls_as_alpha_grows(kind, solver):
    x, y = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    norms = []
    for alpha in (0.0, 1.0, 10.0, 100.0):
        model = kind((8,), solver=solver, alpha=alpha, encoding=None, random_state=0, max_iter=60)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IgnoredParameterWarning)
            norms.append(sum(np.sum(w**2) for w in model.fit(x, y).coefs_))
        assert model.predict(x).shape == y.shape
    assert all(after < before for before, after in pairwise(norms)), norms
    assert norms[-1] < 0.1 * norms[0]


@pytest.mark.parametrize("diagonal", [False, True])
def test_the_gradient_of_the_penalty_in_whitened_coordinates(diagonal):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 4)) @ rng.standard_normal((4, 4))
    moments = Moments.of_sample(x, np.ones(200))
    if diagonal:
        moments = replace(moments, second=np.diag(moments.second).copy())
    inputs = moments.input_map()
    weight = rng.standard_normal((inputs.width, 2))
    slope = inputs.pulled_back(inputs.to_inputs(weight))
    move = rng.standard_normal(weight.shape)
    ends = [np.sum(inputs.to_inputs(weight + h * move) ** 2) / 2 for h in (1e-5, -1e-5)]
    assert np.vdot(slope, move) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)


def test_a_wide_layer_solves_for_the_penalty_as_a_narrow_one_would():
    class Layer:
        fixed, support, square = False, None, 1.0

    rng = np.random.default_rng(0)
    centred, change = rng.standard_normal((12, 7)), rng.standard_normal((12, 3))
    layer = Layer()
    layer.weight = rng.standard_normal((7, 3))
    step, _ = wide_step(None, layer, centred, change, 0.5, np.empty((7, 3)), 0.3)
    gram = centred @ centred.T / 12
    ridge = 0.5 * np.sum(gram**2) / np.trace(gram) + 1e-6 * np.trace(gram) + 1e-12
    left = centred.T @ centred / 12 + ridge * np.eye(7)
    expected = np.linalg.solve(left, centred.T @ change / 12 - 0.3 * layer.weight)
    assert_allclose(step, expected, rtol=1e-8)


def test_a_penalty_is_as_short_as_the_targets_below_one_output():
    class Layer:
        pass

    rng = np.random.default_rng(0)
    below, above = Layer(), Layer()
    above.used = rng.standard_normal((6, 1))
    above.gain = np.linalg.solve(above.used.T @ above.used + 0.5 * np.eye(1), above.used.T)
    minibatch_l2.renew_passed([below, above], 2.0)
    assert_allclose(above.gain, below.passed * above.used.T)  # exactly the gradient's share
    above.used, above.gain = np.zeros((6, 1)), np.zeros((1, 6))
    minibatch_l2.renew_passed([below, above], 2.0)
    assert below.passed == 2.0


@pytest.mark.parametrize(
    "params",
    [
        {"hidden_layer_sizes": (Conv2D(4, 3), 10), "input_shape": (8, 8)},
        {"hidden_layer_sizes": (40, 20), "scheme": Prune(sparsity=0.5)},
        {"hidden_layer_sizes": (40, 300), "batch_size": 32},
    ],
    ids=["convolution", "prune", "fewer rows than units"],
)
def test_the_penalty_reaches_every_kind_of_layer_of_minibatches(params):
    x, y = load_digits(return_X_y=True)
    x = x / 16

    def norms(alpha):
        model = BCDClassifier(solver="minibatch", alpha=alpha, random_state=0, max_iter=8, **params)
        fitted = model.fit(x, y)
        assert fitted.score(x, y) > 0.8
        return np.array([np.sum(w**2) for w in fitted.coefs_])

    assert np.all(norms(10.0)[:-1] < 0.9 * norms(0.0)[:-1])


def test_streams_read_the_penalty_and_the_batch_size():
    x, y = load_digits(return_X_y=True)
    x = x / 16

    def learnt(**params):
        model = BCDClassifier((20,), random_state=0, **params)
        for lo in range(0, 1600, 200):
            model.partial_fit(x[lo : lo + 200], y[lo : lo + 200], classes=range(10))
        return model

    plain, penalised, small = learnt(), learnt(alpha=30.0), learnt(batch_size=20)
    assert np.sum(penalised.coefs_[0] ** 2) < 0.9 * np.sum(plain.coefs_[0] ** 2)
    assert not np.array_equal(plain.coefs_[0], small.coefs_[0])
    assert plain.loss_curve_ == list(plain.objective_curve_)
    assert len(plain.loss_curve_) == plain.n_iter_ == 8


@pytest.mark.parametrize("solver", ["batch", "minibatch"])
def test_batch_size_sets_the_rows_of_a_step(solver):
    x, y = unlike_columns()

    def fitted(size):
        model = BCDClassifier((6,), solver=solver, batch_size=size, max_iter=5, random_state=0)
        return model.fit(x, y).coefs_[0]

    automatic = 16  # what both solvers take for 300 rows
    assert_array_equal(fitted(automatic), fitted("auto"))
    assert not np.array_equal(fitted(50), fitted("auto"))
    whole = fitted(len(x))
    with pytest.warns(
        IgnoredParameterWarning, match=r"batch_size=301 is more than the 300 rows.*clipped"
    ):
        clipped = fitted(301)
    assert_array_equal(whole, clipped)


def test_full_sweeps_say_that_they_have_no_batches():
    x, y = unlike_columns(60)
    model = BCDClassifier((3,), solver="full", batch_size=8, tol=1e-2)
    with pytest.warns(IgnoredParameterWarning, match="batch_size=8"):
        model.fit(x, y)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_loss_curve_has_one_number_for_each_iteration(solver):
    x, y = unlike_columns()
    model = BCDClassifier((6,), solver=solver, max_iter=12, random_state=0, alpha=1.0)
    with pytest.raises(NotFittedError):
        _ = model.loss_curve_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y)
    curve = model.loss_curve_
    assert isinstance(curve, list)
    assert len(curve) == model.n_iter_
    assert curve[-1] < curve[0]
    assert_array_equal(curve, model.convergence_.loss[1:])
    if solver == "full":
        assert model.objective_curve_[-1] > curve[-1]  # the penalties are not in it
    else:
        assert_array_equal(curve, model.objective_curve_[1:])
