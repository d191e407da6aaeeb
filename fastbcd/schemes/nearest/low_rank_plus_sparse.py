"""A matrix in factors plus a sparse one: each fitted to what the other leaves over, in turns.

GoDec: Zhou and Tao, ICML 2011. No turn raises the error.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastbcd.formats import Format, SumMatrix
from fastbcd.formats.operations import summands
from fastbcd.utils.types import Float

ROUNDS, SETTLED = 20, 1e-3
"""The parts are fitted in turns at most so often, and no longer than a round lowers the error by
this share."""

Projection = Callable[[Float, Format | None], Format]


def fit_in_turns(
    weight: Float, factored: Projection, sparse: Projection, warm: Format | None
) -> SumMatrix:
    """Return the sum of two projections that is near ``weight``.

    Parameters
    ----------
    weight : (n_in, n_out) array
        What to compress.
    factored, sparse : callable
        Each takes a matrix and its own result of the turn before, or None.
    warm : Format or None
        Result for a matrix nearby.
    """
    low: Format | None = None
    rest_part: Format | None = None
    parts = [] if warm is None or warm.shape != weight.shape else summands(warm)
    if len(parts) == 2:
        low, rest_part = parts
    rest = weight if rest_part is None else weight - rest_part.to_dense()
    best: SumMatrix | None = None
    before = float(np.square(weight, dtype=np.float64).sum())
    for _ in range(ROUNDS):
        low = factored(rest, low)
        rest = weight - low.to_dense()
        rest_part = sparse(rest, rest_part)
        missed = rest - rest_part.to_dense()
        error = float(np.square(missed, dtype=np.float64).sum())
        if best is None or error < before:
            best = SumMatrix((low, rest_part))
        if before - error <= SETTLED * before:
            break
        before = error
        rest = missed + low.to_dense()
    assert best is not None
    return best
