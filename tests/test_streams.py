"""Streams whose first rows tell little: what is learnt does not depend on them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_friedman1
from sklearn.linear_model import SGDClassifier

from fastbcd import BCDClassifier, BCDRegressor
from fastbcd.schemes import Prune

X, Y = make_friedman1(2500, noise=0.3, random_state=0)
IRIS = load_iris(return_X_y=True)


def online(model, x, y, first, size, **options):
    model.partial_fit(x[:first], y[:first], **options)
    for lo in range(first, len(x), size):
        model.partial_fit(x[lo : lo + size], y[lo : lo + size])
    return model


@pytest.mark.parametrize("scheme", [None, {0: Prune(sparsity=0.3), "output": Prune(sparsity=0.1)}])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("first", [1, 2, 40])
def test_the_first_call_may_have_any_number_of_rows(first, unit, scheme):
    y = Y * unit
    model = BCDRegressor((16,), scheme=scheme, random_state=0)
    online(model, X[:1600], y[:1600], first, 16)
    assert model.score(X[2000:], y[2000:]) > (0.6 if scheme is None else 0.5)
    assert np.isfinite(model.objective_curve_).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_targets_that_vary_only_later(dtype):
    x = X.astype(dtype)
    y = 1e4 + 1e3 * np.c_[Y, -Y]
    y[:600, 1] = 7.0  # one output that is constant at first, in another unit
    model = online(BCDRegressor((24,), random_state=0), x, y, 300, 20)
    got = model.predict(x[1500:])
    error = np.mean(np.square(got - y[1500:]), axis=0) / y[1500:].var(axis=0)
    assert error.max() < 0.7  # of one


def test_features_that_vary_only_later_and_in_large_units():
    rng = np.random.default_rng(0)
    x = np.c_[rng.standard_normal((4000, 3)), 1e5 * rng.standard_normal(4000)]
    x[:700, 3] = 0.0
    y = (x[:, 0] + x[:, 3] / 1e5 > 0).astype(int)
    model = BCDClassifier((16,), random_state=0)
    online(model, x[:3500], y[:3500], 20, 20, classes=[0, 1])
    assert model.score(x[3500:], y[3500:]) > 0.9


def test_features_of_unlike_scale_and_one_row_per_call():
    rng = np.random.RandomState(0)
    n = 1500
    x = np.c_[rng.uniform(18, 80, n), rng.lognormal(10.5, 0.7, n), rng.randint(0, 5, n)]
    y = ((x[:, 0] - 50) / 18 + (x[:, 2] - 2) / 1.4 + 0.2 * rng.randn(n) > 0).astype(int)
    scores = []
    for first in (1, 2):
        model = BCDClassifier((16,), random_state=0)
        online(model, x[:500], y[:500], first, 1, classes=[0, 1])
        scores.append(model.score(x[500:], y[500:]))
    assert min(scores) > 0.85


def test_rare_large_targets_are_learnt_from():
    y = np.where(Y > 20, 50 * Y, Y)
    model = online(BCDRegressor((16,), random_state=0), X[:2000], y[:2000], 1, 4)
    assert np.isfinite(model.objective_curve_).all()
    assert model.score(X[2000:], y[2000:]) > 0.2


@pytest.mark.parametrize("weights", [{1: 5, 2: 3}, {0: 2, 1: 1, 2: 1}, {0: 0, 1: 1, 2: 1}])
def test_class_weights_are_about_all_classes(weights):
    x, y = IRIS
    for model in (SGDClassifier(class_weight=weights), BCDClassifier((8,), class_weight=weights)):
        model.partial_fit(x[::3], y[::3], classes=[0, 1, 2])
        model.partial_fit(x[20:60], y[20:60])  # no row of class 2


def test_a_class_weight_is_a_sample_weight_in_a_stream():
    x, y = IRIS
    one = BCDClassifier((8,), class_weight={1: 5, 2: 3}, random_state=0)
    other = BCDClassifier((8,), random_state=0)
    for part in (slice(0, 150, 3), slice(0, 60), slice(100, 150)):
        one.partial_fit(x[part], y[part], classes=[0, 1, 2])
        weight = np.array([1.0, 5.0, 3.0])[y[part]]
        other.partial_fit(x[part], y[part], classes=[2, 1, 0], sample_weight=weight)
    np.testing.assert_array_equal(one.predict_proba(x), other.predict_proba(x))


def test_fit_takes_class_weights_of_classes_without_weight():
    x, y = IRIS
    weight = (y != 1).astype(float)
    model = BCDClassifier(
        (8,), solver="full", class_weight={1: 5, 2: 3}, max_iter=5, random_state=0
    )
    with pytest.warns(UserWarning, match="falling"):
        model.fit(x, y, sample_weight=weight)
    assert model.classes_.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("params", "options", "names"),
    [
        ({}, {"classes": [0, 1, 2, 3]}, ["classes", "3"]),
        ({}, {"classes": [0, 1]}, ["classes"]),
        ({}, {"sample_weight": -np.ones(150)}, ["sample_weight"]),
        ({}, {"sample_weight": np.zeros(150)}, ["weight"]),
        ({"early_stopping": True}, {}, ["early_stopping"]),
        ({"class_weight": {1: -1.0}}, {}, ["class_weight", "-1"]),
        ({"class_weight": {0: 0, 1: 0, 2: 0}}, {}, ["class_weight"]),
        ({"solver": "full"}, {}, ["solver"]),
        ({"proximal": -1}, {}, ["proximal"]),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_refused_call_leaves_no_trace(params, options, names, first):
    x, y = IRIS
    model = BCDClassifier((8,), random_state=0)
    if not first:
        model.partial_fit(x, y, classes=[0, 1, 2])
    elif not params and "classes" in options:
        return  # the first call may name any classes
    model.set_params(**params)
    before = dict(vars(model))
    told = {"classes": [0, 1, 2], **options}
    with pytest.raises(ValueError, match=r"(?s)" + ".*".join(names)):
        model.partial_fit(x, y, **told)
    assert vars(model) == before
    model.set_params(class_weight=None, solver="auto", proximal=1.0, early_stopping=False)
    if first:  # nothing is remembered of the rows that were refused
        model.partial_fit(x[:, :3], y, classes=[0, 1, 2])
        assert model.n_features_in_ == 3


def test_a_refused_fit_leaves_the_fitted_model():
    x, y = IRIS
    model = BCDClassifier((8,), max_iter=3, solver="minibatch", random_state=0).fit(x, y)
    before = model.predict_proba(x)
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(x[:, :2], np.array(["a", "b", "c"])[y], sample_weight=-np.ones(150))
    np.testing.assert_array_equal(model.predict_proba(x), before)


def test_the_number_of_targets_is_that_of_the_first_call():
    model = BCDRegressor((4,), random_state=0).partial_fit(X[:50], Y[:50])
    with pytest.raises(ValueError, match="2 target"):
        model.partial_fit(X[:50], np.c_[Y[:50], Y[:50]])
