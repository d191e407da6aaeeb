"""Integer arithmetic: weights and activations as int8, sums as int32.

Every vector of activations lies on a grid, x = offset + scale (q - zero) with q from -128 to 127,
that spans what a calibration sample shows. Zero is a point of it, but where all activations have
one sign. Every column of a weight matrix is a step times int8 numbers, the step that loses least on
the sample: a large weight of an input that is nearly always zero is clipped. A matrix of few
distinct numbers keeps its codebook, in int16 and with one step, because large and small levels
differ by more than 8 bits. A product then is an exact sum of integers in units of scale * step_j.
To it the rounded intercept is added, with what the offset contributes, and the next grid is
reached by

    q' = clip(zero' + round(sum * factor_j / 2^shift))

in 64-bit integers, halves rounded away from zero. ReLU and hard tanh are bounds of that clip,
leaky ReLU a smaller factor of negative sums, smooth activations a table of 256 entries.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.io.export.c.storage import MOST_LEVELS, smallest
from fastbcd.io.export.c.weights import Affine, Part, Product
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.layers.encoding import PiecewiseLinearEncoding
from fastbcd.utils.types import Float, Float64

LOW, HIGH = -128, 127
LARGEST = 29
"""Bits of the largest sum, before intercepts of as many; rounding has room beyond."""

CLIPPED = np.exp2(-np.arange(17) / 2)
"""The largest number of a column that is not clipped, over its largest; what is tried."""

REACHES = 7
"""How many of them are tried at each end of the table of an activation, down to an eighth."""

SATURATED = {
    "tanh": (-4.0, 4.0),
    "logistic": (-8.0, 8.0),
    "softplus": (-8.0, np.inf),
    "silu": (-10.0, np.inf),
    "gelu": (-4.0, np.inf),
}
"""Below and above which the smooth activations are constant to 8 bits; their tables reach no
further. Those that grow without bound have a table as far as the sample reaches."""

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Grid:
    """The numbers offset + scale * (q - zero), q = -128 ... 127."""

    scale: float
    zero: int
    offset: float = 0.0

    @classmethod
    def over(cls, values: Float, least: float = 0.0) -> Grid:
        """Return the grid that spans ``values`` and zero, with a scale of at least ``least``."""
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        scale = max((high - low) / (HIGH - LOW), least) or 1.0
        return cls(scale, int(np.clip(round(LOW - low / scale), LOW, HIGH)))

    @classmethod
    def around(cls, values: Float) -> Grid:
        """Return the grid that spans ``values``, whether or not zero lies among them."""
        low, high = float(values.min()), float(values.max())
        if low <= 0 <= high:
            return cls.over(values)
        return cls((high - low) / (HIGH - LOW) or 1.0, LOW, low)

    def quantise(self, values: Float) -> Int8:
        """Return the nearest points of the grid."""
        q = np.rint((values - self.offset) / self.scale) + self.zero
        points: Int8 = np.clip(q, LOW, HIGH).astype(np.int8)
        return points


@dataclass(frozen=True)
class Rescaling:
    """Multiplication of integers by factor / 2^shift, one factor for each column."""

    factor: Int32
    shift: int

    @classmethod
    def by(cls, ratio: Float64) -> Rescaling:
        """Return the closest to multiplication by ``ratio``, positive numbers."""
        shift = int(np.clip(29 - np.floor(np.log2(ratio.max())), 1, 62))
        return cls(np.rint(np.ldexp(ratio, shift)).astype(np.int32), shift)


@dataclass(frozen=True)
class Step:
    """A product with an int8 matrix, and what is done with its sums.

    Parameters
    ----------
    weight : (n_in, n_out) int8 or int16 array
        The matrix; int16 if it is stored by a codebook.
    zero : int
        The zero of its inputs' grid.
    unit : (n_out,) array
        What one means in each of its sums.
    rescaling : Rescaling or None
        From its sums to ``output``, or to the units of a sum of several parts; None if the sums
        are used as they are.
    output : Grid or None
        The next grid, if the next step follows directly.
    """

    weight: Integers
    zero: int
    unit: Float64
    rescaling: Rescaling | None = None
    output: Grid | None = None


@dataclass(frozen=True)
class IntegerLayer:
    """A layer in integers.

    Parameters
    ----------
    parts : list of list of Step
        Steps of each part, of which the last one's sums are added up.
    intercept : (n_out,) int32 array
        In units of ``unit``.
    unit : (n_out,) array
        What one means in the sums of the layer.
    activation : str
        Its activation.
    rescaling, output : Rescaling and Grid, or None
        How the sums are brought to 8 bits; None for the last layer, whose outputs are floats.
    after : Grid or None
        The grid of the activations; another than ``output`` if there is a table.
    low, high : int
        Bounds of the activations on their grid.
    table : (256,) int8 array or None
        Activations of the 256 points of ``output``, if they are not piecewise linear.
    """

    parts: list[list[Step]]
    intercept: Int32
    unit: Float64
    activation: str
    rescaling: Rescaling | None = None
    output: Grid | None = None
    after: Grid | None = None
    low: int = LOW
    high: int = HIGH
    table: Int8 | None = None


@dataclass
class IntegerNetwork:
    """A network in integers: the grid of its inputs, its layers, and what it reads columns through.

    With an encoding the inputs are its features, which are computed in single precision.
    """

    input: Grid
    layers: list[IntegerLayer] = field(default_factory=list)
    encoding: PiecewiseLinearEncoding | None = None

    def features(self, x: Float) -> Float:
        """Return what lies on the grid of the inputs, for rows ``x``."""
        return x if self.encoding is None else self.encoding.rows(x.astype(np.float32))


def quantise(
    layers: list[Affine], x: Float, encoding: PiecewiseLinearEncoding | None = None
) -> IntegerNetwork:
    """Return a network in integers.

    Parameters
    ----------
    layers : list of Affine
        In floating point, without batches.
    x : (n, n_in) array
        Inputs that the ranges of the activations are taken from.
    encoding : PiecewiseLinearEncoding, optional
        What the network reads columns through.
    """
    if encoding is not None:
        encoding = encoding.astype(np.dtype(np.float32))
        x = encoding.rows(x.astype(np.float32)).astype(np.float64)
    grid = Grid.around(x)
    network = IntegerNetwork(grid, encoding=encoding)
    for index, layer in enumerate(layers):
        sums = [_applied(part, x) for part in layer.parts]
        u = np.sum(sums, axis=0) + layer.intercept
        # The integers see x - offset; what the offset contributes becomes part of the intercept.
        offset = np.full((1, x.shape[1]), grid.offset)
        moved = np.sum([_applied(part, offset) for part in layer.parts], axis=0)[0]
        layer = replace(layer, intercept=layer.intercept + moved)
        steps = [_steps(part, grid, x - offset, layer.intercept) for part in layer.parts]
        x = ALL_ACTIVATIONS[layer.activation].value(u)
        integer = _added(steps, layer)
        if index < len(layers) - 1:
            integer = _activated(integer, u, x)
            assert integer.after is not None
            grid = integer.after
        network.layers.append(integer)
    return network


def _applied(part: Part, x: Float) -> Float:
    """Return the products with ``x`` in floating point."""
    for product in part:
        x = product.apply(x)
    return x


def _steps(part: Part, grid: Grid, x: Float, intercept: Float) -> list[Step]:
    """Return the steps of a part, given its inputs in floating point, their offset taken off."""
    steps = []
    for product in part[:-1]:
        weight, unit = _weight(product, x, grid.scale, np.zeros(1))
        x = product.apply(x)
        output = Grid.over(x, float(unit.max()) / 256)
        steps.append(Step(weight, grid.zero, unit, Rescaling.by(unit / output.scale), output))
        grid = output
    weight, unit = _weight(part[-1], x, grid.scale, np.abs(intercept))
    return [*steps, Step(weight, grid.zero, unit)]


def _weight(product: Product, x: Float, scale: float, least: Float) -> tuple[Integers, Float64]:
    """Return an integer matrix, and what one means in its sums.

    The smaller of an int8 matrix and one of int16 levels, if they are few. ``x`` are the inputs,
    on a grid of ``scale``, and ``least`` is the largest number that fits into 30 bits of sums.
    """
    matrix = product.weight.astype(np.float64)
    clipped = _least_lossy(matrix, np.mean(np.square(x, dtype=np.float64), axis=0))
    found = _rounded(product, clipped, scale, least, np.int8)
    if np.unique(product.weight).size <= MOST_LEVELS:
        common = np.full(matrix.shape[1], np.abs(matrix).max() / np.iinfo(np.int16).max)
        precise = _rounded(product, common, scale, least, np.int16)
        stored = smallest(precise[0])
        if stored.form.endswith("codes") and stored.n_bytes <= smallest(found[0]).n_bytes:
            return precise
    return found


def _least_lossy(matrix: Float64, power: Float64) -> Float64:
    """Return the step of each column whose int8 numbers change the products least.

    ``power`` is the mean square of each input; that inputs are correlated is left out.
    """
    largest = np.abs(matrix).max(axis=0)
    steps = np.where(largest > 0, largest, 1.0) * CLIPPED[:, None] / HIGH
    lost = [power @ (np.clip(np.rint(matrix / s), -HIGH, HIGH) * s - matrix) ** 2 for s in steps]
    chosen: Float64 = np.take_along_axis(steps, np.argmin(lost, axis=0)[None], axis=0)[0]
    return chosen


def _rounded(
    product: Product, step: Float64, scale: float, least: Float,
    dtype: type[np.int8] | type[np.int16],
) -> tuple[Integers, Float64]:  # fmt: skip
    """Return the matrix in units of ``step``, the steps of its columns.

    No step is so small that sums or intercepts need more than 30 bits.
    """
    matrix = product.weight.astype(np.float64)
    factor = np.ones(matrix.shape[1])
    if product.scale is not None:
        factor = product.scale.astype(np.float64)
    limit = np.iinfo(dtype).max
    kept = np.minimum(np.abs(matrix), limit * step)
    step = np.maximum(step, kept.sum(axis=0) * (HIGH - LOW) / 2**LARGEST)
    if dtype is np.int16:
        step = np.full_like(step, step.max())
    unit = np.maximum(scale * np.abs(factor) * step, least / 2**LARGEST)
    unit = np.where(unit > 0, unit, 1.0)
    return np.clip(np.rint(matrix * (scale * factor / unit)), -limit, limit).astype(dtype), unit


def _added(parts: list[list[Step]], layer: Affine) -> IntegerLayer:
    """Return a layer without its activation, the sums of several parts in common units."""
    unit = np.min([part[-1].unit for part in parts], axis=0)
    if len(parts) > 1:
        # As fine as the finest part, unless the largest possible sum would overflow.
        bounds = [
            part[-1].unit * np.abs(part[-1].weight.astype(np.int64)).sum(axis=0) for part in parts
        ]
        largest = np.sum(bounds, axis=0) * (HIGH - LOW)
        unit = np.maximum(unit, np.maximum(largest, np.abs(layer.intercept)) / 2**LARGEST)
        parts = [
            [*part[:-1], replace(part[-1], rescaling=Rescaling.by(part[-1].unit / unit))]
            for part in parts
        ]
    intercept = np.rint(layer.intercept / unit).astype(np.int32)
    return IntegerLayer(parts, intercept, unit, layer.activation)


def _points(grid: Grid) -> Float64:
    """Return the numbers of a grid."""
    found: Float64 = grid.scale * (np.arange(LOW, HIGH + 1.0) - grid.zero)
    return found


def _finest(activation: str, u: Float, v: Float, least: float) -> Grid:
    """Return the grid of the arguments ``u`` whose table of the activation is closest to ``v``.

    The grid need not reach where the activation is nearly constant, and is finer for the rest.
    """
    u = np.clip(u, *SATURATED[activation])
    value = ALL_ACTIVATIONS[activation].value
    best, chosen = np.inf, Grid.over(u, least)
    for below in CLIPPED[:REACHES]:
        for above in CLIPPED[:REACHES]:
            grid = Grid.over(np.clip(u, below * u.min(), above * u.max()), least)
            table = value(_points(grid))
            lost = float(np.mean(np.square(table[grid.quantise(u).astype(int) - LOW] - v)))
            if lost < best:
                best, chosen = lost, grid
    return chosen


def _activated(layer: IntegerLayer, u: Float, v: Float) -> IntegerLayer:
    """Return a layer with the way from its sums, which mean ``u``, to its activations ``v``."""
    least = float(layer.unit.max()) / 256
    activation = layer.activation
    if activation in SATURATED:
        output, after = _finest(activation, u, v, least), Grid.around(v)
        table = after.quantise(ALL_ACTIVATIONS[activation].value(_points(output)))
    else:
        output = after = Grid.over(v, least)
        table = None
    low = output.zero if activation == "relu" else LOW
    high = HIGH
    if activation == "hard_tanh":
        low, high = (int(q) for q in output.quantise(np.array([-1.0, 1.0])))
    rescaling = Rescaling.by(layer.unit / output.scale)
    return replace(
        layer, rescaling=rescaling, output=output, after=after, low=low, high=high, table=table
    )
