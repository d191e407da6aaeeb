r"""Input statistics, and the whitened coordinates of the first layer.

The ridge problem of the first layer has the same Gram matrix in every batch, so it is solved only
once. With the covariance :math:`S = E\,\mathrm{diag}(s) E^T` of the inputs and

.. math:: C = E\,\mathrm{diag}(s + \lambda)^{-1/2}, \qquad z = C^T (x - m),

the ridge step :math:`(S + \lambda I)^{-1} g` in the weights of x is the gradient step
:math:`C^T g` in the weights of z. Weights W of z correspond to weights C W of x. Directions with
almost no variance can be dropped, which makes the products of the first layer cheaper.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fastbcd.linalg import products as la
from fastbcd.linalg.batch_products import product
from fastbcd.linalg.eigen import all_eigenpairs
from fastbcd.statistics.units import ROBUST_ROWS, UNLIKE, units
from fastbcd.utils.types import Float, Float64
from fastbcd_kernels import minibatch_step as kernel

DAMPING = 0.35
"""lambda relative to tr(S^2) / tr(S), the variance of a typical strong direction."""

NEGLIGIBLE = 0.02
"""Minimum s / (s + lambda) of the directions that are kept if there are more than 64 inputs."""

FEW = 64
"""Maximum number of inputs for which NEGLIGIBLE is not applied."""

MANY = 2048
"""Maximum number of inputs for a full covariance; beyond, only variances are used."""

OUTLYING = 10.0
"""Maximum row length, relative to the 95 % quantile of row lengths; longer rows are shortened."""


@dataclass(frozen=True)
class InputMap:
    """Centring, clipping and whitening of the inputs.

    Parameters
    ----------
    center : (d,) array
        The mean m.
    unit : (d,) array
        Unit of each feature; one unless the ranges differ widely.
    bound : float
        Maximum root mean square of a centred row in these units; longer rows are shortened to it.
    whiten : (d, k) array, or (d,) array if diagonal
        The matrix C.
    color : (k, d) array, or (d,) if diagonal
        The left inverse of C: weights W of x correspond to weights ``color @ W`` of z.
    spread : float
        Total variance tr(S), in units of ``unit``.
    damped : (d, d) or (d,) array
        S + lambda I, as a metric for weights of x.
    floor : (d,) array
        Square root of lambda, in the units of x.
    """

    center: Float
    unit: Float
    bound: float
    whiten: Float
    color: Float
    spread: float
    damped: Float
    floor: Float

    @property
    def width(self) -> int:
        """Number of coordinates k of z."""
        return int(self.whiten.shape[-1])

    @property
    def diagonal(self) -> bool:
        """Whether C is diagonal."""
        return self.whiten.ndim == 1

    def centered(self, x: Float) -> Float:
        """Return x - m with long rows shortened to ``bound``; overwrites ``x``."""
        kernel.center_rows(x, self.center, self.unit, self.bound)
        return x

    def whitened(self, centered: Float) -> Float:
        """Return z for centred rows."""
        if self.diagonal:
            return centered * self.whiten
        out = np.empty((centered.shape[0], self.width), centered.dtype)
        return product(centered, self.whiten, out)

    def to_inputs(self, weight: Float) -> Float:
        """Return C W, the weights of x for ``weight`` of z."""
        if self.diagonal:
            return self.whiten[:, None] * weight
        out = np.empty((self.whiten.shape[0], weight.shape[1]), weight.dtype)
        return product(self.whiten, np.ascontiguousarray(weight), out)

    def from_inputs(self, weight: Float) -> Float:
        """Return the weights of z for ``weight`` of x."""
        if self.diagonal:
            return self.color[:, None] * weight
        out = np.empty((self.color.shape[0], weight.shape[1]), weight.dtype)
        return product(self.color, np.ascontiguousarray(weight), out)

    def pulled_back(self, gradient: Float) -> Float:
        """Return C' G, the gradient in the weights of z for the gradient G in those of x."""
        if self.diagonal:
            return self.whiten[:, None] * gradient
        found: Float = la.product(self.whiten.T, gradient)
        return found

    @property
    def step_diagonal(self) -> Float:
        """Diagonal of C C', (d,): the step length for each input when inputs are not coupled."""
        if self.diagonal:
            squares: Float = np.square(self.whiten)
            return squares
        found: Float = np.square(self.whiten).sum(axis=1)
        np.maximum(found, 1e-6 * found.max(), out=found)
        return found

    @property
    def sizes(self) -> Float:
        """Square root of the diagonal of the metric S + lambda I, (d, 1)."""
        diagonal = self.damped if self.diagonal else np.diag(self.damped)
        return np.sqrt(diagonal)[:, None]

    def metric_norm(self, weight: Float) -> float:
        """Return tr W'(S + lambda I) W for weights of x."""
        if self.diagonal:
            return float(self.damped @ np.square(weight).sum(axis=1, dtype=np.float64))
        image = product(self.damped, weight, np.empty_like(weight))
        return float(np.vdot(weight, image))


