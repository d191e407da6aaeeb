"""What the int8 arithmetic computes, and how far that is from the network in floating point."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.exceptions import ExportWarning
from fastbcd.io.export.c.quantise import (
    HIGH,
    LOW,
    Grid,
    IntegerLayer,
    IntegerNetwork,
    Rescaling,
    Step,
)
from fastbcd.network.chunks import PREDICT_CHUNK, as_dense, forward
from fastbcd.network.layers.activations import ALL_ACTIVATIONS, PiecewiseLinear
from fastbcd.network.network import Network
from fastbcd.network.tasks import Task
from fastbcd.utils.types import Float
from fastbcd.utils.warnings import warn

ROUNDED = 0.1
"""Root mean square error of an output of a regression, relative to its standard deviation, up to
which rounding to 8 bits explains it: a grid of 256 points costs 0.01 to 0.05 in networks whose
inputs are of like size."""

VARIES = 1e-6
"""An output whose standard deviation is below this share of its largest value is a constant."""

ADVICE = (
    "Inputs share one grid of 256 points, and so do the outputs of each layer: bring the features "
    'to like scale, remove outliers from X, or use arithmetic="float".'
)

Int64 = NDArray[np.int64]


def integer_outputs(network: IntegerNetwork, x: Any) -> Float:
    """Return the outputs (n, k) that C computes for rows ``x``, as float32.

    Parameters
    ----------
    network : IntegerNetwork
        The network.
    x : (n, d) array or sparse matrix
        Inputs.
    """
    unit = network.layers[-1].unit
    out = np.empty((x.shape[0], unit.size), np.float32)
    for low in range(0, len(out), PREDICT_CHUNK):
        rows = as_dense(x[low : low + PREDICT_CHUNK])
        q = _on_grid(network.input, network.features(rows))
        for layer in network.layers[:-1]:
            q = _activations(layer, _sums(layer, q))
        sums = _sums(network.layers[-1], q).astype(np.float32)
        u = sums * unit.astype(np.float32)
        out[low : low + len(u)] = ALL_ACTIVATIONS[network.layers[-1].activation].value(u)
    return out


def tell_changes(network: Network, task: Task, integers: IntegerNetwork, x: Any) -> None:
    """Warn if integers predict otherwise than ``network``.

    Parameters
    ----------
    network : Network
        In floating point.
    task : Task
        What its outputs mean.
    integers : IntegerNetwork
        The same network in integers.
    x : (n, d) array or sparse matrix
        Rows to compare on, at least one.

    Warns
    -----
    ExportWarning
        If the class or a label of any row changes, or an output of a regression by more than
        rounding explains.
    """
    exact, rounded = forward(network, x), integer_outputs(integers, x)
    if task.kind == "numbers":
        _tell_errors(exact.astype(np.float64), rounded.astype(np.float64))
        return
    other = task.decode(exact) != task.decode(rounded)
    n_other = int(np.count_nonzero(other.any(axis=1) if other.ndim > 1 else other))
    if n_other:
        what = "labels" if task.kind == "labels" else "class"
        warn(
            f"With int8 arithmetic {n_other} of {len(exact)} rows of X "
            f"({100 * n_other / len(exact):.2g} %) change their predicted {what}. {ADVICE}",
            ExportWarning,
        )


def _tell_errors(exact: Float, rounded: Float) -> None:
    """Warn if an output differs by more than ``ROUNDED`` of its standard deviation."""
    error = np.sqrt(np.mean(np.square(rounded - exact), axis=0))
    spread, size = exact.std(axis=0), np.abs(exact).max(axis=0)
    # An output that does not vary has no unit but its own size.
    unit = np.where(spread > VARIES * size, spread, size)
    wrong = np.flatnonzero(error > ROUNDED * unit)
    if wrong.size:
        shares = error[wrong] / np.where(unit[wrong] > 0, unit[wrong], 1.0)
        worst = int(wrong[shares.argmax()])
        rows = np.abs(rounded - exact) > ROUNDED * unit
        share = 100 * np.mean(rows.any(axis=1))
        warn(
            f"With int8 arithmetic {share:.2g} % of the {len(exact)} rows of X change an output by "
            f"more than {ROUNDED:g} of its standard deviation; output {worst} has a root mean "
            f"square error of {error[worst]:.3g} and a standard deviation of {spread[worst]:.3g}. "
            f"{ADVICE}",
            ExportWarning,
        )


def _on_grid(grid: Grid, x: Float) -> Int64:
    """Return the points of the grid of the inputs, rounded as C rounds them."""
    u = x.astype(np.float32) * np.float32(1 / grid.scale)
    u += np.float32(grid.zero - grid.offset / grid.scale)
    np.clip(u, LOW, HIGH, out=u)
    points: Int64 = np.trunc(u + np.copysign(np.float32(0.5), u)).astype(np.int64)
    return points


def _sums(layer: IntegerLayer, q: Int64) -> Int64:
    """Return the sums (n, n_out) of a layer, its intercepts included."""
    total = layer.intercept.astype(np.int64)
    for steps in layer.parts:
        part = q
        for step in steps:
            sums = _product(step, part)
            if step.rescaling is None:
                part = sums
                continue
            part = _rescaled(sums, step.rescaling)
            if step.output is not None:
                part = np.clip(part + step.output.zero, LOW, HIGH)
        total = total + part
    return total


def _product(step: Step, q: Int64) -> Int64:
    # All sums have fewer than 53 bits: doubles are exact, and BLAS multiplies them fast.
    product = (q - step.zero).astype(np.float64) @ step.weight.astype(np.float64)
    exact: Int64 = product.astype(np.int64)
    return exact


def _rescaled(sums: Int64, rescaling: Rescaling) -> Int64:
    """Return sums * factor / 2^shift, halves rounded away from zero."""
    product = sums * rescaling.factor.astype(np.int64)
    half = np.int64(1) << np.int64(rescaling.shift - 1)
    found: Int64 = np.sign(product) * ((np.abs(product) + half) >> np.int64(rescaling.shift))
    return found


def _activations(layer: IntegerLayer, sums: Int64) -> Int64:
    """Return the activations of a layer on the grid of the next one."""
    assert layer.rescaling is not None
    assert layer.output is not None
    rescaling = layer.rescaling
    u = _rescaled(sums, rescaling)
    function = ALL_ACTIVATIONS[layer.activation]
    if isinstance(function, PiecewiseLinear) and 0 < function.slope < 1:
        slope = Rescaling(np.array([round(function.slope * 2**31)], np.int32), 31)
        smaller = _rescaled(rescaling.factor.astype(np.int64), slope).astype(np.int32)
        gentle = Rescaling(smaller.astype(np.int32), rescaling.shift)
        u = np.where(sums < 0, _rescaled(sums, gentle), u)
    q = np.clip(u + layer.output.zero, layer.low, layer.high)
    return q if layer.table is None else layer.table[q - LOW].astype(np.int64)
