"""Certificates: bounds are never exceeded, equal published values, and order themselves."""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris, make_moons
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

from fastbcd import BCDClassifier, certify, certify_difference, compress, is_robust, robust_radius
from fastbcd.certificates import Ball, Box, Moments
from fastbcd.estimators.certify import stages_in
from fastbcd.inspection.certificates.certify import certify_stages
from fastbcd.inspection.certificates.constraints import Increments, unit_slopes
from fastbcd.inspection.certificates.lipschitz import bound_of, closed_form, first_multipliers
from fastbcd.inspection.certificates.pattern import jacobian_at
from fastbcd.inspection.certificates.relaxation import preactivation_bounds
from fastbcd.inspection.certificates.slopes import KINKS, TURNS, derivative, slopes, value
from fastbcd.inspection.certificates.stages import Stage, forward, side_by_side
from fastbcd.inspection.certificates.verified import is_positive_definite, norm_bound

FOLDER = Path(os.environ.get("FASTBCD_DATA", "data"))
NAMES = [*KINKS, *TURNS]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def network(rng, sizes, activation="relu", scale=1.5):
    stages = []
    for number, (p, q) in enumerate(pairwise(sizes)):
        name = activation if number < len(sizes) - 2 else "identity"
        matrix = scale * rng.standard_normal((q, p)) / np.sqrt(p)
        stages.append(Stage(matrix, 0.3 * rng.standard_normal(q), ((name, 0, q),)))
    return stages


@pytest.mark.skipif(not (FOLDER / "lipsdp.npz").exists(), reason="lipsdp.npz is not there")
@pytest.mark.parametrize(
    ("name", "method", "published"),
    [
        ("random", "product", 43.306),
        ("random", "eclipse-fast", 39.901),
        ("random", "layer", 39.8386),
        ("random", "neuron", 36.4822),
        ("mnist", "product", 31.504),
        ("mnist", "eclipse-fast", 26.809),
        ("mnist", "layer", 26.256),
        ("mnist", "neuron", 24.3655),
    ],
)
def test_published_networks_have_their_published_bounds(name, method, published):
    data = np.load(FOLDER / "lipsdp.npz")
    matrices = [data[key].astype(float) for key in sorted(data.files) if key.startswith(name)]
    stages = [
        Stage(w, np.zeros(len(w)), (("relu" if k < len(matrices) - 1 else "identity", 0, len(w)),))
        for k, w in enumerate(matrices)
    ]
    found = certify_stages(stages, method=method)
    assert found.verified
    assert found.bound == pytest.approx(published, rel=1e-4)
    assert found.pattern <= found.bound


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "hard_tanh", "tanh", "logistic"])
@pytest.mark.parametrize("sizes", [(3, 8, 2), (4, 6, 9, 3), (12, 5, 5, 5, 2)])
def test_each_method_is_as_close_as_the_one_before(rng, activation, sizes):
    for _ in range(4):
        stages = network(rng, sizes, activation)
        methods = ("product", "eclipse-fast", "layer", "neuron")
        found = [certify_stages(stages, method=method) for method in methods]
        assert all(each.verified for each in found)
        bounds = [each.bound for each in found]
        assert np.all(np.diff(bounds) <= 1e-8 * bounds[0])
        assert found[-1].reached <= found[-1].pattern * (1 + 1e-9)
        assert found[-1].pattern <= bounds[-1]


@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("kind", ["ball", "box"])
def test_no_two_inputs_of_the_region_exceed_the_bound(rng, activation, kind):
    stages = network(rng, (4, 10, 7, 3), activation)
    center = rng.standard_normal(4)
    region = Ball(center, 0.7) if kind == "ball" else Box(center - 0.4, center + 0.5)
    found = certify_stages(stages, region)
    everywhere = certify_stages(stages)
    assert found.bound <= everywhere.bound * (1 + 1e-6)
    a, b = region.sample(20_000, rng), region.sample(20_000, rng)
    b[::2] = a[::2] + 1e-3 * (b[::2] - a[::2])
    change = np.linalg.norm(forward(stages, a) - forward(stages, b), axis=1)
    assert np.all(change <= found.bound * np.linalg.norm(a - b, axis=1) * (1 + 1e-9))
    largest = certify_stages(stages, region, norm="inf").bound
    change = np.abs(forward(stages, a) - forward(stages, b)).max(axis=1)
    assert np.all(change <= largest * np.abs(a - b).max(axis=1) * (1 + 1e-9))


