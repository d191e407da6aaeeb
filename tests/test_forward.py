"""The forward pass is the same function whatever the forms, and costs no memory of its own."""

from __future__ import annotations

import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from itertools import pairwise

import numpy as np
import pytest

from fastbcd.formats import DenseMatrix, SparseMatrix
from fastbcd.formats import sparse_base as _sparse_format
from fastbcd.formats.products import product as _products
from fastbcd.formats.products.product import FactorProduct, SparseProduct, SumProduct
from fastbcd.formats.products.row_chain import Workspace
from fastbcd.network.forward import Forward
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.network import Layer, Network
from fastbcd.schemes import LowRank, Prune, Quantize, TensorTrain
from fastbcd.utils import small
from fastbcd_kernels import sparse_product as kernel

TOL = {np.float32: 2e-4, np.float64: 1e-10}
WIDTHS = [36, 30, 24, 5]
SCHEMES = [
    None,
    Prune(density=0.05),
    Prune(density=0.5),
    Prune(density=0.05) + Quantize(bits=2),
    Prune(density=0.05) + Quantize(bits=2, per="column"),
    Quantize(bits=3),
    LowRank(rank=2),
    LowRank(rank=2) + Quantize(bits=3),
    LowRank(rank=2) + Prune(density=0.03),
    TensorTrain(rank=2),
    TensorTrain(rank=2, modes=(30, 4, 9)),
]


@pytest.fixture(autouse=True)
def no_layer_is_small(request, monkeypatch):
    """Use the products of large layers for small ones, unless a test is about those."""
    if "small" not in request.function.__name__:
        monkeypatch.setattr(small, "SMALL", 0)


def network_of(scheme, activation="relu", dtype=np.float64, seed=0):
    """Return a network whose hidden layers are compressed, and its arrays."""
    rng = np.random.default_rng(seed)
    layers, arrays = [], []
    for k, shape in enumerate(pairwise(WIDTHS)):
        weight, bias = rng.normal(size=shape).astype(dtype), rng.normal(size=shape[1])
        last = k == len(WIDTHS) - 2
        plain = last or scheme is None or not fits(scheme, shape)
        stored = DenseMatrix(weight) if plain else scheme.project(weight)
        name = "identity" if last else activation
        layers.append(Layer(stored, bias.astype(dtype), name))
        arrays.append((stored.to_dense(), layers[-1].intercept, name))
    return Network(layers), arrays


def fits(scheme, shape):
    try:
        scheme.check(shape)
    except ValueError:
        return False
    return True


def slow_forward(arrays, x):
    for weight, bias, name in arrays:
        x = ALL_ACTIVATIONS[name].value(x @ weight + bias)
    return x


def rows_of(n, dtype=np.float64, seed=1):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, WIDTHS[0])) * (rng.random((n, WIDTHS[0])) < 0.5)).astype(dtype)


each_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=str)


@each_scheme
@pytest.mark.parametrize("dtype", TOL)
@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 63, 64, 65, 130])
def test_the_outputs_are_those_of_the_dense_network(scheme, dtype, n):
    network, arrays = network_of(scheme, dtype=dtype)
    x = rows_of(n, dtype)
    before = x.copy()
    out = network.forward(x)
    assert out.dtype == dtype
    assert out.shape == (n, WIDTHS[-1])
    np.testing.assert_allclose(out, slow_forward(arrays, x), rtol=TOL[dtype], atol=10 * TOL[dtype])
    given = np.full_like(out, np.nan)
    assert network.forward(x, given) is given
    np.testing.assert_array_equal(given, out)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("scheme", [None, SCHEMES[1], SCHEMES[8]], ids=str)
@pytest.mark.parametrize("activation", ALL_ACTIVATIONS)
@pytest.mark.parametrize("n", [1, 9, 70])
def test_every_activation_is_applied_in_every_way(scheme, activation, n):
    network, arrays = network_of(scheme, activation)
    x = rows_of(n)
    np.testing.assert_allclose(network.forward(x), slow_forward(arrays, x), rtol=1e-10, atol=1e-10)


