"""What the mini-batch solver makes of bad data, divergence and interruption."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits, make_friedman1
from sklearn.exceptions import ConvergenceWarning

from fastbcd import BCDClassifier, BCDRegressor
from fastbcd.layers import Conv2D
from fastbcd.schemes import Prune
from fastbcd.solvers import Monitor
from fastbcd.solvers.minibatch import MiniBatchSolver, Settings, train_minibatch
from fastbcd.solvers.stream.engine import Engine

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype(np.float32), y[order]
    return x[:1300], y[:1300], x[1300:], y[1300:]


def classifier(**changes):
    options = {"hidden_layer_sizes": (64,), "solver": "minibatch", "random_state": 0, **changes}
    return BCDClassifier(**options)


def stream(x, y, size, passes, **changes):
    clf = classifier(**changes)
    for _ in range(passes):
        for lo in range(0, len(x), size):
            clf.partial_fit(x[lo : lo + size], y[lo : lo + size], classes=np.arange(10))
    return clf


@pytest.mark.parametrize(("size", "passes", "least"), [(1, 1, 0.75), (3, 3, 0.88), (7, 5, 0.92)])
def test_batches_of_a_stream_smaller_than_the_number_of_classes(digits, size, passes, least):
    x, y, x_test, y_test = digits
    assert stream(x, y, size, passes).score(x_test, y_test) > least


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batches_of_a_fit_smaller_than_the_number_of_classes(digits, batch_size):
    x, y, x_test, y_test = digits
    network = fit(x, y, max_iter=3, batch_size=batch_size).network
    assert np.mean(network.forward(x_test).argmax(axis=1) == y_test) > 0.9


def test_classes_that_are_missing_from_early_batches(digits):
    x, y, x_test, y_test = digits
    order = np.argsort(y[:300], kind="stable")
    first = stream(x[order], y[order], 30, 1)
    assert np.isfinite(first.predict_proba(x_test)).all()
    rest = stream(np.r_[x[order], x], np.r_[y[order], y], 50, 4)
    assert rest.score(x_test, y_test) > 0.93
    only = stream(x[y == 3], y[y == 3], 10, 8)
    assert np.all(only.predict(x_test) == 3)
    with pytest.raises(ValueError, match="classes"):
        only.partial_fit(x[:2], [3, 11])


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("what", ["scales", "constant", "outlying row", "outlying entry", "all"])
def test_odd_features(digits, what, streamed):
    x, y, x_test, y_test = (array.copy() for array in digits)
    x, x_test = x.astype(np.float64), x_test.astype(np.float64)
    if what in ("constant", "all"):
        x[:, 5] = x_test[:, 5] = 3e5
    if what in ("outlying row", "all"):
        x[17] *= 1e6
    if what in ("outlying entry", "all"):
        x[700, 20] = 1e6
    if what in ("scales", "all"):
        scale = 10.0 ** np.random.default_rng(0).integers(-6, 7, size=64)
        x, x_test = x * scale, x_test * scale
    clf = stream(x, y, 100, 10) if streamed else classifier().fit(x, y)
    assert clf.score(x_test, y_test) > (0.85 if streamed else 0.94)


@pytest.mark.parametrize("scheme", [None, Prune(sparsity=0.5)])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_batch_of_a_stream_leaves_everything_as_it_was(digits, bad, scheme):
    x, y, x_test, _ = digits
    spoilt, twin = (stream(x[:500], y[:500], 100, 1, scheme=scheme) for _ in range(2))
    before = spoilt.predict_proba(x_test)
    batch = x[500:600].copy()
    batch[50, 3] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        spoilt.partial_fit(batch, y[500:600])
    with pytest.raises(ValueError, match=r"NaN|infinity"):  # what the estimator does not check
        spoilt._stream.learn(batch, np.eye(10, dtype=np.float32)[y[500:600]])
    assert_array_equal(spoilt.predict_proba(x_test), before)
    for clf in (spoilt, twin):
        clf.partial_fit(x[500:600], y[500:600])
    assert_array_equal(spoilt.predict_proba(x_test), twin.predict_proba(x_test))


def test_an_outlier_in_a_stream_does_not_spoil_it(digits):
    x, y, x_test, y_test = digits
    clf = stream(x, y, 100, 5)
    before = clf.score(x_test, y_test)
    wild = x[:100].copy()
    wild[3] = 1e6
    clf.partial_fit(wild, y[:100])
    assert clf.score(x_test, y_test) > before - 0.02


def fit(x, y, *, max_iter=5, n_out=10, scheme=None, score=None, **changes):
    return train_minibatch(
        x, y, None, n_out=n_out, hidden_layer_sizes=(64,), scheme=scheme,
        random_state=np.random.RandomState(0),
        make_monitor=lambda _: Monitor(max_iter, 0.0, 10, score=score), **changes,
    )  # fmt: skip


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("row", [0, 777, 1299])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_bad_row_of_a_fit_is_refused(digits, bad, row, chunked):
    class Chunked:
        shape = digits[0].shape

        def __getitem__(self, rows):
            return x[rows]

    x = digits[0].copy()
    x[row, 3] = bad
    with pytest.raises(ValueError, match="NaN or infinity"):
        fit(Chunked() if chunked else x, digits[1], dtype=np.float32)


def accuracy(fitted, x, y):
    return np.mean(fitted.network.forward(x).argmax(axis=1) == y)


@pytest.fixture(scope="module")
def usual_fits(digits):
    """Return the fits with steps of the usual length, by scheme."""
    schemes = None, Prune(sparsity=0.5)
    return {str(each): fit(*digits[:2], max_iter=40, scheme=each) for each in schemes}


@pytest.mark.parametrize("learning_rate", [1.0, 10.0])
@pytest.mark.parametrize("scheme", [None, Prune(sparsity=0.5)])
def test_steps_far_too_long_are_taken_back_and_the_fit_goes_on(
    digits, usual_fits, scheme, learning_rate
):
    x, y, x_test, y_test = digits
    with np.errstate(all="ignore"):
        fitted = fit(
            x, y, settings=Settings(learning_rate=learning_rate), max_iter=40, scheme=scheme
        )
    assert fitted.n_step_backs > 0
    assert fitted.record.loss[-1] < fitted.record.loss[0]
    usual = accuracy(usual_fits[str(scheme)], x_test, y_test)
    assert accuracy(fitted, x_test, y_test) > usual - 0.08


def test_a_fit_that_diverges_again_and_again_ends_with_advice(digits):
    x, y, x_test, _ = digits
    with np.errstate(all="ignore"), pytest.warns(ConvergenceWarning, match="Scale the features"):
        fitted = fit(x, y, settings=Settings(learning_rate=1e30))
    assert fitted.n_step_backs > Settings().most_step_backs
    assert np.isfinite(fitted.network.forward(x_test)).all()


def test_statistics_that_are_not_finite_are_taken_back(digits):
    x, y, x_test, y_test = digits
    clf = stream(x, y, 100, 3)
    before, engine = clf.score(x_test, y_test), clf._stream.engine
    engine.grams[0][0, 0] = np.nan
    engine.steps -= engine.steps % 40  # the step that inverts them
    told = pytest.warns(UserWarning, match="undone")
    with np.errstate(all="ignore"), told:
        clf.partial_fit(x[:100], y[:100])
    assert engine.brake < 1
    assert clf.score(x_test, y_test) == before


def test_statistics_of_images_that_are_not_finite_are_taken_back(digits):
    x, y, x_test, y_test = digits
    layers = (Conv2D(4, kernel_size=3), 16)
    clf = stream(x, y, 100, 3, hidden_layer_sizes=layers, input_shape=(8, 8, 1))
    before, state = clf.score(x_test, y_test), clf._stream.state
    state.layers[1].gram[0, 0] = np.nan
    state.step -= state.step % 20  # the step that inverts them
    taken, found = state.take_snapshot, state.step
    state.take_snapshot = lambda: None
    told = pytest.warns(UserWarning, match="undone")
    with np.errstate(all="ignore"), told:
        clf.partial_fit(x[:100], y[:100])
    state.take_snapshot = taken
    assert state.n_step_backs > 0
    assert state.step > found
    assert clf.score(x_test, y_test) > before - 0.03


@pytest.mark.parametrize("wrong", [np.nan, 1e8])
def test_a_stream_that_diverges_is_taken_back(digits, monkeypatch, wrong):
    x, y, x_test, y_test = digits
    clf = stream(x, y, 100, 3)
    before = clf.predict_proba(x_test)
    move = Engine.move

    def badly(self, layer, s, *rest):
        move(self, layer, s, *rest)
        self.weights[layer] *= np.float32(wrong)

    monkeypatch.setattr(Engine, "move", badly)
    told = pytest.warns(UserWarning, match="undone")
    with np.errstate(all="ignore"), told:
        clf.partial_fit(x, y)
    assert_allclose(clf.predict_proba(x_test), before, atol=1e-4)
    monkeypatch.undo()
    clf.partial_fit(x[:100], y[:100])
    assert clf.score(x_test, y_test) > (before.argmax(axis=1) == y_test).mean() - 0.03


@pytest.mark.parametrize("first_epoch", [True, False])
@pytest.mark.parametrize("scheme", [None, Prune(sparsity=0.5)])
def test_an_interrupted_fit_keeps_what_it_learnt(digits, monkeypatch, first_epoch, scheme):
    x, y, x_test, y_test = digits
    after = 35 if first_epoch else 95  # of 40 steps an epoch
    batch = MiniBatchSolver.batch

    def interrupted(self, problem, state, rows):
        if state.step == after:
            raise KeyboardInterrupt
        return batch(self, problem, state, rows)

    monkeypatch.setattr(MiniBatchSolver, "batch", interrupted)
    with pytest.warns(ConvergenceWarning, match="Interrupted after"):
        clf = classifier(scheme=scheme, max_iter=5).fit(x, y)
    assert clf.n_iter_ == (0 if first_epoch else 2)
    assert clf.score(x_test, y_test) > (0.85 if first_epoch else 0.95)
    if scheme is not None:
        assert clf.layers_[0].n_params == 64 * 64 // 2


def test_an_interrupted_partial_fit_keeps_the_model(digits, monkeypatch):
    x, y, x_test, _ = digits
    clf = stream(x, y, 100, 1)
    before = clf.predict_proba(x_test)
    monkeypatch.setattr(Engine, "step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        clf.partial_fit(x, y)
    assert_array_equal(clf.predict_proba(x_test), before)


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("n", [1, 2, 5])
def test_hardly_any_rows(n):
    x = np.random.default_rng(0).standard_normal((n, 3))
    clf = classifier(max_iter=3)
    if n > 1:
        assert np.isfinite(clf.fit(x, np.arange(n) % 2).predict_proba(x)).all()
    clf.partial_fit(x[:1], [0], classes=[0, 1])
    assert np.isfinite(clf.predict_proba(x)).all()
    reg = BCDRegressor((4,), solver="minibatch", max_iter=3).partial_fit(x, x[:, 0])
    assert np.isfinite(reg.predict(x)).all()


def test_targets_of_any_size_in_a_regression():
    x, y = make_friedman1(1500, random_state=0)
    scores = [
        BCDRegressor((30,), max_iter=10, random_state=0)
        .fit(x, scale * y + shift)
        .score(x, scale * y + shift)
        for scale, shift in ((1, 0), (1e6, 0), (1e-6, 1.0))
    ]
    assert min(scores) > 0.85
    assert_allclose(scores, scores[0], atol=0.02)
