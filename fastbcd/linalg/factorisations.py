"""LAPACK factorisations of small dense matrices, in float64 unless stated otherwise."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular

from fastbcd.utils.types import Float, Float64


def upper_cholesky(matrix: Float64) -> Float64:
    """Return the upper triangular R with R'R = ``matrix`` (n, n), which is positive definite.

    Raises
    ------
    numpy.linalg.LinAlgError
        If ``matrix`` is not numerically positive definite.
    """
    upper: Float64 = cholesky(matrix, lower=False, check_finite=False)
    return upper


def cholesky_inverse(matrix: Float64) -> Float64:
    """Return the inverse of a positive definite ``matrix`` (n, n), all of it.

    Raises
    ------
    numpy.linalg.LinAlgError
        If ``matrix`` is not numerically positive definite.
    ValueError
        If ``matrix`` holds NaN or infinity.
    """
    inverse: Float64 = cho_solve(cho_factor(matrix), np.eye(len(matrix)))
    return inverse


def general_inverse(matrix: Float) -> Float:
    """Return the inverse of a ``matrix`` (n, n), by LU factorisation, in its dtype.

    Raises
    ------
    numpy.linalg.LinAlgError
        If ``matrix`` is singular.
    """
    inverse: Float = np.linalg.inv(matrix)
    return inverse


def reduced_qr(matrix: Float) -> tuple[Float, Float]:
    """Return Q (n, k) with orthonormal columns and upper triangular R (k, m) of an (n, m) matrix.

    k is the smaller of n and m.
    """
    q, r = np.linalg.qr(matrix)
    return q, r


def solve_upper(upper: Float64, rhs: Float64, transposed: bool = False) -> Float64:
    """Return R^-1 ``rhs``, or R'^-1 ``rhs``, for an upper triangular R (n, n) and rhs (n, k)."""
    found: Float64 = solve_triangular(
        upper, rhs, trans="T" if transposed else "N", check_finite=False
    )
    return found


def thin_svd(matrix: Float64) -> tuple[Float64, Float64, Float64]:
    """Return U (n, k), the k singular values, descending, and V' (k, m) of an (n, m) matrix."""
    u, sizes, v = np.linalg.svd(matrix, full_matrices=False)
    return u, sizes, v
