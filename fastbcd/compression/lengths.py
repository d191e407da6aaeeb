"""How long a refinement is, if nobody says, and how many rows its steps see."""

from __future__ import annotations

import numpy as np

from fastbcd.network.network import Network
from fastbcd.solvers.refine import Course

STEPS = 3000
"""Steps of an automatic refinement, if there are rows enough for them."""

MAX_EPOCHS, MAX_FACTORED = 80, 100
"""Passes over the rows that an automatic refinement does not exceed, the second of factors: they
are too few to learn the rows by heart, and have a longer way to go."""

FEW, LONGER, LONG = 16, 1.5, 40
"""Layers of at most so many levels, nothing pruned, take so many times the epochs, but for that no
more of them than the third: only many short steps change codes one by one."""

BATCHES = 30
"""Steps in an epoch, if batches of a quarter of the usual size are enough for that."""


def batch_size(n_rows: int) -> int:
    """Return how many of ``n_rows`` rows a step sees."""
    return min(Course.batch_size, max(Course.batch_size // 4, n_rows // BATCHES))


def automatic_epochs(network: Network, n_rows: int) -> float:
    """Return the passes over ``n_rows`` rows that a refinement of ``network`` takes."""
    most = MAX_FACTORED if has_factors(network) else MAX_EPOCHS
    return float(np.clip(STEPS * Course.batch_size / n_rows, 1, most))


def has_factors(network: Network) -> bool:
    """Return whether layers of ``network`` are made of factors."""
    weights = [layer.weight for layer in network.layers]
    return any(weight.is_factored and weight.n_levels is None for weight in weights)


def times_longer(network: Network, epochs: float) -> float:
    """Return how many times ``epochs`` a refinement of ``network`` takes, for all its codes."""
    weights = [layer.weight for layer in network.layers]
    levels = [
        weight.n_levels
        for weight in weights
        if weight.n_levels is not None and not (weight.on_support or weight.is_factored)
    ]
    if not levels or min(levels) > FEW:
        return 1.0
    return max(1.0, min(LONGER, LONG / epochs))
