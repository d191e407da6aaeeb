"""What formats that store non-zeros have in common: their products."""

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
from fastbcd.utils.types import Float

FEW = 8
"""Fewer rows than this are multiplied one by one."""


class SparseFormat(Format):
    """A matrix with few non-zeros, stored row by row."""

    on_support = True

    columns: NDArray[Any]
    """Columns of the non-zeros, (nnz,)."""

    @abstractmethod
    def _stored(self) -> SparseArrays:
        """Return the non-zeros as the kernels take them."""

    @cached_property
    def _sparse_product(self) -> Product:
        return SparseProduct(self._stored(), self.shape[1], lambda: self._dense_product.factors[0])

    def product(self, batch: bool) -> Product:
        """Return the product with the non-zeros where they are few enough, else with W."""
        return self._sparse_product if self.cost(batch) < 1 else self._dense_product

    def cost(self, batch: bool) -> float:
        """Return the time of the product with the non-zeros relative to that with W."""
        if not self.columns.size:
            return 0.0
        # Half of the inputs of one row, as after ReLU, are taken to be zero; the product looks.
        share = 1.0 if batch else 0.5
        bound = (SPARSE_BATCH if batch else SPARSE_ROW)[self.dtype.itemsize]
        return share * self.columns.size / (self.shape[0] * self.shape[1]) / bound

    def matmul(self, v: Float) -> Float:
        """Return ``v @ W`` from the non-zeros alone."""
        v = np.ascontiguousarray(v)
        out = np.empty((len(v), self.shape[1]), self.dtype)
        bias, space = np.zeros(self.shape[1], self.dtype), Workspace()
        if len(v) >= FEW:
            self._sparse_product.rows(v, bias, 1.0, out, space)
        else:
            for x, y in zip(v, out, strict=True):
                self._sparse_product.row(x, bias, 1.0, y, space)
        return out
