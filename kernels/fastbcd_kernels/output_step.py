r"""The output (V_L) step: a proximal step of the loss, sample by sample.

Each row of :math:`V` is replaced by

.. math:: \arg\min_v R(v; y) + \frac{\gamma}{2} \|v - u\|^2 + \frac{\alpha}{2} \|v - v_{old}\|^2
          = \arg\min_v R(v; y) + \frac{r}{2} \|v - t\|^2 ,

with :math:`r = \gamma + \alpha` and :math:`t = (\gamma u + \alpha v_{old})/r`. Sample weights
multiply the whole row's objective, so they leave the step as it is.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

MAX_NEWTON = 200
UNSEEN = 1e-11  # a predicted decrease below this share of the objective drowns in rounding


@njit(cache=True, nogil=True)
def squared_step(
    v: NDArray[np.floating],
    u: NDArray[np.floating],
    y: NDArray[np.floating],
    gamma: float,
    alpha: float,
    weight: NDArray[np.floating],
) -> tuple[float, float]:
    """Update ``v`` in place for R(v; y) = ||v - y||^2 / 2: a weighted mean.

    Parameters
    ----------
    v, u, y : (n, k) arrays
        Outputs (overwritten), pre-activations of the output layer, targets.
    gamma, alpha : float
        Penalties of ``v - u`` and ``v - v_old``.
    weight : (n,) array
        Sample weights, used in the two sums only.

    Returns
    -------
    loss, step : float
        sum_i weight_i R(v_i; y_i) and sum_i weight_i ||v_i - v_old_i||^2 after the update.
    """
    n, k = v.shape
    share = 1.0 / (1.0 + gamma + alpha)
    loss = 0.0
    step = 0.0
    for i in range(n):
        row_loss = 0.0
        row_step = 0.0
        for j in range(k):
            new = share * (y[i, j] + gamma * u[i, j] + alpha * v[i, j])
            row_loss += 0.5 * (new - y[i, j]) ** 2
            row_step += (new - v[i, j]) ** 2
            v[i, j] = new
        loss += weight[i] * row_loss
        step += weight[i] * row_step
    return loss, step


@njit(cache=True, nogil=True)
def hinge_step(
    v: NDArray[np.floating],
    u: NDArray[np.floating],
    y: NDArray[np.floating],
    gamma: float,
    alpha: float,
    weight: NDArray[np.floating],
) -> tuple[float, float]:
    r"""Update ``v`` in place for R(v; y) = sum_j y_j max(0, 1 - v_j) + (1 - y_j) max(0, 1 + v_j).

    Each entry is a proximal step of a convex piecewise linear function with slopes :math:`-y`,
    :math:`1 - 2y` and :math:`1 - y` left of, between and right of its kinks -1 and 1: t moved
    against the slope of the piece where it arrives, or stopped at a kink.

    Parameters
    ----------
    v, u, y, gamma, alpha, weight
        As for :func:`squared_step`, with targets in [0, 1] and ``gamma + alpha > 0``.

    Returns
    -------
    loss, step : float
        As for :func:`squared_step`.
    """
    n, k = v.shape
    r = gamma + alpha
    loss = 0.0
    step = 0.0
    for i in range(n):
        row_loss = 0.0
        row_step = 0.0
        for j in range(k):
            target = y[i, j]
            t = (gamma * u[i, j] + alpha * v[i, j]) / r
            if t + target / r < -1.0:
                new = t + target / r
            elif t - (1.0 - target) / r > 1.0:
                new = t - (1.0 - target) / r
            else:
                new = min(max(t - (1.0 - 2.0 * target) / r, -1.0), 1.0)
            row_loss += target * max(0.0, 1.0 - new) + (1.0 - target) * max(0.0, 1.0 + new)
            row_step += (new - v[i, j]) ** 2
            v[i, j] = new
        loss += weight[i] * row_loss
        step += weight[i] * row_step
    return loss, step


@njit(cache=True, nogil=True)
def logistic_step(
    v: NDArray[np.floating],
    u: NDArray[np.floating],
    y: NDArray[np.floating],
    gamma: float,
    alpha: float,
    weight: NDArray[np.floating],
    tol: float,
) -> tuple[float, float]:
    r"""Update ``v`` in place for R(v; y) = sum_j log(1 + exp(v_j)) - y_j v_j.

    Each entry is the root of :math:`\sigma(v) - y + r (v - t)`, which lies in
    :math:`[t - (1 - y)/r, t + y/r]`: Newton's method, with bisection where it leaves that bracket.

    Parameters
    ----------
    v, u, y, gamma, alpha, weight
        As for :func:`squared_step`, with targets in [0, 1] and ``gamma + alpha > 0``.
    tol : float
        An entry is finished when its gradient does not exceed ``tol``.

    Returns
    -------
    loss, step : float
        As for :func:`squared_step`.
    """
    n, k = v.shape
    r = gamma + alpha
    loss = 0.0
    step = 0.0
    for i in range(n):
        row_loss = 0.0
        row_step = 0.0
        for j in range(k):
            target = y[i, j]
            t = (gamma * u[i, j] + alpha * v[i, j]) / r
            low = t - (1.0 - target) / r
            high = t + target / r
            x = min(max(float(v[i, j]), low), high)
            for _ in range(MAX_NEWTON):
                small = np.exp(-abs(x))
                p = 1.0 / (1.0 + small) if x > 0 else small / (1.0 + small)
                grad = p - target + r * (x - t)
                if abs(grad) <= tol:
                    break
                if grad > 0:
                    high = x
                else:
                    low = x
                x -= grad / (p * (1.0 - p) + r)
                if not low <= x <= high:
                    x = 0.5 * (low + high)
            row_loss += max(x, 0.0) + np.log1p(np.exp(-abs(x))) - target * x
            row_step += (x - v[i, j]) ** 2
            v[i, j] = x
        loss += weight[i] * row_loss
        step += weight[i] * row_step
    return loss, step


@njit(cache=True, nogil=True)
def _log_sum_exp(x: NDArray[np.float64]) -> float:
    top = x[0]
    for j in range(1, x.size):
        top = max(top, x[j])
    total = 0.0
    for j in range(x.size):
        total += np.exp(x[j] - top)
    return float(top + np.log(total))


@njit(cache=True, nogil=True)
def cross_entropy_step(
    v: NDArray[np.floating],
    u: NDArray[np.floating],
    y: NDArray[np.floating],
    gamma: float,
    alpha: float,
    weight: NDArray[np.floating],
    tol: float,
) -> tuple[float, float, int]:
    r"""Update ``v`` in place for the softmax cross-entropy R(v; y) = -sum_j y_j log softmax(v)_j.

    Newton's method per row: the Hessian is diag(p + r) - p p', a diagonal minus a rank-one
    matrix, so one step costs O(k) (Sherman-Morrison). The step is halved until the
    objective, which is r-strongly convex, decreases enough (Armijo); 4 to 8 steps are usual.

    Parameters
    ----------
    v, u, y : (n, k) arrays
        Outputs (overwritten), pre-activations of the output layer, targets whose rows
        are non-negative and sum to one (one-hot or soft labels).
    gamma, alpha : float
        Penalties of ``v - u`` and ``v - v_old``; ``gamma + alpha > 0``.
    weight : (n,) array
        Sample weights, used in the sums only.
    tol : float
        A row is finished when no component of its gradient exceeds ``tol``.

    Returns
    -------
    loss, step : float
        As for :func:`squared_step`.
    n_newton : int
        The most Newton steps that a row took.
    """
    n, k = v.shape
    r = gamma + alpha
    x = np.empty(k)
    trial = np.empty(k)
    t = np.empty(k)
    p = np.empty(k)
    grad = np.empty(k)
    direction = np.empty(k)
    loss = 0.0
    step = 0.0
    most = 0
    for i in range(n):
        for j in range(k):
            x[j] = v[i, j]
            t[j] = (gamma * u[i, j] + alpha * v[i, j]) / r
        lse = _log_sum_exp(x)
        row_loss = lse
        value = lse
        for j in range(k):
            row_loss -= y[i, j] * x[j]
            value += 0.5 * r * (x[j] - t[j]) ** 2 - y[i, j] * x[j]
        taken = 0
        while taken < MAX_NEWTON:
            largest = 0.0
            inner_g = 0.0
            inner_p = 0.0
            for j in range(k):
                p[j] = np.exp(x[j] - lse)
                grad[j] = p[j] - y[i, j] + r * (x[j] - t[j])
                largest = max(largest, abs(grad[j]))
                inner_g += p[j] * grad[j] / (p[j] + r)
                inner_p += p[j] * p[j] / (p[j] + r)
            if largest <= tol:
                break
            correction = inner_g / (1.0 - inner_p)
            descent = 0.0
            for j in range(k):
                direction[j] = -(grad[j] + p[j] * correction) / (p[j] + r)
                descent += grad[j] * direction[j]
            if -descent <= UNSEEN * (1.0 + abs(value)):
                # Too small to be seen in the objective, and deep inside the region of
                # quadratic convergence: one full step ends the search.
                for j in range(k):
                    x[j] += direction[j]
                row_loss = _log_sum_exp(x)
                for j in range(k):
                    row_loss -= y[i, j] * x[j]
                taken += 1
                break
            length = 1.0
            accepted = False
            for _ in range(30):
                for j in range(k):
                    trial[j] = x[j] + length * direction[j]
                trial_lse = _log_sum_exp(trial)
                trial_loss = trial_lse
                trial_value = trial_lse
                for j in range(k):
                    trial_loss -= y[i, j] * trial[j]
                    trial_value += 0.5 * r * (trial[j] - t[j]) ** 2 - y[i, j] * trial[j]
                if trial_value <= value + 1e-4 * length * descent:
                    accepted = True
                    break
                length *= 0.5
            if not accepted:  # the decrease is below the rounding of the objective
                break
            for j in range(k):
                x[j] = trial[j]
            lse = trial_lse
            value = trial_value
            row_loss = trial_loss
            taken += 1
        most = max(most, taken)
        row_step = 0.0
        for j in range(k):
            row_step += (x[j] - v[i, j]) ** 2
            v[i, j] = x[j]
        loss += weight[i] * row_loss
        step += weight[i] * row_step
    return loss, step, most
