"""Several networks of one shape, trained in lock-step as stacked arrays.

All see the same batches. A row that a network does not learn from counts nothing in the residual
of its outputs, so nothing of it reaches the weights.

Steps are taken by a compiled kernel, or by NumPy where compiling the kernel would take longer than
the fit, and for activations that the kernel does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastbcd.solvers.batch.fused import ACTIVATIONS, FusedSteps
from fastbcd.solvers.batch.networks import Networks
from fastbcd.solvers.batch.settings import BatchSettings
from fastbcd.solvers.batch.units import DESCENT, activate, activate_and_keep, pull_back
from fastbcd.utils.types import Float, Float64

SMOOTHED = ("cross_entropy", "logistic")
"""Losses whose targets are smoothed."""


@dataclass(frozen=True)
class Rows:
    """What is learnt from.

    Parameters
    ----------
    x : (n, k) float32 array
        Inputs in the coordinates of :class:`Coordinates`.
    variances : (k,) array
        Their variances.
    y : (n, m) float32 array
        Targets.
    weight : (n,) float32 array or None
        Weights of the rows, of mean one; None if all are one.
    """

    x: Float
    variances: Float64
    y: Float
    weight: Float | None


def first_bias(y: Float, weight: Float64, loss: str) -> Float64:
    """Return the best constant outputs: what the output bias starts from."""
    share: Float64 = weight @ y.astype(np.float64) / weight.sum()
    found: Float64 = np.zeros(share.shape)
    if loss == "cross_entropy":
        found = np.log(np.maximum(share, 1e-6))
    elif loss == "logistic":
        share = np.clip(share, 1e-6, 1 - 1e-6)
        found = np.log(share / (1 - share))
    elif loss == "squared":
        found = share
    return found


def smoothed(target: Float, share: float, level: float) -> Float:
    """Return targets of which a share is spread: moved towards ``level``."""
    found: Float = target * np.float32(1 - share) + np.float32(share * level)
    return found


class LockStep:
    """The networks, their statistics and their averages.

    Parameters
    ----------
    rows : Rows
        The data.
    widths : sequence of int
        Widths of the hidden layers.
    activation, loss : str
        Names.
    counts : (n_networks, n) float32 array
        One for the rows that a network learns from, zero for the others.
    starts : sequence of int
        Number of the random start of each network.
    bias : (m,) array
        Where the output bias starts.
    settings : BatchSettings
        The numbers of the method.
    seed : int
        Source of all randomness.
    l2 : (float, (k, k) array or None)
        Weight of half the squared weights beside the mean loss, and the matrix that turns the first
        layer's weights to their gradient; the square is that of the weights of raw rows.
    """

    def __init__(
        self,
        rows: Rows,
        widths: Sequence[int],
        activation: str,
        loss: str,
        counts: Float,
        starts: Sequence[int],
        bias: Float64,
        settings: BatchSettings,
        seed: int,
        l2: tuple[float, Float | None] = (0.0, None),
    ) -> None:
        self.rows, self.activation, self.loss, self.settings = rows, activation, loss, settings
        self.l2, self.turn = l2
        self.counts = counts if rows.weight is None else counts * rows.weight
        s, n_out = rows.variances, rows.y.shape[1]
        typical = float(s @ s / s.sum())
        metric = (s + settings.damping * typical).astype(np.float32)
        self.metric = metric[:, None]
        sizes = [rows.x.shape[1], *widths, n_out]
        self.networks = Networks(sizes, len(counts))
        scales = [np.sqrt(2 / s.sum()), *(np.sqrt(2 / n) for n in widths)]
        scales[-1] *= settings.small_scale if widths else 1.0
        self.networks.start(seed, starts, scales)
        self.networks.biases[-1][:] = bias
        self.fused: FusedSteps | None = None
        if len(rows.x) >= settings.compiled_from and activation in ACTIVATIONS:
            self.fused = FusedSteps(
                rows.x, rows.y, rows.weight, activation, loss, metric, self.l2, self.turn, settings
            )

    @property
    def steps(self) -> int:
        """Steps taken."""
        return int(self.networks.clock[0])

    def keep(self, index: slice | list[int]) -> None:
        """Go on with some of the networks."""
        self.counts = self.counts[index]
        self.networks.keep(index)

    def advance(self, order: NDArray[np.int64]) -> None:
        """Take one step of all networks on the rows of each row of ``order`` (s, b)."""
        refresh, early = self.settings.refresh, self.settings.early_refresh
        begin = 0
        while begin < len(order):
            t = self.steps
            if t == 0:
                self._observe(self._values(order[0])[0][1:-1], order[0])
            if t % refresh == 0 or t in early:
                with suppress(np.linalg.LinAlgError):  # of diverged weights: a check finds them
                    self._refresh()
            due = min([at for at in early if at > t] + [refresh * (t // refresh + 1)])
            part = order[begin : begin + due - t]
            if self.fused is None:
                for index in part:
                    self._step(index)
            else:
                self.fused.take(self.networks, self.counts, part)
            begin += len(part)

    def _values(self, index: NDArray[np.int64]) -> tuple[list[Float], list[Float]]:
        """Return the values of all layers for some rows, and what derivatives are computed from.

        The former are the inputs, the values of the hidden layers and the outputs. The latter, for
        each hidden layer, are what :func:`.activate_and_keep` returns.
        """
        own = self.networks
        last = len(own.weights) - 1
        values: list[Float] = [self.rows.x[index]]
        known: list[Float] = []
        for layer, (weight, bias) in enumerate(zip(own.weights, own.biases, strict=True)):
            z = np.matmul(values[-1], weight)
            z += bias[:, None]
            if layer < last:
                known.append(activate_and_keep(self.activation, z))
            values.append(z)
        return values, known

    def _step(self, index: NDArray[np.int64]) -> None:
        """Take one step of all networks on the rows of ``index``, by NumPy."""
        rows, settings, own, t = self.rows, self.settings, self.networks, self.steps
        values, known = self._values(index)
        last = len(own.weights) - 1
        target = rows.y[index]
        if self.loss in SMOOTHED:
            level = 1 / target.shape[1] if self.loss == "cross_entropy" else 0.5
            target = smoothed(target, settings.smoothing, level)
        d = DESCENT[self.loss](values.pop(), target)
        d *= self.counts[:, index, None]
        d *= np.float32(1 / len(index))
        if t and t % settings.observe == 0:
            self._observe(values[1:], index)
        rise = min(1.0, (t + 1) / settings.warm_up)
        shrink = np.float32(1 - settings.weight_decay * rise)
        for layer in range(last, -1, -1):
            v = values[layer]
            s, b = np.matmul(v.swapaxes(-1, -2), d), d.sum(axis=1)
            if layer:
                d = np.matmul(d, own.gains[layer - 1])
                pull_back(self.activation, d, known[layer - 1])
            self._move(layer, s, b, rise, shrink)
        own.clock[0] = t + 1
        if self.steps % settings.average_every == 0:
            self.average()

    def _move(self, layer: int, s: Float, b: Float, rise: float, shrink: np.float32) -> None:
        """Move one layer along the solution of its ridge problem, by a set relative length."""
        own = self.networks
        weight = own.weights[layer]
        if layer:
            mean = own.means[layer - 1]
            s -= mean[:, :, None] * b[:, None, :]
            if self.l2:
                s -= self._share(layer) * weight
            s = np.matmul(own.inverses[layer - 1], s)
            b -= np.einsum("gh,ghk->gk", mean, s)
        elif self.turn is not None:
            s -= self._share(layer) * np.matmul(self.turn, weight)
        if self.steps % self.settings.measure == 0:
            self._measure(layer, s)
        rate = (rise * self.settings.length / own.lengths[:, layer, 1]).astype(np.float32)
        s *= rate[:, None, None] if layer else rate[:, None, None] / self.metric
        b *= rate[:, None]
        weight *= shrink
        weight += s
        own.biases[layer] += b

    def _measure(self, layer: int, s: Float) -> None:
        """Measure a step relative to the weights: of the first layer, in the metric of the data.

        Of the first layer ``s`` is the right-hand side, which the metric still has to divide.
        """
        own = self.networks
        weight = own.weights[layer]
        square = np.einsum("ghk,ghk->g", s, s if layer else s / self.metric)
        scaled = weight if layer else self.metric * weight
        size = np.sqrt(square / np.maximum(np.einsum("ghk,ghk->g", weight, scaled), 1e-20))
        old = own.lengths[:, layer, 0] if self.steps else size
        smooth = old + 0.2 * (size - old)
        own.lengths[:, layer, 0] = smooth
        own.lengths[:, layer, 1] = np.maximum(np.maximum(smooth, 0.3 * size), 1e-12)

    def _share(self, layer: int) -> Float:
        """Return the L2 penalty of a layer, (g, 1, 1), as short as its targets are.

        Targets come down through gains R and not through W', see
        :mod:`fastbcd.solvers.minibatch.l2`.
        """
        share = np.full(len(self.counts), self.l2)
        own = self.networks
        for weight, gain in zip(own.weights[layer + 1 :], own.gains[layer:], strict=True):
            square = np.einsum("ghk,ghk->g", weight, weight)
            share *= np.einsum("ghk,gkh->g", weight, gain) / np.maximum(square, 1e-30)
        return share.astype(np.float32)[:, None, None]

    def _observe(self, hidden: list[Float], index: NDArray[np.int64]) -> None:
        """Count the batch in to the running means and second moments of the hidden layers."""
        own, weight = self.networks, self.rows.weight
        share = min(0.1, len(index) / 5000) * self.settings.observe / 2
        own.clock[2] = 1 - (1 - own.clock[2]) * (1 - share)
        share /= own.clock[2]
        n = len(index) if weight is None else max(float(weight[index].sum()), 1e-20)
        for v, gram, mean in zip(hidden, own.grams, own.means, strict=True):
            left = v if weight is None else v * weight[index, None]
            gram *= np.float32(1 - share)
            gram += np.float32(share / n) * np.matmul(left.swapaxes(-1, -2), v)
            mean *= np.float32(1 - share)
            mean += np.float32(share / n) * left.sum(axis=1)

    def _refresh(self) -> None:
        """Invert the damped covariances of the hidden layers, and renew the backward gains."""
        own, gain = self.networks, self.settings.gain
        for layer, (gram, mean) in enumerate(zip(own.grams, own.means, strict=True)):
            c = gram - mean[:, :, None] * mean[:, None, :]
            trace = np.einsum("gii->g", c)
            ridge = self.settings.hidden_damping * np.einsum("gij,gij->g", c, c)
            ridge = ridge / np.maximum(trace, 1e-20) + 1e-6 * trace + 1e-12
            diagonal = np.arange(c.shape[1])
            c[:, diagonal, diagonal] += ridge[:, None]
            own.inverses[layer][:] = np.linalg.inv(c)
            weight = own.weights[layer + 1]
            turned = weight.swapaxes(-1, -2)
            if weight.shape[2] <= weight.shape[1]:
                small = np.matmul(turned, weight)
                small += gain * np.eye(weight.shape[2], dtype=np.float32)
                own.gains[layer][:] = np.linalg.solve(small, turned)
            else:  # the same from the smaller matrix
                small = np.matmul(weight, turned)
                small += gain * np.eye(weight.shape[1], dtype=np.float32)
                own.gains[layer][:] = np.matmul(turned, np.linalg.inv(small))

    def average(self) -> None:
        """Move the averages towards the weights."""
        self.networks.average(self.settings.average_power)

    def averaged(self, network: int) -> tuple[list[Float], list[Float]]:
        """Return the averaged weights and biases of a network."""
        return self.networks.averaged(network)

    def outputs(self, network: int, x: Float) -> Float:
        """Return the outputs of the averaged network for rows in the coordinates."""
        weights, biases = self.averaged(network)
        v = x
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            v = v @ weight
            v += bias
            if layer < len(weights) - 1:
                activate(self.activation, v)
        return v
