"""The race on batches: its parts against plain references, and what the estimators make of it."""

from dataclasses import fields, replace
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reference_batch import Network as Twin
from scipy.sparse import csr_array
from scipy.special import expit, log_softmax
from sklearn.datasets import load_digits, load_iris, make_classification, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from fastbcd import BCDClassifier, BCDRegressor
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.schemes import Prune
from fastbcd.solvers.batch import settings as batch_settings
from fastbcd.solvers.batch import solver
from fastbcd.solvers.batch.coordinates import Coordinates
from fastbcd.solvers.batch.engine import LockStep, Rows
from fastbcd.solvers.batch.fit import n_blocks_for
from fastbcd.solvers.batch.race import Block, LineUp, Race, Team, stratified_folds
from fastbcd.solvers.batch.ramps import encode
from fastbcd.solvers.batch.settings import BatchSettings, checks_for
from fastbcd.solvers.batch.temperature import fit_temperature, row_losses
from fastbcd.solvers.choice import Settings, choose_solver


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def moons(n=400, seed=0, noise=0.3):
    x, y = make_moons(n, noise=noise, random_state=seed)
    return x.astype(np.float32), y


@pytest.mark.parametrize("loss", ["cross_entropy", "logistic"])
@pytest.mark.parametrize("scale", [0.2, 1.0, 8.0])
def test_temperature_is_the_minimum_of_its_objective(rng, loss, scale):
    y = np.eye(3)[rng.integers(3, size=200)]
    z = scale * (1.5 * y + rng.standard_normal((200, 3)))
    weight = rng.uniform(0.5, 2, 200)
    a = np.linspace(-3, 3, 6001)
    if loss == "cross_entropy":
        each = [-np.sum(y * log_softmax(z * np.exp(t), axis=1), axis=1) for t in a]
    else:
        each = []
        for t in a:
            p = expit(z * np.exp(t))
            with np.errstate(divide="ignore"):
                rows = -np.where(y == 1, np.log(p), np.log1p(-p))
            each.append(rows.sum(axis=1))
    objective = np.array(each) @ weight + a**2 / (2 * 0.5**2)
    found = fit_temperature(z, y, weight, 0.5, loss)
    assert np.log(found) == pytest.approx(a[np.argmin(objective)], abs=1.5e-3)


def test_temperature_stays_finite_if_all_rows_are_right():
    y = np.eye(2)[[0, 1] * 5]
    found = fit_temperature(6 * y, y, np.ones(10), 0.5, "cross_entropy")
    assert 1 < found < np.e


def test_row_losses_are_those_of_the_estimators():
    y = np.eye(3)[[0, 2]]
    z = np.array([[1.0, 0.5, -2.0], [0.0, 3.0, 0.2]])
    expected = np.log(np.exp(z).sum(axis=1)) - z[[0, 1], [0, 2]]
    assert_allclose(row_losses(z, y, "cross_entropy"), expected)
    assert_allclose(row_losses(z, y, "squared"), 0.5 * np.square(z - y).sum(axis=1))
    assert_allclose(row_losses(z, y, "hinge"), [1.5, 1 + 4 + 0.8])


@pytest.mark.parametrize("shape", [(300, 8), (20, 50)])
def test_coordinates_are_uncorrelated_and_absorbed(rng, shape):
    n, d = shape
    x = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) * 10.0 ** rng.uniform(-6, 6, d)
    x[:, 3] = 7.0
    weight = rng.uniform(0.5, 2, n)
    coordinates, u = Coordinates.of(x, weight)
    share = weight / weight.sum()
    assert_allclose(share @ u, 0, atol=1e-5)
    assert_allclose((u * share[:, None]).T @ u, np.diag(coordinates.variances), atol=1e-4)
    assert len(coordinates.variances) <= min(n, d - 1)
    assert_allclose(coordinates.apply(x), u, atol=1e-6)
    w, b = rng.standard_normal((u.shape[1], 5)), rng.standard_normal(5)
    raw, intercept = coordinates.to_inputs(w, b)
    assert_allclose(x @ raw + intercept, u @ w + b, atol=1e-4)
    assert_array_equal(raw[3], 0)


def test_coordinates_of_constant_columns_say_nothing():
    coordinates, u = Coordinates.of(np.full((30, 2), 3.0), np.ones(30))
    assert_array_equal(u, 0)
    raw, intercept = coordinates.to_inputs(np.ones((u.shape[1], 1)), np.full(1, 2.0))
    assert_array_equal(raw, 0)
    assert_array_equal(intercept, 2)


