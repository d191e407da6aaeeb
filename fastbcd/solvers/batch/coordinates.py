"""The coordinates of the inputs in which the first layer's steps are plain.

Each column is standardised, then the rows are rotated to the eigenvectors of their covariance.
Both are linear, so the first layer of the result absorbs them exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastbcd.linalg.eigen import all_eigenpairs
from fastbcd.solvers.batch.settings import DEFAULTS, BatchSettings
from fastbcd.utils.types import Float, Float64

NEGLIGIBLE = 1e-6
"""Directions of less variance, relative to the largest, are left out: they are rounding of float32,
a number of the machine."""


def common_unit(x: Float, settings: BatchSettings = DEFAULTS) -> float:
    """Return the one unit that columns are measured in, or zero if they are not.

    Pixels near a border are faint in all rows that were seen. To standardise them would make as
    much of them as of others, and much more in rows that were not seen.
    """
    some = x[:: max(1, len(x) // settings.reach_rows)].astype(np.float64)
    away = np.abs(some - np.median(some, axis=0))
    reach = positive_quantiles(away, 0.9)
    reach = reach[reach > 0]
    if not reach.size:
        return 0.0
    middle = float(np.median(reach))
    factor = settings.alike
    alike = np.mean((reach < factor * middle) & (reach > middle / factor)) >= settings.alike_share
    return middle / 1.645 if alike else 0.0  # of a normal distribution, the standard deviation


def positive_quantiles(away: Float64, share: float) -> Float64:
    """Return a quantile of the positive entries of each column, interpolated; zero for none."""
    n = len(away)
    ordered = np.sort(away, axis=0)
    positive = np.count_nonzero(ordered, axis=0)
    place = n - positive + share * (positive - 1)
    place = np.clip(place, 0, n - 1)
    low = np.floor(place).astype(int)
    columns = np.arange(away.shape[1])
    below, above = ordered[low, columns], ordered[np.minimum(low + 1, n - 1), columns]
    found: Float64 = below + (place - low) * (above - below)
    return found


@dataclass(frozen=True)
class Coordinates:
    """u = ((x - center) / unit) @ rotation.

    Parameters
    ----------
    center, unit : (d,) float64 arrays
        Weighted means, and units of the columns; constant columns have an infinite unit.
    rotation : (d, k) float64 array
        Eigenvectors of the covariance, those of the largest variance first.
    variances : (k,) float64 array
        Variances in these directions.
    """

    center: Float64
    unit: Float64
    rotation: Float64
    variances: Float64

    @classmethod
    def of(
        cls, x: Float, sample_weight: Float64, settings: BatchSettings = DEFAULTS
    ) -> tuple[Coordinates, Float]:
        """Measure ``x`` (n, d); return the coordinates and the rows in them, float32."""
        share = sample_weight / sample_weight.sum()
        center = share @ x
        z = x - center  # float64
        variance = share @ np.square(z)
        spread = np.sqrt(variance)
        constant = (
            spread <= 1e-7 * np.abs(center)
            if x.dtype == np.float32
            else (spread <= 1e-12 * np.abs(center))
        )
        constant |= spread == 0
        unit = np.where(constant, np.inf, spread)
        z /= unit
        fourth = share @ np.square(np.square(z))
        tail = np.maximum(fourth / settings.tail, 1.0) ** 0.25
        unit = np.where(
            constant, np.inf, tail * np.maximum(unit, common_unit(x[:, ~constant], settings))
        )
        z *= np.where(constant, 0, spread / unit)
        n, d = z.shape
        if d <= n:
            root = z * np.sqrt(share)[:, None]
            s, vectors = all_eigenpairs(root.T @ root)
        else:  # the same from the small matrix of inner products of the rows
            root = z * np.sqrt(share)[:, None]
            s, left = all_eigenpairs(root @ root.T)
            s = np.maximum(s, 0)
            vectors = root.T @ (left / np.sqrt(np.maximum(s, 1e-300)))
        s, vectors = np.maximum(s[::-1], 0.0), vectors[:, ::-1]
        keep = s > NEGLIGIBLE * s[0]
        if not keep.any():  # all columns are constant
            keep[0] = True
            s, vectors = np.ones_like(s), np.zeros_like(vectors)
        found = cls(center, unit, np.ascontiguousarray(vectors[:, keep]), s[keep])
        return found, np.ascontiguousarray(z @ found.rotation, np.float32)

    def apply(self, x: Float) -> Float:
        """Return the rows of ``x`` in these coordinates, float32."""
        return np.ascontiguousarray(((x - self.center) / self.unit) @ self.rotation, np.float32)

    @property
    def turn(self) -> Float:
        """The gradient of half the squared weights of raw rows, as a matrix: (k, k) float32."""
        raw = self.rotation / self.unit[:, None]
        return (raw.T @ raw).astype(np.float32)

    def to_inputs(self, weight: Float, intercept: Float) -> tuple[Float64, Float64]:
        """Return float64 weights and intercept of raw rows that equal these of u."""
        raw = (self.rotation @ weight.astype(np.float64)) / self.unit[:, None]
        return raw, intercept - self.center @ raw
