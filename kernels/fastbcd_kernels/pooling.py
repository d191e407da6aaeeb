r"""Pooling over windows that do not overlap, and the proximal step through a maximum.

Images are rows of h w c numbers, as for patches. A window covers q_h x q_w pixels of one channel;
pixels at the lower and right border that fill no window are left out.

For a layer whose activations pass a maximum, :math:`v = \max_j \sigma(u_j)` over each window, the
pre-activation step is

.. math:: \arg\min_u \tfrac{\gamma}{2} \big(v - \max_j \sigma(u_j)\big)^2
          + \tfrac{\rho + \alpha}{2} \sum_j (u_j - c_j)^2,
          \qquad c = \frac{\rho z + \alpha u_{old}}{\rho + \alpha}.

Since :math:`\sigma` rises, the maximum is :math:`\sigma(t)` with :math:`t = \max_j u_j`. For a
given t every :math:`c_j` above t comes down to it; if there is none, the largest goes up. What
that costs is convex in t, so on each linear piece of :math:`\sigma` the best t is a clipped
quotient of the largest few :math:`c_j`; the best piece wins.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def average_pool(
    v: NDArray[np.floating],
    shape: tuple[int, int, int],
    window: tuple[int, int],
    out: NDArray[np.floating],
) -> None:
    """Write the means over all windows of ``v`` (n, h * w * c) into ``out``, (n, windows * c)."""
    h, w, c = shape
    height, width = h // window[0], w // window[1]
    share = v.dtype.type(1 / (window[0] * window[1]))
    for i in range(v.shape[0]):
        for y in range(height):
            for x in range(width):
                to = (y * width + x) * c
                for k in range(c):
                    out[i, to + k] = 0
                for a in range(window[0]):
                    for b in range(window[1]):
                        at = ((y * window[0] + a) * w + x * window[1] + b) * c
                        for k in range(c):
                            out[i, to + k] += share * v[i, at + k]


@njit(cache=True, nogil=True)
def add_to_windows(
    e: NDArray[np.floating],
    shape: tuple[int, int, int],
    window: tuple[int, int],
    factor: float,
    out: NDArray[np.floating],
) -> None:
    """Add ``factor`` times each entry of ``e``, (n, windows * c), to all pixels of its window.

    With the share of a pixel in its window as the factor, that is the adjoint of the mean.
    """
    h, w, c = shape
    height, width = h // window[0], w // window[1]
    scale = e.dtype.type(factor)
    for i in range(e.shape[0]):
        for y in range(height):
            for x in range(width):
                at = (y * width + x) * c
                for a in range(window[0]):
                    for b in range(window[1]):
                        to = ((y * window[0] + a) * w + x * window[1] + b) * c
                        for k in range(c):
                            out[i, to + k] += scale * e[i, at + k]


@njit(cache=True, nogil=True)
def max_pool(
    u: NDArray[np.floating],
    shape: tuple[int, int, int],
    window: tuple[int, int],
    out: NDArray[np.floating],
) -> None:
    """Write the maxima over all windows of ``u`` (n, h * w * c) into ``out``, (n, windows * c)."""
    h, w, c = shape
    height, width = h // window[0], w // window[1]
    for i in range(u.shape[0]):
        for y in range(height):
            for x in range(width):
                to = (y * width + x) * c
                for a in range(window[0]):
                    for b in range(window[1]):
                        at = ((y * window[0] + a) * w + x * window[1] + b) * c
                        for k in range(c):
                            if (a == 0 and b == 0) or u[i, at + k] > out[i, to + k]:
                                out[i, to + k] = u[i, at + k]


@njit(cache=True, nogil=True)
def max_pool_back(
    d: NDArray[np.floating],
    u: NDArray[np.floating],
    shape: tuple[int, int, int],
    window: tuple[int, int],
    out: NDArray[np.floating],
) -> None:
    """Hand each entry of ``d``, (n, windows * c), to the first largest ``u`` of its window.

    ``out`` (n, h * w * c) is zero everywhere else.
    """
    h, w, c = shape
    height, width = h // window[0], w // window[1]
    for i in range(u.shape[0]):
        for j in range(u.shape[1]):
            out[i, j] = 0
        for y in range(height):
            for x in range(width):
                for k in range(c):
                    best = (y * window[0] * w + x * window[1]) * c + k
                    for a in range(window[0]):
                        for b in range(window[1]):
                            at = ((y * window[0] + a) * w + x * window[1] + b) * c + k
                            if u[i, at] > u[i, best]:
                                best = at
                    out[i, best] = d[i, (y * width + x) * c + k]


@njit(cache=True, nogil=True)
def max_pool_step(
    u: NDArray[np.floating],
    miss: NDArray[np.floating],
    v: NDArray[np.floating],
    shape: tuple[int, int, int],
    window: tuple[int, int],
    slopes: NDArray[np.floating],
    offsets: NDArray[np.floating],
    bounds: NDArray[np.floating],
    rho: float,
    gamma: float,
    alpha: float,
    weight: NDArray[np.floating],
) -> tuple[float, float]:
    """Update ``u`` in place for v = max of sigma(u) over windows.

    Parameters
    ----------
    u, miss : (n, h * w * c) C-contiguous arrays of one floating type
        Pre-activations and residuals u - z of the linear outputs z; both overwritten.
    v : (n, windows * c) C-contiguous array of that type
        Activations after the pooling.
    shape, window : (h, w, c), (q_h, q_w)
        Of an image and a window.
    slopes, offsets : (pieces,) float64 arrays
        sigma(t) = slopes[i] * t + offsets[i] on piece i; sigma does not fall.
    bounds : (pieces + 1,) float64 array
        Piece i is [bounds[i], bounds[i + 1]].
    rho, gamma, alpha : float
        Penalties of ``u - z``, ``v - max sigma(u)`` and ``u - u_old``.
    weight : (n,) array
        Sample weights.

    Returns
    -------
    gap, step : float
        sum_i weight_i ||v_i - max sigma(u_i)||^2 and sum_i weight_i ||u_i - u_old_i||^2.
    """
    h, w, c = shape
    height, width = h // window[0], w // window[1]
    size = window[0] * window[1]
    inside_h, inside_w = height * window[0], width * window[1]
    g = (rho + alpha) / gamma
    from_z = rho / (rho + alpha)
    centre = np.empty(size)
    fallen = np.empty(size)
    place = np.empty(size, np.int64)
    gap = 0.0
    step = 0.0
    for i in range(u.shape[0]):
        row_gap = 0.0
        row_step = 0.0
        for y in range(h):
            for x in range(w):
                if y < inside_h and x < inside_w:
                    continue
                for at in range((y * w + x) * c, (y * w + x + 1) * c):
                    move = -from_z * miss[i, at]
                    u[i, at] += move
                    miss[i, at] += move
                    row_step += move * move
        for y in range(height):
            for x in range(width):
                for k in range(c):
                    j = 0
                    for a in range(window[0]):
                        for b in range(window[1]):
                            at = ((y * window[0] + a) * w + x * window[1] + b) * c + k
                            place[j] = at
                            centre[j] = u[i, at] - from_z * miss[i, at]
                            j += 1
                    # Largest first, by insertion: a window is small.
                    for j in range(size):
                        new = centre[j]
                        m = j
                        while m > 0 and fallen[m - 1] < new:
                            fallen[m] = fallen[m - 1]
                            m -= 1
                        fallen[m] = new
                    target = v[i, (y * width + x) * c + k]
                    best, best_cost, best_left = fallen[0], np.inf, 0.0
                    for piece in range(slopes.size):
                        slope, offset = slopes[piece], offsets[piece]
                        pull = slope * (target - offset)
                        total = fallen[0]
                        t = (pull + g * total) / (slope * slope + g)
                        if t < fallen[0]:
                            for m in range(1, size + 1):
                                t = (pull + g * total) / (slope * slope + g * m)
                                if m == size or t >= fallen[m]:
                                    break
                                total += fallen[m]
                        t = min(max(t, bounds[piece]), bounds[piece + 1])
                        left = target - slope * t - offset
                        cost = left * left
                        if t > fallen[0]:
                            cost += g * (t - fallen[0]) ** 2
                        for m in range(size):
                            if fallen[m] <= t:
                                break
                            cost += g * (fallen[m] - t) ** 2
                        if cost < best_cost:
                            best, best_cost, best_left = t, cost, left * left
                    row_gap += best_left
                    raised = best > fallen[0]
                    for j in range(size):
                        new = min(centre[j], best)
                        if raised and centre[j] == fallen[0]:
                            new, raised = best, False
                        move = new - u[i, place[j]]
                        u[i, place[j]] = new
                        miss[i, place[j]] += move
                        row_step += move * move
        gap += weight[i] * row_gap
        step += weight[i] * row_step
    return gap, step
