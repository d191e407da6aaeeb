"""Forward pass of the activations and backward pass of the targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fastbcd.linalg import batch_products as blas
from fastbcd.network.layers.activations import Activation
from fastbcd.network.layers.architecture import Architecture
from fastbcd.solvers.minibatch.state import State
from fastbcd.utils.types import Float


class Pass(NamedTuple):
    """The arrays of a forward pass, layer by layer.

    Parameters
    ----------
    inputs : list of (B * p, k) arrays
        V as inputs of the weights: rows, or patches.
    outputs : list of (B * p, m) arrays
        Activations before any pooling; in the last layer, the products without bias.
    known : list of (B * p, m) arrays
        What the derivative of each activation is computed from: the output, or a copy of the
        pre-activation where the output does not determine the derivative.
    """

    inputs: list[Float]
    outputs: list[Float]
    known: list[Float]


def forward(
    state: State, layout: Architecture, activations: Sequence[Activation], first: Float
) -> Pass:
    """Run the inputs of the first layer through the network."""
    done = Pass([first], [], [])
    n = len(first) // layout.views[0].positions
    last = len(state.layers) - 1
    for index, layer in enumerate(state.layers):
        seen = done.inputs[-1]
        out = state.buffer("value", index, len(seen), layer.weight.shape[1])
        blas.product(seen, layer.used, out)
        done.outputs.append(out)
        if index == last:
            break
        activation = activations[index]
        if activation.by_value:
            activation.add_bias(out, layer.bias)
            done.known.append(out)
        else:
            before = state.buffer("before", index, *out.shape)
            np.add(out, layer.bias, out=before)
            activation.value(before, out=out)
            done.known.append(before)
        pool = layout.pools[index]
        v = out.reshape(n, -1)
        if pool is not None:
            v = pool.forward(v, state.buffer("pooled", index, n, pool.n_out))
        done.inputs.append(layout.views[index + 1].rows(v))
    return done


def backward(
    state: State, layout: Architecture, activations: Sequence[Activation], done: Pass
) -> tuple[list[Float], list[Float]]:
    """Return D_1 .. D_L and their column means; the last output already holds D_L."""
    last = len(state.layers) - 1
    changes, means = (
        [done.outputs[-1]],
        [state.buffer("mean", last, 1, done.outputs[-1].shape[1])[0]],
    )
    n = len(done.outputs[-1])
    for index in range(last - 1, -1, -1):
        width = state.layers[index].weight.shape[1]
        gain = state.layers[index + 1].gain
        d = state.buffer("change", index, len(changes[0]), gain.shape[1])
        mean = state.buffer("mean", index, 1, width)[0]
        blas.product(changes[0], gain, d)
        d = layout.views[index + 1].fold(d)
        pool, out = layout.pools[index], done.outputs[index]
        if pool is not None:
            d = pool.back(d, out.reshape(n, -1), state.buffer("spread", index, n, pool.n_in))
        d = d.reshape(out.shape)
        activations[index].mask(d, done.known[index], mean)
        changes.insert(0, d)
        means.insert(0, mean)
    return changes, means
