"""Inputs and neurons removed for good: prices, sizes, and the slim network itself."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pytest
import test_export_c
from sklearn.datasets import load_digits, make_regression
from sklearn.neural_network import MLPClassifier, MLPRegressor

from fastbcd import BCDClassifier, compress, load
from fastbcd.compression.removal.goal import bytes_of
from fastbcd.compression.removal.path import rounds
from fastbcd.compression.removal.prices import Row, remove_units, repair
from fastbcd.exceptions import ExportWarning
from fastbcd.formats import DenseMatrix
from fastbcd.network.layers.encoding import selection
from fastbcd.network.network import Layer, Network
from fastbcd.schemes import Prune, Quantize
from fastbcd.statistics.curvature import curvatures
from fastbcd.statistics.metric import Metric
from fastbcd.statistics.moments import Moments


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y


@pytest.fixture(scope="module")
def mlp(digits):
    return MLPClassifier((32, 16), max_iter=40, tol=1, random_state=0).fit(*digits)


@pytest.fixture(scope="module")
def slim(mlp, digits):
    return compress(mlp, *digits, scheme=Prune(structure="unit", sparsity=0.7), random_state=0)


def n_weights(model):
    return sum(weight.size for weight in model.coefs_)


def network_of(widths, seed=0, activation="relu"):
    rng = np.random.default_rng(seed)
    layers = []
    for n, (a, b) in enumerate(pairwise(widths)):
        name = activation if n < len(widths) - 2 else "identity"
        weight = DenseMatrix(rng.normal(size=(a, b)))
        layers.append(Layer(weight, rng.normal(size=b), name))
    return Network(layers)


# ------------------------------------------------------------------------------------- prices


@pytest.mark.parametrize("group", [[2], [1, 3]])
def test_a_price_is_the_exact_rise_of_the_squared_error(group):
    """A layer without an activation and half the squared error: removal is least squares."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5))
    weight = rng.normal(size=(5, 3))
    seen = Moments.of(x, x[:, :0])
    gram = seen.covariance + np.diag(Metric.ridge(seen.covariance, 1e-9))
    network = Network([Layer(DenseMatrix(weight), np.zeros(3), "identity")])
    (bent,) = curvatures(network, x, "squared")
    others = [[j] for j in range(5) if j not in group]
    row = Row(weight, gram, bent, [np.array(g) for g in [group, *others]])
    rest = np.setdiff1d(np.arange(5), group)
    target = x @ weight
    best = np.column_stack([x[:, rest], np.ones(len(x))])
    fitted = best @ np.linalg.lstsq(best, target, rcond=None)[0]
    rise = 0.5 * np.square(target - fitted).sum(axis=1).mean()
    assert row.prices()[0] == pytest.approx(rise, rel=1e-6)
    fixed = repair(weight, gram, rest)
    moved = x[:, rest] @ fixed
    moved += (target - moved).mean(axis=0)
    np.testing.assert_allclose(moved, fitted, atol=1e-6)


@pytest.mark.parametrize("groups", [[[0], [1], [2], [3], [4], [5]], [[0, 1], [2], [3, 4, 5]]])
def test_prices_after_a_removal_are_those_of_a_smaller_problem(groups):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(100, 6)) @ rng.normal(size=(6, 6))
    gram = x.T @ x / 100
    weight = rng.normal(size=(6, 4))
    bent = np.cov(rng.normal(size=(4, 50)))
    groups = [np.array(group) for group in groups]
    row = Row(weight, gram, bent, groups)
    row.remove(1)
    rest = np.setdiff1d(np.arange(6), groups[1])
    smaller = Row(
        repair(weight, gram, rest),
        gram[np.ix_(rest, rest)],
        bent,
        [np.searchsorted(rest, group) for n, group in enumerate(groups) if n != 1],
    )
    found = np.delete(row.prices(), 1)
    np.testing.assert_allclose(found, smaller.prices(), rtol=1e-6)
    assert row.prices()[1] == np.inf


