"""Symmetric positive definite linear systems of the block updates, with a ridge."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import lapack

from fastbcd.linalg import blas as _blas
from fastbcd.parallel.row_threads import share
from fastbcd.utils.types import Float, Float64
from fastbcd_kernels import spd_solve

SINGLE_BELOW = 1e6
"""Maximum condition number, estimated, of a system that is solved in float32."""

LOST = 1e-13
"""A pivot below this share of its diagonal entry has no correct digit left."""

SMALL = 16
"""Maximum number of unknowns solved by the compiled kernel; LAPACK is faster beyond."""


def solve_once(matrix: Float64, rhs: Float64) -> Float64 | None:
    """Return the solution of one positive definite system (n, n), or None if a pivot is lost.

    A pivot is lost if rounding leaves less than ``LOST`` of its diagonal entry, or nothing. Only
    one triangle of ``matrix`` is read. Cost: n^3 / 3 flops, and a few microseconds.
    """
    factor, solution, info = lapack.dposv(matrix, rhs)
    if info or np.any(np.square(np.diag(factor)) <= LOST * np.diag(matrix)):
        return None
    found: Float64 = solution
    return found


class SPDSystem:
    """A symmetric positive definite system, factored once and solved many times.

    Parameters
    ----------
    matrix : (n, n) C-contiguous array
        Only the lower triangle is read; overwritten. The system is solved in the dtype of
        ``matrix`` (see :func:`solving_type`), except that systems with at most ``SMALL`` unknowns
        are solved in float64.
    ridge : (n,) array
        Added to the diagonal. A vector, because the weights have a penalty towards their compressed
        copy and the intercept does not.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the matrix plus the ridge is not numerically positive definite.
    """

    def __init__(self, matrix: Float, ridge: Float64) -> None:
        self._size = matrix.shape[0]
        if self._size <= SMALL:
            matrix = matrix.astype(np.float64)
        matrix[np.diag_indices_from(matrix)] += ridge
        self._matrix: Any = matrix
        if self._size > SMALL:
            # The upper triangle in Fortran order is the lower triangle in C order.
            single = matrix.dtype == np.float32
            potrf: Any = lapack.spotrf if single else lapack.dpotrf
            self._matrix, info = potrf(matrix.T, lower=False, clean=False, overwrite_a=True)
            self._check(info)

    def solve(self, rhs: Float) -> Float:
        """Return the solution for ``rhs`` (n, m), in the dtype of the system.

        Cost: 2 n^2 m flops, plus n^3 / 3 for at most ``SMALL`` unknowns.
        """
        solution = np.array(rhs, dtype=self._matrix.dtype, order="C")
        if self._size <= SMALL:
            self._check(spd_solve.spd_solve(self._matrix.copy(), solution))
            return solution
        lower = self._matrix.T  # two in-place triangular solves are faster than potrs

        def solve(columns: slice) -> None:
            for transposed in (False, True):
                _blas.trsm(solution[:, columns], lower, transposed=transposed)

        share(solve, solution.shape[1])
        return solution

    def inverse(self) -> Float:
        """Return the inverse, in the dtype of the system; only its lower triangle is set.

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
                "Increase the penalties (proximal, or gamma relative to rho) or scale the features."
            )


def solving_type(trace: float, ridge: Float64, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype to solve a system in: float64, or float32 if that is accurate enough.

    The eigenvalues of a positive semidefinite matrix plus a ridge are at least the smallest ridge
    and at most the trace of the matrix plus the largest ridge. If trace / smallest ridge is at most
    ``SINGLE_BELOW``, a float32 factor is exact for a system that differs from this one by a small
    share of the ridge.

    Parameters
    ----------
    trace : float
        Trace of the matrix without its ridge.
    ridge : (n,) array
        Added to the diagonal.
    dtype : dtype
        Data type of the data. Systems of float64 data are solved in float64.
    """
    single = dtype == np.float32 and trace <= SINGLE_BELOW * float(ridge.min())
    return np.dtype(np.float32 if single else np.float64)
