r"""Proofs of positive definiteness in floating-point arithmetic.

If Cholesky's factorisation of :math:`A - c I` runs to its end in floating point, and c exceeds a
bound of all its rounding errors, then A is positive definite: no matter how A was found.

References
----------
S. M. Rump, "Verification of positive definiteness", BIT Numerical Mathematics 46 (2006).
"""

from __future__ import annotations

import numpy as np

from fastbcd.linalg.eigen import largest_eigenpairs
from fastbcd.linalg.factorisations import upper_cholesky
from fastbcd.utils.types import Float64

UNIT = 2.0**-53
"""Rounding unit of float64."""


def is_positive_definite(a: Float64, error: Float64 | None = None) -> bool:
    """Return True only if every symmetric matrix within ``error`` of ``a`` is positive definite.

    Parameters
    ----------
    a : (n, n) array
        Symmetric.
    error : (n, n) array, optional
        Bounds of the errors of the entries of ``a``.
    """
    n = len(a)
    diagonal = np.diagonal(a)
    if not (np.isfinite(a).all() and np.all(diagonal > 0)):
        return False
    # Powers of two, so that scaling is exact.
    scale = np.exp2(-np.round(0.5 * np.log2(diagonal)))
    scaled = a * scale[:, None] * scale
    shift = 0.0
    if error is not None:
        shift = float(np.max((error * scale[:, None] * scale).sum(axis=1))) * (1 + 2 * n * UNIT)
    gamma = (n + 1) * UNIT / (1 - 2 * (n + 1) * UNIT)
    shift += 2 * gamma * float(np.trace(scaled)) + n * 1e-300
    scaled[np.arange(n), np.arange(n)] -= shift
    try:
        upper_cholesky(scaled)
    except np.linalg.LinAlgError:
        return False
    return True


def norm_bound(a: Float64) -> float:
    """Return a proven upper bound of the spectral norm of ``a``, as close as rounding allows."""
    small = a if a.shape[0] <= a.shape[1] else a.T
    gram = small @ small.T
    n, k = small.shape
    if n == 0 or not gram.any():
        return 0.0
    error = 2 * (k + 2) * UNIT * (np.abs(small) @ np.abs(small).T)
    top = float(largest_eigenpairs(gram, 1)[0][0])
    for digits in range(13, 2, -1):
        square = top * (1 + 10.0**-digits)
        if is_positive_definite(square * np.eye(n) - gram, error):
            return float(np.sqrt(square)) * (1 + 4 * UNIT)
    return float(np.sqrt(np.sum(a * a))) * (1 + a.size * UNIT)  # Frobenius' norm is larger