@pytest.mark.parametrize("activation", NAMES)
def test_slopes_and_relaxations_hold(rng, activation):
    low = rng.uniform(-4, 3, 200)
    high = low + rng.uniform(0, 3, 200)
    least, most = slopes(activation, low, high)
    t = np.sort(rng.uniform(0, 1, (300, 2)), axis=1)
    for a, b in t:
        u, v = low + a * (high - low), low + b * (high - low)
        rise = value(activation, v) - value(activation, u)
        assert np.all(rise <= most * (v - u) + 1e-12)
        assert np.all(rise >= least * (v - u) - 1e-12)
    stages = network(rng, (5, 9, 9, 4), activation)
    region = Box(rng.uniform(-1, 0, 5), rng.uniform(0, 1, 5))
    x = region.sample(5000, rng)
    for stage, bounds in zip(stages, preactivation_bounds(stages, region), strict=True):
        u = x @ stage.matrix.T + stage.bias
        assert np.all(u >= bounds.low - 1e-12)
        assert np.all(u <= bounds.high + 1e-12)
        x = stage.value(u)


@pytest.mark.parametrize("activation", TURNS)
def test_derivatives_are_those_of_the_values(activation):
    u = np.linspace(-6, 6, 401)
    numeric = (value(activation, u + 1e-6) - value(activation, u - 1e-6)) / 2e-6
    assert_allclose(derivative(activation, u), numeric, atol=1e-8)


def test_the_gradient_is_that_of_rho(rng):
    stages = network(rng, (4, 7, 6, 3), "tanh")
    region = Ball(np.zeros(4), 1.0)
    own = Increments.of(stages, preactivation_bounds(stages, region))
    bound = bound_of(own, "lipschitz")
    each = [most for _, most in unit_slopes(stages, None)]
    multipliers = first_multipliers(bound, stages, each) * rng.uniform(1, 1.2, own.n_units)
    gradient = bound.evaluate(multipliers).gradients[-1]
    for k in range(own.n_units):
        h = 1e-6 * multipliers[k]
        up, down = multipliers.copy(), multipliers.copy()
        up[k] += h
        down[k] -= h
        slope = bound.evaluate(up).values[-1] - bound.evaluate(down).values[-1]
        assert slope / (2 * h) == pytest.approx(gradient[k], rel=1e-4, abs=1e-6)


def test_what_violates_the_inequality_is_not_verified(rng):
    stages = network(rng, (4, 10, 3))
    own = Increments.of(stages, None)
    bound = bound_of(own, "lipschitz")
    multipliers = first_multipliers(bound, stages, [most for _, most in unit_slopes(stages, None)])
    rho = float(bound.evaluate(multipliers).values[-1])
    assert rho <= bound.verified(multipliers, rho) < rho * (1 + 1e-6)
    assert bound.verified(multipliers, 0.8 * rho) is None  # a solver's rho that is too small
    assert bound.verified(0.3 * multipliers, rho) is None
    assert bound.evaluate(1e-9 * multipliers) is None


def test_proofs_of_positive_definiteness(rng):
    q, _ = np.linalg.qr(rng.standard_normal((30, 30)))
    for smallest, answer in ((1e-9, True), (-1e-9, False), (0.0, False)):
        values = np.concatenate([[smallest], np.geomspace(1e-3, 1, 29)])
        a = (q * values) @ q.T
        assert is_positive_definite(0.5 * (a + a.T)) == answer
    a = np.diag(np.geomspace(1e-12, 1e12, 30))
    assert is_positive_definite(a)
    assert not is_positive_definite(a, error=2 * np.diag(np.diagonal(a)))
    assert not is_positive_definite(np.full((2, 2), np.nan))


@pytest.mark.parametrize("shape", [(5, 5), (3, 40), (40, 3), (1, 1)])
def test_norm_bounds_are_close_and_above(rng, shape):
    a = rng.standard_normal(shape)
    truth = np.linalg.norm(a, 2)
    assert truth <= norm_bound(a) <= truth * (1 + 1e-9)
    assert norm_bound(np.zeros(shape)) == 0