def test_columns_of_one_unit_keep_it(rng):
    x = rng.uniform(0, 16, (400, 10))
    x[:, 0] = 0
    x[7, 0] = 1.0  # a faint pixel near a border
    shared, _ = Coordinates.of(x, np.ones(400))
    assert_allclose(shared.unit[1:], shared.unit[1], rtol=0.05)
    assert shared.unit[0] > shared.unit[1]
    units = 10.0 ** np.arange(-5, 5)
    mixed, u = Coordinates.of(x * units, np.ones(400))
    again, v = Coordinates.of(x * units[::-1], np.ones(400))
    assert_allclose(mixed.unit / units, again.unit / units[::-1])
    assert_allclose(np.abs(u), np.abs(v), atol=1e-4)


def test_folds_are_stratified(rng):
    labels = np.repeat([0, 1, 2], [101, 40, 3])
    rng.shuffle(labels)
    fold = stratified_folds(labels, labels.size, 4, rng)
    counts = np.array([[np.sum((fold == f) & (labels == c)) for f in range(4)] for c in range(3)])
    assert np.all(np.ptp(counts, axis=1) <= 1)
    assert np.ptp(counts.sum(axis=0)) <= 1


def test_checks_are_geometric_and_end_with_the_fit():
    checks = checks_for(1000, BatchSettings())
    assert checks[0] == 8
    assert checks[-1] == 1000
    ratios = np.array(checks[6:-1]) / checks[5:-2]
    assert_allclose(ratios, 1.4, rtol=0.05)
    assert checks_for(1, BatchSettings()) == [1]


def lock_step(rng, settings, loss="cross_entropy", activation="relu", widths=(7,), **options):
    n, k, m = 96, 6, 3
    variances = np.sort(rng.uniform(0.1, 2, k))[::-1]
    x = (rng.standard_normal((n, k)) * np.sqrt(variances)).astype(np.float32)
    y = np.eye(m, dtype=np.float32)[rng.integers(m, size=n)]
    if loss == "squared":
        y = rng.standard_normal((n, m)).astype(np.float32)
    fold = np.arange(n) % 3 == 0
    counts = np.tile(np.stack([~fold, np.ones(n)]).astype(np.float32), (2, 1))
    weight = rng.uniform(0.5, 2, n).astype(np.float32) if options.get("weighted") else None
    l2 = (
        (0.01, np.diag(rng.uniform(0.5, 2, k)).astype(np.float32))
        if options.get("l2")
        else (0.0, None)
    )
    return LockStep(
        Rows(x, variances, y, weight), widths, activation, loss, counts, [0, 0, 1, 1],
        np.zeros(m), settings, 5, l2,
    )  # fmt: skip


COMPILED = BatchSettings(compiled_from=0)
"""Compiles the steps of fits of any size."""


