"""How long a refinement is, if nobody says, and how many rows its steps see."""

from __future__ import annotations

import numpy as np

from fastbcd._network import Network
from fastbcd.formats import CodebookMatrix, Format, LowRankMatrix, TensorTrainMatrix
from fastbcd.solvers.reconstruct.refine import Course

STEPS, LARGE, MOST_TIMES = 1500, 100_000, 2.5
"""Steps of an automatic refinement. Networks of fewer weights than ``LARGE`` get more, with the
root of the ratio, up to so many times as many: their steps are cheap."""

MAX_EPOCHS, MAX_FACTORED = 40, 100
"""Passes over the rows that an automatic refinement does not exceed, the second of factors: they
are too few to learn the rows by heart, and have a longer way to go."""

FACTORED = LowRankMatrix, TensorTrainMatrix

FEW, LONGER = 16, 3.0
"""Layers of at most so many levels, nothing pruned, take so many times the epochs: only many short
steps change codes one by one."""

BATCHES = 30
"""Steps in an epoch, if batches of a quarter of the usual size are enough for that."""


def batch_size(n_rows: int) -> int:
    """Return how many of ``n_rows`` rows a step sees."""
    return min(Course.batch_size, max(Course.batch_size // 4, n_rows // BATCHES))


def automatic_epochs(network: Network, n_rows: int) -> float:
    """Return the passes over ``n_rows`` rows that a refinement of ``network`` takes.

    Factors count as the numbers that they are. Those of pruned layers come and go, so that these
    count as dense.
    """
    n_weights = sum(_size(layer.weight) for layer in network.layers)
    steps = STEPS * float(np.clip(np.sqrt(LARGE / n_weights), 1, MOST_TIMES))
    most = MAX_FACTORED if has_factors(network) else MAX_EPOCHS
    return float(np.clip(steps * Course.batch_size / n_rows, 1, most))


def has_factors(network: Network) -> bool:
    """Return whether layers of ``network`` are made of factors."""
    return any(isinstance(layer.weight, FACTORED) for layer in network.layers)


def times_longer(network: Network, epochs: float) -> float:
    """Return how many times ``epochs`` a refinement of ``network`` takes, for all its codes."""
    levels = [
        layer.weight.codebook.size
        for layer in network.layers
        if isinstance(layer.weight, CodebookMatrix)
    ]
    if not levels or min(levels) > FEW:
        return 1.0
    return max(1.0, min(LONGER, MAX_EPOCHS / epochs))


def _size(weight: Format) -> int:
    return weight.n_params if isinstance(weight, FACTORED) else weight.shape[0] * weight.shape[1]