@each_scheme
@pytest.mark.parametrize("n", [1, 9])
def test_inputs_of_any_order_and_type_are_taken(scheme, n):
    network, arrays = network_of(scheme)
    x = rows_of(n)
    wide = np.zeros((n, 2 * WIDTHS[0]))
    wide[:, ::2] = x
    expected = slow_forward(arrays, x)
    for given in (np.asfortranarray(x), wide[:, ::2]):
        np.testing.assert_allclose(network.forward(given), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(
        network.forward(x.astype(np.float32)), expected, rtol=1e-4, atol=1e-4
    )


@each_scheme
def test_the_stored_form_and_the_dense_one_agree(scheme, monkeypatch):
    x = rows_of(70)
    outs = []
    for bound in (1e-9, 1e9):
        for module in (_sparse_format, _products):
            for name in ("SPARSE_ROW", "SPARSE_BATCH"):
                monkeypatch.setattr(module, name, {4: bound, 8: bound})
        network, _ = network_of(scheme)
        outs += [network.forward(x), np.vstack([network.forward(row[None]) for row in x])]
    for out in outs[1:]:
        np.testing.assert_allclose(out, outs[0], rtol=1e-10, atol=1e-10)


@each_scheme
@pytest.mark.parametrize("n", [1, 5, 64, 100])
def test_nothing_is_allocated_after_the_first_call(scheme, n):
    network, _ = network_of(scheme)
    x, out = rows_of(n), np.empty((n, WIDTHS[-1]))
    network.forward(rows_of(130))
    network.forward(x, out)
    tracemalloc.start()
    try:
        network.forward(x, out)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        network.forward(x, out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Views and numbers of Python, but no array of the size of a layer's output for 5 rows.
    assert peak - before < 1500


@each_scheme
def test_threads_do_not_disturb_each_other(scheme):
    network, _ = network_of(scheme)
    inputs = [rows_of(n, seed=n) for n in (1, 3, 20, 64, 100, 150) * 5]
    expected = [network_of(scheme)[0].forward(x) for x in inputs]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for got, right in zip(pool.map(network.forward, inputs), expected, strict=True):
                np.testing.assert_array_equal(got, right)


@each_scheme
def test_copies_carry_no_products(scheme):
    network, _ = network_of(scheme)
    fresh = len(pickle.dumps(network))
    x = rows_of(70)
    expected = network.forward(x)
    network.forward(x[:1])
    assert len(pickle.dumps(network)) == fresh
    for copy in (pickle.loads(pickle.dumps(network)), deepcopy(network)):
        np.testing.assert_allclose(copy.forward(x), expected, rtol=1e-12, atol=1e-12)


def test_few_non_zeros_and_thin_factors_are_multiplied_by_as_they_are():
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(64, 64)).astype(np.float32)
    for batch in (False, True):
        assert type(Prune(density=0.03).project(weight).product(batch)) is SparseProduct
        assert type(Prune(density=0.7).project(weight).product(batch)) is FactorProduct
        for scheme in (LowRank(rank=4), TensorTrain(rank=2)):
            assert len(scheme.project(weight).product(batch).factors) == 2
        assert len(LowRank(rank=60).project(weight).product(batch).factors) == 1
        thin = (LowRank(rank=3) + Prune(density=0.01)).project(weight)
        assert type(thin.product(batch)) is SumProduct
        thick = (LowRank(rank=30) + Prune(density=0.2)).project(weight)
        assert type(thick.product(batch)) is FactorProduct


def test_small_sparse_layers_use_the_dense_product_for_many_rows(monkeypatch):
    made = Prune(density=0.03).project(np.random.default_rng(0).normal(size=(64, 64)))
    x = np.random.default_rng(1).normal(size=(20, 64))
    assert type(made.product(batch=True)) is FactorProduct
    assert type(made.product(batch=False)) is SparseProduct
    dense = made.matmul(x)
    monkeypatch.setattr(small, "SMALL", 64 * 64 - 1)
    assert type(made.product(batch=True)) is SparseProduct
    np.testing.assert_allclose(made.matmul(x), dense, rtol=1e-12, atol=1e-12)


def test_a_row_with_few_zeros_is_left_to_the_dense_product():
    rng = np.random.default_rng(0)
    made = Prune(density=0.1).project(rng.normal(size=(100, 40)).astype(np.float32))
    product, bias, space = made.product(batch=False), np.zeros(40, np.float32), Workspace()
    assert type(product) is SparseProduct
    x, out = rng.normal(size=100).astype(np.float32), np.empty(40, np.float32)
    for n_zeros in (80, 50, 31, 29, 0):
        x[:n_zeros] = 0
        x[n_zeros:] = 1
        product.row(x, bias, 1.0, out, space)
        np.testing.assert_allclose(out, x @ made.to_dense(), rtol=1e-4, atol=1e-5)
        assert ("_dense_product" in vars(made)) == (n_zeros < 30)


def layers_of(*weights, bias=0.1, activation="relu"):
    return Network(
        [
            Layer(weight, np.full(weight.shape[1], bias, weight.dtype), activation)
            for weight in weights
        ]
    )


def sparse_of(rng, shape, density):
    return SparseMatrix.from_dense(rng.normal(size=shape) * (rng.random(shape) < density))


def test_small_and_sparse_layers_are_one_call_for_a_row_and_large_dense_ones_are_not_copied():
    rng = np.random.default_rng(0)
    large = DenseMatrix(rng.normal(size=(300, 300)))
    small = DenseMatrix(rng.normal(size=(300, 10)))
    sparse = sparse_of(rng, (300, 300), 0.02)
    x = rng.normal(size=(1, 300)) * (rng.random(300) < 0.3)
    for weights, n_calls in (
        ((sparse, sparse, small), 1),
        ((large, sparse, small), 2),
        ((sparse, large, small), 3),
    ):
        network = layers_of(*weights)
        out = network.forward(x)
        arrays = [(w.to_dense(), np.full(w.shape[1], 0.1), "relu") for w in weights]
        np.testing.assert_allclose(out, slow_forward(arrays, x), rtol=1e-10, atol=1e-10)
        stages = Forward(network.layers).single
        assert len(stages) == n_calls
        values = [stage.run.arrays[2] for stage in stages]
        shared = sum(np.shares_memory(one, large.weight) for one in values)
        assert shared == (large in weights)


@pytest.mark.parametrize("bias", [0.1, 5.0])
def test_a_layer_in_the_middle_may_be_left_to_the_dense_product(bias):
    rng = np.random.default_rng(1)
    weights = [sparse_of(rng, shape, 0.12) for shape in ((60, 80), (80, 70), (70, 5))]
    network = layers_of(*weights, bias=bias)
    x = rng.normal(size=(1, 60)) * (rng.random(60) < 0.5)
    arrays = [(w.to_dense(), np.full(w.shape[1], bias), "relu") for w in weights]
    out = network.forward(x)
    np.testing.assert_allclose(out, slow_forward(arrays, x), rtol=1e-10, atol=1e-10)
    # With large biases all units are active.
    assert ("_dense_product" in vars(weights[1])) == (bias == 5.0)


@each_scheme
@pytest.mark.parametrize("n", [1, 70])
def test_inputs_that_cannot_be_written_are_taken(scheme, n):
    network, arrays = network_of(scheme)
    x = rows_of(n)
    x.flags.writeable = False
    np.testing.assert_allclose(network.forward(x), slow_forward(arrays, x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("activation", ["relu", "identity", "leaky_relu"])
def test_what_is_not_finite_passes_a_row(activation):
    values = np.array([np.nan, np.inf, -np.inf, 2.0, -2.0])
    for value in values:
        x = np.array([[value]])
        sparse = SparseMatrix.from_dense(np.ones((1, 1)))
        for weight in (DenseMatrix(np.ones((1, 1))), sparse):
            out = layers_of(weight, bias=0.0, activation=activation).forward(x)
            np.testing.assert_array_equal(out, ALL_ACTIVATIONS[activation].value(x.copy()))


def test_a_matrix_of_zeros_gives_the_bias():
    made = SparseMatrix.from_dense(np.zeros((7, 4)))
    bias = np.arange(4.0)
    network = Network([Layer(made, bias, "identity")])
    for n in (1, 20):
        np.testing.assert_array_equal(network.forward(np.ones((n, 7))), np.tile(bias, (n, 1)))


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_what_is_not_finite_passes_the_activation(slope):
    values = np.array([np.nan, np.inf, -np.inf, -0.0, 2.0, -2.0])
    expected = np.maximum(values, 0) if slope == 0 else np.where(values > 0, values, slope * values)
    product = FactorProduct([np.eye(1)])
    for value, right in zip(values, expected, strict=True):
        out = np.empty((1, 1))
        product.rows(np.array([[value]]), np.zeros(1), slope, out, Workspace())
        np.testing.assert_array_equal(out[0, 0], right)
        block = np.full((1, kernel.BLOCK), value)
        kernel.finish_block(block, np.ones(1), np.zeros(1), slope)
        np.testing.assert_array_equal(block, np.full_like(block, right))


@pytest.mark.parametrize("m", [0, 1, 63, 64])
def test_a_block_is_transposed_and_filled_with_zeros(m):
    x = np.random.default_rng(0).normal(size=(m, 9))
    xt = np.full((9, kernel.BLOCK), np.nan)
    kernel.transpose_block(x, xt)
    np.testing.assert_array_equal(xt[:, :m], x.T)
    assert not xt[:, m:].any()


def test_a_workspace_keeps_the_largest_array_of_a_name():
    space = Workspace()
    large = space.get("a", (10, 3), np.dtype(float))
    assert np.shares_memory(space.get("a", (4, 3), np.dtype(float)), large)
    assert space.get("a", (4, 3), np.dtype(float)).flags.c_contiguous
    assert space.get("a", (10, 3), np.dtype(float)) is large
    assert not np.shares_memory(space.get("a", (10, 2), np.dtype(float)), large)


def test_the_bounds_are_given_for_both_types():
    for bounds in (_products.SPARSE_ROW, _products.SPARSE_BATCH):
        assert set(bounds) == {4, 8}


def test_a_network_without_layers_returns_its_inputs():
    x = rows_of(3)
    np.testing.assert_array_equal(Network([]).forward(x), x)
