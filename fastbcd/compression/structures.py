"""Structured pruning, which a refinement and the removal of dead neurons must keep."""

from __future__ import annotations

from collections.abc import Sequence

from fastbcd.network.network import Network
from fastbcd.schemes import Combination, Prune
from fastbcd.schemes.by_layer import SchemeChoice
from fastbcd.schemes.nearest.thresholds import block, pattern
from fastbcd.schemes.protocol import Scheme
from fastbcd.schemes.prune import UNITS


def structure_of(scheme: Scheme | None) -> str | None:
    """Return the pruning structure of ``scheme``, or None."""
    pruning = scheme.prune if isinstance(scheme, Combination) else scheme
    return pruning.structure if isinstance(pruning, Prune) else None


def removes_units(choice: SchemeChoice, network: Network) -> bool:
    """Return whether ``choice`` removes inputs or neurons of all layers of ``network`` jointly.

    Raises
    ------
    ValueError
        If it shall, but the network has convolutions.
    """
    if not isinstance(choice, Prune) or choice.structure not in UNITS:
        return False
    if not network.sees_images:
        return len(network.layers) > 1 or choice.structure != "neuron"
    if choice.structure == "neuron" and not choice.is_open:
        return False  # layer by layer
    raise ValueError(
        f"structure={choice.structure!r} removes inputs and neurons of networks of dense layers; "
        "this one has convolutions or pooling. Prune its weights without a structure, or name the "
        'dense layers: scheme={layer: Prune(sparsity=0.5, structure="neuron")}.'
    )


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
