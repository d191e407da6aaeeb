"""What a layer multiplies by, as matrices that C multiplies by one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, singledispatch
from typing import Any

import numpy as np

from fastbcd.formats import (
    CodebookMatrix,
    CodebookSparseMatrix,
    CodebookTrainMatrix,
    DenseMatrix,
    Format,
    LowRankMatrix,
    SparseMatrix,
    TensorTrainMatrix,
)
from fastbcd.formats.operations import factors, summands
from fastbcd.formats.steps import Step
from fastbcd.io.export.c.storage import Storage, smallest
from fastbcd.network.layers.patches import WHOLE_ROW, Patches, View
from fastbcd.network.layers.pooling import MaxPool
from fastbcd.network.network import Layer, Network
from fastbcd.utils.types import Float


@dataclass(frozen=True)
class Product:
    """One matrix, by which a batch of vectors is multiplied.

    Parameters
    ----------
    weight : (n_in, n_out) array
        The matrix, without its scale.
    scale : (n_out,) array, optional
        Factor of each column.
    batch : int
        How many vectors: 1 but for the cores of a train.
    interleaved : bool
        Whether the entries of one vector lie ``batch`` apart, in the input and in the output,
        rather than next to each other.
    """

    weight: Float
    scale: Float | None = None
    batch: int = 1
    interleaved: bool = False

    @property
    def n_in(self) -> int:
        """Numbers that it reads, over the whole batch."""
        return self.batch * int(self.weight.shape[0])

    @property
    def n_out(self) -> int:
        """Numbers that it writes, over the whole batch."""
        return self.batch * int(self.weight.shape[1])

    @cached_property
    def storage(self) -> Storage:
        """The smallest form in single precision."""
        return smallest(np.ascontiguousarray(self.weight, np.float32))

    @property
    def n_bytes(self) -> int:
        """Bytes of its tables in single precision."""
        return self.storage.n_bytes + (0 if self.scale is None else 4 * self.scale.size)

    def apply(self, v: Float) -> Float:
        """Return the products with vectors (n, n_in), as (n, n_out): what C computes."""
        rows, columns = self.weight.shape
        if self.interleaved:
            product = self.weight.T @ v.reshape(-1, rows, self.batch)
        else:
            product = v.reshape(-1, self.batch, rows) @ self.weight
            if self.scale is not None:
                product = product * self.scale
        return product.reshape(-1, self.batch * columns)


Part = tuple[Product, ...]
"""Products one after another."""


@dataclass(frozen=True)
class Affine:
    """A layer as C computes it.

    Parameters
    ----------
    parts : list of Part
        What is summed.
    intercept : (n_out,) array
        Intercepts.
    activation : str
        A key of :data:`fastbcd.network.layers.activations.ALL_ACTIVATIONS`.
    view : View
        How it sees its input.
    pool : MaxPool, optional
        The maximum that follows.
    """

    parts: list[Part]
    intercept: Float
    activation: str
    view: View = WHOLE_ROW
    pool: MaxPool | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(n_in, n_out) of the weights."""
        return self.parts[0][0].n_in, self.parts[0][-1].n_out


def affine_layers(network: Network, *, cores: bool, allow_dense: bool) -> list[Affine]:
    """Return the layers of a network as C computes them.

    Parameters
    ----------
    network : Network
        Fitted.
    cores : bool
        Whether a tensor train may be multiplied core by core; otherwise by two thin matrices.
    allow_dense : bool
        Whether a matrix that has no compressed form in C is written in full.

    Raises
    ------
    ValueError
        If there is such a matrix and it may not be written in full, or if weights are not finite
        in single precision.
    """
    return [_affine(layer, index, cores, allow_dense) for index, layer in enumerate(network.layers)]


def _affine(layer: Layer, index: int, cores: bool, allow_dense: bool) -> Affine:
    rows, columns = layer.weight.shape
    title = f"Layer {index} ({rows}x{columns}, {layer.weight.kind})"
    try:
        # The cores of a train need the batch that the pixels of an image are.
        cores = cores and (not isinstance(layer.view, Patches) or layer.view.is_whole)
        parts = [_part(weight, cores, allow_dense) for weight in summands(layer.weight)]
    except _UnsupportedError as error:
        raise ValueError(
            f"{title} cannot be written in C: {error} "
            "Or pass allow_dense=True to write it with all its entries."
        ) from None
    arrays = [layer.intercept]
    for part in parts:
        for product in part:
            arrays += [product.weight] if product.scale is None else [product.weight, product.scale]
    for array in arrays:
        if not (np.abs(array) <= np.finfo(np.float32).max).all():
            raise ValueError(
                f"{title} holds numbers that are NaN, infinite or too large for single precision. "
                "Scale features and targets, for example by StandardScaler, and fit again."
            )
    return Affine(parts, layer.intercept, layer.activation, layer.view, layer.pool)


