r"""Layers made of factors during refinement: low rank, tensor trains, and users' formats.

Factors have few parameters, which start far from their best values after the layer-by-layer pass.
The ridge step of the whole matrix does not keep its rank. The ridge step of one factor ignores that
the other factors move as well, and that the pulls on the outputs differ in size. Every parameter of
a factor therefore has its own step length (Adam, Kingma, Ba, arXiv:1412.6980):

    m <- mu m + (1 - mu) g,    s <- nu s + (1 - nu) g^2,    F <- F + eta u m / sqrt(s),

with g the pull on the factor for centred inputs, so that the step does not change the mean of the
outputs. It needs no metric, which is the largest part of the cost of a ridge step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from fastbcd.formats import Format, LowRankMatrix
from fastbcd.linalg import products as la
from fastbcd.solvers.refine.blocks import Block, block_of, centred_gradient
from fastbcd.utils.types import Float, Float64

LEAST = np.float32(1e-8)
"""Added to the root of s against a division by zero; the value of Adam's paper."""


class FactoredBlock(Block, ABC):
    """A layer whose factors are all free.

    The factors are first scaled to one size, because their product does not determine their sizes,
    but the lengths of the steps depend on them. The size of a factor is the median size of its
    entries: the layer-by-layer pass may leave huge entries at inputs that hardly vary.
    """

    @property
    def least_momentum(self) -> float:
        """Lower bound of mu."""
        return self.settings.factor_momentum

    @abstractmethod
    def _start_factors(self) -> Sequence[Float]:
        """Return the factors of ``self.start``."""

    @abstractmethod
    def gradients(self, v: Float, pull: Float) -> list[Float]:
        """Return the pull on each factor, a mean over the rows, for centred inputs."""

    @abstractmethod
    def product(self, v: Float) -> Float:
        """Return ``v @ W`` of a vector ``v`` (d,)."""

    def _begin(self) -> list[Float]:
        factors = self._start_factors()
        sizes = [median_size(factor) for factor in factors]
        self._unit = float(np.exp(np.mean(np.log(sizes))))
        self.factors = [
            (factor * (self._unit / size)).astype(np.float32)
            for factor, size in zip(factors, sizes, strict=True)
        ]
        self._start_steps()
        return self.factors

    def _start_steps(self) -> None:
        """Reset the running means of the steps."""
        self._velocities = [np.zeros_like(factor) for factor in self.factors]
        self._squares = [np.zeros_like(factor) for factor in self.factors]
        # Weight of the zero start in the two running means.
        self._unseen = [1.0, 1.0]

    def _parameters(self) -> list[Float]:
        return self.factors

    def _prepare(self, gram: Float64) -> None:
        """Do nothing: there are no solves."""

    def _moved(self) -> None:
        """Update everything derived from the factors."""

    def move(self, v: Float, pull: Float, rate: float, momentum: float, decay: float) -> None:
        """Take the step of the weights, and correct the intercept."""
        settings, memory = self.settings, self.settings.factor_memory
        before = self.product(self.mean)
        gradients = self.gradients(v, pull)
        self._unseen[0] *= momentum
        self._unseen[1] *= memory
        length = np.float32(settings.factor_step * rate * self._unit / (1 - self._unseen[0]))
        shrinkage = np.float32(rate * max(decay, settings.factor_decay))
        unbias = np.float32(1 / (1 - self._unseen[1]))
        states = zip(self.factors, self._velocities, self._squares, gradients, strict=True)
        for factor, velocity, square, gradient in states:
            velocity += np.float32(1 - momentum) * (gradient - velocity)
            square += np.float32(1 - memory) * (gradient * gradient - square)
            factor += length * velocity / (np.sqrt(unbias * square) + LEAST)
            factor -= shrinkage * factor
        self._moved()
        self._lower_intercept(self.product(self.mean) - before)


class LowRankBlock(FactoredBlock):
    """A layer with two factors."""

    def _start_factors(self) -> Sequence[Float]:
        return self.start.weight.parameters()

    def weight(self) -> Float:
        """Return the weights (d, m) of the forward pass."""
        left, right = self.factors
        return la.product(left, right)

    def forward(self, v: Float) -> Float:
        """Return the pre-activations (m, b) for inputs (d, b)."""
        left, right = self.factors
        self._inner = la.inner_product(left, v)
        u = la.inner_product(right, self._inner)
        u += self.intercept[:, None]
        return u

    def backward(self, pull: Float) -> Float:
        """Return the pull on the inputs, (d, b), for the ``pull`` on the outputs (m, b)."""
        left, right = self.factors
        return la.product(left, la.product(right, pull))

    def product(self, v: Float) -> Float:
        """Return ``v @ W`` of a vector ``v`` (d,)."""
        left, right = self.factors
        product: Float = (v @ left) @ right
        return product

    def gradients(self, v: Float, pull: Float) -> list[Float]:
        """Return the pull on each factor, a mean over the rows, for centred inputs."""
        left, right = self.factors
        return [
            centred_gradient(v, la.product(right, pull), self.mean),
            centred_gradient(self._inner, pull, self.mean @ left),
        ]

    def _format(self, parameters: list[Float]) -> Format:
        return LowRankMatrix(*parameters)


class ParametricBlock(FactoredBlock):
    """A layer in any format with parameters, such as the cores of a tensor train.

    The format defines its parameters and the gradient with respect to them; see
    :meth:`fastbcd.formats.Format.parameters`.
    """

    def _start_factors(self) -> Sequence[Float]:
        return self.start.weight.parameters()

    def _begin(self) -> list[Float]:
        factors = super()._begin()
        self._moved()
        return factors

    def _moved(self) -> None:
        self._matrix = self.start.weight.with_parameters(self.factors)
        self._effective = self._matrix.to_dense()

    def product(self, v: Float) -> Float:
        """Return ``v @ W`` of a vector ``v`` (d,)."""
        product: Float = v @ self._effective
        return product

    def gradients(self, v: Float, pull: Float) -> list[Float]:
        """Return the pull on each factor, a mean over the rows, for centred inputs."""
        return self._matrix.pull_back(centred_gradient(v, pull, self.mean))

    def _format(self, parameters: list[Float]) -> Format:
        return self.start.weight.with_parameters(parameters)


@block_of.register
def _parametric_block(weight: Format) -> type[Block]:
    return ParametricBlock if weight.parameters() else Block


@block_of.register
def _low_rank_block(weight: LowRankMatrix) -> type[Block]:
    return LowRankBlock


def median_size(factor: Float) -> float:
    """Return the median absolute value of the non-zero entries, or one if there are none."""
    sizes = np.abs(factor[factor != 0])
    return float(np.median(sizes)) if sizes.size else 1.0
