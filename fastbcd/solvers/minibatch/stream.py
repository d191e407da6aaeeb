"""Learning from a stream of batches, one call at a time, for ``partial_fit``.

A fit measures its data before it begins: the coordinates of the inputs, the units of the targets,
and the loss above which a step is rejected. The first rows of a stream say little about these. The
stream therefore remembers its first rows. Each time their number has doubled, it starts again with
the new measurements and learns the remembered rows once more. Later, it changes the coordinates and
units of the network whenever the old ones prove wrong.
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

EARLY_SIZE = 1 << 22
"""Maximum number of entries in the rows that a stream remembers, but at least 32 rows. A number of
the machine: it bounds the memory."""


class Stream:
    """A fit without an end, which learns in :meth:`learn`.

    A change of the coordinates of the fit does not change the network on raw data. The network is
    the running average of the weights.

    Parameters
    ----------
    problem : MiniBatchProblem
        Problem with a schedule of zero steps. Its rows only determine the widths and the type.
    rng : Generator
        Source of randomness.
    start : Network, optional
        Network on raw data to start from.
    targets : RunningTargets, optional
        Running moments of the targets, if they are scaled.
    alpha : float, default=0.0
        L2 penalty: ``alpha / (2 n)`` times the squared weights beside the mean loss of the ``n``
        rows seen so far.
    """

    def __init__(
        self,
        problem: MiniBatchProblem,
        rng: np.random.Generator,
        start: Network | None = None,
        targets: RunningTargets | None = None,
        alpha: float = 0.0,
    ) -> None:
        self.problem = problem
        self._alpha = alpha
        self.n_seen: int = 0
        self._rng = rng
        self._choice = rng.spawn(1)[0]
        self._start = start
        self._targets = targets
        self._solver = MiniBatchSolver()
        self._n_early = int(np.clip(EARLY_SIZE // problem.rows.d, 32, problem.settings.early_rows))
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
        """Learn from some rows in one pass.

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
            Mean loss over the rows before the steps; NaN if they diverged and were undone.

        Raises
        ------
        ValueError
            If an entry is not finite. The stream is unchanged then.
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
        if self.n_seen >= self._n_early:  # from now on a sample of the rows is enough
            every = np.concatenate([call[0] for call in self._calls], dtype=self.problem.rows.dtype)
            self._some = every[self._choice.permutation(len(every))[: self._n_early]]
            self._calls = []
        return loss

    def network(self) -> Network:
        """Return the averaged network on raw data."""
        return self._solver.network(self.problem, self.state)

    def _take(self, block: Block) -> float:
        """Take the steps of some rows; their targets are not scaled yet."""
        if self._alpha:
            self.problem = replace(self.problem, l2=self._alpha / max(self.n_seen, 1))
        state, known = self.state, self.problem.rows
        x, y, weight = block[0], block[1], block[2].astype(known.dtype, copy=False)
        rows = Rows(x, y, None, known.n_out, known.dtype, known.scaling)
        state.take_snapshot()
        losses = []
        size, window = self.problem.settings.stream_batch, self.problem.settings.window
        scaled = np.array(x, known.dtype), rows.targets(slice(0, rows.n)), weight
        for batch in batches(prepare(self.problem, state, scaled), size, whole=False):
            with blas_threads.one_blas_pool():
                losses.append(self._solver.batch(self.problem, state, batch))
            if np.isfinite(losses[-1]):
                state.recent.count += 1
                share = max(2 / (state.recent.count + 1), 1 / window)
                for mean, value in zip(state.recent.arrays, state.trainables(), strict=True):
                    minibatch_weights.average(mean, value, min(share, 1.0))
        if np.isfinite(losses).all():
            state.brake = min(1.0, state.brake * 1.1)  # one divergence does not slow it for ever
        return float(np.mean(losses))

    def _seen(self, x: Float, weight: Float) -> tuple[Float, Float]:
        """Return the rows as inputs of the first layer: whole rows, or patches."""
        view = self.problem.layout.views[0]
        return view.rows(x), np.repeat(weight, view.positions)

    def _begin(self, again: bool) -> bool:
        """Count the last early call in, and start again if the measurements have changed.

        With ``again``, start in any case; the call has been counted already.
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
        inputs = self._moments.input_map(truncate=False, prior=self.problem.settings.prior_rows)
        known = self.problem.rows
        rows = Rows(x, y, None, known.n_out, known.dtype, known.scaling)
        solver = self._solver
        self._state = solver.start_at(self.problem, inputs, deepcopy(self._rng), self._start)
        if self._varied.any():
            self._set_weights(~self._varied, None)  # such an input says nothing
        solver.observe(self.problem, self._state, (x, rows.targets(slice(0, rows.n)), weight))
        for call in before:
            self._take(call)
        return True

    def _use(self, targets: RunningTargets) -> None:
        """Use the current measurements of the targets."""
        rows = self.problem.rows
        # After the early calls, the type of the network does not change.
        exact = targets.float32_tells or not self._calls
        kind = rows.dtype if exact else np.dtype(np.float64)
        fresh = Rows(rows.x, rows.y, rows.sample_weight, rows.n_out, kind, targets.scaling)
        self.problem = replace(self.problem, rows=fresh)
        self._known = targets.known

    def _count(self, block: Block) -> None:
        """Count rows in; renew the coordinates of the data if they prove wrong."""
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
                prior = self.problem.settings.prior_rows
                inputs = self._moments.input_map(truncate=False, prior=prior)
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
        """Set the weights of inputs that begin to vary to zero, because their unit was a guess."""
        assert self._moments is not None
        before, now = self._varied, self._moments.varied
        self._varied = before | now
        if before.any():
            self._set_weights(now & ~before, None)
        else:  # all units were guesses
            drawn = first_weights(self.problem, inputs, self._choice)[0][0]
            raw = self.problem.schemes[0] is not None
            self._set_weights(now, drawn if raw else inputs.to_inputs(drawn))

    def _set_weights(self, which: NDArray[np.bool_], values: Float | None) -> None:
        if self._start is None and which.any():  # the weights of a given network are not guesses
            set_weights(self.state, which, values)

    def _keep_some(self, x: Float) -> None:
        """Keep a uniform random sample of all rows seen (Vitter's algorithm R, 1985)."""
        place = self._choice.integers(0, self.n_seen + 1 + np.arange(len(x)))
        kept = np.flatnonzero(place < len(self._some))
        self._some = np.array(self._some)  # it may be mapped from a file
        self._some[place[kept]] = x[kept]
