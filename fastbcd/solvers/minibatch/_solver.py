"""The mini-batch solver: how it starts, what an epoch is, and what network comes out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from fastbcd._network import Layer, Network
from fastbcd._objective import Terms
from fastbcd._scaling import Scaling, absorb, release
from fastbcd._types import Float
from fastbcd.activations import Activation
from fastbcd.formats import DenseMatrix
from fastbcd.losses import Loss
from fastbcd.schemes import Scheme
from fastbcd.solvers.minibatch import _step
from fastbcd.solvers.minibatch._copies import renew
from fastbcd.solvers.minibatch._inputs import MANY, InputMap, Moments
from fastbcd.solvers.minibatch._rows import Block, Rows, shuffled_indices
from fastbcd.solvers.minibatch._schedule import CompressionSchedule, Schedule, Settings
from fastbcd.solvers.minibatch._state import Average, LayerState, State
from fastbcd_kernels import minibatch_step as kernel

CACHE_BYTES = 1 << 28
"""Whitened inputs up to this size are kept instead of being made anew in each epoch."""

BLOCK_SIZE = 1 << 20
"""Numbers in a block of prepared inputs, about."""

SAMPLE_ROWS = 2000
"""Rows for the first statistics of the hidden layers."""

SAMPLE_SIZE = 1 << 25
"""Numbers of inputs that are sampled at once for their statistics, at most."""

SNAPSHOT_EVERY = 100
"""Steps between two snapshots to which a diverging fit returns."""

MOST_STEP_BACKS = 20
"""Step-backs after which a fit ends with its last snapshot."""

Prepared: TypeAlias = tuple[Float, Float | None, Float, Float]
"""Inputs of the first layer, the same whitened if they are not, targets, weights."""


@dataclass(frozen=True)
class MiniBatchProblem:
    """What stays fixed during a fit.

    Parameters
    ----------
    rows : Rows
        The data.
    widths : tuple of int
        Width of the input and of each layer.
    loss : Loss
        R.
    activation : Activation
        Of the hidden layers.
    schemes : list of Scheme or None
        One per layer.
    batch_size : int
        Rows of a step.
    settings : Settings
        Numbers of the method.
    schedule : Schedule
        Course of the step lengths.
    copies : CompressionSchedule
        Course of the compression.
    """

    rows: Rows
    widths: tuple[int, ...]
    loss: Loss
    activation: Activation
    schemes: list[Scheme | None]
    batch_size: int
    settings: Settings
    schedule: Schedule
    copies: CompressionSchedule

    @property
    def unit_weights(self) -> bool:
        """Whether no sample weights were given."""
        return self.rows.sample_weight is None


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
    which is not known to majorise: there is no certificate, the full solver has one. What
    guards a fit is that a diverging step is taken back, and that the lengths decay to zero.

    The last weights are averaged (Polyak and Juditsky, 1992).
    """

    def init(
        self, problem: MiniBatchProblem, rng: np.random.Generator, start: Network | None = None
    ) -> State:
        """Measure the inputs, choose the first weights and the first statistics.

        Parameters
        ----------
        problem : MiniBatchProblem
            The data and the settings.
        rng : Generator
            Source of all randomness of the fit.
        start : Network, optional
            Network on raw data to start from.

        Raises
        ------
        ValueError
            If the inputs or targets are not finite.
        """
        rows = problem.rows
        wanted = max(8192, 16 * min(rows.d, MANY))
        at_once = max(256, SAMPLE_SIZE // rows.d)
        x, y, weight = rows.sample(rng, min(wanted, at_once))
        check_finite(x, y)
        moments = Moments.of_sample(x, weight)
        for _ in range(min(wanted, rows.n) // at_once - 1):
            more = rows.sample(rng, at_once)
            check_finite(more[0], more[1])
            moments = moments.add(more[0], more[2])
        inputs = moments.input_map(truncate=start is None)
        state = self.start_at(problem, inputs, rng, start)
        chosen = rng.permutation(len(x))[:SAMPLE_ROWS]
        self.observe(problem, state, (x[chosen], y[chosen], weight[chosen]))
        del x, y, weight
        size = rows.n * inputs.width * rows.dtype.itemsize
        if rows.in_memory and problem.schemes[0] is None and size <= CACHE_BYTES:
            state.cache = self._whitened(problem, state)
        return state

    def start_at(
        self,
        problem: MiniBatchProblem,
        inputs: InputMap,
        rng: np.random.Generator,
        start: Network | None,
    ) -> State:
        """Return a state with first weights: those of ``start``, or random ones.

        He's variance 2 / n_in, for the first layer 2 / (total variance of its inputs); the output
        layer starts ten times smaller, so that no first output is far off.
        """
        dtype = problem.rows.dtype
        if start is not None:
            shift = Scaling(inputs.center.astype(np.float64), 1.0)
            weights, biases = release(start, shift, problem.rows.scaling)
            if problem.schemes[0] is None:
                weights[0] = inputs.from_inputs(weights[0])
        else:
            weights = []
            biases = [np.zeros(m, dtype) for m in problem.widths[1:]]
            for index, (n, m) in enumerate(pairwise(problem.widths)):
                variance = n if index or inputs.spread <= 0 else inputs.spread
                w = rng.standard_normal((n, m)) * np.sqrt(2 / variance)
                if index == 0:
                    w = w / inputs.unit[:, None]
                if index == len(problem.widths) - 2:
                    w *= 0.1
                weights.append(np.ascontiguousarray(w, dtype))
            if problem.schemes[0] is None:
                weights[0] = inputs.from_inputs(weights[0])
        layers = [
            LayerState.start(np.ascontiguousarray(w, dtype), b.astype(dtype), scheme, index == 0)
            for index, (w, b, scheme) in enumerate(
                zip(weights, biases, problem.schemes, strict=True)
            )
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
            width = inputs.width if problem.schemes[0] is None else problem.rows.d
            pool = BLOCK_SIZE + self._block_rows(problem, state) * width
            state.noise = rng.standard_normal(pool, dtype=dtype.type)
        return state

    def observe(self, problem: MiniBatchProblem, state: State, block: Block) -> None:
        """Start the statistics of the hidden layers and the record from some rows."""
        first, _, y, weight = self.prepare(problem, state, block, noisy=False)
        values = _step.forward(state, problem.activation, first)
        for index in range(1, len(state.layers)):
            share = 1 / max(float(weight.mean()), 1e-12)
            _step.observe(state, index, values[index], weight, problem.unit_weights, share)
        mean = state.buffer("mean", len(state.layers) - 1, 1, y.shape[1])[0]
        bias, smoothing = state.layers[-1].bias, problem.settings.smoothing
        loss = problem.loss.descend(values[-1], bias, y, weight, smoothing, mean)
        state.first_loss = loss if np.isnan(state.first_loss) else state.first_loss
        state.buffers.clear()  # they are longer than a batch needs
        if not state.record.terms:
            self._write(state, loss)
        _step.refresh(state, problem.settings)
        state.take_snapshot()

    def step(self, problem: MiniBatchProblem, state: State) -> None:
        """Pass over the data once.

        Raises
        ------
        ValueError
            If a row is not finite.
        """
        per_epoch = max(1, problem.rows.n // problem.batch_size)
        every = max(1, min(5, per_epoch // 10))
        begin = state.step
        state.recent.count = 0
        total, count = 0.0, 0
        for block in self._blocks(problem, state):
            for batch in self.batches(block, problem.batch_size, whole=True):
                loss = self.batch(problem, state, batch)
                if not np.isfinite(loss):
                    continue
                total, count = total + loss, count + 1
                done = problem.schedule.fraction(state.step)
                if done > 1 - problem.settings.average and state.step % every == 0:
                    self._average(state, state.tail)
                if state.step - begin > per_epoch // 2 and state.step % every == 0:
                    self._average(state, state.recent)
            if state.n_step_backs > MOST_STEP_BACKS:
                state.step_back()
                state.finished = True
                break
        state.epoch += 1
        state.finished = state.finished or state.step >= problem.schedule.n_steps
        self._write(state, total / count if count else state.record.terms[-1].loss)

    def batch(self, problem: MiniBatchProblem, state: State, batch: Prepared) -> float:
        """Take one step, or step back from a divergence.

        Returns the mean loss before the step; not a number if it was taken back.

        Raises
        ------
        ValueError
            If the batch is not finite.
        """
        settings, step = problem.settings, state.step
        if step % problem.copies.period == 0:
            fraction = problem.schedule.fraction(step)
            fixed = [renew(layer, problem.copies, fraction) for layer in state.layers]
            if any(fixed):
                state.take_snapshot()
        if step % settings.refresh == 0:
            _step.refresh(state, settings)
        loss = _step.take_step(
            state,
            problem.activation,
            problem.loss,
            settings,
            batch,
            problem.schedule.length(step),
            problem.unit_weights,
        )
        state.step += 1
        bad = not np.isfinite(loss) or loss > 50 * max(state.first_loss, 1e-3)
        if bad:
            check_finite(batch[0], batch[2])
            state.step_back()
            _step.refresh(state, settings)
            return float("nan")
        if step % SNAPSHOT_EVERY == 0 and self._sound(state):
            state.take_snapshot()
        return loss

    def network(self, problem: MiniBatchProblem, state: State) -> Network:
        """Return the averaged network on raw data, compressed where it shall be."""
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
            name = "identity" if last else problem.activation.name
            layers.append(Layer(stored, bias.astype(weight.dtype), name))
        network = Network(layers)
        if problem.rows.scaling is None:
            return network
        return absorb(network, Scaling(np.zeros(problem.rows.d), 1.0), problem.rows.scaling)

    def _average(self, state: State, into: Average) -> None:
        into.count += 1
        for mean, value in zip(into.arrays, state.trainables(), strict=True):
            kernel.average(mean, value, 1 / into.count)

    def _sound(self, state: State) -> bool:
        """Return whether all weights are finite: what a snapshot must be."""
        return all(np.isfinite(layer.square + layer.bias.sum()) for layer in state.layers)

    def _write(self, state: State, loss: float) -> None:
        none = [0.0] * len(state.layers)
        state.record.terms.append(Terms(loss, none, none, none))
        state.record.tau.append(0.0)
        state.record.step_norm.append(float("nan"))

    def _block_rows(self, problem: MiniBatchProblem, state: State) -> int:
        """Return how many rows are prepared at once: some batches, about BLOCK_SIZE numbers."""
        width = max(state.inputs.width, problem.rows.d)
        batches = np.clip(BLOCK_SIZE // (problem.batch_size * width), 1, 16)
        return problem.batch_size * int(batches)

    def _blocks(self, problem: MiniBatchProblem, state: State) -> Iterator[Prepared]:
        """Yield all rows in random order, prepared for the first layer."""
        rows, size = problem.rows, self._block_rows(problem, state)
        if state.cache is None:
            for block in rows.shuffled(state.rng, size):
                yield self.prepare(problem, state, block)
            return
        scale = problem.settings.noise
        for chosen in shuffled_indices(rows.n, state.rng, size):
            z = state.buffer("block", 0, chosen.size, state.inputs.width)
            offset = int(state.rng.integers(max(1, state.noise.size - z.size)))
            kernel.gather_rows(state.cache, chosen, state.noise, offset, scale, z)
            yield z, None, rows.targets(chosen), rows.weights(chosen)

    def prepare(
        self, problem: MiniBatchProblem, state: State, block: Block, noisy: bool = True
    ) -> Prepared:
        """Centre a block of inputs (overwritten) and whiten it, with noise if asked for."""
        x, y, weight = block
        centered = state.inputs.centered(x)
        scale = problem.settings.noise if noisy else 0.0
        if problem.schemes[0] is not None:
            # The noise is the same as in the whitened coordinates: of covariance S + lambda I.
            if scale > 0 and state.noise.size > x.size:
                offset, first, second = state.rng.integers(
                    [state.noise.size - x.size, len(x), len(x)]
                )
                floor, x = state.inputs.floor, np.empty_like(centered)
                kernel.add_spread(centered, scale, first, second, state.noise, offset, floor, x)
                centered = x
            return centered, state.inputs.whitened(centered), y, weight
        whitened = state.inputs.whitened(centered)
        if scale > 0 and state.noise.size > whitened.size:
            offset = int(state.rng.integers(state.noise.size - whitened.size))
            kernel.add_noise(whitened, state.noise, offset, scale)
        return whitened, None, y, weight

    def batches(self, block: Prepared, size: int, whole: bool) -> Iterator[Prepared]:
        """Yield the batches of a block; with ``whole`` a last, shorter one is left out."""
        first, whitened, y, weight = block
        stop = len(y) - len(y) % size if whole else len(y)
        for lo in range(0, stop, size):
            part = slice(lo, lo + size)
            z = None if whitened is None else whitened[part]
            yield first[part], z, y[part], weight[part]

    def _whitened(self, problem: MiniBatchProblem, state: State) -> Float:
        """Return the whitened inputs of all rows."""
        rows = problem.rows
        cache = np.empty((rows.n, state.inputs.width), rows.dtype)
        for lo in range(0, rows.n, 4096):
            part = slice(lo, min(lo + 4096, rows.n))
            x = rows.inputs(part)
            check_finite(x, x)
            cache[part] = state.inputs.whitened(state.inputs.centered(x))
        return cache


def check_finite(x: Float, y: Float) -> None:
    """Raise ValueError if inputs or targets hold a NaN or an infinity."""
    for name, array in (("inputs", x), ("targets", y)):
        # The sum is not finite if an entry is not; only then is it worth looking closer.
        if not np.isfinite(array.sum(dtype=np.float64)) and not np.isfinite(array).all():
            raise ValueError(f"The {name} contain NaN or infinity; remove or impute such rows.")
