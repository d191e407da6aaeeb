"""Neurons that no longer matter: remove them, and change nothing that is computed.

A neuron without inputs is the constant sigma(b); it moves into the intercepts of the next
layer. A neuron without outputs is not needed. Removing one can empty others, so this is repeated
until nothing changes. What is counted afterwards is what is stored.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise

import numpy as np

from fastbcd.formats.operations import take_inputs, take_outputs
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.network import Layer, Network
from fastbcd.utils.types import Float


def remove_dead(network: Network, whole: Collection[int] = ()) -> tuple[Network, list[int]]:
    """Return an equal network without dead neurons.

    Layers that would be larger without them, such as tensor trains, stay as they are. A hidden
    layer keeps at least one neuron.

    Parameters
    ----------
    network : Network
        Not changed.
    whole : collection of int, optional
        Hidden layers that keep all neurons, dead or not.

    Returns
    -------
    network : Network
        Computes the same outputs, up to rounding.
    removed : list of int
        Neurons removed from each hidden layer.
    """
    layers = list(network.layers)
    widths = [layer.weight.shape[1] for layer in layers[:-1]]
    changed = True
    while changed:
        changed = False
        for index in (i for i in range(len(layers) - 1) if i not in whole):
            pair = _clean(layers[index], layers[index + 1])
            if pair is not None:
                layers[index : index + 2] = pair
                changed = True
    removed = [
        width - layer.weight.shape[1] for width, layer in zip(widths, layers[:-1], strict=True)
    ]
    return Network(layers), removed


def count_dead(network: Network) -> list[int]:
    """Return how many neurons of each hidden layer have no input or no output."""
    counts = []
    for layer, following in pairwise(network.layers):
        alive = layer.weight.to_dense().any(axis=0)
        if layer.is_plain and following.is_plain:
            alive &= following.weight.to_dense().any(axis=1)
        counts.append(int(np.count_nonzero(~alive)))
    return counts


def _clean(layer: Layer, following: Layer) -> list[Layer] | None:
    """Remove what is dead between two layers; None if nothing is, or one sees images."""
    if not (layer.is_plain and following.is_plain):
        return None
    incoming, outgoing = layer.weight.to_dense(), following.weight.to_dense()
    has_input, has_output = incoming.any(axis=0), outgoing.any(axis=1)
    kept = np.flatnonzero(has_input & has_output)
    if kept.size == has_input.size:
        return None
    if kept.size == 0:
        kept = np.array([0], np.intp)  # one neuron remains, so that every layer has a shape
        if has_input.size == 1:
            return None
    before, after = take_outputs(layer.weight, kept), take_inputs(following.weight, kept)
    # A format that cannot lose them becomes a dense matrix, which may be the larger one.
    if before.n_bits > layer.weight.n_bits or after.n_bits > following.weight.n_bits:
        return None
    constant: Float = ALL_ACTIVATIONS[layer.activation].value(layer.intercept).astype(np.float64)
    constant[has_input] = 0
    constant[kept] = 0  # a kept neuron still carries its own constant
    intercept = following.intercept + constant @ outgoing.astype(np.float64)
    dtype = following.intercept.dtype
    return [
        Layer(before, layer.intercept[kept], layer.activation),
        Layer(after, intercept.astype(dtype), following.activation),
    ]
