"""Who takes part: each trains on a split for some seconds and returns its course.

A course has a row after every sweep, epoch or stage: how many there were, the seconds of training
so far (scoring is not timed), accuracy on (at most 2000 of) the training rows and on the test
rows, balanced accuracy on the test rows, the objective where there is one, and how many steps have
raised it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import balanced_accuracy_score

from bench.kept import Row
from bench.paper.data import Array, Split
from fastbcd import BCDClassifier
from fastbcd.formats import TensorTrainMatrix
from fastbcd.schemes import Scheme, TensorTrain

VALUES = ("step", "seconds", "train", "test", "balanced", "objective", "rises")

N_TRAIN_SCORED = 2000

Predict = Callable[[Array], Array]
"""From rows to class indices."""


class Course:
    """Writes down the scores after each step.

    Parameters
    ----------
    split : Split
        What is scored.
    seconds : float
        When to say that time is up.
    """

    def __init__(self, split: Split, seconds: float = np.inf) -> None:
        self.split, self.seconds = split, seconds
        self.rows: list[Row] = []
        self._scoring = 0.0
        self._start = perf_counter()

    def add(self, predict: Predict, objective: Callable[[], float] | None = None) -> bool:
        """Score a network; return whether the time is up."""
        now = perf_counter()
        spent = now - self._start - self._scoring
        split = self.split
        train = np.mean(predict(split.x[:N_TRAIN_SCORED]) == split.y[:N_TRAIN_SCORED])
        found = predict(split.x_test)
        balanced = balanced_accuracy_score(split.y_test, found)
        reached = objective() if objective is not None else np.nan
        before = self.rows[-1][-2:] if self.rows else (np.inf, 0.0)
        self.rows.append((
            len(self.rows) + 1, spent, float(train), float(np.mean(found == split.y_test)),
            float(balanced), reached, before[1] + (reached > before[0]),
        ))  # fmt: skip
        self._scoring += perf_counter() - now
        return spent >= self.seconds


class _Told:
    """scikit-learn's callback: hands the network of every sweep or epoch to a course."""

    def __init__(self, course: Course) -> None:
        self.course = course

    def setup(self, estimator: Any, context: Any) -> None:
        """Nothing to do before the fit."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Nothing to do after it."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Nothing to do before a sweep."""

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any) -> bool:
        """Score after a sweep; what belongs to the whole fit has been scored."""
        if context.parent is None:
            return False
        network = fitted_estimator.network_
        return self.course.add(lambda x: network.forward(x).argmax(axis=1))


