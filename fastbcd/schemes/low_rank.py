"""Low rank: the product of two thin matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from fastbcd.formats import Format, LowRankMatrix
from fastbcd.schemes.nearest.trains import decompose
from fastbcd.schemes.protocol import Level, Scheme, exactly_one, warm_start
from fastbcd.statistics.metric import Metric
from fastbcd.utils.types import Float, Float64
from fastbcd.utils.validation import is_fraction, is_integer


@dataclass
class LowRank(Scheme):
    """Replace the weights of each layer by their best low-rank approximation (Eckart-Young).

    Pass one of the two parameters.

    Parameters
    ----------
    rank : int, optional
        Rank of the approximation.
    energy : float in (0, 1), optional
        Share of the squared Frobenius norm to keep; the smallest rank that keeps it is chosen.

    Notes
    -----
    A matrix is a tensor train of two cores, so the same Gram-matrix kernel serves both.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbcd.schemes import LowRank
    >>> LowRank(rank=1).project(np.outer([1.0, 2.0], [3.0, 4.0])).to_dense().round(6)
    array([[3., 4.],
           [6., 8.]])
    """

    rank: int | None = None
    energy: float | None = None

    def check(self, shape: tuple[int, int]) -> None:
        """Raise ValueError if the parameters do not describe a factored matrix of ``shape``."""
        name = exactly_one(self, "rank", "energy")
        if name == "energy":
            if not is_fraction(self.energy):
                raise ValueError(f"energy={self.energy!r} must be in (0, 1), for example 0.95.")
        elif not is_integer(self.rank, 1) or int(self.rank or 0) > min(shape):
            raise ValueError(
                f"rank={self.rank!r} must be an integer between 1 and {min(shape)}. Give each "
                "layer its own scheme with a dict, or choose ranks by energy=0.95."
            )

    def project(self, weight: Float, warm: Format | None = None) -> LowRankMatrix:
        """Return the nearest matrix of the rank asked for."""
        shape = (weight.shape[0], weight.shape[1])
        self.check(shape)
        rank = self.rank
        if rank is None:
            rank = _rank_for_energy(weight, float(self.energy or 0))
        near = warm_start(LowRankMatrix, warm, shape)
        start = None if near is None or near.rank != rank else (near.left, near.right)
        left, right = decompose(weight, shape, (1, rank, 1), start)
        return LowRankMatrix(left[0], right[:, :, 0])

    def project_scaled(
        self, weight: Float, scale: Float, warm: Format | None = None
    ) -> LowRankMatrix:
        """Return the nearest matrix in the scaled norm: of D W, with the scale D removed again."""
        near = warm_start(LowRankMatrix, warm, weight.shape)
        if near is not None:
            warm = LowRankMatrix(scale * near.left, near.right)
        found = self.project(scale * weight, warm)
        return LowRankMatrix(found.left / scale, found.right)

    @property
    def is_open(self) -> bool:
        """Whether no amount is given, so that a budget may choose it."""
        return self.rank is None and self.energy is None

    def project_in_metric(
        self,
        target: Float64,
        metric: Metric,
        dtype: np.dtype[Any],
        warm: Format | None = None,
    ) -> LowRankMatrix:
        r"""Return the nearest matrix of the rank asked for in the data's metric: exact.

        With G = R'R, the error is :math:`\|R (W - T) H^{1/2}\|_F^2`, so the truncated singular
        value decomposition of :math:`R T H^{1/2}` is optimal (Eckart, Young), and the factors
        are brought back by a triangular solve and a division.
        """
        self.check((target.shape[0], target.shape[1]))
        u, s, vt = np.linalg.svd(metric.whiten(target), full_matrices=False)
        rank = int(self.rank or 0) or _rank_for_energy_of(s, float(self.energy or 0))
        # The singular values go to both sides, which keeps the factors of one size.
        root = np.sqrt(s[:rank])
        left = solve_triangular(metric.factor, u[:, :rank] * root, check_finite=False)
        right = root[:, None] * vt[:rank] / metric.output_scale
        return LowRankMatrix(left.astype(dtype), right.astype(dtype))

    def curve(
        self,
        target: Float64,
        metric: Metric,
        dtype: np.dtype[Any],
        span: tuple[float, float] | None = None,
    ) -> list[Level]:
        """Return the errors of all ranks that save parameters, from one decomposition."""
        d, m = target.shape
        s = np.linalg.svd(metric.whiten(target), compute_uv=False)
        cut = np.append(np.cumsum(np.square(s)[::-1])[::-1], 0.0)
        return [
            Level(LowRank(rank=r), r * (d + m), r * (d + m) * dtype.itemsize, float(cut[r]))
            for r in range(1, s.size + 1)
            if r == 1 or r * (d + m) < d * m
        ]


def _rank_for_energy_of(singular_values: Float64, energy: float) -> int:
    squares = np.square(singular_values)
    if squares[0] == 0:
        return 1
    kept = np.cumsum(squares) / squares.sum()
    return min(int(np.searchsorted(kept, energy)) + 1, squares.size)


def _rank_for_energy(weight: Float, energy: float) -> int:
    """Return the smallest rank that keeps the share ``energy`` of the squared norm."""
    return _rank_for_energy_of(np.linalg.svd(weight.astype(np.float64), compute_uv=False), energy)
