r"""Smooth activations: their values and derivatives.

==========  ====================================  =================================================
name        sigma(u)                              sigma'(u)
==========  ====================================  =================================================
logistic    s(u) = 1 / (1 + exp(-u))              v (1 - v), v = sigma(u)
tanh        tanh(u)                               1 - v^2
softplus    log(1 + exp(u))                       s(u) = 1 - exp(-v)
silu        u s(u)                                s(u) (1 + u (1 - s(u)))
gelu        u Phi(u) = u (1 + erf(u / sqrt2)) / 2  Phi(u) + u exp(-u^2 / 2) / sqrt(2 pi)
==========  ====================================  =================================================

Every formula is accurate to a few units in the last place for any finite u: none subtracts nearly
equal numbers. SiLU and GELU fall before they rise, so two arguments have the same value and the
derivative is not a function of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import expit, ndtr

from fastbcd.utils.types import Float


class Curve(NamedTuple):
    """A smooth activation.

    Parameters
    ----------
    value : callable
        Returns sigma(u), written into its second argument unless that is None; it may be u itself.
    derivative : callable
        Returns sigma'(u), given sigma(u) if ``by_value``, else given u.
    by_value : bool
        Whether sigma'(u) is a function of sigma(u).
    """

    value: Callable[[Float, Float | None], Float]
    derivative: Callable[[Float], Float]
    by_value: bool = True


def _logistic(u: Float, out: Float | None) -> Float:
    values: Float = expit(u, out=out)
    return values


def _tanh(u: Float, out: Float | None) -> Float:
    return np.tanh(u, out=out)


def _softplus(u: Float, out: Float | None) -> Float:
    return np.logaddexp(u.dtype.type(0), u, out=out)


def _silu(u: Float, out: Float | None) -> Float:
    return np.multiply(u, expit(u), out=out)


def _silu_derivative(u: Float) -> Float:
    s: Float = expit(u)
    slope: Float = s * (1 + u * (1 - s))
    return slope


def _gelu(u: Float, out: Float | None) -> Float:
    return np.multiply(u, ndtr(u), out=out)


def _gelu_derivative(u: Float) -> Float:
    density = np.exp(-0.5 * u * u)
    density *= 1 / math.sqrt(2 * math.pi)
    slope: Float = ndtr(u) + u * density
    return slope


CURVES = {
    "logistic": Curve(_logistic, lambda v: v * (1 - v)),
    "tanh": Curve(_tanh, lambda v: 1 - v * v),
    "softplus": Curve(_softplus, lambda v: -np.expm1(-v)),
    "silu": Curve(_silu, _silu_derivative, by_value=False),
    "gelu": Curve(_gelu, _gelu_derivative, by_value=False),
}
"""Smooth activations by name."""
