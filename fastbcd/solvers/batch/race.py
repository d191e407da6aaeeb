"""The race: which networks, and after how many steps, by the loss on rows held out."""

from __future__ import annotations

from collections.abc import Sequence
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
class Block:
    """One of the networks side by side that a line-up consists of.

    Parameters
    ----------
    team : int
        Number of the :class:`LockStep` that trains it.
    place : int
        Which of its blocks it is.
    """

    team: int
    place: int
    arrays: tuple[list[Float], list[Float]] | None = None


@dataclass
class LineUp:
    """Networks side by side, whose outputs are averaged: an entrant of the race.

    Parameters
    ----------
    blocks : list of Block
        The networks.
    """

    blocks: list[Block]
    loss: float = np.inf
    own_loss: float = -np.inf
    fell: float = np.inf
    rows: Float64 = field(default_factory=lambda: np.empty(0))
    steps: int = 0
    waited: int = 0
    checks: int = 0
    temperature: float = 1.0
    found: bool = False
    running: bool = True


class Team:
    """Blocks that are trained in lock-step, each by one network per fold and one of all rows.

    Parameters
    ----------
    engine : LockStep
        Its networks: those of the first block come first; of each block those of the folds, then
        the one that learns from all rows.
    judged : Float, optional
        Other rows to judge by, in the coordinates of the engine.
    """

    def __init__(self, engine: LockStep, judged: Float | None = None) -> None:
        self.engine, self.judged = engine, judged


