"""One row through a chain of sparse and dense layers: sigma(v W s + b), layer after layer.

For one row a call from Python takes as long as a thousand products, so a whole network is one
call: the arrays of all layers lie one after another, and a table tells where each begins.

The places of the inputs that are not zero are listed first; after ReLU, and in images, that is the
smaller part. A non-zero weight is either stored itself or named by a code, which costs one look-up
in a small table; rows of a dense matrix are added up four at a time.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Reassociation lets the sums vectorise. NaN and inf keep their meaning.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def chain_row(
    x: NDArray[np.floating],
    first: int,
    table: NDArray[np.int64],
    slopes: NDArray[np.floating],
    values: NDArray[np.floating],
    codes: NDArray[np.unsignedinteger],
    places: NDArray[np.unsignedinteger],
    starts: NDArray[np.uint64],
    shifts: NDArray[np.floating],
    listed: NDArray[np.uint64],
    work: NDArray[np.floating],
    out: NDArray[np.floating],
) -> int:
    """Write the output of the layers ``first`` .. for their input ``x``, as far as they take it.

    Parameters
    ----------
    x : (n_in,) array
        Input of the layer ``first``.
    first : int
        Where to begin.
    table : (n_layers, 9) array
        For each layer: inputs; outputs; the most inputs other than zero that it takes; where its
        ``values`` begin, its ``codes`` (-1: it has none), its ``places``, its ``starts`` (-1: it is
        dense, row by row), its factors of the outputs (-1: ones) and its intercepts (-1: zeros)
        in ``shifts``.
    slopes : (n_layers,) array
        Slope of each activation for negative arguments: 0 is ReLU, 1 the identity.
    values : array
        The non-zeros row by row, the levels that codes refer to, or all entries.
    codes, places : arrays
        Which level each non-zero takes; its column.
    starts : array
        Where the places of each row of a layer begin, from zero, and the last ones end.
    shifts : array
        Factors and intercepts.
    listed : (max n_in + 1,) array
        Work space.
    work : (n_layers, max n_out) array
        Output of each layer but the last.
    out : (n_out,) array
        Output of the last layer.

    Returns
    -------
    int
        The layer whose input has too many entries that are not zero, or ``n_layers``.
    """
    n_layers: int = table.shape[0]
    zero = x.dtype.type(0)
    v = x
    for k in range(first, n_layers):
        n_in, n_out, most = table[k, 0], table[k, 1], table[k, 2]
        at_values, at_codes, at_places = table[k, 3], table[k, 4], table[k, 5]
        at_starts, at_factors, at_bias = table[k, 6], table[k, 7], table[k, 8]
        n = 0
        for i in range(n_in):
            listed[n] = i
            n += v[i] != zero
        if n > most:
            return k
        to = work[k, :n_out] if k < n_layers - 1 else out
        for j in range(n_out):
            to[j] = zero
        if at_starts >= 0:
            for q in range(n):
                i = listed[q]
                own = v[i]
                lo = starts[np.uint64(at_starts) + i]
                hi = starts[np.uint64(at_starts) + i + np.uint64(1)]
                column = np.uint64(at_places) + lo
                if at_codes >= 0:
                    code = np.uint64(at_codes) + lo
                    for _ in range(hi - lo):
                        level = np.uint64(at_values) + np.uint64(codes[code])
                        to[np.uint64(places[column])] += own * values[level]
                        code += np.uint64(1)
                        column += np.uint64(1)
                else:
                    value = np.uint64(at_values) + lo
                    for _ in range(hi - lo):
                        to[np.uint64(places[column])] += own * values[value]
                        value += np.uint64(1)
                        column += np.uint64(1)
        else:
            q = 0
            while q + 4 <= n:
                xa, xb, xc, xd = v[listed[q]], v[listed[q + 1]], v[listed[q + 2]], v[listed[q + 3]]
                a = at_values + np.int64(listed[q]) * n_out
                b = at_values + np.int64(listed[q + 1]) * n_out
                c = at_values + np.int64(listed[q + 2]) * n_out
                d = at_values + np.int64(listed[q + 3]) * n_out
                wa, wb = values[a : a + n_out], values[b : b + n_out]
                wc, wd = values[c : c + n_out], values[d : d + n_out]
                for j in range(n_out):
                    to[j] += (xa * wa[j] + xb * wb[j]) + (xc * wc[j] + xd * wd[j])
                q += 4
            while q < n:
                xa = v[listed[q]]
                a = at_values + np.int64(listed[q]) * n_out
                for j in range(n_out):
                    to[j] += xa * values[a + j]
                q += 1
        slope = slopes[k]
        for j in range(n_out):
            u = to[j] if at_factors < 0 else to[j] * shifts[at_factors + j]
            if at_bias >= 0:
                u += shifts[at_bias + j]
            below = slope * u
            if u <= zero and slope == zero:  # 0 * -inf would be NaN; a NaN itself passes through
                below = slope
            to[j] = u if u > zero else below
        v = to
    return n_layers
