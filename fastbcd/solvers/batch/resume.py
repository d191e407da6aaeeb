"""Further training of one given network in batches, in the coordinates of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fastbcd.formats import DenseMatrix
from fastbcd.network.network import Network
from fastbcd.solvers.batch.coordinates import Coordinates
from fastbcd.solvers.batch.engine import LockStep, Rows
from fastbcd.solvers.batch.settings import DEFAULTS, BatchSettings, batch_size_for
from fastbcd.solvers.batch.units import DESCENT
from fastbcd.utils.types import Float, Float64

KNOWN = ("relu", "leaky_relu", "hard_tanh", "identity")
"""Activations of :func:`.units.activate` that need no table of smooth curves."""


def can_resume(network: Network, loss: str) -> bool:
    """Return whether :func:`resume` can train ``network``: dense layers of one activation."""
    names = {layer.activation for layer in network.layers[:-1]}
    return (
        network.is_plain
        and len(names) == 1
        and names <= {*KNOWN}
        and network.layers[-1].activation == "identity"
        and loss in DESCENT
    )


def resume(
    network: Network,
    x: Float,
    targets: Float,
    loss: str,
    epochs: float,
    seed: int,
    sample_weight: Float64 | None = None,
    settings: BatchSettings | None = None,
    tell: Callable[[float], None] | None = None,
) -> Network:
    """Return ``network`` trained on towards ``targets``, averaged over its steps.

    Parameters
    ----------
    network : Network
        See :func:`can_resume`.
    x : (n, d) array
        Inputs.
    targets : (n, k) array
        Numbers, or probabilities.
    loss : str
        Name; targets of "cross_entropy" and "logistic" are not smoothed any more.
    epochs : float
        Passes over the rows.
    seed : int
        Source of the order of the rows.
    sample_weight : (n,) array, optional
        Non-negative weights of the rows.
    settings : BatchSettings, optional
        Numbers of the method.
    tell : callable, optional
        Told the share that is done, after each epoch.

    Returns
    -------
    Network
        Of the same shape and type, its layers dense. Cost: n d^2 flops for the coordinates, then
        6 flops a weight and row.
    """
    settings = replace(settings or DEFAULTS, smoothing=0.0)
    n = len(x)
    weight = np.ones(n) if sample_weight is None else sample_weight.astype(np.float64)
    coordinates, rotated = Coordinates.of(x, weight, settings)
    widths = [layer.weight.shape[1] for layer in network.layers]
    counts = None if sample_weight is None else (weight / weight.mean()).astype(np.float32)
    engine = LockStep(
        Rows(rotated, coordinates.variances, np.ascontiguousarray(targets, np.float32), counts),
        widths[:-1],
        network.layers[0].activation,
        loss,
        np.ones((1, n), np.float32),
        [0],
        network.layers[-1].intercept.astype(np.float64),
        settings,
        seed,
    )
    own = engine.networks
    for index, layer in enumerate(network.layers):
        dense = layer.weight.to_dense().astype(np.float64)
        bias = layer.intercept.astype(np.float64)
        if index == 0:
            bias = bias + coordinates.center @ dense
            unit = np.where(np.isinf(coordinates.unit), 0, coordinates.unit)
            dense = coordinates.rotation.T @ (unit[:, None] * dense)
        own.weights[index][0], own.biases[index][0] = dense, bias
    rng = np.random.default_rng(seed)
    size = min(batch_size_for(n), n)
    per_epoch = n // size
    left = total = max(1, round(epochs * per_epoch))
    while left:
        order = rng.permutation(n)[: per_epoch * size].reshape(per_epoch, size)[:left]
        engine.advance(np.ascontiguousarray(order, np.int64))
        left -= len(order)
        if tell is not None:
            tell(1 - left / total)
    weights, biases = engine.averaged(0)
    layers = []
    for index, layer in enumerate(network.layers):
        found: Float = weights[index]
        bias: Float = biases[index]
        if index == 0:
            found, bias = coordinates.to_inputs(found, bias)
        dtype = layer.intercept.dtype
        stored = DenseMatrix(np.ascontiguousarray(found.astype(dtype)))
        layers.append(replace(layer, weight=stored, intercept=bias.astype(dtype)))
    return Network(layers)
