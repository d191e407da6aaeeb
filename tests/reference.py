"""The slow, obvious twin of every kernel, in plain NumPy and float64.

Each function says its formula and then does it, element by element or row by row, without
a thought for speed. Nothing here is clever, so that what disagrees with it is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Piece(NamedTuple):
    """sigma(u) = slope * u + offset for low <= u <= high."""

    low: float
    high: float
    slope: float
    offset: float


def piecewise_linear(slope: float) -> list[Piece]:
    """Return the pieces of sigma(u) = max(u, 0) + slope * min(u, 0)."""
    return [Piece(-np.inf, 0.0, slope, 0.0), Piece(0.0, np.inf, 1.0, 0.0)]


HARD_TANH = [
    Piece(-np.inf, -1.0, 0.0, -1.0),
    Piece(-1.0, 1.0, 1.0, 0.0),
    Piece(1.0, np.inf, 0.0, 1.0),
]
"""The pieces of sigma(u) = min(max(u, -1), 1)."""


class Sigmoid(NamedTuple):
    """sigma(u) = offset + scale * tanh(rate * u)."""

    offset: float
    scale: float
    rate: float


TANH = Sigmoid(0.0, 1.0, 1.0)
LOGISTIC = Sigmoid(0.5, 0.5, 0.5)
"""1 / (1 + exp(-u)) = 1/2 + tanh(u / 2) / 2."""


def activate(u: np.ndarray, pieces: Sequence[Piece] | Sigmoid) -> np.ndarray:
    """Return sigma(u), element by element."""
    if isinstance(pieces, Sigmoid):
        return pieces.offset + pieces.scale * np.tanh(pieces.rate * np.asarray(u, np.float64))
    result = np.empty(np.shape(u))
    for index, value in np.ndenumerate(u):
        for piece in pieces:
            if piece.low <= value <= piece.high:
                result[index] = piece.offset + (piece.slope * value if piece.slope else 0.0)
    return result


def activation_cost(new, old, z, v, pieces, rho, gamma, alpha):
    """Return gamma/2 (sigma(u) - v)^2 + rho/2 (u - z)^2 + alpha/2 (u - u_old)^2."""
    miss = activate(new, pieces) - v
    return gamma / 2 * miss**2 + rho / 2 * (new - z) ** 2 + alpha / 2 * (new - old) ** 2


def activation_step(u, z, v, pieces, rho, gamma, alpha):
    """Return argmin_u of :func:`activation_cost`, element by element.

    On a piece sigma(u) = s u + o the cost is a parabola with its vertex at
    (gamma s (v - o) + rho z + alpha u_old) / (gamma s^2 + rho + alpha); moved to the nearest
    point of the piece this is the best of the piece, and the best piece wins.
    """
    if isinstance(pieces, Sigmoid):
        return sigmoid_step(u, z, v, pieces, rho, gamma, alpha)
    new = np.empty(u.shape)
    for index in np.ndindex(u.shape):
        old, target, act = float(u[index]), float(z[index]), float(v[index])
        best = np.inf
        for low, high, slope, offset in pieces:
            top = gamma * slope * (act - offset) + rho * target + alpha * old
            candidate = min(max(top / (gamma * slope**2 + rho + alpha), low), high)
            miss = slope * candidate + offset - act
            cost = (
                gamma * miss**2 + rho * (candidate - target) ** 2 + alpha * (candidate - old) ** 2
            )
            if cost < best:
                best = cost
                new[index] = candidate
    return new


def sigmoid_step(u, z, v, sigmoid, rho, gamma, alpha):
    """Return argmin_u of :func:`activation_cost`, element by element.

    The minimiser costs no more than the centre c of the two quadratics, so it lies within
    |sigma(c) - v| / sqrt(g) of c. Among the many points of a grid there, the slope turns from
    falling to rising around every minimum; each is bisected, and the best one wins.
    """
    offset, scale, rate = sigmoid
    new = np.empty(u.shape)
    for index in np.ndindex(u.shape):
        old, target, act = float(u[index]), float(z[index]), float(v[index])
        c, g = (rho * target + alpha * old) / (rho + alpha), (rho + alpha) / gamma

        def cost(x, act=act, c=c, g=g):
            return (offset + scale * np.tanh(rate * x) - act) ** 2 + g * (x - c) ** 2

        def slope(x, act=act, c=c, g=g):
            steep = scale * rate / np.cosh(np.clip(rate * x, -300, 300)) ** 2
            return (offset + scale * np.tanh(rate * x) - act) * steep + g * (x - c)

        reach = 1e-9 + abs(offset + scale * np.tanh(rate * c) - act) / np.sqrt(g)
        grid = np.linspace(c - reach, c + reach, 4001)
        rises = slope(grid) >= 0
        turns = np.flatnonzero(~rises[:-1] & rises[1:])
        low, high = grid[turns], grid[turns + 1]
        for _ in range(60):
            middle = (low + high) / 2
            up = slope(middle) >= 0
            low, high = np.where(up, low, middle), np.where(up, middle, high)
        new[index] = high[np.argmin(cost(high))]
    return new


def relu_step_by_cases(a: float, c: float, g: float) -> float:
    """Return argmin_u (max(u, 0) - a)^2 + g (u - c)^2 by the published case distinction.

    arXiv 2303.06815, update of U_i.
    """
    if a + g * c < 0:
        return min(c, 0.0)
    if c >= 0 or g * c >= a * (g - np.sqrt(g * (g + 1))):
        return (a + g * c) / (1 + g)
    return c


def squared_loss(v, y):
    """Return R(v_i; y_i) = ||v_i - y_i||^2 / 2 for every row."""
    return 0.5 * np.sum((v - y) ** 2, axis=1)


def squared_step(v, u, y, gamma, alpha):
    """Return argmin_v ||v - y||^2/2 + gamma/2 ||v - u||^2 + alpha/2 ||v - v_old||^2."""
    return (y + gamma * u + alpha * v) / (1 + gamma + alpha)


def softmax(x: np.ndarray) -> np.ndarray:
    """Return exp(x_j) / sum_k exp(x_k) of one row."""
    e = np.exp(x - x.max())
    return e / e.sum()


def cross_entropy_loss(v, y):
    """Return R(v_i; y_i) = log sum_k exp(v_ik) - sum_j y_ij v_ij for every row."""
    top = v.max(axis=1)
    return top + np.log(np.sum(np.exp(v - top[:, None]), axis=1)) - np.sum(y * v, axis=1)


def cross_entropy_step(v, u, y, gamma, alpha):
    """Return argmin_v R(v; y) + gamma/2 ||v - u||^2 + alpha/2 ||v - v_old||^2, row by row.

    Newton's method with the full Hessian diag(p) - p p' + (gamma + alpha) I; a step is halved
    until the objective does not rise by more than its rounding.
    """
    new = np.empty(v.shape)
    for i in range(v.shape[0]):

        def cost(x, i=i):
            near_u, near_v = np.sum((x - u[i]) ** 2), np.sum((x - v[i]) ** 2)
            return cross_entropy_loss(x[None], y[i : i + 1])[0] + (
                gamma / 2 * near_u + alpha / 2 * near_v
            )

        x = np.array(v[i], dtype=np.float64)
        for _ in range(100):
            p = softmax(x)
            gradient = p - y[i] + gamma * (x - u[i]) + alpha * (x - v[i])
            hessian = np.diag(p) - np.outer(p, p) + (gamma + alpha) * np.eye(p.size)
            step = -np.linalg.solve(hessian, gradient)
            length = 1.0
            while cost(x + length * step) > cost(x) + 1e-14 * (1 + abs(cost(x))):
                length /= 2
            x = x + length * step
            if np.max(np.abs(step)) <= 1e-14 * (1 + np.max(np.abs(x))):
                break
        new[i] = x
    return new


def spd_solve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return X of A X = B, where A is the symmetric matrix with the lower triangle of ``a``."""
    lower = np.tril(a)
    return np.linalg.solve(lower + np.tril(a, -1).T, b)


