"""Losses: their value, their gradient and the closed-form step of the output block."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.special import log_softmax, softmax

from fastbcd._types import Float, Float64
from fastbcd_kernels import output_step


class Loss(Protocol):
    """What the solvers need of a loss R(V; Y), a sum over samples."""

    name: str
    convexity: float
    """Strong convexity modulus of R in V: it adds to what the output step must gain."""

    def value(self, v: Float, y: Float, sample_weight: Float64) -> float:
        """Return sum_i weight_i R(v_i; y_i)."""
        ...

    def gradient(self, v: Float, y: Float) -> Float:
        """Return the gradient of R with respect to each row of ``v``, unweighted."""
        ...

    def step(
        self, v: Float, u: Float, y: Float, gamma: float, alpha: float, sample_weight: Float64
    ) -> tuple[float, float]:
        """Take the output step in place; see :mod:`fastbcd_kernels.output_step`.

        Returns the weighted loss after it and the weighted squared step.
        """
        ...

    def probabilities(self, v: Float) -> Float:
        """Turn outputs into class probabilities, rows summing to one."""
        ...


class Squared:
    """R(v; y) = ||v - y||^2 / 2."""

    name = "squared"
    convexity = 1.0

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
        """Take the output step in place."""
        return output_step.squared_step(v, u, y, gamma, alpha, sample_weight)

    def probabilities(self, v: Float) -> Float:
        """Clip the fitted class indicators to [0, 1] and normalise; uniform if none is positive."""
        p = np.clip(v, 0, 1)
        p[~p.any(axis=1)] = 1
        return p / p.sum(axis=1, keepdims=True)


class CrossEntropy:
    """R(v; y) = -sum_j y_j log softmax(v)_j, for rows y that sum to one."""

    name = "cross_entropy"
    convexity = 0.0

    def value(self, v: Float, y: Float, sample_weight: Float64) -> float:
        """Return sum_i weight_i R(v_i; y_i)."""
        rows = -np.sum(y * log_softmax(v.astype(np.float64), axis=1), axis=1)
        return float(sample_weight @ rows)

    def gradient(self, v: Float, y: Float) -> Float:
        """Return softmax(v) - y."""
        return softmax(v, axis=1) - y

    def step(
        self, v: Float, u: Float, y: Float, gamma: float, alpha: float, sample_weight: Float64
    ) -> tuple[float, float]:
        """Take the output step in place."""
        tol = 1e-6 if v.dtype == np.float32 else 1e-13
        loss, step, _ = output_step.cross_entropy_step(v, u, y, gamma, alpha, sample_weight, tol)
        return loss, step

    def probabilities(self, v: Float) -> Float:
        """Return softmax(v)."""
        p: Float = softmax(v, axis=1)
        return p


LOSSES: dict[str, Loss] = {"squared": Squared(), "cross_entropy": CrossEntropy()}
"""The built-in losses by name."""
