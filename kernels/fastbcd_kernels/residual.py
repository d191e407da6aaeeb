"""Weighted squared distances, column sums and the fused bias-and-activation of a forward pass."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Reassociation lets the row sums vectorise. NaN and inf keep their meaning.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def weighted_squared_distance(
    a: NDArray[np.floating], b: NDArray[np.floating], weight: NDArray[np.floating]
) -> float:
    """Return sum_i weight_i ||a_i - b_i||^2, rows summed in the type of ``a``, then in double.

    Parameters
    ----------
    a, b : (n, d) C-contiguous arrays
        Two arrays of one type.
    weight : (n,) array
        Row weights.
    """
    n, d = a.shape
    total = 0.0
    for i in range(n):
        row = a.dtype.type(0)
        for j in range(d):
            diff = a[i, j] - b[i, j]
            row += diff * diff
        total += weight[i] * row
    return total


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def column_sums(
    a: NDArray[np.floating], weight: NDArray[np.floating], out: NDArray[np.float64]
) -> None:
    """Write sum_i weight_i a_i into ``out``, summed in double.

    Parameters
    ----------
    a : (n, d) C-contiguous array
        The rows.
    weight : (n,) float64 array
        Row weights.
    out : (d,) float64 array
        Overwritten.
    """
    n, d = a.shape
    for j in range(d):
        out[j] = 0.0
    for i in range(n):
        for j in range(d):
            out[j] += weight[i] * a[i, j]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def add_bias_piecewise_linear(
    z: NDArray[np.floating], bias: NDArray[np.floating], slope: float
) -> None:
    """Replace ``z`` in place by sigma(z + bias), sigma(u) = max(u, 0) + slope * min(u, 0).

    Parameters
    ----------
    z : (n, d) C-contiguous array
        Products of a layer, overwritten.
    bias : (d,) array
        Intercepts.
    slope : float
        Slope of the negative piece: 0 for ReLU, 1 for the identity.
    """
    n, d = z.shape
    s = z.dtype.type(slope)
    for i in range(n):
        for j in range(d):
            u = z[i, j] + bias[j]
            below = s * u
            if u <= 0 and s == 0:  # 0 * -inf would be NaN; a NaN itself passes through
                below = s
            z[i, j] = u if u > 0 else below
