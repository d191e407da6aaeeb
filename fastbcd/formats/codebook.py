"""Quantised matrices: one code per entry and a shared codebook."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats.checks import check_codes, check_scale, expect
from fastbcd.formats.operations import Index, scale_outputs, take_inputs, take_outputs
from fastbcd.formats.protocol import Format, State
from fastbcd.utils.bits import bits_for, code_type, pack_bits, unpack_bits
from fastbcd.utils.types import Float


class CodebookMatrix(Format):
    """W_ij = scale_j * codebook[codes_ij].

    Uniform grids, k-means, binary and ternary weights all have this form. A stored code has
    ceil(log2(levels)) bits.

    Parameters
    ----------
    codes : (n_in, n_out) integer array
        Index into ``codebook`` for each entry. Kept as uint8, or uint16 for more than 256 levels.
    codebook : (levels,) float array
        The distinct values; at most 65536.
    scale : (n_out,) float array, optional
        Factor of each column.
    """

    kind: ClassVar[str] = "codebook"

    def __init__(self, codes: NDArray[Any], codebook: Float, scale: Float | None = None) -> None:
        self.codes: NDArray[Any] = np.ascontiguousarray(codes, code_type(codebook.size))
        self.codebook = codebook
        self.scale = scale
        self.shape: tuple[int, int] = (codes.shape[0], codes.shape[1])

    @property
    def bits(self) -> int:
        """Bits per stored code."""
        return bits_for(self.codebook.size)

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

    def matmul(self, v: Float) -> Float:
        """Return ``v @ W``."""
        return v @ self.to_dense()

    def to_dense(self) -> Float:
        """Return W as an array."""
        dense: Float = self.codebook[self.codes]
        if self.scale is not None:
            dense *= self.scale
        return dense

    @property
    def n_params(self) -> int:
        """Number of codebook values and scales. Codes are not counted."""
        return self.codebook.size + (0 if self.scale is None else self.scale.size)

    @property
    def flops(self) -> int:
        """Two operations per entry, plus one per scale."""
        return 2 * self.codes.size + (0 if self.scale is None else self.scale.size)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return the packed ``codes``, ``codebook``, ``shape`` and, if present, ``scale``."""
        state = {
            "codes": pack_bits(self.codes, self.bits),
            "codebook": self.codebook,
            "shape": np.asarray(self.shape, np.uint32),
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
        expect(state["shape"].shape == (2,), "shape must hold two numbers")
        rows, columns = (int(size) for size in state["shape"])
        codebook = state["codebook"]
        codes = unpack_bits(state["codes"], bits_for(codebook.size), rows * columns)
        check_codes(codes, codebook)
        scale = check_scale(state.get("scale"), columns, codebook)
        return cls(codes.reshape(rows, columns), codebook, scale)

    def scaled(self, factor: float) -> Self:
        """Return ``factor * W``; if there are scales, they change and the codebook does not."""
        number = self.dtype.type(factor)
        if self.scale is None:
            return type(self)(self.codes, self.codebook * number)
        return type(self)(self.codes, self.codebook, self.scale * number)


@take_inputs.register
def _take_inputs(matrix: CodebookMatrix, index: Index) -> CodebookMatrix:
    return CodebookMatrix(matrix.codes[index], matrix.codebook, matrix.scale)


@take_outputs.register
def _take_outputs(matrix: CodebookMatrix, index: Index) -> CodebookMatrix:
    scale = None if matrix.scale is None else matrix.scale[index]
    return CodebookMatrix(matrix.codes[:, index], matrix.codebook, scale)


@scale_outputs.register
def _scale_outputs(matrix: CodebookMatrix, factor: Float) -> CodebookMatrix:
    scale = factor if matrix.scale is None else matrix.scale * factor
    return CodebookMatrix(matrix.codes, matrix.codebook, scale.astype(matrix.dtype))
