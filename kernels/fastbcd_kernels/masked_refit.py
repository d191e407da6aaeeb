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

LOST = 1e-13
"""A pivot below this share of its diagonal entry has no correct digit left."""


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _factor(a: NDArray[np.float64], s: int) -> int:
    """Overwrite the lower triangle of ``a[:s, :s]`` with its Cholesky factor.

    Returns the number of pivots that were lost; their rows and columns become those of the
    identity, scaled so that the solution is zero there (see :func:`_solve`).
    """
    n_lost = 0
    i = 0
    while i < s:
        rows = min(4, s - i)
        if rows == 4:
            for j in range(i):
                s0 = a[i, j]
                s1 = a[i + 1, j]
                s2 = a[i + 2, j]
                s3 = a[i + 3, j]
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
                a[i, j] = (s0 - t0) / pivot
                a[i + 1, j] = (s1 - t1) / pivot
                a[i + 2, j] = (s2 - t2) / pivot
                a[i + 3, j] = (s3 - t3) / pivot
        else:
            for r in range(i, i + rows):
                for j in range(i):
                    t = 0.0
                    for q in range(j):
                        t += a[r, q] * a[j, q]
                    a[r, j] = (a[r, j] - t) / a[j, j]
        for r in range(i, i + rows):
            for j in range(i, r):
                t = 0.0
                for q in range(j):
                    t += a[r, q] * a[j, q]
                a[r, j] = (a[r, j] - t) / a[j, j]
            t = 0.0
            for q in range(r):
                t += a[r, q] * a[r, q]
            pivot = a[r, r] - t
            if pivot > LOST * a[r, r]:
                a[r, r] = np.sqrt(pivot)
            else:
                a[r, r] = np.inf
                n_lost += 1
        i += rows
    return n_lost


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
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
        for r in range(s):
            row = index[lo + r]
            b[r] = cross[i, row]
            for c in range(r + 1):
                a[r, c] = gram[row, index[lo + c]]
        n_lost += _factor(a, s)
        _solve(a, b, s)
        for r in range(s):
            out[lo + r] = b[r]
    return n_lost


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def masked_inverses(
    gram: NDArray[np.float64],
    start: NDArray[np.int64],
    index: NDArray[np.int64],
    offset: NDArray[np.int64],
    first: int,
    last: int,
    out: NDArray[np.float32],
) -> None:
    """Write the inverse of every ``gram[S_i, S_i]`` for the outputs ``first`` .. ``last - 1``.

    Parameters
    ----------
    gram, start, index, first, last
        As in :func:`masked_refit`.
    offset : (m + 1,) int64 array
        Where the inverse of each output begins in ``out``; it takes s_i^2 places.
    out : (sum s_i^2,) float32 array
        The inverses, one after another.
    """
    widest = 0
    for i in range(first, last):
        widest = max(widest, start[i + 1] - start[i])
    a = np.empty((widest, widest))
    inv = np.zeros((widest, widest))
    for i in range(first, last):
        lo = start[i]
        s = start[i + 1] - lo
        for r in range(s):
            for c in range(r + 1):
                a[r, c] = gram[index[lo + r], index[lo + c]]
        _factor(a, s)
        # Column k of the inverse factor is kept as row k, so that all products run along rows.
        for k in range(s):
            inv[k, k] = 1.0 / a[k, k]
            for r in range(k + 1, s):
                t = 0.0
                for q in range(k, r):
                    t += a[r, q] * inv[k, q]
                inv[k, r] = -t / a[r, r]
        base = offset[i]
        for r in range(s):
            for c in range(r + 1):
                t = 0.0
                for q in range(r, s):
                    t += inv[r, q] * inv[c, q]
                out[base + r * s + c] = t
                out[base + c * s + r] = t


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def masked_step(
    gradient: NDArray[np.float32],
    start: NDArray[np.int64],
    index: NDArray[np.int64],
    offset: NDArray[np.int64],
    inverses: NDArray[np.float32],
    momentum: float,
    rate: float,
    decay: float,
    velocity: NDArray[np.float32],
    weight: NDArray[np.float32],
) -> None:
    r"""Move the weights of every output towards the minimiser on its support.

    .. math:: m_i \leftarrow \mu m_i + G_{S_i S_i}^{-1} g_{S_i i}, \qquad
              w_i \leftarrow w_i + \eta (m_i - \lambda w_i)

    Parameters
    ----------
    gradient : (d, m) C-contiguous float32 array
        Descent direction before the metric is applied, V' dU.
    start, index, offset, inverses
        As in :func:`masked_inverses`.
    momentum, rate, decay : float
        :math:`\mu, \eta, \lambda`.
    velocity : (nnz,) float32 array
        m, updated.
    weight : (d, m) C-contiguous float32 array
        Updated on the supports.
    """
    m = start.size - 1
    mu = np.float32(momentum)
    eta = np.float32(rate)
    lam = np.float32(decay)
    widest = 0
    for i in range(m):
        widest = max(widest, start[i + 1] - start[i])
    g = np.empty(widest, np.float32)
    for i in range(m):
        lo = start[i]
        s = start[i + 1] - lo
        for r in range(s):
            g[r] = gradient[index[lo + r], i]
        base = offset[i]
        for r in range(s):
            t = np.float32(0.0)
            for q in range(s):
                t += inverses[base + r * s + q] * g[q]
            v = mu * velocity[lo + r] + t
            velocity[lo + r] = v
            row = index[lo + r]
            weight[row, i] += eta * (v - lam * weight[row, i])