def fastbcd_course(
    split: Split,
    hidden: Sequence[Any],
    seed: int,
    seconds: float = np.inf,
    *,
    dtype: str = "float32",
    **params: Any,
) -> list[Row]:
    """Train a BCDClassifier; without callbacks (scikit-learn below 1.9) score its end alone."""
    clf = BCDClassifier(tuple(hidden), random_state=seed, **params)
    warm = clf.set_params(max_iter=1)
    x, y = split.x.astype(dtype), split.y
    few = np.concatenate([np.flatnonzero(y == label)[:8] for label in range(split.n_classes)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warm.fit(x[few], y[few])  # compiles the kernels
        clf.set_params(max_iter=params.get("max_iter", 1000))
        course = Course(split, seconds)
        if not hasattr(clf, "set_callbacks"):
            clf.fit(x, y)
            course.add(clf.predict)
            return course.rows
        clf.set_callbacks(_Told(course)).fit(x, y)
    # What the objective was after each sweep is known now; entry 0 belongs to the start. While tau
    # grows F grows with it, which is no rise: a sweep is judged by the tau that it had.
    n = len(course.rows)
    curve = clf.objective_curve_[-n:]
    full = len(clf.objective_curve_) > n
    rises = np.cumsum(clf.convergence_.decreases < 0) if full else np.zeros(n)
    return [
        (*row[:-2], float(f), float(r)) for row, f, r in zip(course.rows, curve, rises, strict=True)
    ]


def published_course(
    split: Split, hidden: Sequence[int], seed: int, seconds: float, sweeps: int, **params: Any
) -> list[Row]:
    """Sweep as published. A tensor train takes modes of both sides of each matrix by default."""
    from bench.peers.published_nnbcd import PublishedNNBCD

    widths = (split.x.shape[1], *hidden, split.n_classes)
    if "rank" in params:
        modes = [train_modes(n_out) + train_modes(n_in) for n_in, n_out in pairwise(widths[:-1])]
        params = {"modes": modes, **params}
    return peer_course(PublishedNNBCD(widths, seed=seed, **params), split, seconds, sweeps)


def peer_course(peer: Any, split: Split, seconds: float, sweeps: int) -> list[Row]:
    """Run a published method for so many seconds or sweeps, whichever comes first."""
    course = Course(split, seconds)
    peer.initialise(split.x.T, np.eye(split.n_classes)[split.y].T)
    for _ in range(sweeps):
        peer.sweep()
        if course.add(lambda x: peer.predict(x.T).argmax(axis=0), peer.objective):
            break
        if not np.isfinite(course.rows[-1][-1]):
            break
    return course.rows


def adam_course(
    split: Split, hidden: Sequence[int], seed: int, seconds: float, rate: float = 1e-3
) -> list[Row]:
    """Train a dense network by Adam."""
    return _adam(split, hidden, seed, seconds, rate)[0].rows


def _adam(
    split: Split, hidden: Sequence[int], seed: int, seconds: float, rate: float
) -> tuple[Course, Any]:
    from bench.peers.adam import fit_adam

    fit_adam(split.x[:64], split.y[:64], hidden, 1)  # PyTorch loads its optimiser when asked
    course = Course(split, seconds)

    def after_epoch(net: Any) -> float:
        course.add(net.predict)
        return 0.0

    net = fit_adam(
        split.x, split.y, hidden, 10**6, seed, learning_rate=rate, seconds=seconds,
        callback=after_epoch,
    )  # fmt: skip
    return course, net


def decomposed_course(
    split: Split,
    hidden: Sequence[int],
    seed: int,
    seconds: float,
    scheme: Scheme,
    rates: tuple[float, float] = (1e-3, 1e-3),
) -> list[Row]:
    """Train by Adam for half of the time, compress each hidden layer, train on: three rows.

    They are scored before and after compression, and in the end.
    """
    from bench.peers.finetune import Masked, Part, Rows, Train, fine_tune

    _, net = _adam(split, hidden, seed, seconds / 2, rates[0])
    course = Course(split)
    course._start -= seconds / 2
    course.add(net.predict)
    layers = net.linear_layers
    weights = [layer.weight.detach().numpy().T for layer in layers]
    biases = [layer.bias.detach().numpy() for layer in layers]
    parts: list[Part] = []
    for weight in weights[:-1]:
        copy = scheme.project(np.ascontiguousarray(weight))
        dense = copy.to_dense()
        cores = getattr(copy, "cores", None)
        parts.append(Masked(dense, dense != 0) if cores is None else Train(cores, dense.shape))
    parts.append(Masked(weights[-1]))
    course.add(_forward([part.weight().detach().numpy() for part in parts], biases))
    rows = Rows(split.x, split.y)
    found = fine_tune(parts, biases, rows, seconds / 2, rate=rates[1], seed=seed)
    course.add(_forward(*found))
    return course.rows


def _forward(weights: Sequence[Array], biases: Sequence[Array]) -> Predict:
    def predict(x: Array) -> Array:
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            x = np.maximum(x @ weight + bias, 0)
        return np.asarray((x @ weights[-1] + biases[-1]).argmax(axis=1))

    return predict


def size_ratio(
    widths: Sequence[int], rank: int, image: tuple[int, int, int] | None = None
) -> float:
    """Return the numbers of the trains over those of the matrices that they stand for.

    With ``image`` the first of them is that of a layer of fastbcd behind a convolution.
    """
    shapes = list(pairwise(widths[:-1]))
    trains = [TensorTrain(rank, train_modes(n) + train_modes(m)) for n, m in shapes]
    if image is not None:
        trains[0] = TensorTrain(rank).for_image(shapes[0], image)
    small = sum(
        train.project(np.eye(*shape, dtype=np.float32)).n_params
        for train, shape in zip(trains, shapes, strict=True)
    )
    return small / sum(n_in * n_out for n_in, n_out in shapes)


def train_modes(n: int) -> tuple[int, ...]:
    """Return the modes that a tensor train of fastbcd has by default for ``n`` inputs."""
    train = TensorTrain(rank=1).project(np.ones((n, 1)))
    assert isinstance(train, TensorTrainMatrix)
    return tuple(train.modes[:-1])
