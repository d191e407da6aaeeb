"""Checks of a stored state, so that no kernel reads or writes beyond an array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.utils.types import Float


def expect(holds: bool, what: str) -> None:
    """Raise ValueError unless ``holds``; ``what`` states the violated requirement."""
    if not holds:
        raise ValueError(f"The stored matrix is damaged: {what}.")


def check_float(values: NDArray[Any], name: str, n_dims: int = 1) -> None:
    """Raise ValueError unless ``values`` is a float32 or float64 array of ``n_dims`` axes."""
    expect(values.dtype in (np.float32, np.float64), f"{name} must be float32 or float64")
    expect(values.ndim == n_dims, f"{name} must have {n_dims} dimension(s)")


def check_codes(codes: NDArray[Any], codebook: Float) -> None:
    """Raise ValueError unless every code is an index into the codebook."""
    check_float(codebook, "codebook values")
    largest = int(codes.max()) if codes.size else -1
    expect(largest < codebook.size, f"codes must be less than the codebook size, {codebook.size}")


def check_scale(scale: NDArray[Any] | None, n_out: int, codebook: Float) -> Float | None:
    """Return ``scale``; raise ValueError unless it is None or has one entry per column."""
    if scale is not None:
        expect(
            scale.shape == (n_out,) and scale.dtype == codebook.dtype,
            "scale must have one entry per column and the dtype of the codebook",
        )
    return scale


def check_places(
    columns: NDArray[Any], row_lengths: NDArray[Any], n_out: int, n_values: int
) -> None:
    """Raise ValueError unless the non-zeros lie within the matrix, sorted by column in each row."""
    for name, array in (("columns", columns), ("row_lengths", row_lengths)):
        expect(array.ndim == 1 and array.dtype.kind == "u", f"{name} must be unsigned integers")
    expect(
        int(row_lengths.sum(dtype=np.uint64)) == columns.size == n_values,
        "row_lengths, columns and values must describe the same number of entries",
    )
    expect(not columns.size or int(columns.max()) < n_out, f"columns must be less than {n_out}")
    starts = np.zeros(columns.size + 1, bool)
    starts[np.cumsum(row_lengths, dtype=np.int64)] = True
    expect(
        bool((starts[1:-1] | (columns[1:] > columns[:-1])).all()),
        "columns must increase within each row",
    )
