"""Several networks trained in lock-step, as stacked arrays.

A network is an entrant (damping, smoothing, dropout) and a fold that it does not learn from.
All see the same batches; a row of the fold counts nothing in the residual of the output, so
nothing of it reaches the weights. One matrix product then serves all networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fastbcd.solvers.batch.settings import BatchSettings, Entrant
from fastbcd.solvers.batch.units import DESCENT, activate, pull_back
from fastbcd.utils.types import Float, Float64

POOL = 1 << 19
"""Random numbers drawn once; dropout takes a random stretch of them each time."""

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
    entrants : sequence of Entrant
        How each network learns.
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
    """

    def __init__(
        self,
        rows: Rows,
        widths: Sequence[int],
        activation: str,
        loss: str,
        entrants: Sequence[Entrant],
        counts: Float,
        starts: Sequence[int],
        bias: Float64,
        settings: BatchSettings,
        seed: int,
    ) -> None:
        self.rows, self.activation, self.loss, self.settings = rows, activation, loss, settings
        self.counts = counts if rows.weight is None else counts * rows.weight
        self.entrants = list(entrants)
        self.steps = self._averaged = 0
        s, n_out = rows.variances, rows.y.shape[1]
        typical = float(s @ s / s.sum())
        column = (len(entrants), 1, 1)
        damping = np.array([e.damping for e in entrants]).reshape(column)
        self.metric = (s[None, :, None] + damping * typical).astype(np.float32)
        self.smoothing = np.array([e.smoothing for e in entrants], np.float32).reshape(column)
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
            self.biases.append(np.zeros((len(entrants), n), np.float32))
        self.biases[-1][:] = bias
        self.averages = [np.zeros_like(a) for a in (*self.weights, *self.biases)]
        g = len(entrants)
        self.grams = [np.zeros((g, n, n), np.float32) for n in widths]
        self.means = [np.zeros((g, n), np.float32) for n in widths]
        self._observed = 0.0
        self.inverses: list[Float] = []
        self.gains: list[Float] = []
        self._size = [np.zeros(0)] * len(self.weights)
        self._smoothed = [np.zeros(0)] * len(self.weights)
        self.rng = np.random.default_rng([seed, 1_000_003])
        rates = sorted({e.dropout for e in entrants} - {0.0})
        draws = self.rng.random(POOL, dtype=np.float32) if rates else np.zeros(0, np.float32)
        self.pools = {r: (draws >= r).astype(np.float32) / np.float32(1 - r) for r in rates}

    def keep(self, chosen: NDArray[np.int64]) -> None:
        """Go on with some of the networks."""
        self.entrants = [self.entrants[i] for i in chosen]
        for name in ("counts", "metric", "smoothing"):
            setattr(self, name, getattr(self, name)[chosen])
        for name in (
            "weights", "biases", "averages", "grams", "means", "inverses", "gains", "_size",
            "_smoothed",
        ):  # fmt: skip
            setattr(self, name, [a[chosen] for a in getattr(self, name)])

    def step(self, index: NDArray[np.int64]) -> None:
        """Take one step of all networks on the rows of ``index``."""
        rows, settings, t = self.rows, self.settings, self.steps
        last = len(self.weights) - 1
        inputs, masks = [rows.x[index]], self._masks(len(index))
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            z = np.matmul(inputs[-1], weight)
            z += bias[:, None]
            if layer < last:
                activate(self.activation, z)
                for part, mask in masks[layer]:
                    z[part] *= mask
            inputs.append(z)
        target = rows.y[index]
        if self.loss in SMOOTHED:
            level = 1 / target.shape[1] if self.loss == "cross_entropy" else 0.5
            target = target * (1 - self.smoothing) + self.smoothing * np.float32(level)
        d = DESCENT[self.loss](inputs.pop(), target)
        d *= self.counts[:, index, None]
        d *= np.float32(1 / len(index))
        if t % settings.observe == 0 and last:
            self._observe(inputs[1:], index)
        if t % settings.refresh == 0 or t in (2, 6):
            self._refresh()
        rise = min(1.0, (t + 1) / settings.warm_up)
        measure = t % settings.measure == 0
        shrink = np.float32(1 - settings.weight_decay * rise)
        for layer in range(last, -1, -1):
            v = inputs[layer]
            s, b = np.matmul(v.swapaxes(-1, -2), d), d.sum(axis=1)
            if layer:
                d = np.matmul(d, self.gains[layer - 1])
                pull_back(self.activation, d, v)
                for part, mask in masks[layer - 1]:
                    d[part] *= mask
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
            s = np.matmul(self.inverses[layer - 1], s)
            b -= np.einsum("gh,ghk->gk", mean, s)
            if measure:
                size = np.sqrt(np.einsum("ghk,ghk->g", s, s))
                size /= np.sqrt(np.maximum(np.einsum("ghk,ghk->g", weight, weight), 1e-20))
        else:
            if measure:
                square = np.einsum("ghk,ghk->gh", s, s) / self.metric[:, :, 0]
                norm = np.einsum("ghk,ghk->gh", weight, weight) * self.metric[:, :, 0]
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

    def _masks(self, n: int) -> list[list[tuple[slice, Float]]]:
        """Return for each hidden layer the networks with dropout, and factors of their units."""
        found = []
        for gram in self.grams:
            parts, begin = [], 0
            while begin < len(self.entrants):
                rate, end = self.entrants[begin].dropout, begin
                while end < len(self.entrants) and self.entrants[end].dropout == rate:
                    end += 1
                if rate:
                    shape = (end - begin, n, gram.shape[1])
                    size, pool = int(np.prod(shape)), self.pools[rate]
                    if size > pool.size // 2:
                        pool = self.pools[rate] = np.tile(pool, 2 * size // pool.size + 1)
                    at = int(self.rng.integers(pool.size - size))
                    parts.append((slice(begin, end), pool[at : at + size].reshape(shape)))
                begin = end
            found.append(parts)
        return found

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
        self.inverses, self.gains = [], []
        for gram, mean, weight in zip(self.grams, self.means, self.weights[1:], strict=True):
            c = gram - mean[:, :, None] * mean[:, None, :]
            trace = np.einsum("gii->g", c)
            ridge = self.settings.hidden_damping * np.einsum("gij,gij->g", c, c)
            ridge = ridge / np.maximum(trace, 1e-20) + 1e-6 * trace + 1e-12
            diagonal = np.arange(c.shape[1])
            c[:, diagonal, diagonal] += ridge[:, None]
            self.inverses.append(np.linalg.inv(c))
            turned = weight.swapaxes(-1, -2)
            if weight.shape[2] <= weight.shape[1]:
                small = np.matmul(turned, weight)
                small += self.settings.gain * np.eye(weight.shape[2], dtype=np.float32)
                self.gains.append(np.linalg.solve(small, turned))
            else:  # the same from the smaller matrix
                small = np.matmul(weight, turned)
                small += self.settings.gain * np.eye(weight.shape[1], dtype=np.float32)
                inverse = np.linalg.inv(small)
                self.gains.append(np.ascontiguousarray(np.matmul(turned, inverse)))

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
