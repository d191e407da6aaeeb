"""One pass of the race as a sweep of the common loop, and the network that leads it."""

from __future__ import annotations

from dataclasses import dataclass
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
from fastbcd.solvers.batch.race import LineUp, Race
from fastbcd.solvers.batch.ramps import Ramps
from fastbcd.solvers.convergence import ConvergenceRecord
from fastbcd.solvers.loop import Ending
from fastbcd.utils.types import Float


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
    activation : str
        Of the hidden layers.
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
    checks : list of int
        Steps after which the networks are judged, in ascending order.
    """

    race: Race
    activation: str
    inputs: list[Inputs]
    scaling: Scaling | None
    constant: NDArray[np.bool_]
    dtype: np.dtype[Any]
    batch_size: int
    checks: list[int]


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
        order = state.rng.permutation(n)[: n // size * size].reshape(-1, size)
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            while len(order) and state.ending is None:
                due = next(at for at in problem.checks if at > race.steps) - race.steps
                race.advance(order[:due])
                if len(order) >= due:
                    race.check()
                    if race.over or race.steps == problem.checks[-1]:
                        state.ending = Ending.CONVERGED
                order = order[due:]
        found = min(one.loss for one in race.line_ups)
        last = state.record.terms[-1].loss  # of fewer folds, the least loss may be another one
        state.write(min(found, last) if np.isfinite(found) else last)

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
    names = [problem.activation] * last + ["identity"]
    network = Network(
        [
            Layer(
                DenseMatrix(np.ascontiguousarray(w, problem.dtype)), b.astype(problem.dtype), name
            )
            for w, b, name in zip(weights, biases, names, strict=True)
        ]
    )
    return network if ramps is None else network.encoded(ramps.encoding)
