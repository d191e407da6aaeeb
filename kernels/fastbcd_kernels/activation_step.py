r"""The pre-activation (U) step: an exact proximal step of the activation, element by element.

For one layer with activations :math:`V`, linear output :math:`Z = V_{prev} W + b` and old
pre-activations :math:`U`, each element is replaced by

.. math:: \arg\min_u \frac{\gamma}{2} (\sigma(u) - v)^2 + \frac{\rho}{2} (u - z)^2
          + \frac{\alpha}{2} (u - u_{old})^2 .

The two quadratics in :math:`u` merge into one around
:math:`c = (\rho z + \alpha u_{old}) / (\rho + \alpha)` with weight
:math:`g = (\rho + \alpha)/\gamma` against the first. On each linear piece of
:math:`\sigma` the minimiser is a clipped quotient; the best piece wins. Comparing the
candidates gives the same result as the published case distinction (arXiv 2303.06815,
update of U_i) and vectorises without a branch.

The hyperbolic tangent and the logistic function are not piecewise linear: the step is the global
minimiser of a function with up to two minima, see :func:`sigmoid_step`.

The kernels are handed the residual :math:`U - Z` in the place of Z and bring it up to date, since
the step of the weights that follows needs it.

Cost: about 20 flops per element on three arrays read and two written, so the memory
bandwidth decides; forming ``c`` and the new residual inside the loop saves four passes. A sigmoid
step takes a handful of exponential functions per element instead.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Reassociation lets the row sums vectorise. NaN and inf keep their meaning.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}

MAX_NEWTON = 100
COARSE = 1e-7
TINY = 1e-300


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def piecewise_linear_step(
    u: NDArray[np.floating],
    miss: NDArray[np.floating],
    v: NDArray[np.floating],
    slope: float,
    rho: float,
    gamma: float,
    alpha: float,
    weight: NDArray[np.floating],
) -> tuple[float, float]:
    """Update ``u`` in place for sigma(u) = max(u, 0) + slope * min(u, 0).

    ``slope`` 0 is ReLU, 1 the identity, anything between a leaky ReLU.

    Parameters
    ----------
    u, miss, v : (n, d) C-contiguous arrays of one floating type
        Pre-activations, residuals u - z of the linear outputs z (both overwritten), activations.
    slope : float in [0, 1]
        Slope of the negative piece.
    rho, gamma, alpha : float
        Penalties of ``u - z``, ``sigma(u) - v`` and ``u - u_old``; ``rho + alpha > 0``,
        ``gamma > 0``.
    weight : (n,) array
        Sample weights. They leave the step as it is and scale the two sums.

    Returns
    -------
    gap, step : float
        sum_i weight_i ||v_i - sigma(u_i)||^2 and sum_i weight_i ||u_i - u_old_i||^2,
        both after the update.
    """
    n, d = u.shape
    real = u.dtype.type
    from_z = real(rho / (rho + alpha))
    g = real((rho + alpha) / gamma)
    s = real(slope)
    zero = real(0)
    shrink_up = real(1 / (1 + (rho + alpha) / gamma))
    shrink_down = real(1 / (slope * slope + (rho + alpha) / gamma))
    gap = 0.0
    step = 0.0
    for i in range(n):
        row_gap = zero
        row_step = zero
        for j in range(d):
            a = v[i, j]
            c = u[i, j] - from_z * miss[i, j]
            up = max((a + g * c) * shrink_up, zero)
            down = min((s * a + g * c) * shrink_down, zero)
            cost_up = (up - a) * (up - a) + g * (up - c) * (up - c)
            cost_down = (s * down - a) * (s * down - a) + g * (down - c) * (down - c)
            new = up if cost_up <= cost_down else down
            left = a - (up if cost_up <= cost_down else s * down)
            move = new - u[i, j]
            u[i, j] = new
            miss[i, j] += move
            row_gap += left * left
            row_step += move * move
        gap += weight[i] * row_gap
        step += weight[i] * row_step
    return gap, step


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def hard_tanh_step(
    u: NDArray[np.floating],
    miss: NDArray[np.floating],
    v: NDArray[np.floating],
    rho: float,
    gamma: float,
    alpha: float,
    weight: NDArray[np.floating],
) -> tuple[float, float]:
    """Update ``u`` in place for sigma(u) = min(max(u, -1), 1).

    Parameters and results are those of :func:`piecewise_linear_step`, without ``slope``.
    """
    n, d = u.shape
    real = u.dtype.type
    from_z = real(rho / (rho + alpha))
    g = real((rho + alpha) / gamma)
    shrink = real(1 / (1 + (rho + alpha) / gamma))
    zero = real(0)
    one = real(1)
    gap = 0.0
    step = 0.0
    for i in range(n):
        row_gap = zero
        row_step = zero
        for j in range(d):
            a = v[i, j]
            c = u[i, j] - from_z * miss[i, j]
            low = min(c, -one)
            mid = min(max((a + g * c) * shrink, -one), one)
            high = max(c, one)
            cost_low = (one + a) * (one + a) + g * (low - c) * (low - c)
            cost_mid = (mid - a) * (mid - a) + g * (mid - c) * (mid - c)
            cost_high = (one - a) * (one - a) + g * (high - c) * (high - c)
            new = mid
            best = cost_mid
            if cost_low < best:
                new = low
                best = cost_low
            if cost_high < best:
                new = high
            left = a - min(max(new, -one), one)
            move = new - u[i, j]
            u[i, j] = new
            miss[i, j] += move
            row_gap += left * left
            row_step += move * move
        gap += weight[i] * row_gap
        step += weight[i] * row_step
    return gap, step


@njit(cache=True, nogil=True)
def sigmoid_step(
    u: NDArray[np.floating],
    miss: NDArray[np.floating],
    v: NDArray[np.floating],
    offset: float,
    scale: float,
    rate: float,
    rho: float,
    gamma: float,
    alpha: float,
    weight: NDArray[np.floating],
    tol: float,
) -> tuple[float, float]:
    r"""Update ``u`` in place for sigma(u) = offset + scale * tanh(rate * u).

    In the variable :math:`w = \mathrm{rate}\, u`, with the target a, the centre c and the weight g
    scaled likewise and their signs chosen so that :math:`\tanh c \le a`, the step minimises

    .. math:: f(w) = (\tanh w - a)^2 + g (w - c)^2, \quad
              f'(w)/2 = h(w) = g (w - c) - (a - t)(1 - t^2), \quad t = \tanh w .

    *Where the stationary points are.* Left of c both terms of f fall, and right of
    :math:`\operatorname{artanh} a` both rise, so all of them lie between. There
    :math:`g (w - c) = (a - t)(1 - t^2)`, which is at most :math:`a - \tanh c` and at most
    :math:`4 (a + 1) e^{-2 w}`: that bounds w also where a is not below 1.

    *How many there are.* :math:`h' = q(t) + g` with :math:`q(t) = (1 - t^2)(1 + 2 a t - 3 t^2)`. On
    (-1, a) this quartic is negative below its lower inner zero only, because the upper one is above
    a, or above 1. Between -1 and that zero q has one minimum. So h rises, or it rises, falls
    between two bends and rises again: f has one minimum, or one before the first bend and one
    behind the second. Each is bracketed, found by Newton's method with bisection as its safeguard,
    and the lower one taken.

    Parameters
    ----------
    u, miss, v, rho, gamma, alpha, weight
        As for :func:`piecewise_linear_step`.
    offset, scale, rate : float
        0, 1, 1 for tanh; 1/2, 1/2, 1/2 for the logistic function.
    tol : float
        The last step of Newton's method, which converges quadratically, is at most ``tol`` times
        ``1 + |w|``.

    Returns
    -------
    gap, step : float
        As for :func:`piecewise_linear_step`.
    """
    n, d = u.shape
    from_z = rho / (rho + alpha)
    g = max((rho + alpha) / gamma / (scale * rate) ** 2, TINY)
    gap = 0.0
    step = 0.0
    for i in range(n):
        row_gap = 0.0
        row_step = 0.0
        for j in range(d):
            a = (v[i, j] - offset) / scale
            c = rate * (u[i, j] - from_z * miss[i, j])
            t = math.tanh(c)
            sign = 1.0 if t <= a else -1.0
            new = u.dtype.type(sign * _nearest(sign * a, sign * c, sign * t, g, tol) / rate)
            left = v[i, j] - (offset + scale * math.tanh(rate * new))
            move = new - u[i, j]
            u[i, j] = new
            miss[i, j] += move
            row_gap += left * left
            row_step += move * move
        gap += weight[i] * row_gap
        step += weight[i] * row_step
    return gap, step


@njit(cache=True, nogil=True)
def _nearest(a: float, c: float, t: float, g: float, tol: float) -> float:
    """Return the minimiser of (tanh w - a)^2 + g (w - c)^2, for t = tanh c <= a; NaN for NaN."""
    if not t <= a:
        return math.nan
    high = c + (a - t) / g
    if not high <= c + 1.0:
        high = min(high, max(c + 1.0, 0.5 * math.log(4.0 * (a + 1.0) / g)))
        if a < 1.0:
            high = min(high, max(c, math.atanh(a)))
    first, second = _bends(a + 1.0, g)
    if not first < second or c >= second:
        return _root(c, high, a, c, g, tol)
    best, least = c, math.inf
    if c < first and _slope(first, a, c, g)[0] >= 0.0:
        best = _root(c, first, a, c, g, tol)
        least = (math.tanh(best) - a) ** 2 + g * (best - c) ** 2
    low = max(c, second)
    if least == math.inf or _slope(low, a, c, g)[0] <= 0.0:
        other = _root(low, high, a, c, g, tol)
        if (math.tanh(other) - a) ** 2 + g * (other - c) ** 2 < least:
            best = other
    return best


@njit(cache=True, nogil=True)
def _slope(w: float, a: float, c: float, g: float) -> tuple[float, float]:
    """Return h and h' at w; 1 - t^2 keeps its relative accuracy where t is rounded to 1."""
    e = math.exp(-2.0 * abs(w))
    t = math.copysign((1.0 - e) / (1.0 + e), w)
    square = 4.0 * e / ((1.0 + e) * (1.0 + e))
    slope = g * (w - c) - (a - t) * square
    return slope, g + square * (square - 2.0 * t * (t - a))


