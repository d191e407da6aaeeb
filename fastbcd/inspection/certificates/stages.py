"""A network as a chain of matrices and activations, which is all that bounds are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.linalg import block_diag

from fastbcd.inspection.certificates.maxima import pool_stages
from fastbcd.inspection.certificates.slopes import LINEAR, RAMP, is_known
from fastbcd.inspection.certificates.stage import Stage as Stage
from fastbcd.network.network import Layer, Network
from fastbcd.utils.types import Float64


class NoCertificateError(ValueError):
    """A network has a layer that no bound is known for."""


Stages = Sequence[Stage]
"""From the inputs to the outputs; the last one is linear."""


def stages_of(network: Network) -> list[Stage]:
    """Return the stages of ``network``.

    A convolution becomes the matrix of the whole image, max pooling ReLUs of differences, and an
    encoding a first stage of ramps.

    Raises
    ------
    NoCertificateError
        If a layer has an activation without slopes. The message names the layer.
    """
    found: list[Stage] = []
    for number, layer in enumerate(network.layers):
        if not is_known(layer.activation):
            raise NoCertificateError(
                f"layer {number} has the activation {layer.activation!r}, whose slopes are not "
                "known."
            )
        if number == 0 and network.encoding is not None:
            found.append(_ramps(network))
            layer = network.on_features.layers[0]
        matrix, bias = linear_map(layer)
        found.append(Stage(matrix, bias, ((layer.activation, 0, len(bias)),)))
        if layer.pool is not None:
            found += pool_stages(layer.pool)
    last = found[-1]
    if last.activations[0][0] != LINEAR:
        eye = np.eye(len(last.bias))
        found.append(Stage(eye, np.zeros(len(eye)), ((LINEAR, 0, len(eye)),)))
    return found


def linear_map(layer: Layer) -> tuple[Float64, Float64]:
    """Return matrix (q, p) and intercepts of a layer's pre-activations, at all positions."""
    n = layer.n_inputs
    if layer.is_plain:
        matrix = layer.weight.to_dense().astype(np.float64).T
        return np.ascontiguousarray(matrix), layer.intercept.astype(np.float64)
    dense = layer.weight.to_dense().astype(np.float64)
    rows = layer.view.rows(np.eye(n))
    matrix = (rows @ dense).reshape(n, -1).T
    bias = np.tile(layer.intercept.astype(np.float64), layer.view.positions)
    return np.ascontiguousarray(matrix), bias


def _ramps(network: Network) -> Stage:
    """Return the stage of an encoding: plain columns, then ramps."""
    encoding = network.encoding
    assert encoding is not None
    p, m = len(encoding.plain), len(encoding.columns)
    matrix, bias = np.zeros((p + m, encoding.n_columns)), np.zeros(p + m)
    matrix[np.arange(p), encoding.plain] = 1
    slopes = encoding.slopes.astype(np.float64)
    matrix[p + np.arange(m), encoding.columns] = slopes
    bias[p:] = -encoding.starts.astype(np.float64) * slopes
    parts = ((LINEAR, 0, p), (RAMP, p, p + m))
    return Stage(matrix, bias, tuple(part for part in parts if part[2] > part[1]))


def forward(stages: Stages, x: Float64) -> Float64:
    """Return the outputs for rows ``x`` (n, d), in float64."""
    for stage in stages:
        x = stage.value(x @ stage.matrix.T + stage.bias)
    return x


def jacobian(stages: Stages, slopes: Sequence[Float64]) -> Float64:
    """Return the Jacobian (m, d) for given slopes of the units of each stage."""
    found = slopes[0][:, None] * stages[0].matrix
    for stage, slope in zip(stages[1:], slopes[1:], strict=True):
        found = slope[:, None] * (stage.matrix @ found)
    return found


def in_units(stages: Stages, scale: Float64, shift: Float64) -> list[Stage]:
    """Return the stages as functions of z, where x = scale z + shift."""
    first = stages[0]
    changed = replace(first, matrix=first.matrix * scale, bias=first.bias + first.matrix @ shift)
    return [changed, *stages[1:]]


def side_by_side(f: Stages, g: Stages) -> list[Stage]:
    """Return one network whose outputs are those of ``f`` minus those of ``g``.

    A network of fewer stages is filled up with stages that do nothing.
    """
    depth = max(len(f), len(g))
    f, g = filled(f, depth), filled(g, depth)
    found = []
    for number, (one, other) in enumerate(zip(f, g, strict=True)):
        q = len(one.bias)
        if number == depth - 1:
            eye = ((LINEAR, 0, q),)
            joined = [one.matrix, -other.matrix]
            matrix = np.hstack(joined) if depth > 1 else one.matrix - other.matrix
            found.append(Stage(matrix, one.bias - other.bias, eye))
            continue
        parts = [one.matrix, other.matrix]
        matrix = np.vstack(parts) if number == 0 else block_diag(*parts)
        moved = tuple((name, a + q, b + q) for name, a, b in other.activations)
        bias = np.concatenate([one.bias, other.bias])
        found.append(Stage(matrix, bias, (*one.activations, *moved)))
    return found


def filled(stages: Stages, depth: int) -> list[Stage]:
    """Return ``stages`` with stages that do nothing behind them, ``depth`` in all."""
    n = len(stages[-1].bias)
    nothing = Stage(np.eye(n), np.zeros(n), ((LINEAR, 0, n),))
    return [*stages, *[nothing] * (depth - len(stages))]
