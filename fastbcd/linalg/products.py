"""Dense products of the block updates, in place and without hidden copies.

Every product of two matrices uses SciPy's BLAS. NumPy ships a second BLAS with its own threads, and
the threads of the two compete for cores when calls alternate. Products with many rows are divided
among the threads of :mod:`fastbcd.parallel.row_threads`, if there are any.

A C-ordered array is passed to BLAS as its Fortran-ordered transpose, so nothing is copied. Gram
matrices are computed as symmetric products (half the work), chunk by chunk. Chunks are added in
float64, so long sums lose no accuracy in a float32 fit.
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
"""Number of rows summed in the dtype of the data before the sum is added in float64."""


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
        Factors, with the dtype of ``out``.
    factor : float, default=1.0
        Scale of the product.
    transposed : bool, default=False
        Whether ``b`` is passed as its transpose, (m, k).
    """
    share(lambda rows: _blas.gemm(out[rows], a[rows], b, factor, 1.0, tb=transposed), len(out))
    return out


def symmetric_product(a: Float, matrix: Float, out: Float) -> Float:
    """Write ``a @ matrix`` into ``out``; ``matrix`` is symmetric.

    Only the lower triangle of ``matrix`` is read. All arrays are C-contiguous and of one dtype.
    """
    share(lambda rows: _blas.symm(out[rows], a[rows], matrix), len(out))
    return out


def product(a: Float, b: Float, transposed: bool = False) -> Float:
    """Return ``a @ b``, or ``a @ b.T`` if ``transposed``, for C-contiguous arrays of one dtype."""
    gemm = _blas.routine("gemm", a.dtype)
    result: Float = gemm(1.0, b.T, a.T, trans_a=transposed).T
    return result


def inner_product(a: Float, b: Float) -> Float:
    """Return ``a.T @ b`` for C-contiguous arrays of one dtype."""
    gemm = _blas.routine("gemm", a.dtype)
    result: Float = gemm(1.0, b.T, a.T, trans_b=True).T
    return result


def linear(x: Float, weight: Float, bias: Float, out: Float) -> Float:
    """Write ``x @ weight + bias`` into ``out`` and return it."""
    out[...] = bias
    return add_product(out, x, weight)


def square(a: Float) -> Float:
    """Return ``a.T @ a``, or ``a @ a.T`` if that is smaller; lower triangle only."""
    size, length = sorted(a.shape)
    outer = a.shape[0] < a.shape[1]

    def part(along: slice) -> Float:
        out = np.zeros((size, size), a.dtype)
        _blas.syrk(out, a[:, along] if outer else a[along], outer=outer)
        return out

    return _total(share(part, length))


def _total(parts: list[Float]) -> Float:
    """Add all arrays to the first, in place, and return it."""
    for part in parts[1:]:
        parts[0] += part
    return parts[0]


def _sum_chunks(
    add: Callable[[Float, slice], None], n: int, shape: tuple[int, int], dtype: np.dtype[Any]
) -> Float:
    """Return a total, built by calling ``add(total, rows)`` for each chunk of ``n`` rows."""

    def part(share_of_rows: slice) -> Float:
        total = np.zeros(shape, dtype)
        for lo in range(share_of_rows.start, share_of_rows.stop, CHUNK):
            add(total, slice(lo, min(lo + CHUNK, share_of_rows.stop)))
        return total

    return _total(share(part, n))


def _add(total: Float, dtype: np.dtype[Any], product: Callable[[Float], None]) -> None:
    """Add a product to ``total``; ``product(out)`` adds it to an array of ``dtype``."""
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
        Whether to return float64 always. Otherwise the result has the dtype of ``v`` if one chunk
        holds all rows, that is, up to 8192 rows.

    Returns
    -------
    (d + 1, d + 1) array
        Only the lower triangle is set. Cost: n d^2 flops.
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
    """Return [V 1]' S U, (d + 1, m); parameters as for :func:`gram`. Cost: 2 n d m flops."""
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
