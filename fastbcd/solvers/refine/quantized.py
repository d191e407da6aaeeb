"""Quantised layers during refinement: free weights move, and are rounded after each step.

The pull is measured with the rounded weights and moves the free ones, so small steps add up until a
code changes. The levels change by one common factor.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats import CodebookMatrix, CodebookSparseMatrix, Format, SparseMatrix
from fastbcd.linalg import products as la
from fastbcd.linalg.eigen import largest_eigenpairs
from fastbcd.solvers.refine.blocks import Block, DenseBlock, block_of
from fastbcd.solvers.refine.settings import DEFAULTS
from fastbcd.solvers.refine.sparse import SparseBlock
from fastbcd.statistics.moments import Moments
from fastbcd.utils.small import is_small
from fastbcd.utils.types import Float, Float64
from fastbcd_kernels import codebook_fit


class Leading:
    """Inverse of a positive definite matrix whose eigenvalues, except the leading ones, are equal.

    A step divides by the variance of the inputs, so small variances amplify the noise of a batch.
    With codes, this noise changes some codes that then change back. Most directions therefore share
    one variance, which also costs only a fraction of a whole inverse.

    Parameters
    ----------
    gram : (d, d) array
        The matrix.
    leading : int
        Number of leading eigenvalues.
    """

    def __init__(self, gram: Float64, leading: int = DEFAULTS.leading) -> None:
        d = len(gram)
        count = min(leading, d)
        largest, directions = largest_eigenpairs(gram, count)
        total = float(np.trace(gram))
        rest = (total - largest.sum()) / (d - count) if d > count else total / d
        self._rest = np.float32(1 / rest)
        self._directions: Float = np.ascontiguousarray(directions, np.float32)
        self._less = (1 / rest - 1 / largest).astype(np.float32)[:, None]

    def times(self, matrix: Float) -> Float:
        """Return the inverse times ``matrix`` (d, m), which is overwritten."""
        along = la.inner_product(self._directions, matrix)
        along *= self._less
        matrix *= self._rest
        return la.add_product(matrix, self._directions, along, factor=-1.0)


class Rounding:
    """A codebook that is scaled to the weights that are rounded to it.

    The levels keep their ratios, because they may be a grid or a codebook of several layers.

    Parameters
    ----------
    levels : (k,) array
        First levels, ascending.
    scale : (n,) float32 array
        Factor of the levels for each weight.
    """

    def __init__(self, levels: Float, scale: Float) -> None:
        self._shape = levels.astype(np.float32)
        self._factor = 1.0
        self.levels: NDArray[np.float32] = self._shape
        self._scale = np.ascontiguousarray(np.maximum(scale, np.finfo(np.float32).tiny))
        # With one scale of 1, NumPy rounds few weights as quickly as the kernel.
        self._search = is_small(scale.size) and bool(np.all(scale == 1))
        self._codes = np.empty(scale.size, np.int32)

    def round(self, free: Float, out: Float) -> None:
        """Write the rounded ``free`` weights (n,) into ``out``, and scale the levels to them."""
        self._snap(free, out)
        product, square = float(out @ free), float(out @ out)
        if product > 0:
            self._factor *= product / square
            self.levels = np.float32(self._factor) * self._shape

    def finished(self, free: Float) -> tuple[NDArray[np.int32], Float]:
        """Return the codes and levels of the ``free`` weights (n,)."""
        scratch = np.empty_like(free)
        self.round(free, scratch)
        self._snap(free, scratch)
        return self._codes.copy(), self.levels

    def _snap(self, free: Float, out: Float) -> None:
        edges = np.float32(0.5) * (self.levels[1:] + self.levels[:-1])
        if self._search:
            self._codes[:] = np.searchsorted(edges, free)
            np.take(self.levels, self._codes, out=out)
        else:
            codebook_fit.snap(free, self._scale, edges, self.levels, self._codes, out)


class QuantizedSparseBlock(SparseBlock):
    """A pruned and quantised layer."""

    @property
    def caution(self) -> float:
        """Factor of the steps of the weights."""
        return self.settings.caution_sparse

    def _begin(self) -> list[Float]:
        weight = cast(CodebookSparseMatrix, self.start.weight)
        # A stored zero is part of the support.
        ones = np.ones(weight.codes.size, np.float32)
        places = SparseMatrix(ones, weight.columns, weight.row_lengths, self.shape[1])
        self._use(places.to_dense() != 0)
        dense = weight.to_dense().astype(np.float32)
        self._values = np.ascontiguousarray(dense[self._index, self._outputs])
        self._velocity = np.zeros_like(self._values)
        self._effective = self._values.copy()
        self._start_rounding()
        return [self._values]

    def _start_rounding(self) -> None:
        weight = cast(CodebookSparseMatrix, self.start.weight)
        scale = np.ones(self.shape[1]) if weight.scale is None else weight.scale
        self._rounding = Rounding(weight.codebook, scale.astype(np.float32)[self._outputs])

    def costs(self, pull: Float, moments: Moments) -> Float64 | None:
        """Return None: no weight may be removed."""
        return None

    def move_support(self, v: Float, pull: Float, moments: Moments, share: float) -> None:
        """Keep the support, because every entry has its code already."""

    def _moved(self) -> None:
        self._rounding.round(self._values, self._effective)

    def _format(self, parameters: list[Float]) -> Format:
        weight = cast(CodebookSparseMatrix, self.start.weight)
        codes, levels = self._rounding.finished(parameters[0].astype(np.float32))
        marked = np.zeros(self.shape)
        marked[self._index, self._outputs] = codes + 1
        places = SparseMatrix.from_dense(marked)
        return CodebookSparseMatrix(
            (places.values - 1).astype(np.uint16),
            levels.astype(weight.dtype),
            places.columns,
            places.row_lengths,
            self.shape[1],
            weight.scale,
        )


class QuantizedBlock(DenseBlock):
    """A quantised layer that is not pruned."""

    _leading: Leading | None = None

    @property
    def caution(self) -> float:
        """Factor of the steps of the weights."""
        return self.settings.caution_dense

    def _begin(self) -> list[Float]:
        weight = cast(CodebookMatrix, self.start.weight)
        averaged = super()._begin()
        scale = np.ones(self.shape[1]) if weight.scale is None else weight.scale
        by_entry = np.broadcast_to(scale.astype(np.float32), self.shape).ravel()
        self._rounding = Rounding(weight.codebook, by_entry)
        self._effective = self._weight.copy()
        return averaged

    def _prepare(self, gram: Float64) -> None:
        # The inputs of the first layer do not change.
        if self._leading is None or not self.is_input:
            self._leading = Leading(gram, self.settings.leading)

    def _solved(self, gradient: Float) -> Float:
        assert self._leading is not None
        return self._leading.times(gradient)

    def _moved(self) -> None:
        self._rounding.round(self._weight.ravel(), self._effective.ravel())

    def _format(self, parameters: list[Float]) -> Format:
        weight = cast(CodebookMatrix, self.start.weight)
        codes, levels = self._rounding.finished(parameters[0].astype(np.float32).ravel())
        return CodebookMatrix(codes.reshape(self.shape), levels.astype(weight.dtype), weight.scale)


@block_of.register
def _codes_block(weight: CodebookMatrix) -> type[Block]:
    return QuantizedBlock


@block_of.register
def _sparse_codes_block(weight: CodebookSparseMatrix) -> type[Block]:
    return QuantizedSparseBlock
