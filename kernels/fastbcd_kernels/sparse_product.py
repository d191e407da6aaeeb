"""Layers with sparse weights for blocks of rows: sigma(v W s + b).

A non-zero is either stored itself or named by a code; a code costs one look-up in a small table.
A block of samples is held transposed, ``BLOCK`` samples next to each other, and the non-zeros lie
column by column: each meets a whole block in vector registers, four share a sum.

Indices are unsigned 64-bit throughout, which spares the test for negative ones. The piecewise
linear activation sigma(u) = max(u, 0) + slope min(u, 0) and the bias are part of the last pass.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Reassociation lets the sums vectorise. NaN and inf keep their meaning.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}

BLOCK = 64
"""Samples of a block."""


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def finish_block(
    out: NDArray[np.floating],
    scale: NDArray[np.floating],
    bias: NDArray[np.floating],
    slope: float,
) -> None:
    """Replace a transposed block by sigma(out * scale + bias), neuron by neuron.

    Parameters
    ----------
    out : (n_out, BLOCK) array
        Products of a layer, overwritten.
    scale : (n_out,) or (0,) array
        Factor of each neuron.
    bias : (n_out,) array
        Intercepts.
    slope : float
        Slope of the activation for negative arguments: 0 is ReLU, 1 the identity.
    """
    own_slope = out.dtype.type(slope)
    one = out.dtype.type(1)
    for j in range(out.shape[0]):
        factor = scale[j] if scale.size > 0 else one
        row = out[j]
        for s in range(row.size):
            u = row[s] * factor + bias[j]
            below = own_slope * u
            if u <= 0 and own_slope == 0:  # 0 * -inf would be NaN; a NaN itself passes through
                below = own_slope
            row[s] = u if u > 0 else below


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def sparse_block(
    xt: NDArray[np.floating],
    values: NDArray[np.floating],
    codes: NDArray[np.unsignedinteger],
    rows: NDArray[np.unsignedinteger],
    starts: NDArray[np.uint64],
    scale: NDArray[np.floating],
    bias: NDArray[np.floating],
    slope: float,
    out: NDArray[np.floating],
) -> None:
    """Write sigma(W' X' scale + bias) into ``out`` for a sparse W and a transposed block.

    Parameters
    ----------
    xt : (n_in, BLOCK) array
        The samples as columns.
    values : (nnz,) or (levels,) array
        The non-zeros column by column, or the codebook if there are codes.
    codes : (nnz,) or (0,) array
        Which value of the codebook each non-zero takes.
    rows : (nnz,) array
        Rows of the non-zeros.
    starts : (n_out + 1,) array
        Where the non-zeros of each column start.
    scale, bias, slope
        As in :func:`finish_block`.
    out : (n_out, BLOCK) array
        Result.
    """
    coded = codes.size > 0
    one, two = np.uint64(1), np.uint64(2)
    three, four = np.uint64(3), np.uint64(4)
    for j in range(out.shape[0]):
        row = out[j]
        for s in range(BLOCK):
            row[s] = 0
        p, end = starts[j], starts[j + 1]
        while p + four <= end:
            if coded:
                a, b = values[np.uint64(codes[p])], values[np.uint64(codes[p + one])]
                c, d = values[np.uint64(codes[p + two])], values[np.uint64(codes[p + three])]
            else:
                a, b, c, d = values[p], values[p + one], values[p + two], values[p + three]
            xa, xb = xt[np.uint64(rows[p])], xt[np.uint64(rows[p + one])]
            xc, xd = xt[np.uint64(rows[p + two])], xt[np.uint64(rows[p + three])]
            for s in range(BLOCK):
                row[s] += (a * xa[s] + b * xb[s]) + (c * xc[s] + d * xd[s])
            p += four
        while p < end:
            a = values[np.uint64(codes[p])] if coded else values[p]
            xa = xt[np.uint64(rows[p])]
            for s in range(BLOCK):
                row[s] += a * xa[s]
            p += one
    finish_block(out, scale, bias, slope)


@njit(cache=True, nogil=True)
def transpose_block(x: NDArray[np.floating], xt: NDArray[np.floating]) -> None:
    """Write up to ``BLOCK`` rows of ``x`` into the columns of ``xt``, zeros behind them.

    Parameters
    ----------
    x : (m, d) array, m <= BLOCK
        Samples.
    xt : (d, BLOCK) array
        Result.
    """
    m, d = x.shape
    for i in range(d):
        for s in range(m):
            xt[i, s] = x[s, i]
        for s in range(m, BLOCK):
            xt[i, s] = 0
