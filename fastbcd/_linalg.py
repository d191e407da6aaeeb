"""The dense linear algebra of the block updates, in place and without hidden copies.

Every product goes through SciPy's BLAS. NumPy carries a second BLAS with threads of its
own; products that alternate between the two keep each other's threads waiting.

C-ordered arrays are handed over as the transposes of Fortran-ordered ones, so nothing
is copied. Gram matrices are formed as symmetric products (half the work), chunk by chunk,
and accumulated in float64: a float32 fit loses nothing to long sums.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
from scipy.linalg import blas, lapack

from fastbcd._types import Float, Float64
from fastbcd_kernels import spd_solve

CHUNK = 4096
"""Rows that are summed in the type of the data before float64 takes over."""

SMALL = 32
"""Up to this many unknowns the compiled kernel solves; beyond it LAPACK."""


@cache
def _blas_threads() -> Any:
    # scikit-learn depends on threadpoolctl, so it is there; to look for libraries is slow.
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def one_blas_thread() -> AbstractContextManager[Any]:
    """Return a context in which BLAS and LAPACK use one thread.

    For many small calls in a row: waking and joining threads costs more than the arithmetic.
    """
    limit: AbstractContextManager[Any] = _blas_threads().limit(limits=1)
    return limit


def _routine(name: str, dtype: np.dtype[Any]) -> Any:
    return getattr(blas, ("s" if dtype == np.float32 else "d") + name)


def add_product(out: Float, a: Float, b: Float, factor: float = 1.0) -> Float:
    """Add ``factor * a @ b`` to ``out`` in place.

    Parameters
    ----------
    out : (n, m) C-contiguous array
        Overwritten and returned.
    a, b : (n, k) and (k, m) C-contiguous arrays
        Factors of the same type as ``out``.
    factor : float, default=1.0
        Scale of the product.
    """
    gemm = _routine("gemm", out.dtype)
    gemm(factor, b.T, a.T, beta=1.0, c=out.T, overwrite_c=True)
    return out


def linear(x: Float, weight: Float, bias: Float, out: Float) -> Float:
    """Write ``x @ weight + bias`` into ``out`` and return it."""
    out[:] = bias
    return add_product(out, x, weight)


def gram(v: Float, sample_weight: Float64 | None) -> Float64:
    """Return [V 1]' S [V 1], the Gram matrix of the inputs and a column of ones.

    Parameters
    ----------
    v : (n, d) C-contiguous array
        Inputs of a layer.
    sample_weight : (n,) array or None
        Diagonal of S; None for ones.

    Returns
    -------
    (d + 1, d + 1) float64 array
        Only the lower triangle is meaningful. Cost: n d^2 flops.
    """
    n, d = v.shape
    syrk = _routine("syrk", v.dtype)
    total = np.zeros((d + 1, d + 1))
    for lo in range(0, n, CHUNK):
        rows = v[lo : lo + CHUNK]
        if sample_weight is None:
            sums: Float64 = rows.sum(axis=0, dtype=np.float64)
        else:
            weight = sample_weight[lo : lo + CHUNK]
            sums = weight @ rows
            rows = rows * np.sqrt(weight, dtype=np.float64).astype(v.dtype)[:, None]
        # The upper triangle of the Fortran-ordered result is the lower of its transpose.
        total[:d, :d] += syrk(1.0, rows.T).T
        total[d, :d] += sums
    total[d, d] = n if sample_weight is None else sample_weight.sum()
    return total


def cross(v: Float, u: Float, sample_weight: Float64 | None) -> Float64:
    """Return [V 1]' S U in float64, shape (d + 1, m). Cost: 2 n d m flops."""
    n, d = v.shape
    m = u.shape[1]
    gemm = _routine("gemm", v.dtype)
    total = np.zeros((d + 1, m))
    for lo in range(0, n, CHUNK):
        rows = u[lo : lo + CHUNK]
        if sample_weight is not None:
            rows = rows * sample_weight[lo : lo + CHUNK, None].astype(u.dtype)
        total[:d] += gemm(1.0, rows.T, v[lo : lo + CHUNK].T, trans_b=True).T
        total[d] += rows.sum(axis=0, dtype=np.float64)
    return total


class SPDSystem:
    """A symmetric positive definite system, factored once and solved many times.

    Parameters
    ----------
    matrix : (n, n) C-contiguous float64 array
        Only the lower triangle is read; overwritten.
    ridge : (n,) array
        Added to the diagonal. A vector, because the intercept is not pulled towards the
        compressed weights that the other rows are pulled towards.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the sum is not numerically positive definite.
    """

    def __init__(self, matrix: Float64, ridge: Float64) -> None:
        self._size = matrix.shape[0]
        matrix[np.diag_indices_from(matrix)] += ridge
        self._matrix = matrix
        if self._size > SMALL:
            # Upper in Fortran order is lower in C order.
            self._matrix, info = lapack.dpotrf(matrix.T, lower=False, clean=False, overwrite_a=True)
            self._check(info)

    def solve(self, rhs: Float64) -> Float64:
        """Return the solution for ``rhs`` (n, m). Cost: 2 n^2 m flops (plus n^3/3 if small)."""
        if self._size > SMALL:
            solution, info = lapack.dpotrs(self._matrix, rhs, lower=False)
            self._check(info)
            return np.ascontiguousarray(solution)
        solution = np.array(rhs, dtype=np.float64, order="C")
        self._check(spd_solve.spd_solve(self._matrix.copy(), solution))
        return solution

    def _check(self, info: int) -> None:
        if info:
            raise np.linalg.LinAlgError(
                f"A block system of {self._size} unknowns is not positive definite (pivot {info}). "
                "Larger penalties (alpha, or gamma relative to rho) or scaled features mend it."
            )


def activation_gain(weight: Float, ratio: float) -> Float64:
    r"""Return K of the V-step  V = s + (U_next - b - s W) K.

    .. math:: K = (W^T W + \text{ratio} I)^{-1} W^T = W^T (W W^T + \text{ratio} I)^{-1}

    Both forms are equal (Woodbury); the smaller system is solved.

    Parameters
    ----------
    weight : (d, m) array
        W of the next layer.
    ratio : float
        gamma / rho.

    Returns
    -------
    (m, d) float64 array
    """
    w = np.ascontiguousarray(weight, dtype=np.float64)
    d, m = w.shape
    if m <= d:
        system = SPDSystem(np.ascontiguousarray(blas.dsyrk(1.0, w.T).T), np.full(m, ratio))
        return system.solve(w.T)
    system = SPDSystem(np.ascontiguousarray(blas.dsyrk(1.0, w.T, trans=True).T), np.full(d, ratio))
    return np.ascontiguousarray(system.solve(w).T)
