"""Learning from a stream: batches that come one call at a time, for ``partial_fit``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.network.network import Network
from fastbcd.parallel import blas_threads as blas_threads
from fastbcd.solvers.minibatch.problem import MiniBatchProblem, batches, check_finite, prepare
from fastbcd.solvers.minibatch.rows import Block, Rows
from fastbcd.solvers.minibatch.solver import MiniBatchSolver
from fastbcd.solvers.minibatch.state import State
from fastbcd.statistics.inputs import MANY, InputMap, Moments
from fastbcd.utils.types import Float
from fastbcd_kernels import minibatch_weights

EARLY_ROWS = 256
"""Rows that are remembered until there are enough of them to measure the inputs."""

STREAM_BATCH = 128
"""Rows of a step, at most."""

WINDOW = 50
"""Steps over which the weights of a stream are averaged."""

PRIOR_ROWS = 1.0
"""Rows of evenly spread variation that are assumed before any were seen."""


class Stream:
    """A fit without an end, fed by :meth:`learn`.

    The coordinates of the inputs are measured anew each time the number of rows has doubled,
    until enough were seen; the weights keep their meaning in the coordinates of the data. The
    network is the running average of the weights.

    Parameters
    ----------
    problem : MiniBatchProblem
        With a schedule of no steps. Its rows only say the widths, the type and the scaling of
        the targets.
    rng : Generator
        Source of randomness.
    start : Network, optional
        Network on raw data to start from.
    """

    def __init__(
        self, problem: MiniBatchProblem, rng: np.random.Generator, start: Network | None = None
    ) -> None:
        self.problem = problem
        self.n_seen: int = 0
        self._rng = rng
        self._start = start
        self._solver = MiniBatchSolver()
        self._early: list[tuple[Float, Float]] = []
        self._moments: Moments | None = None
        self._next_measure = 0
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
        rows = Rows(x, y, None, old.n_out, old.dtype, old.scaling)
        if rows.n == 0:
            return float("nan")
        x, y, weight = rows.read(slice(0, rows.n))
        if sample_weight is not None:
            weight = np.asarray(sample_weight).astype(old.dtype)
        check_finite(x, y)
        self._measure((x, y, weight))
        state = self.state
        state.take_snapshot()
        losses = []
        prepared = prepare(self.problem, state, (x, y, weight))
        for batch in batches(prepared, STREAM_BATCH, whole=False):
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

    def network(self) -> Network:
        """Return the averaged network on raw data."""
        return self._solver.network(self.problem, self.state)

    def _measure(self, block: Block) -> None:
        """Count rows in; renew the coordinates of the inputs if there are twice as many."""
        view = self.problem.layout.views[0]
        x, weight = view.rows(block[0]), np.repeat(block[2], view.positions)
        self.n_seen += len(block[0])
        if self._moments is None or self.n_seen - len(block[0]) < EARLY_ROWS:
            self._early.append((x.copy(), weight))
            early, weights = (np.concatenate(parts) for parts in zip(*self._early, strict=True))
            self._moments = Moments.of_sample(early, weights)
        elif self.n_seen <= max(8192, 16 * min(x.shape[1], MANY)):
            self._early = []
            self._moments = self._moments.add(x, weight)
        else:
            return
        if self.n_seen < self._next_measure:
            return
        self._next_measure = 2 * self.n_seen
        inputs = self._moments.input_map(truncate=False, prior=PRIOR_ROWS)
        if self._state is not None:
            rebase(self._state, inputs)
            return
        solver = self._solver
        self._state = solver.start_at(self.problem, inputs, self._rng, self._start)
        solver.observe(self.problem, self._state, (block[0].copy(), *block[1:]))


def rebase(state: State, inputs: InputMap) -> None:
    """Express the first layer, its momentum and its average in other input coordinates.

    Parameters
    ----------
    state : State
        Changed; the network it stands for stays the same.
    inputs : InputMap
        The new coordinates, none left out.
    """
    old, layer = state.inputs, state.layers[0]
    state.inputs = inputs
    moved = inputs.center - old.center
    mean_weight = state.recent.arrays[0].reshape(layer.weight.shape)
    mean_bias = state.recent.arrays[1]
    if layer.scheme is None:
        for weight, bias in ((layer.weight, layer.bias), (mean_weight, mean_bias)):
            raw = old.to_inputs(weight)
            bias += moved @ raw
            weight[...] = inputs.from_inputs(raw)
        layer.momentum[...] = inputs.from_inputs(old.to_inputs(layer.momentum))
    else:  # in the coordinates of the data already; its center is not
        layer.bias += moved @ layer.used
        mean_bias += moved @ layer.scheme.project(mean_weight).to_dense()
    layer.square = float(np.vdot(layer.weight, layer.weight))
    state.take_snapshot()
