"""A fit whose steps lead nowhere ends in its last good network, and says so."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from fastbcd import BCDClassifier
from fastbcd.solvers.minibatch import refresh

X, y = load_digits(return_X_y=True)


class Failing:
    """An inverse that does not exist from some call on."""

    def __init__(self, inverse, good):
        self.inverse, self.left = inverse, good

    def __call__(self, matrix):
        self.left -= 1
        if self.left < 0:
            raise np.linalg.LinAlgError("no inverse")
        return self.inverse(matrix)


@pytest.mark.parametrize("good", [1, 10, 30])
def test_an_inverse_that_fails_again_after_a_step_back(good, monkeypatch):
    monkeypatch.setattr(refresh.blas, "spd_inverse", Failing(refresh.blas.spd_inverse, good))
    model = BCDClassifier((32,), solver="minibatch", random_state=0)
    with pytest.warns(ConvergenceWarning, match="diverging"):
        model.fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
    if good == 30:  # by then it had learnt something
        assert model.score(X, y) > 0.95


def test_a_stream_goes_on_after_an_inverse_that_fails(monkeypatch):
    inverse = refresh.blas.spd_inverse
    model = BCDClassifier((32,), random_state=0)
    for lo in range(0, 1200, 30):
        model.partial_fit(X[lo : lo + 30], y[lo : lo + 30], classes=range(10))
    before = model.predict_proba(X)
    monkeypatch.setattr(refresh.blas, "spd_inverse", Failing(inverse, 0))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for lo in range(0, 900, 30):
            model.partial_fit(X[lo : lo + 30], y[lo : lo + 30])
    assert {str(warning.message).split(":")[0] for warning in told} == {
        "Steps of this partial_fit diverged and were undone"
    }
    assert np.isfinite(model.predict_proba(X)).all()
    monkeypatch.setattr(refresh.blas, "spd_inverse", inverse)
    for lo in range(0, 1200, 30):
        model.partial_fit(X[lo : lo + 30], y[lo : lo + 30])
    assert model.score(X, y) > (before.argmax(axis=1) == y).mean()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tables_of_zeros_and_ones_with_columns_that_say_the_same(dtype):
    rng = np.random.default_rng(0)
    columns = rng.integers(0, 2, (1200, 6))
    x = np.c_[columns, columns, 1 - columns].astype(dtype)
    model = BCDClassifier((64, 64), solver="minibatch", random_state=0).fit(x, columns[:, 0])
    assert model.score(x, columns[:, 0]) == 1
