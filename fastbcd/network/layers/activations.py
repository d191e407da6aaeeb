r"""Activations: value, exact proximal U-step and one-sided derivatives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np

from fastbcd.network.layers.pooling import MaxPool
from fastbcd.network.layers.smooth import CURVES
from fastbcd.utils.types import Float, Float64
from fastbcd_kernels import activation_step, minibatch_step, residual


class ExactActivation(Protocol):
    """The interface of an activation, with any pooling after it, in exact block steps."""

    name: str

    @property
    def pool(self) -> MaxPool | None:
        """The pooling that follows the activation, if any."""
        ...

    def value(self, u: Float, out: Float | None = None) -> Float:
        """Return sigma(u), written into ``out`` if given."""
        ...

    def step(
        self,
        u: Float,
        miss: Float,
        v: Float,
        penalties: tuple[float, float, float],
        sample_weight: Float64,
    ) -> tuple[float, float]:
        """Perform the U-step: update ``u`` and ``miss`` = u - z in place.

        ``penalties`` are (rho, gamma, alpha). Returns the weighted squared gap between ``v`` and
        sigma(u), and the weighted squared step length. See
        :mod:`fastbcd_kernels.activation_step`.
        """
        ...

    def pull_back(self, gap: Float, u: Float) -> tuple[Float, Float]:
        """Return ``gap`` times the left and times the right derivative at ``u``."""
        ...


class Activation(ExactActivation, Protocol):
    """The interface of an elementwise activation in all solvers."""

    def add_bias(self, z: Float, bias: Float) -> None:
        """Replace ``z`` in place with sigma(z + bias)."""
        ...

    @property
    def pieces(self) -> tuple[Float64, Float64, Float64]:
        """Slopes, offsets and bounds of the linear pieces of sigma."""
        ...

    def slopes(self, u: Float) -> tuple[Float, Float]:
        """Return the left and the right derivative at ``u``."""
        ...

    @property
    def by_value(self) -> bool:
        """Whether sigma rises, so that sigma'(u) is a function of sigma(u)."""
        ...

    def mask(self, d: Float, known: Float, mean: Float) -> None:
        """Multiply ``d`` in place by sigma'(u); ``mean`` gets its column means.

        ``known`` is sigma(u) if :attr:`by_value`, and u otherwise.
        """
        ...


class _Elementwise(ABC):
    """An elementwise activation without pooling."""

    pool: MaxPool | None = None
    by_value = True

    @abstractmethod
    def slopes(self, u: Float) -> tuple[Float, Float]:
        """Return the left and the right derivative at ``u``."""

    def pull_back(self, gap: Float, u: Float) -> tuple[Float, Float]:
        """Return ``gap`` times the left and times the right derivative at ``u``."""
        left, right = self.slopes(u)
        return gap * left, gap * right


class PiecewiseLinear(_Elementwise):
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
        return np.maximum(u, u * u.dtype.type(self.slope), out=out)  # out may be u itself

    def add_bias(self, z: Float, bias: Float) -> None:
        """Replace ``z`` in place with sigma(z + bias)."""
        residual.add_bias_piecewise_linear(z, bias, self.slope)

    def step(
        self,
        u: Float,
        miss: Float,
        v: Float,
        penalties: tuple[float, float, float],
        sample_weight: Float64,
    ) -> tuple[float, float]:
        """Perform the U-step in place."""
        rho, gamma, alpha = penalties
        return activation_step.piecewise_linear_step(
            u, miss, v, self.slope, rho, gamma, alpha, sample_weight
        )

    @property
    def pieces(self) -> tuple[Float64, Float64, Float64]:
        """Slopes, offsets and bounds of the two pieces."""
        return np.array([self.slope, 1.0]), np.zeros(2), np.array([-np.inf, 0.0, np.inf])

    def slopes(self, u: Float) -> tuple[Float, Float]:
        """Return the left and the right derivative at ``u``."""
        one, s = u.dtype.type(1), u.dtype.type(self.slope)
        return np.where(u > 0, one, s), np.where(u >= 0, one, s)

    def mask(self, d: Float, known: Float, mean: Float) -> None:
        """Multiply ``d`` in place by sigma'(u), given sigma(u)."""
        minibatch_step.mask_piecewise_linear(d, known, self.slope, mean)


