"""Quantised weights in the data's metric: codes, levels, scales."""

from itertools import product

import numpy as np
import pytest

from fastbcd.network.network import Layer, Network
from fastbcd.schemes import LowRank, Prune, Quantize
from fastbcd.schemes.nearest.support import supports
from fastbcd.solvers.reconstruct import remove_dead
from fastbcd.statistics.metric import Metric
from fastbcd_kernels import codebook_metric as kernel

SCHEMES = [
    Quantize(bits=1),
    Quantize(bits=2),
    Quantize(bits=3, per="column"),
    Quantize(method="ternary"),
    Quantize(method="binary", per="column"),
    Quantize(bits=3, method="uniform"),
]


def problem(seed=0, d=30, m=8, n=400):
    rng = np.random.default_rng(seed)
    v = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + rng.standard_normal((n, 1))
    metric = Metric.of(np.cov(v.T), 1e-3, rng.uniform(0.5, 2, m), m)
    return rng.standard_normal((d, m)), metric


@pytest.mark.parametrize("seed", range(4))
def test_one_bit_is_near_the_exhaustive_optimum(seed):
    target, metric = problem(seed, d=4, m=2)
    found = Quantize(bits=1).project_in_metric(target, metric, np.dtype(float))
    errors = []
    for choice in product((0, 1), repeat=8):
        codes = np.array(choice).reshape(4, 2)
        hot = np.stack([codes == k for k in (0, 1)], axis=-1).astype(float)
        system = np.einsum("jik,jl,lin,i->kn", hot, metric.gram, hot, metric.sensitivity)
        wanted = np.einsum("jik,jl,li,i->k", hot, metric.gram, target, metric.sensitivity)
        levels = np.linalg.lstsq(system, wanted, rcond=None)[0]
        errors.append(metric.error(levels[codes] - target))
    errors.sort()
    error = metric.error(found.to_dense() - target)
    assert errors[0] * (1 - 1e-9) <= error <= 2 * errors[0]
    plain = Quantize(bits=1).project(target)
    assert error <= metric.error(plain.to_dense() - target)


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_the_metric_beats_the_plain_projection(scheme):
    target, metric = problem()
    found = scheme.project_in_metric(target, metric, np.dtype(float))
    plain = scheme.project(target)
    assert metric.error(found.to_dense() - target) < 0.8 * metric.error(plain.to_dense() - target)
    assert found.codebook.size == plain.codebook.size
    assert found.n_bits == plain.n_bits
    if scheme.method != "kmeans":
        steps = np.diff(found.codebook)
        np.testing.assert_allclose(steps, steps[0])
        np.testing.assert_allclose(found.codebook, -found.codebook[::-1])


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_pruned_and_quantised(scheme):
    target, metric = problem()
    pruned = Prune(density=0.4).project_in_metric(target, metric, np.dtype(float)).to_dense()
    both = Prune(density=0.4) + scheme
    found = both.project_in_metric(target, metric, np.dtype(float))
    assert (found.to_dense()[pruned == 0] == 0).all()
    plain = scheme.project_nonzeros(pruned)
    error = metric.error(found.to_dense() - target)
    assert error < metric.error(plain.to_dense() - target)
    # On the support the refitted weights and their rounding err at right angles.
    parts = metric.error(pruned - target) + metric.error(found.to_dense() - pruned)
    np.testing.assert_allclose(error, parts, rtol=1e-6)


def test_codes_are_locally_best_and_levels_stationary():
    target, metric = problem(d=12, m=5)
    found = Quantize(bits=2).project_in_metric(target, metric, np.dtype(float))
    base = metric.error(found.to_dense() - target)
    for j, i in product(range(12), range(5)):
        for code in range(4):
            codes = found.codes.copy()
            codes[j, i] = code
            assert metric.error(found.codebook[codes] - target) >= base * (1 - 1e-9)


def test_every_support_has_its_own_order_of_errors():
    # A support of everything goes through the shared factor, as its own factor would.
    target, metric = problem(d=9, m=3)
    mask = np.ones((9, 3), bool)
    levels = np.array([-1.0, 0.0, 1.2])
    codes = np.empty(27, np.int64)
    arrays = (*supports(mask), target.T.ravel(), levels, np.ones(3))
    factor = np.ascontiguousarray(metric.factor)
    scratch = np.empty((len(factor), len(factor))), np.empty(len(factor))
    kernel.nearest_plane(metric.gram, factor, *arrays, 0, 3, *scratch, codes)
    for i in range(3):
        error = np.zeros(9)
        for j in range(8, -1, -1):
            centre = target[j, i] + factor[j, j + 1 :] @ error[j + 1 :] / factor[j, j]
            code = int(np.argmin(np.abs(levels - centre)))
            assert codes[9 * i + j] == code
            error[j] = target[j, i] - levels[code]


