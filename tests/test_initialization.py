"""The starting distributions: their moments, their names, and their way into a fit."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits

from fastbcd import BCDClassifier
from fastbcd.solvers.starts import GAIN, INITS, UNIFORM_BOUND, initial_weights, orthogonal

VARIANCE = {
    "orthogonal": lambda n_in, n_out: 1 / max(n_in, n_out),
    "xavier_normal": lambda n_in, n_out: 2 / (n_in + n_out),
    "xavier_uniform": lambda n_in, n_out: 2 / (n_in + n_out),
    "lecun_normal": lambda n_in, n_out: 1 / n_in,
    "lecun_uniform": lambda n_in, n_out: 1 / n_in,
    "kaiming_normal": lambda n_in, n_out: 2 / n_in,
    "kaiming_uniform": lambda n_in, n_out: 2 / n_in,
    "uniform": lambda n_in, n_out: UNIFORM_BOUND**2 / 3,
}


def test_every_distribution_is_tested():
    assert set(VARIANCE) == set(INITS)


@pytest.mark.parametrize("shape", [(300, 100), (100, 300)])
@pytest.mark.parametrize("init", INITS)
def test_mean_and_variance_are_those_of_the_field(init, shape):
    (weight,) = initial_weights(init, [shape], np.random.RandomState(0))
    variance = GAIN**2 * VARIANCE[init](*shape)
    assert weight.shape == shape
    assert_allclose(np.mean(weight**2), variance, rtol=0.05)
    assert abs(weight.mean()) < 4 * np.sqrt(variance / weight.size)
    if "uniform" in init:
        assert np.abs(weight).max() <= np.sqrt(3 * variance)
        assert np.abs(weight).max() > 0.99 * np.sqrt(3 * variance)
    elif "normal" in init:
        assert np.abs(weight).max() > 3 * np.sqrt(variance)


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5)])
def test_orthogonal_has_one_singular_value(shape):
    (weight,) = initial_weights("orthogonal", [shape], np.random.RandomState(1), gain=0.7)
    assert_allclose(np.linalg.svd(weight, compute_uv=False), 0.7)
    assert_array_equal(weight, orthogonal(list(shape), np.random.RandomState(1), 0.7)[0])


def test_the_plain_uniform_start_is_the_published_one():
    (weight,) = initial_weights("uniform", [(200, 50)], np.random.RandomState(0))
    assert 0.0099 < np.abs(weight).max() <= 0.01


def test_a_fit_takes_the_distribution_it_is_told():
    x, y = load_digits(return_X_y=True)
    x, y = x[:200].astype(np.float32), y[:200]
    fitted = {
        init: BCDClassifier((12,), init=init, solver="full", tol=0.01, random_state=0).fit(x, y)
        for init in INITS
    }
    first = {init: clf.objective_curve_[0] for init, clf in fitted.items()}
    assert len(set(first.values())) == len(INITS)
    assert all(clf.score(x, y) > 0.9 for clf in fitted.values())


def test_an_unknown_distribution_is_refused_with_the_choices():
    x, y = load_digits(return_X_y=True)
    with pytest.raises(ValueError, match=r"init must be one of 'orthogonal', .*got 'he'"):
        BCDClassifier(init="he", solver="full").fit(x, y)
