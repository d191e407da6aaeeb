"""The free parameters of a layer during refinement, and their ridge step.

There is one class per kind of format. This module holds the base class and the dense one; the other
modules register theirs with :func:`block_of`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats import DenseMatrix, Format
from fastbcd.linalg import products as la
from fastbcd.linalg.factorisations import cholesky_inverse
from fastbcd.network.network import Layer
from fastbcd.parallel.crew import ALONE, Crew
from fastbcd.solvers.refine.settings import DEFAULTS, RefineSettings
from fastbcd.statistics.moments import Moments
from fastbcd.utils.small import is_small
from fastbcd.utils.types import Float, Float64
from fastbcd_kernels import dense_step


class Block:
    """A layer during refinement. In this base class only the intercept moves.

    Parameters
    ----------
    layer : Layer
        The layer to start from.
    is_input, is_output : bool
        Whether it is the first or the last layer.
    crew : Crew
        Threads to use.
    settings : RefineSettings
        Numbers of the method.
    """

    def __init__(
        self,
        layer: Layer,
        is_input: bool,
        is_output: bool,
        crew: Crew = ALONE,
        settings: RefineSettings = DEFAULTS,
    ) -> None:
        self.start = layer
        self.settings = settings
        self.crew = crew
        self.is_input = is_input
        self.is_output = is_output
        self.shape: tuple[int, int] = layer.weight.shape
        self.intercept: Float = layer.intercept.astype(np.float32)
        self.mean: Float = np.zeros(self.shape[0], np.float32)
        self._intercept_velocity = np.zeros_like(self.intercept)
        self._averages = [parameter.copy() for parameter in (self.intercept, *self._begin())]

    def restarted(self, layer: Layer) -> Self:
        """Return a new block that starts from ``layer``."""
        return type(self)(layer, self.is_input, self.is_output, self.crew, self.settings)

    # ------------------------------------------------------------ each kind of format defines

    @property
    def caution(self) -> float:
        """Factor of the steps of the weights."""
        return 1.0

    @property
    def least_momentum(self) -> float:
        """Lower bound of mu."""
        return 0.0

    def _begin(self) -> list[Float]:
        """Read the parameters from ``self.start``; return the arrays that are averaged."""
        self._effective = np.ascontiguousarray(self.start.weight.to_dense().astype(np.float32))
        return []

    def weight(self) -> Float:
        """Return the weights (d, m) of the forward pass."""
        return self._effective

    def used_inputs(self) -> NDArray[np.int64] | None:
        """Return the indices of the used inputs, ascending; None for all."""
        return None

    def forward(self, v: Float) -> Float:
        """Return the pre-activations (m, b) for inputs (d, b)."""
        u = la.inner_product(self._effective, v)
        u += self.intercept[:, None]
        return u

    def backward(self, pull: Float) -> Float:
        """Return the pull on the inputs, (d, b), for the ``pull`` on the outputs (m, b)."""
        return la.product(self._effective, pull)

    def costs(self, pull: Float, moments: Moments) -> Float64 | None:
        """Return the cost of the removal of each weight; None if no weight may be removed."""
        return None

    def shrink(self, stays: NDArray[np.bool_]) -> None:
        """Remove the weights of :meth:`costs` for which ``stays`` is False."""

    def move_support(self, v: Float, pull: Float, moments: Moments, share: float) -> None:
        """Move up to ``share`` of the support, given rows ``v`` (n, d) and pulls (n, m)."""

    def _prepare(self, gram: Float64) -> None:
        """Prepare the solves with the damped ``gram`` (d, d)."""

    def move(self, v: Float, pull: Float, rate: float, momentum: float, decay: float) -> None:
        """Take the step of the weights, and correct the intercept."""

    def _format(self, parameters: list[Float]) -> Format:
        """Return the weights in their format, given the arrays of :meth:`_begin`."""
        return self.start.weight

    def _parameters(self) -> list[Float]:
        """Return the current arrays of :meth:`_begin`."""
        return []

    # ------------------------------------------------------------ all kinds share

    def measure(self, moments: Moments) -> None:
        """Use new second moments of the inputs."""
        self.mean = moments.mean_in.astype(np.float32)
        gram = moments.covariance.copy()
        variance = max(np.trace(gram) / len(gram), 1e-12)
        gram[np.diag_indices_from(gram)] += self.settings.ridge * variance
        self._prepare(gram)

    def step(self, v: Float, pull: Float, rate: float, momentum: float, decay: float) -> None:
        """Move towards ``pull`` (m, b), the wanted change of the outputs for inputs ``v``."""
        settings = self.settings
        if not self.is_input:
            self.mean += np.float32(settings.forget) * (v.mean(axis=1) - self.mean)
        momentum = max(momentum, self.least_momentum)
        base = settings.rate_output if self.is_output else settings.rate_hidden
        self.move(v, pull, base * self.caution * rate, momentum, decay)
        self._intercept_velocity *= np.float32(momentum)
        self._intercept_velocity += pull.mean(axis=1) * np.float32(rate)
        self.intercept += np.float32(settings.rate_intercept) * self._intercept_velocity

    def _lower_intercept(self, shift: Float) -> None:
        """Correct the intercept after a step, so that the mean of the outputs does not change."""
        self.intercept -= shift

    def average(self, share: float) -> None:
        """Move the averages by ``share`` towards the current values."""
        current = (self.intercept, *self._parameters())
        for mean, parameter in zip(self._averages, current, strict=True):
            mean += np.float32(share) * (parameter - mean)

    def layer(self, averaged: bool) -> Layer:
        """Return the layer in its format and type, with averaged or current parameters."""
        dtype = self.start.intercept.dtype
        current = [self.intercept, *self._parameters()]
        intercept, *rest = [
            parameter.astype(dtype) for parameter in (self._averages if averaged else current)
        ]
        return replace(self.start, weight=self._format(rest), intercept=intercept)


@singledispatch
def block_of(weight: Any) -> type[Block]:
    """Return the class that refines a layer with weights of this format.

    A format without parameters keeps its weights, and only the intercept of its layer moves.
    """
    return Block


class DenseBlock(Block):
    """All entries are free."""

    def _begin(self) -> list[Float]:
        super()._begin()
        self._weight = self._effective
        self._velocity = np.zeros_like(self._weight)
        return [self._weight]

    def _parameters(self) -> list[Float]:
        return [self._weight]

    def _prepare(self, gram: Float64) -> None:
        self._inverse = inverse(gram)

    def move(self, v: Float, pull: Float, rate: float, momentum: float, decay: float) -> None:
        """Take the step of the weights, and correct the intercept."""
        solved = self._solved(centred_gradient(v, pull, self.mean))
        if is_small(solved.size):
            self._velocity *= np.float32(momentum)
            self._velocity += solved
            change = np.float32(rate) * (self._velocity - np.float32(decay) * self._weight)
            self._weight += change
            shift: Float = self.mean @ change
        else:
            shift = np.empty_like(self.intercept)
            dense_step.step(
                solved, self.mean, momentum, rate, decay, self._velocity, self._weight, shift
            )
        # The step is one for centred inputs.
        self._lower_intercept(shift)
        self._moved()

    def _solved(self, gradient: Float) -> Float:
        """Return the direction (d, m) of the step."""
        return la.product(self._inverse, gradient)

    def _moved(self) -> None:
        """Update the weights of the forward pass after the free ones have moved."""

    def _format(self, parameters: list[Float]) -> Format:
        return DenseMatrix(parameters[0])


@block_of.register
def _dense_block(weight: DenseMatrix) -> type[Block]:
    return DenseBlock


def inverse(gram: Float64) -> Float:
    """Return the inverse of a positive definite matrix, in float32."""
    return cholesky_inverse(gram).astype(np.float32)


def centred_gradient(v: Float, pull: Float, mean: Float) -> Float:
    """Return (V - mean) dU' / b, (d, m), for ``v`` (d, b) and ``pull`` (m, b)."""
    # The pull is the smaller factor.
    pull = pull / np.float32(v.shape[1])
    gradient = la.product(v, pull, transposed=True)
    gradient -= np.outer(mean, pull.sum(axis=1))
    return gradient
