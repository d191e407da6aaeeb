"""One factor of the outputs that makes probabilities mean what they say."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, log_softmax, softmax

from fastbcd.utils.types import Float, Float64

MOST = 3.0
"""Largest logarithm of a factor, up or down: it bounds the search, as a number of the machine."""

STEPS = 30
"""Newton steps at most, a number of the machine: four to six are typical."""


def fit_temperature(
    outputs: Float, targets: Float, sample_weight: Float64, spread: float, loss: str
) -> float:
    r"""Return the factor exp(a) of the outputs that minimises the held-out loss.

    .. math:: \min_a \sum_i w_i \ell(e^a z_i, y_i) + a^2 / (2 \sigma^2)

    The prior keeps a factor that few rows ask for near one: rows that are all right would ask
    for an infinite one. Guo et al., ICML 2017, without the prior.

    Parameters
    ----------
    outputs : (n, k) array
        Outputs for rows that the network has not learnt from.
    targets : (n, k) array
        Class indicators, or labels.
    sample_weight : (n,) array
        Weights of the rows.
    spread : float
        Standard deviation of the prior of a.
    loss : {"cross_entropy", "logistic"}
        What the outputs mean.
    """
    z, y = outputs.astype(np.float64), targets.astype(np.float64)
    low, high, a = -MOST, MOST, 0.0
    for _ in range(STEPS):
        t = np.exp(a) * z
        if loss == "cross_entropy":
            p = softmax(t, axis=1)
            mean = np.sum(p * t, axis=1)
            slope = sample_weight @ (mean - np.sum(y * t, axis=1))
            curve = sample_weight @ (np.sum(p * t * t, axis=1) - mean**2)
        else:
            p = expit(t)
            slope = sample_weight @ np.sum((p - y) * t, axis=1)
            curve = sample_weight @ np.sum(p * (1 - p) * t * t, axis=1)
        curve += slope  # of exp(a) itself, whose second derivative is exp(a)
        slope += a / spread**2
        curve += 1 / spread**2
        if slope > 0:
            high = a
        else:
            low = a
        new = a - slope / curve if curve > 0 else np.nan
        if not low < new < high:  # not convex in a everywhere: halve the bracket instead
            new = (low + high) / 2
        if abs(new - a) < 1e-4:
            return float(np.exp(new))
        a = new
    return float(np.exp(a))


def row_losses(outputs: Float, targets: Float, loss: str) -> Float64:
    """Return the loss of each row, in float64."""
    z, y = outputs.astype(np.float64), targets.astype(np.float64)
    found: Float64
    if loss == "cross_entropy":
        found = -np.sum(y * log_softmax(z, axis=1), axis=1)
    elif loss == "logistic":
        found = np.sum(np.logaddexp(0, z) - y * z, axis=1)
    elif loss == "hinge":
        found = np.sum(y * np.maximum(0, 1 - z) + (1 - y) * np.maximum(0, 1 + z), axis=1)
    else:
        found = 0.5 * np.sum(np.square(z - y), axis=1)
    return found
