"""The theorems behind the full solver: monotone blocks, optimality, rate, equivalences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from sklearn.datasets import load_digits

from fastbcd import BCDClassifier
from fastbcd.linalg import products as _linalg
from fastbcd.network.layers.activations import ACTIVATIONS
from fastbcd.network.layers.patches import WHOLE_ROW
from fastbcd.network.layers.row_step import activation_gain
from fastbcd.network.losses.losses import LOSSES
from fastbcd.objective.subgradient import least_slope, subgradient
from fastbcd.objective.terms import Penalties, Problem, objective
from fastbcd.schemes import LowRank, Prune, TensorTrain
from fastbcd.solvers import FullSolver
from fastbcd.solvers.full.restart import attempt_restart
from fastbcd.solvers.full.schedule import Growth, TauRamp
from fastbcd.solvers.starts import orthogonal

SCHEMES = {
    "dense": None,
    "prune": Prune(sparsity=0.6),
    "low_rank": LowRank(rank=2),
    "tensor_train": TensorTrain(rank=2),
}
HIDDEN_ACTIVATIONS = tuple(ACTIVATIONS)


def random_problem(seed, loss="cross_entropy", scheme=None, dtype=np.float64, gain=0.5, **fixed):
    """A problem of random shape, penalties, weights and data, and a starting point."""
    rng = np.random.default_rng(seed)
    n, d, k = int(rng.integers(20, 60)), int(rng.integers(3, 10)), int(rng.integers(2, 5))
    hidden = [int(width) for width in rng.integers(4, 12, size=rng.integers(1, 4))]
    activation = fixed.get("activation", HIDDEN_ACTIVATIONS[seed % len(HIDDEN_ACTIVATIONS)])
    x = rng.standard_normal((n, d)).astype(dtype)
    y = np.eye(k, dtype=dtype)[rng.integers(0, k, n)]
    if loss == "squared":
        y = rng.standard_normal((n, k)).astype(dtype)
    sample_weight = fixed.get("sample_weight", rng.uniform(0.1, 3.0, n))
    rho, gamma, tau, alpha = 10 ** rng.uniform(-1, 1, 4)
    widths = [d, *hidden, k]
    state = np.random.RandomState(seed)
    weights = [w.astype(dtype) for w in orthogonal(widths, state, gain)]
    problem = Problem(
        x,
        y,
        np.ones(n) if sample_weight is None else sample_weight,
        LOSSES[loss],
        [ACTIVATIONS[activation]] * len(hidden) + [ACTIVATIONS["identity"]],
        [WHOLE_ROW] * (len(hidden) + 1),
        [scheme] * len(hidden) + [None],
        Penalties(rho, gamma, tau, alpha),
    )
    return problem, weights, [np.zeros(w.shape[1], dtype) for w in weights]


def seeds(n_quick, n_all):
    """Run the first seeds always, and the others among the slow tests."""
    rest = pytest.param(range(n_quick, n_all), marks=pytest.mark.slow, id="the rest")
    return pytest.mark.parametrize("seeds", [pytest.param(range(n_quick), id="some"), rest])


def sweep(problem, weights, intercepts, n_sweeps, **options):
    solver = FullSolver(**options)
    state = solver.init(problem, weights, intercepts)
    for _ in range(n_sweeps):
        solver.step(problem, state)
    return state


@seeds(20, 100)
@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("name", SCHEMES)
def test_no_block_raises_the_objective_and_each_gains_its_modulus_times_the_squared_step(
    name, loss, seeds
):
    for seed in seeds:
        start = random_problem(seed, loss, SCHEMES[name])
        record = sweep(*start, 6, certificate=True).record
        scale = record.objective[0]
        for step in (step for steps in record.block_steps for step in steps):
            assert step.decrease >= step.guaranteed - 1e-11 * scale, (seed, step)
        assert np.all(record.decreases >= -1e-11 * scale), seed


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("name", SCHEMES)
def test_the_objective_kept_up_to_date_is_the_one_computed_from_scratch(name, loss):
    for seed in range(8):
        problem, weights, intercepts = random_problem(seed, loss, SCHEMES[name])
        state = sweep(problem, weights, intercepts, 5)
        scratch = objective(problem, state.blocks)
        kept = state.record.terms[-1]
        assert_allclose(kept.loss, scratch.loss, rtol=1e-9, atol=1e-12)
        assert_allclose(kept.linear, scratch.linear, rtol=1e-9, atol=1e-12)
        assert_allclose(kept.activation, scratch.activation, rtol=1e-9, atol=1e-12)
        assert_allclose(kept.compression, scratch.compression, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("accelerate", [False, True])
def test_the_residuals_carried_along_are_those_of_the_blocks(accelerate):
    n_accelerated = 0
    for seed in range(8):
        problem, weights, intercepts = random_problem(seed)
        state = sweep(problem, weights, intercepts, 5, accelerate=accelerate)
        n_accelerated += state.record.n_accelerated
        for index, block in enumerate(state.blocks):
            v = problem.x if index == 0 else state.blocks[index - 1].act
            scratch = block.pre - v @ block.weight - block.intercept
            assert_allclose(block.residual, scratch, rtol=1e-9, atol=1e-9)
    assert (n_accelerated > 0) == accelerate


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_subgradient_is_the_derivative_where_there_is_one(activation):
    problem, weights, intercepts = random_problem(
        3, "cross_entropy", Prune(sparsity=0.5), activation=activation
    )
    blocks = sweep(problem, weights, intercepts, 2).blocks
    names = {"activation": "act", "pre-activation": "pre", "weight": "weight",
             "intercept": "intercept"}  # fmt: skip
    rng = np.random.default_rng(0)
    for name, layer, gradient in subgradient(problem, blocks):
        array = getattr(blocks[layer], names[name])
        index = tuple(rng.integers(0, size) for size in array.shape)
        if name == "pre-activation" and np.min(np.abs(np.abs(array[index]) - [0, 1])) < 1e-4:
            continue  # at a kink there is no derivative
        h = 1e-6
        values = []
        for sign in (1, -1):
            array[index] += sign * h
            values.append(objective(problem, blocks).total)
            array[index] -= sign * h
        slope = (values[0] - values[1]) / (2 * h)
        assert_allclose(gradient[index], slope, rtol=1e-5, atol=1e-5)


def test_least_slope_searches_the_interval_at_a_convex_kink_and_the_ends_at_a_concave_one():
    left = np.array([-1.0, 1.0, -3.0, 2.0, -2.0])
    right = np.array([2.0, 3.0, -1.0, -1.0, -3.0])
    assert_allclose(least_slope(left, right), [0.0, 1.0, -1.0, -1.0, -2.0])


@seeds(1, 4)
@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("name", ["dense", "prune"])
def test_k_times_the_least_squared_subgradient_stays_bounded(name, loss, seeds):
    for seed in seeds:
        start = random_problem(seed, loss, SCHEMES[name], activation="relu")
        record = sweep(*start, 400, certificate=True).record
        # O(1/k): after the start, K * min ||g||^2 never exceeds what it was early on.
        assert record.rate[100:].max() <= record.rate[:100].max()
        assert record.subgradient_norm[-1] < 0.05 * record.subgradient_norm[0]


def test_squared_steps_are_summable():
    record = sweep(*random_problem(1, "squared"), 300, certificate=True, accelerate=False).record
    squares = np.square(record.step_norm)
    assert squares[150:].sum() < 0.05 * squares.sum()


def weight_block_optimum(problem, blocks, layer, old):
    """Minimise F + proximal/2 ||step||^2 over (W, b) of one layer with a general method."""
    p = problem.penalties
    v = problem.x if layer == 0 else blocks[layer - 1].act
    v1 = np.hstack([v, np.ones((len(v), 1))])
    target = blocks[layer].target
    shape = (v1.shape[1], old.shape[1])

    def value(flat):
        theta = flat.reshape(shape)
        miss = v1 @ theta - blocks[layer].pre
        weighted = problem.sample_weight[:, None] * miss
        f = 0.5 * p.rho * np.sum(weighted * miss) + 0.5 * p.proximal * np.sum((theta - old) ** 2)
        gradient = p.rho * v1.T @ weighted + p.proximal * (theta - old)
        if target is not None:
            f += 0.5 * p.tau * np.sum((theta[:-1] - target) ** 2)
            gradient[:-1] += p.tau * (theta[:-1] - target)
        return f, gradient.ravel()

    found = minimize(value, old.ravel(), jac=True, method="L-BFGS-B",
                     options={"maxiter": 5000, "ftol": 1e-16, "gtol": 1e-12})  # fmt: skip
    return found.x.reshape(shape)


@pytest.mark.parametrize("scheme", [None, Prune(sparsity=0.5)])
def test_weight_step_is_the_joint_minimiser_over_weights_and_intercepts(scheme):
    problem, weights, intercepts = random_problem(5, "squared", scheme)
    state = sweep(problem, weights, intercepts, 1, accelerate=False)
    from fastbcd.solvers.full.sweep import Sweep

    block = state.blocks[0]
    old = np.vstack([block.weight, block.intercept])
    expected = weight_block_optimum(problem, state.blocks, 0, old)
    Sweep(problem, state, certificate=False).weight_step(0)
    assert_allclose(np.vstack([block.weight, block.intercept]), expected, atol=1e-5)


@pytest.mark.parametrize("widths", [(7, 4), (4, 7)])
def test_activation_step_solves_the_normal_equations_on_either_side_of_woodbury(widths):
    rng = np.random.default_rng(0)
    d, m = widths
    weight = rng.standard_normal((d, m))
    pre_next, bias = rng.standard_normal((30, m)), rng.standard_normal(m)
    s = np.maximum(rng.standard_normal((30, d)), 0)
    rho, gamma = 1.7, 0.6
    gain = activation_gain(weight, gamma / rho)
    ours = s + (pre_next - bias - s @ weight) @ gain
    lhs = rho * weight @ weight.T + gamma * np.eye(d)
    rhs = rho * (pre_next - bias) @ weight.T + gamma * s
    assert_allclose(ours, np.linalg.solve(lhs, rhs.T).T, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("name", SCHEMES)
def test_weight_k_equals_k_repetitions(name, loss):
    counts = np.random.default_rng(0).integers(1, 4, size=200)
    problem, weights, intercepts = random_problem(2, loss, SCHEMES[name])
    counts = counts[: len(problem.x)]
    weighted = replace(problem, sample_weight=counts.astype(float))
    repeated = replace(
        problem,
        x=np.repeat(problem.x, counts, axis=0),
        y=np.repeat(problem.y, counts, axis=0),
        sample_weight=np.ones(counts.sum()),
    )
    a, b = (sweep(p, weights, intercepts, 15) for p in (weighted, repeated))
    for left, right in zip(a.blocks, b.blocks, strict=True):
        assert_allclose(left.weight, right.weight, rtol=1e-6, atol=1e-8)
        assert_allclose(left.intercept, right.intercept, rtol=1e-6, atol=1e-8)


def test_gram_of_the_inputs_is_computed_once(monkeypatch):
    problem, weights, intercepts = random_problem(0, sample_weight=None)
    seen = []
    gram = _linalg.gram
    monkeypatch.setattr(
        _linalg,
        "gram",
        lambda v, *more, **how: seen.append(v is problem.x) or gram(v, *more, **how),
    )
    sweep(problem, weights, intercepts, 4)
    assert sum(seen) == 1
    assert len(seen) == 1 + 4 * (len(weights) - 1)


def test_float32_follows_float64():
    single = random_problem(4, "cross_entropy", dtype=np.float32, gain=0.3, activation="relu")
    double = random_problem(4, "cross_entropy", dtype=np.float64, gain=0.3, activation="relu")
    a = sweep(*single, 20, accelerate=False)
    b = sweep(*double, 20, accelerate=False)
    assert a.blocks[0].weight.dtype == a.blocks[0].act.dtype == np.float32
    assert_allclose(a.record.objective, b.record.objective, rtol=1e-4)


def test_acceleration_never_ends_higher_than_the_sweep_it_started_from():
    for seed in range(10):
        plain_problem = random_problem(seed, "cross_entropy", TensorTrain(rank=2))
        state = sweep(*plain_problem, 40)
        assert state.record.n_accelerated > 0
        assert state.record.n_rises == 0


@pytest.mark.parametrize("name", ["dense", "prune"])
def test_a_restart_moves_to_the_forward_pass_only_where_the_objective_is_lower(name):
    problem, weights, intercepts = random_problem(1, "squared", SCHEMES[name])
    state = sweep(problem, weights, intercepts, 3, accelerate=False)
    terms = objective(problem, state.blocks)
    before = [block.pre.copy() for block in state.blocks]
    after = attempt_restart(problem, state.blocks, terms)
    scratch = objective(problem, state.blocks)
    assert_allclose(after.total, scratch.total, rtol=1e-12)
    assert after.total <= terms.total
    if after is terms:
        assert all(np.array_equal(b.pre, u) for b, u in zip(state.blocks, before, strict=True))
    # Blocks that are far from the network's own values: there the forward pass is lower.
    state.blocks[0].act = state.blocks[0].act + 100.0
    worse = objective(problem, state.blocks)
    restarted = attempt_restart(problem, state.blocks, worse)
    assert restarted.total < worse.total
    assert sum(restarted.linear) == sum(restarted.activation) == 0
    assert_allclose(objective(problem, state.blocks).total, restarted.total, rtol=1e-12)
    assert not state.blocks[0].residual.any()


def test_acceleration_pays():
    start = random_problem(0, "cross_entropy", activation="relu")
    fast = sweep(*start, 60).record.objective[-1]
    plain = sweep(*start, 60, accelerate=False).record.objective[-1]
    assert fast < 0.7 * plain


def test_a_compressed_copy_that_is_not_nearer_is_refused():
    class Worse(Prune):
        """Keeps the smallest entries from the second call on."""

        calls = 0

        def project(self, weight, warm=None):
            self.calls += 1
            return super().project(weight if self.calls == 1 else 1 / weight, warm)

    problem, weights, intercepts = random_problem(0, "squared")
    problem = replace(problem, schemes=[Worse(sparsity=0.5), *problem.schemes[1:]])
    state = sweep(problem, weights, intercepts, 5)
    assert state.record.n_kept_copies > 0
    assert state.record.n_rises == 0


def test_tau_ramp_ends_where_it_should_and_the_copies_agree_with_the_weights():
    problem, weights, intercepts = random_problem(1, "cross_entropy", Prune(sparsity=0.5))
    ramp = TauRamp(0.1, 1e4, 50)
    assert_allclose([ramp.at(0), ramp.at(25), ramp.at(50), ramp.at(99)], [0.1, 31.6, 1e4, 1e4],
                    rtol=1e-2)  # fmt: skip
    state = sweep(problem, weights, intercepts, 150, ramp=ramp)
    assert state.settled
    assert state.record.n_rises == 0
    for block in state.blocks[:-1]:
        assert_allclose(block.weight, block.target, atol=1e-2)


def test_same_start_gives_the_same_bits():
    start = random_problem(7, "cross_entropy", TensorTrain(rank=2))
    a, b = sweep(*start, 10), sweep(*start, 10)
    assert all(np.array_equal(x.weight, y.weight) for x, y in zip(a.blocks, b.blocks, strict=True))


@seeds(5, 20)
@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("name", SCHEMES)
def test_no_sweep_raises_the_objective_of_its_own_penalties_while_they_grow(name, loss, seeds):
    for seed in seeds:
        start = random_problem(seed, loss, SCHEMES[name])
        ramp = TauRamp(0.1, 1.0, 6, relative=True)
        state = sweep(*start, 15, ramp=ramp, growth=Growth(0.1, 8))
        record = state.record
        assert np.all(record.decreases >= -1e-11 * record.objective[0]), seed
        assert state.settled
        first, last = record.penalties[0], record.penalties[-1]
        given = start[0].penalties
        assert (first.rho, first.gamma, first.proximal) == pytest.approx((0.1,) * 3)
        assert (last.rho, last.gamma, last.proximal) == (given.rho, given.gamma, given.proximal)
        assert record.penalties[-1].tau == record.penalties[9].tau


def test_relative_tau_is_rho_times_the_mean_diagonal_of_each_gram_matrix():
    problem, weights, intercepts = random_problem(2, scheme=Prune(sparsity=0.5))
    solver = FullSolver(TauRamp(0.5, 1.0, 4, relative=True))
    state = solver.init(problem, weights, intercepts)
    found = state.record.penalties[0].tau
    inputs = [problem.x, *(block.act for block in state.blocks[:-1])]
    s = problem.sample_weight[:, None]
    expected = [0.5 * problem.penalties.rho * np.diag(v.T @ (s * v)).mean() for v in inputs]
    assert_allclose(found, expected)
    most = float(np.median(expected))
    solver = FullSolver(TauRamp(0.5, 1.0, 4, relative=True, most=most))
    state = solver.init(problem, weights, intercepts)
    assert_allclose(state.record.penalties[0].tau, np.minimum(expected, most))


def test_parts_of_the_objective_are_turned_to_other_penalties():
    problem, weights, intercepts = random_problem(4, scheme=Prune(sparsity=0.5))
    blocks = sweep(problem, weights, intercepts, 3).blocks
    other = replace(problem, penalties=Penalties(2.0, 0.3, (0.7, 1.1, 0.2, 0.4), 1.0))
    terms = objective(problem, blocks)
    turned = terms.total_under(other.penalties, problem.penalties)
    assert turned == pytest.approx(objective(other, blocks).total, rel=1e-12)


def test_a_deep_compressed_network_leaves_chance_within_the_first_sweeps():
    x, y = load_digits(return_X_y=True)
    x, y = (x[:500] - x[:500].mean()) / x[:500].std(), y[:500]
    widths = [64, 32, 32, 32, 32, 32, 10]
    layers = len(widths) - 1
    problem = Problem(
        x, np.eye(10)[y], np.ones(500), LOSSES["cross_entropy"],
        [ACTIVATIONS["relu"]] * (layers - 1) + [ACTIVATIONS["identity"]], [WHOLE_ROW] * layers,
        [TensorTrain(rank=8)] * (layers - 1) + [None], Penalties(1.0, 1.0, 0.0, 1.0),
    )  # fmt: skip
    weights = orthogonal(widths, np.random.RandomState(0))
    scores = []
    for ramp, growth in (
        (TauRamp(50.0, 500.0, 100), None),
        (TauRamp(0.1, 500.0, 100, relative=True), Growth(1.0, 15)),
    ):
        solver = FullSolver(ramp, growth=growth)
        state = solver.init(problem, weights, [np.zeros(w.shape[1]) for w in weights])
        for _ in range(40):
            solver.step(problem, state)
        outputs = solver.network(problem, state).forward(x)
        scores.append(np.mean(outputs.argmax(axis=1) == y))
    assert scores[0] < 0.2  # a tau that does not know how small the activations are
    assert scores[1] > 0.7


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_estimator_starts_from_balanced_penalties_unless_it_is_not_accelerated():
    x, y = load_digits(return_X_y=True)
    x, y = x[:80], y[:80]
    fit = {"solver": "full", "rho": 0.5, "gamma": 20.0, "max_iter": 12, "random_state": 0}
    quick = BCDClassifier((8,), **fit).fit(x, y).convergence_.penalties
    assert [(p.rho, p.gamma, p.proximal) for p in quick[:4]] == [(1.0, 1.0, 1.0)] * 4
    assert (quick[-1].rho, quick[-1].gamma) == (0.5, 20.0)
    plain = BCDClassifier((8,), accelerate=False, **fit).fit(x, y).convergence_.penalties
    assert {(p.rho, p.gamma, p.proximal) for p in plain} == {(0.5, 20.0, 1.0)}
    fixed = BCDClassifier((8,), scheme=Prune(sparsity=0.5), tau=3.0, **fit).fit(x, y)
    assert {p.tau for p in fixed.convergence_.penalties} == {(3.0, 3.0)}
    grown = BCDClassifier((8,), scheme=Prune(sparsity=0.5), **fit).fit(x, y).convergence_
    assert grown.penalties[-1].tau == (0.5 * 80, 0.5 * 80)
    assert grown.n_rises == 0
