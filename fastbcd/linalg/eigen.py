"""All eigenvalues and eigenvectors of a symmetric matrix, by divide and conquer."""

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
    LAPACK's ``syevd``. Where all vectors are wanted, it is the fastest of LAPACK's drivers.
    SciPy 1.12 asks it for too small a workspace where n is 1, and then refuses that workspace,
    so the one pair of a 1 x 1 matrix is written down here.
    """
    if len(matrix) == 1:
        return matrix[0].copy(), np.ones_like(matrix)
    values, vectors = eigh(matrix, driver="evd", check_finite=False, overwrite_a=overwrite)
    return values, vectors
