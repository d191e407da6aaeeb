"""The mini-batch solver: its start, its epochs, and its network."""

from __future__ import annotations

import numpy as np

from fastbcd.formats import DenseMatrix
from fastbcd.network.layers.patches import WHOLE_ROW
from fastbcd.network.network import Layer, Network
from fastbcd.network.scaling import Scaling, absorb
from fastbcd.objective.terms import Penalties, Terms
from fastbcd.parallel import blas_threads as blas_threads
from fastbcd.solvers.loop import Ending
from fastbcd.solvers.minibatch import step as _step
from fastbcd.solvers.minibatch.copies import renew
from fastbcd.solvers.minibatch.factored import merged
from fastbcd.solvers.minibatch.passes import forward
from fastbcd.solvers.minibatch.problem import (
    BLOCK_SIZE,
    MiniBatchProblem,
    Prepared,
    batches,
    block_rows,
    blocks,
    check_finite,
    prepare,
    whiten_all,
)
from fastbcd.solvers.minibatch.refresh import refreshed
from fastbcd.solvers.minibatch.rows import Block
from fastbcd.solvers.minibatch.start import first_weights
from fastbcd.solvers.minibatch.state import Average, LayerState, State
from fastbcd.statistics.inputs import MANY, InputMap, Moments

ONE_THREAD_BELOW = 200_000_000
"""Flops of a batch's largest product below which one BLAS thread is faster than several. A number
of the machine."""

CACHE_BYTES = 1 << 28
"""Maximum size of the whitened inputs that are kept from epoch to epoch. A number of the machine:
it bounds the memory."""

SAMPLE_SIZE = 1 << 25
"""Maximum number of entries of the inputs that are sampled at once for their statistics. A number
of the machine: it bounds the memory."""


