"""Change the input coordinates of the first layer during a fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastbcd.solvers.minibatch.state import State
from fastbcd.statistics.inputs import InputMap
from fastbcd.utils.types import Float


def rebase(state: State, inputs: InputMap) -> None:
    """Express the first layer, its momentum and its average in other input coordinates.

    Parameters
    ----------
    state : State
        Modified; the network on raw data is the same.
    inputs : InputMap
        The new coordinates, without truncation.
    """
    old, layer = state.inputs, state.layers[0]
    state.inputs = inputs
    moved = inputs.center - old.center
    mean_weight = state.recent.arrays[0].reshape(layer.weight.shape)
    mean_bias = state.recent.arrays[1]
    if layer.scheme is None:
        for weight, bias in ((layer.weight, layer.bias), (mean_weight, mean_bias)):
            raw = old.to_inputs(weight)
            bias += moved @ raw
            weight[...] = inputs.from_inputs(raw)
        layer.momentum[...] = inputs.from_inputs(old.to_inputs(layer.momentum))
    else:  # in the coordinates of the data already; its center is not
        layer.bias += moved @ layer.used
        mean_bias += moved @ layer.scheme.project(mean_weight).to_dense()
    layer.square = float(np.vdot(layer.weight, layer.weight))
    state.take_snapshot()


def set_weights(state: State, which: NDArray[np.bool_], values: Float | None) -> None:
    """Set the first layer's weights of some inputs, and the means of these weights.

    Parameters
    ----------
    state : State
        Modified.
    which : (d,) bool array
        Inputs whose weights are set.
    values : (d, m) array or None
        Weights of all inputs in the units of the data; zero if None.
    """
    layer, coordinates = state.layers[0], state.inputs
    mean = state.recent.arrays[0].reshape(layer.weight.shape)
    for weight in (layer.weight, mean, layer.momentum, layer.tied):
        if weight is None:
            continue
        raw = weight if layer.scheme is not None else coordinates.to_inputs(weight)
        raw[which] = 0 if values is None or weight is layer.momentum else values[which]
        if raw is not weight:
            weight[...] = coordinates.from_inputs(raw)
    layer.square = float(np.vdot(layer.weight, layer.weight))
