r"""Refinement of a compressed network: all layers together, the compression kept.

Mini-batches pass forward; the outputs are pulled towards their targets,

    dU_L = alpha T (softmax(Z/T) - softmax(U_L/T)) + (1 - alpha) (Y - softmax(U_L)),

and the pull goes backward through the layers, dV_l = dU_{l+1} W_{l+1}', dU_l = dV_l sigma'(U_l).
Each layer then takes a step of the ridge regression of dU_l on its own free parameters,

    m <- mu m + (cov(V) + lambda I)^{-1} cov(V, dU)      restricted to the support, or the factors,
    W <- W + eta m,

which is the exact solution of the layer's block, shortened. Z are the outputs of the dense
network, which needs no labels; Y are labels. Rows are centred, so that a step of the weights leaves
the mean of the outputs alone, and the intercepts have a step of their own.
The last iterates are averaged. Rows that are held out of the steps tell when these are too long;
they do not choose among epochs, because the dense network may have been trained on them: who
imitates its overfitting best would win.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from fastbcd._network import Layer, Network
from fastbcd._types import Float
from fastbcd.activations import ALL_ACTIVATIONS
from fastbcd.solvers.reconstruct.blocks import Block, block_of
from fastbcd.solvers.reconstruct.statistics import explained_share

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Targets:
    """What the outputs shall become.

    Parameters
    ----------
    dense : (n, k) array
        Outputs of the dense network.
    labels : (n, k) array or None
        Class indicators or target values, if there are any.
    classify : bool
        Cross-entropy of a softmax, or squared error.
    temperature : float
        Flattens the dense network's probabilities, which tells more about the other classes.
    trust : float
        alpha, the share of the dense network where there are labels.
    """

    dense: Float
    labels: Float | None
    classify: bool
    temperature: float = 2.0
    trust: float = 0.3

    @property
    def alpha(self) -> float:
        """Share of the dense network."""
        return 1.0 if self.labels is None else self.trust

    def pull(self, u: Float, rows: Rows) -> Float:
        """Return dU (b, k) for the outputs ``u`` of ``rows``."""
        alpha, t = self.alpha, self.temperature
        if not self.classify:
            goal = self.dense[rows]
            if self.labels is not None:
                goal = alpha * goal + (1 - alpha) * self.labels[rows]
            return np.asarray(goal - u, u.dtype)
        pull = (alpha * t) * (softmax(self.dense[rows] / t, axis=1) - softmax(u / t, axis=1))
        if self.labels is not None:
            pull += (1 - alpha) * (self.labels[rows] - softmax(u, axis=1))
        return np.asarray(pull, u.dtype)

    def loss(self, u: Float, rows: Rows) -> float:
        """Return the mean loss whose negative gradient :meth:`pull` is, per row."""
        alpha, t = self.alpha, self.temperature
        u = u.astype(np.float64)
        if not self.classify:
            squares = alpha * np.square(self.dense[rows] - u)
            if self.labels is not None:
                squares = squares + (1 - alpha) * np.square(self.labels[rows] - u)
            return float(0.5 * squares.sum(axis=1).mean())
        soft = softmax(self.dense[rows] / t, axis=1)
        loss = -alpha * t * t * np.sum(soft * log_softmax(u / t, axis=1), axis=1)
        if self.labels is not None:
            loss = loss - (1 - alpha) * np.sum(self.labels[rows] * log_softmax(u, axis=1), axis=1)
        return float(loss.mean())

    def scaled(self, factor: float) -> Targets:
        """Return the targets in other units."""
        labels = None if self.labels is None else self.labels * factor
        return replace(self, dense=self.dense * factor, labels=labels)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.dense)


@dataclass(frozen=True)
class Course:
    """Settings of :func:`refine`.

    Parameters
    ----------
    epochs : float
        Passes over the rows.
    batch_size : int
        Rows per step.
    rate : float
        eta at the start; it falls to zero along a cosine.
    momentum, decay : float
        mu, and the pull of the weights towards zero relative to m.
    drop : float
        Share of the inputs that are set to zero in each batch, in a classification with labels;
        the dense network still answers for the whole row. Where inputs cannot be told from
        each other less is dropped, and nothing where they are independent; ``decay`` follows.
    averaged : float
        Share of the steps, the last ones, whose iterates are averaged.
    """

    epochs: float = 6.0
    batch_size: int = 200
    rate: float = 2.0
    momentum: float = 0.7
    decay: float = 7e-4
    drop: float = 0.15
    averaged: float = 0.3


REDUNDANT = (0.6, 0.9)
"""Share of an input's variance that the others explain: below the first nothing is dropped,
above the second all of ``Course.drop``."""

HELD_OUT = 0.05
"""Share of the rows that only judge."""

EARLY = 40
"""Steps after which the loss is looked at for the first time; then once per epoch."""

DIVERGED = 1.5
"""A held-out loss beyond this multiple of the least one so far means that steps are too long."""

GRAM_ROWS = 8000
"""Rows from which the metric of each layer is measured, once per epoch."""


def refine(
    network: Network,
    x: Float,
    targets: Targets,
    course: Course,
    random_state: np.random.RandomState,
    verbose: int = 0,
) -> Network:
    """Return a network of the same formats that is nearer to the targets.

    Outputs of a regression are measured in units of their standard deviation, so that the steps do
    not depend on the units of the targets. An interruption (KeyboardInterrupt) returns the
    best network so far.

    Parameters
    ----------
    network : Network
        Where to start.
    x : (n, d) array
        Inputs.
    targets : Targets
        What the outputs of these rows shall become.
    course : Course
        Length and steps.
    random_state : RandomState
        Order of the rows, and which inputs are dropped.
    verbose : int
        Positive prints a line per epoch to stderr.
    """
    if not targets.classify:
        unit = float(np.std(targets.dense, axis=0).mean()) or 1.0
        refined = _refine(
            _scaled_outputs(network, 1 / unit),
            x,
            targets.scaled(1 / unit),
            course,
            random_state,
            verbose,
        )
        return _scaled_outputs(refined, unit)
    return _refine(network, x, targets, course, random_state, verbose)


def _scaled_outputs(network: Network, factor: float) -> Network:
    last = network.layers[-1]
    intercept = (last.intercept * factor).astype(last.intercept.dtype)
    scaled = replace(last, weight=last.weight.scaled(factor), intercept=intercept)
    return Network([*network.layers[:-1], scaled])


def _refine(
    network: Network,
    x: Float,
    targets: Targets,
    course: Course,
    random_state: np.random.RandomState,
    verbose: int,
) -> Network:
    n = targets.n_rows
    order = random_state.permutation(n)
    n_held = min(max(1, round(HELD_OUT * n)), 3000)
    held, train = order[:n_held], order[n_held:]
    if train.size == 0:
        return network
    batch = min(course.batch_size, train.size)
    steps = max(1, round(course.epochs * (train.size // batch)))
    blocks = [
        block_of(layer, index + 1 == len(network.layers))
        for index, layer in enumerate(network.layers)
    ]
    if targets.labels is None or not targets.classify:
        course = replace(course, drop=0.0, decay=0.0)
    else:
        low, high = REDUNDANT
        known = explained_share(x[train[: min(GRAM_ROWS, train.size)]])
        factor = float(np.clip((known - low) / (high - low), 0, 1))
        course = replace(course, drop=factor * course.drop, decay=factor * course.decay)
    judge = _Judge(targets, x[held], held, network)
    state = _State(blocks, network)
    shuffled, at = random_state.permutation(train), 0
    done = epoch_end = 0
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            while done < steps:
                if done == epoch_end:
                    state.measure(x[train[: min(GRAM_ROWS, train.size)]])
                    epoch_end = min(steps, done + train.size // batch)
                if at + batch > train.size:
                    shuffled, at = random_state.permutation(train), 0
                rows = shuffled[at : at + batch]
                at += batch
                v = _dropped(x[rows], course.drop, random_state) if course.drop > 0 else x[rows]
                rate = 0.5 * course.rate * (1 + np.cos(np.pi * done / steps))
                state.step(v, targets, rows, rate, course)
                done += 1
                if done > (1 - course.averaged) * steps:
                    state.average()
                if done not in (EARLY, epoch_end):
                    continue
                loss = judge.see(state.network())
                if verbose:
                    print(f"step {done}: held-out loss {loss:.5f}", file=sys.stderr)  # noqa: T201
                if not loss <= DIVERGED * judge.least:
                    # The steps are too long for this network: back, with half of them.
                    state = _State([b.restarted(r) for b, r in judge.pairs(state.blocks)], network)
                    course = replace(course, rate=course.rate / 2)
                    epoch_end = done
    except KeyboardInterrupt:
        pass
    return judge.best


class _Judge:
    """Rows held out of the steps, and the best network on them.

    With labels the last network that did not diverge counts as the best: the dense network may
    have been trained on these rows, and who imitates its overfitting would win. Against the
    dense network's own outputs the rows judge fairly.
    """

    def __init__(self, targets: Targets, x: Float, rows: Rows, start: Network) -> None:
        self._targets, self._x, self._rows = targets, x, rows
        # What even the dense network would lose.
        self._floor = 0.0
        if targets.labels is None:
            self._floor = targets.loss(targets.dense[rows], rows)
        self.best = start
        self.least = self._loss(start)

    def _loss(self, network: Network) -> float:
        return self._targets.loss(network.forward(self._x), self._rows) - self._floor

    def see(self, network: Network) -> float:
        """Judge ``network``, keep it if it is the best, and return its loss."""
        loss = self._loss(network)
        slack = 1.0 if self._targets.labels is None else DIVERGED
        if loss <= slack * self.least:
            self.best, self.least = network, min(loss, self.least)
        return loss

    def pairs(self, blocks: list[Block]) -> zip[tuple[Block, Layer]]:
        """Return each block with the best network's layer."""
        return zip(blocks, self.best.layers, strict=True)


