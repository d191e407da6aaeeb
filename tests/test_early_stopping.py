"""Rows that are held out can judge, and a judge that cannot does not decide."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_friedman1

from fastbcd import BCDClassifier, BCDRegressor
from fastbcd.utils.rows import hold_out

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = make_friedman1(400, random_state=0)


def test_one_row_cannot_judge_a_regression():
    model = BCDRegressor((8,), early_stopping=True, random_state=0)
    with pytest.raises(ValueError, match="validation_fraction"):
        model.set_params(validation_fraction=0.005).fit(X[:200], Y[:200])
    with pytest.raises(ValueError, match="X_val has 1"):
        model.fit(X, Y, X_val=X[:1], y_val=Y[:1])
    assert not hasattr(model, "network_")


@pytest.mark.parametrize("solver", ["full", "minibatch"])
def test_targets_that_do_not_vary_in_the_held_out_rows_judge_by_their_error(solver):
    model = BCDRegressor((16,), early_stopping=True, solver=solver, random_state=0)
    held = np.argsort(np.abs(Y - np.median(Y)))[:10]
    left = np.setdiff1d(np.arange(400), held)
    model.fit(X[left], Y[left], X_val=X[held], y_val=np.full(10, np.median(Y)))
    scores = model.validation_scores_
    assert len(set(scores)) == len(scores)  # R² would be 0 for each
    assert model.best_iter_ == 1 + int(np.argmax(scores))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("counts", [[200, 2], [90, 2, 3, 5], [50, 50], [30, 1, 2], [2, 2, 2, 2]])
def test_a_rare_class_is_on_both_sides(counts, share):
    labels = np.repeat(np.arange(len(counts)), counts)
    for seed in range(5):
        train, held = hold_out(labels.size, share, np.random.RandomState(seed), labels)
        np.testing.assert_array_equal(np.sort(np.r_[train, held]), np.arange(labels.size))
        inside, outside = (
            np.bincount(labels[rows], minlength=len(counts)) for rows in (train, held)
        )
        several = np.array(counts) > 1
        assert np.all(inside > 0)
        assert np.all(outside[several] > 0)
        fair = np.abs(outside - share * np.array(counts)) <= 1
        assert np.all(fair | (outside == 1) | (inside == 1))


def test_a_fit_holds_out_rows_of_each_class():
    rng = np.random.RandomState(0)
    y = np.r_[np.zeros(200, int), 1, 1]
    x = rng.randn(202, 3) + 8 * y[:, None]
    model = BCDClassifier((8,), early_stopping=True, random_state=0).fit(x, y)
    assert model.score(x, y) == 1


@pytest.mark.parametrize("name", ["early_stopping", "warm_start", "accelerate", "certificate"])
@pytest.mark.parametrize("value", ["yes", "False", 1, None])
def test_a_flag_is_true_or_false(name, value):
    with pytest.raises(ValueError, match=f"{name} must be True or False"):
        BCDClassifier((4,), **{name: value}).fit(X[:20], Y[:20] > 14)


def test_numpy_flags_are_flags():
    BCDClassifier((4,), accelerate=np.bool_(True), max_iter=2).fit(X[:20], Y[:20] > 14)
