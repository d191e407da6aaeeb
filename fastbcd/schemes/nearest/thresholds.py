"""Sparse matrices nearest to a matrix: single weights, patterns, blocks, neurons."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from fastbcd.utils.types import Float
from fastbcd_kernels import top_k

FEW = 1 << 15
"""Entries up to which NumPy selects the largest: at most a tenth of a millisecond slower than the
compiled kernel, whose compilation for one type delays a first fit by several seconds."""


def hard_threshold(weight: Float, n_nonzero: int) -> Float:
    """Return ``weight`` with all but the ``n_nonzero`` entries of largest magnitude set to zero.

    Ties are decided by position in row-major order: the first ones stay. Cost: O(size).

    Raises
    ------
    ValueError
        If an entry is NaN, or ``n_nonzero`` is not between 0 and the number of entries.
    """
    if not 0 <= n_nonzero <= weight.size:
        raise ValueError(
            f"n_nonzero={n_nonzero} must lie between 0 and the {weight.size} entries of weight."
        )
    if np.isnan(weight).any():
        raise ValueError("weight holds NaN, which has no magnitude. Remove it first.")
    return keep_largest(weight, n_nonzero)


def keep_largest(weight: Float, n_nonzero: int) -> Float:
    """Return what :func:`hard_threshold` does, without its checks; NaN counts as the largest.

    For weights in training: a NaN stays, so that whoever watches the training sees it.
    """
    flat = np.ascontiguousarray(weight).ravel()
    if flat.size <= FEW:
        return _keep_largest_of_few(flat, n_nonzero).reshape(weight.shape)
    word, n_bits = (np.uint32, 31) if flat.dtype == np.float32 else (np.uint64, 63)
    out = np.empty_like(flat)
    top_k.hard_threshold(flat, flat.view(word), n_bits, n_nonzero, out)
    return out.reshape(weight.shape)


def _keep_largest_of_few(flat: Float, n_nonzero: int) -> Float:
    """Do in NumPy what the kernel does: the same entries stay, ties included."""
    if n_nonzero == 0:
        return np.zeros_like(flat)
    magnitude = np.abs(flat)
    least = np.partition(magnitude, flat.size - n_nonzero)[flat.size - n_nonzero]  # NaN is last
    out: Float = np.where(magnitude <= least, flat.dtype.type(0), flat)
    ties = n_nonzero - np.count_nonzero(out)
    if ties > 0:
        places = np.flatnonzero(magnitude == least)[:ties]
        out[places] = flat[places]
    return out


def pattern(structure: str) -> tuple[int, int] | None:
    """Return (N, M) for a structure "N:M" with 0 < N < M, else None."""
    match = re.fullmatch(r"(\d+):(\d+)", structure)
    if match is None:
        return None
    n, m = int(match[1]), int(match[2])
    return (n, m) if 0 < n < m else None


def keep_pattern(weight: Float, n: int, m: int) -> Float:
    """Keep the ``n`` largest of every ``m`` consecutive inputs of each output.

    A last group that is shorter keeps up to ``n`` as well.
    """
    d, width = weight.shape
    groups = -(-d // m)
    size = np.full((groups * m, width), -1.0, weight.dtype)
    size[:d] = np.abs(weight)
    order = _largest_first(size.reshape(groups, m, width), axis=1)
    keep = np.zeros((groups, m, width), bool)
    np.put_along_axis(keep, order[:, :n], True, axis=1)
    kept: Float = np.where(keep.reshape(-1, width)[:d], weight, weight.dtype.type(0))
    return kept


def block(structure: str) -> tuple[int, int] | None:
    """Return (R, C) for a structure "RxC" with positive R and C, else None."""
    match = re.fullmatch(r"(\d+)x(\d+)", structure)
    if match is None or not (int(match[1]) and int(match[2])):
        return None
    return int(match[1]), int(match[2])


def keep_blocks(weight: Float, shape: tuple[int, int], n_nonzero: int) -> Float:
    """Keep the blocks of largest norm, with at most ``n_nonzero`` entries, but one at least.

    Blocks of ``shape`` tile the matrix from its first entry; those at the far edges may be smaller.
    """
    rows = np.arange(weight.shape[0]) // shape[0]
    columns = np.arange(weight.shape[1]) // shape[1]
    place = rows[:, None] * (columns[-1] + 1) + columns
    norms = np.bincount(place.ravel(), np.square(weight, dtype=np.float64).ravel())
    sizes = np.bincount(place.ravel())
    order = _largest_first(norms / sizes)
    fits = np.cumsum(sizes[order]) <= n_nonzero
    fits[0] = True
    stays = np.zeros(norms.size, bool)
    stays[order[fits]] = True
    kept: Float = np.where(stays[place], weight, weight.dtype.type(0))
    return kept


def keep_columns(weight: Float, n_kept: int) -> Float:
    """Keep the ``n_kept`` columns of largest norm."""
    norms = np.square(weight, dtype=np.float64).sum(axis=0)
    out = weight.copy()
    out[:, _largest_first(norms)[n_kept:]] = 0
    return out


def _largest_first(sizes: Float, axis: int = -1) -> NDArray[np.intp]:
    """Return the order from the largest to the smallest; NaN counts as the largest, to be seen."""
    order: NDArray[np.intp] = np.argsort(
        np.where(np.isnan(sizes), -np.inf, -sizes), axis=axis, kind="stable"
    )
    return order