@pytest.mark.parametrize("settings", [BatchSettings(), COMPILED])
@pytest.mark.parametrize("activation", ALL_ACTIVATIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_networks_in_lock_step_equal_networks_alone(rng, weighted, activation, settings):
    engine = lock_step(rng, settings, activation=activation, weighted=weighted)
    x, y, variances = engine.rows.x, engine.rows.y, engine.rows.variances
    own = engine.networks
    twins = [
        Twin(
            [w[g] for w in own.weights], [b[g] for b in own.biases], variances, settings,
            activation,
        )
        for g in range(4)
    ]  # fmt: skip
    for t in range(60):
        if t == 30:
            engine.keep(slice(2))
        index = rng.permutation(len(x))[:32]
        engine.advance(index[None])
        weight = np.ones(32) if engine.rows.weight is None else engine.rows.weight[index]
        for g, twin in enumerate(twins if t < 30 else twins[:2]):
            twin.step(x[index].astype(float), y[index], engine.counts[g, index], weight)
    for g in range(2):
        weights, biases = engine.averaged(g)
        for ours, theirs in zip([*weights, *biases], twins[g].average, strict=True):
            assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("loss", ["cross_entropy", "logistic", "squared", "hinge"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "hard_tanh"])
@pytest.mark.parametrize("widths", [(), (8,), (5, 9)])
@pytest.mark.parametrize("options", [{}, {"weighted": True, "l2": True}])
def test_compiled_steps_equal_those_of_numpy(loss, activation, widths, options):
    found = []
    for settings in (BatchSettings(), COMPILED):
        rng = np.random.default_rng(1)
        engine = lock_step(rng, settings, loss, activation, widths, **options)
        assert (engine.fused is None) == (settings is not COMPILED)
        order = np.array([rng.permutation(96)[:31] for _ in range(50)])
        engine.advance(order[:9])
        engine.keep(slice(3))
        engine.advance(order[9:])
        found.append(engine.networks)
    plain, compiled = found
    assert_array_equal(compiled.clock, plain.clock)
    assert compiled.clock[0] == 50
    for name in ("parameters", "averages", "moments", "lengths"):
        assert_allclose(getattr(compiled, name), getattr(plain, name), rtol=2e-3, atol=2e-4)


def test_large_tables_are_compiled():
    x, y = moons(2400)
    model = BCDClassifier((16,), random_state=0).fit(x, y)
    with patch.object(batch_settings, "DEFAULTS", replace(BatchSettings(), compiled_from=10**9)):
        other = BCDClassifier((16,), random_state=0).fit(x, y)
    assert_allclose(model.predict_proba(x), other.predict_proba(x), atol=0.05)
    assert model.score(x, y) > 0.9


def encoded(x, weight=None, settings=None):
    weight = np.ones(len(x)) if weight is None else weight
    return encode(x, weight, settings or BatchSettings(), np.ptp(x, axis=0) == 0)


def test_ramps_of_a_column_add_up_to_it(rng):
    """The ramps between quantiles, times their widths, rebuild the column within its reach."""
    x = np.column_stack([rng.exponential(size=400), rng.integers(2, size=400), np.full(400, 5.0)])
    ramps = encoded(x)
    encoding = ramps.encoding
    features = encoding.rows(x)
    assert_allclose(features[:, 0] / encoding.slopes[0] + encoding.starts[0], x[:, 0], atol=1e-12)
    assert encoding.slopes[2] > encoding.slopes[0]  # the usual reach: an exponential has a tail
    assert 0 not in ramps.bent
    between = np.flatnonzero(encoding.columns == 0)[2:]
    rebuilt = x[:, 0].min() + features[:, between] @ (1 / encoding.slopes[between])
    assert_allclose(rebuilt, x[:, 0])
    assert list(encoding.columns).count(1) == 1  # two values need no intervals
    assert 2 not in encoding.columns  # a constant says nothing
    inside = np.mean((features > 0) & (features < 1), axis=0)[between]
    assert_allclose(inside, 1 / len(between), atol=0.02)  # as many rows in each


def test_a_network_on_columns_can_read_whole_ramps(rng):
    x = rng.standard_normal((300, 3)) * [1, 1e6, 1e-6] + [5, 0, 3]
    x = np.insert(x, 1, 2.0, axis=1)
    ramps = encoded(x)
    assert_array_equal(ramps.whole, [0, 2, 3])
    weight, intercept = rng.standard_normal((4, 5)) / np.c_[[1, 1, 1e6, 1e-6]], np.ones(5)
    weight[1] = 0  # as for all constant columns
    own, other = ramps.of_columns(weight, intercept)
    assert_allclose(ramps.encoding.rows(x)[:, :3] @ own + other, x @ weight + intercept, atol=1e-8)
    assert np.abs(own).max() < 50  # of one unit


def test_ramps_see_weights_as_repetitions(rng):
    x = rng.standard_normal((120, 3))
    weight = rng.integers(1, 4, 120)
    settings = replace(BatchSettings(), few_bins=6, many_bins=6)
    one = encoded(x, weight.astype(float), settings)
    other = encoded(np.repeat(x, weight, axis=0), None, settings)
    assert_array_equal(one.bent, other.bent)
    assert_array_equal(one.encoding.columns, other.encoding.columns)
    assert_allclose(one.encoding.starts, other.encoding.starts)
    assert_allclose(one.encoding.slopes, other.encoding.slopes)


def test_nothing_is_encoded_where_it_says_nothing(rng):
    assert encoded(rng.integers(2, size=(200, 6)).astype(float)) is None
    assert encoded(rng.standard_normal((200, BatchSettings().most_features))) is None


@pytest.mark.parametrize(
    ("widths", "blocks"), [((100,), 4), ((64, 32), 4), ((20,), 2), ((9,), 1), ((100, 10), 1)]
)
def test_blocks_fill_the_widths(widths, blocks):
    assert n_blocks_for(widths, BatchSettings()) == blocks


class Scripted:
    """Networks whose outputs are the same for all rows: a number at each check."""

    def __init__(self, outputs):
        self.script, self.now = outputs, -1

    def average(self):
        self.now += 1

    def outputs(self, network, x):
        return np.full((len(x), 1), self.script[self.now])

    def averaged(self, network):
        return [], []

    def keep(self, index):
        """All networks are alike."""

    @property
    def rows(self):
        return SimpleNamespace(x=np.zeros((4, 1)))


def test_a_lead_counts_when_the_leader_has_stopped_improving():
    """The quicker of two learners leads at first, and is overtaken if its lead is one of pace."""
    quick, slow = [9, 6, 4, 2.5, 2.4, 2.4], [10, 8, 6.5, 5, 4.5, 4]
    settings = BatchSettings()

    def running(quick, slow, settings):
        teams = [Team(Scripted(np.sqrt(2 * np.array(part)))) for part in (quick, slow)]
        line_ups = [LineUp([Block(0, 0)]), LineUp([Block(1, 0)])]
        fold, y, weight = np.array([0, 0, 1, 1]), np.zeros((4, 1)), np.ones(4)
        race = Race(teams, line_ups, fold, y, weight, "squared", settings)
        found = []
        for _ in quick:
            race.check()
            found.append(line_ups[1].running)
            assert race.best is line_ups[0] or line_ups[1].running
        return found

    assert running(quick, slow, settings) == [True, True, True, True, False, False]
    assert running(quick, slow, replace(settings, leave_ahead=0.0))[2] is False
    assert all(running(quick, [10, 8, 6, 4, 2, 1], settings))


@pytest.mark.parametrize("encoding", ["auto", None])
@pytest.mark.parametrize("widths", [(32,), (32, 16), (9,)])
def test_a_network_is_the_mean_of_its_blocks(rng, widths, encoding, monkeypatch):
    """For each kind of line-up: what is returned equals the mean output of what raced."""
    x = rng.standard_normal((300, 4)) * [1, 1e3, 1e-3, 1] + [0, 50, 0, 1e4]
    y = (np.abs(x[:, 0]) > 0.7).astype(int)
    problems = []
    whole = solver.assemble

    def remembered(problem, line_up):
        problems.append((problem, line_up))
        return whole(problem, line_up)

    monkeypatch.setattr(solver, "assemble", remembered)
    BCDClassifier(widths, encoding=encoding, random_state=0, max_iter=20).fit(x, y)
    problem = problems[-1][0]
    kinds = {tuple(block.team for block in one.blocks) for one in problem.race.line_ups}
    assert len(kinds) == (1 if widths == (9,) and encoding is None else 2)
    for one in problem.race.line_ups:
        expected = 0
        for block in one.blocks:
            v = problem.inputs[block.team].apply(x)
            weights, biases = block.arrays
            for w, b in zip(weights[:-1], biases[:-1], strict=True):
                v = np.maximum(v @ w + b, 0)
            expected = expected + v @ weights[-1] + biases[-1]
        expected = expected * one.temperature / len(one.blocks)
        network = whole(problem, one)
        assert_allclose(network.forward(x), expected, rtol=1e-4, atol=1e-4)
        assert [layer.weight.shape[1] for layer in network.layers] == [*widths, 2]


def test_columns_are_encoded_where_rows_held_out_ask_for_it(rng):
    """Rings in one column are hard for a small network on the column itself."""
    x = rng.uniform(-1, 1, (2000, 3))
    y = (np.sin(12 * x[:, 0]) > 0).astype(int)
    a, b, ya, yb = train_test_split(x, y, test_size=0.5, random_state=0)
    encoded = BCDClassifier((16,), random_state=0).fit(a, ya)
    plain = BCDClassifier((16,), encoding=None, random_state=0).fit(a, ya)
    assert encoded.network_.encoding is not None
    assert plain.network_.encoding is None
    assert encoded.score(b, yb) > plain.score(b, yb) + 0.05
    linear = (x @ [1.0, -1, 0.5] > 0).astype(int)
    assert BCDClassifier((16,), random_state=0).fit(x, linear).network_.encoding is None


def test_an_absurd_entry_leaves_finite_probabilities():
    x, y = moons(200)
    x = x.copy()
    x[0, 0] = 1e30
    model = BCDClassifier((16,), random_state=0, max_iter=20).fit(x, y)
    assert np.isfinite(model.predict_proba(x)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_fit_is_deterministic_and_keeps_the_type(dtype):
    x, y = moons()
    fits = [
        BCDClassifier((16,), max_iter=10, random_state=3).fit(x.astype(dtype), y) for _ in range(2)
    ]
    for a, b in zip(fits[0].coefs_, fits[1].coefs_, strict=True):
        assert a.dtype == dtype
        assert_array_equal(a, b)
    other = BCDClassifier((16,), max_iter=10, random_state=4).fit(x.astype(dtype), y)
    assert np.any(other.coefs_[-1] != fits[0].coefs_[-1])


@pytest.mark.parametrize("loss", ["cross_entropy", "squared", "hinge"])
@pytest.mark.parametrize("activation", [name for name in ALL_ACTIVATIONS if name != "identity"])
def test_every_loss_and_activation_learns(loss, activation):
    x, y = moons(600, noise=0.15)
    model = BCDClassifier(
        (16, 8),
        loss=loss,
        activation=activation,
        encoding=None,
        solver="batch",
        max_iter=40,
        random_state=0,
    )
    assert model.fit(x[:400], y[:400]).score(x[400:], y[400:]) > 0.95
    assert [w.shape for w in model.coefs_] == [(2, 16), (16, 8), (8, 2)]


def test_several_labels_learn():
    x, y = load_iris(return_X_y=True)
    labels = np.column_stack([y == 1, y > 0]).astype(int)
    model = BCDClassifier((16,), solver="batch", random_state=0).fit(x, labels)
    assert model.score(x, labels) > 0.9


def test_linear_targets_of_any_unit_are_met():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 4)) * [1e-6, 1, 1e6, 3]
    y = 1e9 + 1e5 * (x / [1e-6, 1, 1e6, 3]) @ np.array([[1.0, 2], [0, 1], [-1, 0], [1, 1]])
    model = BCDRegressor((32,), solver="batch", random_state=0).fit(x[:400], y[:400])
    assert model.score(x[400:], y[400:]) > 0.99


