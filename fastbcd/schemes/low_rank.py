"""Low rank: the product of two thin matrices."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np

from fastbcd._types import Float
from fastbcd.formats import Format, LowRankMatrix
from fastbcd.schemes._base import Scheme, exactly_one
from fastbcd.schemes.tensor_train import decompose


@dataclass
class LowRank(Scheme):
    """Replace each layer by its best approximation of low rank (Eckart-Young).

    Give one of the two parameters.

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
            if not 0 < self.energy < 1:  # type: ignore[operator]  # exactly_one: it is given
                raise ValueError(f"energy={self.energy!r} must be in (0, 1), for example 0.95.")
        elif not isinstance(self.rank, Integral) or not 1 <= self.rank <= min(shape):
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
        fits = isinstance(warm, LowRankMatrix) and (warm.shape, warm.rank) == (shape, rank)
        start = (warm.left, warm.right) if fits and isinstance(warm, LowRankMatrix) else None
        left, right = decompose(weight, shape, (1, rank, 1), start)
        return LowRankMatrix(left[0], right[:, :, 0])


def _rank_for_energy(weight: Float, energy: float) -> int:
    """Return the smallest rank that keeps the share ``energy`` of the squared norm."""
    squares = np.square(np.linalg.svd(weight.astype(np.float64), compute_uv=False))
    if squares[0] == 0:
        return 1
    kept = np.cumsum(squares) / squares.sum()
    return min(int(np.searchsorted(kept, energy)) + 1, squares.size)
