"""Products with a layer's weights, in stored form or dense, whichever was measured to be faster.

A :class:`Product` computes a layer's output from its input, including the bias and a piecewise
linear activation, and writes it into memory that the caller owns. It has three methods: for one
row, for many rows at once, and for a transposed block of ``BLOCK`` rows, which is the fastest for
sparse matrices. Whether the stored form is faster depends on its size and on the method. The bounds
below are the break-even points with OpenBLAS on one core of an AVX-512 machine, measured by
``python -m bench.formats.rule``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from fastbcd.formats.products.row_chain import Chain, Link, SparseArrays, Workspace
from fastbcd.linalg.blas import routine
from fastbcd.utils.types import Float
from fastbcd_kernels import sparse_product as kernel
from fastbcd_kernels.residual import add_bias_piecewise_linear

BLOCK: int = kernel.BLOCK

SPARSE_ROW = {4: 0.07, 8: 0.08}
"""Break-even share of non-zero input-weight products for one row, by bytes per number.

Below this share, the sparse product is faster than the dense product."""

SPARSE_BATCH = {4: 0.1, 8: 0.12}
"""Break-even density of the weights for many rows, by bytes per number.

Below this density, the sparse product is faster than the dense product."""

FACTORS = {False: 0.4, True: 0.7}
"""Break-even number of factor entries, relative to the dense matrix.

Below this ratio, the product with the factors is faster. False: one row. True: many rows."""

SKIP_ABOVE, SKIP_SHARE = 1 << 14, 0.6
"""Matrix entries, and share of non-zeros in the row, that select the kernel for one dense row.

If the matrix has more than ``SKIP_ABOVE`` entries, the kernel, which skips zero inputs, is used
only if at most ``SKIP_SHARE`` of the row is non-zero; otherwise BLAS is used."""


IN_CACHE = 1 << 17
"""Maximum number of outputs that BLAS and NumPy finish, in two passes.

The kernel needs one pass and, on a new machine, a second to be compiled. A number of the machine:
both compute the same bits."""


class Product(ABC):
    """sigma(v W + bias) with sigma(u) = max(u, 0) + slope * min(u, 0).

    All arrays are C-contiguous and have the dtype of the weights. ``out`` never overlaps an input.
    """

    in_blocks = False
    """Whether transposed blocks are the fastest method for many rows."""

    def links(self) -> list[Link]:
        """Return the matrices that multiply one row in turn; empty if W is not such a chain."""
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
    """The product with a chain of dense matrices; a single matrix gives the dense product.

    Parameters
    ----------
    factors : sequence of matrices
        Dense matrices whose product is W.
    """

    def __init__(self, factors: Sequence[Float]) -> None:
        self.factors = [np.ascontiguousarray(factor) for factor in factors]
        self._transposed = [factor.T for factor in self.factors]
        self._none = np.empty(0, self.factors[0].dtype)

    def links(self) -> list[Link]:
        """Return the matrices that multiply one row in turn."""
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
        finish_rows(out, bias, slope, space)


class SparseProduct(Product):
    """The product with a sparse matrix whose values are explicit or quantised.

    Parameters
    ----------
    arrays : SparseArrays
        The non-zeros in row-major order.
    n_out : int
        Number of columns.
    dense : callable
        Returns the same matrix as a dense array, used for a row with too many non-zeros.
    """

    in_blocks = True

    def __init__(self, arrays: SparseArrays, n_out: int, dense: Callable[[], Float]) -> None:
        self._by_row = arrays
        self._by_column = arrays.by_column(n_out)
        self._dense = dense
        size = (arrays.starts.size - 1) * n_out
        density = arrays.places.size / max(size, 1)
        # Maximum number of non-zeros in a row for which the sparse product is faster.
        self._most = SPARSE_ROW[arrays.values.itemsize] * (arrays.starts.size - 1)
        self._most = self._most / density if density > 0 else np.inf

    def links(self) -> list[Link]:
        """Return the matrix as a single link."""
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
        Products of the summands; at least one.
    n_out : int
        Number of columns.
    dtype : dtype
        Data type of the outputs.
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
        finish_rows(out, bias, slope, space)

    def _add(self, way: str, v: Float, out: Float, space: Workspace) -> None:
        getattr(self.parts[0], way)(v, self._zeros, 1.0, out, space)
        other = space.get((self, way), out.shape, out.dtype)
        for part in self.parts[1:]:
            getattr(part, way)(v, self._zeros, 1.0, other, space)
            out += other


def finish_rows(out: Float, bias: Float, slope: float, space: Workspace) -> None:
    """Replace ``out`` (n, n_out) by sigma(out + bias)."""
    if out.size > IN_CACHE or slope not in (0.0, 1.0):
        add_bias_piecewise_linear(out, bias, slope)
        return
    if out.size:
        # A sum with a broadcast row would make NumPy allocate a buffer; this update does not.
        ones = space.get("ones", (len(out),), out.dtype)
        ones.fill(1.0)
        routine("ger", out.dtype)(1.0, bias, ones, a=out.T, overwrite_a=True)
    if slope == 0.0:
        np.maximum(out, 0.0, out=out)
