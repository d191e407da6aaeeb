r"""Small symmetric positive definite systems: Cholesky in plain loops.

The W-step and the V-step of block coordinate descent are both
:math:`(\text{Gram} + \text{diagonal})\, X = B`. Up to about 16 unknowns the call of LAPACK,
its checks and its threads cost more than the arithmetic; this kernel is for those: the
Woodbury core of an output layer with a handful of classes, a head with few inputs.
Larger systems go to LAPACK, which a kernel does not beat (see ``bench/test_kernels.py``).

Cost: n^3/3 flops to factor, 2 n^2 m to solve for m right-hand sides.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def spd_solve(a: NDArray[np.float64], b: NDArray[np.float64]) -> int:
    """Overwrite ``b`` with the solution of ``a`` X = b and ``a`` with its Cholesky factor.

    Parameters
    ----------
    a : (n, n) C-contiguous float64 array
        Symmetric positive definite; only the lower triangle is read and written.
    b : (n, m) C-contiguous float64 array
        Right-hand sides, overwritten.

    Returns
    -------
    int
        0, or the 1-based index of the first pivot that was not positive; ``b`` is then
        as it was.
    """
    n, m = b.shape
    for j in range(n):
        for q in range(j):
            for i in range(j, n):
                a[i, j] -= a[i, q] * a[j, q]
        if not a[j, j] > 0.0:
            return j + 1
        pivot = np.sqrt(a[j, j])
        for i in range(j, n):
            a[i, j] /= pivot
    for i in range(n):
        for q in range(i):
            for c in range(m):
                b[i, c] -= a[i, q] * b[q, c]
        for c in range(m):
            b[i, c] /= a[i, i]
    for i in range(n - 1, -1, -1):
        for q in range(i + 1, n):
            for c in range(m):
                b[i, c] -= a[q, i] * b[q, c]
        for c in range(m):
            b[i, c] /= a[i, i]
    return 0
