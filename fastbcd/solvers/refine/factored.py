r"""Layers made of factors during refinement: low rank, tensor trains, and formats of the user.

Factors have few parameters, with a long way to go from what the layer-by-layer pass left, and
the ridge step of the whole matrix is not theirs to take. Its share for one factor with the others
fixed ignores that they move, too, and that outputs differ in how much they are pulled. Here every
number of a factor has a step of its own length instead (Adam, Kingma, Ba, arXiv:1412.6980):

    m <- mu m + (1 - mu) g,    s <- nu s + (1 - nu) g^2,    F <- F + eta u m / sqrt(s),

with g the pull on the factor, as of centred inputs, so that the step leaves the mean of the
outputs to the intercept. It takes no metric, which is most of what a ridge step costs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from fastbcd.formats import Format, LowRankMatrix
from fastbcd.linalg import products as la
from fastbcd.solvers.refine.blocks import Block, block_of, centred_gradient
from fastbcd.utils.types import Float, Float64

STEP = 0.4
"""Length of a step at a rate of one, relative to the size of the factors."""

DECAY = 1e-3
"""Share of a factor that goes in each step at a rate of one, at least. Steps of one length for
large and small pulls alike let factors grow where nothing holds them, most so on few rows."""

MEMORY, LEAST = 0.999, np.float32(1e-8)
"""nu, and what is added to the root of s."""


class FactoredBlock(Block, ABC):
    """All factors of a product are free.

    They are made alike first: their sizes could be shifted from one to the other, and the lengths
    of the steps with them. The size of a factor is the median of its numbers', since the
    layer-by-layer pass may leave huge ones at inputs that hardly vary.
    """

    _least_momentum = 0.9

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
        """Forget the steps that were taken."""
        self._velocities = [np.zeros_like(factor) for factor in self.factors]
        self._squares = [np.zeros_like(factor) for factor in self.factors]
        # Shares of the means that are zeros of the start still.
        self._unseen = [1.0, 1.0]

    def _parameters(self) -> list[Float]:
        return self.factors

    def _prepare(self, gram: Float64) -> None:
        """Do nothing: no solves."""

    def _moved(self) -> None:
        """Bring what is derived from the factors in line with them."""

    def move(self, v: Float, pull: Float, rate: float, momentum: float, decay: float) -> None:
        """Take the step of the weights, and correct the intercept for it."""
        before = self.product(self.mean)
        gradients = self.gradients(v, pull)
        self._unseen[0] *= momentum
        self._unseen[1] *= MEMORY
        length = np.float32(STEP * rate * self._unit / (1 - self._unseen[0]))
        unbias = np.float32(1 / (1 - self._unseen[1]))
        states = zip(self.factors, self._velocities, self._squares, gradients, strict=True)
        for factor, velocity, square, gradient in states:
            velocity += np.float32(1 - momentum) * (gradient - velocity)
            square += np.float32(1 - MEMORY) * (gradient * gradient - square)
            factor += length * velocity / (np.sqrt(unbias * square) + LEAST)
            factor -= np.float32(rate * max(decay, DECAY)) * factor
        self._moved()
        self._lower_intercept(self.product(self.mean) - before)


class LowRankBlock(FactoredBlock):
    """Two factors."""

    def _start_factors(self) -> Sequence[Float]:
        return self.start.weight.parameters()

    def weight(self) -> Float:
        """Return the weights (d, m) as they are."""
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
        """Return what the inputs are pulled by, (d, b), for the outputs' ``pull`` (m, b)."""
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
    """The parameters of any format that has some, such as the cores of a tensor train.

    The format says what its parameters are and pulls a gradient back to them; see
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
    """Return the median size of the numbers that are not zero."""
    sizes = np.abs(factor[factor != 0])
    return float(np.median(sizes)) if sizes.size else 1.0
