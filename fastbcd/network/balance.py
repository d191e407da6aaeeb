"""Rescaling of neurons whose incoming and outgoing weights differ widely in size."""

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
"""Neurons with a rescaling factor between 1 / TOLERATED and TOLERATED are not rescaled."""


def balanced(network: Network) -> Network:
    """Return a network with the same outputs and balanced neuron scales.

    A least-squares fit on few inputs may give an almost constant neuron an outgoing weight of
    several hundred. A gradient propagated back through this weight is then hundreds of times too
    large for the weights before it. If the activation commutes with positive factors, the incoming
    weights of neuron i can be multiplied by c_i and its outgoing weights divided by c_i. The factor
    c_i brings the ratio of the two norms to the median ratio of the layer. It is rounded to a power
    of two, so that no bit of the outputs changes.

    Parameters
    ----------
    network : Network
        Not changed. Only neurons between unquantised dense or sparse weights are rescaled.
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
            continue  # a format that cannot be scaled by row or column is kept
        layers[index] = replace(before, weight=scaled[0], intercept=before.intercept * factor)
        layers[index + 1] = replace(after, weight=scaled[1])
    return Network(layers)


def _factors(w_in: Float, w_out: Float) -> Float:
    """Return the factors c (m,): powers of two, 1 for neurons that are not rescaled."""
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
    """Return whether the weights are neither quantised nor factored."""
    return weight.n_levels is None and not weight.is_factored