def hard_threshold(x: np.ndarray, k: int) -> np.ndarray:
    """Keep the first k entries of the order by (-|x_i|, i); the others become zero."""
    order = np.argsort(-np.abs(x), kind="stable")
    result = np.zeros_like(x)
    result[order[:k]] = x[order[:k]]
    return result


def tt_svd(tensor, modes, ranks) -> list[np.ndarray]:
    """Return the cores of the TT-SVD: one SVD per unfolding, cut to the rank (Oseledets 2011)."""
    cores = []
    rest = np.asarray(tensor, dtype=np.float64)
    for k, mode in enumerate(modes[:-1]):
        left, values, right = np.linalg.svd(rest.reshape(ranks[k] * mode, -1), full_matrices=False)
        rank = ranks[k + 1]
        cores.append(left[:, :rank].reshape(ranks[k], mode, rank))
        rest = values[:rank, None] * right[:rank]
    cores.append(rest.reshape(ranks[-2], modes[-1], 1))
    return cores


def tt_entries(cores: Sequence[np.ndarray]) -> np.ndarray:
    """Return T[i_1 .. i_d] = G_1[:, i_1, :] ... G_d[:, i_d, :], row-major, flat."""
    product = np.ones((1, 1))
    for core in cores:
        product = np.einsum("xr,rms->xms", product, core).reshape(-1, core.shape[2])
    return product.ravel()


