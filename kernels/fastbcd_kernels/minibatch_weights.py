r"""What a mini-batch step does to the weights: momentum, decay, update and norms in one pass each.

All arrays are C-contiguous and of one type, float32 or float64; results go into arrays of the
caller. The rows of a batch are the matter of :mod:`fastbcd_kernels.minibatch_step`.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Reassociation lets sums vectorise. NaN and inf keep their meaning: divergence must be seen.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def momentum_update(
    w: NDArray[np.floating],
    copy: NDArray[np.floating],
    m: NDArray[np.floating],
    step: NDArray[np.floating],
    support: NDArray[np.bool_],
    rate: float,
    momentum: float,
    keep: float,
) -> float:
    """Set ``m = momentum * m + step`` and ``w = keep * w + rate * m``, and let a copy follow.

    Parameters
    ----------
    w, m, step : (d, h) arrays
        Weights and their momentum, overwritten; the new step.
    copy : (d, h) array
        Compressed copy of the weights, changed on the support by as much as they; may be empty.
    support : (d, h) boolean array
        Where the copy changes; may be empty if the copy is.
    rate, momentum, keep : float
        Step length, share of the old direction, one minus the weight decay.

    Returns
    -------
    float
        ||w||^2 afterwards.
    """
    rows, columns = w.shape
    a, b, c = w.dtype.type(rate), w.dtype.type(momentum), w.dtype.type(keep)
    copying = copy.size > 0
    total = 0.0
    for i in range(rows):
        square = w.dtype.type(0)
        for j in range(columns):
            direction = b * m[i, j] + step[i, j]
            m[i, j] = direction
            old = w[i, j]
            new = c * old + a * direction
            w[i, j] = new
            if copying and support[i, j]:
                copy[i, j] += new - old
            square += new * new
        total += float(square)
    return float(total)


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def scale_on_support(
    step: NDArray[np.floating], scale: NDArray[np.floating], support: NDArray[np.bool_]
) -> float:
    """Multiply row i of ``step`` by ``scale[i]`` on the support, set the rest to zero.

    Parameters
    ----------
    step : (d, h) array
        Overwritten.
    scale : (d,) array
        Positive.
    support : (d, h) boolean array
        What stays.

    Returns
    -------
    float
        sum_ij step_ij^2 / scale_i of the result: its squared length in the metric whose
        diagonal is ``1 / scale``.
    """
    rows, columns = step.shape
    total = 0.0
    for i in range(rows):
        square = step.dtype.type(0)
        s = scale[i]
        for j in range(columns):
            e = step[i, j] if support[i, j] else step.dtype.type(0)
            square += e * e
            step[i, j] = s * e
        total += float(s * square)
    return float(total)


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def average(mean: NDArray[np.floating], value: NDArray[np.floating], share: float) -> None:
    """Move ``mean`` by ``share`` of the way to ``value`` (both flat), in place."""
    s = mean.dtype.type(share)
    for i in range(mean.size):
        mean[i] += s * (value[i] - mean[i])
