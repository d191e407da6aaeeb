"""The coordinates that a stream sees its inputs in, and their running moments.

Rows are seen as (x - origin) / unit, in units of the batch solver: see
:mod:`fastbcd.solvers.batch.coordinates`. Nothing is rotated. The ridge problem of the first layer
is solved with the running covariance instead, as those of the hidden layers are, so a new
measurement changes no weights but those whose unit it changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastbcd.solvers.batch.coordinates import common_unit, positive_quantiles
from fastbcd.solvers.batch.settings import BatchSettings
from fastbcd.statistics.inputs import OUTLYING
from fastbcd.utils.types import Float, Float64
from fastbcd_kernels import minibatch_step as kernel

FEWEST = 30
"""Rows below which no row counts as an outlier."""

WILD = 8.0
"""Maximum unit of a column, relative to the 90 % quantile of its distances from the median. That of
a normal distribution is 0.6."""


@dataclass(frozen=True)
class Frame:
    """u = (x - origin) / unit; long rows are shortened.

    Parameters
    ----------
    origin, unit : (d,) float64 arrays
        The unit of a column that has not varied yet is one.
    known : (d,) bool array
        Columns that have varied. The others count as constant: steps see zeros.
    bound : float
        Maximum root mean square of a row of u.
    """

    origin: Float64
    unit: Float64
    known: NDArray[np.bool_]
    bound: float

    @classmethod
    def rough(cls, x: Float) -> Frame:
        """Return a frame of medians and quantiles, which a few wild rows do not move."""
        origin = np.median(x, axis=0).astype(np.float64)
        reach = positive_quantiles(np.abs(x - origin), 0.9)
        known = reach > 0
        unit = np.where(known, reach, 1.0)
        return cls(origin, unit, known, bound_of(x, origin, unit, known))

    def centered(self, x: Float) -> Float:
        """Return x - origin with long rows shortened, in the type of ``x``."""
        found = np.array(x, order="C")
        seen = np.where(self.known, self.unit, np.inf).astype(x.dtype)
        kernel.center_rows(found, self.origin.astype(x.dtype), seen, self.bound)
        return found

    def scaled(self, centered: Float) -> Float:
        """Return u, float32, for what :meth:`centered` returned; overwrites it."""
        centered *= np.where(self.known, 1 / self.unit, 0).astype(centered.dtype)
        return centered.astype(np.float32, copy=False)


class Columns:
    """The first four moments of each column, of about as many rows as it remembers.

    Parameters
    ----------
    d : int
        Number of columns.
    """

    def __init__(self, d: int) -> None:
        self.total = 0.0
        self.moments: Float64 = np.zeros((4, d))
        """Means of v, v^2, v^3 and v^4, where v = x - origin."""

    def add(self, centered: Float, weight: Float, most: float) -> None:
        """Count rows in, given as x - origin, and forget what is older than ``most`` rows."""
        n = float(weight.sum(dtype=np.float64))
        if n <= 0:
            return
        v, share = centered.astype(np.float64), weight.astype(np.float64) / n
        square = v * v
        new = np.stack([share @ v, share @ square, share @ (square * v), share @ (square * square)])
        self.total = min(self.total, max(most - n, 0.0)) + n
        self.moments = self.moments + (n / self.total) * (new - self.moments)

    def about(self, shift: Float64) -> None:
        """Move the origin by ``shift``."""
        a, b, c, e = self.moments
        self.moments = np.stack([
            a - shift,
            b - 2 * shift * a + shift**2,
            c - 3 * shift * b + 3 * shift**2 * a - shift**3,
            e - 4 * shift * c + 6 * shift**2 * b - 4 * shift**3 * a + shift**4,
        ])  # fmt: skip

    def frame(self, old: Frame, some: Float, settings: BatchSettings) -> Frame:
        """Return the frame that the rows ask for, and take its origin.

        Parameters
        ----------
        old : Frame
            The frame so far.
        some : (n, d) array
            A sample of the rows.
        settings : BatchSettings
            The numbers of the units.
        """
        shift = self.moments[0].copy()
        self.about(shift)
        origin = old.origin + shift
        _, variance, _, fourth = self.moments
        spread = np.sqrt(np.maximum(variance, 0))
        least = 1e-7 if some.dtype == np.float32 else 1e-12
        known = spread > least * np.abs(origin)
        unit = np.where(known, spread, 1.0)
        tail = np.maximum(fourth / np.square(unit * unit) / settings.tail, 1.0) ** 0.25
        unit = np.where(known, tail * unit, 1.0)
        # Else a wild entry would enlarge the unit, be cut off later in this unit, and so on.
        rough = Frame.rough(some)
        unit = np.where(rough.known, np.minimum(unit, WILD * rough.unit), unit)
        if known.any():
            common = common_unit(some[:, known], settings)
            unit[known] = np.maximum(unit[known], tail[known] * common)
        still = old.known & ~known  # what has varied counts as it did
        known |= still
        unit = np.where(still, old.unit, unit)
        return Frame(origin, unit, known, bound_of(some, origin, unit, known))


def bound_of(x: Float, origin: Float64, unit: Float64, known: NDArray[np.bool_]) -> float:
    """Return the root mean square beyond which a row counts as an outlier."""
    if len(x) < FEWEST:
        return np.inf
    u = (x - origin) / np.where(known, unit, np.inf)
    return OUTLYING * float(np.quantile(np.sqrt(np.mean(np.square(u), axis=1)), 0.95)) or np.inf
