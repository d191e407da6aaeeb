"""Several networks of one shape, trained in lock-step as stacked arrays.

All see the same batches. A row that a network does not learn from counts nothing in the residual
of its outputs, so nothing of it reaches the weights. One matrix product then serves all networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

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
        self.steps = self._averaged = 0
        s, n_out = rows.variances, rows.y.shape[1]
        typical = float(s @ s / s.sum())
        self.metric = (s + settings.damping * typical).astype(np.float32)[:, None]
        g = len(counts)
        sizes = [rows.x.shape[1], *widths, n_out]
        self.weights: list[Float] = []
        self.biases: list[Float] = []
        for layer, (n_in, n) in enumerate(pairwise(sizes)):
            scale = np.sqrt(2 / (s.sum() if layer == 0 else n_in))
            scale *= settings.small_scale if layer == len(widths) else 1.0
            drawn = {
                start: np.random.default_rng([seed, start, layer]).standard_normal((n_in, n))
                for start in set(starts)
            }
            self.weights.append((scale * np.stack([drawn[k] for k in starts])).astype(np.float32))
            self.biases.append(np.zeros((g, n), np.float32))
        self.biases[-1][:] = bias
        self.averages = [np.zeros_like(a) for a in (*self.weights, *self.biases)]
        self.grams = [np.zeros((g, n, n), np.float32) for n in widths]
        self.means = [np.zeros((g, n), np.float32) for n in widths]
        self._observed = 0.0
        self.inverses: list[Float] = []
        self.gains: list[Float] = []
        self._size = [np.zeros(0)] * len(self.weights)
        self._smoothed = [np.zeros(0)] * len(self.weights)

    def keep(self, n_networks: int) -> None:
        """Go on with the first ``n_networks`` of the networks."""
        self.counts = self.counts[:n_networks]
        for name in (
            "weights", "biases", "averages", "grams", "means", "inverses", "gains", "_size",
            "_smoothed",
        ):  # fmt: skip
            setattr(self, name, [a[:n_networks] for a in getattr(self, name)])

    def step(self, index: NDArray[np.int64]) -> None:
        """Take one step of all networks on the rows of ``index``."""
        rows, settings, t = self.rows, self.settings, self.steps
        last = len(self.weights) - 1
        inputs = [rows.x[index]]
        known: list[Float] = []  # what the derivatives of the activations are computed from
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            z = np.matmul(inputs[-1], weight)
            z += bias[:, None]
            if layer < last:
                known.append(activate_and_keep(self.activation, z))
            inputs.append(z)
        target = rows.y[index]
        if self.loss in SMOOTHED:
            level = 1 / target.shape[1] if self.loss == "cross_entropy" else 0.5
            target = smoothed(target, settings.smoothing, level)
        d = DESCENT[self.loss](inputs.pop(), target)
        d *= self.counts[:, index, None]
        d *= np.float32(1 / len(index))
        if t % settings.observe == 0 and last:
            self._observe(inputs[1:], index)
        if t % settings.refresh == 0 or t in (2, 6):
            with suppress(np.linalg.LinAlgError):  # of diverged weights: the next check finds them
                self._refresh()
        rise = min(1.0, (t + 1) / settings.warm_up)
        measure = t % settings.measure == 0
        shrink = np.float32(1 - settings.weight_decay * rise)
        for layer in range(last, -1, -1):
            v = inputs[layer]
            s, b = np.matmul(v.swapaxes(-1, -2), d), d.sum(axis=1)
            if layer:
                d = np.matmul(d, self.gains[layer - 1])
                pull_back(self.activation, d, known[layer - 1])
            self._move(layer, s, b, rise, measure, shrink)
        self.steps = t + 1
        if self.steps % settings.average_every == 0:
            self.average()

    def _move(
        self, layer: int, s: Float, b: Float, rise: float, measure: bool, shrink: np.float32
    ) -> None:
        """Move one layer along the solution of its ridge problem, by a set relative length."""
        weight = self.weights[layer]
        if layer:
            mean = self.means[layer - 1]
            s -= mean[:, :, None] * b[:, None, :]
            if self.l2:
                s -= self._share(layer) * weight
            s = np.matmul(self.inverses[layer - 1], s)
            b -= np.einsum("gh,ghk->gk", mean, s)
            if measure:
                size = np.sqrt(np.einsum("ghk,ghk->g", s, s))
                size /= np.sqrt(np.maximum(np.einsum("ghk,ghk->g", weight, weight), 1e-20))
        else:
            if self.turn is not None:
                s -= self._share(layer) * np.matmul(self.turn, weight)
            if measure:
                square = np.einsum("ghk,ghk->gh", s, s) / self.metric[:, 0]
                norm = np.einsum("ghk,ghk->gh", weight, weight) * self.metric[:, 0]
                size = np.sqrt(square.sum(axis=1) / np.maximum(norm.sum(axis=1), 1e-20))
            s /= self.metric
        if measure:
            old = self._smoothed[layer]
            new = old + 0.2 * (size - old) if old.size else size
            self._smoothed[layer] = new
            self._size[layer] = np.maximum(np.maximum(new, 0.3 * size), 1e-12)
        rate = (rise * self.settings.length / self._size[layer]).astype(np.float32)
        s *= rate[:, None, None]
        b *= rate[:, None]
        weight *= shrink
        weight += s
        self.biases[layer] += b

    def _share(self, layer: int) -> Float:
        """Return the L2 penalty of a layer, (g, 1, 1), as short as its targets are.

        Targets come down through gains R and not through W', see
        :mod:`fastbcd.solvers.minibatch.l2`.
        """
        share = np.full(len(self.counts), self.l2)
        for weight, gain in zip(self.weights[layer + 1 :], self.gains[layer:], strict=True):
            square = np.einsum("ghk,ghk->g", weight, weight)
            share *= np.einsum("ghk,gkh->g", weight, gain) / np.maximum(square, 1e-30)
        return share.astype(np.float32)[:, None, None]

    def _observe(self, hidden: list[Float], index: NDArray[np.int64]) -> None:
        """Count the batch in to the running means and second moments of the hidden layers."""
        n = len(index)
        share = min(0.1, n / 5000) * self.settings.observe / 2
        self._observed = 1 - (1 - self._observed) * (1 - share)
        share /= self._observed
        weight = self.rows.weight
        for v, gram, mean in zip(hidden, self.grams, self.means, strict=True):
            left = v if weight is None else v * weight[index, None]
            gram *= np.float32(1 - share)
            gram += np.float32(share / n) * np.matmul(left.swapaxes(-1, -2), v)
            mean *= np.float32(1 - share)
            mean += np.float32(share / n) * left.sum(axis=1)

    def _refresh(self) -> None:
        """Invert the damped covariances of the hidden layers, and renew the backward gains."""
        inverses: list[Float] = []
        gains: list[Float] = []
        for gram, mean, weight in zip(self.grams, self.means, self.weights[1:], strict=True):
            c = gram - mean[:, :, None] * mean[:, None, :]
            trace = np.einsum("gii->g", c)
            ridge = self.settings.hidden_damping * np.einsum("gij,gij->g", c, c)
            ridge = ridge / np.maximum(trace, 1e-20) + 1e-6 * trace + 1e-12
            diagonal = np.arange(c.shape[1])
            c[:, diagonal, diagonal] += ridge[:, None]
            inverses.append(np.linalg.inv(c))
            turned = weight.swapaxes(-1, -2)
            if weight.shape[2] <= weight.shape[1]:
                small = np.matmul(turned, weight)
                small += self.settings.gain * np.eye(weight.shape[2], dtype=np.float32)
                gains.append(np.linalg.solve(small, turned))
            else:  # the same from the smaller matrix
                small = np.matmul(weight, turned)
                small += self.settings.gain * np.eye(weight.shape[1], dtype=np.float32)
                inverse = np.linalg.inv(small)
                gains.append(np.ascontiguousarray(np.matmul(turned, inverse)))
        self.inverses, self.gains = inverses, gains

    def average(self) -> None:
        """Move the averages towards the weights: old ones are forgotten polynomially."""
        self._averaged += 1
        power = self.settings.average_power
        share = np.float32((power + 1) / (self._averaged + power))
        for mean, now in zip(self.averages, (*self.weights, *self.biases), strict=True):
            mean += share * (now - mean)

    def averaged(self, network: int) -> tuple[list[Float], list[Float]]:
        """Return the averaged weights and biases of a network."""
        source = self.averages if self._averaged else [*self.weights, *self.biases]
        arrays = [a[network] for a in source]
        return arrays[: len(self.weights)], arrays[len(self.weights) :]

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
