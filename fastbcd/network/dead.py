"""Removal of dead neurons, which does not change the outputs.

A neuron without incoming weights is the constant sigma(b); the constant is added to the intercepts
of the next layer. A neuron without outgoing weights has no effect. Removing a neuron can make
others dead, so the removal is repeated until nothing changes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from itertools import pairwise

import numpy as np

from fastbcd.formats.operations import take_inputs, take_outputs
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.network import Layer, Network
from fastbcd.utils.types import Float


def remove_dead(network: Network, whole: Collection[int] = ()) -> tuple[Network, list[int]]:
    """Return an equivalent network without dead neurons.

    A pair of layers is left unchanged if removal would make it larger, as with tensor trains. Every
    hidden layer keeps at least one neuron.

    Parameters
    ----------
    network : Network
        Not changed.
    whole : collection of int, optional
        Indices of hidden layers that keep all neurons.

    Returns
    -------
    network : Network
        Its outputs are the same, up to rounding.
    removed : list of int
        Number of neurons removed from each hidden layer.
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
    """Return the number of neurons without inputs or without outputs in each hidden layer."""
    counts = []
    for layer, following in pairwise(network.layers):
        alive = layer.weight.to_dense().any(axis=0)
        if following.is_plain and not layer.sees_images:
            alive &= following.weight.to_dense().any(axis=1)
        counts.append(int(np.count_nonzero(~alive)))
    return counts


def _clean(layer: Layer, following: Layer) -> list[Layer] | None:
    """Remove dead neurons between two layers; return None if nothing changes."""
    if layer.sees_images or not following.is_plain:
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
    # A format that cannot drop rows or columns becomes dense, which may be larger.
    if before.n_bits > layer.weight.n_bits or after.n_bits > following.weight.n_bits:
        return None
    constant: Float = ALL_ACTIVATIONS[layer.activation].value(layer.intercept).astype(np.float64)
    constant[has_input] = 0
    constant[kept] = 0  # a kept neuron still carries its own constant
    intercept = following.intercept + constant @ outgoing.astype(np.float64)
    dtype = following.intercept.dtype
    return [
        replace(layer, weight=before, intercept=layer.intercept[kept]),
        replace(following, weight=after, intercept=intercept.astype(dtype)),
    ]
