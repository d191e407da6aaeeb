"""What a state must fulfil, so that no kernel ever reads or writes beyond an array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.utils.types import Float


def expect(holds: bool, what: str) -> None:
    """Raise ValueError unless ``holds``; ``what`` says what should be the case."""
    if not holds:
        raise ValueError(f"The stored matrix is damaged: it should be that {what}.")


def check_float(values: NDArray[Any], name: str, n_dims: int = 1) -> None:
    """Raise ValueError unless ``values`` are float32 or float64 of ``n_dims`` dimensions."""
    expect(values.dtype in (np.float32, np.float64), f"{name} are float32 or float64")
    expect(values.ndim == n_dims, f"{name} have {n_dims} dimension(s)")


def check_codes(codes: NDArray[Any], codebook: Float) -> None:
    """Raise ValueError unless every code names a value of the codebook."""
    check_float(codebook, "the values of the codebook")
    largest = int(codes.max()) if codes.size else -1
    expect(largest < codebook.size, f"codes stay below the {codebook.size} values of the codebook")


def check_scale(scale: NDArray[Any] | None, n_out: int, codebook: Float) -> Float | None:
    """Return ``scale``; raise ValueError unless it is None or one number per column."""
    if scale is not None:
        expect(
            scale.shape == (n_out,) and scale.dtype == codebook.dtype,
            "there is one scale per column, of the type of the codebook",
        )
    return scale


def check_places(
    columns: NDArray[Any], row_lengths: NDArray[Any], n_out: int, n_values: int
) -> None:
    """Raise ValueError unless the places of the non-zeros lie within the matrix."""
    for name, array in (("columns", columns), ("row_lengths", row_lengths)):
        expect(array.ndim == 1 and array.dtype.kind == "u", f"{name} are unsigned integers")
    expect(
        int(row_lengths.sum(dtype=np.uint64)) == columns.size == n_values,
        "row lengths, columns and values count the same entries",
    )
    expect(not columns.size or int(columns.max()) < n_out, f"columns stay below {n_out}")
    starts = np.zeros(columns.size + 1, bool)
    starts[np.cumsum(row_lengths, dtype=np.int64)] = True
    expect(
        bool((starts[1:-1] | (columns[1:] > columns[:-1])).all()), "columns increase in each row"
    )
