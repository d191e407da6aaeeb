"""Products shared by the sparse formats."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats.products.product import (
    SPARSE_BATCH,
    SPARSE_ROW,
    Product,
    SparseProduct,
)
from fastbcd.formats.products.row_chain import SparseArrays, Workspace
from fastbcd.formats.protocol import Format
from fastbcd.utils.small import is_small
from fastbcd.utils.types import Float

FEW = 8
"""Minimum number of rows that are multiplied together; fewer are multiplied one by one."""


class SparseFormat(Format):
    """A matrix with few non-zeros, stored row by row."""

    on_support = True

    columns: NDArray[Any]
    """Column of each non-zero, (nnz,)."""

    @abstractmethod
    def _stored(self) -> SparseArrays:
        """Return the non-zeros in the form that the kernels read."""

    @cached_property
    def _sparse_product(self) -> Product:
        return SparseProduct(self._stored(), self.shape[1], lambda: self._dense_product.factors[0])

    def product(self, batch: bool) -> Product:
        """Return the sparse product if it is estimated to be faster, otherwise the dense one."""
        small = batch and is_small(self.shape[0] * self.shape[1])
        faster = self.cost(batch) < 1 and not small
        return self._sparse_product if faster else self._dense_product

    def cost(self, batch: bool) -> float:
        """Return the estimated time of the sparse product relative to the dense product."""
        if not self.columns.size:
            return 0.0
        # Half of the inputs of one row are assumed to be zero, as after ReLU; the product counts.
        share = 1.0 if batch else 0.5
        bound = (SPARSE_BATCH if batch else SPARSE_ROW)[self.dtype.itemsize]
        return share * self.columns.size / (self.shape[0] * self.shape[1]) / bound

    def matmul(self, v: Float) -> Float:
        """Return ``v @ W``, computed from the non-zeros."""
        v = np.ascontiguousarray(v)
        out = np.empty((len(v), self.shape[1]), self.dtype)
        bias, space = np.zeros(self.shape[1], self.dtype), Workspace()
        if is_small(self.shape[0] * self.shape[1]):
            self._dense_product.rows(v, bias, 1.0, out, space)
        elif len(v) >= FEW:
            self._sparse_product.rows(v, bias, 1.0, out, space)
        else:
            for x, y in zip(v, out, strict=True):
                self._sparse_product.row(x, bias, 1.0, y, space)
        return out
