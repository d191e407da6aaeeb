"""What compress must not get wrong: units, few rows, several labels, budgets, and what it says."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
from scipy.special import expit
from sklearn.datasets import load_digits, load_iris, make_friedman1
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPClassifier, MLPRegressor

from fastbcd import compress
from fastbcd.exceptions import BudgetError, BudgetWarning
from fastbcd.schemes import LowRank, Prune, Quantize
from fastbcd.solvers.refine.batches import Batches
from fastbcd.solvers.refine.targets import Targets

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def regression():
    x, first = make_friedman1(900, noise=0.1, random_state=0)
    second = np.sin(3 * x[:, 0]) * x[:, 1] - x[:, 2] ** 2
    y = np.c_[first, second]
    y = (y - y.mean(axis=0)) / y.std(axis=0)
    mlp = MLPRegressor(hidden_layer_sizes=(32,), solver="lbfgs", max_iter=400, random_state=0)
    return x, y, mlp.fit(x, y)


def in_units(mlp, units, offsets):
    """Return the same network with outputs in other units."""
    other = copy.deepcopy(mlp)
    other.coefs_[-1] = mlp.coefs_[-1] * units
    other.intercepts_[-1] = mlp.intercepts_[-1] * units + offsets
    return other


@pytest.mark.parametrize("labelled", [False, True], ids=["no y", "y"])
@pytest.mark.parametrize(
    "budget",
    [{"ratio": 6}, {"scheme": Prune(sparsity=0.7)}, {"scheme": LowRank(rank=6)},
     {"scheme": Prune(sparsity=0.5) + Quantize(bits=5)}],
    ids=["ratio", "prune", "low rank", "codes"],
)  # fmt: skip
@pytest.mark.parametrize("units", [(1e4, 1.0), (1.0, 1e-5), (1e-3, 1e3)])
def test_every_output_counts_in_its_own_unit(units, budget, labelled, regression):
    x, y, mlp = regression
    scores = []
    for unit, offset in ((np.ones(2), np.zeros(2)), (np.array(units), 10 * np.array(units))):
        goal = y * unit + offset
        targets = goal if labelled else None
        model = in_units(mlp, unit, offset)
        small = compress(model, x, targets, epochs=2, random_state=0, **budget)
        scores.append(r2_score(goal, small.predict(x), multioutput="raw_values"))
    alike, unlike = scores
    np.testing.assert_allclose(unlike, alike, atol=0.06)


@pytest.mark.parametrize("labelled", [False, True], ids=["no y", "y"])
@pytest.mark.parametrize("ratio", [3, 5])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_few_unscaled_rows_are_not_refined_to_something_worse(seed, ratio, labelled):
    x, y = load_iris(return_X_y=True)
    mlp = MLPClassifier((16,), max_iter=300, random_state=seed).fit(x, y)
    truth = y if labelled else mlp.predict(x)
    targets = y if labelled else None
    plain = compress(mlp, x, targets, ratio=ratio, epochs=0, random_state=0)
    small = compress(mlp, x, targets, ratio=ratio, epochs=5, random_state=0)
    assert small.score(x, truth) >= plain.score(x, truth)


@pytest.mark.parametrize("n", [4, 40])
def test_a_score_of_few_rows_is_called_one(n):
    rng = np.random.default_rng(0)
    x = np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (n // 4, 1)) + 0.01 * rng.normal(size=(n, 2))
    y = np.tile([0, 1, 1, 0], n // 4)
    mlp = MLPClassifier((8,), solver="lbfgs", random_state=0, max_iter=500).fit(x, y)
    with pytest.warns(BudgetWarning, match=f"judged on {n} rows, one of which changes the score"):
        small = compress(mlp, x, y, max_score_drop=0.0, epochs=1, random_state=0)
    assert small.score(x, y) == mlp.score(x, y)
    assert f"judged on {n} rows" in small.compression_report_.warnings


# Several labels per row


def test_the_pull_of_several_labels_is_the_negative_gradient():
    rng = np.random.default_rng(0)
    dense, u = rng.normal(size=(2, 5, 3))
    labels = (rng.random((5, 3)) < 0.5).astype(float)
    targets = Targets(dense, labels, True, trust=0.3, smoothing=0.1, several=True)
    rows = np.arange(5)
    hard = 0.9 * labels + 0.05
    expected = 0.6 * (expit(dense / 2) - expit(u / 2)) + 0.7 * (hard - expit(u))
    np.testing.assert_allclose(targets.pull(u, rows), expected, atol=1e-12)
    step, found = 1e-6, np.empty_like(u)
    for place in np.ndindex(*u.shape):
        up, down = u.copy(), u.copy()
        up[place] += step
        down[place] -= step
        found[place] = (targets.loss(down, rows) - targets.loss(up, rows)) * 5 / (2 * step)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_several_labels_are_learnt_from():
    x, digit = load_digits(return_X_y=True)
    x = x / 16
    y = np.c_[digit % 2 == 0, digit > 4, digit % 3 == 0].astype(int)
    mlp = MLPClassifier((64,), max_iter=8, random_state=0).fit(x, y)
    own = compress(mlp, x, ratio=8, epochs=10, random_state=0).score(x, y)
    small = compress(mlp, x, y, ratio=8, epochs=10, random_state=0)
    assert small.score(x, y) > max(own, mlp.score(x, y)) + 0.05


# Dropped inputs


def test_dropped_inputs_become_their_mean_where_zero_is_far():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 3)) * [1.0, 1.0, 0.0] + [0.3, 50.0, 7.0]
    batches = Batches(x, np.arange(2000), 200, 0.25, np.random.RandomState(0))
    mean, n, dropped = np.zeros((3, 2)), 0, np.zeros(3)
    for _ in range(40):
        rows, v = batches.next(np.arange(3))
        kept = np.c_[x[rows, 0] * 4 / 3, (x[rows, 1] - x[:, 1].mean()) * 4 / 3 + x[:, 1].mean()]
        for column, gone in ((0, 0.0), (1, x[:, 1].mean())):
            is_gone = np.abs(v[column] - gone) < 1e-4
            np.testing.assert_allclose(
                v[column], np.where(is_gone, gone, kept[:, column]), rtol=1e-4
            )
            dropped[column] += is_gone.sum()
        np.testing.assert_allclose(v[2], 7.0, rtol=1e-6)
        mean[:, 0] += v.sum(axis=1)
        n += rows.size
    np.testing.assert_allclose(dropped[:2] / n, 0.25, atol=0.02)
    np.testing.assert_allclose(mean[:, 0] / n, x.mean(axis=0), atol=0.06)


# Budgets


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    x = x[:700, 8:40]
    return x, y[:700], MLPClassifier((32, 16), max_iter=60, random_state=0).fit(x, y[:700])


@pytest.mark.slow  # 30 s: curves of all kinds of schemes are measured at every width
@pytest.mark.parametrize("scheme", [None, Prune() + Quantize()], ids=str)
def test_neurons_go_with_every_kind_of_scheme(scheme, digits):
    _neurons_go(scheme, *digits)


def test_neurons_go_where_a_budget_asks_for_it(digits):
    _neurons_go(Prune(), *digits)


def _neurons_go(scheme, x, y, mlp):
    with pytest.raises(BudgetError, match=r"can be made is (\d+) bytes") as caught:
        compress(mlp, x, y, ratio=1e9, scheme=scheme, epochs=0)
    least = int(str(caught.value).split("can be made is ")[1].split()[0])
    scores = []
    for n_bytes in (least, 2 * least + 500):
        small = compress(mlp, x, y, max_bytes=n_bytes, scheme=scheme, epochs=1, random_state=0)
        assert small.network_.n_bytes <= n_bytes
        scores.append(small.score(x, y))
    assert scores[1] > scores[0] + 0.2
    with pytest.raises(BudgetError, match=f"can be made is {least} bytes"):
        compress(mlp, x, y, max_bytes=least - 1, scheme=scheme, epochs=0)


@pytest.mark.parametrize("scheme", [Quantize(), LowRank()], ids=str)
def test_neurons_stay_where_the_scheme_keeps_them_and_the_least_is_true(scheme, digits):
    x, y, mlp = digits
    with pytest.raises(BudgetError) as caught:
        compress(mlp, x, y, ratio=1e9, scheme=scheme, epochs=0)
    least = int(str(caught.value).split("can be made is ")[1].split()[0])
    small = compress(mlp, x, y, max_bytes=least, scheme=scheme, epochs=0)
    assert small.network_.n_bytes == least
    with pytest.raises(BudgetError):
        compress(mlp, x, y, max_bytes=least - 1, scheme=scheme, epochs=0)


def test_a_compressed_network_that_does_not_shrink_says_so(digits):
    x, y, mlp = digits
    once = compress(mlp, x, y, ratio=20, epochs=0, random_state=0)
    twice = compress(once, x, y, ratio=2, epochs=0, random_state=0)
    assert twice.network_.n_bytes > once.network_.n_bytes
    (text,) = [t for t in twice.compression_report_.warnings if "already compressed" in t]
    assert f"to {once.network_.n_bytes:,} bytes" in text
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        smaller = compress(once, x, y, max_bytes=once.network_.n_bytes // 2, epochs=0)
    for report in (once.compression_report_, smaller.compression_report_):
        assert not [t for t in report.warnings if "already compressed" in t]
