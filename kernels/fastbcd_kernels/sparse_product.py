"""Layers with sparse or dense weights, for one row and for blocks of rows: sigma(v W s + b).

A non-zero is either stored itself or named by a code; a code costs one look-up in a small table.
For one row the non-zeros lie row by row, so that inputs of zero are skipped, as ReLU and images
have them. A block of samples is held transposed, ``BLOCK`` samples next to each other, and the
non-zeros lie column by column: each meets a whole block in vector registers, four share a sum.

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


@njit(cache=True, nogil=True)
def _finish_row(
    out: NDArray[np.floating],
    scale: NDArray[np.floating],
    bias: NDArray[np.floating],
    slope: np.floating,
) -> None:
    """Replace a row by sigma(out * scale + bias); no scale means ones."""
    scaled = scale.size > 0
    for j in range(out.size):
        u = (out[j] * scale[j] if scaled else out[j]) + bias[j]
        below = slope * u
        if u <= 0 and slope == 0:  # 0 * -inf would be NaN; a NaN itself passes through
            below = slope
        out[j] = u if u > 0 else below


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _add_sparse_row(
    x: NDArray[np.floating],
    values: NDArray[np.floating],
    codes: NDArray[np.unsignedinteger],
    columns: NDArray[np.unsignedinteger],
    starts: NDArray[np.uint64],
    out: NDArray[np.floating],
) -> None:
    """Write x W into ``out``."""
    out[:] = 0
    coded = codes.size > 0
    for i in range(x.size):
        own = x[i]
        if own != 0:
            for p in range(starts[i], starts[i + 1]):
                value = values[np.uint64(codes[p])] if coded else values[p]
                out[np.uint64(columns[p])] += own * value


@njit(cache=True, nogil=True)
def sparse_row(
    x: NDArray[np.floating],
    values: NDArray[np.floating],
    codes: NDArray[np.unsignedinteger],
    columns: NDArray[np.unsignedinteger],
    starts: NDArray[np.uint64],
    scale: NDArray[np.floating],
    bias: NDArray[np.floating],
    slope: float,
    out: NDArray[np.floating],
) -> None:
    """Write sigma(x W scale + bias) into ``out`` for a sparse W, skipping inputs of zero.

    Parameters
    ----------
    x : (n_in,) array
        One sample.
    values : (nnz,) or (levels,) array
        The non-zeros row by row, or the codebook if there are codes.
    codes : (nnz,) or (0,) array
        Which value of the codebook each non-zero takes.
    columns : (nnz,) array
        Columns of the non-zeros.
    starts : (n_in + 1,) array
        Where the non-zeros of each row start.
    scale : (n_out,) or (0,) array
        Factor of each column.
    bias : (n_out,) array
        Intercepts.
    slope : float
        Slope of the activation for negative arguments: 0 is ReLU, 1 the identity.
    out : (n_out,) array
        Result.
    """
    _add_sparse_row(x, values, codes, columns, starts, out)
    _finish_row(out, scale, bias, x.dtype.type(slope))


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _add_dense_row(
    x: NDArray[np.floating],
    weight: NDArray[np.floating],
    places: NDArray[np.uint64],
    out: NDArray[np.floating],
) -> None:
    """Write x W into ``out``, four rows of W at a time."""
    out[:] = 0
    n_out = out.size
    n = 0
    for i in range(x.size):
        places[n] = i
        n += x[i] != 0
    q = 0
    while q + 4 <= n:
        a, b, c, d = places[q], places[q + 1], places[q + 2], places[q + 3]
        xa, xb, xc, xd = x[a], x[b], x[c], x[d]
        wa, wb, wc, wd = weight[a], weight[b], weight[c], weight[d]
        for j in range(n_out):
            out[j] += (xa * wa[j] + xb * wb[j]) + (xc * wc[j] + xd * wd[j])
        q += 4
    while q < n:
        own, row = x[places[q]], weight[places[q]]
        for j in range(n_out):
            out[j] += own * row[j]
        q += 1


@njit(cache=True, nogil=True)
def dense_row(
    x: NDArray[np.floating],
    weight: NDArray[np.floating],
    bias: NDArray[np.floating],
    slope: float,
    places: NDArray[np.uint64],
    out: NDArray[np.floating],
) -> None:
    """Write sigma(x W + bias) into ``out`` for a dense W, skipping inputs of zero.

    Parameters
    ----------
    x : (n_in,) array
        One sample.
    weight : (n_in, n_out) C-contiguous array
        The weights.
    bias : (n_out,) or (0,) array
        Intercepts; with none, ``out`` is x W.
    slope : float
        As in :func:`sparse_row`.
    places : (n_in + 1,) array
        Work space.
    out : (n_out,) array
        Result.
    """
    _add_dense_row(x, weight, places, out)
    if bias.size > 0:
        _finish_row(out, bias[:0], bias, x.dtype.type(slope))


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _add_sparse_block(
    xt: NDArray[np.floating],
    values: NDArray[np.floating],
    codes: NDArray[np.unsignedinteger],
    rows: NDArray[np.unsignedinteger],
    starts: NDArray[np.uint64],
    out: NDArray[np.floating],
) -> None:
    """Write W' X' into ``out``, both flat."""
    coded = codes.size > 0
    width, one, two, three, four = (
        np.uint64(BLOCK),
        np.uint64(1),
        np.uint64(2),
        np.uint64(3),
        np.uint64(4),
    )
    out[:] = 0
    for j in range(starts.size - 1):
        at = np.uint64(j) * width
        p, end = starts[j], starts[j + 1]
        while p + four <= end:
            if coded:
                a, b = values[np.uint64(codes[p])], values[np.uint64(codes[p + one])]
                c, d = values[np.uint64(codes[p + two])], values[np.uint64(codes[p + three])]
            else:
                a, b, c, d = values[p], values[p + one], values[p + two], values[p + three]
            ra, rb = np.uint64(rows[p]) * width, np.uint64(rows[p + one]) * width
            rc, rd = np.uint64(rows[p + two]) * width, np.uint64(rows[p + three]) * width
            for k in range(BLOCK):
                s = np.uint64(k)
                out[at + s] += (a * xt[ra + s] + b * xt[rb + s]) + (c * xt[rc + s] + d * xt[rd + s])
            p += four
        while p < end:
            a = values[np.uint64(codes[p])] if coded else values[p]
            ra = np.uint64(rows[p]) * width
            for k in range(BLOCK):
                s = np.uint64(k)
                out[at + s] += a * xt[ra + s]
            p += one


@njit(cache=True, nogil=True)
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
        As in :func:`sparse_row`.
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


@njit(cache=True, nogil=True)
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
    """Do what :func:`sparse_row` does for a transposed block of samples.

    Parameters
    ----------
    xt : (n_in, BLOCK) array
        The samples as columns.
    values, codes : arrays
        As in :func:`sparse_row`, but column by column.
    rows : (nnz,) array
        Rows of the non-zeros.
    starts : (n_out + 1,) array
        Where the non-zeros of each column start.
    scale, bias, slope
        As in :func:`sparse_row`.
    out : (n_out, BLOCK) array
        Result.
    """
    _add_sparse_block(xt.reshape(-1), values, codes, rows, starts, out.reshape(-1))
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
