"""The free parameters of a compressed layer, and the ridge step on them.

One class per kind of format: entries on a support, all entries, two factors. A format without
one keeps its weights; its intercept moves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from fastbcd._network import Layer
from fastbcd._types import Float, Float64
from fastbcd.formats import DenseMatrix, Format, LowRankMatrix, SparseMatrix
from fastbcd.schemes._support import in_threads, supports
from fastbcd.solvers.reconstruct.statistics import Moments
from fastbcd_kernels import masked_refit as kernel

RIDGE_HIDDEN, RIDGE_OUTPUT = 0.5, 1.5
"""lambda, relative to the mean variance of the inputs."""

RATE_HIDDEN, RATE_OUTPUT, RATE_INTERCEPT = 0.25, 0.5, 0.03
"""eta at a rate of one."""

MAX_INVERSES = 30_000_000
"""Numbers in the inverses of one layer; beyond it the supports share one inverse."""


class Block:
    """A layer during refinement; as it stands here, only its intercept moves.

    Parameters
    ----------
    layer : Layer
        Where to start.
    is_output : bool
        Whether it is the last layer.
    """

    def __init__(self, layer: Layer, is_output: bool) -> None:
        self.start = layer
        self.is_output = is_output
        self.weight = np.ascontiguousarray(layer.weight.to_dense().astype(np.float32))
        self.intercept = layer.intercept.astype(np.float32)
        self.mean = np.zeros(self.weight.shape[0], np.float32)
        self._intercept_velocity = np.zeros_like(self.intercept)
        self._mean_weight = self.weight.copy()
        self._mean_intercept = self.intercept.copy()

    def restarted(self, layer: Layer) -> Self:
        """Return the block as it would start from ``layer``."""
        return type(self)(layer, self.is_output)

    def measure(self, v: Float) -> None:
        """Measure the inputs ``v`` (n, d) of the layer."""
        nothing = np.zeros((len(v), 0), v.dtype)
        moments = Moments.of(v, nothing)
        self.mean = moments.mean_in.astype(np.float32)
        ridge = RIDGE_OUTPUT if self.is_output else RIDGE_HIDDEN
        gram = moments.covariance
        gram[np.diag_indices_from(gram)] += ridge * max(np.trace(gram) / len(gram), 1e-12)
        self._prepare(gram)

    def step(self, v: Float, pull: Float, rate: float, momentum: float, decay: float) -> None:
        """Move towards ``pull`` (b, m), the wanted change of the outputs for inputs ``v``."""
        n = np.float32(len(v))
        mean_pull = pull.mean(axis=0)
        self.mean += np.float32(0.05) * (v.mean(axis=0) - self.mean)
        gradient = v.T @ pull
        gradient /= n
        gradient -= np.outer(self.mean, mean_pull)
        before = self.mean @ self.weight
        base = RATE_OUTPUT if self.is_output else RATE_HIDDEN
        self._move(gradient, base * rate, momentum, decay)
        self._intercept_velocity *= np.float32(momentum)
        self._intercept_velocity += mean_pull * np.float32(rate)
        self.intercept += np.float32(RATE_INTERCEPT) * self._intercept_velocity
        # The weights moved around the mean of the inputs.
        self.intercept -= self.mean @ self.weight - before

    def average(self, share: float) -> None:
        """Move the averages by ``share`` towards the current values."""
        f = np.float32(share)
        self._mean_weight += f * (self.weight - self._mean_weight)
        self._mean_intercept += f * (self.intercept - self._mean_intercept)

    def layer(self, averaged: bool) -> Layer:
        """Return the layer in its own format and type."""
        dtype = self.start.intercept.dtype
        intercept = (self._mean_intercept if averaged else self.intercept).astype(dtype)
        return replace(self.start, weight=self._format(averaged), intercept=intercept)

    def _prepare(self, gram: Float64) -> None:
        """Prepare the solves with ``gram`` (d, d), damped."""

    def _move(self, gradient: Float, rate: float, momentum: float, decay: float) -> None:
        """Take the step of the weights."""

    def _format(self, averaged: bool) -> Format:
        return self.start.weight


class _Dense(Block):
    """All entries are free."""

    def __init__(self, layer: Layer, is_output: bool) -> None:
        super().__init__(layer, is_output)
        self._velocity = np.zeros_like(self.weight)

    def _prepare(self, gram: Float64) -> None:
        inverse = cho_solve(cho_factor(gram), np.eye(len(gram)))
        self._inverse = inverse.astype(np.float32)

    def _move(self, gradient: Float, rate: float, momentum: float, decay: float) -> None:
        self._velocity *= np.float32(momentum)
        self._velocity += self._inverse @ gradient
        self.weight *= np.float32(1 - rate * decay)
        self.weight += np.float32(rate) * self._velocity

    def _format(self, averaged: bool) -> Format:
        weight = self._mean_weight if averaged else self.weight
        return DenseMatrix(weight.astype(self.start.intercept.dtype))


class _Sparse(Block):
    """The entries on a support are free; every output has its own inverse."""

    def __init__(self, layer: Layer, is_output: bool) -> None:
        super().__init__(layer, is_output)
        self._mask = self.weight != 0
        self._start, self._index = supports(self._mask)
        counts = np.diff(self._start)
        self._offset = np.concatenate([[0], np.cumsum(counts**2)]).astype(np.int64)
        self._shared = bool(self._offset[-1] > MAX_INVERSES)
        if self._shared:
            self._velocity = np.zeros_like(self.weight)
        else:
            self._velocity = np.zeros(self._index.size, np.float32)
            self._inverses = np.empty(self._offset[-1], np.float32)

    def _prepare(self, gram: Float64) -> None:
        if self._shared:
            self._inverse = cho_solve(cho_factor(gram), np.eye(len(gram))).astype(np.float32)
            return
        in_threads(
            lambda lo, hi: kernel.masked_inverses(
                gram, self._start, self._index, self._offset, lo, hi, self._inverses
            ),
            self._start,
        )

    def _move(self, gradient: Float, rate: float, momentum: float, decay: float) -> None:
        if self._shared:
            self._velocity *= np.float32(momentum)
            self._velocity += (self._inverse @ (gradient * self._mask)) * self._mask
            self.weight += np.float32(rate) * (self._velocity - np.float32(decay) * self.weight)
            return
        kernel.masked_step(
            np.ascontiguousarray(gradient),
            self._start,
            self._index,
            self._offset,
            self._inverses,
            momentum,
            rate,
            decay,
            self._velocity,
            self.weight,
        )

    def _format(self, averaged: bool) -> Format:
        weight = self._mean_weight if averaged else self.weight
        return SparseMatrix.from_dense(weight.astype(self.start.intercept.dtype))


class _LowRank(Block):
    """Both factors are free; each takes the ridge step that is exact with the other one fixed."""

    def __init__(self, layer: Layer, is_output: bool) -> None:
        super().__init__(layer, is_output)
        assert isinstance(layer.weight, LowRankMatrix)
        self._left = layer.weight.left.astype(np.float32)
        self._right = layer.weight.right.astype(np.float32)
        self._means = [self._left.copy(), self._right.copy()]
        self._velocities = [np.zeros_like(self._left), np.zeros_like(self._right)]

    def _prepare(self, gram: Float64) -> None:
        self._gram = gram.astype(np.float32)
        self._inverse = cho_solve(cho_factor(gram), np.eye(len(gram))).astype(np.float32)

    def _move(self, gradient: Float, rate: float, momentum: float, decay: float) -> None:
        left, right = self._left, self._right
        inner = left.T @ (self._gram @ left)
        outer = right @ right.T
        for small in (inner, outer):
            small[np.diag_indices_from(small)] += 1e-3 * np.trace(small) / len(small)
        steps = (
            np.linalg.solve(outer, right @ (self._inverse @ gradient).T).T,
            np.linalg.solve(inner, left.T @ gradient),
        )
        for factor, velocity, step in zip((left, right), self._velocities, steps, strict=True):
            velocity *= np.float32(momentum)
            velocity += step
            # Half each: both factors move the same product.
            factor += np.float32(0.5 * rate) * (velocity - np.float32(decay) * factor)
        np.matmul(left, right, out=self.weight)

    def average(self, share: float) -> None:
        """Average the factors."""
        super().average(share)
        for mean, factor in zip(self._means, (self._left, self._right), strict=True):
            mean += np.float32(share) * (factor - mean)

    def _format(self, averaged: bool) -> Format:
        left, right = self._means if averaged else (self._left, self._right)
        dtype = self.start.intercept.dtype
        return LowRankMatrix(left.astype(dtype), right.astype(dtype))


def block_of(layer: Layer, is_output: bool) -> Block:
    """Return the block for the format of ``layer``."""
    kinds = {DenseMatrix: _Dense, SparseMatrix: _Sparse, LowRankMatrix: _LowRank}
    kind: type[Block] = kinds.get(type(layer.weight), Block)
    return kind(layer, is_output)
