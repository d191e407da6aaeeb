"""Networks that read columns through a piecewise-linear encoding, in every part of the package."""

from __future__ import annotations

import pickle
import warnings
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import test_export_c
from deployed import matrices
from encoded import (
    HIDDEN_FORMATS,
    N_COLUMNS,
    N_FEATURES,
    classifier,
    encoding,
    extremes,
    network,
    regressor,
    rows,
    slow_rows,
    trained,
    without,
)
from scipy.sparse import csr_array
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_storage import altered, same_network, set_array, set_header, set_layer

from fastbcd import BCDClassifier, BCDRegressor, compress, storage
from fastbcd.cli import main
from fastbcd.cli.standardize import Standardization
from fastbcd.compression import job
from fastbcd.compression.report import report
from fastbcd.exceptions import BudgetError, ConvergenceWarning, ExportWarning
from fastbcd.export import to_onnx
from fastbcd.formats import DenseMatrix, LowRankMatrix, SparseMatrix
from fastbcd.io.codecs.container import DamagedError, unpack
from fastbcd.io.export.c.integers import integer_outputs
from fastbcd.io.export.c.quantise import quantise
from fastbcd.io.export.c.weights import affine_layers
from fastbcd.io.storage.document import encoded_size
from fastbcd.network.chunks import PREDICT_CHUNK
from fastbcd.network.dead import count_dead, remove_dead
from fastbcd.network.layers.encoding import PiecewiseLinearEncoding
from fastbcd.network.network import Network
from fastbcd.schemes import LowRank, Prune, Quantize

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
    view = PiecewiseLinearEncoding(
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
    view = PiecewiseLinearEncoding(n_columns, plain, ramps, np.ones(3), np.ones(3))
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


# Files


def same_encoding(one, other):
    assert one.n_columns == other.n_columns
    for name in ("plain", "columns", "starts", "slopes"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.starts.dtype == other.starts.dtype
    assert one.slopes.dtype == other.slopes.dtype


@each_choice
@each_format
@each_dtype
def test_a_saved_network_predicts_the_same_to_the_last_bit(dtype, name, selects):
    clf = classifier(matrices(dtype)[name], selects=selects)
    again = storage.from_bytes(storage.to_bytes(clf))
    same_network(clf, again)
    same_encoding(clf.network_.encoding, again.network_.encoding)
    assert again.n_features_in_ == N_COLUMNS
    for x in (rows(dtype=dtype), extremes(dtype)):
        np.testing.assert_array_equal(again.predict_proba(x), clf.predict_proba(x))


def test_a_network_of_many_columns_and_one_without_ramps_come_back():
    wide = PiecewiseLinearEncoding(
        70_000,
        np.array([3, 69_999]),
        np.arange(22) * 3000,
        np.linspace(-1, 1, 22, dtype="f"),
        np.ones(22, "f"),
    )
    bare = PiecewiseLinearEncoding(
        N_FEATURES,
        np.arange(N_FEATURES),
        np.zeros(0, int),
        np.zeros(0, np.float32),
        np.zeros(0, np.float32),
    )
    for view in (wide, bare):
        clf = classifier()
        clf.network_ = clf.network_.on_features.encoded(view)
        clf.n_features_in_ = view.n_columns
        again = storage.from_bytes(storage.to_bytes(clf))
        same_encoding(again.network_.encoding, view)
        assert again.n_features_in_ == view.n_columns


def test_older_versions_refuse_a_file_with_an_encoding_and_read_all_others():
    metadata = unpack(storage.to_bytes(classifier()))[1]
    assert metadata["format"] == "fastbcd 2"  # what is above 1 they refuse, and name the writer
    plain = classifier()
    plain.network_ = plain.network_.on_features
    assert unpack(storage.to_bytes(plain))[1]["format"] == "fastbcd 1"


LIES = {
    "no columns": (set_layer(encoding={"n_columns": 0}), "no numbers"),
    "any columns": (set_layer(encoding={"n_columns": 2**40}), "no numbers"),
    "true columns": (set_layer(encoding={"n_columns": True}), "no numbers"),
    "more columns": (set_layer(encoding={"n_columns": 7}), "other features"),
    "fewer columns": (set_layer(encoding={"n_columns": 5}), "other features"),
    "no size": (set_layer(encoding={}), "damaged"),
    "no object": (set_layer(encoding=3), "damaged"),
    "patches": (set_layer(patches=[[4, 6, 1], [4, 6], [1, 1], [0, 0], [1, 1]]), "cannot read"),
    "pooling": (set_layer(max_pool=[[1, 1, 18], [1, 1]]), "cannot be encoded"),
    "ramps of one row": (set_array("0.encoding.ramps", np.ones((1, 18), "f")), "no numbers"),
    "ramps of another type": (set_array("0.encoding.ramps", np.ones((2, 18))), "no numbers"),
    "fewer ramps": (set_array("0.encoding.ramps", np.ones((2, 17), "f")), "other features"),
    "infinite": (set_array("0.encoding.ramps", np.full((2, 18), np.inf, "f")), "no numbers"),
    "nan": (set_array("0.encoding.ramps", np.full((2, 18), np.nan, "f")), "no numbers"),
    "falling": (set_array("0.encoding.ramps", -np.ones((2, 18), "f")), "do not rise"),
    "flat": (set_array("0.encoding.ramps", np.zeros((2, 18), "f")), "do not rise"),
    "place": (set_array("0.encoding.columns", np.full(18, 6, np.uint8)), "not there"),
    "shape": (set_array("0.encoding.columns", np.zeros((18, 1), np.uint8)), "other features"),
    "type": (set_array("0.encoding.columns", np.zeros(18, "f")), "other features"),
    "negative": (set_array("0.encoding.columns", np.full(18, -1)), "not there"),
    "plain": (set_array("0.encoding.columns", np.full(24, 200, np.uint8)), "not there"),
    "plain size": (set_array("0.encoding.columns", np.zeros(23, np.uint8)), "other features"),
    "more ramps": (set_array("0.encoding.ramps", np.ones((2, 25), "f")), "other features"),
    "no array": ({"change_arrays": lambda arrays: arrays.pop("0.encoding.columns")}, "damaged"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_about_its_encoding_is_refused(lie):
    changes, complaint = LIES[lie]
    with pytest.raises(DamagedError, match=complaint):
        storage.from_bytes(altered(storage.to_bytes(classifier()), **changes))


def test_an_encoding_of_any_other_layer_is_refused():
    def move(details):
        details["layers"][1]["encoding"] = details["layers"][0].pop("encoding")

    with pytest.raises(DamagedError, match="cannot read columns"):
        storage.from_bytes(altered(storage.to_bytes(classifier()), change_details=move))
    newer = altered(storage.to_bytes(classifier()), **set_header("format", "fastbcd 3"))
    with pytest.raises(DamagedError, match=r"version 3.*pip install -U fastbcd"):
        storage.from_bytes(newer)


@pytest.mark.parametrize("make", [classifier, regressor])
def test_pickle_and_joblib_keep_an_estimator(make, tmp_path):
    import joblib

    model, x = make(selects=True), rows()
    joblib.dump(model, tmp_path / "model.joblib")
    for again in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model.joblib")):
        np.testing.assert_array_equal(again.predict(x), model.predict(x))
        same_encoding(again.network_.encoding, model.network_.encoding)


# Reports


@each_choice
def test_a_report_counts_the_encoding_with_the_first_layer(selects):
    net = network(selects=selects)
    view = net.encoding
    found = report(net, encoded=True)
    plain = report(net.on_features, encoded=True)
    first = found.layers[0]
    assert first.shape == f"{N_FEATURES} x 18"
    assert first.n_bytes - plain.layers[0].n_bytes == view.n_bytes
    assert first.dense_bytes - plain.layers[0].dense_bytes == view.n_bytes
    assert first.n_params - plain.layers[0].n_params == view.n_params
    assert first.flops - plain.layers[0].flops == view.flops
    assert found.total.n_bytes == net.n_bytes
    assert found.total.flops == net.flops
    assert found.ratio == 1
    # Numbers that do not compress, and indices that do.
    added = first.file_bytes - plain.layers[0].file_bytes
    assert view.starts.nbytes + view.slopes.nbytes < added <= view.n_bytes
    assert plain.layers[0].file_bytes == encoded_size(net.layers[0].weight) + 18 * 4


def test_a_report_counts_only_features_with_weights():
    dense = network()
    view = dense.encoding
    net = without(dense, np.arange(4, 20)).on_features
    found = report(net, [layer.weight.to_dense() for layer in dense.layers], encoding=view)
    small = net.encoded(view)
    assert small.encoding.n_features == 8
    assert found.total.n_bytes == small.n_bytes
    assert found.total.dense_bytes == dense.n_bytes
    assert found.layers[0].shape == "8 x 18"
    assert 0 < found.layers[0].error < 1


# Compression


def data(n=800, dtype=np.float32, seed=0):
    """Return rows whose target is no linear function of the columns, in two forms."""
    x = np.random.default_rng(seed).standard_normal((n, N_COLUMNS)).astype(dtype)
    y = np.sin(2 * x[:, 0]) + np.abs(x[:, 1]) * x[:, 2]
    return x, y.astype(dtype), np.where(y > np.median(y), "above", "below")


MODELS = {}


def model(kind=BCDClassifier, dtype=np.float32, **params):
    """Return a trained network with an encoding, its rows and targets."""
    x, y, labels = data(dtype=dtype)
    targets = labels if kind is BCDClassifier else y
    key = kind, dtype, tuple(params)
    if key not in MODELS:
        estimator = kind((24, 12), random_state=0, max_iter=15, **params)
        MODELS[key] = trained(estimator, x, targets)
    return deepcopy(MODELS[key]), x, targets


each_kind = pytest.mark.parametrize("kind", [BCDClassifier, BCDRegressor])


def check_compressed(small, big):
    """Compare a result with what its report and its file say."""
    total = small.compression_report_.total
    assert total.n_bytes == small.network_.n_bytes
    assert total.dense_bytes == big.network_.n_bytes  # which is dense
    assert small.n_features_in_ == small.network_.n_inputs == N_COLUMNS
    assert small.network_.encoding.n_features == small.coefs_[0].shape[0]
    again = storage.from_bytes(storage.to_bytes(small))
    x = rows(dtype=small.coefs_[0].dtype)
    np.testing.assert_array_equal(again.predict(x), small.predict(x))
    widths = tuple(layer.weight.shape[1] for layer in small.network_.layers[:-1])
    assert small.hidden_layer_sizes == widths


@pytest.mark.parametrize("ratio", [10, 20])
@each_dtype
@each_kind
def test_a_ratio_holds_for_network_and_encoding(kind, dtype, ratio):
    big, x, y = model(kind, dtype)
    small = big.compress(x, y, ratio=ratio, random_state=0, epochs=3)
    check_compressed(small, big)
    assert small.network_.n_bytes <= big.network_.n_bytes / ratio
    assert 0 < small.network_.encoding.n_features < big.network_.encoding.n_features
    # What is not entropy coded in memory is in a file; its header takes some more.
    assert small.compression_report_.total.file_bytes <= small.network_.n_bytes
    plain = deepcopy(small)
    plain.network_ = small.network_.on_features
    added = len(storage.to_bytes(small)) - len(storage.to_bytes(plain))
    assert 0 < added < small.network_.encoding.n_bytes + 200  # entries of the header
    assert small.score(x, y) > 0.5


@pytest.mark.parametrize("limit", [400, 900, 2500])
@each_kind
def test_a_bound_of_the_bytes_is_kept_and_spent(kind, limit):
    big, x, y = model(kind)
    small = big.compress(x, y, max_bytes=limit, random_state=0, epochs=3)
    check_compressed(small, big)
    assert limit / 2 < small.network_.n_bytes <= limit


def test_a_bound_that_cannot_be_kept_is_refused():
    big, x, y = model()
    with pytest.raises(BudgetError, match="the smallest this network can be made is"):
        big.compress(x, y, max_bytes=10, random_state=0, epochs=0)


SCHEMES = {
    "pruned": Prune(sparsity=0.8),
    "pruned and quantised": Prune(sparsity=0.8) + Quantize(bits=4),
    "quantised": Quantize(bits=4),
    "low rank": LowRank(rank=3),
    "by layer": {0: Prune(sparsity=0.9), "output": Quantize(bits=4)},
    "blocks": Prune(sparsity=0.5, structure="4x1"),
    "neurons": Prune(sparsity=0.5, structure="neuron"),
}


@pytest.mark.parametrize("epochs", [0, 2])
@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
@each_kind
def test_schemes_with_data(kind, scheme, epochs):
    big, x, y = model(kind)
    small = big.compress(x, y, scheme=scheme, random_state=0, epochs=epochs)
    check_compressed(small, big)
    assert small.network_.n_bytes < big.network_.n_bytes
    agree = small.score(x, big.predict(x))
    assert agree > 0.6


@pytest.mark.parametrize("name", [name for name in SCHEMES if name != "neurons"])
def test_schemes_without_data(name):
    scheme = SCHEMES[name]
    big, x, _ = model()
    small = big.compress(scheme=scheme)
    total = small.compression_report_.total
    assert total.n_bytes == small.network_.n_bytes < big.network_.n_bytes
    assert total.dense_bytes == big.network_.n_bytes
    assert small.network_.encoding.n_features == small.coefs_[0].shape[0]
    found = small.network_.forward(x)
    kept = [layer.weight for layer in big.network_.layers]
    layers = [
        replace(layer, weight=weight if index == 2 else layer.weight)
        for index, (layer, weight) in enumerate(zip(small.network_.layers, kept, strict=True))
    ]
    if not isinstance(scheme, dict):  # the output layer stays as it was
        np.testing.assert_array_equal(Network(layers).forward(x), found)


def test_blocks_of_features_stay_whole():
    big, x, y = model()
    scheme = {0: Prune(sparsity=0.8, structure="4x1")}
    for small in (
        big.compress(x, y, scheme=scheme, random_state=0, epochs=0),
        big.compress(scheme=scheme),
    ):
        first = small.coefs_[0]
        assert len(first) == big.network_.encoding.n_features
        blocks = first[: len(first) // 4 * 4].reshape(-1, 4, first.shape[1])
        alive = blocks.any(axis=1)
        assert (blocks != 0).sum() == 4 * alive.sum()
        assert small.compression_report_.total.n_bytes == small.network_.n_bytes


@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_the_smallest_network_within_a_drop_of_the_score(scoring):
    big, x, y = model()
    x_val, _, y_val = data(seed=1)
    small = big.compress(
        x,
        y,
        max_score_drop=0.05,
        scoring=scoring,
        validation_data=(x_val, y_val),
        random_state=0,
        epochs=3,
    )
    check_compressed(small, big)
    assert small.score(x_val, y_val) >= big.score(x_val, y_val) - 0.05
    made = small.compression_report_
    assert made.score_before == pytest.approx(big.score(x_val, y_val))
    assert made.score_after == pytest.approx(small.score(x_val, y_val))
    assert small.network_.n_bytes < big.network_.n_bytes / 5


def test_scores_of_a_report_are_those_of_the_networks():
    big, x, y = model(BCDRegressor)
    small = big.compress(x, y, scheme=Prune(sparsity=0.9), random_state=0, epochs=2)
    made = small.compression_report_
    assert made.score_before == pytest.approx(big.score(x, y), rel=1e-4)
    assert made.score_after == pytest.approx(small.score(x, y), rel=1e-4)
    assert 0 < made.layers[0].output_error < 1


def test_compress_takes_names_pipelines_and_networks_compressed_before():
    big, x, y = model()
    pipeline = make_pipeline(StandardScaler(), big)
    pipeline[0].fit(np.outer([-1, 1], np.ones(N_COLUMNS)))  # changes nothing
    small = compress(pipeline, x, y, scheme=Prune(sparsity=0.9), random_state=0, epochs=2)
    check_compressed(small[-1], big)
    again = compress(small, x, y, ratio=20, random_state=0, epochs=2)
    first, second = small[-1].network_, again[-1].network_
    assert second.n_bytes < first.n_bytes
    assert second.encoding.n_features < first.encoding.n_features
    assert again.predict(x).shape == y.shape


def test_few_rows_are_encoded_at_once(monkeypatch):
    big, x, y = model(BCDRegressor)
    most = 0
    whole = PiecewiseLinearEncoding.rows

    def noted(view, v):
        nonlocal most
        most = max(most, v.size // N_COLUMNS * view.n_features)
        return whole(view, v)

    x, y = np.tile(x, (8, 1)), np.tile(y, 8)
    monkeypatch.setattr(job, "MOST_FEATURES", 1500 * big.network_.encoding.n_features)
    monkeypatch.setattr(PiecewiseLinearEncoding, "rows", noted)
    small = big.compress(x, y, scheme=Prune(sparsity=0.8), random_state=0, epochs=1)
    bound = max(job.MOST_FEATURES, PREDICT_CHUNK * big.network_.encoding.n_features)
    assert 0 < most <= bound < len(x) * big.network_.encoding.n_features
    assert small.score(x, y) > 0.6


# Exports


def close(found, expected, dtype=np.float32):
    """Compare outputs row by row, each relative to its largest number."""
    assert found.shape == expected.shape
    bound = 2e-5 if dtype == np.float32 else 1e-11
    sizes = np.maximum(np.abs(expected).max(axis=1, initial=0), 1)
    assert (np.abs(found - expected).max(axis=1) <= bound * sizes).all()


def every_row(dtype):
    return np.concatenate([rows(dtype=dtype), extremes(dtype)])


def bare(kind, dtype=np.float32):
    """Return networks of which a part is missing: plain features, or ramps."""
    view = encoding(dtype)
    clf = regressor(n_out=3, dtype=dtype)
    if kind == "ramps alone":
        view = view.take(np.arange(N_COLUMNS, N_FEATURES))
    elif kind == "columns alone":
        view = view.take(np.array([1, 2, 5]))
    first = clf.network_.layers[0]
    weight = DenseMatrix(first.weight.to_dense()[: view.n_features])
    clf.network_ = Network([replace(first, weight=weight, view=view), clf.network_.layers[1]])
    return clf


each_part = pytest.mark.parametrize("part", ["ramps alone", "columns alone"])


def run_onnx(model, x):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": x}), strict=True))


@each_choice
@each_format
@each_dtype
def test_onnx(dtype, name, selects):
    pytest.importorskip("onnx")
    first, x = matrices(dtype)[name], every_row(dtype)
    reg = regressor(first, n_out=3, selects=selects)
    close(run_onnx(reg.to_onnx(), x)["variable"], reg.predict(x), dtype)
    clf = classifier(first, selects=selects)
    found = run_onnx(clf.to_onnx(), x)
    np.testing.assert_array_equal(found["label"], clf.predict(x))
    np.testing.assert_allclose(found["probabilities"], clf.predict_proba(x), atol=1e-5)


@each_part
@each_dtype
def test_onnx_of_a_part_of_the_features(part, dtype):
    pytest.importorskip("onnx")
    reg, x = bare(part, dtype), every_row(dtype)
    close(run_onnx(reg.to_onnx(), x)["variable"], reg.predict(x), dtype)


def test_onnx_of_a_pipeline():
    pytest.importorskip("skl2onnx")
    clf, x = classifier(), rows()
    pipeline = make_pipeline(StandardScaler().fit(np.outer([-2, 2], np.ones(N_COLUMNS))), clf)
    found = run_onnx(to_onnx(pipeline), x)
    np.testing.assert_array_equal(found["label"], pipeline.predict(x))
    np.testing.assert_allclose(found["probabilities"], pipeline.predict_proba(x), atol=1e-5)


@each_choice
@each_format
@each_dtype
def test_torch(dtype, name, selects, tmp_path):
    torch = pytest.importorskip("torch")
    reg = regressor(matrices(dtype)[name], n_out=3, selects=selects)
    module, x = reg.to_torch(), every_row(dtype)
    with torch.no_grad():
        found = module(torch.from_numpy(x)).numpy()
        assert found.dtype == dtype
        close(found, reg.predict(x), dtype)
        torch.save(module, tmp_path / "module.pt")
        again = torch.load(tmp_path / "module.pt", weights_only=False)
        np.testing.assert_array_equal(again(torch.from_numpy(x)).numpy(), found)
    assert {name for name, _ in module.named_parameters()} >= {"1.weight"}
    assert not any(name.startswith("0.") for name, _ in module.named_parameters())


@each_part
def test_torch_of_a_part_of_the_features(part):
    torch = pytest.importorskip("torch")
    reg, x = bare(part), every_row(np.float32)
    with torch.no_grad():
        close(reg.to_torch()(torch.from_numpy(x)).numpy(), reg.predict(x))


def test_a_module_with_an_encoding_cannot_be_read_back():
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"GraphModule.* is not supported"):
        compress(regressor().to_torch(), rows(), scheme=Prune(sparsity=0.5))


def outputs_in_c(estimator, folder, x, kind):
    test_export_c.to_c(estimator, folder / "net.h")
    return test_export_c.compute(folder, kind, x, flags=test_export_c.STRICTER)


@test_export_c.needs_gcc
@each_choice
@each_format
@each_dtype
def test_c(dtype, name, selects, tmp_path):
    reg = regressor(matrices(dtype)[name], n_out=3, selects=selects)
    x = every_row(np.float32)
    predicted, outputs, _ = outputs_in_c(reg, tmp_path, x, "values")
    close(outputs, reg.predict(x))
    np.testing.assert_array_equal(predicted.astype(np.float32), outputs.astype(np.float32))


@test_export_c.needs_gcc
@each_part
def test_c_of_a_part_of_the_features(part, tmp_path):
    reg, x = bare(part), every_row(np.float32)
    close(outputs_in_c(reg, tmp_path, x, "values")[1], reg.predict(x))


@test_export_c.needs_gcc
@pytest.mark.parametrize("unit", [1.0, 1e6])
def test_c_in_integers(unit, tmp_path):
    """What C computes in int8 is what its check computed, and nearly what the network says."""
    rng = np.random.default_rng(0)
    x = (unit * rng.uniform(-1, 1, (1500, 3))).astype(np.float32)
    y = (np.sin(12 * x[:, 0] / unit) > 0).astype(int)
    clf = BCDClassifier((16,), random_state=0).fit(x[:1000], y[:1000])
    encoding = clf.network_.encoding
    assert encoding is not None
    assert len(encoding.plain) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExportWarning)  # of rows near the border
        clf.to_c(tmp_path / "net.h", arithmetic="int8", X=x[:1000])
    seen = np.concatenate([x[1000:], unit * np.float32([[9, -9, 0], [1e20, -1e20, 1]])])
    predicted, outputs, _ = test_export_c.compute(
        tmp_path, "classes", seen, flags=test_export_c.STRICTER
    )
    layers = affine_layers(clf.network_, cores=False, allow_dense=True)
    integers = quantise(layers, x[:1000].astype(np.float64), encoding)
    np.testing.assert_allclose(outputs, integer_outputs(integers, seen), rtol=1e-6)
    assert np.mean(predicted[:-2, 0] == clf.predict(x[1000:])) > 0.97


@test_export_c.needs_gcc
@pytest.mark.parametrize("n_columns", [256, 257, 32_769])
def test_c_of_many_columns(n_columns, tmp_path):
    plain = np.array([0, n_columns - 1, 7, 100, 200, n_columns - 2])
    few = encoding()
    view = PiecewiseLinearEncoding(n_columns, plain, plain[few.columns], few.starts, few.slopes)
    clf = classifier()
    clf.network_ = clf.network_.on_features.encoded(view)
    clf.n_features_in_ = n_columns
    x = np.random.default_rng(0).standard_normal((5, n_columns)).astype(np.float32)
    predicted, _, proba = outputs_in_c(clf, tmp_path, x, "classes")
    np.testing.assert_array_equal(predicted[:, 0], np.searchsorted(clf.classes_, clf.predict(x)))
    np.testing.assert_allclose(proba, clf.predict_proba(x), atol=2e-5)
    text = (tmp_path / "net.h").read_text()
    index = {256: "uint8_t", 257: "int16_t", 32_769: "int32_t"}[n_columns]
    assert f"static const {index} net_columns_0[18]" in text
    assert f"{n_columns} columns as 24 -> 18, relu" in text


@pytest.mark.parametrize("selects", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scikit_learn_has_the_ramps_as_units(dtype, selects):
    clf = classifier(dtype=dtype, selects=selects)
    x = 10 * rows().astype(dtype)
    mlp = clf.to_sklearn()
    assert mlp.hidden_layer_sizes == (2 * clf.network_.encoding.n_features, 18)
    np.testing.assert_array_equal(mlp.predict(x), clf.predict(x))
    tolerance = {"rtol": 1e-3, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-9}
    np.testing.assert_allclose(mlp.predict_proba(x), clf.predict_proba(x), **tolerance)


def test_what_cannot_express_an_encoding_says_what_to_do(tmp_path):
    clf = classifier(activation="leaky_relu")
    with pytest.raises(ValueError, match=r"to_sklearn cannot.*to_onnx.*encoding=None"):
        clf.to_sklearn()
    with pytest.raises(ValueError, match=r"int8.*cannot.*arithmetic=.float.*encoding=None"):
        clf.to_c(tmp_path / "net.h", arithmetic="int8", X=rows())
    assert not list(tmp_path.iterdir())


def test_inputs_that_are_not_finite_are_refused_as_without_an_encoding():
    clf = classifier()
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="X contains"):
            clf.predict(np.full((2, N_COLUMNS), value))


def test_sparse_rows():
    clf, x = classifier(), rows()
    x[np.abs(x) < 1] = 0
    np.testing.assert_array_equal(clf.predict_proba(csr_array(x)), clf.predict_proba(x))


# The command line


@each_choice
@pytest.mark.parametrize("name", ["dense", "sparse", "low rank"])
@each_dtype
def test_a_standardisation_is_absorbed_by_columns_and_ramps(dtype, name, selects):
    reg = regressor(matrices(dtype)[name], n_out=3, selects=selects)
    factor, shift = np.array([1e-3, 1, 20, 1, 7, 1]), np.array([0, 5, -30, 2, 1, 7])
    x = (rows(200, np.float64) * factor + shift).astype(dtype)
    x[:, 5] = 7  # a constant column
    scaling = Standardization.of(x)
    before = reg.predict(scaling.apply(x))
    change = scaling.absorb(reg, x)
    assert change < (1e-4 if dtype == np.float32 else 1e-12)
    scale = np.abs(before).max()
    bound = 1e-4 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(reg.predict(x), before, rtol=0, atol=bound * scale)
    assert reg.network_.encoding.starts.dtype == dtype
    assert reg.compression_report_.total.n_bytes == reg.network_.n_bytes


@pytest.mark.parametrize("kind", [BCDClassifier, BCDRegressor])
def test_the_command_line_takes_a_network_with_an_encoding(kind, tmp_path, capsys):
    big, x, y = model(kind)
    path, table = tmp_path / "big.safetensors", tmp_path / "t.npz"
    big.save(path)
    np.savez(table, X=x, y=y)
    arguments = [str(path), str(table), "--target", "y", "--ratio", "10", "--epochs", "1"]
    assert main(["compress", *arguments, "-o", str(tmp_path / "small.safetensors")]) == 0
    small = storage.load(tmp_path / "small.safetensors")
    assert small.network_.n_bytes <= big.network_.n_bytes / 10
    capsys.readouterr()
    assert main(["report", str(tmp_path / "small.safetensors")]) == 0
    printed = capsys.readouterr().out
    assert f"{kind.__name__} {N_COLUMNS} - " in printed
    assert f"{small.network_.encoding.n_features} x " in printed


# Training that goes on


def far_from(one, other):
    return np.abs(one - other).max()


@pytest.mark.parametrize("solver", ["minibatch", "full"])
@each_dtype
@each_kind
def test_a_warm_start_keeps_the_encoding_and_goes_on(kind, dtype, solver):
    big, x, y = model(kind, dtype)
    before = big.network_
    score = big.score(x, y)
    big.set_params(warm_start=True, solver=solver, max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        big.fit(x, y)
    assert big.n_features_in_ == N_COLUMNS
    same_encoding(big.network_.encoding, before.encoding)
    assert big.network_.layers[0].weight.dtype == dtype
    assert far_from(big.network_.forward(x), before.forward(x)) > 0
    assert big.score(x, y) > score - 0.05  # from random weights it would take far longer
    cold = deepcopy(big).set_params(warm_start=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        cold.fit(x, y)
    assert cold.score(x, y) < big.score(x, y)


@pytest.mark.parametrize("solver", ["minibatch", "full"])
def test_early_stopping_of_a_warm_start_scores_rows_as_they_are(solver):
    big, x, y = model()
    big.set_params(warm_start=True, solver=solver, max_iter=3, early_stopping=True)
    x_val, _, y_val = data(seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        big.fit(x, y, X_val=x_val, y_val=y_val)
    assert max(big.validation_scores_) == pytest.approx(big.score(x_val, y_val))
    assert big.network_.encoding.n_columns == N_COLUMNS


def test_a_warm_start_takes_sparse_rows():
    big, x, y = model()
    x = np.where(np.abs(x) < 1, np.float32(0), x)
    again = deepcopy(big)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for estimator, given in ((big, x), (again, csr_array(x))):
            estimator.set_params(warm_start=True, solver="minibatch", max_iter=2)
            estimator.fit(given, y)
    np.testing.assert_array_equal(big.predict(x), again.predict(x))


def test_a_warm_start_with_other_columns_is_refused():
    big, x, y = model()
    big.set_params(warm_start=True, solver="minibatch")
    before = big.network_
    features = before.encoding.rows(x)
    for given in (x[:, :4], features):  # as many as the weights have rows, too
        with pytest.raises(ValueError, match="warm_start: the fitted network takes 6 features"):
            big.fit(given, y)
    with pytest.raises(ValueError, match=r"warm_start.*layers of shapes"):
        big.set_params(hidden_layer_sizes=(5,)).fit(x, y)
    assert big.network_ is before
    assert big.n_features_in_ == N_COLUMNS


@each_dtype
@each_kind
def test_partial_fit_goes_on_through_the_encoding(kind, dtype):
    big, x, y = model(kind, dtype)
    before, score = big.network_, big.score(x, y)
    for part in range(0, len(x), 200):
        big.partial_fit(x[part : part + 200], y[part : part + 200])
        same_encoding(big.network_.encoding, before.encoding)
    assert big.network_.layers[0].weight.dtype == dtype
    assert far_from(big.network_.forward(x), before.forward(x)) > 0
    assert big.score(x, y) > score - 0.2
    again = storage.from_bytes(storage.to_bytes(big))
    np.testing.assert_array_equal(again.predict(x), big.predict(x))
    again.partial_fit(x[:200], y[:200])  # from a file
    same_encoding(again.network_.encoding, before.encoding)
    assert big.compression_report_.total.n_bytes == big.network_.n_bytes