@pytest.mark.parametrize("loss", ["softmax", "sigmoid", "squared"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_curvature_is_the_second_derivative_of_the_loss(loss, activation):
    """Of one row, with its own predictions as targets, along a shift of the pre-activations."""
    network = network_of([3, 4, 3], activation=activation)
    x = np.random.default_rng(2).normal(size=(1, 3))

    def shifted(index, shift):
        layers = list(network.layers)
        old = layers[index]
        layers[index] = Layer(old.weight, old.intercept + shift, old.activation)
        return Network(layers).forward(x)

    def distance(z):
        z0 = network.forward(x)
        if loss == "squared":
            return 0.5 * np.square(z - z0).sum()
        if loss == "sigmoid":
            p = 1 / (1 + np.exp(-z0))
            return (np.logaddexp(0, z) - p * z - np.logaddexp(0, z0) + p * z0).sum()
        p = np.exp(z0 - np.logaddexp.reduce(z0, axis=1))
        return (np.logaddexp.reduce(z, axis=1) - (p * z).sum(axis=1)).sum() - (
            np.logaddexp.reduce(z0, axis=1) - (p * z0).sum(axis=1)
        ).sum()

    for index, bent in enumerate(curvatures(network, x, loss)):
        shift = np.random.default_rng(3).normal(size=len(bent))
        step = 1e-4
        found = distance(shifted(index, step * shift)) + distance(shifted(index, -step * shift))
        assert found / step**2 == pytest.approx(shift @ bent @ shift, rel=1e-3, abs=1e-6)


def test_weights_of_rows_count_as_copies():
    network = network_of([3, 4, 2])
    x = np.random.default_rng(4).normal(size=(20, 3))
    weight = np.arange(20) % 3
    copies = np.repeat(x, weight, axis=0)
    for bent, other in zip(
        curvatures(network, x, "softmax", weight.astype(float)),
        curvatures(network, copies, "softmax"),
        strict=True,
    ):
        np.testing.assert_allclose(bent, other, rtol=1e-6, atol=1e-12)


def test_a_copied_unit_goes_first_and_costs_nothing():
    """Two equal neurons: either is free, and the other takes over its weights."""
    network = network_of([4, 5, 3])
    first, last = network.layers
    weight, bias = first.weight.to_dense().copy(), first.intercept.copy()
    weight[:, 3], bias[3] = weight[:, 1], bias[1]
    network = Network([Layer(DenseMatrix(weight), bias, "relu"), last])
    x = np.random.default_rng(5).normal(size=(500, 4))
    found = remove_units(network, x, "softmax", (0, 1), lambda w: w[1] < 5, (0, 0))
    assert [layer.weight.shape for layer in found.network.layers] == [(4, 4), (4, 3)]
    np.testing.assert_allclose(found.network.forward(x), network.forward(x), atol=0.05)
    assert found.price < 1e-3


def test_the_last_units_stay():
    network = network_of([4, 5, 3, 2])
    x = np.random.default_rng(6).normal(size=(50, 4))
    found = remove_units(network, x, "softmax", (0, 1, 2), lambda w: False, (0, 0, 0)).network
    assert [layer.weight.shape[1] for layer in found.layers] == [1, 1, 2]
    assert np.count_nonzero(found.layers[0].weight.to_dense().any(axis=1)) == 1


def test_rounds_end_at_the_goal():
    assert rounds(1000.0, 900.0, 0.3, 0.78) == [900.0]
    found = rounds(1000.0, 100.0, 0.3, 0.78)
    assert found[0] == 300
    assert found[-1] == 100
    assert all(a > b for a, b in pairwise(found))
    assert rounds(10.0, 0.5, 0.3, 0.5) == [3.0, 1.5, 0.75, 0.5]


# ------------------------------------------------------------------------------ slim networks


def test_the_slim_network_is_the_zeroed_one(slim, digits):
    x, _ = digits
    used = slim.features_used_
    assert used.dtype == bool
    assert used.shape == (64,)
    assert 0 < used.sum() < 64
    first = np.zeros((64, slim.coefs_[0].shape[1]), np.float32)
    first[used] = slim.coefs_[0]
    layers = list(slim.network_.on_features.layers)
    zeroed = Network([Layer(DenseMatrix(first), layers[0].intercept, "relu"), *layers[1:]])
    np.testing.assert_allclose(slim.network_.forward(x), zeroed.forward(x), rtol=1e-5, atol=1e-5)
    other = x.copy()
    other[:, ~used] = 7
    np.testing.assert_array_equal(slim.predict_proba(other), slim.predict_proba(x))
    assert slim.n_features_in_ == 64
    with pytest.raises(ValueError, match="features"):
        slim.predict(x[:, used])


def test_size_and_score(slim, mlp, digits):
    assert n_weights(slim) <= 0.3 * n_weights(mlp)
    assert slim.score(*digits) > mlp.score(*digits) - 0.03
    rest = sum(weight.nbytes + bias.nbytes for weight, bias in zip(
        slim.coefs_, slim.intercepts_, strict=True
    ))  # fmt: skip
    assert slim.network_.n_bytes == rest + slim.features_used_.sum()  # one byte a column
    assert slim.compression_report_.total.n_bytes == slim.network_.n_bytes
    assert slim.scheme is None
    assert slim.hidden_layer_sizes == tuple(w.shape[1] for w in slim.coefs_[:-1])


def test_files_and_a_second_compression_keep_the_columns(slim, digits, tmp_path):
    slim.save(tmp_path / "slim.bcd")
    again = load(tmp_path / "slim.bcd")
    np.testing.assert_array_equal(again.features_used_, slim.features_used_)
    np.testing.assert_array_equal(again.predict_proba(digits[0]), slim.predict_proba(digits[0]))
    coded = compress(slim, *digits, scheme=Quantize(bits=4), epochs=1, random_state=0)
    np.testing.assert_array_equal(coded.features_used_, slim.features_used_)
    assert coded.network_.n_bytes < slim.network_.n_bytes


def test_exports_take_the_full_row(slim, digits, tmp_path):
    x, _ = digits
    np.testing.assert_allclose(
        slim.to_sklearn().predict_proba(x), slim.predict_proba(x), rtol=1e-3, atol=1e-4
    )
    runtime = pytest.importorskip("onnxruntime")
    slim.to_onnx(tmp_path / "slim.onnx")
    session = runtime.InferenceSession(tmp_path / "slim.onnx")
    name = session.get_inputs()[0]
    assert name.shape[1] == 64
    label = session.run(None, {name.name: x})[0]
    np.testing.assert_array_equal(label, slim.predict(x))


@test_export_c.needs_gcc
@pytest.mark.parametrize("arithmetic", ["float", "int8"])
def test_c_takes_the_full_row(slim, digits, tmp_path, arithmetic):
    x, _ = digits
    rows = x if arithmetic == "int8" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExportWarning)  # of rows near a border
        slim.to_c(tmp_path / "net.h", arithmetic=arithmetic, X=rows)
    seen = x[:200].copy()
    seen[:, ~slim.features_used_] = 9
    predicted, _, _ = test_export_c.compute(tmp_path, "classes", seen, flags=test_export_c.STRICTER)
    assert np.mean(predicted[:, 0] == slim.predict(x[:200])) > 0.97


@pytest.mark.parametrize("n", [400, 200, 60])
def test_n_nonzero_bounds_the_weights(mlp, digits, n):
    found = compress(mlp, *digits, scheme=Prune(structure="unit", n_nonzero=n), epochs=0.5)
    assert n_weights(found) <= n


@pytest.mark.parametrize("structure", ["unit", "input"])
def test_n_inputs(mlp, digits, structure):
    found = compress(mlp, *digits, scheme=Prune(structure=structure, n_inputs=20), epochs=0.5)
    assert found.features_used_.sum() == 20
    if structure == "input":
        assert [w.shape for w in found.coefs_] == [(20, 32), (32, 16), (16, 10)]


def test_neurons_by_their_share(mlp, digits):
    found = compress(mlp, *digits, scheme=Prune(structure="neuron", sparsity=0.5), epochs=0.5)
    assert [w.shape[1] for w in found.coefs_] == [16, 8, 10]
    assert found.features_used_.sum() >= 50  # some pixels are constant


@pytest.mark.parametrize("structure", ["unit", "input", "neuron"])
@pytest.mark.parametrize("ratio", [1.5, 1.9])
def test_budgets_are_met(mlp, digits, structure, ratio):
    scheme = Prune(structure=structure)
    found = compress(mlp, *digits, scheme=scheme, ratio=ratio, epochs=0.5)
    dense = sum(w.nbytes + b.nbytes for w, b in zip(mlp.coefs_, mlp.intercepts_, strict=True))
    assert found.network_.n_bytes <= dense / ratio
    small = compress(mlp, *digits, scheme=scheme, max_bytes=dense // 3, epochs=0.5)
    assert small.network_.n_bytes <= dense // 3


def test_the_bytes_of_widths_are_those_of_the_network(slim):
    widths = [slim.coefs_[0].shape[0], *(w.shape[1] for w in slim.coefs_)]
    assert bytes_of(4, 64)(widths) == slim.network_.n_bytes
    assert selection(64, np.dtype(np.float32)).n_bytes == 0


def test_max_score_drop(mlp, digits):
    x, y = digits
    found = compress(
        mlp,
        x[:1200],
        y[:1200],
        scheme=Prune(structure="unit"),
        max_score_drop=0.02,
        validation_data=(x[1200:], y[1200:]),
        random_state=0,
    )
    assert found.score(x[1200:], y[1200:]) >= mlp.score(x[1200:], y[1200:]) - 0.02
    assert n_weights(found) < 0.6 * n_weights(mlp)


@pytest.mark.parametrize("encoding", ["auto", None])
def test_from_a_network_trained_in_batches(digits, encoding):
    x, y = digits
    dense = BCDClassifier((32, 16), encoding=encoding, random_state=0).fit(x, y)
    found = compress(dense, x, y, scheme=Prune(structure="unit", sparsity=0.6), random_state=0)
    assert n_weights(found) <= 0.4 * n_weights(dense)
    assert found.score(x, y) > dense.score(x, y) - 0.05
    fewer = compress(dense, x, y, scheme=Prune(structure="input", n_inputs=30), epochs=1)
    assert fewer.features_used_.sum() == 30
    if dense.network_.encoding is not None:
        with pytest.raises(ValueError, match="several features"):
            compress(dense, x, y, scheme=Prune(structure="unit", n_inputs=30), epochs=1)


def test_a_regression():
    x, y = make_regression(400, 20, n_informative=5, random_state=0)
    y = y / y.std()
    dense = MLPRegressor(hidden_layer_sizes=(30,), max_iter=300, random_state=0).fit(x, y)
    found = compress(dense, x, y, scheme=Prune(structure="input", n_inputs=5), random_state=0)
    assert found.features_used_.sum() == 5
    assert found.score(x, y) > 0.9


def test_inputs_without_weights_are_not_read(digits):
    x, y = digits
    dense = BCDClassifier((8,), encoding=None, max_iter=3, random_state=0).fit(x, y)
    assert dense.features_used_.shape == (64,)
    assert dense.features_used_.sum() <= 64


# ------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("scheme", "match"),
    [
        (Prune(structure="unit", n_inputs=65), r"n_inputs=65 must be .* between 1 and the 64"),
        (Prune(structure="input", n_inputs=0), "n_inputs=0 must be"),
        (Prune(structure="unit", n_nonzero=10**6), "n_nonzero=1000000 must be"),
        (Prune(structure="input", n_nonzero=10), "n_nonzero=10 is no amount of"),
        (Prune(structure="neuron", n_inputs=10), "n_inputs=10 is no amount of"),
        (Prune(structure="unit", sparsity=1.0), r"sparsity=1.0 must be in \[0, 1\)"),
        (Prune(structure="unit", density=0), r"density=0 must be in \(0, 1\]"),
        (Prune(structure="units", sparsity=0.5), "structure='units' must be None, \"unit\""),
        (Prune(structure="unit", sparsity=0.5, n_inputs=3), "takes exactly one of"),
        (Prune(n_inputs=10), 'structure="unit" or "input"'),
        ({0: Prune(structure="unit", sparsity=0.5)}, "is for the whole network"),
        (Prune(structure="unit", sparsity=0.5) + Quantize(bits=4), "is for the whole network"),
    ],
)
def test_bad_amounts(mlp, digits, scheme, match):
    with pytest.raises(ValueError, match=match):
        compress(mlp, *digits, scheme=scheme, epochs=0)


def test_no_amount_and_no_budget(mlp, digits):
    with pytest.raises(ValueError, match="takes exactly one of"):
        compress(mlp, *digits, scheme=Prune(structure="unit"), epochs=0)


def test_fit_refuses_units(digits):
    with pytest.raises(ValueError, match="is for the whole network"):
        BCDClassifier((8,), scheme=Prune(structure="unit", sparsity=0.5), max_iter=2).fit(*digits)


def test_a_bound_that_cannot_be_met(mlp, digits):
    with pytest.raises(ValueError, match="are left"):
        compress(mlp, *digits, scheme=Prune(structure="input"), max_bytes=600, epochs=0)


def test_a_certified_error_chooses_no_amount(mlp, digits):
    with pytest.raises(ValueError, match="max_error=1 cannot choose"):
        compress(mlp, digits[0], scheme=Prune(structure="unit"), max_error=1.0, certify=True)
