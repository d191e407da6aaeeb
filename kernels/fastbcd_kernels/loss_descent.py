r"""The output block of a mini-batch step: the descent direction of the loss, row by row.

The linear outputs of a batch become, in one pass and in place, the direction
:math:`D = -\nabla R(Z + b; Y)` times the sample weight, together with its column means and the
sum of the losses.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Reassociation lets the row sums vectorise. NaN and inf keep their meaning.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _column_means(a: NDArray[np.floating], out: NDArray[np.floating]) -> None:
    n, k = a.shape
    for j in range(k):
        out[j] = 0
    for i in range(n):
        for j in range(k):
            out[j] += a[i, j]
    for j in range(k):
        out[j] /= max(n, 1)


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def squared_descent(
    z: NDArray[np.floating],
    bias: NDArray[np.floating],
    y: NDArray[np.floating],
    weight: NDArray[np.floating],
    mean: NDArray[np.floating],
) -> float:
    """Replace ``z`` by the weighted descent direction of ||u - y||^2 / 2 at u = z + bias.

    Parameters
    ----------
    z : (n, k) array
        Products of the output layer; overwritten by ``weight_i * (y_i - u_i)``.
    bias : (k,) array
        Intercepts.
    y : (n, k) array
        Targets.
    weight : (n,) array
        Sample weights.
    mean : (k,) array
        Overwritten by the column means of the result.

    Returns
    -------
    float
        Mean weighted loss.
    """
    n, k = z.shape
    loss = 0.0
    for i in range(n):
        w = z.dtype.type(weight[i])
        row = 0.0
        for j in range(k):
            e = y[i, j] - z[i, j] - bias[j]
            row += e * e
            z[i, j] = w * e
        loss += 0.5 * weight[i] * row
    _column_means(z, mean)
    return float(loss / max(n, 1))


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def softmax_descent(
    z: NDArray[np.floating],
    bias: NDArray[np.floating],
    y: NDArray[np.floating],
    weight: NDArray[np.floating],
    smoothing: float,
    mean: NDArray[np.floating],
) -> float:
    """Replace ``z`` by the weighted descent direction of the softmax cross-entropy.

    That is ``weight_i * ((1 - smoothing) y_i + smoothing / k - softmax(u_i))``.

    Parameters
    ----------
    z, bias, y, weight, mean
        As for :func:`squared_descent`; the rows of ``y`` sum to one.
    smoothing : float in [0, 1)
        Share of the targets that is spread evenly over the classes.

    Returns
    -------
    float
        Mean weighted loss, for the targets as given.
    """
    n, k = z.shape
    loss = 0.0
    keep = z.dtype.type(1.0 - smoothing)
    spread = z.dtype.type(smoothing / k)
    for i in range(n):
        w = z.dtype.type(weight[i])
        top = z[i, 0] + bias[0]
        linear = 0.0
        for j in range(k):
            u = z[i, j] + bias[j]
            z[i, j] = u
            linear += y[i, j] * u
            if not u <= top:  # a NaN gets through, to be seen in the loss
                top = u
        total = z.dtype.type(0)
        for j in range(k):
            e = np.exp(z[i, j] - top)
            z[i, j] = e
            total += e
        loss += weight[i] * (top + np.log(total) - linear)
        for j in range(k):
            d = w * (keep * y[i, j] + spread - z[i, j] / total)
            z[i, j] = d
    _column_means(z, mean)
    return float(loss / max(n, 1))


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def logistic_descent(
    z: NDArray[np.floating],
    bias: NDArray[np.floating],
    y: NDArray[np.floating],
    weight: NDArray[np.floating],
    smoothing: float,
    mean: NDArray[np.floating],
) -> float:
    """Replace ``z`` by the weighted descent direction of one logistic loss per output.

    That is ``weight_i * ((1 - smoothing) y + smoothing / 2 - 1 / (1 + exp(-u)))``.

    Parameters
    ----------
    z, bias, y, weight, smoothing, mean
        As for :func:`softmax_descent`, but each target lies in [0, 1] for itself.

    Returns
    -------
    float
        Mean weighted loss, summed over the outputs, for the targets as given.
    """
    n, k = z.shape
    loss = 0.0
    keep = z.dtype.type(1.0 - smoothing)
    spread = z.dtype.type(0.5 * smoothing)
    one = z.dtype.type(1)
    for i in range(n):
        w = z.dtype.type(weight[i])
        row = 0.0
        for j in range(k):
            u = z[i, j] + bias[j]
            small = np.exp(-abs(u))
            p = one / (one + small) if u > 0 else small / (one + small)
            row += max(u, z.dtype.type(0)) + np.log1p(small) - y[i, j] * u
            if np.isnan(u):
                row = np.nan
            d = w * (keep * y[i, j] + spread - p)
            z[i, j] = d
        loss += weight[i] * row
    _column_means(z, mean)
    return float(loss / max(n, 1))


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def hinge_descent(
    z: NDArray[np.floating],
    bias: NDArray[np.floating],
    y: NDArray[np.floating],
    weight: NDArray[np.floating],
    mean: NDArray[np.floating],
) -> float:
    r"""Replace ``z`` by the weighted proximal step of the hinge loss from u = z + bias.

    The loss of an output is :math:`h(u) = y \max(0, 1 - u) + (1 - y) \max(0, 1 + u)`, and the
    step is :math:`\arg\min_v h(v) + (v - u)^2/2 - u`: a descent direction that fades out
    within one unit of the margin, where the slope itself jumps.

    Parameters
    ----------
    z, bias, y, weight, mean
        As for :func:`squared_descent`, with targets in [0, 1].

    Returns
    -------
    float
        Mean weighted loss, summed over the outputs.
    """
    n, k = z.shape
    loss = 0.0
    for i in range(n):
        row = 0.0
        for j in range(k):
            t = y[i, j]
            u = z[i, j] + bias[j]
            row += t * max(0.0, 1.0 - u) + (1.0 - t) * max(0.0, 1.0 + u)
            if np.isnan(u):
                row = np.nan
            if u + t < -1.0:
                v = u + t
            elif u - (1.0 - t) > 1.0:
                v = u - (1.0 - t)
            else:
                v = min(max(u - (1.0 - 2.0 * t), -1.0), 1.0)
            d = weight[i] * (v - u)
            z[i, j] = d
        loss += weight[i] * row
    _column_means(z, mean)
    return float(loss / max(n, 1))