def unfolding_tail(tensor, modes, ranks) -> float:
    """Return sum_k sum_{j > r_k} s_kj^2 over the singular values of all unfoldings.

    The squared error of a TT-SVD is at most this (Oseledets 2011, theorem 2.2).
    """
    total = 0.0
    for k in range(1, len(modes)):
        values = np.linalg.svd(np.reshape(tensor, (int(np.prod(modes[:k])), -1)), compute_uv=False)
        total += float(np.sum(values[ranks[k] :] ** 2))
    return total


def weighted_squared_distance(a, b, weight) -> float:
    """Return sum_i weight_i sum_j (a_ij - b_ij)^2."""
    total = 0.0
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            total += float(weight[i]) * (float(a[i, j]) - float(b[i, j])) ** 2
    return total


def add_bias(z, bias, slope):
    """Return sigma(z_ij + bias_j) for sigma(u) = max(u, 0) + slope * min(u, 0)."""
    return activate(
        np.asarray(z, np.float64) + np.asarray(bias, np.float64), piecewise_linear(slope)
    )


def patches(images, kernel, stride, padding):
    """Return the patches (n, p, k_h * k_w * c) of images (n, h, w, c), cut out one by one."""
    (kh, kw), (sh, sw), (ph, pw) = kernel, stride, padding
    padded = np.pad(images, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    found = [
        padded[:, y : y + kh, x : x + kw].reshape(len(images), -1)
        for y in range(0, padded.shape[1] - kh + 1, sh)
        for x in range(0, padded.shape[2] - kw + 1, sw)
    ]
    return np.stack(found, axis=1)


def windows(images, window):
    """Return the windows (n, h', w', q_h * q_w, c) of images (n, h, w, c)."""
    n, h, w, c = images.shape
    qh, qw = window
    inside = images[:, : h // qh * qh, : w // qw * qw]
    blocks = inside.reshape(n, h // qh, qh, w // qw, qw, c)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(n, h // qh, w // qw, qh * qw, c)


def max_pool_cost(u, c, v, sigma, g):
    """Return (v - max sigma(u))^2 + g ||u - c||^2 of one window."""
    return (v - sigma(u).max()) ** 2 + g * np.sum((u - c) ** 2)


def best_max_pool_cost(c, v, sigma, g, n_grid=4001):
    """Return the least cost over u, by trying many values of the largest u.

    For a largest value t, the best others are those c that lie below it, and t.
    """
    reach = np.abs(c).max() + abs(v) + 2
    best = np.inf
    for t in np.linspace(-reach, reach, n_grid):
        u = np.minimum(c, t)
        u[c.argmax()] = t
        best = min(best, max_pool_cost(u, c, v, sigma, g))
    return best
