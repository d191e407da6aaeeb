"""Layer-by-layer compression: statistics, projections in the data's metric, the pass itself."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from fastbcd.compression.allocation.greedy import allocate, lower_hull
from fastbcd.formats import DenseMatrix, SparseMatrix
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.network import Layer, Network
from fastbcd.parallel import ranges
from fastbcd.schemes import LowRank, Prune, Quantize, TensorTrain
from fastbcd.schemes.nearest import support as support
from fastbcd.schemes.nearest.neurons import remove_inputs
from fastbcd.schemes.nearest.thresholds import (
    hard_threshold,
    keep_blocks,
    keep_columns,
    keep_pattern,
)
from fastbcd.schemes.protocol import Level
from fastbcd.solvers.reconstruct import Calibration, count_dead, remove_dead
from fastbcd.statistics.metric import Metric
from fastbcd.statistics.moments import Moments, sensitivities
from fastbcd_kernels import masked_refit as kernel

ACTIVATIONS = list(ALL_ACTIVATIONS)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def correlated(rng, n, d):
    """Inputs whose covariance is far from diagonal, of different scales."""
    mixing = rng.standard_normal((d, d)) * rng.uniform(0.1, 2, d)
    return np.maximum(rng.standard_normal((n, d)) @ mixing, 0) + 0.3


def problem(rng, d=24, m=10, n=400):
    v = correlated(rng, n, d)
    weight = rng.standard_normal((d, m))
    covariance = np.cov(v.T, bias=True)
    return weight, Metric.of(covariance, 1e-3, rng.uniform(0.2, 3, m), m)


def network(rng, widths=(12, 20, 15, 4), activation="relu", dtype=np.float64):
    names = [activation] * (len(widths) - 2) + ["identity"]
    layers = [
        Layer(
            DenseMatrix((rng.standard_normal((a, b)) / np.sqrt(a)).astype(dtype)),
            rng.standard_normal(b).astype(dtype),
            name,
        )
        for a, b, name in zip(widths[:-1], widths[1:], names, strict=True)
    ]
    return Network(layers)


# ------------------------------------------------------------------ kernels


@pytest.mark.parametrize("density", [0.02, 0.3, 0.9, 1.0])
def test_refit_equals_independent_least_squares(rng, density):
    weight, metric = problem(rng, d=37, m=11)
    mask = rng.random(weight.shape) < density
    mask[:, 3] = False
    found = support.refit(mask, weight, metric)
    root = metric.factor
    for i in range(weight.shape[1]):
        rows = np.flatnonzero(mask[:, i])
        expected, *_ = np.linalg.lstsq(root[:, rows], root @ weight[:, i], rcond=None)
        np.testing.assert_allclose(found[rows, i], expected, rtol=1e-7, atol=1e-9)
        assert not found[~mask[:, i], i].any()


def test_refit_in_threads_is_the_same(rng, monkeypatch):
    weight, metric = problem(rng, d=150, m=40, n=500)
    mask = rng.random(weight.shape) < 0.8
    monkeypatch.setattr(ranges, "n_threads", lambda: 1)
    alone = support.refit(mask, weight, metric)
    monkeypatch.setattr(ranges, "n_threads", lambda: 3)
    np.testing.assert_array_equal(support.refit(mask, weight, metric), alone)


def test_refit_of_dependent_inputs_stays_finite(rng):
    v = rng.standard_normal((50, 6))
    v[:, 4] = v[:, 1]
    gram = v.T @ v
    cross = np.ascontiguousarray((gram @ rng.standard_normal((6, 3))).T)
    start, index = support.supports(np.ones((6, 3), bool))
    out = np.empty(index.size)
    lost = kernel.masked_refit(gram, cross, start, index, 0, 3, out)
    solution = out.reshape(3, 6).T
    assert lost == 3
    assert np.isfinite(solution).all()
    np.testing.assert_allclose(gram @ solution, cross.T, atol=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_masked_inverses(rng, dtype):
    """Lower triangles by rows; supports of all lengths, so that rows are left over by eights."""
    d = m = 29
    gram = np.cov(rng.standard_normal((60, d)).T) + 0.1 * np.eye(d)
    start, index = support.supports(np.triu(np.ones((d, m), bool))[:, rng.permutation(m)])
    counts = np.diff(start)
    assert set(counts) == set(range(1, d + 1))
    offset = np.concatenate([[0], np.cumsum(counts * (counts + 1) // 2)])
    inverses = np.full(offset[-1], np.nan, np.float32)
    kernel.masked_inverses(gram.astype(dtype), start, index, offset, 0, 7, inverses)
    assert np.isnan(inverses[offset[7] :]).all()
    kernel.masked_inverses(gram.astype(dtype), start, index, offset, 7, m, inverses)
    for i in range(m):
        rows = index[start[i] : start[i + 1]]
        expected = np.linalg.inv(gram[np.ix_(rows, rows)])[np.tril_indices(rows.size)]
        np.testing.assert_allclose(
            inverses[offset[i] : offset[i + 1]], expected, rtol=1e-4, atol=1e-4 * expected.max()
        )


# ------------------------------------------------------------------ schemes in the metric


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_pruning_is_never_worse_than_refitted_magnitude(seed, share):
    rng = np.random.default_rng(seed)
    weight, metric = problem(rng)
    count = max(1, int(share * weight.size))
    found = Prune(n_nonzero=count).project_in_metric(weight, metric, np.dtype(float))
    magnitude = support.refit(hard_threshold(weight, count) != 0, weight, metric)
    assert found.n_params == count
    error = metric.error(found.to_dense() - weight)
    assert error <= metric.error(magnitude - weight) * (1 + 1e-12)
    assert error < 0.95 * metric.error(magnitude - weight)


def test_pruning_one_output_is_near_the_exhaustive_optimum(rng):
    weight, metric = problem(rng, d=9, m=1)
    errors = []
    for rows in combinations(range(9), 4):
        mask = np.zeros((9, 1), bool)
        mask[list(rows)] = True
        errors.append(metric.error(support.refit(mask, weight, metric) - weight))
    found = Prune(n_nonzero=4).project_in_metric(weight, metric, np.dtype(float))
    errors.sort()
    assert errors[0] * (1 - 1e-9) <= metric.error(found.to_dense() - weight) <= errors[3]


def test_pruning_with_an_identity_metric_is_the_projection(rng):
    weight = rng.standard_normal((8, 6))
    found = Prune(density=0.3).project_in_metric(
        weight, Metric(np.eye(8), np.ones(6)), np.dtype(float)
    )
    np.testing.assert_allclose(
        found.to_dense(), Prune(density=0.3).project(weight).to_dense(), atol=1e-12
    )


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_low_rank_is_optimal_in_the_metric(rng, rank):
    weight, metric = problem(rng, d=16, m=12)
    found = LowRank(rank=rank).project_in_metric(weight, metric, np.dtype(float))
    error = metric.error(found.to_dense() - weight)
    singular = np.linalg.svd(metric.whiten(weight), compute_uv=False)
    np.testing.assert_allclose(error, np.sum(singular[rank:] ** 2), rtol=1e-8)
    assert error <= metric.error(LowRank(rank=rank).project(weight).to_dense() - weight)
    for scale in (1e-3, 1e-2, 1e-1):
        left = found.left + scale * rng.standard_normal(found.left.shape)
        right = found.right + scale * rng.standard_normal(found.right.shape)
        assert metric.error(left @ right - weight) > error


def test_low_rank_curve_agrees_with_its_projections(rng):
    weight, metric = problem(rng)
    for level in LowRank().curve(weight, metric, np.dtype(float)):
        found = level.scheme.project_in_metric(weight, metric, np.dtype(float))
        np.testing.assert_allclose(metric.error(found.to_dense() - weight), level.error, rtol=1e-6)
        assert found.n_bits // 8 == level.n_bytes
        assert found.n_params == level.n_params


def test_prune_curve_counts_bytes_exactly_and_falls(rng):
    weight, metric = problem(rng, d=60, m=30)
    levels = Prune().curve(weight, metric, np.dtype(np.float32))
    assert all(a.error >= b.error for a, b in pairwise(levels))
    for level in levels[:: len(levels) // 4]:
        stored = level.scheme.project_in_metric(weight, metric, np.dtype(np.float32))
        assert stored.n_bits // 8 == level.n_bytes


@pytest.mark.parametrize(
    "scheme",
    [
        Quantize(bits=2),
        Quantize(bits=2, per="column"),
        Quantize(bits=3, method="uniform"),
        Prune(density=0.5) + Quantize(bits=2),
    ],
    ids=str,
)
def test_huge_weights_of_nearly_dead_inputs_do_not_spoil_a_codebook(rng, scheme):
    d, m = 40, 12
    variance = np.ones(d)
    variance[:2] = 1e-6
    metric = Metric.of(np.diag(variance), 1e-3, None, m)
    weight = rng.standard_normal((d, m))
    weight[:2] = 0
    total = metric.error(weight)
    usual = metric.error(
        scheme.project_in_metric(weight, metric, np.dtype(float)).to_dense() - weight
    )
    weight[:2] = [[60.0], [-40.0]]
    error = metric.error(
        scheme.project_in_metric(weight, metric, np.dtype(float)).to_dense() - weight
    )
    lost = metric.error(np.where(np.arange(d)[:, None] < 2, weight, 0))
    assert error < usual + 2 * lost + 0.05 * total
    seen = metric.seen(weight)
    np.testing.assert_array_equal(seen[2:], weight[2:])
    assert np.abs(seen[:2]).max() < 2
    # The same entries on inputs that vary are no artefact.
    alive = Metric.of(np.eye(d), 1e-3, None, m)
    np.testing.assert_array_equal(alive.seen(weight), weight)


@pytest.mark.parametrize("shape", [(16, 12), (24, 30)])
def test_tensor_train_in_the_metric_beats_the_plain_projection(rng, shape):
    weight, metric = problem(rng, *shape)
    scheme = TensorTrain(rank=3)
    found = scheme.project_in_metric(weight, metric, np.dtype(float))
    plain = scheme.project(weight)
    assert found.ranks == plain.ranks
    assert metric.error(found.to_dense() - weight) < 0.8 * metric.error(plain.to_dense() - weight)


def test_patterns_and_columns(rng):
    weight = rng.standard_normal((10, 7))
    kept = keep_pattern(weight, 2, 4) != 0
    for group in (kept[:4], kept[4:8]):
        assert (group.sum(axis=0) == 2).all()
    assert (kept[8:].sum(axis=0) == 2).all()
    largest = np.sort(np.abs(weight[:4]), axis=0)[-2:].sum()
    np.testing.assert_allclose(np.abs(weight[:4][kept[:4]]).sum(), largest)
    assert keep_columns(weight, 3).any(axis=0).sum() == 3


def test_two_of_four_in_the_metric(rng):
    weight, metric = problem(rng)
    found = Prune(structure="2:4").project_in_metric(weight, metric, np.dtype(float)).to_dense()
    assert ((found != 0).reshape(6, 4, 10).sum(axis=1) <= 2).all()
    plain = support.refit(keep_pattern(weight, 2, 4) != 0, weight, metric)
    assert metric.error(found - weight) <= metric.error(plain - weight) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"structure": "4:2"}, "structure="),
        ({"structure": "block"}, "structure="),
        ({"structure": "4x0", "sparsity": 0.5}, "structure="),
        ({"structure": "4x4"}, "exactly one"),
        ({"structure": "2:4", "sparsity": 0.5}, "fixes how many"),
        ({"structure": "neuron"}, "exactly one"),
    ],
)
def test_structures_are_checked(params, message):
    with pytest.raises(ValueError, match=message):
        Prune(**params).check((8, 8))


# ------------------------------------------------------------------ statistics


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_moments(rng, dtype, weighted):
    v, u = correlated(rng, 9000, 5).astype(dtype) + dtype(100), rng.random((9000, 3)).astype(dtype)
    weight = rng.integers(0, 3, 9000).astype(float) if weighted else None
    found = Moments.of(v, u, weight)
    repeated = np.repeat(np.arange(9000), 1 if weight is None else weight.astype(int))
    both = np.cov(np.hstack([v, u]).astype(np.float64)[repeated].T, bias=True)
    tolerance = 1e-4 if dtype == np.float32 else 1e-10
    scale = np.abs(both).max()
    np.testing.assert_allclose(found.covariance, both[:5, :5], atol=tolerance * scale)
    np.testing.assert_allclose(found.cross, both[:5, 5:], atol=tolerance * scale)
    np.testing.assert_allclose(found.variance_out, np.diag(both)[5:], rtol=10 * tolerance)


def test_best_weight_is_the_ridge_solution(rng):
    v, u, old = rng.standard_normal((80, 6)), rng.standard_normal((80, 2)), rng.random((6, 2))
    ridge = rng.random(6)
    found = Moments.of(v, u).best_weight(old, ridge)
    vc, uc = v - v.mean(axis=0), u - u.mean(axis=0)
    stacked = np.vstack([vc / np.sqrt(80), np.diag(np.sqrt(ridge))])
    goal = np.vstack([uc / np.sqrt(80), np.sqrt(ridge)[:, None] * old])
    np.testing.assert_allclose(found, np.linalg.lstsq(stacked, goal, rcond=None)[0], rtol=1e-8)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("centre", [True, False])
def test_sensitivities_equal_finite_differences(rng, activation, centre):
    net = network(rng, activation=activation)
    x = rng.standard_normal((30, 12))
    found = sensitivities(net, x, centre)
    step = 1e-6
    v = x
    for index, layer in enumerate(net.layers):
        u = layer.linear(v)
        rest = Network(net.layers[index + 1 :])
        sigma = ALL_ACTIVATIONS[layer.activation].value
        for unit in range(0, u.shape[1], 3):
            up, down = u.copy(), u.copy()
            up[:, unit] += step
            down[:, unit] -= step
            slope = (rest.forward(sigma(up)) - rest.forward(sigma(down))) / (2 * step)
            if centre:
                slope = slope - slope.mean(axis=1, keepdims=True)
            expected = np.square(slope).sum(axis=1).mean()
            np.testing.assert_allclose(found[index][unit], expected, rtol=1e-4, atol=1e-8)
        v = sigma(u)


# ------------------------------------------------------------------ the pass


def test_a_dense_pass_changes_nothing(rng):
    net, x = network(rng), rng.standard_normal((300, 12))
    found = Calibration(net, x, None, True).reconstruct([None, None, None])
    np.testing.assert_allclose(found.network.forward(x), net.forward(x), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_pass_beats_plain_projection(rng, activation):
    net, x = network(rng, activation=activation), correlated(rng, 600, 12)
    schemes = [Prune(density=0.4), Prune(density=0.4), None]
    found = Calibration(net, x, None, False).reconstruct(schemes).network
    plain = Network(
        [
            layer
            if scheme is None
            else Layer(scheme.project(layer.weight.to_dense()), layer.intercept, layer.activation)
            for layer, scheme in zip(net.layers, schemes, strict=True)
        ]
    )
    fresh = correlated(np.random.default_rng(0), 600, 12)
    goal = net.forward(fresh)
    errors = [np.linalg.norm(candidate.forward(fresh) - goal) for candidate in (found, plain)]
    assert errors[0] < 0.95 * errors[1]


def test_integer_weights_equal_repeated_rows(rng):
    net, x = network(rng), correlated(rng, 200, 12)
    counts = rng.integers(0, 4, 200)
    schemes = [LowRank(rank=3), LowRank(rank=3), None]
    # The same number of rows with a positive weight, so that the damping agrees.
    repeated = x[np.repeat(np.arange(200), counts)]
    big = Calibration(net, np.vstack([x] * 100), np.tile(counts, 100).astype(float), False)
    other = Calibration(net, np.vstack([repeated] * 100), None, False)
    for calibration in (big, other):
        calibration.__dict__["sensitivities"] = [np.ones(20), np.ones(15), np.ones(4)]
    np.testing.assert_allclose(
        big.reconstruct(schemes).network.forward(x),
        other.reconstruct(schemes).network.forward(x),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("case", ["rank_deficient", "few_rows", "constant", "dead_layer"])
def test_hard_data(rng, case):
    net = network(rng)
    x = correlated(rng, 300, 12)
    if case == "rank_deficient":
        x[:, 5:] = x[:, :1]
    elif case == "few_rows":
        x = x[:3]
    elif case == "constant":
        x[:] = 1.0
    else:
        net.layers[0].intercept[:] = -1e3
    for schemes in (
        [Prune(density=0.3), Prune(density=0.3), None],
        [LowRank(rank=2), LowRank(rank=2), None],
        [TensorTrain(rank=2), None, None],
        [Prune(structure="neuron", density=0.5), None, None],
    ):
        found = Calibration(net, x, None, True).reconstruct(schemes)
        outputs = found.network.forward(x)
        assert np.isfinite(outputs).all()
        if case in ("constant", "dead_layer"):
            np.testing.assert_allclose(outputs, net.forward(x), rtol=1e-5, atol=1e-6)


def test_neurons_are_removed_for_real_and_the_rest_is_refitted(rng):
    net, x = network(rng), correlated(rng, 500, 12)
    schemes = [Prune(structure="neuron", density=0.5), Prune(structure="neuron", density=0.6), None]
    found = Calibration(net, x, None, False).reconstruct(schemes).network
    assert [layer.weight.shape for layer in found.layers] == [(12, 10), (10, 9), (9, 4)]
    goal = net.forward(x)
    assert np.linalg.norm(found.forward(x) - goal) < 0.5 * np.linalg.norm(goal - goal.mean(axis=0))


def test_remove_inputs_is_exact(rng):
    weight, metric = problem(rng, d=12, m=5)
    kept, found = remove_inputs(weight, metric, 7)
    mask = np.zeros(weight.shape, bool)
    mask[kept] = True
    np.testing.assert_allclose(found, support.refit(mask, weight, metric)[kept], rtol=1e-7)
    one, _ = remove_inputs(weight, metric, 11)
    losses = []
    for j in range(12):
        rest = np.ones(weight.shape, bool)
        rest[j] = False
        losses.append(metric.error(support.refit(rest, weight, metric) - weight))
    assert set(range(12)) - set(one.tolist()) == {int(np.argmin(losses))}


# ------------------------------------------------------------------ dead neurons


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_removing_dead_neurons_changes_no_output(rng, activation):
    net = network(rng, (10, 14, 12, 9, 3), activation)
    weights = [layer.weight.to_dense() for layer in net.layers]
    weights[0][:, [1, 4]] = 0  # without input: constants
    weights[1][[2, 7]] = 0  # without output
    weights[1][:, 3] = 0
    weights[1][:, 5] = 0
    weights[1][8, :] = 0
    weights[1][8, 6] = 1.0  # only feeds a neuron that nobody reads
    weights[2][6] = 0
    layers = [
        Layer(SparseMatrix.from_dense(w) if i else DenseMatrix(w), old.intercept, old.activation)
        for i, (w, old) in enumerate(zip(weights, net.layers, strict=True))
    ]
    before = Network(layers)
    x = rng.standard_normal((50, 10))
    after, removed = remove_dead(before)
    np.testing.assert_allclose(after.forward(x), before.forward(x), rtol=1e-12, atol=1e-12)
    assert removed == [5, 3, 0]
    assert count_dead(after) == [0, 0, 0]
    assert after.n_bytes < before.n_bytes


def test_a_layer_without_any_path_keeps_one_neuron(rng):
    net = network(rng, (5, 6, 3))
    layers = [
        net.layers[0],
        Layer(SparseMatrix.from_dense(np.zeros((6, 3))), net.layers[1].intercept, "identity"),
    ]
    after, _ = remove_dead(Network(layers))
    assert after.layers[0].weight.shape == (5, 1)
    x = rng.standard_normal((4, 5))
    np.testing.assert_allclose(after.forward(x), Network(layers).forward(x))


# ------------------------------------------------------------------ allocation


def test_allocation_is_near_the_exhaustive_optimum(rng):
    curves = []
    for _ in range(3):
        costs = np.sort(rng.choice(np.arange(1, 60), 8, replace=False))
        errors = rng.uniform(1, 50) * np.exp(-costs / rng.uniform(5, 30))
        pairs = zip(costs.tolist(), errors.tolist(), strict=True)
        curves.append([Level(None, c, c, e) for c, e in pairs])
    for budget in (40, 80, 120):
        found = allocate(curves, budget, lambda level: level.n_bytes)
        options = [
            sum(level.error for level in choice)
            for choice in ((a, b, c) for a in curves[0] for b in curves[1] for c in curves[2])
            if sum(level.n_bytes for level in choice) <= budget
        ]
        if not options:
            assert found is None
            continue
        assert sum(level.n_bytes for level in found) <= budget
        assert sum(level.error for level in found) <= 1.5 * min(options) + 1e-12


def test_allocation_refuses_what_cannot_be_met():
    curve = [Level(None, 10, 10, 1.0)]
    assert allocate([curve, curve], 19, lambda level: level.n_bytes) is None
    assert allocate([curve, curve], 20, lambda level: level.n_bytes) == [curve[0], curve[0]]


def test_lower_hull_is_convex(rng):
    costs, errors = rng.integers(1, 100, 50), rng.random(50)
    levels = [Level(None, 1, int(c), float(e)) for c, e in zip(costs, errors, strict=True)]
    hull = lower_hull(levels, lambda level: level.n_bytes)
    slopes = [(a.error - b.error) / (b.n_bytes - a.n_bytes) for a, b in pairwise(hull)]
    assert all(s > 0 for s in slopes)
    assert all(a >= b for a, b in pairwise(slopes))


def test_blocks_are_kept_whole(rng):
    weight = rng.standard_normal((10, 7))
    kept = keep_blocks(weight, (4, 2), 20) != 0
    assert kept.sum() <= 20
    for r, c in ((0, 0), (4, 4), (8, 6)):
        part = kept[r : r + 4, c : c + 2]
        assert part.all() or not part.any()
    norms = [
        np.square(weight[r : r + 4, c : c + 2]).mean() for r in (0, 4, 8) for c in (0, 2, 4, 6)
    ]
    best = int(np.argmax(norms))
    assert kept[4 * (best // 4), 2 * (best % 4)]
    assert (keep_blocks(weight, (4, 2), 1) != 0).any()
    target, metric = problem(rng)
    scheme = Prune(structure="4x2", density=0.25)
    found = scheme.project_in_metric(target, metric, np.dtype(float))
    assert found.n_params <= 60
    plain = support.refit(keep_blocks(target, (4, 2), 60) != 0, target, metric)
    assert metric.error(found.to_dense() - target) <= metric.error(plain - target) * (1 + 1e-12)
