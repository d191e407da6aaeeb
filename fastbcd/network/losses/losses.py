"""Losses: value, gradient and proximal step of the output block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
from scipy.special import expit, log_softmax, softmax

from fastbcd.utils.types import Float, Float64
from fastbcd_kernels import loss_descent, output_step


class Loss(Protocol):
    """The interface of a loss R(V; Y), a sum over samples."""

    name: str
    convexity: float
    """Strong convexity modulus of R in V; it adds to the guaranteed decrease of the output step."""

    def value(self, v: Float, y: Float, sample_weight: Float64) -> float:
        """Return sum_i weight_i R(v_i; y_i)."""
        ...

    def gradient(self, v: Float, y: Float) -> Float:
        """Return the gradient of R with respect to each row of ``v``, unweighted."""
        ...

    def slopes(self, v: Float, y: Float) -> tuple[Float, Float]:
        """Return the left and the right derivative of R in each entry of ``v``, unweighted."""
        ...

    def step(
        self, v: Float, u: Float, y: Float, gamma: float, alpha: float, sample_weight: Float64
    ) -> tuple[float, float]:
        """Perform the output step in place; see :mod:`fastbcd_kernels.output_step`.

        Returns the weighted loss after the step and the weighted squared step length.
        """
        ...

    def descend(
        self, z: Float, bias: Float, y: Float, sample_weight: Float, smoothing: float, mean: Float
    ) -> float:
        """Replace ``z`` with the weighted descent direction of R at z + bias, for a mini-batch.

        ``mean`` is overwritten with the column means of the direction. Returns the mean weighted
        loss. See :mod:`fastbcd_kernels.loss_descent`.
        """
        ...


class Smooth(ABC):
    """A differentiable loss: left and right derivatives are equal."""

    @abstractmethod
    def gradient(self, v: Float, y: Float) -> Float:
        """Return the gradient of R with respect to each row of ``v``, unweighted."""

    def slopes(self, v: Float, y: Float) -> tuple[Float, Float]:
        """Return the gradient as both the left and the right derivative."""
        gradient = self.gradient(v, y)
        return gradient, gradient


class Squared(Smooth):
    """R(v; y) = ||v - y||^2 / 2."""

    name = "squared"
    convexity: float = 1.0

    def value(self, v: Float, y: Float, sample_weight: Float64) -> float:
        """Return sum_i weight_i R(v_i; y_i)."""
        rows = np.sum(np.square(v - y), axis=1, dtype=np.float64)
        return float(0.5 * (sample_weight @ rows))

    def gradient(self, v: Float, y: Float) -> Float:
        """Return v - y."""
        return v - y

    def step(
        self, v: Float, u: Float, y: Float, gamma: float, alpha: float, sample_weight: Float64
    ) -> tuple[float, float]:
        """Perform the output step in place."""
        return output_step.squared_step(v, u, y, gamma, alpha, sample_weight)

    def descend(
        self, z: Float, bias: Float, y: Float, sample_weight: Float, smoothing: float, mean: Float
    ) -> float:
        """Replace ``z`` with the descent direction of a mini-batch; ``smoothing`` is not used."""
        return loss_descent.squared_descent(z, bias, y, sample_weight, mean)


class CrossEntropy(Smooth):
    """R(v; y) = -sum_j y_j log softmax(v)_j, for rows y that sum to 1."""

    name = "cross_entropy"
    convexity: float = 0.0

    def value(self, v: Float, y: Float, sample_weight: Float64) -> float:
        """Return sum_i weight_i R(v_i; y_i)."""
        rows = -np.sum(y * log_softmax(v.astype(np.float64), axis=1), axis=1)
        return float(sample_weight @ rows)

    def gradient(self, v: Float, y: Float) -> Float:
        """Return softmax(v) - y."""
        difference: Float = softmax(v, axis=1) - y
        return difference

    def step(
        self, v: Float, u: Float, y: Float, gamma: float, alpha: float, sample_weight: Float64
    ) -> tuple[float, float]:
        """Perform the output step in place."""
        tol = 1e-6 if v.dtype == np.float32 else 1e-13
        loss, step, _ = output_step.cross_entropy_step(v, u, y, gamma, alpha, sample_weight, tol)
        return loss, step

    def descend(
        self, z: Float, bias: Float, y: Float, sample_weight: Float, smoothing: float, mean: Float
    ) -> float:
        """Replace ``z`` with the descent direction of a mini-batch."""
        return loss_descent.softmax_descent(z, bias, y, sample_weight, smoothing, mean)


class Logistic(Smooth):
    r"""R(v; y) = sum_j log(1 + exp(v_j)) - y_j v_j, for independent targets y_j in [0, 1].

    This is one logistic regression per output, as multilabel problems need.
    """

    name = "logistic"
    convexity: float = 0.0

    def value(self, v: Float, y: Float, sample_weight: Float64) -> float:
        """Return sum_i weight_i R(v_i; y_i)."""
        u = v.astype(np.float64)
        return float(sample_weight @ np.sum(np.logaddexp(0, u) - y * u, axis=1))

    def gradient(self, v: Float, y: Float) -> Float:
        """Return 1 / (1 + exp(-v)) - y."""
        difference: Float = expit(v) - y
        return difference

    def step(
        self, v: Float, u: Float, y: Float, gamma: float, alpha: float, sample_weight: Float64
    ) -> tuple[float, float]:
        """Perform the output step in place."""
        tol = 1e-6 if v.dtype == np.float32 else 1e-13
        return output_step.logistic_step(v, u, y, gamma, alpha, sample_weight, tol)

    def descend(
        self, z: Float, bias: Float, y: Float, sample_weight: Float, smoothing: float, mean: Float
    ) -> float:
        """Replace ``z`` with the descent direction of a mini-batch."""
        return loss_descent.logistic_descent(z, bias, y, sample_weight, smoothing, mean)


class Hinge:
    r"""R(v; y) = sum_j y_j max(0, 1 - v_j) + (1 - y_j) max(0, 1 + v_j), one-vs-rest.

    The targets are class indicators, or values in [0, 1].
    """

    name = "hinge"
    convexity: float = 0.0

    def value(self, v: Float, y: Float, sample_weight: Float64) -> float:
        """Return sum_i weight_i R(v_i; y_i)."""
        rows = y * np.maximum(0, 1 - v) + (1 - y) * np.maximum(0, 1 + v)
        return float(sample_weight @ rows.sum(axis=1, dtype=np.float64))

    def gradient(self, v: Float, y: Float) -> Float:
        """Return the gradient; at a kink, the mean of the left and right derivatives."""
        rising = (np.sign(v + 1) + 1) / 2  # 0, 1/2 or 1
        falling = (np.sign(1 - v) + 1) / 2
        slope: Float = ((1 - y) * rising - y * falling).astype(v.dtype, copy=False)
        return slope

    def slopes(self, v: Float, y: Float) -> tuple[Float, Float]:
        """Return the left and the right derivative, which differ at the kinks -1 and 1."""
        left: Float = ((1 - y) * (v > -1) - y * (v <= 1)).astype(v.dtype, copy=False)
        right: Float = ((1 - y) * (v >= -1) - y * (v < 1)).astype(v.dtype, copy=False)
        return left, right

    def step(
        self, v: Float, u: Float, y: Float, gamma: float, alpha: float, sample_weight: Float64
    ) -> tuple[float, float]:
        """Perform the output step in place."""
        return output_step.hinge_step(v, u, y, gamma, alpha, sample_weight)

    def descend(
        self, z: Float, bias: Float, y: Float, sample_weight: Float, smoothing: float, mean: Float
    ) -> float:
        """Replace ``z`` with the descent direction of a mini-batch; ``smoothing`` is not used."""
        return loss_descent.hinge_descent(z, bias, y, sample_weight, mean)


LOSSES: dict[str, Loss] = {
    "squared": Squared(),
    "cross_entropy": CrossEntropy(),
    "hinge": Hinge(),
    "logistic": Logistic(),
}
"""The built-in losses by name."""
