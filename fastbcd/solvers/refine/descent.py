"""A refinement that starts with more weights than are wanted and removes them gradually."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastbcd.network.network import Network
from fastbcd.utils.types import Float64


@dataclass(frozen=True)
class Descent:
    """The start of a refinement, and the number of non-zeros of the pruned layers at its end.

    Parameters
    ----------
    start : Network
        A network with more non-zeros.
    left : tuple of int
        Numbers of non-zeros at the end: one for each pruned layer, or one for all together.
    """

    start: Network
    left: tuple[int, ...]

    def at(self, spent: float) -> tuple[int, ...]:
        """Return the numbers of non-zeros after a fraction ``spent`` of the way.

        They fall as a cubic (Zhu, Gupta, arXiv:1710.01878): most weights go early, while many
        others can compensate for them.
        """
        stored = [layer.weight.n_params for layer in self.start.layers if layer.weight.is_pruned]
        first = stored if len(self.left) == len(stored) else [sum(stored)]
        ahead = max(0.0, 1.0 - spent) ** 3
        return tuple(
            left + round(max(most - left, 0) * ahead)
            for most, left in zip(first, self.left, strict=True)
        )


def survivors(costs: Sequence[Float64], left: Sequence[int]) -> list[NDArray[np.bool_]]:
    """Return which weights stay: those whose removal costs most.

    Parameters
    ----------
    costs : sequence of (k_l,) arrays
        Cost of the removal of each weight of each layer, in the same units.
    left : sequence of int
        Number of weights that stay in each layer, or one number for all layers together.
    """
    if len(left) != len(costs):
        ends = np.cumsum([cost.size for cost in costs])
        return list(np.split(_largest(np.concatenate(costs), left[0]), ends[:-1]))
    return [_largest(cost, count) for cost, count in zip(costs, left, strict=True)]


def _largest(cost: Float64, count: int) -> NDArray[np.bool_]:
    stays = np.zeros(cost.size, bool)
    stays[np.argsort(-cost, kind="stable")[:count]] = True
    return stays