class HardTanh(_Elementwise):
    """sigma(u) = min(max(u, -1), 1)."""

    name = "hard_tanh"

    def value(self, u: Float, out: Float | None = None) -> Float:
        """Return sigma(u), written into ``out`` if given."""
        return np.clip(u, -1, 1, out=out)

    def add_bias(self, z: Float, bias: Float) -> None:
        """Replace ``z`` in place with sigma(z + bias)."""
        z += bias
        np.clip(z, -1, 1, out=z)

    def step(
        self,
        u: Float,
        miss: Float,
        v: Float,
        penalties: tuple[float, float, float],
        sample_weight: Float64,
    ) -> tuple[float, float]:
        """Perform the U-step in place."""
        rho, gamma, alpha = penalties
        return activation_step.hard_tanh_step(u, miss, v, rho, gamma, alpha, sample_weight)

    @property
    def pieces(self) -> tuple[Float64, Float64, Float64]:
        """Slopes, offsets and bounds of the three pieces."""
        bounds = np.array([-np.inf, -1.0, 1.0, np.inf])
        return np.array([0.0, 1.0, 0.0]), np.array([-1.0, 0.0, 1.0]), bounds

    def slopes(self, u: Float) -> tuple[Float, Float]:
        """Return the left and the right derivative at ``u``."""
        one, zero = u.dtype.type(1), u.dtype.type(0)
        left = np.where((u > -1) & (u <= 1), one, zero)
        right = np.where((u >= -1) & (u < 1), one, zero)
        return left, right

    def mask(self, d: Float, known: Float, mean: Float) -> None:
        """Multiply ``d`` in place by sigma'(u), given sigma(u)."""
        minibatch_step.mask_hard_tanh(d, known, mean)


class Smooth(_Elementwise):
    """An activation without an exact U-step: for training on batches, not by exact sweeps.

    Parameters
    ----------
    name : {"softplus", "silu", "gelu"}
        See :mod:`fastbcd.network.layers.smooth`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._curve = CURVES[name]
        self.by_value = self._curve.by_value

    def value(self, u: Float, out: Float | None = None) -> Float:
        """Return sigma(u), written into ``out`` if given."""
        return self._curve.value(u, out)

    def add_bias(self, z: Float, bias: Float) -> None:
        """Replace ``z`` in place with sigma(z + bias)."""
        z += bias
        self._curve.value(z, z)

    def step(
        self,
        u: Float,
        miss: Float,
        v: Float,
        penalties: tuple[float, float, float],
        sample_weight: Float64,
    ) -> tuple[float, float]:
        """Raise ValueError: no exact U-step is known."""
        raise ValueError(
            f"The activation {self.name!r} has no exact U-step, so exact sweeps cannot train it. "
            f'Set solver="auto", or one of the activations {", ".join(ACTIVATIONS)}.'
        )

    @property
    def pieces(self) -> tuple[Float64, Float64, Float64]:
        """Raise ValueError: a smooth activation has no linear pieces."""
        raise ValueError(
            f"The activation {self.name!r} has no linear pieces, which the exact U-step before a "
            f'maximum needs. Set solver="auto", or one of {", ".join(PIECEWISE)}.'
        )

    def slopes(self, u: Float) -> tuple[Float, Float]:
        """Return the derivative at ``u`` as both the left and the right derivative."""
        derivative = self._curve.derivative(self.value(u) if self.by_value else u)
        return derivative, derivative

    def mask(self, d: Float, known: Float, mean: Float) -> None:
        """Multiply ``d`` in place by sigma'(u), given sigma(u) if ``by_value``, else u."""
        d *= self._curve.derivative(known)
        np.mean(d, axis=0, out=mean)


class Sigmoid(Smooth):
    """sigma(u) = offset + scale * tanh(rate * u): smooth, with an exact U-step.

    Parameters
    ----------
    name : {"logistic", "tanh"}
        1 / (1 + exp(-u)) = 1/2 + tanh(u/2) / 2, or tanh(u).
    offset, scale, rate : float
        The numbers of the formula.
    """

    def __init__(self, name: str, offset: float, scale: float, rate: float) -> None:
        super().__init__(name)
        self._shape = offset, scale, rate

    def step(
        self,
        u: Float,
        miss: Float,
        v: Float,
        penalties: tuple[float, float, float],
        sample_weight: Float64,
    ) -> tuple[float, float]:
        """Perform the U-step in place."""
        tol = 1e-5 if u.dtype == np.float32 else 1e-9
        return activation_step.sigmoid_step(
            u, miss, v, *self._shape, *penalties, sample_weight, tol
        )


PIECEWISE: dict[str, Activation] = {
    "relu": PiecewiseLinear("relu", 0.0),
    "leaky_relu": PiecewiseLinear("leaky_relu", 0.01),
    "hard_tanh": HardTanh(),
    "identity": PiecewiseLinear("identity", 1.0),
}
"""Piecewise-linear activations, by name."""

ACTIVATIONS: dict[str, Activation] = {
    **PIECEWISE,
    "logistic": Sigmoid("logistic", 0.5, 0.5, 0.5),
    "tanh": Sigmoid("tanh", 0.0, 1.0, 1.0),
}
"""Activations with an exact U-step, by name."""

ALL_ACTIVATIONS: dict[str, Activation] = {
    **ACTIVATIONS,
    **{name: Smooth(name) for name in ("softplus", "silu", "gelu")},
}
"""All activations, by name."""
