"""Distribution of a budget over the layers: the largest gain per byte first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

from fastbcd.schemes.protocol import Level


def lower_hull(levels: Sequence[Level], cost: Callable[[Level], int]) -> list[Level]:
    """Return the levels on the lower convex hull of (cost, error), by rising cost.

    Only these can be part of an optimum of the relaxed problem. Every level kept costs more
    than the one before, has a smaller error, and gains less per unit of cost.
    """
    hull: list[Level] = []
    for level in sorted(levels, key=lambda item: (cost(item), item.error)):
        if hull and (cost(level) == cost(hull[-1]) or level.error >= hull[-1].error):
            continue
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            rising = (a.error - b.error) * (cost(level) - cost(a)) <= (a.error - level.error) * (
                cost(b) - cost(a)
            )
            if not rising:
                break
            hull.pop()
        hull.append(level)
    return hull


def allocate(
    curves: Sequence[Sequence[Level]], budget: int, cost: Callable[[Level], int]
) -> list[Level] | None:
    """Choose one level per layer so that the summed error is small and the cost within budget.

    Starting from the cheapest level of every layer, the function repeatedly takes the step with
    the largest gain per cost that still fits. On convex curves this is optimal up to the last
    steps (Fox, Operations Research 14, 1966).

    Parameters
    ----------
    curves : sequence of sequences of Level
        The levels of each layer; errors of different layers must be comparable.
    budget : int
        Maximum of the total cost.
    cost : callable
        Cost of a level.

    Returns
    -------
    list of Level or None
        One per layer; None if even the cheapest levels exceed the budget.
    """
    hulls = [lower_hull(curve, cost) for curve in curves]
    place = [0] * len(hulls)
    left = budget - sum(cost(hull[0]) for hull in hulls)
    if left < 0:
        return None
    steps: list[tuple[float, int]] = []

    def offer(layer: int) -> None:
        if place[layer] + 1 < len(hulls[layer]):
            here, there = hulls[layer][place[layer] : place[layer] + 2]
            gain = (here.error - there.error) / (cost(there) - cost(here))
            heapq.heappush(steps, (-gain, layer))

    for layer in range(len(hulls)):
        offer(layer)
    while steps:
        _, layer = heapq.heappop(steps)
        here, there = hulls[layer][place[layer] : place[layer] + 2]
        if cost(there) - cost(here) > left:
            continue  # this layer is finished; a cheaper step of another may fit
        left -= cost(there) - cost(here)
        place[layer] += 1
        offer(layer)
    return [hull[at] for hull, at in zip(hulls, place, strict=True)]
