"""Streams that dense networks learn from: small calls, drift, weights, and calls after a fit."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_digits, make_classification, make_friedman1
from sklearn.linear_model import LinearRegression

from fastbcd import BCDClassifier, BCDRegressor
from fastbcd.solvers.stream.dense import DenseStream
from fastbcd.solvers.stream.engine import Engine
from fastbcd.solvers.stream.frame import Columns, Frame
from fastbcd.solvers.stream.metric import EXACT, Metric
from fastbcd.statistics.inputs import MANY

X, Y = make_classification(
    6000, 12, n_informative=8, n_classes=3, n_clusters_per_class=2, class_sep=1.5, random_state=0
)
TRAIN, TEST = slice(0, 4000), slice(4000, None)


def learnt(x, y, size, passes=1, **params):
    model = BCDClassifier(**{"hidden_layer_sizes": (32, 16), "random_state": 0, **params})
    for _ in range(passes):
        for lo in range(0, x.shape[0], size):
            model.partial_fit(x[lo : lo + size], y[lo : lo + size], classes=np.unique(Y))
    return model


def test_the_size_of_the_calls_hardly_matters():
    scores = {
        size: learnt(X[TRAIN], Y[TRAIN], size).score(X[TEST], Y[TEST])
        for size in (1, 7, 50, 200, 1000, 4000)
    }
    assert min(scores.values()) > 0.83
    assert max(scores.values()) - min(scores.values()) < 0.06


def test_a_call_is_learnt_in_random_order():
    order = np.argsort(Y[TRAIN], kind="stable")
    assert learnt(X[TRAIN][order], Y[TRAIN][order], 4000).score(X[TEST], Y[TEST]) > 0.83


def dense_stream(**changes):
    options = {"activation": "relu", "loss": "cross_entropy", "scale_targets": False, "seed": 3}
    return DenseStream((12, 32, 16, 3), np.dtype(float), **{**options, **changes})


ONE_HOT = np.eye(3)[Y]


def test_a_large_call_is_its_pieces(monkeypatch):
    """Once its rows are mixed, pieces of a call are learnt from as calls of their own."""
    pieces, learn = [], DenseStream.learn_piece

    def recorded(self, piece):
        pieces.append(piece)
        return learn(self, piece)

    monkeypatch.setattr(DenseStream, "learn_piece", recorded)
    whole, alone = dense_stream(), dense_stream()
    whole.learn(np.tile(X[TRAIN], (3, 1)), np.tile(ONE_HOT[TRAIN], (3, 1)))
    assert [len(piece[0]) for piece in pieces] == [1000] * 12
    monkeypatch.undo()
    alone.rng.permutation(12_000)  # what mixed the rows
    for piece in pieces:
        alone.learn_piece(piece)
    assert_array_equal(alone.network().forward(X), whole.network().forward(X))


def test_one_row_does_not_wreck_the_network():
    model = learnt(X[TRAIN], Y[TRAIN], 200)
    before = model.score(X[TEST], Y[TEST])
    for row in range(4000, 4020):
        wrong = [(Y[row] + 1) % 3]
        model.partial_fit(X[row : row + 1], wrong)
        assert model.score(X[TEST], Y[TEST]) > before - 0.02
    model.partial_fit(np.full((1, 12), 1e6), [0])
    assert model.score(X[TEST], Y[TEST]) > before - 0.03


def test_the_average_forgets_when_the_data_change():
    model = learnt(X[TRAIN], Y[TRAIN], 200, passes=5)
    other = (Y + 1) % 3
    assert model.score(X[TEST], other[TEST]) < 0.1
    for lo in range(0, 4000, 200):
        model.partial_fit(X[lo : lo + 200], other[lo : lo + 200])
    assert model.score(X[TEST], other[TEST]) > 0.8


@pytest.mark.parametrize("moved", [0.0, 30.0])
def test_inputs_that_wander_are_followed(moved):
    rng = np.random.default_rng(0)
    model = BCDClassifier((32,), random_state=0)
    weights = rng.standard_normal((6, 3))
    for call in range(150):
        z = rng.standard_normal((200, 6))
        x = z * (1 + moved * call / 150) + moved * call / 150
        model.partial_fit(x, (z @ weights).argmax(axis=1), classes=[0, 1, 2])
    z = rng.standard_normal((2000, 6))
    found = model.score(z * (1 + moved) + moved, (z @ weights).argmax(axis=1))
    assert found > 0.9


def test_units_of_columns_do_not_matter():
    unit = 10.0 ** np.arange(-6, 6)
    plain, scaled = learnt(X[TRAIN], Y[TRAIN], 50), learnt(X[TRAIN] * unit, Y[TRAIN], 50)
    assert_allclose(plain.score(X[TEST], Y[TEST]), scaled.score(X[TEST] * unit, Y[TEST]), atol=0.02)


def test_weights_of_zero_hide_rows_and_large_ones_count():
    rng = np.random.default_rng(0)
    wrong = rng.random(4000) < 0.5
    y = np.where(wrong, (Y[TRAIN] + 1) % 3, Y[TRAIN])
    scores = []
    for weight in (np.ones(4000), np.where(wrong, 0.0, 1.0), np.where(wrong, 0.05, 1.0)):
        model = BCDClassifier((32,), random_state=0)
        for lo in range(0, 4000, 100):
            part = slice(lo, lo + 100)
            model.partial_fit(X[part], y[part], classes=[0, 1, 2], sample_weight=weight[part])
        scores.append(model.score(X[TEST], Y[TEST]))
    assert min(scores[1:]) > 0.83 > scores[0] + 0.05


def test_a_fit_is_gone_on_from_and_not_spoilt():
    x, y = load_digits(return_X_y=True)
    model = BCDClassifier((48,), random_state=0).fit(x[:1000], y[:1000])
    before = model.score(x[1400:], y[1400:])
    for lo in range(1000, 1400, 20):
        model.partial_fit(x[lo : lo + 20], y[lo : lo + 20])
        assert model.score(x[1400:], y[1400:]) > before - 0.015


def test_a_fit_that_is_gone_on_from_learns_new_data():
    model = BCDClassifier((32,), random_state=0, max_iter=5).fit(X[:1000], Y[:1000])
    other = (Y + 1) % 3
    for lo in range(1000, 4000, 100):
        model.partial_fit(X[lo : lo + 100], other[lo : lo + 100])
    assert model.score(X[TEST], other[TEST]) > 0.75


def test_a_regression_of_targets_that_move():
    x, y = make_friedman1(4000, noise=0.5, random_state=0)
    model = BCDRegressor((32,), random_state=0)
    for lo in range(0, 3000, 50):
        model.partial_fit(x[lo : lo + 50], 1e3 * y[lo : lo + 50] + 5e4)
    right = 1e3 * y[3000:] + 5e4
    assert model.score(x[3000:], right) > LinearRegression().fit(x[:3000], y[:3000]).score(
        x[3000:], y[3000:]
    )


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_sparse_rows_and_types(kind):
    x = np.where(np.abs(X) > 0.7, X, 0).astype(kind)
    dense = learnt(x[TRAIN], Y[TRAIN], 500)
    assert dense.network_.layers[0].weight.dtype == kind
    thin = learnt(sparse.csr_matrix(x[TRAIN]), Y[TRAIN], 500)
    assert_array_equal(thin.predict_proba(x[TEST]), dense.predict_proba(x[TEST]))


def test_the_state_is_modest():
    model = learnt(X[TRAIN], Y[TRAIN], 500, hidden_layer_sizes=(200, 100))
    d, h = 12, (200, 100)
    weights = d * h[0] + h[0] * h[1] + h[1] * 3
    numbers = 5 * weights + 4 * d**2 + 4 * sum(n * n for n in h) + 256 * 2 * d
    assert len(pickle.dumps(model)) < 8 * numbers + 100_000


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("d", [5, EXACT + 40, MANY + 10])
def test_the_metric_solves_with_the_running_covariance(d, weighted):
    rng = np.random.default_rng(0)
    metric = Metric(d, 0.5, rng)
    n, strong = (600, 6) if d <= MANY else (60, 6)
    x = (rng.standard_normal((n, strong)) * 5) @ rng.standard_normal((strong, d)) + 2
    x = (x + rng.standard_normal((n, d))).astype(np.float32)
    weight = rng.uniform(0.5, 2, n).astype(np.float32) if weighted else np.ones(n, np.float32)
    for lo in range(0, n, 20):
        metric.add(x[lo : lo + 20], weight[lo : lo + 20], np.inf)
    metric.refresh()
    mean = np.average(x, axis=0, weights=weight)
    s = (
        np.cov(x.T, aweights=weight, ddof=0)
        if d <= MANY
        else np.diag(np.average((x - mean) ** 2, axis=0, weights=weight))
    )
    ridge = 0.5 * np.vdot(s, s) / np.trace(s)
    assert_allclose(metric.mean, mean, atol=1e-3)
    right = np.linalg.solve(s + ridge * np.eye(d), (x[:9] - mean).T).T
    error = np.linalg.norm(metric.solve_rows(x[:9]) - right) / np.linalg.norm(right)
    assert error < 0.02
    w = rng.standard_normal((d, 3)).astype(np.float32)
    assert_allclose(metric.norm(w), np.vdot(w, (s + ridge * np.eye(d)) @ w), rtol=0.02)
    assert_allclose(metric.solve(w), np.linalg.solve(s + ridge * np.eye(d), w), atol=0.02 / ridge)


@pytest.mark.parametrize("d", [4, MANY + 4])
def test_another_frame_changes_no_covariance(d):
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((300, d)) + 1).astype(np.float32)
    shift, ratio = rng.standard_normal(d), rng.uniform(0.5, 2, d)
    moved, direct = Metric(d, 0.5, rng), Metric(d, 0.5, rng)
    moved.add(x, np.ones(300, np.float32), np.inf)
    moved.change(shift, ratio, np.zeros(d), ratio)
    direct.add(((x - shift) / ratio).astype(np.float32), np.ones(300, np.float32), np.inf)
    assert_allclose(moved.mean, direct.mean, atol=1e-4)
    pick = np.tril if d <= MANY else np.asarray
    assert_allclose(pick(moved.gram), pick(direct.gram), atol=2e-4)


def test_a_new_frame_changes_no_network():
    stream = dense_stream()
    for lo in range(0, 4000, 200):
        stream.learn(X[lo : lo + 200], ONE_HOT[lo : lo + 200])
    before = stream.network().forward(X[TEST])
    raw = stream.engine.outputs(stream.frame.scaled(stream.frame.centered(X[TEST])), False)
    old = stream.frame
    stream.columns.add(5 + 3 * X[:500] - old.origin, np.ones(500), 1000)
    stream.measure()
    assert np.abs(stream.frame.unit / old.unit - 1).max() > 0.1
    assert_allclose(stream.network().forward(X[TEST]), before, atol=1e-4)
    inside = np.abs(stream.frame.scaled(stream.frame.centered(X[TEST])))
    assert inside.max() < 50
    again = stream.engine.outputs(stream.frame.scaled(stream.frame.centered(X[TEST])), False)
    assert_allclose(again, raw, atol=1e-3)


def test_moments_of_columns_are_those_of_the_rows():
    rng = np.random.default_rng(0)
    x, weight = rng.gamma(2, size=(400, 3)), rng.uniform(0, 2, 400)
    columns = Columns(3)
    for lo in range(0, 400, 40):
        columns.add(x[lo : lo + 40], weight[lo : lo + 40], np.inf)
    shift = np.array([1.0, -2.0, 0.5])
    columns.about(shift)
    right = [np.average((x - shift) ** k, axis=0, weights=weight) for k in (1, 2, 3, 4)]
    assert_allclose(columns.moments, right)
    columns.add(np.full((1000, 3), 7.0), np.ones(1000), 1000)  # nothing older is remembered
    assert_allclose(columns.moments[0], 7.0)


def test_wild_rows_are_shortened_and_unknown_columns_hidden():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 3))
    x[:, 2] = 4.0
    x[3, 0] = 1e9
    frame = Frame.rough(x)
    u = frame.scaled(frame.centered(x))
    assert u.dtype == np.float32
    assert np.abs(u[:, 2]).max() == 0
    assert np.sqrt(np.mean(u[3] ** 2)) < frame.bound * 1.001
    assert_allclose(u[4, :2], (x[4, :2] - frame.origin[:2]) / frame.unit[:2], rtol=1e-5)


def test_a_step_has_its_length_whatever_the_batch(monkeypatch):
    """The relative length of a step in the metric is the one that is set, or shorter."""
    lengths = []
    move = Engine.move

    def measured(self, layer, s, b, metric, l2, length, *rest):
        before = self.weights[layer].copy()
        norm = metric.norm if layer == 0 else lambda a: float(np.vdot(a, a))
        move(self, layer, s, b, metric, l2, length, *rest)
        moved = np.ascontiguousarray(self.weights[layer] - before)
        lengths.append(np.sqrt(norm(moved) / norm(before)) / max(length, 1e-9))

    monkeypatch.setattr(Engine, "move", measured)
    x = X[TRAIN].copy()
    x[1000:1010] *= 1e4
    learnt(x, Y[TRAIN], 100)
    assert max(lengths) < 2
    assert 0.5 < np.median(lengths) <= 1.05
