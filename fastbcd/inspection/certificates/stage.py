"""One stage of a network: a matrix and activations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastbcd.inspection.certificates.slopes import value
from fastbcd.utils.types import Float64


@dataclass(frozen=True)
class Stage:
    """``activation(matrix @ v + bias)``.

    Parameters
    ----------
    matrix : (q, p) array
        Weights, one row per unit.
    bias : (q,) array
        Intercepts.
    activations : tuple of (str, int, int)
        Names, each with the range of units that it applies to.
    whole : (int, float), optional
        A number of stages from this one on, and a Lipschitz constant of their composition (2-norm)
        that is known to be smaller than the product of theirs.
    """

    matrix: Float64
    bias: Float64
    activations: tuple[tuple[str, int, int], ...]
    whole: tuple[int, float] | None = None

    def value(self, u: Float64) -> Float64:
        """Return the values for pre-activations (..., q)."""
        parts = [value(name, u[..., a:b]) for name, a, b in self.activations]
        return np.concatenate(parts, axis=-1)
