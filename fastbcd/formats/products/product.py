"""How layers are multiplied by: in their stored form or by dense matrices, as measured.

A :class:`Product` takes a layer's input to its output, bias and piecewise linear activation
included, into memory that the caller owns. It knows three ways: one row, many rows at once, and a
transposed block of ``BLOCK`` rows, in which sparse matrices are fastest. Which matrix is worth
multiplying by in its stored form depends on its size and on the way; the bounds below are where
it broke even with OpenBLAS on one core of an AVX-512 machine (``python -m bench.formats.rule``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from fastbcd.formats.products.row_chain import Chain, Link, SparseArrays, Workspace
from fastbcd.utils.types import Float
from fastbcd_kernels import sparse_product as kernel
from fastbcd_kernels.residual import add_bias_piecewise_linear

BLOCK: int = kernel.BLOCK

SPARSE_ROW = {4: 0.07, 8: 0.08}
"""Share of the products of inputs and weights that are not zero, below which one row is multiplied
by the non-zeros; by bytes of a number."""

SPARSE_BATCH = {4: 0.1, 8: 0.12}
"""Density below which many rows are multiplied by the non-zeros."""

FACTORS = {False: 0.4, True: 0.7}
"""Entries of the factors, relative to the matrix, below which one row (False) or many (True) are
multiplied by them."""

SKIP_ABOVE, SKIP_SHARE = 1 << 14, 0.6
"""One row is multiplied by a dense matrix with more entries than the first only where a smaller
share of the row than the second is not zero; else it is left to BLAS."""


class Product(ABC):
    """sigma(v W + bias) with sigma(u) = max(u, 0) + slope * min(u, 0).

    All arrays are C-contiguous and of the type of the weights. No method is passed memory that
    it reads as ``out``.
    """

    in_blocks = False
    """Whether transposed blocks are the fastest way for many rows."""

    def links(self) -> list[Link]:
        """Return the matrices that one row is multiplied by in turn; none if that is not all."""
        return []

    @cached_property
    def _chain(self) -> Chain:
        links = self.links()
        return Chain(links, [None] * len(links), [1.0] * len(links))

    def row(self, x: Float, bias: Float, slope: float, out: Float, space: Workspace) -> None:
        """Write the output (n_out,) for one row ``x`` (n_in,)."""
        self._chain(x, out, space)
        add_bias_piecewise_linear(out[None], bias, slope)

    @abstractmethod
    def block(self, xt: Float, bias: Float, slope: float, out: Float, space: Workspace) -> None:
        """Write the output (n_out, BLOCK) for a transposed block ``xt`` (n_in, BLOCK)."""

    @abstractmethod
    def rows(self, v: Float, bias: Float, slope: float, out: Float, space: Workspace) -> None:
        """Write the output (n, n_out) for many rows ``v`` (n, n_in)."""


class FactorProduct(Product):
    """The product with a chain of dense matrices; with one, the plain dense product.

    Parameters
    ----------
    factors : sequence of matrices
        Their product is W.
    """

    def __init__(self, factors: Sequence[Float]) -> None:
        self.factors = [np.ascontiguousarray(factor) for factor in factors]
        self._transposed = [factor.T for factor in self.factors]
        self._none = np.empty(0, self.factors[0].dtype)

    def links(self) -> list[Link]:
        """Return the matrices that one row is multiplied by in turn."""
        return [
            Link(
                factor,
                factor.shape,
                SKIP_SHARE * len(factor) if factor.size > SKIP_ABOVE else np.inf,
                partial(np.asarray, factor),
            )
            for factor in self.factors
        ]

    def block(self, xt: Float, bias: Float, slope: float, out: Float, space: Workspace) -> None:
        """Write the output (n_out, BLOCK) for a transposed block ``xt`` (n_in, BLOCK)."""
        for k, factor in enumerate(self._transposed):
            last = k == len(self.factors) - 1
            to = out if last else space.get((self, k), (len(factor), BLOCK), factor.dtype)
            np.dot(factor, xt, out=to)
            xt = to
        kernel.finish_block(out, self._none, bias, slope)

    def rows(self, v: Float, bias: Float, slope: float, out: Float, space: Workspace) -> None:
        """Write the output (n, n_out) for many rows ``v`` (n, n_in)."""
        for k, factor in enumerate(self.factors):
            last = k == len(self.factors) - 1
            to = out if last else space.get((self, k), (len(v), factor.shape[1]), factor.dtype)
            np.dot(v, factor, out=to)
            v = to
        add_bias_piecewise_linear(out, bias, slope)


class SparseProduct(Product):
    """The product with non-zeros, or with their codes.

    Parameters
    ----------
    arrays : SparseArrays
        The non-zeros, row by row.
    n_out : int
        Number of columns.
    dense : callable
        Returns the same matrix written out, to which one row is left that has too many entries
        that are not zero.
    """

    in_blocks = True

    def __init__(self, arrays: SparseArrays, n_out: int, dense: Callable[[], Float]) -> None:
        self._by_row = arrays
        self._by_column = arrays.by_column(n_out)
        self._dense = dense
        size = (arrays.starts.size - 1) * n_out
        density = arrays.places.size / max(size, 1)
        # Entries of a row that are not zero, up to which the non-zeros are the faster way.
        self._most = SPARSE_ROW[arrays.values.itemsize] * (arrays.starts.size - 1)
        self._most = self._most / density if density > 0 else np.inf

    def links(self) -> list[Link]:
        """Return the matrix."""
        shape = self._by_row.starts.size - 1, self._by_column.starts.size - 1
        return [Link(self._by_row, shape, self._most, self._dense)]

    def block(self, xt: Float, bias: Float, slope: float, out: Float, space: Workspace) -> None:
        """Write the output (n_out, BLOCK) for a transposed block ``xt`` (n_in, BLOCK)."""
        kernel.sparse_block(xt, *self._by_column, bias, slope, out)

    def rows(self, v: Float, bias: Float, slope: float, out: Float, space: Workspace) -> None:
        """Write the output (n, n_out) for many rows ``v`` (n, n_in)."""
        xt = space.get((self, "in"), (v.shape[1], BLOCK), v.dtype)
        to = space.get((self, "out"), (out.shape[1], BLOCK), v.dtype)
        for lo in range(0, len(v), BLOCK):
            kernel.transpose_block(v[lo : lo + BLOCK], xt)
            self.block(xt, bias, slope, to, space)
            part = out[lo : lo + BLOCK]
            part[...] = to[:, : len(part)].T


class SumProduct(Product):
    """The product with a sum of matrices.

    Parameters
    ----------
    parts : sequence of Product
        What is added up; at least one.
    n_out : int
        Number of columns.
    dtype : dtype
        Type of the numbers.
    """

    def __init__(self, parts: Sequence[Product], n_out: int, dtype: np.dtype[Any]) -> None:
        self.parts = parts
        self.in_blocks = any(part.in_blocks for part in parts)
        self._zeros = np.zeros(n_out, dtype)

    def row(self, x: Float, bias: Float, slope: float, out: Float, space: Workspace) -> None:
        """Write the output (n_out,) for one row ``x`` (n_in,)."""
        self._add("row", x, out, space)
        add_bias_piecewise_linear(out[None], bias, slope)

    def block(self, xt: Float, bias: Float, slope: float, out: Float, space: Workspace) -> None:
        """Write the output (n_out, BLOCK) for a transposed block ``xt`` (n_in, BLOCK)."""
        self._add("block", xt, out, space)
        kernel.finish_block(out, bias[:0], bias, slope)

    def rows(self, v: Float, bias: Float, slope: float, out: Float, space: Workspace) -> None:
        """Write the output (n, n_out) for many rows ``v`` (n, n_in)."""
        self._add("rows", v, out, space)
        add_bias_piecewise_linear(out, bias, slope)

    def _add(self, way: str, v: Float, out: Float, space: Workspace) -> None:
        getattr(self.parts[0], way)(v, self._zeros, 1.0, out, space)
        other = space.get((self, way), out.shape, out.dtype)
        for part in self.parts[1:]:
            getattr(part, way)(v, self._zeros, 1.0, other, space)
            out += other
