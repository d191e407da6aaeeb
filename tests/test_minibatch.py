"""The mini-batch solver as a whole: data sources, streams, compression, bad input, accuracy."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.datasets import load_diabetes, load_digits, make_friedman1
from sklearn.linear_model import LinearRegression

from fastbcd.network.network import Layer
from fastbcd.schemes import LowRank, Prune, Quantize, TensorTrain
from fastbcd.solvers import Monitor
from fastbcd.solvers.minibatch import start_stream, train_minibatch
from fastbcd.solvers.minibatch.coordinates import rebase
from fastbcd.solvers.minibatch.rows import Rows
from fastbcd.solvers.minibatch.schedule import Schedule, batch_size_for, epochs_for, noise_for
from fastbcd.solvers.minibatch.settings import CompressionSchedule
from fastbcd.statistics.inputs import MANY, Moments


class Chunked:
    """The least that a source of rows must offer."""

    def __init__(self, x):
        self._x = x
        self.shape = x.shape
        self.longest = 0

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        self.longest = max(self.longest, rows.stop - rows.start)
        return self._x[rows].tolist()


def fit(x, y, *, hidden=(20,), loss="cross_entropy", max_iter=10, seed=0, **changes):
    y = np.asarray(y)
    k = int(y.max()) + 1 if y.ndim == 1 else y.shape[1]
    weight = changes.pop("sample_weight", None)
    return train_minibatch(
        x, y, weight, n_out=changes.pop("n_out", k), hidden_layer_sizes=hidden, loss=loss,
        random_state=np.random.RandomState(seed),
        make_monitor=lambda _: Monitor(max_iter, 0.0, 10),
        scale_targets=loss == "squared", **changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype(np.float32), y[order]
    return x[:1300], y[:1300], x[1300:], y[1300:]


def accuracy(network, x, y):
    return float(np.mean(network.forward(x).argmax(axis=1) == y))


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge", "squared"])
def test_digits(digits, loss):
    x, y, x_test, y_test = digits
    targets = y if loss != "squared" else np.eye(10, dtype=np.float32)[y]
    fitted = fit(x, targets, hidden=(64,), loss=loss, max_iter=40)
    assert accuracy(fitted.network, x_test, y_test) > 0.965
    assert fitted.outcome.ending.name in ("CONVERGED", "NO_GAIN_IN_SCORE")
    assert fitted.record.loss[-1] < fitted.record.loss[0]
    assert fitted.n_step_backs == 0


def test_multilabel(digits):
    x, y, x_test, y_test = digits
    labels = np.stack([y % 2 == 0, y > 4, y == 7], axis=1)
    fitted = fit(x, labels.astype(np.float32), hidden=(64,), loss="logistic", max_iter=40)
    truth = np.stack([y_test % 2 == 0, y_test > 4, y_test == 7], axis=1)
    assert np.mean((fitted.network.forward(x_test) > 0) == truth) > 0.97


def test_regression_beats_the_mean_with_several_outputs():
    x, y = make_friedman1(1500, random_state=0)
    targets = np.stack([y, 1000 * y - 5], axis=1)
    fitted = fit(x[:1000], targets[:1000], loss="squared", hidden=(50,), max_iter=60)
    error = np.square(fitted.network.forward(x[1000:]) - targets[1000:]).mean(axis=0)
    assert np.all(1 - error / targets[1000:].var(axis=0) > 0.95)


def test_small_regression_does_not_fit_noise():
    x, y = load_diabetes(return_X_y=True)
    scores, linear = [], []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(x))
        train, test = order[:300], order[300:]
        network = fit(x[train], y[train, None], loss="squared", hidden=(100,), max_iter=100).network
        error = np.square(network.forward(x[test])[:, 0] - y[test]).mean()
        scores.append(1 - error / y[test].var())
        linear.append(LinearRegression().fit(x[train], y[train]).score(x[test], y[test]))
    assert np.mean(scores) > np.mean(linear) - 0.04


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_type_is_kept_and_a_seed_decides(digits, dtype):
    x, y = digits[0].astype(dtype), digits[1]
    first, second, other = (fit(x, y, max_iter=2, seed=s).network for s in (0, 0, 1))
    for a, b, c in zip(first.layers, second.layers, other.layers, strict=True):
        assert a.weight.dtype == a.intercept.dtype == dtype
        assert_array_equal(a.weight.to_dense(), b.weight.to_dense())
        assert np.any(a.weight.to_dense() != c.weight.to_dense())


@pytest.mark.parametrize("kind", ["array", "memmap", "view of memmap", "chunked", "sparse"])
def test_every_row_comes_once(tmp_path, kind):
    x = np.arange(1500.0).reshape(750, 2) + 1
    y, weight = np.arange(750), np.arange(750.0)
    source = {"array": x, "chunked": Chunked(x), "sparse": csr_array(x)}.get(kind)
    if source is None:
        source = np.memmap(tmp_path / "x", dtype=float, mode="w+", shape=x.shape)
        source[:] = x
        source = source if kind == "memmap" else np.asarray(source)[:, :]
    rows = Rows(source, y, weight, 750, np.dtype(float))
    assert rows.in_memory == (kind in ("array", "sparse"))
    blocks = list(rows.shuffled(np.random.default_rng(0), 100))
    assert [len(block[0]) for block in blocks] == [100] * 7 + [50]
    seen, labels, weights = (np.concatenate(part) for part in zip(*blocks, strict=True))
    which = labels.argmax(axis=1)
    assert_array_equal(np.sort(which), y)
    assert np.any(np.diff(which) != 1)
    assert_array_equal(seen, x[which])
    assert_allclose(weights, weight[which] / weight.mean())
    sample = rows.sample(np.random.default_rng(0), 96)
    assert len(sample[0]) in range(64, 97)
    if kind == "chunked":
        assert source.longest <= 256


def test_sources_agree(digits, tmp_path):
    x, y, x_test, y_test = digits
    stored = np.memmap(tmp_path / "x", dtype=x.dtype, mode="w+", shape=x.shape)
    stored[:] = x
    networks = [
        fit(source, y, max_iter=15, hidden=(64,), dtype=np.float32).network
        for source in (x, stored, Chunked(x), csr_array(x))
    ]
    assert min(accuracy(network, x_test, y_test) for network in networks) > 0.95
    for a, b in zip(networks[1].layers, networks[2].layers, strict=True):
        assert_array_equal(a.weight.to_dense(), b.weight.to_dense())


def test_many_sparse_features_are_never_made_dense_at_once():
    rng = np.random.default_rng(0)
    n, d = 600, MANY + 500
    y = rng.integers(2, size=n)
    columns = rng.integers(d // 2, size=(n, 20)) + (d // 2) * y[:, None]
    x = csr_array((np.ones(n * 20), (np.repeat(np.arange(n), 20), columns.ravel())), (n, d))
    fitted = fit(x, y, max_iter=5)
    assert accuracy(fitted.network, x.toarray(), y) > 0.99


def test_rules():
    assert [batch_size_for(n) for n in (1, 300, 1797, 60_000, 10**7)] == [16, 16, 32, 256, 256]
    assert [epochs_for(n) for n in (1, 1000, 20_000, 60_000, 10**7)] == [100, 48, 30, 16, 4]
    assert [noise_for(*sizes) for sizes in ((100, 1e4), (4e4, 1e4), (1e8, 1e4))] == [0.15, 0.075, 0]
    course = Schedule(1000)
    assert course.length(0) == pytest.approx(1 / 20, rel=1e-3)
    assert course.length(1000) == 0
    assert [course.noise(n) for n in (0, 50, 100, 1000)] == pytest.approx([0, 0.25, 1, 1])
    assert Schedule(0).length(10**6) == pytest.approx(1 / 3)
    assert [Schedule(0).fraction(n) for n in (0, 200, 10**9)] == pytest.approx([0, 0.5, 1])
    endless = CompressionSchedule.endless()
    assert endless.tie(1 - 1e-9) == pytest.approx(1)
    assert endless.fixed > 1
    assert [CompressionSchedule().tie(f) for f in (0.0, 0.05, 0.5, 1.0)] == [0, 0, 1, 1]


def test_input_map_whitens_and_comes_back():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 6)) @ rng.standard_normal((6, 6)) + 100
    x[:, 3] = 7.0  # constant
    found = Moments.of_sample(x[:300], np.ones(300)).add(x[300:], np.ones(200)).input_map(False)
    covariance = np.cov(x.T, bias=True)
    eigenvalues = np.linalg.eigvalsh(covariance)
    damping = 0.35 * np.sum(eigenvalues**2) / eigenvalues.sum()
    assert_allclose(found.center, x.mean(axis=0))
    assert_allclose(found.damped, covariance + damping * np.eye(6), atol=1e-9)
    assert_allclose(found.whiten.T @ found.damped @ found.whiten, np.eye(6), atol=1e-9)
    assert_allclose(found.whiten @ found.whiten.T, np.linalg.inv(found.damped), atol=1e-12)
    assert_allclose(found.step_diagonal, np.diag(np.linalg.inv(found.damped)))
    weight = rng.standard_normal((6, 4))
    assert_allclose(found.to_inputs(found.from_inputs(weight)), weight)
    z = found.whitened(found.centered(x.copy()))
    assert_allclose(z @ found.from_inputs(weight), (x - x.mean(axis=0)) @ weight, atol=1e-9)
    assert_allclose(found.metric_norm(weight), np.trace(weight.T @ found.damped @ weight))


@pytest.mark.parametrize("n_features", [30, MANY + 50])
@pytest.mark.parametrize("scheme", [Prune(sparsity=0.9), LowRank(rank=3), TensorTrain(rank=3)])
def test_result_is_exactly_compressed(scheme, n_features):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, n_features)) * (1 + np.arange(n_features) % 3) + 5
    y = (x[:, 0] + x[:, 1] > 10).astype(int)
    network = fit(x, y, hidden=(20, 12), scheme=scheme, max_iter=6).network
    for layer, shape in zip(network.layers, [(n_features, 20), (20, 12)], strict=False):
        wanted = scheme.project(rng.standard_normal(shape))
        assert type(layer.weight) is type(wanted)
        assert layer.weight.n_params <= wanted.n_params
    assert network.layers[-1].weight.n_params == 24
    if isinstance(scheme, Prune):  # in the coordinates of the data, not of the method
        assert np.mean(network.layers[0].weight.to_dense() != 0) == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize(
    "scheme", [Prune(sparsity=0.95), Prune(sparsity=0.95) + Quantize(bits=4), LowRank(rank=6)]
)
def test_rare_inputs_in_small_units_are_worth_little(digits, scheme):
    x, y, x_test, y_test = digits
    rng = np.random.default_rng(0)
    dust = 0.004 * (rng.random((len(x), 40)) < 0.01) * rng.random((len(x), 40))
    wide = np.hstack([x, dust.astype(x.dtype)])
    network = fit(wide, y, hidden=(64,), scheme=scheme, max_iter=60).network
    blank = np.hstack([x_test, np.zeros((len(x_test), 40), x.dtype)])
    assert accuracy(network, blank, y_test) > 0.94
    if isinstance(scheme, Prune):
        kept = network.layers[0].weight.to_dense() != 0
        assert kept[64:].mean() < 0.5 * kept[:64].mean()


def test_compression_in_the_loop_beats_compression_afterwards(digits):
    x, y, x_test, y_test = digits
    scheme = Prune(sparsity=0.95)
    during = fit(x, y, hidden=(64,), scheme=scheme, max_iter=60).network
    dense = fit(x, y, hidden=(64,), max_iter=60).network
    first, last = dense.layers
    w = scheme.project(first.weight.to_dense())
    hidden = np.maximum(x_test @ w.to_dense() + first.intercept, 0)
    after = np.mean(last.forward(hidden).argmax(axis=1) == y_test)
    assert accuracy(during, x_test, y_test) > max(after + 0.1, 0.9)


def test_one_scheme_for_the_output_only(digits):
    x, y, *_ = digits
    network = fit(x, y, scheme={"output": Prune(n_nonzero=50)}, max_iter=5).network
    assert [layer.weight.n_params for layer in network.layers] == [64 * 20, 50]


@pytest.mark.parametrize("n", [2, 5, 17])
def test_hardly_any_rows(n):
    x = np.random.default_rng(0).standard_normal((n, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = fit(x, np.arange(n) % 2, n_out=10, max_iter=3).network
        flat = fit(np.ones((n, 3)), np.arange(n) % 2, max_iter=3).network
        line = fit(x, x[:, :1], loss="squared", max_iter=3).network
    for found in (network, flat, line):
        assert np.isfinite(found.forward(x)).all()


def stream_of(x, y, n_out=10, **changes):
    return start_stream(
        x, y, n_out=n_out, hidden_layer_sizes=(64,),
        random_state=np.random.RandomState(0), **changes,
    )  # fmt: skip


@pytest.mark.parametrize("size", [1, 7, 200])
def test_stream(digits, size):
    x, y, x_test, y_test = digits
    order = np.argsort(y[:100], kind="stable")  # classes come one after another at first
    x, y = np.concatenate([x[order], x[100:]]), np.concatenate([y[order], y[100:]])
    stream = stream_of(x[:size], y[:size])
    for _ in range(1 if size == 1 else 10):
        for lo in range(0, len(x), size):
            stream.learn(x[lo : lo + size], y[lo : lo + size])
    assert accuracy(stream.network(), x_test, y_test) > (0.75 if size == 1 else 0.93)


def test_stream_regression():
    x, y = make_friedman1(3000, random_state=0)
    y = 100 * y[:, None] + 3
    stream = stream_of(x[:100], y[:100], n_out=1, loss="squared", scale_targets=True)
    for lo in list(range(0, 2500, 100)) * 8:
        stream.learn(x[lo : lo + 100], y[lo : lo + 100])
    error = np.square(stream.network().forward(x[2500:]) - y[2500:]).mean()
    assert 1 - error / y.var() > 0.9


def test_stream_can_be_pickled_in_the_middle(digits):
    x, y, *_ = digits
    stream = stream_of(x[:100], y[:100])
    stream.learn(x[:100], y[:100])
    twin = pickle.loads(pickle.dumps(stream))
    for one in (stream, twin):
        one.learn(x[100:300], y[100:300])
    assert_array_equal(stream.network().forward(x[:9]), twin.network().forward(x[:9]))


@pytest.mark.parametrize("scheme", [None, Prune(sparsity=0.5)])
def test_new_coordinates_leave_the_network_alone(scheme):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((300, 5)) * [1, 2, 3, 4, 500] + 7, rng.integers(3, size=300)
    stream = stream_of(x[:40], y[:40], n_out=3, scheme=scheme)
    stream.learn(x[:40], y[:40])
    before = stream.network().forward(x)
    rebase(stream.state, Moments.of_sample(x, np.ones(300)).input_map(truncate=False))
    assert_allclose(stream.network().forward(x), before, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "scheme", [Prune(sparsity=0.95), LowRank(rank=6), TensorTrain(rank=6)], ids=repr
)
def test_a_compressed_stream_learns_what_it_will_be(digits, scheme):
    x, y, x_test, y_test = digits
    free, tied = stream_of(x, y), stream_of(x, y, scheme=scheme)
    for _ in range(25):
        for lo in range(0, len(x), 100):
            for stream in (free, tied):
                stream.learn(x[lo : lo + 100], y[lo : lo + 100])
        small = tied.network().layers[0].weight
        again = scheme.project(small.to_dense())
        assert_allclose(again.to_dense(), small.to_dense(), atol=1e-4)
    cut = free.network()
    layer = cut.layers[0]
    cut.layers[0] = Layer(scheme.project(layer.weight.to_dense()), layer.intercept, "relu")
    print(accuracy(tied.network(), x_test, y_test), accuracy(cut, x_test, y_test))
    assert accuracy(tied.network(), x_test, y_test) > accuracy(cut, x_test, y_test) + 0.05


def test_start_from_a_network(digits):
    x, y, x_test, y_test = digits
    first = fit(x, y, hidden=(64,), max_iter=20).network
    again = fit(x, y, hidden=(64,), max_iter=1, start=first)
    assert again.record.loss[0] < 0.5
    assert accuracy(again.network, x_test, y_test) > 0.95
