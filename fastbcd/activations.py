r"""Activations: their value, their exact proximal U-step and their one-sided slopes."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from fastbcd._types import Float, Float64
from fastbcd_kernels import activation_step, residual


class Activation(Protocol):
    """What the solvers need of an activation."""

    name: str

    def value(self, u: Float, out: Float | None = None) -> Float:
        """Return sigma(u), written into ``out`` if given."""
        ...

    def add_bias(self, z: Float, bias: Float) -> None:
        """Replace ``z`` in place by sigma(z + bias): one pass of a forward pass."""
        ...

    def step(
        self,
        u: Float,
        z: Float,
        v: Float,
        penalties: tuple[float, float, float],
        sample_weight: Float64,
    ) -> tuple[float, float]:
        """Take the U-step in place; see :mod:`fastbcd_kernels.activation_step`.

        ``penalties`` are (rho, gamma, alpha). Returns the weighted squared gap between
        ``v`` and sigma(u), and the weighted squared step.
        """
        ...

    def slopes(self, u: Float) -> tuple[Float, Float]:
        """Return the left and the right derivative at ``u``."""
        ...


class PiecewiseLinear:
    """sigma(u) = max(u, 0) + slope * min(u, 0).

    Parameters
    ----------
    name : str
        Name of the activation.
    slope : float in [0, 1]
        Slope for negative arguments: 0 is ReLU, 1 the identity.
    """

    def __init__(self, name: str, slope: float) -> None:
        self.name = name
        self.slope = slope

    def value(self, u: Float, out: Float | None = None) -> Float:
        """Return sigma(u), written into ``out`` if given."""
        if self.slope == 0:
            return np.maximum(u, 0, out=out)
        if self.slope == 1:
            return np.positive(u, out=out)
        scaled = np.multiply(u, u.dtype.type(self.slope), out=out)
        return np.maximum(u, scaled, out=scaled)

    def add_bias(self, z: Float, bias: Float) -> None:
        """Replace ``z`` in place by sigma(z + bias)."""
        residual.add_bias_piecewise_linear(z, bias, self.slope)

    def step(
        self,
        u: Float,
        z: Float,
        v: Float,
        penalties: tuple[float, float, float],
        sample_weight: Float64,
    ) -> tuple[float, float]:
        """Take the U-step in place."""
        rho, gamma, alpha = penalties
        return activation_step.piecewise_linear_step(
            u, z, v, self.slope, rho, gamma, alpha, sample_weight
        )

    def slopes(self, u: Float) -> tuple[Float, Float]:
        """Return the left and the right derivative at ``u``."""
        one, s = u.dtype.type(1), u.dtype.type(self.slope)
        return np.where(u > 0, one, s), np.where(u >= 0, one, s)


class HardTanh:
    """sigma(u) = min(max(u, -1), 1)."""

    name = "hard_tanh"

    def value(self, u: Float, out: Float | None = None) -> Float:
        """Return sigma(u), written into ``out`` if given."""
        return np.clip(u, -1, 1, out=out)

    def add_bias(self, z: Float, bias: Float) -> None:
        """Replace ``z`` in place by sigma(z + bias)."""
        z += bias
        np.clip(z, -1, 1, out=z)

    def step(
        self,
        u: Float,
        z: Float,
        v: Float,
        penalties: tuple[float, float, float],
        sample_weight: Float64,
    ) -> tuple[float, float]:
        """Take the U-step in place."""
        rho, gamma, alpha = penalties
        return activation_step.hard_tanh_step(u, z, v, rho, gamma, alpha, sample_weight)

    def slopes(self, u: Float) -> tuple[Float, Float]:
        """Return the left and the right derivative at ``u``."""
        one, zero = u.dtype.type(1), u.dtype.type(0)
        left = np.where((u > -1) & (u <= 1), one, zero)
        right = np.where((u >= -1) & (u < 1), one, zero)
        return left, right


ACTIVATIONS: dict[str, Activation] = {
    "relu": PiecewiseLinear("relu", 0.0),
    "leaky_relu": PiecewiseLinear("leaky_relu", 0.01),
    "hard_tanh": HardTanh(),
    "identity": PiecewiseLinear("identity", 1.0),
}
"""The built-in activations by name."""
