"""How the penalties of the full solver change from sweep to sweep until they are constant."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from fastbcd.objective.terms import Blocks, Penalties, Problem, input_scale
from fastbcd.solvers.convergence import ConvergenceRecord


class TauRamp(NamedTuple):
    """A tau that grows geometrically, so that compression begins gently.

    At first tau hardly moves the weights, and the compressed copies follow them: pruned entries can
    return. At the end the weights and their copies agree.

    Parameters
    ----------
    start, end : float
        First and last tau.
    n_sweeps : int
        Number of sweeps until ``end`` is reached.
    relative : bool, default=False
        Whether ``start`` is in units of rho times the mean diagonal entry of the Gram matrix of
        each layer's inputs, measured at the start of a sweep. At first the activations of deep
        layers are tiny, so the data terms are weak too, and a constant tau would not let the
        weights move.
    most : float, default=inf
        Maximum of the first value if it is relative.
    """

    start: float
    end: float
    n_sweeps: int
    relative: bool = False
    most: float = math.inf

    def at(self, sweep: int) -> float:
        """Return tau of a sweep, counted from 0."""
        return _between(self.start, self.end, sweep, self.n_sweeps)


class Growth(NamedTuple):
    """Penalties rho, gamma and proximal that grow from balanced values to the given values.

    The residual of the loss reaches the first layer through one V-step and one U-step per layer.
    Each step passes on a fraction that depends on rho/gamma and proximal/gamma, so a deep network
    with unbalanced penalties does not move at first. With balanced penalties it moves, and it keeps
    what it has learnt when they change. The penalties are constant for half of the sweeps and grow
    geometrically in the other half.

    Parameters
    ----------
    start : float
        First rho, gamma and proximal.
    n_sweeps : int
        Number of sweeps until the given penalties are reached.
    """

    start: float
    n_sweeps: int

    def at(self, sweep: int, given: Penalties) -> Penalties:
        """Return the penalties of a sweep, counted from 0."""
        hold = self.n_sweeps // 2
        done, wanted = max(sweep - hold, 0), self.n_sweeps - hold
        return replace(
            given,
            rho=_between(self.start, given.rho, done, wanted),
            gamma=_between(self.start, given.gamma, done, wanted),
            proximal=_between(self.start, given.proximal, done, wanted),
        )


class Schedule(NamedTuple):
    """The schedule of all penalties.

    Parameters
    ----------
    ramp : TauRamp or None
        Schedule of tau; None keeps the tau of the problem.
    growth : Growth or None
        Schedule of the other penalties; None keeps those of the problem.
    """

    ramp: TauRamp | None = None
    growth: Growth | None = None

    def apply(self, problem: Problem, blocks: list[Blocks], record: ConvergenceRecord) -> Problem:
        """Return ``problem`` with the penalties of the next sweep; tau has one value per layer."""
        n_done = len(record.step_norm)
        p = problem.penalties if self.growth is None else self.growth.at(n_done, problem.penalties)
        layers = range(len(blocks))
        if self.ramp is None:
            tau = tuple(p.tau_of(index) for index in layers)
        elif not self.ramp.relative:
            tau = (self.ramp.at(n_done),) * len(blocks)
        else:
            share, end, n_sweeps, _, most = self.ramp
            starts = (share * p.rho * input_scale(problem, blocks, index) for index in layers)
            tau = tuple(_between(min(start, most), end, n_done, n_sweeps) for start in starts)
        return replace(problem, penalties=replace(p, tau=tau))

    @property
    def settles(self) -> int:
        """Number of sweeps after which all penalties are constant."""
        return max(part.n_sweeps if part is not None else 0 for part in self)


def _between(first: float, last: float, sweep: int, n_sweeps: int) -> float:
    """Return the geometric interpolation between two positive numbers at a sweep."""
    share = min(sweep / n_sweeps, 1.0) if n_sweeps else 1.0
    return float(last * (first / last) ** (1.0 - share))
