"""Warnings point at the line of the user, from whatever depth."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbcd import BCDClassifier

X = np.random.default_rng(0).standard_normal((60, 3))
Y = (X[:, 0] > 0).astype(int)


def short():
    return BCDClassifier((4,), solver="full", max_iter=2, random_state=0)


@pytest.mark.parametrize(
    "make",
    [
        short,
        lambda: make_pipeline(StandardScaler(), short()),
        lambda: GridSearchCV(short(), {"gamma": [1.0]}, cv=2),
        lambda: GridSearchCV(make_pipeline(StandardScaler(), short()), {}, cv=2),
    ],
    ids=["alone", "pipeline", "search", "search of a pipeline"],
)
def test_a_convergence_warning_points_at_the_line_that_fits(make):
    model = make()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        line = inspect.currentframe().f_lineno + 1
        model.fit(X, Y)
    told = [w for w in caught if issubclass(w.category, ConvergenceWarning)]
    assert told
    assert {(w.filename, w.lineno) for w in told} == {(__file__, line)}
