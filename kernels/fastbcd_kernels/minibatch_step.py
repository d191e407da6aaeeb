r"""The elementwise work of a mini-batch step on the rows of its batch, each piece in one pass.

The large products of a step are left to BLAS. Between them every array is read once: the mask of
an activation and the column means of what is left are one pass. What is done to the weights is in
:mod:`fastbcd_kernels.minibatch_weights`.

All arrays are C-contiguous and of one type, float32 or float64; results go into arrays of the
caller.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Reassociation lets sums vectorise. NaN and inf keep their meaning: divergence must be seen.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def gather_rows(
    source: NDArray[np.floating],
    rows: NDArray[np.integer],
    noise: NDArray[np.floating],
    start: int,
    scale: float,
    out: NDArray[np.floating],
) -> None:
    """Write ``source[rows] + scale * noise`` into ``out``.

    Parameters
    ----------
    source : (n, d) array
        Rows to choose from.
    rows : (m,) integer array
        The chosen ones.
    noise : (p,) array
        Standard normal numbers, read in turn from ``start``; ``p >= start + m * d``, or anything
        if ``scale`` is zero.
    start : int
        See ``noise``.
    scale : float
        Standard deviation of what is added.
    out : (m, d) array
        Overwritten.
    """
    m, d = out.shape
    s = out.dtype.type(scale)
    for i in range(m):
        row = rows[i]
        if scale > 0:
            offset = start + i * d
            for j in range(d):
                out[i, j] = source[row, j] + s * noise[offset + j]
        else:
            for j in range(d):
                out[i, j] = source[row, j]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def add_noise(z: NDArray[np.floating], noise: NDArray[np.floating], start: int, s: float) -> None:
    """Add ``s * noise[start:]`` to ``z`` (m, d), in place."""
    m, d = z.shape
    factor = z.dtype.type(s)
    for i in range(m):
        offset = start + i * d
        for j in range(d):
            z[i, j] += factor * noise[offset + j]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def add_spread(
    x: NDArray[np.floating],
    scale: float,
    first: int,
    second: int,
    noise: NDArray[np.floating],
    start: int,
    floor: NDArray[np.floating],
    out: NDArray[np.floating],
) -> None:
    """Write into ``out`` the rows of ``x`` with noise of the data's own covariance, and a floor.

    ``out_i = x_i + scale * ((x_j - x_k) / sqrt(2) + floor * noise)``, where rows j and k come
    ``first`` and ``second`` places after row i, counted cyclically.

    Parameters
    ----------
    x, out : (m, d) arrays
        Centred rows, and what is overwritten.
    scale, first, second
        See above.
    noise : (p,) array
        Standard normal numbers, read from ``start``; ``p >= start + m * d``.
    floor : (d,) array
        Standard deviations that are added in any case.
    """
    m, d = x.shape
    s = x.dtype.type(scale)
    half = x.dtype.type(scale * np.sqrt(0.5))
    for i in range(m):
        a = (i + first) % m
        b = (i + second) % m
        offset = start + i * d
        for j in range(d):
            more = half * (x[a, j] - x[b, j]) + s * floor[j] * noise[offset + j]
            out[i, j] = x[i, j] + more


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def center_rows(
    x: NDArray[np.floating],
    center: NDArray[np.floating],
    scale: NDArray[np.floating],
    bound: float,
) -> None:
    """Subtract ``center`` from each row of ``x`` and draw outlying rows in, in place.

    Parameters
    ----------
    x : (n, d) array
        Overwritten.
    center : (d,) array
        Subtracted.
    scale : (d,) array
        Unit of each feature, for the length of a row.
    bound : float
        A centred row whose root mean square in those units exceeds ``bound`` is shortened to it.
    """
    n, d = x.shape
    limit = bound * bound * d
    zero = x.dtype.type(0)
    for i in range(n):
        square = 0.0
        for j in range(d):
            x[i, j] -= center[j]
            unit: Any = x[i, j] / scale[j] if scale[j] > 0 else zero  # without a branch: vectorises
            square += unit * unit
        if square > limit:
            factor = x.dtype.type(np.sqrt(limit / square))
            for j in range(d):
                x[i, j] *= factor


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def mask_piecewise_linear(
    d: NDArray[np.floating], v: NDArray[np.floating], slope: float, mean: NDArray[np.floating]
) -> None:
    """Multiply ``d`` by sigma'(u), given v = sigma(u) = max(u, 0) + slope * min(u, 0), in place.

    Parameters
    ----------
    d, v : (n, m) arrays
        Wanted changes of the activations (overwritten by those of the pre-activations), and
        the activations.
    slope : float
        Slope of the negative piece, not negative.
    mean : (m,) array
        Overwritten by the column means of the result.
    """
    n, m = d.shape
    s = d.dtype.type(slope)
    for j in range(m):
        mean[j] = 0
    for i in range(n):
        for j in range(m):
            e = d[i, j] if v[i, j] > 0 else s * d[i, j]
            d[i, j] = e
            mean[j] += e
    for j in range(m):
        mean[j] /= max(n, 1)


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def mask_hard_tanh(
    d: NDArray[np.floating], v: NDArray[np.floating], mean: NDArray[np.floating]
) -> None:
    """Set ``d`` to zero where v = min(max(u, -1), 1) is at a bound; ``mean`` as above."""
    n, m = d.shape
    for j in range(m):
        mean[j] = 0
    for i in range(n):
        for j in range(m):
            e = d[i, j] if abs(v[i, j]) < 1 else d.dtype.type(0)
            d[i, j] = e
            mean[j] += e
    for j in range(m):
        mean[j] /= max(n, 1)


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def running_mean(
    v: NDArray[np.floating],
    weight: NDArray[np.floating],
    share: float,
    mean: NDArray[np.floating],
) -> float:
    """Move the running weighted mean of rows towards that of a batch, in place.

    Parameters
    ----------
    v : (n, m) array
        The batch.
    weight : (n,) array
        Sample weights relative to their mean over all data.
    share : float
        How much a batch of mean weight one counts.
    mean : (m,) array
        Overwritten by ``(1 - share * w) * mean + share / n * sum_i weight_i v_i``, where w is
        the mean weight of the batch: a batch without weight changes nothing.

    Returns
    -------
    float
        ``1 - share * w``, the factor of the old mean.
    """
    n, m = v.shape
    total = 0.0
    for i in range(n):
        total += float(weight[i])
    keep = max(1.0 - share * total / max(n, 1), 0.0)
    factor = mean.dtype.type(keep)
    for j in range(m):
        mean[j] *= factor
    for i in range(n):
        s = mean.dtype.type((1.0 - keep) * weight[i] / max(total, 1e-300))
        for j in range(m):
            mean[j] += s * v[i, j]
    return float(keep)
