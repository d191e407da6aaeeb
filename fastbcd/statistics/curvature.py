r"""The curvature of the loss in the pre-activations of each layer: Gauss-Newton matrices.

If the pre-activations of a layer change by dz, the loss of the network around its own predictions
rises by

.. math:: \tfrac12\, \mathrm{mean}\; dz^\top J^\top S J\, dz
          \approx \tfrac12\, \mathrm{mean}\; dz^\top B\, dz , \qquad
          B = \mathrm{mean}\; J^\top S J ,

with the derivatives J of the outputs and the Hessian S of the loss in the outputs. S does not
depend on the labels: it is diag(p) - p p' for a softmax, diag(p (1 - p)) for sigmoids, and the
identity for half the squared error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit, softmax

from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.network import Network
from fastbcd.utils.types import Float, Float64

LOSSES = ("softmax", "sigmoid", "squared")
"""Losses whose Hessian in the outputs is known."""


def hessian_root(outputs: Float, loss: str, column: int) -> Float:
    """Return column ``column`` of a root R of the Hessian, S = R R', for each row, (n, k).

    Parameters
    ----------
    outputs : (n, k) array
        Outputs of the network.
    loss : {"softmax", "sigmoid", "squared"}
        What they mean.
    column : int
        0 to k - 1.
    """
    root = np.zeros_like(outputs)
    if loss == "softmax":
        p = softmax(outputs, axis=1)
        size = np.sqrt(p[:, column])
        root -= p * size[:, None]
        root[:, column] += size
    elif loss == "sigmoid":
        p = expit(outputs[:, column])
        root[:, column] = np.sqrt(p * (1 - p))
    else:
        root[:, column] = 1
    return root


def curvatures(
    network: Network, x: Float, loss: str, sample_weight: Float64 | None = None
) -> list[Float64]:
    """Return B (m, m) of each layer of a network of dense layers.

    Parameters
    ----------
    network : Network
        Its layers read whole rows.
    x : (n, d) array
        Rows. A few thousand are enough: each counts once for every output.
    loss : {"softmax", "sigmoid", "squared"}
        What the outputs mean.
    sample_weight : (n,) float64 array, optional
        Non-negative weights.

    Returns
    -------
    list of (m, m) float64 arrays
        One per layer, symmetric. Cost: for each output 2 n m (d + m) flops a layer.
    """
    before: list[Float] = []
    v = x
    for layer in network.layers:
        before.append(layer.linear(v))
        v = layer.activate(before[-1])
    slopes = [_slope(layer.activation, u) for layer, u in zip(network.layers, before, strict=True)]
    weights = [layer.weight.to_dense() for layer in network.layers]
    found: Sequence[Float64] = [np.zeros((u.shape[1], u.shape[1])) for u in before]
    total = len(x) if sample_weight is None else float(sample_weight.sum())
    root = None
    if sample_weight is not None:
        root = np.sqrt(sample_weight / total).astype(x.dtype)[:, None]
    for column in range(before[-1].shape[1]):
        d = hessian_root(before[-1], loss, column)
        d *= x.dtype.type(1 / np.sqrt(total)) if root is None else root
        for index in range(len(found) - 1, -1, -1):
            if index < len(found) - 1:
                d = d @ weights[index + 1].T
                d *= slopes[index]
            found[index][...] += d.T @ d
    return list(found)


def _slope(activation: str, u: Float) -> Float:
    """Return the derivative of an activation at ``u``; at a kink the mean of both sides."""
    left, right = ALL_ACTIVATIONS[activation].slopes(u)
    mean: Float = (left + right) / 2
    return mean
