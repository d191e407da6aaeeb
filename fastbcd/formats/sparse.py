"""Sparse matrices: non-zero entries and their positions (compressed sparse rows)."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats.checks import check_float, check_places
from fastbcd.formats.operations import (
    Index,
    scale_inputs,
    scale_outputs,
    spread_inputs,
    take_inputs,
    take_outputs,
)
from fastbcd.formats.products.row_chain import SparseArrays, starts_of
from fastbcd.formats.protocol import State
from fastbcd.formats.sparse_base import SparseFormat
from fastbcd.utils.types import Float


class SparseMatrix(SparseFormat):
    """A matrix with few non-zeros, stored row by row.

    Column indices have the smallest unsigned type that holds ``n_out - 1``.

    Parameters
    ----------
    values : (nnz,) array
        Non-zero entries in row-major order.
    columns : (nnz,) integer array
        Column of each non-zero, increasing within each row.
    row_lengths : (n_in,) integer array
        Number of non-zeros in each row.
    n_out : int
        Number of columns.
    """

    kind: ClassVar[str] = "sparse"

    def __init__(
        self, values: Float, columns: NDArray[Any], row_lengths: NDArray[Any], n_out: int
    ) -> None:
        self.shape: tuple[int, int] = (row_lengths.size, n_out)
        self.values: Float = np.ascontiguousarray(values)
        self.columns: NDArray[Any] = np.ascontiguousarray(
            columns, np.min_scalar_type(max(n_out - 1, 0))
        )
        self.row_lengths: NDArray[Any] = row_lengths.astype(np.min_scalar_type(n_out), copy=False)

    @classmethod
    def from_dense(cls, weight: Float) -> Self:
        """Store the non-zeros of ``weight`` (n_in, n_out)."""
        rows, columns = np.nonzero(weight)
        lengths = np.bincount(rows, minlength=weight.shape[0])
        return cls(weight[rows, columns], columns, lengths, weight.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the values."""
        return self.values.dtype

    def _stored(self) -> SparseArrays:
        none = np.empty(0, self.dtype)
        starts = starts_of(self.row_lengths)
        return SparseArrays(self.values, np.empty(0, np.uint8), self.columns, starts, none)

    def to_dense(self) -> Float:
        """Return W as an array."""
        dense = np.zeros(self.shape, self.dtype)
        rows = np.repeat(np.arange(self.shape[0]), self.row_lengths)
        dense[rows, self.columns] = self.values
        return dense

    @property
    def n_params(self) -> int:
        """Number of stored values."""
        return self.values.size

    @property
    def flops(self) -> int:
        """Two operations per non-zero."""
        return 2 * self.values.size

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return ``values``, ``columns``, ``row_lengths`` and the number of columns ``n_out``."""
        return {
            "values": self.values,
            "columns": self.columns,
            "row_lengths": self.row_lengths,
            "n_out": np.asarray(self.shape[1], np.uint32),
        }

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Rebuild from :meth:`state_dict`.

        Raises
        ------
        ValueError
            If the arrays contradict each other.
        """
        values, columns, row_lengths = state["values"], state["columns"], state["row_lengths"]
        n_out = int(state["n_out"])
        check_float(values, "values")
        check_places(columns, row_lengths, n_out, values.size)
        return cls(values, columns, row_lengths, n_out)

    def scaled(self, factor: float) -> Self:
        """Return ``factor * W`` in the same format."""
        scaled = self.values * self.dtype.type(factor)
        return type(self)(scaled, self.columns, self.row_lengths, self.shape[1])


@take_inputs.register
def _take_inputs(matrix: SparseMatrix, index: Index) -> SparseMatrix:
    return SparseMatrix.from_dense(matrix.to_dense()[index])


@spread_inputs.register
def _spread_inputs(matrix: SparseMatrix, index: Index, n_in: int) -> SparseMatrix:
    lengths = np.zeros(n_in, matrix.row_lengths.dtype)
    lengths[index] = matrix.row_lengths
    return SparseMatrix(matrix.values, matrix.columns, lengths, matrix.shape[1])


@take_outputs.register
def _take_outputs(matrix: SparseMatrix, index: Index) -> SparseMatrix:
    return SparseMatrix.from_dense(matrix.to_dense()[:, index])


@scale_inputs.register
def _scale_inputs(matrix: SparseMatrix, factor: Float) -> SparseMatrix:
    values = matrix.values * np.repeat(factor, matrix.row_lengths)
    return SparseMatrix(values, matrix.columns, matrix.row_lengths, matrix.shape[1])


@scale_outputs.register
def _scale_outputs(matrix: SparseMatrix, factor: Float) -> SparseMatrix:
    values = matrix.values * factor[matrix.columns]
    return SparseMatrix(values, matrix.columns, matrix.row_lengths, matrix.shape[1])
