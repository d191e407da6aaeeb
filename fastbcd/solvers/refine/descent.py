"""A refinement that starts with more weights than are wanted and loses them little by little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastbcd.network.network import Network
from fastbcd.utils.types import Float64


@dataclass(frozen=True)
class Descent:
    """Where to start, and how many non-zeros of the pruned layers are wanted in the end.

    Parameters
    ----------
    start : Network
        A network with more non-zeros.
    left : tuple of int
        How many are wanted: one number for each pruned layer, or one for all of them together.
    """

    start: Network
    left: tuple[int, ...]

    def at(self, spent: float) -> tuple[int, ...]:
        """Return what is left when a share ``spent`` of the way is behind.

        It falls as a cubic (Zhu, Gupta, arXiv:1710.01878): most go early, while there are many to
        make up for them.
        """
        stored = [layer.weight.n_params for layer in self.start.layers if layer.weight.is_pruned]
        first = stored if len(self.left) == len(stored) else [sum(stored)]
        ahead = max(0.0, 1.0 - spent) ** 3
        return tuple(
            left + round(max(most - left, 0) * ahead)
            for most, left in zip(first, self.left, strict=True)
        )


def survivors(costs: Sequence[Float64], left: Sequence[int]) -> list[NDArray[np.bool_]]:
    """Return which weights stay: those whose loss would cost most.

    Parameters
    ----------
    costs : sequence of (k_l,) arrays
        What each weight of each layer costs when it goes, in the same units.
    left : sequence of int
        How many stay in each layer, or in all of them together.
    """
    if len(left) != len(costs):
        ends = np.cumsum([cost.size for cost in costs])
        return list(np.split(_largest(np.concatenate(costs), left[0]), ends[:-1]))
    return [_largest(cost, count) for cost, count in zip(costs, left, strict=True)]


def _largest(cost: Float64, count: int) -> NDArray[np.bool_]:
    stays = np.zeros(cost.size, bool)
    stays[np.argsort(-cost, kind="stable")[:count]] = True
    return stays