def test_probabilities_of_noisy_labels_are_calibrated():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1200, 5))
    truth = expit(2 * x[:, 0] - x[:, 1])
    y = (rng.random(1200) < truth).astype(int)
    model = BCDClassifier((50,), random_state=0).fit(x[:600], y[:600])
    best = log_loss(y[600:], truth[600:])
    assert log_loss(y[600:], model.predict_proba(x[600:])[:, 1]) < best + 0.03


def test_a_weight_is_about_a_number_of_repetitions():
    x, y = make_classification(
        1200, 4, n_informative=3, n_redundant=0, flip_y=0.2, class_sep=0.5, random_state=0
    )
    test = x[800:]
    weight = np.where(y[:800] == 1, 3, 1)
    plain = BCDClassifier((16,), random_state=0).fit(x[:800], y[:800])
    weighted = BCDClassifier((16,), random_state=0).fit(x[:800], y[:800], weight)
    repeated = BCDClassifier((16,), random_state=0).fit(
        np.repeat(x[:800], weight, axis=0), np.repeat(y[:800], weight)
    )
    means = [m.predict_proba(test)[:, 1].mean() for m in (plain, weighted, repeated)]
    assert means[1] > means[0] + 0.1
    assert means[1] == pytest.approx(means[2], abs=0.06)
    balanced = BCDClassifier((16,), class_weight={0: 1, 1: 3}, random_state=0)
    assert_allclose(
        balanced.fit(x[:800], y[:800]).predict_proba(test), weighted.predict_proba(test)
    )


