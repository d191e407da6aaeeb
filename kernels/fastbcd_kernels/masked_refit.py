r"""Least squares on given supports: one small positive definite system per output unit.

The weights of a pruned layer that fit best, given which ones stay, solve for every output i

.. math:: G_{S_i S_i} w_{S_i} = C_{S_i i}

with one Gram matrix G of the inputs for all outputs and the support :math:`S_i` of output i.
The systems are small (a few to a few hundred unknowns), all different, and there is one per
output unit; a call of LAPACK for each would cost more than its arithmetic in most of them.

Supports come as compressed lists: output i owns ``index[start[i]:start[i + 1]]``, ascending.

Cost of a support of s inputs: s^2 gathered numbers, s^3 / 3 flops to factor. The factorisation
works on four rows at a time, so that every row loaded from memory is used four times.
A pivot that is lost in rounding (an input that is a linear combination of earlier ones)
leaves its weight at zero; with a ridge on the diagonal that does not happen.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

FASTMATH = {"reassoc", "contract"}  # reassociation lets the sums vectorise

LOST = 1e-13
"""A pivot below this share of its diagonal entry has no correct digit left."""


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _dot(
    a: NDArray[np.float64], i: int, b: NDArray[np.float64], j: int, first: int, last: int
) -> float:
    total = 0.0
    for q in range(first, last):
        total += a[i, q] * b[j, q]
    return total


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _factor(
    gram: NDArray[np.float64], index: NDArray[np.int64], lo: int, s: int, a: NDArray[np.float64]
) -> int:
    """Write the Cholesky factor of ``gram`` on the support ``index[lo:lo + s]`` into ``a``.

    Returns the number of pivots that were lost; their rows and columns become those of the
    identity, scaled so that the solution is zero there (see :func:`_solve`).
    """
    for r in range(s):
        for c in range(r + 1):
            a[r, c] = gram[index[lo + r], index[lo + c]]
    n_lost = 0
    for i in range(0, s, 4):
        stop = min(i + 4, s)
        done = 0
        if stop == i + 4:
            done = i
            for j in range(i):
                t0 = 0.0
                t1 = 0.0
                t2 = 0.0
                t3 = 0.0
                for q in range(j):
                    x = a[j, q]
                    t0 += a[i, q] * x
                    t1 += a[i + 1, q] * x
                    t2 += a[i + 2, q] * x
                    t3 += a[i + 3, q] * x
                pivot = a[j, j]
                a[i, j] = (a[i, j] - t0) / pivot
                a[i + 1, j] = (a[i + 1, j] - t1) / pivot
                a[i + 2, j] = (a[i + 2, j] - t2) / pivot
                a[i + 3, j] = (a[i + 3, j] - t3) / pivot
        for r in range(i, stop):
            for j in range(done, r):
                a[r, j] = (a[r, j] - _dot(a, r, a, j, 0, j)) / a[j, j]
            pivot = a[r, r] - _dot(a, r, a, r, 0, r)
            if pivot > LOST * a[r, r]:
                a[r, r] = np.sqrt(pivot)
            else:
                a[r, r] = np.inf
                n_lost += 1
    return n_lost


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _solve(a: NDArray[np.float64], b: NDArray[np.float64], s: int) -> None:
    """Overwrite ``b[:s]`` with the solution for the factor in ``a``; lost unknowns are zero."""
    for i in range(s):
        t = 0.0
        for q in range(i):
            t += a[i, q] * b[q]
        b[i] = (b[i] - t) / a[i, i]
    for i in range(s - 1, -1, -1):
        b[i] /= a[i, i]
        x = b[i]
        for q in range(i):
            b[q] -= a[i, q] * x


@njit(cache=True, nogil=True)
def masked_refit(
    gram: NDArray[np.float64],
    cross: NDArray[np.float64],
    start: NDArray[np.int64],
    index: NDArray[np.int64],
    first: int,
    last: int,
    out: NDArray[np.float64],
) -> int:
    """Solve for the outputs ``first`` .. ``last - 1``.

    Parameters
    ----------
    gram : (d, d) C-contiguous float64 array
        Symmetric positive definite.
    cross : (m, d) C-contiguous float64 array
        Row i is the right-hand side of output i.
    start : (m + 1,) int64 array
        Where the support of each output begins in ``index``.
    index : (nnz,) int64 array
        Inputs in the supports, ascending for each output.
    first, last : int
        Outputs to solve for; different ranges can run in different threads.
    out : (nnz,) float64 array
        Weights, in the order of ``index``.

    Returns
    -------
    int
        Number of unknowns that were lost in rounding and set to zero.
    """
    widest = 0
    for i in range(first, last):
        widest = max(widest, start[i + 1] - start[i])
    a = np.empty((widest, widest))
    b = np.empty(widest)
    n_lost = 0
    for i in range(first, last):
        lo = start[i]
        s = start[i + 1] - lo
        n_lost += _factor(gram, index, lo, s, a)
        for r in range(s):
            b[r] = cross[i, index[lo + r]]
        _solve(a, b, s)
        for r in range(s):
            out[lo + r] = b[r]
    return n_lost


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _subtract(
    row: NDArray[np.floating],
    factors: NDArray[np.floating],
    column: int,
    a: NDArray[np.floating],
    lo: int,
    hi: int,
    first: int,
    last: int,
) -> None:
    """Subtract ``factors[k, column] * a[k]`` for k = lo .. hi - 1 from ``row``, in columns
    ``first`` .. ``last - 1``; eight at a time, so that ``row`` is read and written once for them.
    """
    k = lo
    while k + 8 <= hi:
        x0, x1 = factors[k, column], factors[k + 1, column]
        x2, x3 = factors[k + 2, column], factors[k + 3, column]
        x4, x5 = factors[k + 4, column], factors[k + 5, column]
        x6, x7 = factors[k + 6, column], factors[k + 7, column]
        a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
        a4, a5, a6, a7 = a[k + 4], a[k + 5], a[k + 6], a[k + 7]
        for c in range(first, last):
            row[c] -= (x0 * a0[c] + x1 * a1[c] + x2 * a2[c] + x3 * a3[c]) + (
                x4 * a4[c] + x5 * a5[c] + x6 * a6[c] + x7 * a7[c]
            )
        k += 8
    while k < hi:
        x0 = factors[k, column]
        a0 = a[k]
        for c in range(first, last):
            row[c] -= x0 * a0[c]
        k += 1


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def masked_inverses(
    gram: NDArray[np.floating],
    start: NDArray[np.int64],
    index: NDArray[np.int64],
    offset: NDArray[np.int64],
    first: int,
    last: int,
    out: NDArray[np.float32],
) -> None:
    r"""Write the inverse of every ``gram[S_i, S_i]`` for the outputs ``first`` .. ``last - 1``.

    With the Cholesky factor :math:`U'U` and :math:`Y = U^{-T}` the inverse is :math:`Y'Y`. All
    three run along rows, in the type of ``gram``. Cost: s^3 flops for a support of s inputs.

    Parameters
    ----------
    gram : (d, d) C-contiguous array
        Symmetric positive definite, well enough so for its type: no pivot may be lost.
    start, index, first, last
        As in :func:`masked_refit`.
    offset : (m + 1,) int64 array
        Where the inverse of each output begins in ``out``; it takes s_i (s_i + 1) / 2 places.
    out : (sum s_i (s_i + 1) / 2,) float32 array
        The lower triangles of the inverses by rows, one after another.
    """
    widest = 0
    top = first - first  # where a literal 0 is passed on, Numba compiles for it by itself
    for i in range(first, last):
        widest = max(widest, start[i + 1] - start[i])
    u = np.empty((widest, widest), gram.dtype)
    y = np.empty((widest, widest), gram.dtype)
    total = np.empty(widest, gram.dtype)
    for i in range(first, last):
        lo = start[i]
        s = start[i + 1] - lo
        for r in range(s):
            row = u[r]
            for c in range(r, s):
                row[c] = gram[index[lo + r], index[lo + c]]
            _subtract(row, u, r, u, top, r, r, s)
            root = np.sqrt(row[r])
            scale = 1 / root if root != 0 else gram.dtype.type(np.inf)  # seen in the result
            for c in range(r, s):
                row[c] *= scale
            # Eight rows are read together, the last of them longer than the first.
            solved = y[r]
            for c in range(s):
                solved[c] = 0
            _subtract(solved, u, r, y, top, r, top, r)
            for c in range(r):
                solved[c] *= scale
            solved[r] = scale
        base = offset[i]
        for r in range(s):
            for c in range(r + 1):
                total[c] = 0
            _subtract(total, y, r, y, r, s, top, r + 1)
            for c in range(r + 1):
                out[base + c] = -total[c]
            base += r + 1
