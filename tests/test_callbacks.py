"""Progress of a fit to scikit-learn's callbacks, and what they may do to it."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import GridSearchCV

from fastbcd import BCDClassifier, BCDRegressor
from fastbcd.schemes import Prune

callback = pytest.importorskip(
    "sklearn.callback", reason="scikit-learn has callbacks from version 1.9 on"
)


class Recorder:
    """Writes down what it is told; says stop after ``stop_after`` sweeps."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.events = []
        self.fitted = []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(("begin", context.task_name, context.task_id, context.max_subtasks))

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.events.append(("end", context.task_name, context.task_id))
        self.fitted.append(fitted_estimator.predict(X[:20]))
        return context.parent is not None and context.task_id + 1 == self.stop_after


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return x.astype(np.float32) / 16, y


@pytest.mark.parametrize(("solver", "name"), [("full", "sweep"), ("minibatch", "epoch")])
@pytest.mark.parametrize("scheme", [None, Prune(sparsity=0.5)])
def test_every_sweep_is_told(digits, solver, name, scheme):
    recorder = Recorder()
    clf = BCDClassifier((8,), solver=solver, scheme=scheme, max_iter=3, random_state=0)
    clf.set_callbacks(recorder)
    if solver == "full":
        with pytest.warns(UserWarning, match="max_iter"):
            clf.fit(*digits)
    else:
        clf.fit(*digits)
    sweeps = [(kind, name, i) for i in range(3) for kind in ("begin", "end")]
    told = [event[:3] for event in recorder.events[1:-1]]
    assert told == [("begin", "fit", 0), *sweeps, ("end", "fit", 0)]
    assert recorder.events[1][3] == 3
    assert (recorder.events[0], recorder.events[-1]) == ("setup", "teardown")
    # The last copy is the network that is kept, on raw data.
    assert_array_equal(recorder.fitted[-1], clf.predict(digits[0][:20]))


def test_scaled_targets_are_scaled_back_for_the_copies():
    x, y = load_diabetes(return_X_y=True)
    recorder = Recorder()
    reg = BCDRegressor((8,), max_iter=2, solver="full", random_state=0)
    reg.set_callbacks(recorder)
    with pytest.warns(UserWarning, match="max_iter"):
        reg.fit(x, 1000 * y)
    assert_allclose(recorder.fitted[-1], reg.predict(x[:20]))
    assert np.all(np.array(recorder.fitted) > 1000)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("solver", ["full", "minibatch"])
def test_a_callback_may_stop_the_fit(digits, solver):
    clf = BCDClassifier((8,), solver=solver, random_state=0).set_callbacks(Recorder(stop_after=2))
    assert clf.fit(*digits).n_iter_ == 2


def test_scikit_learns_monitor_scores_every_epoch(digits):
    monitor = callback.ScoringMonitor(scoring="accuracy")
    clf = BCDClassifier((16,), max_iter=4, random_state=0).set_callbacks(monitor).fit(*digits)
    rows = monitor.get_logs().data
    epochs = [row["accuracy"] for row in rows if row["task_name"] == "epoch"]
    whole = [row["accuracy"] for row in rows if row["task_name"] == "fit"]
    assert len(epochs) == 4
    assert whole == [epochs[-1]] == [clf.score(*digits)]
    assert epochs[-1] > epochs[0]


def test_a_search_is_told_of_its_fits(digits):
    x, y = digits[0][:300], digits[1][:300]
    clf = BCDClassifier((4,), solver="minibatch", max_iter=2)
    search = GridSearchCV(clf, {"hidden_layer_sizes": [(4,), (5,)]}, cv=2)
    if not hasattr(search, "set_callbacks"):
        pytest.skip("this version's search knows no callbacks")
    monitor = callback.ScoringMonitor(scoring="accuracy")
    clf.set_callbacks(monitor)
    search.fit(x, y)
    assert monitor.get_logs(select="all")


def test_a_fit_without_callbacks_leaves_no_trace(digits):
    clf = BCDClassifier((4,), max_iter=2).fit(*digits)
    assert not [name for name in vars(clf) if "callback" in name]
    assert not hasattr(clone(clf), "_skl_callbacks")


def test_without_the_api_everything_else_is_there(monkeypatch):
    import fastbcd.estimators.callbacks as module

    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    try:
        plain = importlib.reload(module)
        assert not hasattr(plain.CallbackSupportMixin, "set_callbacks")
        method = object()
        assert plain.with_callbacks(method) is method
        task = plain.FitTask(object(), {}, lambda network: {})
        task.begin("epoch", 3)
        task.begin_sweep()
        assert task.end_sweep(None) is False
        task.end(None)
    finally:
        monkeypatch.undo()
        importlib.reload(module)