def test_rare_classes_and_few_rows_are_learnt():
    x, y = load_iris(return_X_y=True)
    rows = np.r_[0:50, 50:100, 100]  # one row of the third class
    model = BCDClassifier((8,), solver="batch", random_state=0).fit(x[rows], y[rows])
    assert model.predict_proba(x).shape == (150, 3)
    few = np.r_[0:7, 50:57, 100:107]
    small = BCDClassifier((8,), solver="batch", random_state=0).fit(x[few], y[few])
    whole = BCDClassifier((8,), solver="batch", random_state=0).fit(x, y)
    assert small.score(x, y) > whole.score(x, y) - 0.05


def test_sparse_rows_are_learnt_as_dense_ones():
    x, y = load_digits(return_X_y=True)
    x, y = x[:300], y[:300]
    model = BCDClassifier((16,), max_iter=10, random_state=0)
    dense = model.fit(x, y).predict_proba(x)
    assert_allclose(model.fit(csr_array(x), y).predict_proba(x), dense, rtol=1e-5, atol=1e-7)


def test_held_out_rows_choose_the_network():
    x, y = moons(600)
    a, b, ya, yb = train_test_split(x, y, test_size=0.25, random_state=0)
    model = BCDClassifier((16,), early_stopping=True, solver="batch", random_state=0)
    model.fit(a, ya, X_val=b, y_val=yb)
    scores = model.validation_scores_
    assert len(scores) == model.n_iter_
    assert np.argmax(scores) + 1 == model.best_iter_
    assert model.score(b, yb) == max(scores)