@njit(cache=True, nogil=True)
def _root(low: float, high: float, a: float, c: float, g: float, tol: float) -> float:
    """Return a root of h in [low, high], where h is not positive at low nor negative at high.

    Newton's method from low. A step that leaves the bracket, or has not halved the last step but
    one, gives way to bisection, so 2 log2((high - low) / tol) steps are enough.
    """
    w = low
    last = before = high - low
    for _ in range(MAX_NEWTON):
        slope, bend = _slope(w, a, c, g)
        if slope <= 0.0:
            low = w
        else:
            high = w
        new = w - slope / bend if bend > 0.0 else high + 1.0
        newton = low <= new <= high and 2.0 * abs(new - w) <= before
        if not newton:
            new = 0.5 * (low + high)
        before, last = last, abs(new - w)
        w = new
        small = tol * (1.0 + abs(w))
        if (newton and last <= small) or high - low <= 1e-3 * small:
            break
    return w


@njit(cache=True, nogil=True)
def _bends(b: float, g: float) -> tuple[float, float]:
    """Return the two w between which h falls; twice the same number if it falls nowhere.

    With x = 1 + t and b = 1 + a, q is x (2 - x) r(x), r(x) = -2 b + (2 b + 4) x - 3 x^2, and x0
    is the lower zero of r. As r is concave, q >= -b x0, so no polynomial is solved if g is as
    large as that. Newton's method for the minimum of q and for the first bend starts at x = 0 and
    converges monotonically, because q' is concave up to there, and q convex. A bend is needed to
    a few digits only: h is flat there, and a minimum so near to a bend that it is overlooked is
    hardly lower than the bend itself, from where f falls to the other minimum.
    """
    x0 = 2.0 * b / (b + 2.0 + math.sqrt((b - 2.0) * b + 4.0))
    if not b * x0 > g:
        return 0.0, 0.0
    x = 0.0
    for _ in range(MAX_NEWTON):
        slope = ((12.0 * x - 6.0 * b - 30.0) * x + 12.0 * b + 16.0) * x - 4.0 * b
        move = -slope / ((36.0 * x - 12.0 * b - 60.0) * x + 12.0 * b + 16.0)
        x += move
        if not move > COARSE * x:
            break
    least = x
    if not _quartic(least, b) < -g:
        return 0.0, 0.0
    x = 0.0
    for _ in range(MAX_NEWTON):
        slope = ((12.0 * x - 6.0 * b - 30.0) * x + 12.0 * b + 16.0) * x - 4.0 * b
        if not slope < 0.0:
            break
        move = (_quartic(x, b) + g) / -slope
        if not 0.0 < move < least - x:
            break
        x += move
        if move <= COARSE * x:
            break
    first = max(x, TINY)
    low, high = least, x0
    x = x0
    for _ in range(MAX_NEWTON):
        rest = _quartic(x, b) + g
        if rest < 0.0:
            low = x
        else:
            high = x
        slope = ((12.0 * x - 6.0 * b - 30.0) * x + 12.0 * b + 16.0) * x - 4.0 * b
        new = x - rest / slope if slope > 0.0 else high
        if not low < new < high:
            new = 0.5 * (low + high)
        move, x = abs(new - x), new
        if move <= COARSE * x:
            break
    return 0.5 * math.log(first / (2.0 - first)), 0.5 * math.log(x / (2.0 - x))


@njit(cache=True, nogil=True)
def _quartic(x: float, b: float) -> float:
    """Return q."""
    return x * (2.0 - x) * (((2.0 * b + 4.0) - 3.0 * x) * x - 2.0 * b)
