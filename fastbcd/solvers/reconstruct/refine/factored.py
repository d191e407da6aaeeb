"""Layers made of factors during refinement: low rank, and tensor trains."""

from __future__ import annotations

import numpy as np

from fastbcd import _linalg as la
from fastbcd._types import Float, Float64
from fastbcd.formats import Format, LowRankMatrix, TensorTrainMatrix
from fastbcd.formats.tensor_train import chain
from fastbcd.solvers.reconstruct.refine.blocks import Block, centred_gradient, inverse

DAMPING = 1e-3
"""Ridge of the small systems between the factors, relative to their mean eigenvalue."""


class FactoredBlock(Block):
    """Few parameters have a long way to go from what the layer-by-layer pass left.

    There is little noise on it, so that the steps can be bolder than those of single weights.
    """

    _ridge = 0.1
    _least_momentum = 0.95


class LowRankBlock(FactoredBlock):
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
        return la.product(self._left, self._right)

    def forward(self, v: Float) -> Float:
        """Return the pre-activations (m, b) for inputs (d, b)."""
        self._inner = la.inner_product(self._left, v)
        u = la.inner_product(self._right, self._inner)
        u += self.intercept[:, None]
        return u

    def backward(self, pull: Float) -> Float:
        """Return what the inputs are pulled by, (d, b), for the outputs' ``pull`` (m, b)."""
        return la.product(self._left, la.product(self._right, pull))

    def _prepare(self, gram: Float64) -> None:
        self._gram = gram.astype(np.float32)
        self._inverse = inverse(gram)

    def _move(self, v: Float, pull: Float, rate: float, momentum: float, decay: float) -> None:
        left, right = self._left, self._right
        b = np.float32(v.shape[1])
        totals = pull.sum(axis=1)
        through = la.product(right, pull)
        to_left = la.product(v, through, transposed=True)
        to_left -= np.outer(self.mean, right @ totals)
        to_right = la.product(self._inner, pull, transposed=True)
        to_right -= np.outer(self.mean @ left, totals)
        steps = (
            np.linalg.solve(damped(right @ right.T), la.product(self._inverse, to_left).T).T / b,
            np.linalg.solve(damped(left.T @ la.product(self._gram, left)), to_right) / b,
        )
        before = (self.mean @ left) @ right
        for factor, velocity, step in zip((left, right), self._velocities, steps, strict=True):
            velocity *= np.float32(momentum)
            velocity += step
            # Half each: both factors move the same product.
            factor += np.float32(0.5 * rate) * (velocity - np.float32(decay) * factor)
        self._lower_intercept((self.mean @ left) @ right - before)

    def _format(self, parameters: list[Float]) -> Format:
        return LowRankMatrix(*parameters)


class TrainBlock(FactoredBlock):
    """All cores of a tensor train are free.

    The ridge step of the whole matrix is projected on what each core can do with the others
    fixed, by least squares; every core takes its share of it.
    """

    def _begin(self) -> list[Float]:
        assert isinstance(self.start.weight, TensorTrainMatrix)
        super()._begin()
        self._cores = [core.astype(np.float32) for core in self.start.weight.cores]
        self._velocities = [np.zeros_like(core) for core in self._cores]
        return self._cores

    def _parameters(self) -> list[Float]:
        return self._cores

    def _prepare(self, gram: Float64) -> None:
        self._inverse = inverse(gram)

    def _move(self, v: Float, pull: Float, rate: float, momentum: float, decay: float) -> None:
        wanted = la.product(self._inverse, centred_gradient(v, pull, self.mean))
        steps = [self._core_step(k, wanted) for k in range(len(self._cores))]
        share = np.float32(rate / len(self._cores))
        for core, velocity, step in zip(self._cores, self._velocities, steps, strict=True):
            velocity *= np.float32(momentum)
            velocity += step
            core += share * (velocity - np.float32(decay) * core)
        before, self._effective = self._effective, chain(self._cores).reshape(self.shape)
        self._lower_intercept(self.mean @ (self._effective - before))

    def _core_step(self, k: int, wanted: Float) -> Float:
        """Return the change of core ``k`` that comes nearest to ``wanted``."""
        a, n, b = self._cores[k].shape
        one = np.ones((1, 1), np.float32)
        before = chain(self._cores[:k]) if k else one
        after = chain(self._cores[k + 1 :]).reshape(b, -1) if k + 1 < len(self._cores) else one
        tensor = wanted.reshape(before.shape[0], n, after.shape[1])
        part = np.tensordot(tensor, after, axes=(2, 1))
        part = np.tensordot(before, part, axes=(0, 0)).reshape(a, n * b)
        part = np.linalg.solve(damped(before.T @ before), part).reshape(a * n, b)
        step: Float = np.linalg.solve(damped(after @ after.T), part.T).T.reshape(a, n, b)
        return step

    def _format(self, parameters: list[Float]) -> Format:
        return TensorTrainMatrix(parameters, self.shape)


def damped(system: Float) -> Float:
    """Return a small positive semidefinite matrix with a ridge, changed in place."""
    size = len(system)
    system[np.diag_indices(size)] += np.float32(DAMPING * max(np.trace(system) / size, 1e-12))
    return system
