"""Regions of inputs: where a bound shall hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbcd.utils.types import Float64


class Region(ABC):
    """A bounded convex set of inputs that is symmetric about its center."""

    @property
    @abstractmethod
    def middle(self) -> Float64:
        """The center, (d,)."""

    @abstractmethod
    def reach(self, rows: Float64) -> Float64:
        """Return the maximum of ``rows @ (x - middle)`` over the region, for each row."""

    @property
    @abstractmethod
    def radius(self) -> float:
        """The largest distance of a point from the center, in the 2-norm."""

    @abstractmethod
    def nearest(self, x: Float64) -> Float64:
        """Return the nearest points of the region to rows ``x`` (n, d)."""

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> Float64:
        """Return ``n`` random points."""


@dataclass(frozen=True)
class Box(Region):
    """All x with ``low <= x <= high``.

    Parameters
    ----------
    low, high : (d,) arrays
        Finite bounds of each input.
    """

    low: Float64
    high: Float64

    @property
    def middle(self) -> Float64:
        """The middle of each side."""
        return 0.5 * (self.low + self.high)

    @property
    def half(self) -> Float64:
        """Half of each side, rounded up."""
        return np.nextafter(np.maximum(self.high - self.middle, self.middle - self.low), np.inf)

    def reach(self, rows: Float64) -> Float64:
        """Return the maximum of ``rows @ (x - middle)``: a weighted 1-norm."""
        found: Float64 = np.abs(rows) @ self.half
        return found

    @property
    def radius(self) -> float:
        """Half of the diagonal."""
        return float(np.linalg.norm(self.half)) * (1 + 1e-15 * len(self.low))

    def nearest(self, x: Float64) -> Float64:
        """Clip each input."""
        return np.clip(x, self.low, self.high)

    def sample(self, n: int, rng: np.random.Generator) -> Float64:
        """Return points of the box, one half of them corners."""
        t = rng.uniform(0, 1, (n, len(self.low)))
        t[: n // 2] = np.round(t[: n // 2])
        return self.nearest(self.low + t * (self.high - self.low))


@dataclass(frozen=True)
class Ball(Region):
    """All x with ``|x - center| <= r`` in the 2-norm.

    Parameters
    ----------
    center : (d,) array
        The middle.
    r : float
        Positive radius.
    """

    center: Float64
    r: float

    @property
    def middle(self) -> Float64:
        """The center."""
        return self.center

    def reach(self, rows: Float64) -> Float64:
        """Return the maximum of ``rows @ (x - middle)``: the 2-norm times the radius."""
        found: Float64 = self.r * np.linalg.norm(rows, axis=1) * (1 + 1e-15 * rows.shape[1])
        return found

    @property
    def radius(self) -> float:
        """The radius."""
        return self.r

    def nearest(self, x: Float64) -> Float64:
        """Project on the ball."""
        away = x - self.center
        length = np.linalg.norm(away, axis=1, keepdims=True)
        found: Float64 = self.center + away * np.minimum(1, self.r / np.maximum(length, 1e-300))
        return found

    def sample(self, n: int, rng: np.random.Generator) -> Float64:
        """Return points of the ball, one half of them on its surface."""
        away = rng.standard_normal((n, len(self.center)))
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        far = rng.uniform(0, 1, (n, 1)) ** (1 / len(self.center))
        far[: n // 2] = 1
        return self.nearest(self.center + self.r * far * away)


@dataclass(frozen=True)
class Moments:
    """All distributions of inputs with this mean and these variances: bounds are of mean squares.

    Parameters
    ----------
    mean, variance : (d,) arrays
        Of each input; correlations do not matter.
    """

    mean: ArrayLike
    variance: ArrayLike


def as_region(value: Any, n_inputs: int, name: str = "region") -> Region | None:
    """Return ``value`` as a region of ``n_inputs`` inputs.

    Parameters
    ----------
    value : None, Region, (low, high) or (center, radius)
        Two arrays are a box, an array and a number a ball.
    n_inputs : int
        Number of inputs of the network.
    name : str
        Name of the parameter, for messages.

    Raises
    ------
    ValueError
        If the region does not fit the network, is empty or not finite.
    """
    if value is None:
        return None
    if isinstance(value, Box):
        value = (value.low, value.high)
    elif isinstance(value, Ball):
        value = (value.center, value.r)
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(
            f"{name} must be None, a pair (low, high) of arrays or a pair (center, radius), got "
            f"{type(value).__name__}. For the training data: (X.min(axis=0), X.max(axis=0))."
        )
    first = np.asarray(value[0], dtype=np.float64)
    second = np.asarray(value[1], dtype=np.float64)
    first = np.full(n_inputs, float(first)) if first.ndim == 0 and second.ndim else first
    if first.shape != (n_inputs,):
        raise ValueError(
            f"{name}: its first array has shape {first.shape}, the network takes {n_inputs} inputs."
        )
    if not np.isfinite(first).all() or not np.isfinite(second).all():
        raise ValueError(
            f"{name} must be finite. A bound over all inputs is region=None, with a global method."
        )
    if second.ndim == 0:
        if not second > 0:
            raise ValueError(f"{name}: the radius must be positive, got {float(second):g}.")
        return Ball(first, float(second))
    if second.shape != (n_inputs,):
        raise ValueError(
            f"{name}: high has shape {second.shape}, the network takes {n_inputs} inputs."
        )
    if np.any(first > second):
        column = int(np.argmax(first > second))
        raise ValueError(
            f"{name}: low is above high in column {column} ({first[column]:g} > "
            f"{second[column]:g}). Pass (low, high)."
        )
    return Box(first, second)