class MiniBatchSolver:
    r"""Block coordinate descent on batches, with running sufficient statistics.

    Notes
    -----
    Each step minimises, block by block from the output backwards, a quadratic surrogate of the
    objective at the feasible point of the batch. For the weights of layer l it is

    .. math:: \tfrac12 \mathrm{tr}\, (W - W_l)^T (\hat G_l + \lambda_l I) (W - W_l)
              - \eta \, \langle W - W_l, S \rangle,

    with the running covariance :math:`\hat G_l` of the layer's inputs in place of the batch's:
    the recursion of online majorisation-minimisation with sufficient statistics, as in
    online dictionary learning (Mairal, Bach, Ponce, Sapiro, JMLR 11, 2010; Mairal, NIPS 2013).
    For surrogates that majorise, and steps whose sum diverges while their squares' sum does
    not, those methods reach stationary points almost surely. Here the Gram matrices are damped
    and the step is scaled by the layer's own size (You, Gitman, Ginsburg, arXiv 1708.03888),
    which is not known to majorise, so this solver has no certificate; the full solver has one.
    The loss guards a fit instead: if one step, or twenty in a row, increase it too much, they are
    taken back and the fit goes on at half the step length. The lengths decay to zero.

    The last weights are averaged (Polyak and Juditsky, 1992).
    """

    sweep_name = "epoch"

    def init(
        self, problem: MiniBatchProblem, rng: np.random.Generator, start: Network | None = None
    ) -> State:
        """Measure the inputs, and set the first weights and statistics.

        Parameters
        ----------
        problem : MiniBatchProblem
            The data and the settings.
        rng : Generator
            Source of all random numbers of the fit.
        start : Network, optional
            Network on raw data to start from.

        Raises
        ------
        ValueError
            If the inputs or targets are not finite.
        """
        rows, view = problem.rows, problem.layout.views[0]
        wanted = max(8192, 8 * min(rows.d, MANY))
        width = view.positions * problem.layout.shapes[0][0]
        at_once = max(256, SAMPLE_SIZE // max(rows.d, width))
        x, y, weight = rows.sample(rng, min(wanted, at_once))
        check_finite(x, y)
        moments = Moments.of_sample(view.rows(x), np.repeat(weight, view.positions))
        for _ in range(min(wanted, rows.n) // at_once - 1):
            more = rows.sample(rng, at_once)
            check_finite(more[0], more[1])
            moments = moments.add(view.rows(more[0]), np.repeat(more[2], view.positions))
        inputs = moments.input_map(truncate=start is None)
        state = self.start_at(problem, inputs, rng, start)
        chosen = rng.permutation(len(x))[: problem.settings.sample_rows]
        self.observe(problem, state, (x[chosen], y[chosen], weight[chosen]))
        del x, y, weight
        size = rows.n * inputs.width * rows.dtype.itemsize
        kept = problem.schemes[0] is None and view == WHOLE_ROW and problem.shift is None
        if rows.in_memory and kept and size <= CACHE_BYTES:
            state.cache = whiten_all(problem, state)
        return state

    def start_at(
        self,
        problem: MiniBatchProblem,
        inputs: InputMap,
        rng: np.random.Generator,
        start: Network | None,
    ) -> State:
        """Return a state with its :func:`first_weights`."""
        dtype = problem.rows.dtype
        weights, biases = first_weights(problem, inputs, rng, start)
        kinds = [(i == 0, problem.is_wide(i), problem.is_thin(i)) for i in range(len(weights))]
        layers = [
            LayerState.start(np.ascontiguousarray(w, dtype), b.astype(dtype), scheme, *kind)
            for w, b, scheme, kind in zip(weights, biases, problem.schemes, kinds, strict=True)
        ]
        sizes = [array.size for layer in layers for array in (layer.weight, layer.bias)]
        state = State(
            layers=layers,
            inputs=inputs,
            rng=rng,
            noise=np.zeros(1, dtype),
            buffers={},
            tail=Average([np.zeros(n, dtype) for n in sizes]),
            recent=Average([np.zeros(n, dtype) for n in sizes]),
        )
        if problem.settings.noise > 0:
            width = inputs.width if problem.schemes[0] is None else problem.layout.shapes[0][0]
            pool = BLOCK_SIZE + block_rows(problem, state) * problem.positions * width
            state.noise = rng.standard_normal(pool, dtype=dtype.type)
        return state

    def observe(self, problem: MiniBatchProblem, state: State, block: Block) -> None:
        """Initialise the statistics of the hidden layers and the record with some rows."""
        first, _, y, weight = prepare(problem, state, block, noisy=False)
        done = forward(state, problem.layout, problem.activations, first)
        outputs = done.outputs[-1]
        for index, layer in enumerate(state.layers[1:], start=1):
            rest = problem.settings, 1 / max(float(weight.mean()), 1e-12)
            if not layer.wide:
                _step.observe(state, index, done.inputs[index], weight, problem.unit_weights, *rest)
        mean = state.buffer("mean", len(state.layers) - 1, 1, y.shape[1])[0]
        bias, known = state.layers[-1].bias, (y, weight, problem.settings.smoothing, mean)
        blank = problem.loss.descend(np.zeros_like(outputs), np.zeros_like(bias), *known)
        loss = problem.loss.descend(outputs, bias, *known)
        if np.isnan(state.first_loss):
            # A warm start may have almost no loss: the loss of zero outputs counts as well.
            state.first_loss = max(loss, blank)
        state.buffers.clear()  # they are longer than a batch needs
        if not state.record.terms:
            self._write(state, loss)
        if not refreshed(state, problem.settings):
            raise ValueError(
                f"The inputs are too large or too small for {problem.rows.dtype}. Divide them by "
                "their standard deviation, or pass float64."
            )
        state.take_snapshot()

    def step(self, problem: MiniBatchProblem, state: State) -> None:
        """Take one pass over the data.

        Raises
        ------
        ValueError
            If a row is not finite.
        """
        layout = problem.layout
        largest = max(
            view.positions * k * m for view, (k, m) in zip(layout.views, layout.shapes, strict=True)
        )
        with blas_threads.blas_for(2 * problem.batch_size * largest, ONE_THREAD_BELOW):
            self._epoch(problem, state)

    def _epoch(self, problem: MiniBatchProblem, state: State) -> None:
        per_epoch = max(1, problem.rows.n // problem.batch_size)
        every = max(1, min(5, per_epoch // 10))
        late = state.step + per_epoch * problem.settings.recent
        state.recent.count = 0
        total, count = 0.0, 0
        for block in blocks(problem, state):
            for batch in batches(block, problem.batch_size, whole=True):
                loss = self.batch(problem, state, batch)
                if state.ending is not None:
                    break
                if not np.isfinite(loss):
                    continue
                total, count = total + loss, count + 1
                done = problem.schedule.fraction(state.step)
                if done > 1 - problem.settings.average and state.step % every == 0:
                    state.tail.add(state.trainables())
                if state.step > late and state.step % every == 0:
                    state.recent.add(state.trainables())
            if state.n_step_backs > problem.settings.most_step_backs:
                state.end_at_snapshot()
            if state.ending is not None:
                break
        state.epoch += 1
        if state.ending is None and state.step >= problem.schedule.n_steps:
            state.ending = Ending.CONVERGED
        self._write(state, total / count if count else state.record.terms[-1].loss)

    def batch(self, problem: MiniBatchProblem, state: State, batch: Prepared) -> float:
        """Take one step, or step back from a divergence.

        Returns the mean loss before the step; NaN if the step was taken back.

        Raises
        ------
        ValueError
            If the batch is not finite.
        """
        settings, step = problem.settings, state.step
        fraction = problem.schedule.fraction(step)
        for index, layer in enumerate(state.layers):
            copies, scale = problem.copies_of(index), None if index else state.inputs.sizes
            if step % copies.period == 0 and renew(layer, copies, fraction, scale):
                state.take_snapshot()
        if step % settings.refresh == 0 and not refreshed(state, problem.settings):
            state.step += 1
            return self._taken_back(problem, state, batch)
        rules = problem.layout, problem.activations, problem.loss, settings
        length = problem.schedule.length(step)
        loss = _step.take_step(state, *rules, batch, length, problem.unit_weights, problem.l2)
        state.step += 1
        state.losses.append(loss)
        lasting = len(state.losses) == settings.watched and problem.schedule.n_steps > 0
        if lasting and not np.mean(state.losses) < 2 * max(state.first_loss, 1e-3):
            loss = float("nan")  # no single loss is too large, but their mean is
        if not np.isfinite(loss):
            return self._taken_back(problem, state, batch)
        if len(state.losses) == settings.watched:
            state.losses.clear()
            if step % settings.snapshot_every < settings.watched and state.is_finite:
                state.take_snapshot()
        return loss

    def _taken_back(self, problem: MiniBatchProblem, state: State, batch: Prepared) -> float:
        """Return to the snapshot; raise ValueError if the batch itself is not finite."""
        check_finite(batch[0], batch[2])
        state.step_back()
        if not refreshed(state, problem.settings) and problem.schedule.n_steps:
            state.end_at_snapshot()
        return float("nan")

    def network(self, problem: MiniBatchProblem, state: State) -> Network:
        """Return the averaged network on raw data; layers with a scheme are compressed."""
        chosen = next((a for a in (state.tail, state.recent) if a.count), None)
        arrays = state.trainables() if chosen is None else chosen.arrays
        layers = []
        for index, layer in enumerate(state.layers):
            weight = arrays[2 * index].reshape(layer.weight.shape).copy()
            bias = arrays[2 * index + 1].astype(np.float64)
            if index == 0 and layer.scheme is None:
                weight = state.inputs.to_inputs(weight)
            stored = DenseMatrix(weight) if layer.scheme is None else layer.scheme.project(weight)
            if index == 0:
                bias -= state.inputs.center.astype(np.float64) @ stored.to_dense()
            last = index == len(state.layers) - 1
            name = "identity" if last else problem.activations[index].name
            view, pool = problem.layout.views[index], problem.layout.pools[index]
            layers.append(Layer(stored, bias.astype(weight.dtype), name, view, pool))
        network = Network(merged(layers, problem.linear))
        if problem.rows.scaling is None:
            return network
        return absorb(network, Scaling(np.zeros(problem.rows.d), 1.0), problem.rows.scaling)

    def _write(self, state: State, loss: float) -> None:
        none = [0.0] * len(state.layers)
        state.record.terms.append(Terms(loss, none, none, none))
        state.record.penalties.append(Penalties(0.0, 0.0, 0.0, 0.0))
        state.record.step_norm.append(float("nan"))
