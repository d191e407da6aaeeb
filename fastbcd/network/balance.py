"""Neurons with tiny incoming and huge outgoing weights, or the other way round, rescaled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastbcd.formats import Format
from fastbcd.formats.operations import scale_inputs, scale_outputs
from fastbcd.network.network import Network
from fastbcd.utils.types import Float

HOMOGENEOUS = ("relu", "leaky_relu", "identity")
"""Activations with act(c u) = c act(u) for c > 0."""

TOLERATED = 4.0
"""Factor by which a neuron may be off without being touched."""


def balanced(network: Network) -> Network:
    """Return a network with the same outputs whose neurons are scaled alike.

    A least-squares fit on few inputs may use a neuron that hardly varies with a weight of
    hundreds. What is pulled back through that weight then is hundreds of times too long for
    the weights before it. With an activation that commutes with positive factors, neuron i may
    be multiplied by c_i and its outgoing weights divided by it; c_i is chosen so that the ratio
    of the norms of both becomes the layer's median, rounded to a power of two, so that no bit of
    the outputs changes.

    Parameters
    ----------
    network : Network
        Left as it is. Only neurons between plain or sparse weights are rescaled.
    """
    layers = list(network.layers)
    for index in range(len(layers) - 1):
        before, after = layers[index], layers[index + 1]
        if before.activation not in HOMOGENEOUS:
            continue
        if not all(_is_plain(layer.weight) for layer in (before, after)):
            continue
        w_in, w_out = before.weight.to_dense(), after.weight.to_dense()
        factor = _factors(w_in, w_out)
        if (factor == 1).all():
            continue
        scaled = scale_outputs(before.weight, factor), scale_inputs(after.weight, 1 / factor)
        if (type(scaled[0]), type(scaled[1])) != (type(before.weight), type(after.weight)):
            continue  # a format that cannot be scaled keeps its form
        layers[index] = replace(before, weight=scaled[0], intercept=before.intercept * factor)
        layers[index + 1] = replace(after, weight=scaled[1])
    return Network(layers)


def _factors(w_in: Float, w_out: Float) -> Float:
    """Return c (m,): powers of two, one where nothing is to be done."""
    factor = np.ones(w_in.shape[1], w_in.dtype)
    reach = np.linalg.norm(w_in, axis=0)
    weight = np.linalg.norm(w_out, axis=1)
    alive = np.flatnonzero((reach > 0) & (weight > 0))
    if alive.size:
        off = 0.5 * np.log2(weight[alive] / reach[alive])
        off -= np.median(off)
        off[np.abs(off) < np.log2(TOLERATED)] = 0.0
        factor[alive] = np.exp2(np.round(off))
    return factor


def _is_plain(weight: Format) -> bool:
    """Return whether every stored entry is a free number of its own."""
    return weight.n_levels is None and not weight.is_factored
