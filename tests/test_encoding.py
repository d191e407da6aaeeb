"""Networks that read columns through a piecewise-linear encoding, in every part of the package."""

from __future__ import annotations

import pickle
from copy import deepcopy

import numpy as np
import pytest
from deployed import matrices
from encoded import (
    HIDDEN_FORMATS,
    N_COLUMNS,
    N_FEATURES,
    encoding,
    extremes,
    network,
    rows,
    slow_rows,
    without,
)

from fastbcd.formats import DenseMatrix, LowRankMatrix, SparseMatrix
from fastbcd.network.dead import count_dead, remove_dead
from fastbcd.network.layers.encoding import PiecewiseLinear

DTYPES = [np.float32, np.float64]

each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_choice = pytest.mark.parametrize("selects", [False, True], ids=["all columns", "some"])
each_format = pytest.mark.parametrize("name", HIDDEN_FORMATS)


def tolerance(dtype):
    return {"rtol": 1e-5, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-11, "atol": 1e-12}


# The view


@each_choice
@each_dtype
def test_the_features_are_those_of_a_slow_loop(dtype, selects):
    view = encoding(dtype, selects)
    for x in (rows(dtype=dtype), extremes(dtype)):
        found = view.rows(x)
        assert found.dtype == dtype
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, slow_rows(view, x))


@each_dtype
def test_huge_numbers_saturate_the_ramps_without_a_warning(dtype):
    view = encoding(dtype)
    largest = np.finfo(dtype).max
    found = view.rows(np.array([[largest] * N_COLUMNS, [-largest] * N_COLUMNS], dtype))
    np.testing.assert_array_equal(found[0, N_COLUMNS:], 1)
    np.testing.assert_array_equal(found[1, N_COLUMNS:], 0)


@each_choice
@pytest.mark.parametrize("taken", [[0], [5, 20], [0, 1, 3, 7, 8, 23], list(range(N_FEATURES))])
def test_some_features_of_an_encoding(selects, taken):
    view, x = encoding(selects=selects), rows()
    part = view.take(np.array(taken))
    assert part.n_features == len(taken)
    assert part.n_inputs == N_COLUMNS
    np.testing.assert_array_equal(part.rows(x), view.rows(x)[:, taken])


def test_another_type_keeps_slopes_positive_and_finite():
    view = PiecewiseLinear(
        1, np.arange(1), np.zeros(3, int), np.array([0.0, 1e200, 1.0]), np.array([1e-60, 1e60, 2])
    ).astype(np.dtype(np.float32))
    assert view.starts.dtype == view.slopes.dtype == np.float32
    assert np.isfinite(view.slopes).all()
    assert (view.slopes > 0).all()
    assert np.isfinite(view.starts).all()
    assert view.slopes[2] == 2
    wide = view.astype(np.dtype(np.float64))
    np.testing.assert_array_equal(wide.slopes, view.slopes)


@pytest.mark.parametrize(("n_columns", "size"), [(6, 1), (300, 2), (70_000, 4)])
@each_choice
def test_bytes_are_those_of_the_numbers_and_of_the_smallest_indices(n_columns, size, selects):
    ramps = np.array([0, 0, n_columns - 1])
    plain = np.arange(0, n_columns, 2) if selects else np.arange(n_columns)
    view = PiecewiseLinear(n_columns, plain, ramps, np.ones(3), np.ones(3))
    assert view.n_bytes == 2 * 3 * 8 + size * (3 + (len(plain) if selects else 0))
    assert view.n_params == 6
    assert view.selects == selects


@pytest.mark.parametrize("n", [0, 1, 3, 100])
@each_choice
@each_format
@each_dtype
def test_a_network_is_its_function_of_the_features(dtype, name, selects, n):
    net = network(matrices(dtype)[name], selects=selects)
    x = rows(n, dtype)
    found = net.forward(x)
    assert found.shape == (n, 3)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, net.on_features.forward(net.encoding.rows(x)))
    out = np.empty_like(found)
    assert net.forward(x, out) is out
    np.testing.assert_array_equal(out, found)


def test_what_a_network_says_of_itself():
    net = network()
    assert net.n_inputs == N_COLUMNS
    assert net.on_features.n_inputs == N_FEATURES
    assert not net.is_plain
    assert not net.sees_images
    assert not net.architecture.has_images
    assert net.on_features.is_plain
    assert net.on_features.encoding is None
    assert net.n_bytes == net.on_features.n_bytes + net.encoding.n_bytes
    assert net.n_params == net.on_features.n_params + 2 * (N_FEATURES - N_COLUMNS)
    assert net.flops == net.on_features.flops + 2 * (N_FEATURES - N_COLUMNS)


@pytest.mark.parametrize("kind", [DenseMatrix, SparseMatrix.from_dense])
@each_choice
def test_features_without_weights_are_left_out(kind, selects):
    net, x = network(selects=selects), rows(200)
    view = net.encoding
    plain = without(net, [1, 4, 5, 12, 23]).on_features
    first = plain.layers[0]
    plain.layers[0] = type(first)(kind(first.weight.to_dense()), first.intercept, first.activation)
    whole = plain.encoded(view)
    assert whole.encoding.n_features == N_FEATURES - 5
    assert type(whole.layers[0].weight) is type(plain.layers[0].weight)
    np.testing.assert_allclose(whole.forward(x), plain.forward(view.rows(x)), rtol=1e-5, atol=1e-5)


def test_a_format_that_cannot_leave_out_rows_keeps_all_features():
    net, x = network(matrices()["train"]), rows()
    dead = network(LowRankMatrix(np.zeros((N_FEATURES, 2), "f"), np.ones((2, 4), "f")))
    assert type(dead.on_features.encoded(dead.encoding).layers[0].weight) is LowRankMatrix
    again = net.on_features.encoded(net.encoding)
    assert type(again.layers[0].weight) is type(net.layers[0].weight)
    np.testing.assert_array_equal(again.forward(x), net.forward(x))


def test_one_feature_remains_of_a_layer_without_weights():
    net = without(network(), np.arange(N_FEATURES))
    whole = net.on_features.encoded(net.encoding)
    assert whole.encoding.n_features == 1
    np.testing.assert_array_equal(whole.forward(rows()), net.forward(rows()))


def test_pickle_and_copies_keep_a_network():
    net, x = network(selects=True), rows()
    for again in (pickle.loads(pickle.dumps(net)), deepcopy(net)):
        assert again.encoding.n_columns == N_COLUMNS
        np.testing.assert_array_equal(again.forward(x), net.forward(x))


def test_dead_neurons_behind_an_encoding_are_removed():
    net, x = network(), rows()
    dense = net.layers[0].weight.to_dense()
    dense[:, 3] = 0
    net.layers[0] = type(net.layers[0])(
        DenseMatrix(dense), net.layers[0].intercept, "relu", net.encoding
    )
    assert count_dead(net) == [1]
    small, removed = remove_dead(net)
    assert removed == [1]
    assert small.encoding is net.encoding
    np.testing.assert_allclose(small.forward(x), net.forward(x), rtol=1e-5, atol=1e-5)
