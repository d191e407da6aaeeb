"""Slow twins of the mini-batch step: whole arrays, explicit inverses, no work arrays."""

from __future__ import annotations

import numpy as np
from numpy.linalg import inv
from scipy.special import erf


def softmax(u):
    e = np.exp(u - u.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def hinge_prox(u, y):
    """arg min_v y max(0, 1-v) + (1-y) max(0, 1+v) + (v-u)^2/2, by trying all candidates."""
    candidates = np.stack(
        [u + y, np.full_like(u, -1), u - (1 - 2 * y), np.full_like(u, 1), u - (1 - y)]
    )
    value = (
        y * np.maximum(0, 1 - candidates)
        + (1 - y) * np.maximum(0, 1 + candidates)
        + (candidates - u) ** 2 / 2
    )
    return np.take_along_axis(candidates, value.argmin(axis=0)[None], axis=0)[0]


DIRECTIONS = {
    "squared": lambda u, y, eps: y - u,
    "cross_entropy": lambda u, y, eps: (1 - eps) * y + eps / y.shape[1] - softmax(u),
    "logistic": lambda u, y, eps: (1 - eps) * y + eps / 2 - 1 / (1 + np.exp(-u)),
    "hinge": lambda u, y, eps: hinge_prox(u, y) - u,
}

SLOPES = {
    "relu": lambda u: (u > 0) * 1.0,
    "leaky_relu": lambda u: np.where(u > 0, 1.0, 0.01),
    "hard_tanh": lambda u: (np.abs(u) < 1) * 1.0,
    "identity": np.ones_like,
    "logistic": lambda u: np.exp(-u) / (1 + np.exp(-u)) ** 2,
    "tanh": lambda u: np.cosh(u) ** -2.0,
    "softplus": lambda u: 1 / (1 + np.exp(-u)),
    "silu": lambda u: (1 + np.exp(-u) * (1 + u)) / (1 + np.exp(-u)) ** 2,
    "gelu": lambda u: (1 + erf(u / np.sqrt(2))) / 2 + u * np.exp(-u * u / 2) / np.sqrt(2 * np.pi),
}

VALUES = {
    "relu": lambda u: np.maximum(u, 0),
    "leaky_relu": lambda u: np.maximum(u, 0.01 * u),
    "hard_tanh": lambda u: np.clip(u, -1, 1),
    "identity": lambda u: u,
    "logistic": lambda u: 1 / (1 + np.exp(-u)),
    "tanh": np.tanh,
    "softplus": lambda u: np.log(1 + np.exp(u)),
    "silu": lambda u: u / (1 + np.exp(-u)),
    "gelu": lambda u: u * (1 + erf(u / np.sqrt(2))) / 2,
}


def first_step(z, y, weight, weights, biases, activation, loss, *, length, rate, damping, gain,
               smoothing, decay):  # fmt: skip
    """The first step of a fit in which the only batch is all data.

    The running statistics are then the batch's own, the running step size is the step's, and
    there is no momentum yet. ``z`` are inputs in which the first layer's steps are plain.
    Returns the new weights and biases.
    """
    n = len(z)
    v, u = [z], []
    for w, b in zip(weights, biases, strict=True):
        u.append(v[-1] @ w + b)
        v.append(VALUES[activation](u[-1]))
    d = [weight[:, None] * DIRECTIONS[loss](u[-1], y, smoothing)]
    for w, below in zip(weights[:0:-1], u[-2::-1], strict=True):
        r = inv(w.T @ w + np.eye(w.shape[1]) / gain) @ w.T
        d.insert(0, SLOPES[activation](below) * (d[0] @ r))
    new_weights, new_biases = [], []
    for index, (w, b) in enumerate(zip(weights, biases, strict=True)):
        mean_d = d[index].mean(axis=0)
        if index == 0:
            step, bias_step = z.T @ d[0] / n, mean_d
        else:
            share = weight / weight.sum()
            mu = share @ v[index]
            centered = v[index] - mu
            g = centered.T @ (share[:, None] * centered)
            ridge = damping * np.sum(g * g) / np.trace(g) + 1e-6 * np.trace(g) + 1e-12
            gradient = v[index].T @ d[index] / n - np.outer(mu, mean_d)
            step = inv(g + ridge * np.eye(len(g))) @ gradient
            bias_step = mean_d - mu @ step
        eta = length * rate * np.linalg.norm(w) / np.linalg.norm(step)
        new_weights.append((1 - length * decay) * w + eta * step)
        new_biases.append(b + eta * bias_step)
    return new_weights, new_biases
