r"""Steps of several small networks in lock-step: the inner loop of the batch solver, fused.

Let a layer have inputs :math:`V` (b, p) of mean :math:`m`, descent directions :math:`D` (b, q) of
its outputs, and let :math:`P` (p, p) be the inverse of the damped covariance of its inputs. Its
weights :math:`W` take the step :math:`\Delta W = \eta P (V - 1 m')' D`, where :math:`\eta` sets the
length relative to :math:`W`, and its bias takes :math:`\eta 1'D - m' \Delta W`. Directions go down
by :math:`(D R) \odot f'(V)` with the ridge inverse :math:`R = (W'W + I)^{-1} W'`. In the
coordinates of the first layer's inputs :math:`m = 0` and :math:`P` is diagonal.

A step of a network costs 6 b p q flops in each layer and 2 p^2 q more in each but the first, in
products by BLAS; what remains is one pass over each array. All arrays of a network are used before
the next network's turn, so that they stay in the cache: with widths of 25 and batches of 128, a
network has 40 kB.

Numba's compilation takes longer the more code a function has, so that each line of algebra below
is a function of flat arrays of its own.
"""

from enum import IntEnum

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Reassociation lets sums vectorise. NaN and inf keep their meaning.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}

FLOOR = np.float32(-25.0)
"""Logarithm of the smallest probability: its square is still a normal float32."""


class Activation(IntEnum):
    """Activations of hidden layers."""

    RELU = 0
    LEAKY_RELU = 1
    HARD_TANH = 2
    IDENTITY = 3


