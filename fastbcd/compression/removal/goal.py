"""How far a removal goes: what a scheme or a number of bytes asks of the widths of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from fastbcd.schemes import Prune


@dataclass(frozen=True)
class Goal:
    """What may go, and when enough has gone.

    Parameters
    ----------
    layers : tuple of int
        Layers whose inputs may go: 0 for the inputs of the network, l for hidden layer l - 1.
    floors : tuple of int
        Units of each of all layers that stay at least.
    size : callable
        A number that falls with the widths (features that are left, hidden layers, outputs).
    least : float
        The removal ends once ``size`` is at most this.
    """

    layers: tuple[int, ...]
    floors: tuple[int, ...]
    size: Callable[[Sequence[int]], float]
    least: float = 0.0

    def met(self, widths: Sequence[int]) -> bool:
        """Return whether enough has gone."""
        return self.size(widths) <= self.least


def n_weights(widths: Sequence[int]) -> float:
    """Return the weights between layers of ``widths``."""
    return float(sum(a * b for a, b in pairwise(widths)))


def bytes_of(itemsize: int, n_columns: int, per_ramp: int = 0) -> Callable[[Sequence[int]], float]:
    """Return the function from widths to bytes of dense layers that read some of the columns.

    Parameters
    ----------
    itemsize : int
        Bytes of a number.
    n_columns : int
        Columns of the rows. The index of one takes the bytes of the smallest type that holds all.
    per_ramp : int, default=0
        More bytes of each feature that is left.
    """
    index = np.min_scalar_type(max(n_columns - 1, 0)).itemsize

    def size(widths: Sequence[int]) -> float:
        named = index * widths[0] if per_ramp or widths[0] < n_columns else 0
        return itemsize * (n_weights(widths) + sum(widths[1:])) + named + per_ramp * widths[0]

    return size


def goal_of(scheme: Prune, widths: Sequence[int], n_inputs: int) -> Goal:
    """Return the goal of a scheme with an amount.

    Parameters
    ----------
    scheme : Prune
        ``structure`` is "unit", "input" or "neuron".
    widths : sequence of int
        Features, hidden layers and outputs of the network before.
    n_inputs : int
        Its inputs: fewer than the features behind an encoding with ramps.

    Raises
    ------
    ValueError
        If the amount does not fit the network.
    """
    n_layers = len(widths) - 1
    scheme.check_units(n_inputs, int(n_weights(widths)))
    free = (0,) * n_layers
    if scheme.structure == "unit":
        if scheme.n_inputs is not None:
            if widths[0] > n_inputs:
                raise ValueError(
                    f"n_inputs={scheme.n_inputs!r}: this network reads several features of each "
                    'input. Use structure="input", or give structure="unit" another amount.'
                )
            every = tuple(range(n_layers))
            return Goal(every, (int(scheme.n_inputs), *free[1:]), _first, float(scheme.n_inputs))
        return Goal(tuple(range(n_layers)), free, n_weights, scheme.kept_of(n_weights(widths)))
    floors: list[int] = list(free)
    if scheme.structure == "input":
        floors[0] = scheme.n_inputs or max(1, round(scheme.kept_of(n_inputs)))
        return Goal((0,), tuple(floors), n_weights)
    floors[1:] = [scheme.neurons_kept(width) or 0 for width in widths[1:-1]]
    return Goal(tuple(range(1, n_layers)), tuple(floors), n_weights)


def open_goal(
    scheme: Prune, n_layers: int, size: Callable[[Sequence[int]], float], least: float = 0.0
) -> Goal:
    """Return the goal of a scheme without an amount, whose end is a ``size``."""
    layers = {"unit": range(n_layers), "input": range(1), "neuron": range(1, n_layers)}
    return Goal(tuple(layers[str(scheme.structure)]), (0,) * n_layers, size, least)


def _first(widths: Sequence[int]) -> float:
    return float(widths[0])


def floor_widths(goal: Goal, widths: Sequence[int], by_feature: Sequence[int]) -> list[int]:
    """Return the widths once all that may go has gone, about.

    Parameters
    ----------
    goal : Goal
        Its floors count inputs in their layer 0.
    widths : sequence of int
        Widths before.
    by_feature : sequence of int
        Features of each input, for the fewest features that the floor of inputs leaves.
    """
    found: list[Any] = list(widths)
    for index in goal.layers:
        floor = max(1, goal.floors[index])
        found[index] = min(widths[index], floor)
        if index == 0:
            found[0] = sum(sorted(by_feature)[:floor])
    return found
