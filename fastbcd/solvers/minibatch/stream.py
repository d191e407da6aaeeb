"""Learning from a stream: batches that come one call at a time, for ``partial_fit``.

A fit measures its data before it begins: the coordinates of the inputs, the units of the targets,
how large a loss is out of the ordinary. The first rows of a stream tell little of that. So they
are remembered until there are enough, and each time that their number has doubled the stream
begins anew with what is known by then, and goes through them once more. Later on, the network
is expressed in new coordinates and units whenever the old ones turn out to be wrong.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.network.network import Network
from fastbcd.parallel import blas_threads as blas_threads
from fastbcd.solvers.minibatch.coordinates import rebase, set_weights
from fastbcd.solvers.minibatch.problem import MiniBatchProblem, batches, check_finite, prepare
from fastbcd.solvers.minibatch.refresh import refreshed
from fastbcd.solvers.minibatch.rows import Block, Rows
from fastbcd.solvers.minibatch.solver import MiniBatchSolver
from fastbcd.solvers.minibatch.start import first_weights
from fastbcd.solvers.minibatch.state import State
from fastbcd.solvers.minibatch.targets import RunningTargets, rescale_outputs
from fastbcd.statistics.inputs import MANY, InputMap, Moments
from fastbcd.utils.types import Float
from fastbcd_kernels import minibatch_weights

EARLY_ROWS = 256
"""Rows that are remembered: at first all, later on some of all that were seen."""

EARLY_SIZE = 1 << 22
"""Numbers in them, at most; at least 32 rows."""

STREAM_BATCH = 128
"""Rows of a step, at most."""

WINDOW = 50
"""Steps over which the weights of a stream are averaged."""

PRIOR_ROWS = 1.0
"""Rows of evenly spread variation that are assumed before any were seen."""


class Stream:
    """A fit without an end, fed by :meth:`learn`.

    The weights keep their meaning in the coordinates of the data, whatever the coordinates of the
    fit. The network is the running average of the weights.

    Parameters
    ----------
    problem : MiniBatchProblem
        With a schedule of no steps. Its rows only say the widths and the type.
    rng : Generator
        Source of randomness.
    start : Network, optional
        Network on raw data to start from.
    targets : RunningTargets, optional
        What measures the targets, if they are to be scaled.
    """

    def __init__(
        self,
        problem: MiniBatchProblem,
        rng: np.random.Generator,
        start: Network | None = None,
        targets: RunningTargets | None = None,
    ) -> None:
        self.problem = problem
        self.n_seen: int = 0
        self._rng = rng
        self._choice = rng.spawn(1)[0]
        self._start = start
        self._targets = targets
        self._solver = MiniBatchSolver()
        self._n_early = int(np.clip(EARLY_SIZE // problem.rows.d, 32, EARLY_ROWS))
        self._calls: list[Block] = []  # early ones, targets as they came
        self._some: Float = np.empty((0, problem.rows.d), problem.rows.dtype)
        self._moments: Moments | None = None
        self._varied: NDArray[np.bool_] = np.zeros(0, bool)
        self._known: NDArray[np.bool_] = np.zeros(problem.rows.n_out, bool)
        self._next_measure = 0
        self._measure_until = 0
        self._state: State | None = None

    @property
    def state(self) -> State:
        """The state of the fit."""
        if self._state is None:
            raise ValueError("The stream has not seen any rows yet.")
        return self._state

    def learn(self, x: Float, y: NDArray[Any], sample_weight: NDArray[Any] | None = None) -> float:
        """Learn from some rows, once.

        Parameters
        ----------
        x : (n, d) array or sparse matrix
            Inputs.
        y : (n,) integer array or (n, k) array
            Class numbers, or targets.
        sample_weight : (n,) array, optional
            Non-negative weights; one is normal.

        Returns
        -------
        float
            Mean loss over the rows, before they were learnt from; not a number if the steps
            diverged and were taken back.

        Raises
        ------
        ValueError
            If an entry is not finite. Nothing has changed then.
        """
        old = self.problem.rows
        rows = Rows(x, y, None, old.n_out, old.dtype)
        if rows.n == 0:
            return float("nan")
        x, _, weight = rows.read(slice(0, rows.n))
        if sample_weight is not None:
            weight = np.asarray(sample_weight).astype(old.dtype)
        check_finite(x, y)
        block = x, y, weight
        if self._state is not None:
            self._state.own_arrays()
        if self.n_seen >= self._n_early:
            self._count(block)
            return self._take(block)
        self._calls.append((x, np.array(y), weight))
        begun = self._begin(again=False)
        loss = self._take(block)
        if not np.isfinite(loss) and not begun:
            self._begin(again=True)
            loss = self._take(block)
        if self.n_seen >= self._n_early:  # enough: from now on, some of the rows will do
            every = np.concatenate([call[0] for call in self._calls], dtype=self.problem.rows.dtype)
            self._some = every[self._choice.permutation(len(every))[: self._n_early]]
            self._calls = []
        return loss

    def network(self) -> Network:
        """Return the averaged network on raw data."""
        return self._solver.network(self.problem, self.state)

    def _take(self, block: Block) -> float:
        """Take the steps of some rows, whose targets are as they came."""
        state, known = self.state, self.problem.rows
        x, y, weight = block[0], block[1], block[2].astype(known.dtype, copy=False)
        rows = Rows(x, y, None, known.n_out, known.dtype, known.scaling)
        state.take_snapshot()
        losses = []
        scaled = np.array(x, known.dtype), rows.targets(slice(0, rows.n)), weight
        for batch in batches(prepare(self.problem, state, scaled), STREAM_BATCH, whole=False):
            with blas_threads.one_blas_pool():
                losses.append(self._solver.batch(self.problem, state, batch))
            if np.isfinite(losses[-1]):
                state.recent.count += 1
                share = max(2 / (state.recent.count + 1), 1 / WINDOW)
                for mean, value in zip(state.recent.arrays, state.trainables(), strict=True):
                    minibatch_weights.average(mean, value, min(share, 1.0))
        if np.isfinite(losses).all():
            state.brake = min(1.0, state.brake * 1.1)  # a bad moment need not slow it for good
        return float(np.mean(losses))

    def _seen(self, x: Float, weight: Float) -> tuple[Float, Float]:
        """Return rows as the first layer's weights see them."""
        view = self.problem.layout.views[0]
        return view.rows(x), np.repeat(weight, view.positions)

    def _begin(self, again: bool) -> bool:
        """Count the last of the early calls in, and begin anew if more is known by now.

        ``again``: begin in any case; it has been counted already.
        """
        before, block = self._calls[:-1], self._calls[-1]
        targets = self._targets
        if not again:
            self.n_seen += len(block[0])
            if targets is not None:
                targets.add(block[1], block[2])
        scaling = self.problem.rows.scaling
        grown = self.n_seen >= min(self._next_measure, self._n_early)
        if targets is not None and scaling is not None:
            grown = grown or targets.differ(scaling, self._known)
        if not again and self._state is not None and not grown:
            return False
        x, y, weight = (np.concatenate(parts) for parts in zip(*self._calls, strict=True))
        if targets is not None:
            self._use(targets)
            x = x.astype(self.problem.rows.dtype, copy=False)
            weight = weight.astype(x.dtype, copy=False)
        self._moments = Moments.of_sample(*self._seen(x, weight))
        self._varied = self._moments.varied
        self._next_measure = 2 * self.n_seen
        self._measure_until = max(8192, 16 * min(x.shape[1], MANY))
        inputs = self._moments.input_map(truncate=False, prior=PRIOR_ROWS)
        known = self.problem.rows
        rows = Rows(x, y, None, known.n_out, known.dtype, known.scaling)
        solver = self._solver
        self._state = solver.start_at(self.problem, inputs, deepcopy(self._rng), self._start)
        if self._varied.any():
            self._set_weights(~self._varied, None)  # what never varies says nothing
        solver.observe(self.problem, self._state, (x, rows.targets(slice(0, rows.n)), weight))
        for call in before:
            self._take(call)
        return True

    def _use(self, targets: RunningTargets) -> None:
        """Measure the targets as they are known by now."""
        rows = self.problem.rows
        # Once the network has begun to learn for good, its type stays.
        exact = targets.float32_tells or not self._calls
        kind = rows.dtype if exact else np.dtype(np.float64)
        fresh = Rows(rows.x, rows.y, rows.sample_weight, rows.n_out, kind, targets.scaling)
        self.problem = replace(self.problem, rows=fresh)
        self._known = targets.known

    def _count(self, block: Block) -> None:
        """Count rows in; renew the coordinates of the data where they are not what was thought."""
        x, weight = self._seen(block[0], block[2])
        self._keep_some(block[0])
        self.n_seen += len(block[0])
        measuring = self.n_seen <= self._measure_until
        assert self._moments is not None
        if measuring:
            self._moments = self._moments.add(x, weight)
        state, targets = self.state, self._targets
        if self.n_seen >= self._next_measure:
            self._next_measure = 2 * self.n_seen
            some = self._seen(self._some, np.ones(len(self._some), self._some.dtype))
            found = Moments.of_sample(*some, self._moments)
            if self._moments.unlike(found):
                self._moments = self._moments.in_units_of(found)
                self._measure_until = max(self._measure_until, 2 * self.n_seen)
                measuring = True
            if measuring:
                inputs = self._moments.input_map(truncate=False, prior=PRIOR_ROWS)
                self._forget_guesses(inputs)
                rebase(state, inputs)
        scaling = self.problem.rows.scaling
        if targets is not None and scaling is not None:
            targets.add(block[1], block[2])
            if targets.differ(scaling, self._known):
                warm = np.ones_like(self._known)
                known = self._known if self._start is None else warm
                rescale_outputs(self.problem, state, targets.scaling, known)
                self._use(targets)
                state.first_loss = targets.blank_loss(targets.scaling)
                refreshed(state, self.problem.settings)

    def _forget_guesses(self, inputs: InputMap) -> None:
        """Set the weights of inputs that begin to vary to zero: their unit was a guess."""
        assert self._moments is not None
        before, now = self._varied, self._moments.varied
        self._varied = before | now
        if before.any():
            self._set_weights(now & ~before, None)
        else:  # nothing was more than a guess
            drawn = first_weights(self.problem, inputs, self._choice)[0][0]
            raw = self.problem.schemes[0] is not None
            self._set_weights(now, drawn if raw else inputs.to_inputs(drawn))

    def _set_weights(self, which: NDArray[np.bool_], values: Float | None) -> None:
        if self._start is None and which.any():  # those of a network to start from mean something
            set_weights(self.state, which, values)

    def _keep_some(self, x: Float) -> None:
        """Keep each of all rows seen with the same probability (Vitter's algorithm R, 1985)."""
        place = self._choice.integers(0, self.n_seen + 1 + np.arange(len(x)))
        kept = np.flatnonzero(place < len(self._some))
        self._some = np.array(self._some)  # it may be mapped from a file
        self._some[place[kept]] = x[kept]
