"""Codes, codebook and scales that come nearest to a matrix, entry by entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats import CodebookMatrix, CodebookSparseMatrix
from fastbcd.schemes.nearest import kmeans as quantization
from fastbcd.schemes.nearest.column_codebook import kmeans_by_column
from fastbcd.utils.types import Float, Float64


@dataclass(frozen=True)
class CodebookFit:
    """What a codebook is chosen from.

    Parameters
    ----------
    n_levels : int
        Number of values.
    by_column : bool
        Whether each column has a scale of its own.
    free : bool
        Whether the values are chosen one by one; else they are a symmetric grid times a scale.
    given : sequence of float, optional
        The values, up to a scale.
    """

    n_levels: int
    by_column: bool
    free: bool
    given: Sequence[float] | None = None

    def __call__(
        self,
        weight: Float,
        mask: NDArray[np.bool_] | None = None,
        warm: CodebookMatrix | CodebookSparseMatrix | None = None,
    ) -> tuple[NDArray[Any], Float, Float | None]:
        """Return codes (n_in, n_out), codebook and scale for the entries in ``mask``.

        Parameters
        ----------
        weight : (n_in, n_out) array
            What to encode.
        mask : (n_in, n_out) bool array, optional
            Entries that count; by default all.
        warm : CodebookMatrix or CodebookSparseMatrix, optional
            Result for a matrix nearby; one of another form is not used.
        """
        if warm is not None and (
            warm.codebook.size != self.n_levels or (warm.scale is not None) != self.by_column
        ):
            warm = None
        codebook, scale = self._levels(weight, mask, warm)
        if not self.by_column:
            codebook = codebook * scale
        levels = codebook.astype(weight.dtype)
        factor = scale.astype(weight.dtype) if self.by_column else None
        return quantization.nearest_codes(weight, levels, factor), levels, factor

    def levels(self, values: Float) -> Float64:
        """Return the codebook for ``values``, all of them with one scale."""
        alone = CodebookFit(self.n_levels, False, self.free, self.given)
        codebook, scale = alone._levels(values, None, None)
        return codebook * scale

    def _levels(
        self,
        weight: Float,
        mask: NDArray[np.bool_] | None,
        warm: CodebookMatrix | CodebookSparseMatrix | None,
    ) -> tuple[Float64, Float64]:
        """Return the codebook, and the scale of each column or of all together."""
        if self.given is not None:
            return self._given(weight, mask)
        if not self.free:
            return self._grid(weight, mask)
        if self.by_column:
            present = np.ones(weight.shape, bool) if mask is None else mask
            both = None if warm is None or warm.scale is None else (warm.codebook, warm.scale)
            return kmeans_by_column(weight, present, self.n_levels, both)
        values = weight.ravel() if mask is None else weight[mask]
        start = None if warm is None else warm.codebook
        return quantization.kmeans(values, self.n_levels, start=start), np.ones(1)

    def _given(self, weight: Float, mask: NDArray[np.bool_] | None) -> tuple[Float64, Float64]:
        codebook = np.sort(np.asarray(self.given, np.float64))
        if self.by_column:
            present = None if mask is None else mask.T
            return codebook, quantization.given_scale(weight.T, codebook, present)
        flat = weight.reshape(1, -1) if mask is None else weight[mask][None]
        return codebook, quantization.given_scale(flat, codebook)

    def _grid(self, weight: Float, mask: NDArray[np.bool_] | None) -> tuple[Float64, Float64]:
        magnitudes = np.abs(weight, dtype=np.float64)
        grid = quantization.symmetric_grid(self.n_levels)
        if self.by_column:
            counts = None if mask is None else mask.sum(axis=0)
            return grid, quantization.uniform_scale(magnitudes.T, self.n_levels, counts)
        flat = magnitudes.reshape(1, -1) if mask is None else magnitudes[mask][None]
        return grid, quantization.uniform_scale(flat, self.n_levels)