def test_what_is_recorded():
    x, y = moons()
    model = BCDClassifier((16,), max_iter=12, random_state=0).fit(x, y)
    assert model.n_iter_ <= 12
    assert 1 <= model.best_iter_ <= model.n_iter_
    assert len(model.objective_curve_) == model.n_iter_ + 1
    assert np.all(np.diff(model.objective_curve_) <= 0)  # the least held-out loss so far
    assert len(model.convergence_.seconds) == model.n_iter_


def test_an_interruption_keeps_the_best_so_far(monkeypatch):
    x, y = moons()
    advance = LockStep.advance

    def interrupted(self, order):
        if self.steps > 60:
            raise KeyboardInterrupt
        advance(self, order)

    monkeypatch.setattr(LockStep, "advance", interrupted)
    model = BCDClassifier((16,), random_state=0)
    with pytest.warns(ConvergenceWarning, match="Interrupted after"):
        model.fit(x, y)
    assert model.score(x, y) > 0.8


@pytest.mark.parametrize(
    ("shape", "widths", "changes", "chosen"),
    [
        ((500, 10), (100,), {}, "batch"),
        ((29, 10), (100,), {}, "full"),
        ((15_000, 16), (100,), {}, "batch"),
        ((15_000, 16), (300, 100), {}, "minibatch"),
        ((20_001, 5), (10,), {}, "minibatch"),
        ((500, 10), (1000,), {}, "minibatch"),
        ((500, 10), (100,), {"certificate": True}, "full"),
        ((500, 10), (100,), {"scheme": Prune(sparsity=0.5)}, "full"),
        ((5000, 10), (100,), {"scheme": Prune(sparsity=0.5)}, "minibatch"),
        ((5000, 10), (100,), {"solver": "full"}, "full"),
    ],
)
def test_auto_lets_tables_of_moderate_size_race(shape, widths, changes, chosen):
    given = BCDClassifier(widths, **changes).get_params()
    names = [field.name for field in fields(Settings)]
    settings = Settings(
        **{name: given[name] for name in names if name in given}, scale_targets=False
    )
    assert choose_solver(settings, *shape, total_weight=shape[0]) == chosen


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"scheme": Prune(sparsity=0.5)}, "leave out scheme"),
        ({"certificate": True}, "certificate"),
        ({"input_shape": (1, 2)}, "leave out scheme"),
    ],
)
def test_what_cannot_race_is_refused(changes, match):
    x, y = moons(120)
    with pytest.raises(ValueError, match=match):
        BCDClassifier((8,), solver="batch", **changes).fit(x, y)


def test_it_does_not_go_on_from_a_network():
    x, y = moons(120)
    model = BCDClassifier((8,), solver="batch", warm_start=True, max_iter=3).fit(x, y)
    with pytest.raises(ValueError, match="always starts afresh"):
        model.fit(x, y)


def test_half_of_the_folds_go_on_after_many_checks():
    """Also what was judged before is from then on judged by the rows of the folds that are left."""
    x, y = moons(400, noise=0.1)
    races, judge = [], Race.check

    def watched(race):
        judge(race)
        best = race.best
        if best.found:
            races.append((race.checks, race.n_folds, len(best.rows), len(race.y)))
            mean = np.average(best.rows, weights=race.weight)
            assert_allclose(best.loss, max(mean, best.own_loss))

    with patch.object(Race, "check", watched):
        model = BCDClassifier((8,), random_state=0).fit(x, y)
    assert model.score(x, y) > 0.9
    folds = {checks: n for checks, n, _, _ in races}
    assert [folds[k] for k in (7, 8, 10, 11)] == [8, 4, 4, 2]
    assert all(judged == total for _, _, judged, total in races)
    assert {total for checks, _, _, total in races if checks == 8} == {200}