def test_known_slopes_leave_the_problem(rng):
    """On a tiny ball all units are linear, and the bound is the norm of the Jacobian."""
    stages = network(rng, (5, 20, 10, 3))
    x = rng.standard_normal(5)
    found = certify_stages(stages, Ball(x, 1e-7))
    assert len(found.multipliers) == 0
    assert found.bound == pytest.approx(np.linalg.norm(jacobian_at(stages, x), 2), rel=1e-6)


@pytest.mark.parametrize("constraint", ["lower", "one_sided", "monotone"])
def test_other_constraints_hold(rng, constraint):
    stages = network(rng, (4, 12, 4), "tanh", scale=0.4)
    skip = Stage(np.vstack([stages[0].matrix, np.eye(4)]), np.zeros(16),
                 (("tanh", 0, 12), ("identity", 12, 16)))  # fmt: skip
    last = Stage(np.hstack([stages[1].matrix, 1.5 * np.eye(4)]), np.zeros(4), (("identity", 0, 4),))
    found = certify_stages([skip, last], constraint=constraint)
    assert found.verified
    a, b = rng.standard_normal((2, 50_000, 4))
    b[::2] = a[::2] + 1e-3 * b[::2]
    x, f = a - b, forward([skip, last], a) - forward([skip, last], b)
    square = np.sum(x * x, axis=1)
    if constraint == "lower":
        rate = np.sqrt(np.sum(f * f, axis=1) / square)
    else:
        rate = np.sum(x * f, axis=1) / square
    if constraint == "one_sided":
        assert rate.max() <= found.bound <= rate.max() + 0.5
    else:
        assert rate.min() - 0.5 <= found.bound <= rate.min()
        assert found.bound > 0


def test_closed_form_is_below_the_product(rng):
    for _ in range(50):
        stages = network(rng, (6, 15, 15, 4))
        each = [most for _, most in unit_slopes(stages, None)]
        product = np.prod([np.linalg.norm(stage.matrix, 2) for stage in stages])
        assert closed_form(stages, each)[0] <= product * (1 + 1e-9)


def test_two_networks_side_by_side(rng):
    f, g = network(rng, (3, 6, 2)), network(rng, (3, 5, 4, 2), "tanh")
    x = rng.standard_normal((20, 3))
    expected = forward(f, x) - forward(g, x)
    assert_allclose(forward(side_by_side(f, g), x), expected, atol=1e-12)


@pytest.fixture(scope="module")
def models():
    x, y = load_iris(return_X_y=True)
    x = x[:, :4]
    model = BCDClassifier((16,), random_state=0).fit(x, y)
    return x, y, model, compress(model, x, y, ratio=3, random_state=0)


@pytest.mark.parametrize("kind", ["box", "ball", "large"])
def test_no_difference_exceeds_its_bound(models, rng, kind):
    x, _, model, small = models
    if kind == "ball":
        region = (x[3], 0.5)
        points = Ball(x[3], 0.5).sample(50_000, rng)
    else:
        low, high = (x.min(axis=0), x.max(axis=0)) if kind == "large" else (x[3] - 0.1, x[3] + 0.1)
        region = low, high
        points = Box(low, high).sample(50_000, rng)
    found = certify_difference(model, small, region)
    outputs = [m.network_.forward(points) for m in (model, small)]
    apart = np.abs(outputs[0] - outputs[1]).max(axis=0)
    assert np.all(apart <= found.bound)
    assert np.all(found.found <= found.bound)
    assert np.all(found.found >= 0.9 * apart)  # the search is as good as many random points
    assert found.largest == found.bound.max()
    assert f"output 0: at most {found.bound[0]:.4g}" in str(found)


def test_mean_squares_of_distributions(models, rng):
    x, _, model, small = models
    found = certify_difference(model, small, Moments(x.mean(axis=0), x.var(axis=0)))
    outputs = [m.network_.forward(x) for m in (model, small)]
    square = np.sqrt(np.mean((outputs[0] - outputs[1]) ** 2, axis=0))
    assert np.all(square <= found.bound)


@pytest.mark.parametrize("norm", ["2", "inf"])
def test_no_attack_within_the_robust_radius(models, rng, norm):
    x, _, model, _ = models
    rows = x[::30]
    radius = robust_radius(model, rows, norm=norm)
    assert radius.max() > 0.05
    for row, r in zip(rows[:3], radius[:3], strict=True):
        assert is_robust(model, row[None], r, norm=norm)[0]
        assert not is_robust(model, row[None], 3 * r, norm=norm)[0]
    for row, r in zip(rows, radius, strict=True):
        region = Ball(row, r) if norm == "2" else Box(row - r, row + r)
        assert np.all(model.predict(region.sample(2000, rng)) == model.predict(row[None]))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("scaler", [StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler])
