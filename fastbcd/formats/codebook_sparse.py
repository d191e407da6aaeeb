"""Sparse matrices with quantised non-zeros."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats.checks import check_codes, check_places, check_scale
from fastbcd.formats.operations import (
    Index,
    scale_outputs,
    spread_inputs,
    take_inputs,
    take_outputs,
)
from fastbcd.formats.products.row_chain import SparseArrays, starts_of
from fastbcd.formats.protocol import State
from fastbcd.formats.sparse import SparseMatrix
from fastbcd.formats.sparse_base import SparseFormat
from fastbcd.utils.bits import bits_for, code_type, pack_bits, unpack_bits
from fastbcd.utils.types import Float


class CodebookSparseMatrix(SparseFormat):
    """A :class:`SparseMatrix` whose values are ``codebook[codes] * scale[columns]``.

    Parameters
    ----------
    codes : (nnz,) integer array
        Index into ``codebook`` for each non-zero, in row-major order.
    codebook : (levels,) float array
        The distinct values; at most 65536.
    columns, row_lengths, n_out
        The positions of the non-zeros, as in :class:`SparseMatrix`.
    scale : (n_out,) float array, optional
        Factor of each column.
    """

    kind: ClassVar[str] = "codebook_sparse"

    def __init__(
        self,
        codes: NDArray[Any],
        codebook: Float,
        columns: NDArray[Any],
        row_lengths: NDArray[Any],
        n_out: int,
        scale: Float | None = None,
    ) -> None:
        self.codes: NDArray[Any] = np.ascontiguousarray(codes, code_type(codebook.size))
        self.codebook = codebook
        self.scale = scale
        self.columns: NDArray[Any] = np.ascontiguousarray(
            columns, np.min_scalar_type(max(n_out - 1, 0))
        )
        self.row_lengths: NDArray[Any] = row_lengths.astype(np.min_scalar_type(n_out), copy=False)
        self.shape: tuple[int, int] = (row_lengths.size, n_out)

    @classmethod
    def from_codes(
        cls,
        codes: NDArray[Any],
        codebook: Float,
        mask: NDArray[np.bool_],
        scale: Float | None = None,
    ) -> Self:
        """Return the matrix with the given codes at the entries in ``mask``.

        Entries whose codebook value is zero are not stored.

        Parameters
        ----------
        codes : (n_in, n_out) integer array
            Index into ``codebook`` for each entry.
        codebook, scale
            As in the class.
        mask : (n_in, n_out) bool array
            Entries that may be stored.
        """
        stored = mask & (codebook[codes] != 0)
        places = np.nonzero(stored)[1]
        return cls(codes[stored], codebook, places, stored.sum(axis=1), stored.shape[1], scale)

    @property
    def bits(self) -> int:
        """Bits per stored code."""
        return bits_for(self.codebook.size)

    @property
    def values(self) -> Float:
        """The non-zeros in row-major order, (nnz,)."""
        values: Float = self.codebook[self.codes]
        return values if self.scale is None else values * self.scale[self.columns]

    def to_sparse(self) -> SparseMatrix:
        """Return the same matrix with explicit values."""
        return SparseMatrix(self.values, self.columns, self.row_lengths, self.shape[1])

    @property
    def n_stored(self) -> int:
        """Number of codes."""
        return self.codes.size

    @property
    def n_levels(self) -> int:
        """Number of values in the codebook."""
        return self.codebook.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the codebook."""
        return self.codebook.dtype

    def _stored(self) -> SparseArrays:
        scale = np.empty(0, self.dtype) if self.scale is None else self.scale
        return SparseArrays(
            self.codebook, self.codes, self.columns, starts_of(self.row_lengths), scale
        )

    def to_dense(self) -> Float:
        """Return W as an array."""
        return self.to_sparse().to_dense()

    @property
    def n_params(self) -> int:
        """Number of codebook values and scales. Codes and positions are not counted."""
        return self.codebook.size + (0 if self.scale is None else self.scale.size)

    @property
    def flops(self) -> int:
        """Two operations per non-zero, plus one per scale."""
        return 2 * self.codes.size + (0 if self.scale is None else self.scale.size)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return the packed ``codes``, ``codebook``, positions and, if present, ``scale``."""
        state = {
            "codes": pack_bits(self.codes, self.bits),
            "codebook": self.codebook,
            "columns": self.columns,
            "row_lengths": self.row_lengths,
            "n_out": np.asarray(self.shape[1], np.uint32),
        }
        return state if self.scale is None else {**state, "scale": self.scale}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Rebuild from :meth:`state_dict`.

        Raises
        ------
        ValueError
            If the arrays contradict each other.
        """
        n_out = int(state["n_out"])
        codebook, columns, row_lengths = state["codebook"], state["columns"], state["row_lengths"]
        check_places(columns, row_lengths, n_out, columns.size)
        codes = unpack_bits(state["codes"], bits_for(codebook.size), columns.size)
        check_codes(codes, codebook)
        scale = check_scale(state.get("scale"), n_out, codebook)
        return cls(codes, codebook, columns, row_lengths, n_out, scale)

    def scaled(self, factor: float) -> Self:
        """Return ``factor * W``; if there are scales, they change and the codebook does not."""
        codebook, scale, number = self.codebook, self.scale, self.dtype.type(factor)
        if scale is None:
            codebook = codebook * number
        else:
            scale = scale * number
        places = self.columns, self.row_lengths, self.shape[1]
        return type(self)(self.codes, codebook, *places, scale)


def _marked(matrix: CodebookSparseMatrix) -> NDArray[np.int64]:
    """Return a dense matrix of codes plus 1, with 0 where no entry is stored."""
    marked = np.zeros(matrix.shape, np.int64)
    rows = np.repeat(np.arange(matrix.shape[0]), matrix.row_lengths)
    marked[rows, matrix.columns] = matrix.codes.astype(np.int64) + 1
    return marked


def _recoded(
    matrix: CodebookSparseMatrix, marked: NDArray[np.int64], scale: Float | None
) -> CodebookSparseMatrix:
    rows, columns = np.nonzero(marked)
    lengths = np.bincount(rows, minlength=len(marked))
    codes = marked[rows, columns] - 1
    return CodebookSparseMatrix(codes, matrix.codebook, columns, lengths, marked.shape[1], scale)


@take_inputs.register
def _take_inputs(matrix: CodebookSparseMatrix, index: Index) -> CodebookSparseMatrix:
    return _recoded(matrix, _marked(matrix)[index], matrix.scale)


@spread_inputs.register
def _spread_inputs(matrix: CodebookSparseMatrix, index: Index, n_in: int) -> CodebookSparseMatrix:
    lengths = np.zeros(n_in, matrix.row_lengths.dtype)
    lengths[index] = matrix.row_lengths
    return CodebookSparseMatrix(
        matrix.codes, matrix.codebook, matrix.columns, lengths, matrix.shape[1], matrix.scale
    )


@take_outputs.register
def _take_outputs(matrix: CodebookSparseMatrix, index: Index) -> CodebookSparseMatrix:
    scale = None if matrix.scale is None else matrix.scale[index]
    return _recoded(matrix, _marked(matrix)[:, index], scale)


@scale_outputs.register
def _scale_outputs(matrix: CodebookSparseMatrix, factor: Float) -> CodebookSparseMatrix:
    scale = factor if matrix.scale is None else matrix.scale * factor
    return CodebookSparseMatrix(
        matrix.codes,
        matrix.codebook,
        matrix.columns,
        matrix.row_lengths,
        matrix.shape[1],
        scale.astype(matrix.dtype),
    )
