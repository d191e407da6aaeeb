"""The one loop that runs every solver: stopping, progress, validation, interruption."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, TextIO

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastbcd.network.network import Network
from fastbcd.solvers.convergence import ConvergenceRecord
from fastbcd.utils.progress import duration
from fastbcd.utils.warnings import warn


class Ending(Enum):
    """Why a fit ended."""

    CONVERGED = "converged"
    NO_GAIN_IN_SCORE = "the validation score no longer rises"
    MAX_ITER = "out of sweeps"
    INTERRUPTED = "interrupted"
    CALLBACK = "a callback said stop"
    DIVERGING = "diverging"
    NOT_FINITE = "not finite"


ADVICE = {
    Ending.MAX_ITER: "The objective was still falling after max_iter={max_iter} sweeps. Raise "
    "max_iter, or raise tol={tol} if the accuracy suffices.",
    Ending.INTERRUPTED: "Interrupted after {n_iter} {sweep}s; what was fitted so far is kept.",
    Ending.DIVERGING: "The steps kept diverging, at ever smaller lengths, and were taken back; "
    "the last sound weights, of {sweep} {n_iter}, are kept. Scale the features and targets, and "
    "look for outliers.",
    Ending.NOT_FINITE: "The objective is not finite after {n_iter} sweeps; the last finite "
    "weights are kept. Scale the features and targets, or use float64.",
}
"""What the warning says, for endings that deserve one."""

QUIET_SECONDS = 2.0
"""With ``verbose=1``, no longer silence than this and a sweep."""


class Solver(Protocol):
    """What the loop needs of a solver."""

    sweep_name: str
    """What one of its steps is called: "sweep" or "epoch"."""

    def step(self, problem: Any, state: Any) -> None:
        """Take one sweep, and append what happened to the state's record."""
        ...

    def network(self, problem: Any, state: Any) -> Network:
        """Return the network as it stands, compressed where it shall be."""
        ...


class Task(Protocol):
    """Whoever wants to be told of a fit while it runs."""

    def begin(self, name: str, most: int) -> None:
        """Begin a fit of at most ``most`` sweeps; ``name`` is what a sweep is called."""
        ...

    def begin_sweep(self) -> None:
        """Begin a sweep."""
        ...

    def end_sweep(self, network: Network) -> bool:
        """End the sweep with ``network``; return whether to stop."""
        ...

    def end(self, network: Network) -> None:
        """End the fit with ``network``."""
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
        1 prints a line at sweeps 1, 2, 5, 10, 20, 50, .. and whenever two seconds went by without
        one; 2 prints every sweep.
    stream : file, default=sys.stderr
        Where progress goes.
    task : Task, optional
        Is told of the sweeps, and may end the fit.
    """

    max_iter: int
    tol: float
    n_iter_no_change: int
    score: Callable[[Network], float] | None = None
    verbose: int = 0
    stream: TextIO | None = None
    task: Task | None = None


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
        What its ``init`` made; the state holds ``record`` and ``settled``, and ``ending`` if the
        solver itself knows when it is done.
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
    best_score = np.nan
    progress = _Progress(monitor, solver.sweep_name, start)
    task = monitor.task
    if task is not None:
        task.begin(solver.sweep_name, monitor.max_iter)
    try:
        for n_iter in range(1, monitor.max_iter + 1):
            if task is not None:
                task.begin_sweep()
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
                # A score that is no number decides nothing: the last network is kept until one is.
                if np.isnan(best_score) or outcome.scores[-1] > best_score:
                    best_score = outcome.scores[-1]
                    outcome.network, outcome.best_iter = network, n_iter
            progress.line(outcome, after, last=n_iter == monitor.max_iter)
            if task is not None and task.end_sweep(network):
                outcome.ending = Ending.CALLBACK
                break
            if monitor.score is not None and n_iter - outcome.best_iter >= monitor.n_iter_no_change:
                outcome.ending = Ending.NO_GAIN_IN_SCORE
                break
            ending = getattr(state, "ending", None)
            if ending is not None:  # a solver with a schedule of its own
                outcome.ending = ending
                break
            settled = settled + 1 if state.settled else 0
            window = record.decreases[-monitor.n_iter_no_change :]
            if settled >= monitor.n_iter_no_change and window.mean() <= monitor.tol * abs(first):
                outcome.ending = Ending.CONVERGED
                break
    except KeyboardInterrupt:
        outcome.ending = Ending.INTERRUPTED
        if outcome.n_iter == 0:  # not even one sweep: take what there is of the first
            outcome.network = solver.network(problem, state)
    if task is not None:
        task.end(outcome.network)
    if outcome.ending in ADVICE:
        advice = ADVICE[outcome.ending].format(
            max_iter=monitor.max_iter,
            tol=monitor.tol,
            n_iter=outcome.n_iter,
            sweep=solver.sweep_name,
        )
        warn(advice, ConvergenceWarning)
    return outcome


class _Progress:
    """Prints one line per sweep, or some of them."""

    def __init__(self, monitor: Monitor, sweep_name: str, start: float) -> None:
        self._monitor = monitor
        self._name = sweep_name
        self._start = self._printed = start
        self._first = 0.0

    def line(self, outcome: Outcome, objective: float, last: bool) -> None:
        verbose, n_iter = self._monitor.verbose, outcome.n_iter
        if not verbose:
            return
        now = time.perf_counter()
        if n_iter == 1:
            self._first = now
        leading = n_iter / 10 ** int(np.log10(n_iter))
        waited = now - self._printed > QUIET_SECONDS
        if verbose == 1 and not last and not waited and leading not in (1, 2, 5):
            return
        self._printed = now
        most = self._monitor.max_iter
        elapsed = now - self._start
        line = f"{self._name} {n_iter:{len(str(most))}d}/{most}  {elapsed:6.1f} s"
        line += f"  F {objective:.4e}"
        if outcome.scores:
            line += f"  score {outcome.scores[-1]:.4f}"
        line += f"  {outcome.network.n_bytes / 1000:.1f} kB"
        if 1 < n_iter < most:
            # The first sweep may have compiled the kernels, and says nothing of the others.
            left = (now - self._first) / (n_iter - 1) * (most - n_iter)
            line += f"  at most {duration(left)} left"
        (self._monitor.stream or sys.stderr).write(line + "\n")
