"""Differences of networks: bounds of pairs of units hold, and are close where units are alike."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_diabetes, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from fastbcd import (
    BCDClassifier,
    BCDRegressor,
    certify,
    certify_difference,
    compress,
    load,
    robust_radius,
)
from fastbcd.certificates import Ball, Box
from fastbcd.exceptions import BudgetError
from fastbcd.inspection.certificates.difference import difference_of
from fastbcd.inspection.certificates.lipschitz import norm_product
from fastbcd.inspection.certificates.maxima import pool_stages
from fastbcd.inspection.certificates.pairs import paired_bounds
from fastbcd.inspection.certificates.pattern import gradients_at, jacobian_at
from fastbcd.inspection.certificates.relaxation import preactivation_bounds
from fastbcd.inspection.certificates.slopes import KINKS, TURNS
from fastbcd.inspection.certificates.stages import Stage, forward, side_by_side
from fastbcd.layers import Conv2D, MaxPool2D
from fastbcd.network.layers.pooling import MaxPool
from fastbcd.schemes import Quantize


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def network(rng, sizes, activation="relu"):
    stages = []
    for number, (p, q) in enumerate(pairwise(sizes)):
        name = activation if number < len(sizes) - 2 else "identity"
        matrix = 1.5 * rng.standard_normal((q, p)) / np.sqrt(p)
        stages.append(Stage(matrix, 0.3 * rng.standard_normal(q), ((name, 0, q),)))
    return stages


def changed(rng, stages, size):
    return [
        Stage(
            stage.matrix + size * rng.standard_normal(stage.matrix.shape),
            stage.bias + size * rng.standard_normal(stage.bias.shape),
            stage.activations,
        )
        for stage in stages
    ]


def without_units(rng, stages, number, keep):
    """Return the network with some units of a stage only, in another order."""
    order = rng.permutation(len(stages[number].bias))[:keep]
    found = list(stages)
    one, after = stages[number], stages[number + 1]
    name = one.activations[0][0]
    found[number] = Stage(one.matrix[order], one.bias[order], ((name, 0, keep),))
    found[number + 1] = Stage(after.matrix[:, order], after.bias, after.activations)
    return found


@pytest.mark.parametrize("activation", [*KINKS, *TURNS])
@pytest.mark.parametrize("size", [0.0, 1e-3, 0.3])
@pytest.mark.parametrize("kind", ["ball", "box", "large"])
def test_no_difference_exceeds_the_bounds_of_pairs(rng, activation, size, kind):
    f = network(rng, (4, 12, 9, 3), activation)
    center = rng.standard_normal(4)
    half = {"box": 0.2, "large": 3.0}.get(kind, 0.5)
    region = Ball(center, half) if kind == "ball" else Box(center - half, center + half)
    for g in (changed(rng, f, size), without_units(rng, changed(rng, f, size), 0, 8)):
        bounds = paired_bounds(f, g, region)
        x = region.sample(20_000, rng)
        apart = forward(f, x) - forward(g, x)
        assert np.all(apart >= bounds.low)
        assert np.all(apart <= bounds.high)


@pytest.mark.parametrize("shuffled", [False, True])
def test_bounds_vanish_with_the_difference(rng, shuffled):
    """Side by side, two equal networks are any two networks; their units in pairs are one."""
    f = network(rng, (6, 20, 15, 2))
    region = Box(np.full(6, -1.0), np.full(6, 1.0))
    alone = preactivation_bounds(side_by_side(f, f), region)[-1].high.max()
    assert alone > 1
    g = without_units(rng, f, 0, 20) if shuffled else f
    assert paired_bounds(f, g, region).high.max() < 1e-8
    previous = alone
    for size in (1e-2, 1e-4, 1e-6):
        now = paired_bounds(f, changed(rng, f, size), region).high.max()
        assert now < 0.1 * previous
        previous = now


def test_networks_of_other_depths_have_bounds(rng):
    f, g = network(rng, (3, 8, 2)), network(rng, (3, 7, 5, 2), "tanh")
    region = Box(np.zeros(3), np.ones(3))
    found = difference_of(f, g, region, multipliers=False)
    x = region.sample(5000, rng)
    assert np.all(np.abs(forward(f, x) - forward(g, x)) <= found.bound)


def test_gradients_are_rows_of_the_jacobian(rng):
    stages = network(rng, (5, 8, 7, 3), "tanh")
    x = rng.standard_normal((6, 5))
    output = np.array([0, 1, 2, 2, 0, 1])
    expected = [jacobian_at(stages, row)[j] for row, j in zip(x, output, strict=True)]
    assert_allclose(gradients_at(stages, x, output), expected, rtol=1e-12)


@pytest.fixture(scope="module")
def iris():
    x, y = load_iris(return_X_y=True)
    return x, y, BCDClassifier((16,), random_state=0).fit(x, y)


def test_the_report_holds_the_certificates(iris, tmp_path):
    x, y, model = iris
    region = (x[0] - 0.1, x[0] + 0.1)
    small = compress(model, x, y, ratio=3, certify=region, random_state=0)
    report = small.compression_report_
    found = report.certified
    assert found.lipschitz_before == pytest.approx(certify(model, region).bound, rel=1e-6)
    assert found.lipschitz_after == pytest.approx(certify(small, region).bound, rel=1e-6)
    expected = certify_difference(model, small, region)
    assert_allclose(found.difference, expected.bound, rtol=1e-6)
    assert found.largest == max(found.difference)
    assert f"certified on the box given: outputs differ by at most {found.largest:.4g}" in str(
        report
    )
    html = report._repr_html_()
    assert "Certified difference from the dense network" in html
    assert f"{found.difference[1]:.4g}, {found.found[1]:.4g}" in html
    small.save(tmp_path / "small.fastbcd")
    assert load(tmp_path / "small.fastbcd").compression_report_.certified == found
    plain = compress(model, x, y, ratio=3, random_state=0).compression_report_
    assert plain.certified is None
    assert "ertified" not in str(plain) + plain._repr_html_()


def test_true_is_the_box_of_the_rows(iris):
    x, _, model = iris
    small = compress(model, x, ratio=2, certify=True, epochs=0, random_state=0)
    found = small.compression_report_.certified
    assert found.region == "the box of the 150 rows"
    expected = certify_difference(model, small, (x.min(axis=0), x.max(axis=0)))
    assert_allclose(found.difference, expected.bound, rtol=1e-6)


@pytest.mark.slow  # two searches, each with refinements
def test_a_bound_of_the_difference_is_a_budget(iris, rng):
    x, _, model = iris
    region = Box(x.min(axis=0), x.max(axis=0))
    sizes = []
    for error in (1.0, 10.0):
        small = compress(
            model, x, max_error=error, certify=(region.low, region.high), random_state=0
        )
        report = small.compression_report_
        assert report.certified.largest <= error
        points = region.sample(20_000, rng)
        apart = model.network_.forward(points) - small.network_.forward(points)
        assert np.abs(apart).max() <= error
        sizes.append(report.total.n_bytes)
    assert sizes[1] < sizes[0] < model.network_.n_bytes


def test_units_of_the_outputs_are_those_of_the_targets(rng):
    x, y = load_diabetes(return_X_y=True)
    y = np.column_stack([y, 1000 * y])
    model = BCDRegressor((8,), random_state=0).fit(x, y)
    small = compress(model, x, max_error=20_000, certify=True, epochs=0, random_state=0)
    found = small.compression_report_.certified
    assert found.largest <= 20_000
    points = Box(x.min(axis=0), x.max(axis=0)).sample(5000, rng)
    apart = np.abs(model.predict(points) - small.predict(points)).max(axis=0)
    assert np.all(apart <= np.array(found.difference) * (1 + 1e-5))
    assert apart[1] > 1e-3 * found.difference[1]


def test_regions_of_a_pipeline_are_those_of_its_columns(iris):
    x, y, _ = iris
    model = make_pipeline(StandardScaler(), BCDClassifier((8,), random_state=0)).fit(x, y)
    region = (x[0] - 0.1, x[0] + 0.1)
    small = compress(model, x, y, ratio=2, certify=region, epochs=0, random_state=0)
    found = small.compression_report_.certified
    assert_allclose(found.difference, certify_difference(model, small, region).bound, rtol=1e-4)
    with pytest.raises(ValueError, match="makes no ball of a ball"):
        compress(model, x, y, ratio=2, certify=(x[0], 0.1), random_state=0)
    one = make_pipeline(StandardScaler(with_std=False), BCDClassifier((8,), random_state=0))
    one.fit(x, y)
    small = compress(one, x, y, ratio=2, certify=(x[0], 0.1), epochs=0, random_state=0)
    found = small.compression_report_.certified
    assert found.region == "a ball of radius 0.1"
    assert_allclose(found.difference, certify_difference(one, small, (x[0], 0.1)).bound, rtol=1e-5)
    bent = make_pipeline(PolynomialFeatures(), BCDClassifier((4,), random_state=0)).fit(x, y)
    with pytest.raises(ValueError, match="PolynomialFeatures, is no scaler"):
        compress(bent, x, y, ratio=2, certify=(x[0], 0.1), random_state=0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_error": 1.0}, ValueError, "max_error=1.0 bounds the difference for every input"),
        ({"max_error": 0.0, "certify": True}, ValueError, "max_error must be a number above 0"),
        ({"max_error": 1.0, "ratio": 2}, ValueError, "ratio and max_error given"),
        ({"max_error": 1e-9, "certify": True}, BudgetError, "the least certified difference"),
        ({"ratio": 2, "certify": (np.zeros(3), 1.0)}, ValueError, "certify: its first array"),
        ({"ratio": 2, "certify": 3}, ValueError, "certify must be None, a pair"),
    ],
)
def test_wrong_calls(iris, options, error, message):
    with pytest.raises(error, match=message):
        compress(iris[2], iris[0], epochs=0, random_state=0, **options)


@pytest.mark.parametrize(
    ("shape", "window"), [((4, 6, 2), (2, 2)), ((7, 5, 1), (3, 2)), ((3, 4, 3), (1, 4))]
)
def test_max_pooling_is_its_stages(rng, shape, window):
    pool = MaxPool(shape, window)
    stages = pool_stages(pool)
    x = rng.standard_normal((50, pool.n_in))
    assert_allclose(forward(stages, x), pool.forward(x), atol=1e-14)
    assert stages[0].whole == (len(stages), 1.0)
    slopes = [np.ones(len(stage.bias)) for stage in stages]
    assert norm_product(stages, slopes) == 1.0


@pytest.mark.slow  # trains a convolution, and searches multipliers
def test_networks_with_max_pooling_have_certificates(rng):
    x = rng.uniform(0, 1, (300, 36))
    y = (x.reshape(-1, 6, 6)[:, :3].sum(axis=(1, 2)) > 9).astype(int)
    model = BCDClassifier(
        (Conv2D(3, 3), MaxPool2D(2), 8), input_shape=(6, 6, 1), random_state=0
    ).fit(x, y)
    region = Box(x[0] - 0.05, x[0] + 0.05)
    a, b = region.sample(4000, rng), region.sample(4000, rng)
    outputs = [model.network_.forward(each) for each in (a, b)]
    change = np.linalg.norm(outputs[0] - outputs[1], axis=1)
    length = np.linalg.norm(a - b, axis=1)
    for method in ("product", "neuron"):
        found = certify(model, region, method=method, max_seconds=2)
        assert found.verified
        assert np.all(change <= found.bound * length * (1 + 1e-6))
    small = compress(model, x, y, scheme=Quantize(bits=4), epochs=0, random_state=0)
    apart = certify_difference(model, small, (region.low, region.high), max_seconds=2)
    truth = np.abs(outputs[0] - small.network_.forward(a)).max(axis=0)
    assert np.all(truth <= apart.bound)
    assert np.all(apart.bound < 20 * apart.found)
    assert robust_radius(model, x[:1], max_seconds=0.1)[0] > 0
