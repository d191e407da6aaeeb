"""Codebooks and combinations in the loop: both solvers, compress, and scikit-learn's tools."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from fastbcd import BCDClassifier, BCDRegressor
from fastbcd.schemes import LowRank, Prune, Quantize, TensorTrain
from fastbcd.utils import rows as _inputs
from fastbcd.utils.rows import plainly_right

SCHEMES = [
    Quantize(bits=2),
    Quantize(bits=3, per="column"),
    Quantize(bits=4, method="uniform"),
    Quantize(method="binary", per="column"),
    Quantize(method="ternary"),
    Prune(sparsity=0.7) + Quantize(bits=3),
    LowRank(rank=8) + Quantize(bits=4),
    LowRank(rank=4) + Prune(density=0.15),
    TensorTrain(rank=8) + Quantize(bits=4),
    LowRank(rank=4) + Prune(density=0.15) + Quantize(bits=4),
]
KINDS = ["codebook"] * 5 + [
    "codebook_sparse", "codebook_train", "sum", "codebook_train", "sum",
]  # fmt: skip

each_scheme = pytest.mark.parametrize(
    ("scheme", "kind"), list(zip(SCHEMES, KINDS, strict=True)), ids=str
)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


@pytest.fixture(scope="module")
def dense(digits):
    X, y = digits
    return BCDClassifier((32, 16), solver="minibatch", max_iter=60, random_state=0).fit(X, y)


def fit(classifier, *data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return classifier.fit(*data)


@each_scheme
def test_the_objective_never_rises_with_codebooks_in_the_loop(scheme, kind, digits):
    X, y = digits
    classifier = BCDClassifier(
        (12, 16), solver="full", scheme=scheme, tau=50.0, max_iter=12, accelerate=False,
        certificate=True, random_state=0,
    )  # fmt: skip
    fit(classifier, X[:250], y[:250])
    assert [layer.kind for layer in classifier.layers_] == [kind, kind, "dense"]
    curve = classifier.objective_curve_
    assert np.all(np.diff(curve) <= 1e-12 * curve[0])
    for steps in classifier.convergence_.block_steps:
        assert all(step.decrease >= -1e-9 * curve[0] for step in steps)


@each_scheme
def test_a_fit_on_batches_learns_with_codebooks(scheme, kind, digits):
    X, y = digits
    classifier = BCDClassifier(
        (32, 16), solver="minibatch", scheme=scheme, max_iter=40, random_state=0
    )
    fit(classifier, X[:1300], y[:1300])
    assert [layer.kind for layer in classifier.layers_] == [kind, kind, "dense"]
    hard = scheme in (SCHEMES[0], SCHEMES[3], SCHEMES[4])
    assert classifier.score(X[1300:], y[1300:]) > (0.75 if hard else 0.8)
    report = classifier.compression_report_
    assert report.total.n_bytes < report.total.dense_bytes


@each_scheme
def test_a_trained_network_is_compressed_with_and_without_data(scheme, kind, dense, digits):
    X, y = digits
    before = [weight.copy() for weight in dense.coefs_]
    blind = dense.compress(scheme=scheme)
    seen = dense.compress(X[:500], y[:500], scheme=scheme, epochs=0)
    for small in (blind, seen):
        assert [layer.kind for layer in small.layers_] == [kind, kind, "dense"]
        assert small.predict(X[:5]).shape == (5,)
        again = pickle.loads(pickle.dumps(small))
        np.testing.assert_array_equal(again.predict_proba(X[:9]), small.predict_proba(X[:9]))
    for weight, untouched in zip(dense.coefs_, before, strict=True):
        np.testing.assert_array_equal(weight, untouched)


def test_weights_take_no_more_values_than_were_asked_for(dense):
    small = dense.compress(scheme=Quantize(bits=3))
    for weight in small.coefs_[:-1]:
        assert np.unique(weight).size <= 8
    both = dense.compress(scheme={0: Prune(sparsity=0.8) + Quantize(bits=2), "output": Quantize(2)})
    first, middle, last = both.coefs_
    assert np.count_nonzero(first) == round(0.2 * first.size)
    assert np.unique(first[first != 0]).size <= 4
    assert np.unique(middle).size > 100
    assert np.unique(last).size <= 4


def test_a_regressor_is_trained_on_a_codebook():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 5))
    y = 100 + 10 * np.maximum(X[:, 0], 0) - 20 * X[:, 1]
    schemes = {0: Quantize(bits=4), "output": Quantize(bits=4, method="uniform")}
    regressor = fit(BCDRegressor((20,), scheme=schemes, max_iter=300, random_state=0), X, y)
    assert regressor.score(X, y) > 0.9
    assert np.unique(regressor.coefs_[0]).size <= 16


def test_a_grid_search_reaches_the_bits_and_the_parts_of_a_combination(digits):
    X, y = digits[0][:300], digits[1][:300]
    base = BCDClassifier((10,), solver="minibatch", max_iter=3, random_state=0)
    for scheme, grid in (
        (Quantize(bits=1), {"scheme__bits": [1, 4]}),
        (
            Prune(sparsity=0.5) + Quantize(bits=1),
            {"scheme__quantize__bits": [1, 4], "scheme__prune__sparsity": [0.3, 0.6]},
        ),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            search = GridSearchCV(clone(base).set_params(scheme=scheme), grid, cv=2).fit(X, y)
        assert set(search.best_params_) == set(grid)
        kind = "codebook" if isinstance(scheme, Quantize) else "codebook_sparse"
        assert search.best_estimator_.layers_[0].kind == kind
        for name, values in grid.items():
            assert set(search.cv_results_[f"param_{name}"].tolist()) == set(values)


def test_a_scheme_that_fits_no_layer_is_refused_before_the_fit(digits):
    X, y = digits
    for bad, said in (
        (Quantize(), "bits, levels"),
        (Prune(sparsity=0.5) + Quantize(bits=99), "bits=99"),
        (LowRank(rank=9) + Quantize(bits=4), "rank"),
    ):
        with pytest.raises(ValueError, match=said):
            BCDClassifier((6,), scheme=bad).fit(X, y)


def test_a_budget_chooses_the_bits(dense, digits):
    X, y = digits
    small = dense.compress(X[:300], y[:300], scheme=Quantize(), max_bytes=5000, epochs=0)
    assert small.compression_report_.total.n_bytes <= 5000
    assert small.layers_[0].kind == "codebook"


def test_inputs_that_are_plainly_right_are_used_and_all_others_checked(dense, digits, monkeypatch):
    X = digits[0][:70]
    expected = dense.predict_proba(X)
    calls = []

    def spied(estimator, X):
        calls.append(plainly_right(estimator, X))
        return calls[-1]

    monkeypatch.setattr(_inputs, "plainly_right", spied)
    wide = np.zeros((70, 128))
    wide[:, ::2] = X
    for given, plain in (
        (X, True),
        (X.astype(np.float32), True),
        (X.astype(np.float16), False),
        (X.tolist(), False),
        (np.asfortranarray(X), False),
        (wide[:, ::2], False),
    ):
        np.testing.assert_allclose(dense.predict_proba(given), expected, atol=1e-2)
        assert calls.pop() == plain
    for bad in (np.nan, np.inf, -np.inf):
        wrong = X.copy()
        wrong[3, 5] = bad
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            dense.predict(wrong)
    for shape in ((5, 63), (64,), (5, 64, 1), (0, 64)):
        with pytest.raises(ValueError, match=r"."):
            dense.predict(np.zeros(shape))
    dense.predict(np.full((1, 64), 1e200))  # finite, though its square is not
    with pytest.raises(ValueError, match="not fitted"):
        BCDClassifier().predict(X)
