"""Shift and scale of the data, and their absorption into a network.

The penalties of the objective compare weights, activations and residuals, so their effect depends
on the units of the data. A fit therefore centres the inputs and divides them by a single number; it
does the same with the targets. A single number is used, rather than one per feature, because every
format can be multiplied by a number. The first and the last layer can thus absorb the scaling.
Only the targets of an output layer that stays dense are scaled column by column.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastbcd.formats import DenseMatrix, Format
from fastbcd.network.network import Network
from fastbcd.utils.types import Float, Float64

EXACT = 1e-3
"""Maximum spacing of float32 targets, relative to their standard deviation."""


@dataclass(frozen=True)
class Scaling:
    """x -> (x - shift) / factor.

    Parameters
    ----------
    shift : (d,) float64 array
        Weighted means.
    factor : float or (d,) float64 array
        Root mean square of the centred data, over all entries or for each column.
    """

    shift: Float64
    factor: float | Float64

    @classmethod
    def of_images(cls, x: Float) -> Scaling:
        """Return a scaling of images without a shift: padding with zeros must stay zero."""
        square = float(np.mean(np.square(x), dtype=np.float64))
        return cls(np.zeros(x.shape[1]), np.sqrt(square) or 1.0)

    @classmethod
    def of(cls, x: Float, sample_weight: Float64, by_column: bool = False) -> Scaling:
        """Return the scaling of ``x`` (n, d) with row weights; constant data have factor 1."""
        total = sample_weight.sum()
        shift = sample_weight @ x / total
        # Centre first: the difference of two large numbers would lose digits.
        variance = sample_weight @ np.square(x - shift) / total
        return cls.from_moments(shift, variance, by_column)

    @classmethod
    def from_moments(cls, shift: Float64, variance: Float64, by_column: bool) -> Scaling:
        """Return the scaling of data with the given means and variances."""
        # After centring, a constant column contains only rounding errors.
        noise = np.square(1e-10 * np.abs(shift))
        variance = np.where(variance <= noise, 0.0, variance)
        if by_column:
            return cls(shift, np.sqrt(np.where(variance > 0, variance, 1.0)))
        return cls(shift, float(np.sqrt(variance.mean())) or 1.0)

    def in_units(self, unit: Float64) -> Scaling:
        """Return the scaling with ``factor`` multiplied by ``unit``, (d,)."""
        if np.all(unit == 1):
            return self
        return Scaling(self.shift, self.factor * unit)

    def apply(self, x: Float, dtype: np.dtype[Any] | None = None) -> Float:
        """Return the scaled data, C-contiguous, with dtype ``dtype``, or the dtype of ``x``."""
        return np.ascontiguousarray((x - self.shift) / self.factor, dtype=dtype or x.dtype)


def float32_tells(largest: Float64, spread: Float64) -> bool:
    """Whether float32 resolves numbers with these maximum sizes and standard deviations, (k,).

    For example, present times in seconds since 1970 are 128 apart in float32. If the spacing is
    more than ``EXACT`` of the standard deviation, float32 predictions cannot be accurate.
    """
    limits = np.finfo(np.float32)
    coarse = (limits.eps * largest > EXACT * spread) & (spread > 1e-12 * largest)
    outside = (largest > limits.max / 16) | ((largest > 0) & (largest < 1e-30))
    return not np.any(coarse | outside)


def absorb(network: Network, inputs: Scaling, outputs: Scaling | None) -> Network:
    """Return the network on raw data that equals ``network`` on scaled data.

    Parameters
    ----------
    network : Network
        Fitted on scaled inputs and, with ``outputs``, scaled targets.
    inputs, outputs : Scaling
        Scalings of the data in the fit.
    """
    layers = list(network.layers)
    first = layers[0]
    weight = _scaled(first.weight, 1 / _by_row(inputs.factor))
    intercept = first.intercept
    if inputs.shift.any():
        intercept = intercept - weight.matmul(inputs.shift[None].astype(weight.dtype))[0]
    layers[0] = replace(first, weight=weight, intercept=intercept)
    if outputs is not None:
        last = layers[-1]
        intercept = last.intercept * outputs.factor + outputs.shift
        layers[-1] = replace(
            last,
            weight=_scaled(last.weight, outputs.factor),
            intercept=intercept.astype(last.intercept.dtype),
        )
    return Network(layers)


def _by_row(factor: float | Float64) -> float | Float64:
    """Return the input factors as a column, which scales the rows of a weight matrix."""
    return factor if isinstance(factor, float) else factor[:, None]


def _scaled(weight: Format, factor: float | Float64) -> Format:
    if isinstance(factor, float):
        return weight.scaled(factor)
    return DenseMatrix((weight.to_dense() * factor).astype(weight.dtype))


def release(
    network: Network, inputs: Scaling, outputs: Scaling | None
) -> tuple[list[Float], list[Float]]:
    """Return dense weights and intercepts on scaled data: the inverse of :func:`absorb`."""
    weights = [layer.weight.to_dense() for layer in network.layers]
    intercepts = [layer.intercept.copy() for layer in network.layers]
    dtype = weights[0].dtype
    if inputs.shift.any():
        intercepts[0] = (intercepts[0] + inputs.shift @ weights[0]).astype(dtype)
    weights[0] = (weights[0] * _by_row(inputs.factor)).astype(dtype)
    if outputs is not None:
        weights[-1] = (weights[-1] / outputs.factor).astype(dtype)
        intercepts[-1] = ((intercepts[-1] - outputs.shift) / outputs.factor).astype(dtype)
    return weights, intercepts
