r"""Codes and levels of quantised weights in the metric of the data.

For every output i with support S the error is :math:`h_i (w - t)^T G_{SS} (w - t)`, with
:math:`w = s_i \, c_{codes}`, t the best weights without quantisation, c the levels that all outputs
share and s_i a scale.

* :func:`nearest_plane` encodes one weight after the other, each time correcting the rest for the
  error made, as GPTQ does (Frantar et al., arXiv 2210.17323). With G = R'R that is Babai's
  nearest-plane algorithm, which needs no inverse.
* :func:`descend` then improves single codes as long as that helps.
* :func:`normal_equations` gives the least-squares problem for the levels, the codes given.

Weights come as lists: output i owns ``index[start[i]:start[i + 1]]``, its inputs in ascending
order, and the same places of ``target`` and ``codes``. Different ranges of outputs can run in
different threads.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

FASTMATH = {"reassoc", "contract"}

LOST = 1e-13
"""A pivot below this share of its diagonal entry has no correct digit left."""


@njit(cache=True, nogil=True)
def _nearest(levels: NDArray[np.float64], value: float) -> int:
    """Return the place of the level nearest to ``value``; levels ascend."""
    lo = 0
    hi = levels.size - 1
    while lo < hi:
        mid = (lo + hi) // 2
        if value - levels[mid] > levels[mid + 1] - value:
            lo = mid + 1
        else:
            hi = mid
    return lo


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _factor(gram: NDArray[np.float64], own: NDArray[np.int64], upper: NDArray[np.float64]) -> None:
    """Write R, upper triangular with R'R = gram[own, own], into ``upper``."""
    s = own.size
    for j in range(s):
        for k in range(j, s):
            upper[j, k] = gram[own[j], own[k]]
    for j in range(s):
        row = upper[j]
        if not row[j] > LOST * gram[own[j], own[j]]:
            # Determined by the inputs before it: alone it decides nothing.
            for k in range(j, s):
                row[k] = 0.0
            row[j] = np.sqrt(gram[own[j], own[j]]) if gram[own[j], own[j]] > 0 else 1.0
            continue
        pivot = np.sqrt(row[j])
        for k in range(j, s):
            row[k] /= pivot
        for r in range(j + 1, s):
            x = row[r]
            below = upper[r]
            for k in range(r, s):
                below[k] -= x * row[k]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def nearest_plane(
    gram: NDArray[np.float64],
    factor: NDArray[np.float64],
    start: NDArray[np.int64],
    index: NDArray[np.int64],
    target: NDArray[np.float64],
    levels: NDArray[np.float64],
    scale: NDArray[np.float64],
    first: int,
    last: int,
    scratch: NDArray[np.float64],
    error: NDArray[np.float64],
    codes: NDArray[np.int64],
) -> None:
    """Encode the outputs ``first`` .. ``last - 1``, each error fed back to the weights that follow.

    Parameters
    ----------
    gram : (d, d) C-contiguous float64 array
        Symmetric positive definite.
    factor : (d, d) C-contiguous float64 array
        Upper triangular R with R'R = gram, used for outputs whose support is everything.
    start, index, target
        Supports and best weights.
    levels : (k,) float64 array
        Ascending.
    scale : (m,) float64 array
        Positive factor of each output; where it is zero all codes are the first.
    first, last : int
        Outputs to encode. Cost: s^2 flops for a support of everything, s^3 / 3 for others.
    scratch : (w, w) float64 array
        Overwritten; w is at least the size of the largest support that is not everything.
    error : (d,) float64 array
        Overwritten.
    codes : (nnz,) int64 array
        Overwritten.
    """
    d = gram.shape[0]
    for i in range(first, last):
        lo = start[i]
        s = start[i + 1] - lo
        upper = factor
        if s < d:
            upper = scratch
            _factor(gram, index[lo : lo + s], upper)
        for j in range(s - 1, -1, -1):
            row = upper[j]
            feedback = 0.0
            for k in range(j + 1, s):
                feedback += row[k] * error[k]
            centre = target[lo + j]
            if row[j] != 0.0:
                centre += feedback / row[j]
            code = 0
            if scale[i] > 0:
                code = _nearest(levels, centre / scale[i])
            codes[lo + j] = code
            error[j] = target[lo + j] - scale[i] * levels[code]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def descend(
    gram: NDArray[np.float64],
    start: NDArray[np.int64],
    index: NDArray[np.int64],
    target: NDArray[np.float64],
    levels: NDArray[np.float64],
    scale: NDArray[np.float64],
    n_sweeps: int,
    first: int,
    last: int,
    slope: NDArray[np.float64],
    codes: NDArray[np.int64],
) -> float:
    """Change one code at a time to the best one, the others given; return the sum of errors.

    Parameters
    ----------
    gram, start, index, target, levels, scale, first, last
        As in :func:`nearest_plane`.
    n_sweeps : int
        Bound of the sweeps over an output's weights. A weight that changes costs 2 s flops.
    slope : (d,) float64 array
        Overwritten.
    codes : (nnz,) int64 array
        Updated; the error never rises. An output's error is not weighted with h_i.
    """
    total = 0.0
    for i in range(first, last):
        lo = start[i]
        s = start[i + 1] - lo
        for k in range(s):
            slope[k] = 0.0
        error = 0.0
        own = index[lo : lo + s]
        for j in range(s):
            miss = scale[i] * levels[codes[lo + j]] - target[lo + j]
            if miss != 0.0:
                row = gram[own[j]]
                for k in range(s):
                    slope[k] += miss * row[own[k]]
        for j in range(s):
            error += slope[j] * (scale[i] * levels[codes[lo + j]] - target[lo + j])
        n_left = n_sweeps if scale[i] > 0 else 0
        while n_left > 0:
            n_left -= 1
            n_changed = 0
            for j in range(s):
                row = gram[own[j]]
                curvature = row[own[j]]
                if not curvature > 0:
                    continue
                old = scale[i] * levels[codes[lo + j]]
                code = _nearest(levels, (old - slope[j] / curvature) / scale[i])
                change = scale[i] * levels[code] - old
                if code == codes[lo + j] or change == 0.0:
                    continue
                gain = change * (2.0 * slope[j] + change * curvature)
                if gain >= 0.0:
                    continue
                error += gain
                codes[lo + j] = code
                n_changed += 1
                for k in range(s):
                    slope[k] += change * row[own[k]]
            if n_changed == 0:
                break
        total += error
    return total


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def normal_equations(
    gram: NDArray[np.float64],
    start: NDArray[np.int64],
    index: NDArray[np.int64],
    target: NDArray[np.float64],
    codes: NDArray[np.int64],
    first: int,
    last: int,
    system: NDArray[np.float64],
    rhs: NDArray[np.float64],
) -> None:
    """Write, for every output, the quadratic in the levels that its error is.

    The error of output i is c' A_i c - 2 c' b_i plus a constant, for scale and h of one.

    Parameters
    ----------
    gram, start, index, target, codes, first, last
        As in :func:`descend`.
    system : (m, k, k) float64 array
        A_i, overwritten.
    rhs : (m, k) float64 array
        b_i, overwritten. Cost: s^2 additions for a support of s weights.
    """
    for i in range(first, last):
        lo = start[i]
        end = start[i + 1]
        for own in range(rhs.shape[1]):
            rhs[i, own] = 0.0
            for c in range(rhs.shape[1]):
                system[i, own, c] = 0.0
        for j in range(lo, end):
            row = index[j]
            own = codes[j]
            wanted = 0.0
            for k in range(lo, end):
                g = gram[row, index[k]]
                system[i, own, codes[k]] += g
                wanted += g * target[k]
            rhs[i, own] += wanted
