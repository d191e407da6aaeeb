"""From data to a network by a race on batches: what :mod:`fastbcd.solvers.fit` calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.network.network import Network
from fastbcd.network.scaling import Scaling
from fastbcd.solvers.batch import settings as batch_settings
from fastbcd.solvers.batch.coordinates import Coordinates
from fastbcd.solvers.batch.engine import LockStep, Rows, first_bias
from fastbcd.solvers.batch.race import Block, LineUp, Race, Team, stratified_folds
from fastbcd.solvers.batch.ramps import encode
from fastbcd.solvers.batch.settings import (
    BatchSettings,
    batch_size_for,
    checks_for,
    epochs_for,
)
from fastbcd.solvers.batch.solver import BatchSolver, Inputs, Problem, State
from fastbcd.solvers.convergence import ConvergenceRecord
from fastbcd.solvers.loop import Monitor, Outcome, run
from fastbcd.utils.types import Float, Float64

HeldOut = tuple[Any, Float, Float64 | None]


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
    encoded: bool = True,
    held_out: HeldOut | None = None,
    settings: BatchSettings | None = None,
    alpha: float = 0.0,
    batch_size: int | None = None,
) -> tuple[Network, ConvergenceRecord, Outcome]:
    """Train several kinds of dense networks, and return the one that held-out rows prefer.

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
    encoded : bool
        Whether networks that read encoded columns race, too.
    held_out : (x, y, weight), optional
        Rows to judge by; by default, folds of ``x``.
    settings : BatchSettings, optional
        Numbers of the method.
    alpha : float, default=0.0
        L2 penalty: ``alpha / (2 n)`` times the sum of the squared weights beside the mean loss, of
        each network by itself.
    batch_size : int, optional
        Rows of a step, at most n; by default :func:`.settings.batch_size_for` the rows.

    Returns
    -------
    network : Network
        On raw data.
    record : ConvergenceRecord
        The held-out loss after each epoch.
    outcome : Outcome
        How the fit ended.
    """
    settings = settings or batch_settings.DEFAULTS
    n = x.shape[0]
    seed = int(random_state.randint(2**31 - 1))
    rng = np.random.default_rng(seed)
    scaling = Scaling.of(np.asarray(y), sample_weight, by_column=True) if scale_targets else None
    targets = np.ascontiguousarray(y if scaling is None else scaling.apply(y), np.float32)
    mean = float(sample_weight.mean())
    even = bool(np.all(sample_weight == sample_weight[0]))
    weight = None if even else (sample_weight / mean).astype(np.float32)
    judges = _judges(targets, sample_weight, scaling, held_out, loss, settings, rng)
    inputs = _inputs(x, sample_weight, settings, encoded)
    b = n_blocks_for(hidden_layer_sizes, settings)
    layout, line_ups = line_up(b, len(inputs) > 1)
    teams = []
    for number, (which, n_own, width_share) in enumerate(layout):
        view, rotated = inputs[which]
        engine = LockStep(
            Rows(rotated, view.coordinates.variances, targets, weight),
            tuple(size // width_share for size in hidden_layer_sizes),
            activation,
            loss,
            np.tile(judges.masks, (n_own, 1)),
            [place for place in range(n_own) for _ in judges.masks],
            first_bias(targets, sample_weight, loss),
            settings,
            seed + number,
            (alpha / float(sample_weight.sum()), view.coordinates.turn if alpha else None),
        )
        teams.append(Team(engine, None if held_out is None else view.apply(held_out[0])))
    race = Race(teams, line_ups, judges.fold, judges.y, judges.weight, loss, settings)
    size = min(batch_size or batch_size_for(n), n)
    monitor = make_monitor(lambda network: network)
    epochs = min(monitor.max_iter, epochs_for(n))
    checks = checks_for(epochs * (n // size), settings)
    problem = Problem(
        race,
        activation,
        [inputs[which][0] for which, _, _ in layout],
        scaling,
        np.ptp(targets, axis=0) == 0,
        np.dtype(dtype),
        size,
        checks,
    )
    race.check()
    state = State(race.best.loss, rng)
    race.forget()  # the start is no result
    # The race knows when to stop; a score only chooses among the networks that led it.
    monitor = replace(monitor, max_iter=epochs, n_iter_no_change=epochs)
    outcome = run(BatchSolver(), problem, state, monitor)
    if monitor.score is None and race.best.found:
        outcome.best_iter = -(-race.best.steps // (n // size))
    return outcome.network, state.record, outcome


@dataclass(frozen=True)
class _Judges:
    """The rows that judge.

    Parameters
    ----------
    fold : (n,) array
        Fold of each row to learn from; -1 if it does not judge.
    masks : (n_networks, n) float32 array
        One for the rows that each network of a block learns from: all rows but those of a fold,
        for each fold, and last all rows.
    y, weight : arrays
        Targets and weights of all rows, or of those that only judge.
    """

    fold: NDArray[np.int64]
    masks: Float
    y: Float
    weight: Float64


def _judges(
    targets: Float,
    weight: Float64,
    scaling: Scaling | None,
    held_out: HeldOut | None,
    loss: str,
    settings: BatchSettings,
    rng: np.random.Generator,
) -> _Judges:
    """Return folds of the rows, or ``held_out``."""
    n = len(targets)
    if held_out is not None:
        _, y, own = held_out
        y = (y if scaling is None else scaling.apply(y)).astype(np.float32)
        own = np.ones(len(y)) if own is None else own
        return _Judges(np.full(n, -1), np.ones((1, n), np.float32), y, own)
    fold = _folds(targets if loss == "cross_entropy" else None, n, settings, rng)
    masks = [fold != k for k in range(int(fold.max()) + 1)] + [np.ones(n, bool)]
    return _Judges(fold, np.stack(masks).astype(np.float32), targets, weight)


def _inputs(
    x: Float, weight: Float64, settings: BatchSettings, encoded: bool
) -> list[tuple[Inputs, Float]]:
    """Return how rows may be seen, and ``x`` so: by columns, and by ramps if that says more."""
    coordinates, rotated = Coordinates.of(x, weight, settings)
    found = [(Inputs(coordinates), rotated)]
    ramps = encode(x, weight, settings, np.isinf(coordinates.unit)) if encoded else None
    if ramps is not None:
        coordinates, rotated = Coordinates.of(ramps.rows(x).astype(np.float64), weight, settings)
        found.append((Inputs(coordinates, ramps), rotated))
    return found


def n_blocks_for(widths: tuple[int, ...], settings: BatchSettings) -> int:
    """Return how many networks share the ``widths``: none is left with a rest or too few units."""
    b = settings.n_blocks
    while b > 1 and any(width % b or width // b < settings.block_width for width in widths):
        b //= 2
    return b


def line_up(b: int, encoded: bool) -> tuple[list[tuple[int, int, int]], list[LineUp]]:
    """Return the teams and what races.

    Parameters
    ----------
    b : int
        Blocks that share the width.
    encoded : bool
        Whether there is an encoding.

    Returns
    -------
    teams : list of (int, int, int)
        What each sees, 0 for columns and 1 for their ramps; its number of blocks; and the number
        of blocks that would fill the width.
    line_ups : list of LineUp
        One network, and several side by side: half of them on columns and half on ramps, or all of
        them on columns without an encoding.
    """
    teams = [(0, 1, 1)]
    line_ups = [LineUp([Block(0, 0)])]
    half = max(b // 2, 1) if encoded else b
    if b > 1:
        teams.append((0, half, b))
    if encoded:
        teams.append((1, half, b))
    if len(teams) > 1:
        line_ups.append(
            LineUp([Block(team, k) for team in range(1, len(teams)) for k in range(half)])
        )
    return teams, line_ups


def _folds(
    indicators: Float | None, n: int, settings: BatchSettings, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the fold of each row; -1 where a row is never held out."""
    labels = None if indicators is None else indicators.argmax(axis=1)
    if n < settings.folds_below:
        return stratified_folds(labels, n, min(settings.n_folds, n), rng)
    fold = stratified_folds(labels, n, round(1 / settings.held_out), rng)
    return np.where(fold == 0, 0, -1)