def test_scalers_of_a_pipeline_are_part_of_the_network(scaler, rng):
    x, y = make_moons(200, noise=0.1, random_state=0)
    x = x * [100, 0.01] + [7, 3]
    model = make_pipeline(scaler(), MLPClassifier((10,), random_state=0, max_iter=300)).fit(x, y)
    found = certify(model, (x.min(axis=0), x.max(axis=0)))
    a, b = rng.uniform(x.min(axis=0), x.max(axis=0), (2, 5000, 2))
    change = np.linalg.norm(forward(stages_in(model), a) - forward(stages_in(model), b), axis=1)
    assert np.all(change <= found.bound * np.linalg.norm(a - b, axis=1) * (1 + 1e-9))
    logits = forward(stages_in(model), a)
    p = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1])) if logits.shape[1] == 2 else None
    if p is not None:
        assert_allclose(p, model.predict_proba(a)[:, 1], atol=1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_models_of_all_kinds():
    x, y = make_moons(300, noise=0.1, random_state=0)
    regression = MLPRegressor(
        hidden_layer_sizes=(8,), activation="tanh", max_iter=500, random_state=0
    ).fit(x, y)
    assert certify(regression).bound > 0
    encoded = BCDClassifier((16,), random_state=0).fit(x, y)
    found = certify(encoded)
    assert found.reached <= found.bound
    assert "2-norm" in str(found)
    assert "proven" in str(found)
    assert float(found) == found.bound
    assert certify(encoded.network_).bound == pytest.approx(found.bound)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "sdp"}, "method must be one of 'auto', 'product'"),
        ({"constraint": "lip"}, "constraint must be one of"),
        ({"norm": "1"}, "norm must be one of '2', 'inf'; got '1'"),
        ({"max_seconds": -1}, "max_seconds must be"),
        ({"region": 3}, "region must be None, a pair"),
        ({"region": (np.zeros(3), np.ones(3))}, r"shape \(3,\), the network takes 4"),
        ({"region": (np.ones(4), np.zeros(4))}, "low is above high in column 0"),
        ({"region": (np.zeros(4), np.full(4, np.inf))}, "must be finite"),
        ({"region": (np.zeros(4), -1.0)}, "radius must be positive"),
        ({"constraint": "monotone"}, "4 inputs and 3 outputs"),
        ({"constraint": "lower", "norm": "inf"}, "norm='inf' bounds Lipschitz constants"),
        ({"constraint": "lower", "method": "product"}, "method='product' bounds"),
    ],
)
def test_wrong_calls(models, arguments, message):
    with pytest.raises(ValueError, match=message):
        certify(models[2], **arguments)


def test_wrong_models(models):
    x, y, model, _ = models
    other = BCDClassifier((4,), random_state=0).fit(x[:, :2], y)
    with pytest.raises(ValueError, match="Compare networks of the same inputs"):
        certify_difference(model, other, (x[0], 1.0))
    with pytest.raises(ValueError, match="without a region the difference has no bound"):
        certify_difference(model, model, None)
    with pytest.raises(ValueError, match="mean has shape"):
        certify_difference(model, model, Moments(np.zeros(2), np.ones(4)))
    with pytest.raises(ValueError, match="the network takes 4 inputs"):
        robust_radius(model, x[:, :2])
    with pytest.raises(ValueError, match="max_radius must be positive"):
        robust_radius(model, x, max_radius=0)
    with pytest.raises(ValueError, match="radius must be positive"):
        is_robust(model, x, -1.0)
    bent = make_pipeline(PolynomialFeatures(), BCDClassifier((4,), random_state=0)).fit(x, y)
    with pytest.raises(ValueError, match="PolynomialFeatures, is no scaler"):
        certify(bent)


def test_too_large_networks_get_the_product_and_are_told(monkeypatch, models):
    from fastbcd.inspection.certificates import certify as module

    monkeypatch.setattr(module, "MOST_UNITS", 5)
    found = certify(models[2])
    assert found.method == "product"
    assert "too many for method 'auto'" in found.note
    assert found.note in str(found)
