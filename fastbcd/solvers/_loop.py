"""The one loop that runs every solver: stopping, progress, validation, interruption."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, TextIO

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastbcd._network import Network
from fastbcd.solvers._convergence import ConvergenceRecord


class Ending(Enum):
    """Why a fit ended."""

    CONVERGED = "converged"
    NO_GAIN_IN_SCORE = "the validation score no longer rises"
    MAX_ITER = "out of sweeps"
    INTERRUPTED = "interrupted"
    NOT_FINITE = "not finite"


ADVICE = {
    Ending.MAX_ITER: "The objective was still falling after max_iter={max_iter} sweeps. Raise "
    "max_iter, or raise tol={tol} if the accuracy suffices.",
    Ending.INTERRUPTED: "Interrupted after {n_iter} sweeps; what was fitted so far is kept.",
    Ending.NOT_FINITE: "The objective is not finite after {n_iter} sweeps; the last finite "
    "weights are kept. Scale the features and targets, or use float64.",
}
"""What the warning says, for endings that deserve one."""


class Solver(Protocol):
    """What the loop needs of a solver."""

    def step(self, problem: Any, state: Any) -> None:
        """Take one sweep, and append what happened to the state's record."""
        ...

    def network(self, problem: Any, state: Any) -> Network:
        """Return the network as it stands, compressed where it shall be."""
        ...


@dataclass
class Monitor:
    """What is watched during a fit.

    Parameters
    ----------
    max_iter : int
        Most sweeps.
    tol : float
        The fit has converged when the last ``n_iter_no_change`` sweeps together lowered F by less
        than ``tol`` times its value at the start, per sweep.
    n_iter_no_change : int
        See ``tol``; with ``score``, also the sweeps without a better score that end the fit.
    score : callable, optional
        Returns the validation score of a network. The best network is kept.
    verbose : int
        1 prints a line at sweeps 1, 2, 5, 10, 20, 50, ..; 2 prints every sweep.
    stream : file, default=sys.stderr
        Where progress goes.
    """

    max_iter: int
    tol: float
    n_iter_no_change: int
    score: Callable[[Network], float] | None = None
    verbose: int = 0
    stream: TextIO | None = None


@dataclass
class Outcome:
    """What the loop returns.

    Parameters
    ----------
    network : Network
        The result: the last network, or the one of the best validation score.
    n_iter : int
        Sweeps that were finished.
    ending : Ending
        Why the fit ended.
    scores : list of float
        Validation score after each sweep, if any was asked for.
    best_iter : int
        Sweep of the best validation score (``n_iter`` without validation).
    """

    network: Network
    n_iter: int
    ending: Ending
    scores: list[float] = field(default_factory=list)
    best_iter: int = 0


def run(solver: Solver, problem: Any, state: Any, monitor: Monitor) -> Outcome:
    """Sweep until converged, interrupted or out of sweeps.

    Parameters
    ----------
    solver : Solver
        Takes the sweeps.
    problem, state
        What its ``init`` made; the state holds ``record`` and ``settled``.
    monitor : Monitor
        Stopping rules, validation and progress.

    Warns
    -----
    ConvergenceWarning
        With advice, when the fit ends for any other reason than convergence or a validation
        score that no longer rises.
    """
    record: ConvergenceRecord = state.record
    start = time.perf_counter()
    outcome = Outcome(solver.network(problem, state), 0, Ending.MAX_ITER)
    first = record.terms[0].total
    settled = 0
    best_score = -np.inf
    progress = _Progress(monitor, start)
    try:
        for n_iter in range(1, monitor.max_iter + 1):
            solver.step(problem, state)
            record.seconds.append(time.perf_counter() - start)
            after = record.terms[-1].total
            if not np.isfinite(after):
                outcome.ending = Ending.NOT_FINITE
                break
            outcome.n_iter = n_iter
            network = solver.network(problem, state)
            if monitor.score is None:
                outcome.network, outcome.best_iter = network, n_iter
            else:
                outcome.scores.append(monitor.score(network))
                if outcome.scores[-1] > best_score:
                    best_score = outcome.scores[-1]
                    outcome.network, outcome.best_iter = network, n_iter
            progress.line(outcome, after, last=n_iter == monitor.max_iter)
            if monitor.score is not None and n_iter - outcome.best_iter >= monitor.n_iter_no_change:
                outcome.ending = Ending.NO_GAIN_IN_SCORE
                break
            if getattr(state, "finished", False):  # a solver with a schedule of its own
                outcome.ending = Ending.CONVERGED
                break
            settled = settled + 1 if state.settled else 0
            window = record.decreases[-monitor.n_iter_no_change :]
            if settled >= monitor.n_iter_no_change and window.mean() <= monitor.tol * abs(first):
                outcome.ending = Ending.CONVERGED
                break
    except KeyboardInterrupt:
        outcome.ending = Ending.INTERRUPTED
    if outcome.ending in ADVICE:
        advice = ADVICE[outcome.ending].format(
            max_iter=monitor.max_iter, tol=monitor.tol, n_iter=outcome.n_iter
        )
        warnings.warn(advice, ConvergenceWarning, stacklevel=4)
    return outcome


class _Progress:
    """Prints one line per sweep, or per 1, 2, 5, 10, .. sweeps."""

    def __init__(self, monitor: Monitor, start: float) -> None:
        self._monitor = monitor
        self._start = start

    def line(self, outcome: Outcome, objective: float, last: bool) -> None:
        verbose, n_iter = self._monitor.verbose, outcome.n_iter
        if not verbose:
            return
        leading = n_iter / 10 ** int(np.log10(n_iter))
        if verbose == 1 and not last and leading not in (1, 2, 5):
            return
        elapsed = time.perf_counter() - self._start
        score = f"  validation {outcome.scores[-1]:.4f}" if outcome.scores else ""
        size = f"{outcome.network.n_bytes / 1000:.1f} kB"
        sweep = f"sweep {n_iter:4d}/{self._monitor.max_iter}"
        line = f"{sweep}  {elapsed:7.1f} s  F {objective:.5e}{score}  {size}\n"
        (self._monitor.stream or sys.stderr).write(line)
