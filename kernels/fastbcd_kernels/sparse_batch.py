r"""Products of a sparse layer with a batch, forward, backward and for the gradient.

A batch lies in columns: row j of ``v`` (d, b) is input j of all samples. Every non-zero weight
then multiplies one contiguous row, which vectorises whatever the support looks like, and a layer
of 5 % density costs 5 % of the dense product and more of its speed is kept.

Weights come as lists: output i owns ``index[start[i]:start[i + 1]]``, its inputs in ascending
order, and the same places of ``values``. Four inputs are taken at a time, so that the
output's row is read and written once for the four.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

FASTMATH = {"reassoc", "contract"}

TILE = 16
"""Samples that are transposed together: their places in an output row fill a cache line."""


@njit(cache=True, nogil=True)
def gather(
    x: NDArray[np.floating],
    rows: NDArray[np.integer],
    inputs: NDArray[np.integer],
    noise: NDArray[np.uint8],
    dropped: int,
    first: int,
    last: int,
    out: NDArray[np.float32],
) -> None:
    """Write the chosen samples and inputs as columns, some entries set to zero.

    Parameters
    ----------
    x : (n, d) array
        Samples.
    rows, inputs : integer arrays
        Which samples, and which of their inputs.
    noise : (rows.size * d,) uint8 array
        Random bytes; unused where ``dropped`` is zero.
    dropped : int
        Entries whose byte is below this become zero; the others are scaled by
        256 / (256 - dropped), which keeps the mean.
    first, last : int
        The samples ``rows[first:last]`` are written; different ranges can run in different threads.
    out : (d, b) float32 array
        Only the rows ``inputs`` are written, at their own places.
    """
    d = x.shape[1]
    scale = np.float32(256.0 / (256 - dropped))
    zero = np.float32(0.0)
    tile = np.empty((TILE, d), np.float32)
    for lo in range(first, last, TILE):
        width = min(TILE, last - lo)
        # Whole samples, wanted inputs or not: that vectorises.
        for c in range(width):
            source = x[rows[lo + c]]
            if dropped > 0:
                own = noise[(lo + c) * d : (lo + c + 1) * d]
                for j in range(d):
                    scaled = scale * np.float32(source[j])
                    tile[c, j] = zero if own[j] < dropped else scaled
            else:
                for j in range(d):
                    tile[c, j] = source[j]
        if width == TILE:
            for j in inputs:
                for c in range(TILE):
                    out[j, lo + c] = tile[c, j]
        else:
            for j in inputs:
                for c in range(width):
                    out[j, lo + c] = tile[c, j]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def forward(
    start: NDArray[np.int64],
    index: NDArray[np.int64],
    values: NDArray[np.float32],
    intercept: NDArray[np.float32],
    v: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Write W' v + intercept into ``out``.

    Parameters
    ----------
    start : (m + 1,) int64 array
        Where the support of each output begins.
    index, values : (nnz,) arrays
        Inputs and weights.
    intercept : (m,) float32 array
        Added to each row.
    v : (d, b) C-contiguous float32 array
        Inputs. Cost: 2 nnz b flops.
    out : (m, b) C-contiguous float32 array
        Overwritten.
    """
    b = v.shape[1]
    for i in range(start.size - 1):
        row = out[i]
        for c in range(b):
            row[c] = intercept[i]
        r = start[i]
        end = start[i + 1]
        while r + 4 <= end:
            v0 = v[index[r]]
            v1 = v[index[r + 1]]
            v2 = v[index[r + 2]]
            v3 = v[index[r + 3]]
            w0 = values[r]
            w1 = values[r + 1]
            w2 = values[r + 2]
            w3 = values[r + 3]
            for c in range(b):
                row[c] += w0 * v0[c] + w1 * v1[c] + w2 * v2[c] + w3 * v3[c]
            r += 4
        while r < end:
            v0 = v[index[r]]
            w0 = values[r]
            for c in range(b):
                row[c] += w0 * v0[c]
            r += 1


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def backward(
    start: NDArray[np.int64],
    index: NDArray[np.int64],
    values: NDArray[np.float32],
    pull: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Write W ``pull`` into ``out`` (d, b): what the inputs are pulled by, for ``pull`` (m, b)."""
    d, b = out.shape
    for j in range(d):
        for c in range(b):
            out[j, c] = 0
    for i in range(start.size - 1):
        p = pull[i]
        for r in range(start[i], start[i + 1]):
            row = out[index[r]]
            w = values[r]
            for c in range(b):
                row[c] += w * p[c]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def gradient(
    start: NDArray[np.int64],
    index: NDArray[np.int64],
    v: NDArray[np.float32],
    pull: NDArray[np.float32],
    mean: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Write the centred products of inputs and pulls on the support, averaged over the batch.

    Parameters
    ----------
    start, index
        The supports.
    v, pull : (d, b) and (m, b) C-contiguous float32 arrays
        Inputs, and wanted changes of the outputs.
    mean : (d,) float32 array
        What the inputs are measured from.
    out : (nnz,) float32 array
        (v_j - mean_j) . pull_i / b for every pair of the support.
    """
    b = v.shape[1]
    share = np.float32(1.0 / b)
    for i in range(start.size - 1):
        p = pull[i]
        total = np.float32(0.0)
        for c in range(b):
            total += p[c]
        r = start[i]
        end = start[i + 1]
        while r + 4 <= end:
            v0 = v[index[r]]
            v1 = v[index[r + 1]]
            v2 = v[index[r + 2]]
            v3 = v[index[r + 3]]
            t0 = np.float32(0.0)
            t1 = np.float32(0.0)
            t2 = np.float32(0.0)
            t3 = np.float32(0.0)
            for c in range(b):
                t0 += v0[c] * p[c]
                t1 += v1[c] * p[c]
                t2 += v2[c] * p[c]
                t3 += v3[c] * p[c]
            out[r] = share * (t0 - mean[index[r]] * total)
            out[r + 1] = share * (t1 - mean[index[r + 1]] * total)
            out[r + 2] = share * (t2 - mean[index[r + 2]] * total)
            out[r + 3] = share * (t3 - mean[index[r + 3]] * total)
            r += 4
        while r < end:
            v0 = v[index[r]]
            t0 = np.float32(0.0)
            for c in range(b):
                t0 += v0[c] * p[c]
            out[r] = share * (t0 - mean[index[r]] * total)
            r += 1


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def step(
    gradient: NDArray[np.float32],
    start: NDArray[np.int64],
    index: NDArray[np.int64],
    offset: NDArray[np.int64],
    inverses: NDArray[np.float32],
    mean: NDArray[np.float32],
    momentum: float,
    rate: float,
    decay: float,
    velocity: NDArray[np.float32],
    values: NDArray[np.float32],
    intercept: NDArray[np.float32],
) -> None:
    r"""Move the weights of every output towards the minimiser on its support.

    .. math:: m_i \leftarrow \mu m_i + G_{S_i S_i}^{-1} g_i, \qquad
              w_i \leftarrow w_i + \eta (m_i - \lambda w_i)

    The intercepts move so that the outputs at the mean of the inputs stay.

    Parameters
    ----------
    gradient : (nnz,) float32 array
        g, from :func:`gradient`.
    start, index : int64 arrays
        The supports.
    offset : (m + 1,) int64 array
        Where the inverse of each output begins; it takes s_i (s_i + 1) / 2 places.
    inverses : (sum s_i (s_i + 1) / 2,) float32 array
        The lower triangles of the inverses by rows, one after another. They are most of what is
        read here, and every number is used twice.
    mean : (d,) float32 array
        Mean of the inputs.
    momentum, rate, decay : float
        :math:`\mu, \eta, \lambda`.
    velocity, values : (nnz,) float32 arrays
        m and w, updated.
    intercept : (m,) float32 array
        Updated.
    """
    mu = np.float32(momentum)
    eta = np.float32(rate)
    lam = np.float32(decay)
    for i in range(start.size - 1):
        lo = start[i]
        s = start[i + 1] - lo
        g = gradient[lo : lo + s]
        m = velocity[lo : lo + s]
        for r in range(s):
            m[r] *= mu
        base = offset[i]
        for r in range(s):
            row = inverses[base : base + r + 1]
            base += r + 1
            t = np.float32(0.0)
            x = g[r]
            for q in range(r):
                t += row[q] * g[q]
                m[q] += row[q] * x
            m[r] += t + row[r] * x
        shift = np.float32(0.0)
        for r in range(s):
            change = eta * (m[r] - lam * values[lo + r])
            values[lo + r] += change
            shift += mean[index[lo + r]] * change
        intercept[i] -= shift
