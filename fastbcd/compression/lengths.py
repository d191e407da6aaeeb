"""The automatic length of a refinement, and the number of rows of its steps."""

from __future__ import annotations

import numpy as np

from fastbcd.compression.settings import DEFAULTS, CompressionSettings
from fastbcd.network.network import Network
from fastbcd.solvers.refine import RefineSettings


def batch_size(n_rows: int, settings: CompressionSettings = DEFAULTS) -> int:
    """Return the number of rows of a step, if there are ``n_rows`` rows."""
    usual = RefineSettings.batch_size
    return min(usual, max(usual // 4, n_rows // settings.batches))


def automatic_epochs(
    network: Network, n_rows: int, settings: CompressionSettings = DEFAULTS
) -> float:
    """Return the number of passes over ``n_rows`` rows of a refinement of ``network``."""
    most = settings.max_factored if has_factors(network) else settings.max_epochs
    return float(np.clip(settings.steps * RefineSettings.batch_size / n_rows, 1, most))


def has_factors(network: Network) -> bool:
    """Return whether layers of ``network`` are made of factors."""
    weights = [layer.weight for layer in network.layers]
    return any(weight.is_factored and weight.n_levels is None for weight in weights)


def times_longer(
    network: Network, epochs: float, settings: CompressionSettings = DEFAULTS
) -> float:
    """Return the factor of ``epochs`` for a refinement of ``network``, given its codes."""
    weights = [layer.weight for layer in network.layers]
    levels = [
        weight.n_levels
        for weight in weights
        if weight.n_levels is not None and not (weight.on_support or weight.is_factored)
    ]
    if not levels or min(levels) > settings.few_levels:
        return 1.0
    return max(1.0, min(settings.longer, settings.long / epochs))