def _dropped(v: Float, share: float, random_state: np.random.RandomState) -> Float:
    keep = random_state.bytes(v.size)
    mask = np.frombuffer(keep, np.uint8).reshape(v.shape) >= round(256 * share)
    return v * (mask * v.dtype.type(1 / (1 - round(256 * share) / 256)))


class _State:
    """The free parameters of all layers, and their averages."""

    def __init__(self, blocks: list[Block], network: Network) -> None:
        self.blocks = blocks
        self.activations = [ALL_ACTIVATIONS[layer.activation] for layer in network.layers]
        self.n_averaged = 0

    def measure(self, v: Float) -> None:
        """Refresh the metric of every layer at the current weights."""
        for block, activation in zip(self.blocks, self.activations, strict=True):
            block.measure(v)
            v = activation.value(v @ block.weight + block.intercept)

    def step(self, v: Float, targets: Targets, rows: Rows, rate: float, course: Course) -> None:
        """Take one step of all layers on one batch."""
        inputs, pre = [], []
        for block, activation in zip(self.blocks, self.activations, strict=True):
            inputs.append(v)
            u = v @ block.weight
            u += block.intercept
            pre.append(u)
            v = activation.value(u)
        pull = targets.pull(pre[-1], rows)
        for index in range(len(self.blocks) - 1, -1, -1):
            block = self.blocks[index]
            before = pull
            if index > 0:
                left, _ = self.activations[index - 1].slopes(pre[index - 1])
                pull = (before @ block.weight.T) * left
            block.step(inputs[index], before, rate, course.momentum, course.decay)

    def average(self) -> None:
        """Take the current iterate into the average."""
        self.n_averaged += 1
        for block in self.blocks:
            block.average(1 / self.n_averaged)

    def network(self) -> Network:
        """Return the network, of averaged weights if there are any."""
        return Network([block.layer(self.n_averaged > 0) for block in self.blocks])
