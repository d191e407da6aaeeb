"""From data to a network by a race on batches: what :mod:`fastbcd.solvers.fit` calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from fastbcd.formats import DenseMatrix
from fastbcd.network.network import Layer, Network
from fastbcd.network.scaling import Scaling
from fastbcd.objective.terms import Penalties, Terms
from fastbcd.parallel.blas_threads import one_blas_thread
from fastbcd.solvers.batch.coordinates import Coordinates
from fastbcd.solvers.batch.engine import LockStep, Rows, first_bias
from fastbcd.solvers.batch.race import Block, LineUp, Race, Team, stratified_folds
from fastbcd.solvers.batch.ramps import Ramps, encode
from fastbcd.solvers.batch.settings import (
    DEFAULTS,
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
class Inputs:
    """How a team sees rows.

    Parameters
    ----------
    coordinates : Coordinates
        Of the columns, or of the ramps.
    ramps : Ramps or None
        The encoding.
    """

    coordinates: Coordinates
    ramps: Ramps | None = None

    def apply(self, x: Float) -> Float:
        """Return rows ``x`` in the coordinates."""
        return self.coordinates.apply(x if self.ramps is None else self.ramps.rows(x))


@dataclass(frozen=True)
class Problem:
    """A fit: what does not change while it runs.

    Parameters
    ----------
    race : Race
        Judges the networks of the teams.
    inputs : list of Inputs
        What each team sees.
    scaling : Scaling or None
        Of the targets.
    constant : (m,) bool array
        Targets that are the same in all rows, and are said as they are.
    dtype : dtype
        Of the network.
    batch_size : int
        Rows of a step.
    checks : frozenset of int
        Steps after which the networks are judged.
    """

    race: Race
    inputs: list[Inputs]
    scaling: Scaling | None
    constant: NDArray[np.bool_]
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
        self.shown: tuple[LineUp | None, int, Network | None] = (None, -1, None)
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

    def step(self, problem: Problem, state: State) -> None:
        """Pass over the data once."""
        race, size = problem.race, problem.batch_size
        n = len(race.teams[0].engine.rows.x)
        order = state.rng.permutation(n)
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            for begin in range(0, n - size + 1, size):
                steps = race.step(order[begin : begin + size])
                if steps in problem.checks:
                    race.check()
                    if race.over or steps == max(problem.checks):
                        state.ending = Ending.CONVERGED
                        break
        found = min(one.loss for one in race.line_ups)
        state.write(found if np.isfinite(found) else state.record.terms[-1].loss)

    def network(self, problem: Problem, state: State) -> Network:
        """Return the best network so far, on raw data."""
        best = problem.race.best
        seen, steps, network = state.shown
        if network is not None and seen is best and steps == best.steps and best.found:
            return network
        network = assemble(problem, best)
        state.shown = (best, best.steps, network)
        return network


def assemble(problem: Problem, line_up: LineUp) -> Network:
    """Return one network on raw rows whose outputs are the mean of those of the blocks."""
    parts = []
    for block in line_up.blocks:
        arrays = block.arrays or problem.race.arrays(block)
        weights, biases = ([a.astype(np.float64) for a in part] for part in arrays)
        coordinates = problem.inputs[block.team].coordinates
        weights[0], biases[0] = coordinates.to_inputs(weights[0], biases[0])
        parts.append((weights, biases))
    scale = line_up.temperature / len(parts)
    views = [problem.inputs[block.team].ramps for block in line_up.blocks]
    ramps = next((view for view in views if view is not None), None)
    last = len(parts[0][0]) - 1
    if ramps is not None:
        for (own, own_biases), view in zip(parts, views, strict=True):
            first = np.zeros((ramps.encoding.n_features, own[0].shape[1]))
            if view is None:  # columns are read by the ramps over the whole of them
                first[: len(ramps.whole)], own_biases[0] = ramps.of_columns(own[0], own_biases[0])
            else:
                first[view.bent] = own[0]
            own[0] = first
    weights = [block_diag(*(own[k] for own, _ in parts)) for k in range(last + 1)]
    weights[0] = np.hstack([own[0] for own, _ in parts])
    biases = [np.concatenate([b[k] for _, b in parts]) for k in range(last)]
    if last:
        weights[last] = np.vstack([own[last] for own, _ in parts])
    weights[last] = weights[last] * scale
    biases.append(np.sum([b[last] for _, b in parts], axis=0) * scale)
    if problem.scaling is not None:
        factor, shift = problem.scaling.factor, problem.scaling.shift
        weights[last], biases[last] = weights[last] * factor, biases[last] * factor + shift
        weights[last][:, problem.constant] = 0
        biases[last][problem.constant] = shift[problem.constant]
    names = [problem.race.teams[0].engine.activation] * last + ["identity"]
    network = Network(
        [
            Layer(
                DenseMatrix(np.ascontiguousarray(w, problem.dtype)), b.astype(problem.dtype), name
            )
            for w, b, name in zip(weights, biases, names, strict=True)
        ]
    )
    return network if ramps is None else network.encoded(ramps.encoding)


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
    settings = settings or DEFAULTS
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
        [inputs[which][0] for which, _, _ in layout],
        scaling,
        np.ptp(targets, axis=0) == 0,
        np.dtype(dtype),
        size,
        frozenset(checks),
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
        One network; ``b`` of them; half of them on columns and half on ramps.
    """
    teams = [(0, 1, 1)]
    line_ups = [LineUp([Block(0, 0)])]
    if b > 1:
        teams.append((0, b, b))
        line_ups.append(LineUp([Block(1, k) for k in range(b)]))
    if encoded:
        half = max(b // 2, 1)
        teams.append((1, half, b))
        number = len(teams) - 1
        blocks = [Block(number, k) for k in range(half)]
        if b > 1:
            blocks = [Block(1, k) for k in range(half)] + blocks
        line_ups.append(LineUp(blocks, is_encoded=True))
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
