"""The products of a mini-batch step, by SciPy's BLAS, into arrays that are there already.

C-ordered arrays are handed over as the transposes of Fortran-ordered ones, so nothing is
copied. See :mod:`fastbcd.linalg.products` for why it is SciPy's BLAS and never NumPy's.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import blas, lapack

from fastbcd.utils.types import Float


def product(a: Float, b: Float, out: Float) -> Float:
    """Write ``a @ b`` into ``out`` (all C-contiguous, of one type) and return it."""
    gemm = blas.sgemm if out.dtype == np.float32 else blas.dgemm
    gemm(1.0, b.T, a.T, beta=0.0, c=out.T, overwrite_c=True)
    return out


def cross_product(a: Float, b: Float, factor: float, out: Float) -> Float:
    """Write ``factor * a.T @ b`` into ``out`` and return it."""
    gemm = blas.sgemm if out.dtype == np.float32 else blas.dgemm
    gemm(factor, b.T, a.T, beta=0.0, c=out.T, trans_b=True, overwrite_c=True)
    return out


def subtract_outer(out: Float, a: Float, b: Float) -> None:
    """Subtract the outer product of ``a`` (n,) and ``b`` (m,) from ``out`` (n, m), in place."""
    ger = blas.sger if out.dtype == np.float32 else blas.dger
    ger(-1.0, b, a, a=out.T, overwrite_a=True)


def decay_and_add_gram(gram: Float, keep: float, v: Float, factor: float) -> None:
    """Set ``gram = keep * gram + factor * v.T @ v`` in place, lower triangle only (m, m)."""
    syrk = blas.ssyrk if gram.dtype == np.float32 else blas.dsyrk
    # The upper triangle of the Fortran-ordered matrix is the lower one of the C-ordered.
    syrk(factor, v.T, beta=keep, c=gram.T, overwrite_c=True)


def squared_norm(a: Float) -> float:
    """Return the sum of squares of all entries of a contiguous array."""
    flat = a.reshape(-1)
    return float((blas.sdot if a.dtype == np.float32 else blas.ddot)(flat, flat))


def symmetric(lower: Float) -> Float:
    """Return the full float64 matrix of which only the lower triangle is given."""
    matrix = np.tril(lower).astype(np.float64)
    matrix += np.tril(matrix, -1).T
    return matrix


def spd_inverse(matrix: Float) -> Float:
    """Return the inverse of a symmetric positive definite float64 matrix, which is overwritten.

    Raises
    ------
    numpy.linalg.LinAlgError
        If it is not numerically positive definite.
    """
    factor, info = lapack.dpotrf(matrix.T, lower=False, clean=False, overwrite_a=True)
    if info == 0:
        factor, info = lapack.dpotri(factor, lower=False, overwrite_c=True)
    if info:
        raise np.linalg.LinAlgError(f"The Gram matrix of {len(matrix)} units is not finite.")
    return symmetric(factor.T)
