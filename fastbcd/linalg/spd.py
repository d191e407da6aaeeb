"""The linear solves of the block updates: symmetric, positive definite, with a ridge."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import lapack

from fastbcd.linalg import blas as _blas
from fastbcd.parallel.row_threads import share
from fastbcd.utils.types import Float, Float64
from fastbcd_kernels import spd_solve

SINGLE_BELOW = 1e6
"""Bound of the condition up to which a float32 problem's systems are solved in float32."""

SMALL = 16
"""Up to this many unknowns the compiled kernel solves; beyond it LAPACK, which overtakes it."""


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
        lower = self._matrix.T  # two triangular solves in place run faster than potrs

        def solve(columns: slice) -> None:
            for transposed in (False, True):
                _blas.trsm(solution[:, columns], lower, transposed=transposed)

        share(solve, solution.shape[1])
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