@dataclass(frozen=True)
class Moments:
    """Running statistics of the inputs, from which an :class:`InputMap` is computed.

    Parameters
    ----------
    origin : (d,) array
        Centre of the moments. It is near the mean, so that subtraction loses no digits.
    unit : (d,) array
        See :class:`InputMap`.
    bound : float
        See :class:`InputMap`.
    total : float
        Sum of the sample weights.
    first : (d,) float64 array
        Weighted sum of (x - origin) / unit.
    second : (d, d) or (d,) float64 array
        Weighted sum of the outer products, or of the squares, of (x - origin) / unit.
    """

    origin: Float
    unit: Float
    bound: float
    total: float
    first: Float64
    second: Float64

    @classmethod
    def of_sample(cls, x: Float, sample_weight: Float, before: Moments | None = None) -> Moments:
        """Choose origin, units and bound from a sample, and add its rows.

        Inputs that are constant in the sample get the units of ``before``, if given.
        """
        d = x.shape[1]
        some = x[:: max(1, len(x) // ROBUST_ROWS)]  # order statistics are slow to compute
        origin = np.median(some, axis=0).astype(x.dtype)
        inside = np.abs(some - origin)
        unit = units(inside, origin, None if before is None else before.unit)
        lengths = np.sqrt(np.mean(np.square(inside / unit), axis=1, dtype=np.float64))
        bound = OUTLYING * float(np.quantile(lengths, 0.95)) if x.shape[0] >= 30 else np.inf
        shape = (d, d) if d <= MANY else (d,)
        empty = cls(
            origin, unit.astype(x.dtype), bound or np.inf, 0.0, np.zeros(d), np.zeros(shape)
        )
        return empty.add(x, sample_weight)

    def add(self, x: Float, sample_weight: Float) -> Moments:
        """Return the moments with the rows of ``x`` added; ``x`` is not changed."""
        shifted = x.copy()
        kernel.center_rows(shifted, self.origin, self.unit, self.bound)
        shifted /= self.unit
        weight = sample_weight.astype(np.float64)
        if self.second.ndim == 1:
            second = weight @ np.square(shifted)
            first = weight @ shifted
        else:
            every = None if np.all(weight == 1) else weight
            gram: Float64 = la.gram(shifted, every).astype(np.float64, copy=False)
            lower = np.tril(gram[:-1, :-1])
            second = lower + np.tril(lower, -1).T
            first = gram[-1, :-1]
        return replace(
            self,
            total=self.total + float(weight.sum()),
            first=self.first + first,
            second=self.second + second,
        )

    @property
    def varied(self) -> NDArray[np.bool_]:
        """Whether each input has differed from the origin, (d,)."""
        squares = np.diag(self.second) if self.second.ndim == 2 else self.second
        found: NDArray[np.bool_] = squares > 0
        return found

    def unlike(self, other: Moments) -> bool:
        """Whether a unit or the bound of ``other`` differs by more than a factor 2 * UNLIKE."""
        most = 2 * UNLIKE  # a unit jumps by UNLIKE when a range crosses that bound
        ratio = other.unit.astype(np.float64) / self.unit
        change = other.bound / self.bound if np.isfinite(self.bound) else 0.0
        ratios = np.append(ratio, change)
        return bool(np.any((ratios > most) | (ratios < 1 / most)))

    def in_units_of(self, other: Moments) -> Moments:
        """Return the same moments about the origin of ``other``, in its units."""
        old, new = self.unit.astype(np.float64), other.unit.astype(np.float64)
        moved = self.origin.astype(np.float64) - other.origin
        first = self.first * old
        if self.second.ndim == 2:
            cross = np.outer(first, moved)
            second = self.second * np.outer(old, old) + cross + cross.T
            second = (second + self.total * np.outer(moved, moved)) / np.outer(new, new)
        else:
            second = self.second * np.square(old) + 2 * first * moved
            second = (second + self.total * np.square(moved)) / np.square(new)
        first = (first + self.total * moved) / new
        return replace(other, total=self.total, first=first, second=second)

    def input_map(self, truncate: bool = True, prior: float = 0.0) -> InputMap:
        """Return the map of the inputs seen so far.

        Parameters
        ----------
        truncate : bool, default=True
            Whether to drop directions with almost no variance.
        prior : float, default=0.0
            Weight, in rows, of an isotropic prior covariance; for short streams.
        """
        dtype = self.origin.dtype
        unit = self.unit.astype(np.float64)
        mean = self.first / max(self.total, 1e-300)
        second = self.second / max(self.total, 1e-300)
        d = mean.size
        full = second.ndim == 2
        covariance = second - (np.outer(mean, mean) if full else np.square(mean))
        if prior:
            level = float(np.mean(np.diag(covariance) if full else covariance)) or 1.0
            share = prior / (prior + self.total)
            covariance = (1 - share) * covariance
            if full:
                covariance[np.diag_indices(d)] += share * level
            else:
                covariance = covariance + share * level
        if full:
            s, vectors = all_eigenpairs(covariance, overwrite=True)
            s, vectors = np.maximum(s[::-1], 0.0), vectors[:, ::-1]
        else:
            s, vectors = np.maximum(covariance, 0.0), None
        damping = DAMPING * float(s @ s) / max(float(s.sum()), 1e-300)
        # If no input varies, there is nothing to scale: any positive damping will do.
        damping = max(damping, 1e-12 * float(np.square(mean).max(initial=0.0)), 1e-30)
        root = np.sqrt(s + damping)
        center = (self.origin + mean * unit).astype(dtype)
        floor = (np.sqrt(damping) * unit).astype(dtype)
        if vectors is None:
            return InputMap(
                center, self.unit, self.bound, (1 / (root * unit)).astype(dtype),
                (root * unit).astype(dtype), float(s.sum()),
                (np.square(root * unit)).astype(dtype), floor,
            )  # fmt: skip
        keep = np.ones(d, bool)
        if truncate:
            keep = s / (s + damping) >= NEGLIGIBLE if d > FEW else s > 1e-7 * s[0]
            keep[0] = True
        scaled = vectors * root
        return InputMap(
            center,
            self.unit,
            self.bound,
            np.ascontiguousarray((vectors[:, keep] / root[keep]) / unit[:, None], dtype),
            np.ascontiguousarray((vectors[:, keep] * root[keep]).T * unit, dtype),
            float(s.sum()),
            np.ascontiguousarray((scaled @ scaled.T) * np.outer(unit, unit), dtype),
            floor,
        )
