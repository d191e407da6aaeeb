"""The dense linear algebra of the block updates, in place and without hidden copies.

Every product goes through SciPy's BLAS. NumPy carries a second BLAS with threads of its
own; products that alternate between the two keep each other's threads waiting.

C-ordered arrays are handed over as the transposes of Fortran-ordered ones, so nothing
is copied. Gram matrices are formed as symmetric products (half the work), chunk by chunk,
and chunks are added in float64: a float32 fit loses nothing to long sums.
"""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from scipy.linalg import blas, lapack

from fastbcd._types import Float, Float64
from fastbcd_kernels import spd_solve
from fastbcd_kernels.residual import column_sums

CHUNK = 8192
"""Rows that are summed in the type of the data before float64 takes over."""

SINGLE_BELOW = 1e6
"""Bound of the condition up to which a float32 problem's systems are solved in float32."""

SMALL = 32
"""Up to this many unknowns the compiled kernel solves; beyond it LAPACK."""


def _column_sums(a: Float, weight: Float64) -> Float64:
    """Return sum_i weight_i a_i over the rows of an (n, d) array, (d,)."""
    sums = np.empty(a.shape[1])
    column_sums(a, weight, sums)
    return sums


def squared_norm(a: Float, weight: Float64) -> float:
    """Return sum_i weight_i ||a_i||^2 over the rows of an (n, d) array."""
    return float(weight @ np.einsum("ij,ij->i", a, a))


def routine(name: str, dtype: np.dtype[Any]) -> Any:
    """Return SciPy's BLAS routine ``name`` for float32 or float64."""
    return getattr(blas, ("s" if dtype == np.float32 else "d") + name)


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
    gemm = routine("gemm", out.dtype)
    gemm(factor, b.T, a.T, trans_a=transposed, beta=1.0, c=out.T, overwrite_c=True)
    return out


def symmetric_product(a: Float, matrix: Float, out: Float) -> Float:
    """Write ``a @ matrix`` into ``out``; of the symmetric ``matrix`` only the lower half is read.

    All are C-contiguous arrays of one type.
    """
    symm = routine("symm", out.dtype)
    symm(1.0, matrix.T, a.T, c=out.T, overwrite_c=True)
    return out


def product(a: Float, b: Float, transposed: bool = False) -> Float:
    """Return ``a @ b``, or ``a @ b.T``, for C-contiguous arrays of one type."""
    gemm = routine("gemm", a.dtype)
    result: Float = gemm(1.0, b.T, a.T, trans_a=transposed).T
    return result


def inner_product(a: Float, b: Float) -> Float:
    """Return ``a.T @ b`` for C-contiguous arrays of one type."""
    gemm = routine("gemm", a.dtype)
    result: Float = gemm(1.0, b.T, a.T, trans_b=True).T
    return result


def linear(x: Float, weight: Float, bias: Float, out: Float) -> Float:
    """Write ``x @ weight + bias`` into ``out`` and return it."""
    out[...] = bias
    return add_product(out, x, weight)


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
    syrk = routine("syrk", v.dtype)
    total = np.zeros((d + 1, d + 1), np.float64 if wide or n > CHUNK else v.dtype)
    for lo in range(0, n, CHUNK):
        rows = v[lo : lo + CHUNK]
        weight = np.ones(len(rows)) if sample_weight is None else sample_weight[lo : lo + CHUNK]
        total[d, :d] += _column_sums(rows, weight)
        if sample_weight is not None:
            rows = rows * np.sqrt(weight).astype(v.dtype)[:, None]
        # The upper triangle of the Fortran-ordered result is the lower of its transpose.
        total[:d, :d] += syrk(1.0, rows.T).T
    total[d, d] = n if sample_weight is None else sample_weight.sum()
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
    m = u.shape[1]
    gemm = routine("gemm", v.dtype)
    total = np.zeros((d + 1, m), np.float64 if wide or n > CHUNK else v.dtype)
    for lo in range(0, n, CHUNK):
        rows = u[lo : lo + CHUNK]
        weight = np.ones(len(rows)) if sample_weight is None else sample_weight[lo : lo + CHUNK]
        total[d] += _column_sums(rows, weight)
        if sample_weight is not None:
            rows = rows * weight.astype(u.dtype)[:, None]
        total[:d] += gemm(1.0, rows.T, v[lo : lo + CHUNK].T, trans_b=True).T
    return total


class SPDSystem:
    """A symmetric positive definite system, factored once and solved many times.

    Parameters
    ----------
    matrix : (n, n) C-contiguous array
        Only the lower triangle is read; overwritten. Its type is the one that the system is
        solved in (see :func:`solving_type`), but for small systems, which are solved in float64.
    ridge : (n,) array
        Added to the diagonal. A vector, because the intercept is not pulled towards the
        compressed weights that the other rows are pulled towards.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the sum is not numerically positive definite.
    """

    def __init__(self, matrix: Float, ridge: Float64) -> None:
        self._size = matrix.shape[0]
        if self._size <= SMALL:
            matrix = matrix.astype(np.float64)
        matrix[np.diag_indices_from(matrix)] += ridge
        self._matrix: Any = matrix
        if self._size > SMALL:
            # Upper in Fortran order is lower in C order.
            single = matrix.dtype == np.float32
            potrf: Any = lapack.spotrf if single else lapack.dpotrf
            self._matrix, info = potrf(matrix.T, lower=False, clean=False, overwrite_a=True)
            self._check(info)

    def solve(self, rhs: Float) -> Float:
        """Return the solution for ``rhs`` (n, m), in the type of the system.

        Cost: 2 n^2 m flops (plus n^3/3 if small).
        """
        solution = np.array(rhs, dtype=self._matrix.dtype, order="C")
        if self._size <= SMALL:
            self._check(spd_solve.spd_solve(self._matrix.copy(), solution))
            return solution
        # X' R' R = B' for the factor R: the transposes lie in Fortran order, so that the two
        # triangular solves work in place, and from the right they run faster than potrs.
        trsm = routine("trsm", solution.dtype)
        for transposed in (False, True):
            trsm(1.0, self._matrix, solution.T, side=1, trans_a=transposed, overwrite_b=True)
        return solution

    def inverse(self) -> Float:
        """Return the inverse, in the type of the system; only its lower half is meaningful.

        Cost: 2 n^3 / 3 flops.
        """
        if self._size <= SMALL:
            return self.solve(np.eye(self._size))
        potri: Any = lapack.spotri if self._matrix.dtype == np.float32 else lapack.dpotri
        inverse, info = potri(self._matrix, lower=False)
        self._check(info)
        lower_half: Float = inverse.T
        return lower_half

    def _check(self, info: int) -> None:
        if info:
            raise np.linalg.LinAlgError(
                f"A block system of {self._size} unknowns is not positive definite (pivot {info}). "
                "Larger penalties (alpha, or gamma relative to rho) or scaled features mend it."
            )


def solving_type(trace: float, ridge: Float64, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type to solve a system in: float64, or float32 where that loses nothing.

    The eigenvalues of a positive semidefinite matrix and a ridge lie between the least ridge
    and the matrix' trace plus the largest. Where these are within ``SINGLE_BELOW``, a float32
    factor is the exact one of a system that differs by a small share of the ridge.

    Parameters
    ----------
    trace : float
        Trace of the matrix without its ridge.
    ridge : (n,) array
        What is added to its diagonal.
    dtype : dtype
        Type of the data; float64 data are solved for in float64.
    """
    single = dtype == np.float32 and trace <= SINGLE_BELOW * float(ridge.min())
    return np.dtype(np.float32 if single else np.float64)