class Loss(IntEnum):
    """Losses of the outputs."""

    CROSS_ENTROPY = 0
    LOGISTIC = 1
    SQUARED = 2
    HINGE = 3


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _exponentials(
    z: NDArray[np.float32], bits: NDArray[np.int32], power: NDArray[np.float32]
) -> None:
    """Replace ``z`` (k,) in [-87, 87] by exp(z), to 2 ulp: written so that it vectorises.

    exp(z) = 2^n exp(r) with n the nearest integer to z / log 2 and a polynomial for exp(r), of
    Cephes' ``expf``.
    """
    for j in range(z.size):
        n = np.floor(z[j] * np.float32(1.44269504088896341) + np.float32(0.5))
        r = z[j] - n * np.float32(0.693359375) - n * np.float32(-2.12194440e-4)
        p = np.float32(1.9875691500e-4)
        p = p * r + np.float32(1.3981999507e-3)
        p = p * r + np.float32(8.3334519073e-3)
        p = p * r + np.float32(4.1665795894e-2)
        p = p * r + np.float32(1.6666665459e-1)
        p = p * r + np.float32(5.0000001201e-1)
        z[j] = p * r * r + r + np.float32(1)
        bits[j] = (np.int32(n) + np.int32(127)) << np.int32(23)
    for j in range(z.size):
        z[j] *= power[j]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _descent(
    z: NDArray[np.float32],
    y: NDArray[np.float32],
    index: NDArray[np.int64],
    count: NDArray[np.float32],
    loss: int,
    smoothing: float,
    bits: NDArray[np.int32],
    power: NDArray[np.float32],
) -> None:
    """Replace outputs ``z`` (b m,) by minus the gradient of the mean loss of the rows."""
    m, b = y.shape[1], index.size
    keep = np.float32(1 - smoothing)
    one = np.float32(1)
    zero = np.float32(0)
    spread = np.float32(0)
    if loss == Loss.CROSS_ENTROPY:
        spread = np.float32(smoothing / m)
        for i in range(b):
            top = z[i * m]
            for j in range(i * m, i * m + m):
                if z[j] > top:
                    top = z[j]
            for j in range(i * m, i * m + m):
                u = z[j] - top
                z[j] = FLOOR if u < FLOOR else u
        _exponentials(z, bits, power)
    elif loss == Loss.LOGISTIC:
        spread = np.float32(0.5 * smoothing)
        for j in range(b * m):
            u = -z[j]
            u = FLOOR if u < FLOOR else u
            z[j] = -FLOOR if u > -FLOOR else u
        _exponentials(z, bits, power)
    for i in range(b):
        r = index[i]
        weight = count[r] / np.float32(b)
        if loss == Loss.CROSS_ENTROPY:
            total = zero
            for j in range(i * m, i * m + m):
                total += z[j]
            total = one / total
            for j in range(m):
                z[i * m + j] = weight * (keep * y[r, j] + spread - z[i * m + j] * total)
        elif loss == Loss.LOGISTIC:
            for j in range(m):
                z[i * m + j] = weight * (keep * y[r, j] + spread - one / (one + z[i * m + j]))
        elif loss == Loss.SQUARED:
            for j in range(m):
                z[i * m + j] = weight * (y[r, j] - z[i * m + j])
        else:
            for j in range(m):
                up = y[r, j] if z[i * m + j] < one else zero
                down = one - y[r, j] if z[i * m + j] > -one else zero
                z[i * m + j] = weight * (up - down)


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _activate(z: NDArray[np.float32], bias: NDArray[np.float32], activation: int) -> None:
    """Add ``bias`` (n,) to products ``z`` (b n,) and apply the activation."""
    n = bias.size
    slope = np.float32(1)  # of the identity; no input of the hard tanh below -1 counts
    if activation == Activation.RELU:
        slope = np.float32(0)
    elif activation == Activation.LEAKY_RELU:
        slope = np.float32(0.01)
    one = np.float32(1)
    for i in range(0, z.size, n):
        for j in range(n):
            u = z[i + j] + bias[j]
            z[i + j] = u if u > 0 else slope * u
        if activation == Activation.HARD_TANH:
            for j in range(n):
                u = z[i + j]
                u = one if u > one else u
                z[i + j] = -one if u < -one else u


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _pull_back(d: NDArray[np.float32], v: NDArray[np.float32], activation: int) -> None:
    """Multiply ``d`` by the derivative of the activation whose values are ``v``."""
    zero, one = np.float32(0), np.float32(1)
    if activation == Activation.HARD_TANH:
        for j in range(d.size):
            d[j] = d[j] if abs(v[j]) < one else zero
    else:
        slope = np.float32(0.01) if activation == Activation.LEAKY_RELU else zero
        for j in range(d.size):
            d[j] = d[j] if v[j] > zero else slope * d[j]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _square(a: NDArray[np.float32], metric: NDArray[np.float32]) -> float:
    """Return the squared norm of ``a`` (p q,), each of its p rows times its entry of ``metric``."""
    total, q = 0.0, a.size // metric.size
    for i in range(metric.size):
        part = np.float32(0)
        for j in range(i * q, i * q + q):
            part += a[j] * a[j]
        total += part * metric[i]
    return total


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _sums(a: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Write the column sums of ``a`` (b n,) to ``out`` (n,)."""
    n = out.size
    for j in range(n):
        out[j] = 0
    for i in range(0, a.size, n):
        for j in range(n):
            out[j] += a[i + j]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _gather(x: NDArray[np.float32], index: NDArray[np.int64], out: NDArray[np.float32]) -> None:
    """Write the rows of ``index`` to ``out`` (b k,)."""
    k = x.shape[1]
    for i in range(index.size):
        for j in range(k):
            out[i * k + j] = x[index[i], j]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _blend(old: NDArray[np.float32], new: NDArray[np.float32], keep: float, take: float) -> None:
    """Replace ``old`` by keep old + take new."""
    kept, taken = np.float32(keep), np.float32(take)
    for i in range(old.size):
        old[i] = kept * old[i] + taken * new[i]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _weigh(
    v: NDArray[np.float32],
    weight: NDArray[np.float32],
    index: NDArray[np.int64],
    out: NDArray[np.float32],
) -> float:
    """Write rows of ``v`` (b h,), each times its weight, to ``out``; return the sum of weights."""
    h = v.size // index.size
    total = 0.0
    for i in range(index.size):
        w = weight[index[i]] if weight.size else np.float32(1)
        total += float(w)
        for j in range(i * h, i * h + h):
            out[j] = w * v[j]
    return total


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _subtract_outer(
    s: NDArray[np.float32], mean: NDArray[np.float32], b: NDArray[np.float32]
) -> None:
    """Subtract mean b' (p, q) from ``s``."""
    q = b.size
    for i in range(mean.size):
        for j in range(q):
            s[i * q + j] -= mean[i] * b[j]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _subtract_shift(
    s: NDArray[np.float32], mean: NDArray[np.float32], b: NDArray[np.float32]
) -> None:
    """Subtract s' mean (q,) from ``b``."""
    q = b.size
    for i in range(mean.size):
        for j in range(q):
            b[j] -= mean[i] * s[i * q + j]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _divide(s: NDArray[np.float32], metric: NDArray[np.float32]) -> None:
    """Divide each row of ``s`` (p q,) by its entry of ``metric`` (p,)."""
    q = s.size // metric.size
    for i in range(metric.size):
        f = np.float32(1) / max(metric[i], np.float32(1e-30))
        for j in range(i * q, i * q + q):
            s[j] *= f


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _share(weight: NDArray[np.float32], gain: NDArray[np.float32], p: int, q: int) -> float:
    """Return <W', R> / <W, W> of weights (p, q) and gain (q, p)."""
    inner, square = 0.0, 1e-30
    for i in range(p):
        for j in range(q):
            w = weight[i * q + j]
            inner += w * gain[j * p + i]
            square += w * w
    return inner / square


@njit(cache=True, nogil=True)
def _product(
    a: NDArray[np.float32], b: NDArray[np.float32], c: NDArray[np.float32], p: int, q: int, r: int
) -> None:
    """C = A B of matrices (p, q) and (q, r)."""
    np.dot(a.reshape((p, q)), b.reshape((q, r)), c.reshape((p, r)))


@njit(cache=True, nogil=True)
def _cross(
    a: NDArray[np.float32], b: NDArray[np.float32], c: NDArray[np.float32], p: int, q: int, r: int
) -> None:
    """C = A' B of matrices (p, q) and (p, r)."""
    np.dot(a.reshape((p, q)).T, b.reshape((p, r)), c.reshape((q, r)))


@njit(cache=True, nogil=True)
def take_steps(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    row_weight: NDArray[np.float32],
    counts: NDArray[np.float32],
    order: NDArray[np.int64],
    sizes: NDArray[np.int64],
    begins: NDArray[np.int64],
    metric: NDArray[np.float32],
    turn: NDArray[np.float32],
    weights: NDArray[np.float32],
    averages: NDArray[np.float32],
    moments: NDArray[np.float32],
    solvers: NDArray[np.float32],
    lengths: NDArray[np.float64],
    clock: NDArray[np.float64],
    work: NDArray[np.float32],
    bits: NDArray[np.int32],
    activation: int,
    loss: int,
    smoothing: float,
    length: float,
    warm_up: float,
    weight_decay: float,
    observe: int,
    measure: int,
    average_every: int,
    average_power: float,
    l2: float,
) -> None:
    """Take one step of each of g networks for each of s batches of b rows.

    Parameters
    ----------
    x, y : (n, k) and (n, m) arrays
        Inputs, in coordinates of uncorrelated columns of mean zero, and targets.
    row_weight : (n,) array
        Weights of the rows in the covariances of hidden layers; empty if all are one.
    counts : (g, n) array
        Weights of the rows in the descent directions of each network.
    order : (s, b) array
        Rows of each batch.
    sizes : (L + 2,) array
        Widths of the inputs, the L hidden layers and the outputs.
    begins : (7, L + 2) array
        Where the arrays of each layer begin and the last one ends: weights and biases in a row of
        ``weights``, second moments and means of each hidden layer in a row of ``moments``, inverse
        and backward gain of each hidden layer in a row of ``solvers``, values in ``work``.
    metric : (k,) array
        Damped variances of the inputs.
    turn : (k k,) array
        Turns weights of the first layer to the gradient of the L2 penalty; empty without one.
    weights, averages, moments : arrays of g rows
        Updated in place.
    solvers : array of g rows
        What the steps of hidden layers are multiplied by.
    lengths : (g, L + 1, 2) array
        Smoothed relative length of each layer's direction, and what the step divides by.
    clock : (3,) array
        Steps taken, updates of the averages, and how much of the covariances has been seen.
    work : array
        Room: the values of a batch, from there on two arrays of b times the largest width, two of
        the largest matrix, one of the largest width, and ones of the largest width.
    bits : (b m,) array
        Room.
    activation, loss : int
        Members of :class:`Activation` and :class:`Loss`.
    smoothing, length, warm_up, weight_decay, observe, measure, average_every, average_power
        Numbers of the method; see :class:`fastbcd.solvers.batch.settings.BatchSettings`.
    l2 : float
        Weight of half the squared weights; zero without.
    """
    g, b, last = weights.shape[0], order.shape[1], sizes.size - 2
    at_weight, at_bias, at_moment, at_mean, at_inverse, at_gain, at_value = begins
    widest, largest = 1, 1
    for layer in range(last + 1):
        p, q = sizes[layer], sizes[layer + 1]
        widest, largest = max(widest, q), max(largest, p * q)
        if layer:
            largest = max(largest, p * p)
    at_down = at_value[last + 2]
    at_solved = at_down + 2 * b * widest
    at_pull = at_solved + 2 * largest
    ones = work[at_pull + widest :]
    power = bits.view(np.float32)
    for step in range(order.shape[0]):
        index = order[step]
        t = int(clock[0])
        rise = min(1.0, (t + 1) / warm_up)
        measured = t % measure == 0
        observed = t > 0 and t % observe == 0
        fresh = min(0.1, b / 5000) * observe / 2
        if observed:
            clock[2] = 1 - (1 - clock[2]) * (1 - fresh)
            fresh /= clock[2]
        _gather(x, index, work[: at_value[1]])
        for net in range(g):
            own, moment, solver = weights[net], moments[net], solvers[net]
            for layer in range(last + 1):
                p, q = sizes[layer], sizes[layer + 1]
                v = work[at_value[layer] : at_value[layer + 1]]
                z = work[at_value[layer + 1] : at_value[layer + 2]]
                _product(v, own[at_weight[layer] : at_weight[layer + 1]], z, b, p, q)
                name = activation if layer < last else Activation.IDENTITY.value
                _activate(z, own[at_bias[layer] : at_bias[layer + 1]], name)
                if observed and layer < last:
                    left = work[at_down : at_down + b * q]
                    square = work[at_solved : at_solved + q * q]
                    total = work[at_pull : at_pull + q]
                    taken = fresh / max(_weigh(z, row_weight, index, left), 1e-20)
                    _cross(left, z, square, b, q, q)
                    _sums(left, total)
                    old = moment[at_moment[layer] : at_moment[layer + 1]]
                    _blend(old, square, 1 - fresh, taken)
                    old = moment[at_mean[layer] : at_mean[layer + 1]]
                    _blend(old, total, 1 - fresh, taken)
            d = work[at_value[last + 1] : at_value[last + 2]]
            _descent(d, y, index, counts[net], loss, smoothing, bits, power)
            share, now = l2, at_down
            for layer in range(last, -1, -1):
                p, q = sizes[layer], sizes[layer + 1]
                v = work[at_value[layer] : at_value[layer + 1]]
                s = work[at_solved : at_solved + p * q]
                other = work[at_solved + largest : at_solved + largest + p * q]
                pull = work[at_pull : at_pull + q]
                mine = own[at_weight[layer] : at_weight[layer + 1]]
                gain = solver[:0]
                scale = metric
                _cross(v, d, s, b, p, q)
                _sums(d, pull)
                if layer:
                    gain = solver[at_gain[layer - 1] : at_gain[layer]]
                    down = work[now : now + b * p]
                    now = 2 * at_down + b * widest - now
                    _product(d, gain, down, b, q, p)
                    _pull_back(down, v, activation)
                    d = down
                    mean = moment[at_mean[layer - 1] : at_mean[layer]]
                    _subtract_outer(s, mean, pull)
                    if l2 > 0:
                        _blend(s, mine, 1.0, -share)
                    inverse = solver[at_inverse[layer - 1] : at_inverse[layer]]
                    _product(inverse, s, other, p, p, q)
                    s = other
                    _subtract_shift(s, mean, pull)
                    scale = ones[:p]
                else:
                    if l2 > 0:
                        _product(turn, mine, other, p, p, q)
                        _blend(s, other, 1.0, -share)
                    _divide(s, metric)
                if measured:
                    size = np.sqrt(_square(s, scale) / max(_square(mine, scale), 1e-20))
                    before = lengths[net, layer, 0] if t else size
                    lengths[net, layer, 0] = before + 0.2 * (size - before)
                    lengths[net, layer, 1] = max(lengths[net, layer, 0], 0.3 * size, 1e-12)
                rate = rise * length / max(lengths[net, layer, 1], 1e-12)
                _blend(mine, s, 1 - weight_decay * rise, rate)
                _blend(own[at_bias[layer] : at_bias[layer + 1]], pull, 1.0, rate)
                if l2 > 0 and layer:
                    share *= _share(mine, gain, p, q)
        clock[0] = t + 1
        if (t + 1) % average_every == 0:
            clock[1] += 1
            forget = (average_power + 1) / (clock[1] + average_power)
            for net in range(g):
                _blend(averages[net], weights[net], 1 - forget, forget)
