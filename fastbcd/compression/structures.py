"""Structured pruning, which a refinement and the removal of dead neurons must keep."""

from __future__ import annotations

from collections.abc import Sequence

from fastbcd.schemes import Combination, Prune
from fastbcd.schemes.nearest.thresholds import block, pattern
from fastbcd.schemes.protocol import Scheme


def structure_of(scheme: Scheme | None) -> str | None:
    """Return the pruning structure of ``scheme``, or None."""
    pruning = scheme.prune if isinstance(scheme, Combination) else scheme
    return pruning.structure if isinstance(pruning, Prune) else None


def keeps_features(schemes: Sequence[Scheme | None]) -> bool:
    """Return whether the first layer must keep all features of an encoding, used or not."""
    return -1 in aligned(schemes)


def aligned(schemes: Sequence[Scheme | None]) -> frozenset[int]:
    """Return the hidden layers that must keep all neurons; -1 stands for the inputs.

    Patterns and blocks are counted from the first row and column of a layer. Without one neuron,
    the patterns after it would no longer be aligned.
    """
    kept: set[int] = set()
    for index, structure in enumerate(map(structure_of, schemes)):
        if structure is None:
            continue
        tile = block(structure)
        if pattern(structure) is not None or (tile is not None and tile[0] > 1):
            kept.add(index - 1)
        if tile is not None and tile[1] > 1:
            kept.add(index)
    return frozenset(kept)
