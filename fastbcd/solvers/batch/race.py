"""The race: which entrant, and after how many steps, by the loss on rows held out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastbcd.solvers.batch.engine import LockStep
from fastbcd.solvers.batch.settings import BatchSettings
from fastbcd.solvers.batch.temperature import fit_temperature, row_losses
from fastbcd.utils.types import Float, Float64

TEMPERED = ("cross_entropy", "logistic")
"""Losses whose outputs are logarithms of probabilities, which a factor corrects."""


def stratified_folds(
    labels: NDArray[np.int64] | None, n: int, n_folds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the fold of each row: every class is spread evenly, and so are the sizes."""
    order = rng.permutation(n)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(n, np.int64)
    fold[order] = np.arange(n) % n_folds
    return fold


@dataclass
class Lane:
    """One entrant of the race.

    Parameters
    ----------
    entrant : int
        Its number.
    first : int
        Number of its first network; those of the folds come first, that of all rows last.
    """

    entrant: int
    first: int
    loss: float = np.inf
    rows: Float64 = field(default_factory=lambda: np.empty(0))
    steps: int = 0
    waited: int = 0
    checks: int = 0
    temperature: float = 1.0
    arrays: tuple[list[Float], list[Float]] | None = None
    running: bool = True


class Race:
    """Judges the networks of a :class:`LockStep` at its checks.

    Parameters
    ----------
    engine : LockStep
        The networks: for each entrant one per fold and, unless ``judges`` is given, one that
        learns from all rows.
    n_entrants : int
        Entrants.
    fold : (n,) array
        Fold of each row; -1 for those that are never held out.
    weight : (n,) array
        Weights of the rows.
    judges : (x, y, weight), optional
        Other rows to judge by: then there is one network for each entrant.
    """

    def __init__(
        self,
        engine: LockStep,
        n_entrants: int,
        fold: NDArray[np.int64],
        weight: Float64,
        settings: BatchSettings,
        judges: tuple[Float, Float, Float64] | None = None,
    ) -> None:
        self.engine, self.settings, self.judges = engine, settings, judges
        self.n_folds = int(fold.max()) + 1 if judges is None else 0
        self.each = self.n_folds + 1
        self.lanes = [Lane(k, k * self.each) for k in range(n_entrants)]
        self.held = [np.flatnonzero(fold == k) for k in range(self.n_folds)]
        if judges is None:
            index = np.concatenate(self.held)
            self.y, self.weight = engine.rows.y[index], weight[index]
        else:
            self.y, self.weight = judges[1], judges[2]

    @property
    def best(self) -> Lane:
        """The entrant of the least held-out loss so far."""
        return min(self.lanes, key=lambda lane: lane.loss)

    @property
    def over(self) -> bool:
        """Whether no entrant has a hope left."""
        return not any(lane.running for lane in self.lanes)

    def check(self) -> None:
        """Judge all networks that still run, and let losers go."""
        engine = self.engine
        engine.average()
        for lane in self.lanes:
            if lane.running:
                self._judge(lane)
        best = self.best
        for lane in self.lanes:
            if lane.running and lane is not best and lane.checks >= self.settings.leave_after:
                gap = lane.rows - best.rows
                error = np.sqrt(np.sum(np.square(self.weight * (gap - np.average(gap)))))
                error /= self.weight.sum()
                if lane.loss - best.loss > self.settings.leave_behind * error:
                    lane.running = False
        left = [lane for lane in self.lanes if lane.running]
        if left and len(left) * self.each < len(engine.entrants):
            chosen = np.concatenate([lane.first + np.arange(self.each) for lane in left])
            engine.keep(chosen)
            for place, lane in enumerate(left):
                lane.first = place * self.each

    def _judge(self, lane: Lane) -> None:
        engine, loss = self.engine, self.engine.loss
        if self.judges is None:
            parts = [
                engine.outputs(lane.first + k, engine.rows.x[rows])
                for k, rows in enumerate(self.held)
            ]
            outputs = np.concatenate(parts)
        else:
            outputs = engine.outputs(lane.first, self.judges[0])
        lane.checks += 1
        if not np.isfinite(outputs).all():
            lane.running = False
            return
        factor = 1.0
        if loss in TEMPERED:
            spread = self.settings.temperature_spread
            factor = fit_temperature(outputs, self.y, self.weight, spread, loss)
        rows = row_losses(factor * outputs, self.y, loss)
        mean = float(np.average(rows, weights=self.weight))
        lane.waited += 1
        if mean < lane.loss:
            own = engine.averaged(lane.first + self.each - 1)
            lane.arrays = ([a.copy() for a in own[0]], [a.copy() for a in own[1]])
            lane.loss, lane.rows, lane.temperature = mean, rows, factor
            lane.steps, lane.waited = engine.steps, 0
        lane.running = lane.waited < self.settings.patience