class Race:
    """Judges the networks of some teams at its checks.

    Parameters
    ----------
    teams : sequence of Team
        The networks.
    line_ups : list of LineUp
        What races.
    fold : (n,) array
        Fold of each row; -1 for those that are never held out.
    y, weight : (n, k) and (n,) arrays
        Targets and weights of all rows; with ``judged`` of the teams, those of the other rows.
    loss : str
        Name of the loss.
    settings : BatchSettings
        Numbers of the method.
    """

    def __init__(
        self,
        teams: Sequence[Team],
        line_ups: list[LineUp],
        fold: NDArray[np.int64],
        y: Float,
        weight: Float64,
        loss: str,
        settings: BatchSettings,
    ) -> None:
        self.teams, self.line_ups, self.loss, self.settings = teams, line_ups, loss, settings
        tempered = loss in TEMPERED
        self.patience = settings.patience if tempered else settings.untempered_patience
        self.halve_at = settings.halve_folds_at if tempered else ()
        self.n_folds = int(fold.max()) + 1
        self.each = self.n_folds + 1
        self.held = [np.flatnonzero(fold == k) for k in range(self.n_folds)]
        index = np.concatenate(self.held) if self.held else slice(None)
        self.y, self.weight = y[index], weight[index]
        self.all_y, self.all_weight = y, weight
        self.steps = self.checks = 0
        self.needed = [
            max(b.place for one in line_ups for b in one.blocks if b.team == k) + 1
            for k in range(len(teams))
        ]

    @property
    def best(self) -> LineUp:
        """The line-up of the least held-out loss so far."""
        return min(self.line_ups, key=lambda one: one.loss)

    @property
    def over(self) -> bool:
        """Whether no line-up has a hope left."""
        return not any(one.running for one in self.line_ups)

    def advance(self, order: NDArray[np.int64]) -> None:
        """Take one step of all networks on the rows of each row of ``order`` (s, b)."""
        for team, needed in zip(self.teams, self.needed, strict=True):
            if needed:
                team.engine.advance(order)
        self.steps += len(order)

    def forget(self) -> None:
        """Let the race begin: what was judged so far is no result."""
        for one in self.line_ups:
            one.loss, one.waited, one.checks, one.found = np.inf, 0, 0, False
        self.checks = 0

    def check(self) -> None:
        """Judge all networks that still run, and let losers go."""
        outputs: dict[tuple[int, int], tuple[Float, Float]] = {}
        for team, needed in zip(self.teams, self.needed, strict=True):
            if needed:
                team.engine.average()
        for one in self.line_ups:
            if one.running:
                self._judge(one, outputs)
        best = self.best
        for one in self.line_ups:
            old = one.checks >= self.settings.leave_after
            if old and one.running and one is not best and self._behind(one, best):
                # It does not come back where fewer rows judge.
                one.running, one.found, one.loss = False, False, np.inf
        self._count()
        self.checks += 1
        if self.checks in self.halve_at and self.n_folds > 2:
            self._halve_folds()

    def arrays(self, block: Block) -> tuple[list[Float], list[Float]]:
        """Return weights and biases of the network of all rows, as they are now."""
        own = self.teams[block.team].engine.averaged((block.place + 1) * self.each - 1)
        return [a.copy() for a in own[0]], [a.copy() for a in own[1]]

    def _behind(self, one: LineUp, best: LineUp) -> bool:
        """Return whether the best line-up leads by more than noise and its last improvement.

        While it still improves by more than its lead, the lead may be one of pace alone.
        """
        gap = one.rows - best.rows
        error = np.sqrt(np.sum(np.square(self.weight * (gap - np.average(gap)))))
        noise = self.settings.leave_behind * float(error / self.weight.sum())
        return one.loss - best.loss > max(noise, self.settings.leave_ahead * best.fell)

    def _count(self) -> None:
        """Let blocks go that no line-up of the race has any more."""
        for number, team in enumerate(self.teams):
            places = [
                block.place
                for one in self.line_ups
                if one.running
                for block in one.blocks
                if block.team == number
            ]
            needed = max(places, default=-1) + 1
            if 0 < needed < self.needed[number]:
                team.engine.keep(slice(needed * self.each))
            self.needed[number] = needed

    def _halve_folds(self) -> None:
        """Go on with half of the folds, and judge by their rows alone, also what was judged before.

        Fits that go on so long learn regular data, of which fewer rows tell enough.
        """
        n, old = self.n_folds // 2, self.each
        for team, needed in zip(self.teams, self.needed, strict=True):
            kept = [*range(n), old - 1]  # the last one learns from all rows
            if needed:
                team.engine.keep([place * old + k for place in range(needed) for k in kept])
        self.n_folds, self.each, self.held = n, n + 1, self.held[:n]
        n_rows = sum(len(rows) for rows in self.held)
        self.y, self.weight = self.y[:n_rows], self.weight[:n_rows]
        for one in self.line_ups:
            if one.found:
                one.rows = one.rows[:n_rows]
                one.loss = max(float(np.average(one.rows, weights=self.weight)), one.own_loss)

    def _outputs(self, block: Block) -> tuple[Float, Float]:
        """Return outputs for the rows that judge, and for those that all of them learn from.

        The former are of networks that did not learn from the rows. The latter are of the network
        that learns from all rows, and would be returned; without folds there is but one network.
        """
        engine, first = self.teams[block.team].engine, block.place * self.each
        judged = self.teams[block.team].judged
        if judged is not None:
            found = engine.outputs(first, judged)
            return found, found
        x = engine.rows.x
        parts = [engine.outputs(first + k, x[rows]) for k, rows in enumerate(self.held)]
        return np.concatenate(parts), engine.outputs(first + self.n_folds, x)

    def _judge(self, one: LineUp, outputs: dict[tuple[int, int], tuple[Float, Float]]) -> None:
        for block in one.blocks:
            key = block.team, block.place
            if key not in outputs:
                outputs[key] = self._outputs(block)
        each = [outputs[block.team, block.place] for block in one.blocks]
        held, learnt = (np.mean(parts, axis=0) for parts in zip(*each, strict=True))
        one.checks += 1
        if not (np.isfinite(held).all() and np.isfinite(learnt).all()):
            one.running = False
            return
        factor = 1.0
        if self.loss in TEMPERED:
            spread = self.settings.temperature_spread
            factor = fit_temperature(held, self.y, self.weight, spread, self.loss)
        rows = row_losses(factor * held, self.y, self.loss)
        mean, own_loss = float(np.average(rows, weights=self.weight)), -np.inf
        if self.held:
            # A network knows the rows that it has learnt from. If it misses more of them than the
            # others miss of rows that they have not seen, its path went astray.
            own = row_losses(factor * learnt, self.all_y, self.loss)
            own_loss = float(np.average(own, weights=self.all_weight))
            mean = max(mean, own_loss)
        one.waited += 1
        one.fell = max(one.loss - mean, 0.0)
        if mean < one.loss:
            for block in one.blocks:
                block.arrays = self.arrays(block)
            one.loss, one.own_loss = mean, own_loss
            one.rows, one.temperature = rows, factor
            one.steps, one.waited, one.found = self.steps, 0, True
        one.running = one.waited < self.patience
