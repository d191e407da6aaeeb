"""From data to a network by a race on batches: what :mod:`fastbcd.solvers.fit` calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats import DenseMatrix
from fastbcd.network.network import Layer, Network
from fastbcd.network.scaling import Scaling
from fastbcd.objective.terms import Penalties, Terms
from fastbcd.parallel.blas_threads import one_blas_thread
from fastbcd.solvers.batch.coordinates import Coordinates
from fastbcd.solvers.batch.engine import LockStep, Rows, first_bias
from fastbcd.solvers.batch.race import Lane, Race, stratified_folds
from fastbcd.solvers.batch.settings import (
    BatchSettings,
    batch_size_for,
    checks_for,
    epochs_for,
)
from fastbcd.solvers.convergence import ConvergenceRecord
from fastbcd.solvers.loop import Ending, Monitor, Outcome, run
from fastbcd.utils.types import Float, Float64

HeldOut = tuple[Any, Float, Float64 | None]


@dataclass(frozen=True)
class Task:
    """A fit: what does not change while it runs."""

    engine: LockStep
    race: Race
    coordinates: Coordinates
    scaling: Scaling | None
    dtype: np.dtype[Any]
    batch_size: int
    checks: frozenset[int]


class State:
    """What changes: the record, and the best network so far."""

    settled = False

    def __init__(self, loss: float, rng: np.random.Generator) -> None:
        self.rng = rng
        self.record = ConvergenceRecord()
        self.ending: Ending | None = None
        self.shown: tuple[Lane | None, int, Network | None] = (None, -1, None)
        self.write(loss)

    def write(self, loss: float) -> None:
        """Append an epoch."""
        self.record.terms.append(Terms(loss, [], [], []))
        self.record.penalties.append(Penalties(0.0, 0.0, 0.0, 0.0))
        self.record.step_norm.append(float("nan"))


class BatchSolver:
    """Networks in lock-step; an epoch is a sweep.

    Its objective is the least held-out loss so far: the quantity that decides.
    """

    sweep_name = "epoch"

    def step(self, problem: Task, state: State) -> None:
        """Pass over the data once."""
        engine, race, size = problem.engine, problem.race, problem.batch_size
        n = len(engine.rows.x)
        order = state.rng.permutation(n)
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            for begin in range(0, n - size + 1, size):
                engine.step(order[begin : begin + size])
                if engine.steps in problem.checks:
                    race.check()
                    if race.over or engine.steps == max(problem.checks):
                        state.ending = Ending.CONVERGED
                        break
        found = race.best.loss
        state.write(found if np.isfinite(found) else state.record.terms[-1].loss)

    def network(self, problem: Task, state: State) -> Network:
        """Return the best network so far, on raw data."""
        lane = problem.race.best
        seen, steps, network = state.shown
        if network is not None and seen is lane and steps == lane.steps and lane.arrays:
            return network
        arrays = lane.arrays or problem.engine.averaged(lane.first + problem.race.each - 1)
        network = assemble(problem, *arrays, lane.temperature)
        state.shown = (lane, lane.steps, network)
        return network


def assemble(
    problem: Task, weights: list[Float], biases: list[Float], temperature: float
) -> Network:
    """Return a network on raw rows that equals the given one on the coordinates."""
    raw = [
        (w.astype(np.float64), b.astype(np.float64)) for w, b in zip(weights, biases, strict=True)
    ]
    raw[-1] = (raw[-1][0] * temperature, raw[-1][1] * temperature)
    if problem.scaling is not None:
        factor, shift = problem.scaling.factor, problem.scaling.shift
        raw[-1] = (raw[-1][0] * factor, raw[-1][1] * factor + shift)
    raw[0] = problem.coordinates.to_inputs(*raw[0])
    names = [problem.engine.activation] * (len(raw) - 1) + ["identity"]
    return Network(
        [
            Layer(
                DenseMatrix(np.ascontiguousarray(w, problem.dtype)), b.astype(problem.dtype), name
            )
            for (w, b), name in zip(raw, names, strict=True)
        ]
    )


def train_batch(
    x: Float,
    y: NDArray[Any],
    sample_weight: Float64,
    *,
    hidden_layer_sizes: tuple[int, ...],
    random_state: np.random.RandomState,
    make_monitor: Callable[[Callable[[Network], Network]], Monitor],
    activation: str = "relu",
    loss: str = "cross_entropy",
    scale_targets: bool = False,
    dtype: Any = np.float64,
    held_out: HeldOut | None = None,
    settings: BatchSettings | None = None,
) -> tuple[Network, ConvergenceRecord, Outcome]:
    """Train dense networks in several ways, and return the one that rows held out prefer.

    Parameters
    ----------
    x : (n, d) array
        Inputs, float32 or float64.
    y : (n, k) array
        Targets.
    sample_weight : (n,) array
        Positive weights.
    hidden_layer_sizes : tuple of int
        Widths of the hidden layers.
    random_state : RandomState
        Source of all randomness.
    make_monitor : callable
        Returns the monitor; ``max_iter`` bounds the epochs.
    activation, loss : str
        Names.
    scale_targets : bool
        Fit standardised targets, and scale the network back.
    dtype : dtype
        Type of the network. The arithmetic of the steps is float32.
    held_out : (x, y, weight), optional
        Rows to judge by; by default, folds of ``x``.
    settings : BatchSettings, optional
        Numbers of the method.

    Returns
    -------
    network : Network
        On raw data.
    record : ConvergenceRecord
        The held-out loss after each epoch.
    outcome : Outcome
        How the fit ended.
    """
    settings = settings or BatchSettings()
    n = x.shape[0]
    seed = int(random_state.randint(2**31 - 1))
    rng = np.random.default_rng(seed)
    coordinates, rotated = Coordinates.of(x, sample_weight)
    scaling = Scaling.of(np.asarray(y), sample_weight, by_column=True) if scale_targets else None
    targets = np.ascontiguousarray(y if scaling is None else scaling.apply(y), np.float32)
    mean = float(sample_weight.mean())
    even = bool(np.all(sample_weight == sample_weight[0]))
    rows = Rows(
        rotated,
        coordinates.variances,
        targets,
        None if even else (sample_weight / mean).astype(np.float32),
    )
    fold, judges = np.full(n, -1), None
    if held_out is None:
        fold = _folds(targets if loss == "cross_entropy" else None, n, settings, rng)
        n_folds = int(fold.max()) + 1
    else:
        x_held, y_held, weight_held = held_out
        n_folds = 0
        y_held = y_held if scaling is None else scaling.apply(y_held)
        judges = (
            coordinates.apply(x_held),
            y_held.astype(np.float32),
            np.ones(len(y_held)) if weight_held is None else weight_held,
        )
    masks = [(fold != k).astype(np.float32) for k in range(n_folds)] + [np.ones(n, np.float32)]
    each, entrants = len(masks), settings.entrants
    engine = LockStep(
        rows,
        hidden_layer_sizes,
        activation,
        loss,
        [entrant for entrant in entrants for _ in range(each)],
        np.tile(np.stack(masks), (len(entrants), 1)),
        list(range(each)) * len(entrants),
        first_bias(targets, sample_weight, loss),
        settings,
        seed,
    )
    race = Race(engine, len(entrants), fold, sample_weight, settings, judges)
    size = min(batch_size_for(n), n)
    monitor = make_monitor(lambda network: network)
    epochs = min(monitor.max_iter, epochs_for(n))
    checks = checks_for(epochs * (n // size), settings)
    task = Task(engine, race, coordinates, scaling, np.dtype(dtype), size, frozenset(checks))
    race.check()
    state = State(race.best.loss, rng)
    for lane in race.lanes:  # the start is no result
        lane.loss, lane.waited, lane.checks = np.inf, 0, 0
    # The race knows when to stop; a score only chooses among the networks that led it.
    monitor = replace(monitor, max_iter=epochs, n_iter_no_change=epochs)
    outcome = run(BatchSolver(), task, state, monitor)
    if monitor.score is None and race.best.arrays is not None:
        outcome.best_iter = -(-race.best.steps // (n // size))
    return outcome.network, state.record, outcome


def _folds(
    indicators: Float | None, n: int, settings: BatchSettings, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the fold of each row; -1 where a row is never held out."""
    labels = None if indicators is None else indicators.argmax(axis=1)
    if n < settings.folds_below:
        return stratified_folds(labels, n, min(settings.n_folds, n), rng)
    fold = stratified_folds(labels, n, round(1 / settings.held_out), rng)
    return np.where(fold == 0, 0, -1)
