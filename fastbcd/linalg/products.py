"""The dense products of the block updates, in place and without hidden copies.

Every product goes through SciPy's BLAS. NumPy carries a second BLAS with threads of its
own; products that alternate between the two keep each other's threads waiting. What has many
rows is shared among the threads of :mod:`fastbcd.parallel.row_threads` where there are any.

C-ordered arrays are handed over as the transposes of Fortran-ordered ones, so nothing
is copied. Gram matrices are formed as symmetric products (half the work), chunk by chunk,
and chunks are added in float64: a float32 fit loses nothing to long sums.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, overload

import numpy as np

from fastbcd.linalg import blas as _blas
from fastbcd.parallel.row_threads import share
from fastbcd.utils.types import Float, Float64
from fastbcd_kernels.residual import column_sums, weighted_squared_distance

CHUNK = 8192
"""Rows that are summed in the type of the data before float64 takes over."""


def _column_sums(a: Float, weight: Float64) -> Float64:
    """Return sum_i weight_i a_i over the rows of an (n, d) array, (d,)."""
    sums = np.empty(a.shape[1])
    column_sums(a, weight, sums)
    return sums


def squared_norm(a: Float, weight: Float64) -> float:
    """Return sum_i weight_i ||a_i||^2 over the rows of an (n, d) array."""

    def part(rows: slice) -> float:
        return float(weight[rows] @ np.einsum("ij,ij->i", a[rows], a[rows]))

    return sum(share(part, len(a)))


def squared_distance(a: Float, b: Float, weight: Float64) -> float:
    """Return sum_i weight_i ||a_i - b_i||^2 over the rows of two (n, d) arrays."""

    def part(rows: slice) -> float:
        return weighted_squared_distance(a[rows], b[rows], weight[rows])

    return sum(share(part, len(a)))


def add_product(
    out: Float, a: Float, b: Float, factor: float = 1.0, transposed: bool = False
) -> Float:
    """Add ``factor * a @ b``, or ``factor * a @ b.T``, to ``out`` in place.

    Parameters
    ----------
    out : (n, m) C-contiguous array
        Overwritten and returned.
    a, b : (n, k) and (k, m) C-contiguous arrays
        Factors of the same type as ``out``.
    factor : float, default=1.0
        Scale of the product.
    transposed : bool, default=False
        Whether ``b`` is given as its transpose, (m, k).
    """
    share(lambda rows: _blas.gemm(out[rows], a[rows], b, factor, 1.0, tb=transposed), len(out))
    return out


def symmetric_product(a: Float, matrix: Float, out: Float) -> Float:
    """Write ``a @ matrix`` into ``out``; of the symmetric ``matrix`` only the lower half is read.

    All are C-contiguous arrays of one type.
    """
    share(lambda rows: _blas.symm(out[rows], a[rows], matrix), len(out))
    return out


def product(a: Float, b: Float, transposed: bool = False) -> Float:
    """Return ``a @ b``, or ``a @ b.T``, for C-contiguous arrays of one type."""
    gemm = _blas.routine("gemm", a.dtype)
    result: Float = gemm(1.0, b.T, a.T, trans_a=transposed).T
    return result


def inner_product(a: Float, b: Float) -> Float:
    """Return ``a.T @ b`` for C-contiguous arrays of one type."""
    gemm = _blas.routine("gemm", a.dtype)
    result: Float = gemm(1.0, b.T, a.T, trans_b=True).T
    return result


def linear(x: Float, weight: Float, bias: Float, out: Float) -> Float:
    """Write ``x @ weight + bias`` into ``out`` and return it."""
    out[...] = bias
    return add_product(out, x, weight)


def square(a: Float) -> Float:
    """Return ``a.T @ a``, or ``a @ a.T`` if that is smaller; only the lower half is meaningful."""
    size, length = sorted(a.shape)
    outer = a.shape[0] < a.shape[1]

    def part(along: slice) -> Float:
        out = np.zeros((size, size), a.dtype)
        _blas.syrk(out, a[:, along] if outer else a[along], outer=outer)
        return out

    return _total(share(part, length))


def _total(parts: list[Float]) -> Float:
    """Add all to the first, and return it."""
    for part in parts[1:]:
        parts[0] += part
    return parts[0]


def _sum_chunks(
    add: Callable[[Float, slice], None], n: int, shape: tuple[int, int], dtype: np.dtype[Any]
) -> Float:
    """Return the sum of what ``add(total, rows)`` adds for each chunk of ``n`` rows."""

    def part(share_of_rows: slice) -> Float:
        total = np.zeros(shape, dtype)
        for lo in range(share_of_rows.start, share_of_rows.stop, CHUNK):
            add(total, slice(lo, min(lo + CHUNK, share_of_rows.stop)))
        return total

    return _total(share(part, n))


def _add(total: Float, dtype: np.dtype[Any], product: Callable[[Float], None]) -> None:
    """Add what ``product(out)`` adds in ``dtype``: directly if that is the type of ``total``."""
    if total.dtype == dtype:
        product(total)
    else:
        chunk = np.zeros(total.shape, dtype)
        product(chunk)
        total += chunk


@overload
def gram(v: Float, sample_weight: Float64 | None, wide: Literal[True] = True) -> Float64: ...
@overload
def gram(v: Float, sample_weight: Float64 | None, wide: bool) -> Float: ...
def gram(v: Float, sample_weight: Float64 | None, wide: bool = True) -> Float:
    """Return [V 1]' S [V 1], the Gram matrix of the inputs and a column of ones.

    Parameters
    ----------
    v : (n, d) C-contiguous array
        Inputs of a layer.
    sample_weight : (n,) array or None
        Diagonal of S; None for ones.
    wide : bool, default=True
        Return float64 in any case; otherwise the type of ``v`` where one chunk holds all rows.

    Returns
    -------
    (d + 1, d + 1) array
        Only the lower triangle is meaningful. Cost: n d^2 flops.
    """
    n, d = v.shape
    every = np.ones(n) if sample_weight is None else sample_weight

    def add(total: Float, rows: slice) -> None:
        part, weight = v[rows], every[rows]
        total[d, :d] += _column_sums(part, weight)
        if sample_weight is not None:
            part = part * np.sqrt(weight).astype(v.dtype)[:, None]
        _add(total[:d, :d], v.dtype, lambda out: _blas.syrk(out, part))

    dtype = np.dtype(np.float64 if wide or n > CHUNK else v.dtype)
    total = _sum_chunks(add, n, (d + 1, d + 1), dtype)
    total[d, d] = every.sum()
    return total


@overload
def cross(
    v: Float, u: Float, sample_weight: Float64 | None, wide: Literal[True] = True
) -> Float64: ...
@overload
def cross(v: Float, u: Float, sample_weight: Float64 | None, wide: bool) -> Float: ...
def cross(v: Float, u: Float, sample_weight: Float64 | None, wide: bool = True) -> Float:
    """Return [V 1]' S U, shape (d + 1, m); arguments as for :func:`gram`. Cost: 2 n d m flops."""
    n, d = v.shape
    every = np.ones(n) if sample_weight is None else sample_weight

    def add(total: Float, rows: slice) -> None:
        a, b, weight = v[rows], u[rows], every[rows]
        total[d] += _column_sums(b, weight)
        if sample_weight is not None:
            b = b * weight.astype(u.dtype)[:, None]
        _add(total[:d], v.dtype, lambda out: _blas.gemm(out, a, b, 1.0, 1.0, ta=True))

    dtype = np.dtype(np.float64 if wide or n > CHUNK else v.dtype)
    return _sum_chunks(add, n, (d + 1, u.shape[1]), dtype)
