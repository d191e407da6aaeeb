"""How the penalties of the full solver change from sweep to sweep, until they settle."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from fastbcd.objective.terms import Blocks, Penalties, Problem, input_scale
from fastbcd.solvers.convergence import ConvergenceRecord


class TauRamp(NamedTuple):
    """A tau that grows geometrically, so that compression sets in gently.

    At first the weights hardly feel their compressed copies and the copies follow the weights
    (pruned entries come back); in the end the two agree.

    Parameters
    ----------
    start, end : float
        First and last tau.
    n_sweeps : int
        Sweeps after which ``end`` is reached.
    relative : bool, default=False
        Count ``start`` in units of rho times the mean diagonal entry of the Gram matrix of each
        layer's inputs, as it is at the start of a sweep. At first the activations of deep layers
        are tiny, and so is what the data say about a weight: a tau that did not know would hold
        the weights where they are.
    most : float, default=inf
        Largest first value where it is relative.
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
    """Penalties rho, gamma and alpha that grow from balanced ones to the given ones.

    What the loss asks of the outputs reaches the first layer through one step of V and one of U
    per layer. Each passes on a share that rho/gamma and alpha/gamma decide, so a deep network with
    unbalanced penalties does not move at first. With these it does; it then keeps what it learnt.
    They stay for half of the sweeps and grow geometrically in the other half.

    Parameters
    ----------
    start : float
        First rho, gamma and alpha.
    n_sweeps : int
        Sweeps after which the given penalties are reached.
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
            alpha=_between(self.start, given.alpha, done, wanted),
        )


class Schedule(NamedTuple):
    """The course of all penalties.

    Parameters
    ----------
    ramp : TauRamp or None
        Of tau; None leaves it as the problem has it.
    growth : Growth or None
        Of the others.
    """

    ramp: TauRamp | None = None
    growth: Growth | None = None

    def apply(self, problem: Problem, blocks: list[Blocks], record: ConvergenceRecord) -> Problem:
        """Return ``problem`` with the penalties of the next sweep, tau by layer."""
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
        """Sweeps after which nothing changes any more."""
        return max(part.n_sweeps if part is not None else 0 for part in self)


def _between(first: float, last: float, sweep: int, n_sweeps: int) -> float:
    """Go from one positive number to another geometrically."""
    share = min(sweep / n_sweeps, 1.0) if n_sweeps else 1.0
    return float(last * (first / last) ** (1.0 - share))