class _UnsupportedError(Exception):
    """What cannot be written and what could be, as one sentence each."""


@singledispatch
def _part(weight: Any, cores: bool, allow_dense: bool) -> Part:
    """Return the products of one summand.

    A format without a form of its own in C is multiplied by its steps; one without steps is
    written in full, if that is allowed.
    """
    steps = weight.steps()
    if steps is not None:
        return _by_steps(weight, steps, cores)
    if allow_dense:
        return _whole(weight)
    raise _UnsupportedError(
        f"{type(weight).__name__} is none of the formats that the writer knows, and has no steps. "
        "Use one of fastbcd.formats."
    )


def _by_steps(weight: Format, steps: Sequence[Step], cores: bool) -> Part:
    """Return the steps, or the thin factors that they amount to, whichever is smaller."""
    chain = tuple(Product(step.weight, None, step.batch, step.interleaved) for step in steps)
    thin = tuple(map(Product, factors(weight)))
    return _smaller(weight, thin, chain) if cores else _smaller(weight, thin)


@_part.register(DenseMatrix)
@_part.register(SparseMatrix)
def _entries(weight: DenseMatrix | SparseMatrix, cores: bool, allow_dense: bool) -> Part:
    return _whole(weight)


@_part.register
def _codes(weight: CodebookMatrix, cores: bool, allow_dense: bool) -> Part:
    return (_scaled(weight.codebook[weight.codes], weight.scale),)


@_part.register
def _codes_on_support(weight: CodebookSparseMatrix, cores: bool, allow_dense: bool) -> Part:
    unscaled = SparseMatrix(
        weight.codebook[weight.codes], weight.columns, weight.row_lengths, weight.shape[1]
    )
    return (_scaled(unscaled.to_dense(), weight.scale),)


@_part.register
def _two_factors(weight: LowRankMatrix, cores: bool, allow_dense: bool) -> Part:
    return _smaller(weight, (Product(weight.left), Product(weight.right)))


@_part.register
def _coded_train(weight: CodebookTrainMatrix, cores: bool, allow_dense: bool) -> Part:
    return _train(weight.to_train(), cores, allow_dense)


@_part.register
def _train(weight: TensorTrainMatrix, cores: bool, allow_dense: bool) -> Part:
    steps, cut = weight.steps(), weight.cut
    if steps is None or cut is None:
        if allow_dense:
            return _whole(weight)
        raise _UnsupportedError(
            f"no first ones of its modes {weight.modes} multiply to {weight.shape[0]}, the "
            "number of its inputs. Choose modes of the inputs followed by modes of the outputs."
        )
    train = tuple(Product(step.weight, None, step.batch, step.interleaved) for step in steps)
    thin = tuple(_merged(side) for side in (train[:cut], train[cut:]) if side)
    return _smaller(weight, thin, train) if cores else _smaller(weight, thin)


def _whole(weight: Format) -> Part:
    return (Product(weight.to_dense()),)


def _scaled(weight: Float, scale: Float | None) -> Product:
    """Return a product; one scale for all columns becomes part of the codebook."""
    if scale is None or (scale == scale[0]).all():
        return Product(weight if scale is None else weight * scale[0])
    return Product(weight, scale)


def _smaller(weight: Format, *parts: Part) -> Part:
    """Return the part of the fewest bytes, the last of equals; the matrix itself may be one."""
    if weight.n_params >= weight.shape[0] * weight.shape[1]:
        parts = (_whole(weight), *parts)
    return min(reversed(parts), key=lambda part: sum(product.n_bytes for product in part))


def _merged(products: Part) -> Product:
    """Return the one matrix that several products amount to."""
    weight = np.eye(products[0].n_in, dtype=products[0].weight.dtype)
    for product in products:
        weight = product.apply(weight)
    return Product(weight)