def test_hard_metrics_stay_finite():
    target, metric = problem(d=10, m=4)
    singular = Metric(np.ones((10, 10)) + 1e-12 * np.eye(10), np.ones(4))
    for scheme in (Quantize(bits=2), Prune(density=0.5) + Quantize(bits=2, per="column")):
        assert np.isfinite(
            scheme.project_in_metric(target, singular, np.dtype(float)).to_dense()
        ).all()
        zero = scheme.project_in_metric(np.zeros((10, 4)), metric, np.dtype(float))
        np.testing.assert_array_equal(zero.to_dense(), 0)


@pytest.mark.parametrize("quantize", [Quantize(bits=3), Quantize()], ids=str)
def test_curve_of_pruned_and_quantised_weights(quantize):
    target, metric = problem(d=60, m=30, n=900)
    dtype = np.dtype(np.float32)
    levels = (Prune() + quantize).curve(target, metric, dtype)
    assert {level.scheme.quantize.bits for level in levels} >= {3}
    for level in levels[:: len(levels) // 6]:
        made = level.scheme.project_in_metric(target, metric, dtype)
        assert abs(made.n_bits // 8 - level.n_bytes) <= 0.05 * level.n_bytes
        error = metric.error(made.to_dense() - target)
        assert 0.5 * error < level.error < 2 * error


def test_curve_of_quantised_weights():
    target, metric = problem(d=60, m=30, n=900)
    levels = Quantize().curve(target, metric, np.dtype(np.float32))
    assert [level.scheme.bits for level in levels] == list(range(1, 9))
    for level in levels[:5]:
        made = level.scheme.project_in_metric(target, metric, np.dtype(np.float32))
        assert made.n_bits // 8 == level.n_bytes
        error = metric.error(made.to_dense() - target)
        assert 0.4 * error < level.error < 2.5 * error


@pytest.mark.parametrize(
    "scheme", [Quantize(bits=2, per="column"), Prune(density=0.4) + Quantize(bits=2)], ids=str
)
def test_dead_neurons_of_quantised_layers_go(scheme):
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((6, 8)), rng.standard_normal((8, 3))
    first = scheme.project(first)
    second[[1, 4]] = 0
    second = (Prune(n_nonzero=18) + Quantize(bits=3)).project(second)
    intercepts = rng.standard_normal(8), rng.standard_normal(3)
    before = Network(
        [Layer(first, intercepts[0], "relu"), Layer(second, intercepts[1], "identity")]
    )
    after, removed = remove_dead(before)
    assert removed[0] >= 2
    x = rng.standard_normal((20, 6))
    np.testing.assert_allclose(after.forward(x), before.forward(x), atol=1e-10)
    assert after.n_bytes < before.n_bytes


@pytest.mark.parametrize("quantize", [Quantize(bits=4), Quantize(bits=4, method="uniform")])
def test_low_rank_and_quantised(quantize):
    target, metric = problem(d=40, m=25)
    scheme = LowRank(rank=4) + quantize
    found = scheme.project_in_metric(target, metric, np.dtype(np.float32))
    plain = scheme.project(target)
    exact = LowRank(rank=4).project_in_metric(target, metric, np.dtype(float))
    error = metric.error(found.to_dense() - target)
    assert metric.error(exact.to_dense() - target) <= error
    assert error < 0.8 * metric.error(plain.to_dense() - target)
    assert found.dtype == np.float32
    assert found.codes.size == 4 * 65
    zero = scheme.project_in_metric(np.zeros((40, 25)), metric, np.dtype(float))
    np.testing.assert_array_equal(zero.to_dense(), 0)


def test_other_combinations_are_projected_plainly():
    target, metric = problem(d=12, m=6)
    scheme = LowRank(rank=2) + Prune(n_nonzero=10)
    found = scheme.project_in_metric(target, metric, np.dtype(float))
    np.testing.assert_array_equal(found.to_dense(), scheme.project(target).to_dense())
