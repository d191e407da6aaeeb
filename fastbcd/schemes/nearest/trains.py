"""Tensor trains nearest to a matrix: modes, ranks, decomposition."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from fastbcd.formats import TensorTrainMatrix
from fastbcd.schemes.nearest.train_sweep import tt_sweep
from fastbcd.utils.types import Float


def default_modes(n: int) -> tuple[int, ...]:
    """Factor ``n`` into modes of at least 3 where its prime factors allow it: 1024 is 4 x ... x 4.

    Prime factors, with the twos paired into fours; a two that is left joins the smallest mode.
    """
    factors = []
    divisor = 2
    while n > 1:
        while n % divisor == 0:
            factors.append(divisor)
            n //= divisor
        divisor = divisor + 1 if divisor * divisor <= n else max(n, 2)
    twos, others = factors.count(2), [f for f in factors if f > 2]
    modes = [4] * (twos // 2) + others
    if twos % 2:
        if modes:
            modes[modes.index(min(modes))] *= 2
        else:
            modes = [2]
    return tuple(sorted(modes)) or (1,)


def train_ranks(modes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Return r_0 .. r_d: ``rank``, or less where the unfolding has fewer rows or columns."""
    ranks = [1]
    for k, mode in enumerate(modes):
        ranks.append(min(rank, ranks[-1] * mode, prod(modes[k + 1 :])))
    return tuple(ranks)


def decompose(
    weight: Float, modes: Sequence[int], ranks: Sequence[int], warm: Sequence[Float] | None = None
) -> list[Float]:
    """Cut ``weight`` into a tensor train by Gram matrices, in float64 unless it starts warm.

    Parameters
    ----------
    weight : array
        ``weight.size == prod(modes)``, read in row-major order.
    modes, ranks : sequences of int
        Mode sizes and ranks, as in :func:`train_ranks`.
    warm : sequence of cores, optional
        Train of a matrix nearby, of the same modes and ranks.

    Returns
    -------
    list of (r_{k-1}, m_k, r_k) arrays of the type of ``weight``
    """
    if warm is not None:
        buffer = np.concatenate([core.ravel() for core in warm]).astype(weight.dtype, copy=False)
    else:
        buffer = np.empty(sum(ranks[k] * m * ranks[k + 1] for k, m in enumerate(modes)))
    flat = np.ascontiguousarray(weight, dtype=buffer.dtype).ravel()
    tt_sweep(flat, modes, ranks, buffer, warm is not None)
    train = TensorTrainMatrix.from_buffer(
        buffer.astype(weight.dtype, copy=False), modes, ranks, (weight.shape[0], weight.shape[1])
    )
    return list(train.cores)
