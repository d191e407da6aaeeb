"""Codebooks are the best ones: against every partition, every code and every scale."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbcd.schemes import LowRank, Prune, Quantize, TensorTrain
from fastbcd.schemes.nearest import kmeans as quantization
from fastbcd.schemes.nearest.kmeans import kmeans, nearest_codes, symmetric_grid, uniform_scale
from fastbcd.schemes.quantize import shared_codebook

numbers = st.lists(st.integers(-20, 20), min_size=1, max_size=9).map(
    lambda values: np.array(values, np.float64)
)


def cost_of(values, centers, weight=None):
    squares = np.square(values[:, None] - centers).min(axis=1)
    return float(squares @ (np.ones(values.size) if weight is None else weight))


def best_cost(values, k, weight):
    """Try every way to cut the sorted values into at most k intervals."""
    order = np.argsort(values)
    values, weight = values[order], weight[order]
    best = np.inf
    for cuts in combinations(range(1, values.size), min(k, values.size) - 1):
        cost = 0.0
        for part, mass in zip(np.split(values, cuts), np.split(weight, cuts), strict=True):
            cost += mass @ np.square(part - mass @ part / mass.sum())
        best = min(best, cost)
    return best


@given(numbers, st.integers(1, 6), st.integers(0, 1000))
def test_kmeans_is_the_best_of_all_partitions(values, k, seed):
    weight = np.random.default_rng(seed).uniform(0.5, 2, values.size)
    for mass in (np.ones(values.size), weight):
        centers = kmeans(values, k, weight=mass)
        assert centers.shape == (k,)
        assert np.all(np.diff(centers) >= 0)
        expected = best_cost(values, k, mass)
        assert cost_of(values, centers, mass) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_kmeans_keeps_its_digits_far_from_zero(offset):
    values = offset + np.repeat([-1.0, -0.99, 0.5, 0.51], 50)
    values += 1e-4 * np.random.default_rng(0).normal(size=values.size)
    centers = kmeans(values, 4) - offset
    np.testing.assert_allclose(centers, [-1, -0.99, 0.5, 0.51], atol=1e-4)


@pytest.mark.parametrize("shape", ["normal", "heavy", "flat"])
@pytest.mark.parametrize("k", [2, 16, 256, 300])
def test_kmeans_of_many_numbers_is_a_fixed_point_near_the_best(shape, k, monkeypatch):
    rng = np.random.default_rng(0)
    draw = {"normal": rng.normal, "heavy": lambda size: rng.standard_t(2, size), "flat": rng.random}
    values = draw[shape](size=3000)
    monkeypatch.setattr(quantization, "DP_LEVELS", 300)
    exact = cost_of(values, kmeans(values, k))
    monkeypatch.setattr(quantization, "DP_LEVELS", 256)
    monkeypatch.setattr(quantization, "EXACT_BELOW", 600)
    centers = kmeans(values, k)
    near = np.abs(values[:, None] - centers).argmin(axis=1)
    for c in np.unique(near):
        assert centers[c] == pytest.approx(values[near == c].mean(), abs=1e-9)
    assert cost_of(values, centers) <= {2: 1.001, 16: 1.001, 256: 1.25, 300: 2.5}[k] * exact


def test_a_warm_start_goes_on_from_its_centers(monkeypatch):
    values = np.random.default_rng(0).normal(size=5000)
    monkeypatch.setattr(quantization.kernel, "optimal_cuts", None)
    centers = kmeans(values, 4, start=np.array([-1.5, -0.4, 0.4, 1.5]))
    assert cost_of(values, centers) == pytest.approx(0.117 * values.size, rel=0.1)


@given(numbers, st.lists(st.integers(-9, 9), min_size=1, max_size=5, unique=True))
def test_codes_name_the_nearest_value(values, book):
    codebook = np.sort(np.array(book, np.float64))
    codes = nearest_codes(values[:, None], codebook)[:, 0]
    distance = np.abs(values[:, None] - codebook)
    np.testing.assert_array_equal(distance[np.arange(values.size), codes], distance.min(axis=1))


@pytest.mark.parametrize("levels", [1, 2, 3, 255, 256, 257, 5000])
def test_codes_of_every_width_name_their_own_value(levels):
    codebook = np.linspace(-1, 1, levels)
    codes = nearest_codes(codebook[:, None], codebook, np.array([1.0]))
    np.testing.assert_array_equal(codes[:, 0], np.arange(levels))
    assert codes.dtype == (np.uint8 if levels <= 256 else np.uint16)


def test_each_column_is_encoded_on_its_own_scale():
    values = np.array([[1.0, 10.0, 3.0], [-1.0, -30.0, 0.0]])
    codes = nearest_codes(values, np.array([-1.0, 0.0, 1.0]), np.array([1.0, 20.0, 0.0]))
    assert codes[:, :2].tolist() == [[2, 1], [0, 0]]


def best_grid_cost(values, levels):
    """Try every choice of codes with its best scale."""
    best = float(values @ values)
    for q in product(symmetric_grid(levels), repeat=values.size):
        q = np.array(q)
        if q @ q:
            scale = (q @ values) / (q @ q)
            best = min(best, float(np.square(values - scale * q).sum()))
    return best


@settings(max_examples=30)
@given(
    st.lists(st.integers(-20, 20), min_size=1, max_size=5),
    st.sampled_from([2, 3, 4, 5]),
)
def test_the_scale_of_a_grid_is_the_best_of_all(values, levels):
    values = np.array(values, np.float64)
    scale = uniform_scale(np.abs(values)[None], levels)
    error = cost_of(values, scale * symmetric_grid(levels))
    assert error == pytest.approx(best_grid_cost(values, levels), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("levels", [2, 3, 4, 7, 15, 255])
def test_a_scale_that_is_searched_is_nearly_the_best(levels, monkeypatch):
    magnitudes = np.abs(np.random.default_rng(0).standard_t(4, size=(3, 400)))
    exact = uniform_scale(magnitudes, levels)
    monkeypatch.setattr(quantization, "EVENTS", 0)
    searched = uniform_scale(magnitudes, levels)
    grid = symmetric_grid(levels)
    for row, good, found in zip(magnitudes, exact, searched, strict=True):
        assert cost_of(row, good * grid) <= cost_of(row, found * grid) * (1 + 1e-12)
        assert cost_of(row, found * grid) <= 1.05 * cost_of(row, good * grid)


@pytest.mark.parametrize("levels", [2, 3, 4, 7])
@pytest.mark.parametrize("events", [0, 1 << 19])
def test_zeros_that_do_not_count_change_nothing(levels, events, monkeypatch):
    monkeypatch.setattr(quantization, "EVENTS", events)
    magnitudes = np.abs(np.random.default_rng(0).normal(size=(1, 200)))
    padded = np.hstack([magnitudes, np.zeros((1, 50))])
    expected = uniform_scale(magnitudes, levels)
    np.testing.assert_allclose(uniform_scale(padded, levels, np.array([200])), expected)


@pytest.mark.parametrize("events", [0, 1 << 19])
def test_a_row_of_zeros_has_scale_zero(events, monkeypatch):
    monkeypatch.setattr(quantization, "EVENTS", events)
    magnitudes = np.vstack([np.zeros(5), np.ones(5)])
    assert uniform_scale(magnitudes, 3).tolist() == [0, 1]
    assert uniform_scale(magnitudes, 4)[0] == 0


def test_binary_and_ternary_have_the_published_closed_forms():
    weight = np.random.default_rng(1).normal(size=(30, 20))
    binary = Quantize(method="binary").project(weight).to_dense()
    np.testing.assert_allclose(binary, np.abs(weight).mean() * np.sign(weight))
    ternary = Quantize(method="ternary").project(weight).to_dense()
    ordered = np.sort(np.abs(weight).ravel())[::-1]
    kept = np.argmax(np.cumsum(ordered) / np.sqrt(np.arange(1, 601))) + 1
    scale = ordered[:kept].mean()
    np.testing.assert_allclose(ternary, scale * np.sign(weight) * (np.abs(weight) > scale / 2))


def test_scales_per_column_are_nearer_than_one_for_the_layer():
    weight = np.random.default_rng(2).normal(size=(60, 20)) * np.geomspace(0.1, 10, 20)
    for method in ("kmeans", "uniform"):
        errors = [
            np.sum(
                (weight - Quantize(bits=3, method=method, per=per).project(weight).to_dense()) ** 2
            )
            for per in ("layer", "column")
        ]
        assert errors[1] < 0.9 * errors[0]


@pytest.mark.parametrize("method", ["kmeans", "uniform"])
@pytest.mark.parametrize("per", ["layer", "column"])
def test_no_change_of_one_number_comes_nearer(method, per):
    weight = np.random.default_rng(3).normal(size=(12, 9))
    made = Quantize(bits=2, method=method, per=per).project(weight)
    error = np.sum((weight - made.to_dense()) ** 2)
    if method == "uniform" and per == "layer":
        for change in (0.99, 1.01):
            assert error <= np.sum((weight - change * made.to_dense()) ** 2)
    for name in ("codebook", "scale"):
        values = getattr(made, name)
        if values is None:
            continue
        if method == "uniform" and name == "codebook":
            continue  # the grid is given
        for k in range(values.size):
            for change in (0.99, 1.01):
                moved = values.copy()
                moved[k] *= change
                arrays = {"codebook": made.codebook, "scale": made.scale, name: moved}
                factor = 1 if arrays["scale"] is None else arrays["scale"]
                rival = arrays["codebook"][made.codes] * factor
                assert error <= np.sum((weight - rival) ** 2) * (1 + 1e-3 * (per == "column"))


def test_pruned_and_quantised_weights_are_the_best_codebook_of_the_largest():
    weight = np.random.default_rng(4).normal(size=(40, 30))
    made = (Prune(sparsity=0.9) + Quantize(bits=3)).project(weight)
    kept = Prune(sparsity=0.9).project(weight)
    np.testing.assert_array_equal(made.columns, kept.columns)
    np.testing.assert_allclose(made.codebook, kmeans(kept.values, 8))
    assert made.kind == "codebook_sparse"
    assert made.n_bits < 0.3 * kept.n_bits


def test_a_pruned_weight_that_is_quantised_to_zero_is_not_stored():
    weight = np.array([[1.0, 0.1], [-1.0, 0.0]])
    made = (Prune(n_nonzero=3) + Quantize(method="ternary")).project(weight)
    assert made.codes.size == 2
    np.testing.assert_allclose(made.to_dense(), [[1, 0], [-1, 0]])


def test_a_sum_is_nearer_than_either_part_of_the_same_size():
    rng = np.random.default_rng(5)
    weight = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 30))
    weight += 5 * rng.normal(size=weight.shape) * (rng.random(weight.shape) < 0.03)
    made = (LowRank(rank=2) + Prune(density=0.03)).project(weight)
    assert [part.kind for part in made.parts] == ["low_rank", "sparse"]

    def missed(matrix):
        return np.sum((weight - matrix.to_dense()) ** 2) / np.sum(weight**2)

    assert missed(made) < 0.02
    assert missed(LowRank(rank=4).project(weight)) > 10 * missed(made)
    assert missed(Prune(n_nonzero=made.n_params).project(weight)) > 10 * missed(made)


@pytest.mark.parametrize("base", [LowRank(rank=6), TensorTrain(rank=6)], ids=str)
def test_encoding_one_core_after_the_other_makes_up_for_errors(base):
    rng = np.random.default_rng(6)
    weight = base.project(rng.normal(size=(36, 30))).to_dense()
    made = (base + Quantize(bits=4)).project(weight)
    assert made.kind == "codebook_train"
    errors = [np.sum((weight - made.to_dense()) ** 2) / np.sum(weight**2)]
    for bits in (6, 8):
        finer = (base + Quantize(bits=bits)).project(weight)
        errors.append(np.sum((weight - finer.to_dense()) ** 2) / np.sum(weight**2))
    assert errors[0] < 0.1
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


def test_layers_share_a_codebook_up_to_their_scales():
    rng = np.random.default_rng(7)
    layers = [size * rng.normal(size=(40, 30)) for size in (0.01, 1.0, 30.0)]
    values = shared_codebook(layers, 16)
    assert len(values) == 16
    for layer in layers:
        made = Quantize(codebook=values).project(layer)
        ratios = made.codebook / np.sort(values)
        np.testing.assert_allclose(ratios, ratios[0])
        own = Quantize(levels=16).project(layer)
        shared_error, own_error = (np.sum((layer - one.to_dense()) ** 2) for one in (made, own))
        assert own_error <= shared_error <= 1.5 * own_error
        by_column = Quantize(codebook=values, per="column").project(layer)
        np.testing.assert_array_equal(by_column.codebook, np.sort(values))


@pytest.mark.parametrize("seed", range(5))
def test_the_scale_of_a_given_grid_is_near_the_best(seed):
    values = np.random.default_rng(seed).normal(size=(1, 300))
    for levels in (2, 3, 4, 9):
        grid = symmetric_grid(levels)
        best = cost_of(values[0], uniform_scale(np.abs(values), levels) * grid)
        found = cost_of(values[0], quantization.given_scale(values, grid) * grid)
        assert best <= found * (1 + 1e-12)
        assert found <= 1.02 * best
