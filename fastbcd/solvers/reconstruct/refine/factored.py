"""Layers made of factors during refinement: low rank, and tensor trains."""

from __future__ import annotations

import numpy as np

from fastbcd._types import Float, Float64
from fastbcd.formats import Format, LowRankMatrix
from fastbcd.solvers.reconstruct.refine.blocks import Block, inverse

DAMPING = 1e-3
"""Ridge of the small systems between the factors, relative to their mean eigenvalue."""


class LowRankBlock(Block):
    """Both factors are free; each takes the ridge step that is exact with the other one fixed."""

    def _begin(self) -> list[Float]:
        assert isinstance(self.start.weight, LowRankMatrix)
        self._left = self.start.weight.left.astype(np.float32)
        self._right = self.start.weight.right.astype(np.float32)
        self._velocities = [np.zeros_like(self._left), np.zeros_like(self._right)]
        return [self._left, self._right]

    def _parameters(self) -> list[Float]:
        return [self._left, self._right]

    def weight(self) -> Float:
        """Return the weights (d, m) as they are."""
        product: Float = self._left @ self._right
        return product

    def forward(self, v: Float) -> Float:
        """Return the pre-activations (m, b) for inputs (d, b)."""
        self._inner = self._left.T @ v
        u: Float = self._right.T @ self._inner
        u += self.intercept[:, None]
        return u

    def backward(self, pull: Float) -> Float:
        """Return what the inputs are pulled by, (d, b), for the outputs' ``pull`` (m, b)."""
        pulled: Float = self._left @ (self._right @ pull)
        return pulled

    def _prepare(self, gram: Float64) -> None:
        self._gram = gram.astype(np.float32)
        self._inverse = inverse(gram)

    def _move(self, v: Float, pull: Float, rate: float, momentum: float, decay: float) -> None:
        left, right = self._left, self._right
        b = np.float32(v.shape[1])
        totals = pull.sum(axis=1)
        through = right @ pull
        to_left = v @ through.T - np.outer(self.mean, right @ totals)
        to_right = self._inner @ pull.T - np.outer(self.mean @ left, totals)
        steps = (
            np.linalg.solve(damped(right @ right.T), (self._inverse @ to_left).T).T / b,
            np.linalg.solve(damped(left.T @ (self._gram @ left)), to_right) / b,
        )
        before = (self.mean @ left) @ right
        for factor, velocity, step in zip((left, right), self._velocities, steps, strict=True):
            velocity *= np.float32(momentum)
            velocity += step
            # Half each: both factors move the same product.
            factor += np.float32(0.5 * rate) * (velocity - np.float32(decay) * factor)
        self.intercept -= (self.mean @ left) @ right - before

    def _format(self, parameters: list[Float]) -> Format:
        return LowRankMatrix(*parameters)


def damped(system: Float) -> Float:
    """Return a small positive semidefinite matrix with a ridge, changed in place."""
    size = len(system)
    system[np.diag_indices(size)] += np.float32(DAMPING * max(np.trace(system) / size, 1e-12))
    return system
