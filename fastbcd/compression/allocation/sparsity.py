"""One sparsity for all hidden layers together, distributed by their error curves."""

from __future__ import annotations

from fastbcd.compression.allocation.greedy import allocate
from fastbcd.compression.budget import Budget
from fastbcd.compression.settings import DEFAULTS, CompressionSettings
from fastbcd.schemes.by_layer import schemes_by_layer
from fastbcd.schemes.protocol import Scheme
from fastbcd.solvers.reconstruct import Calibration


def fixed_schemes(
    budget: Budget, calibration: Calibration, settings: CompressionSettings = DEFAULTS
) -> list[Scheme | None]:
    """Return the scheme of every layer.

    One sparsity for all hidden layers means the sparsity of all of them together, unless
    ``allocation="uniform"``.
    """
    layout = calibration.network.architecture
    schemes = schemes_by_layer(budget.scheme, layout.shapes, layout.images)
    one, hidden = budget.scheme, layout.shapes[:-1]
    if not isinstance(one, Scheme) or budget.allocation == "uniform" or len(hidden) < 2:
        return schemes
    sizes = [rows * columns for rows, columns in hidden]
    total = one.share_of(sum(sizes))
    if total is None or total == sum(sizes):
        return schemes
    pruning = one.with_nonzeros(None)
    density = total / sum(sizes)
    # No layer can keep more than all of its weights.
    low, high = settings.span
    spans = [(low * density, min(1.0, high * density, total / size)) for size in sizes]
    families: list[list[Scheme]] = [[pruning]] * len(hidden) + [[]]
    curves = calibration.curves(families, [*spans, (1.0, 1.0)])[:-1]
    chosen = allocate(curves, total, lambda level: level.n_params)
    if chosen is None:
        return schemes
    counts = [level.n_params for level in chosen]
    # The curves have steps; the remaining weights go to the last layer with room.
    for index in reversed(range(len(counts))):
        counts[index] += min(total - sum(counts), sizes[index] - counts[index])
    return [*(one.with_nonzeros(count) for count in counts), None]
