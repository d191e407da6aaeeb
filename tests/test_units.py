"""Units of inputs, targets and weights do not matter, in either solver."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_friedman1

from fastbcd import BCDClassifier, BCDRegressor
from fastbcd.schemes import Prune

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SOLVERS = ["full", "minibatch"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", [*SOLVERS, "stream"])
def test_targets_far_from_zero_are_centred_before_they_are_rounded(solver, dtype):
    rng = np.random.RandomState(0)
    x = rng.randn(800, 2)
    y = 1_700_000_000 + 60.0 * x[:, 0] + 30.0 * x[:, 1]
    x = x.astype(dtype)
    if solver == "stream":
        model = BCDRegressor((32,), random_state=0)
        for lo in [*range(0, 600, 20)] * 3:
            model.partial_fit(x[lo : lo + 20], y[lo : lo + 20])
    else:
        model = BCDRegressor((32,), solver=solver, random_state=0).fit(x[:600], y[:600])
    error = np.abs(model.predict(x[600:]).astype(np.float64) - y[600:]).mean()
    assert error < (12 if solver == "stream" else 4)  # seconds, of a standard deviation of 67


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ordinary_targets_keep_the_type_of_the_data(dtype):
    x, y = make_friedman1(200, random_state=0)
    for solver in SOLVERS:
        model = BCDRegressor((4,), solver=solver, max_iter=3).fit(x.astype(dtype), 1e5 + 1e4 * y)
        assert model.predict(x.astype(dtype)).dtype == dtype


@pytest.mark.parametrize("solver", SOLVERS)
def test_features_of_unlike_scale_are_brought_together(solver):
    rng = np.random.RandomState(0)
    n = 1100
    x = np.c_[rng.uniform(18, 80, n), rng.lognormal(10.5, 0.7, n), rng.randint(0, 5, n)]
    y = ((x[:, 0] - 50) / 18 + (x[:, 2] - 2) / 1.4 + 0.2 * rng.randn(n) > 0).astype(int)
    raw = BCDClassifier((32,), solver=solver, random_state=0).fit(x[:600], y[:600])
    alike = (x - x[:600].mean(axis=0)) / x[:600].std(axis=0)
    scaled = BCDClassifier((32,), solver=solver, random_state=0).fit(alike[:600], y[:600])
    assert raw.score(x[600:], y[600:]) > scaled.score(alike[600:], y[600:]) - 0.03
    warm = raw.set_params(warm_start=True, max_iter=1).fit(x[:600], y[:600])
    assert warm.score(x[600:], y[600:]) > 0.9


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("unit", [1e-12, 1e-3, 0.5])
def test_only_relative_weights_matter(solver, unit):
    x, y = make_friedman1(300, noise=0.3, random_state=0)
    weight = np.random.default_rng(0).uniform(0.5, 1.5, 300)
    weight /= weight.mean()
    one, other = (
        BCDRegressor((8,), solver=solver, max_iter=20, random_state=0).fit(
            x, y, sample_weight=factor * weight
        )
        for factor in (1.0, unit)
    )
    np.testing.assert_allclose(other.predict(x), one.predict(x), rtol=1e-6)


def test_auto_looks_at_the_features_too():
    rng = np.random.RandomState(0)
    topic = rng.dirichlet(np.full(3000, 0.02), 3)
    y = rng.randint(0, 2, 300)
    counts = [rng.multinomial(60, topic[2]) + rng.multinomial(30, topic[c]) for c in y]
    x = sparse.csr_matrix(np.array(counts, float))
    scheme = Prune(sparsity=0.5)  # networks without a scheme race
    auto, batches = (
        BCDClassifier((8,), scheme=scheme, solver=solver, max_iter=5, random_state=0).fit(x, y)
        for solver in ("auto", "minibatch")
    )
    np.testing.assert_array_equal(auto.predict_proba(x), batches.predict_proba(x))
    few = x[:, :100].toarray()
    auto, full = (
        BCDClassifier((8,), scheme=scheme, solver=solver, max_iter=5, random_state=0).fit(few, y)
        for solver in ("auto", "full")
    )
    np.testing.assert_array_equal(auto.predict_proba(few), full.predict_proba(few))
