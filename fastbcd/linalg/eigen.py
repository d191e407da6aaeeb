"""Eigenvalues and eigenvectors of symmetric matrices.

The rest of the package calls LAPACK's eigensolvers only through these functions, because some
versions of SciPy need a special case.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from fastbcd.utils.types import Float


def all_eigenpairs(matrix: Float, overwrite: bool = False) -> tuple[Float, Float]:
    """Return the eigenvalues, ascending, and the eigenvectors of a symmetric matrix.

    Parameters
    ----------
    matrix : (n, n) array
        Symmetric, float32 or float64; its lower half is read. It is not searched for NaN.
    overwrite : bool, default=False
        Whether the result may be written into ``matrix``.

    Returns
    -------
    values : (n,) array
        Eigenvalues, the smallest first.
    vectors : (n, n) array
        One eigenvector of unit length per column.

    Notes
    -----
    Calls LAPACK's ``syevd`` (divide and conquer), LAPACK's fastest driver for all eigenvectors.
    For n = 1, SciPy 1.12 queries too small a workspace and then rejects it, so the eigenpair of a
    1 x 1 matrix is returned without a call to LAPACK.
    """
    if len(matrix) == 1:
        return matrix[0].copy(), np.ones_like(matrix)
    values, vectors = eigh(matrix, driver="evd", check_finite=False, overwrite_a=overwrite)
    return values, vectors


def largest_eigenpairs(matrix: Float, count: int) -> tuple[Float, Float]:
    """Return the ``count`` largest eigenvalues, ascending, and their eigenvectors.

    Parameters
    ----------
    matrix : (n, n) array
        Symmetric, float32 or float64; its lower half is read.
    count : int
        Number of eigenpairs, from 1 to n.

    Returns
    -------
    values : (count,) array
        The largest eigenvalues, in ascending order.
    vectors : (n, count) array
        One eigenvector of unit length per column.

    Raises
    ------
    ValueError
        If ``matrix`` holds NaN or infinity.

    Notes
    -----
    Calls LAPACK's ``syevr``, which computes a part of the eigenvectors at a fraction of the cost.
    """
    n = len(matrix)
    values, vectors = eigh(matrix, subset_by_index=[n - count, n - 1])
    return values, vectors
