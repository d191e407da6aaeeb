"""Products of a mini-batch step with SciPy's BLAS, written into existing arrays.

A C-ordered array is passed to BLAS as its Fortran-ordered transpose, so nothing is copied.
:mod:`fastbcd.linalg.products` explains why NumPy's BLAS is not used.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import blas, lapack

from fastbcd.utils.types import Float


def product(a: Float, b: Float, out: Float) -> Float:
    """Write ``a @ b`` into ``out`` (all C-contiguous, of one dtype) and return it."""
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
    """Set ``gram = keep * gram + factor * v.T @ v`` in place, (m, m), lower triangle only."""
    syrk = blas.ssyrk if gram.dtype == np.float32 else blas.dsyrk
    # The upper triangle in Fortran order is the lower triangle in C order.
    syrk(factor, v.T, beta=keep, c=gram.T, overwrite_c=True)


def squared_norm(a: Float) -> float:
    """Return the sum of squares of all entries of a C-contiguous array."""
    flat = a.reshape(-1)
    return float((blas.sdot if a.dtype == np.float32 else blas.ddot)(flat, flat))


def symmetric(lower: Float) -> Float:
    """Return the symmetric float64 matrix with the lower triangle of ``lower``."""
    matrix = np.tril(lower).astype(np.float64)
    matrix += np.tril(matrix, -1).T
    return matrix


def spd_inverse(matrix: Float) -> Float:
    """Return the inverse of a symmetric positive definite float64 matrix; overwrites ``matrix``.

    Raises
    ------
    numpy.linalg.LinAlgError
        If ``matrix`` is not numerically positive definite.
    """
    factor, info = lapack.dpotrf(matrix.T, lower=False, clean=False, overwrite_a=True)
    if info == 0:
        factor, info = lapack.dpotri(factor, lower=False, overwrite_c=True)
    if info:
        raise np.linalg.LinAlgError(
            f"The Gram matrix of {len(matrix)} units is not finite and positive definite."
        )
    return symmetric(factor.T)
