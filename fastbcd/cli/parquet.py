"""Parquet files as columns of text, under the same rules as CSV."""

from __future__ import annotations

from typing import Any

MISSING_EXTRA = (
    "Reading Parquet needs polars, which comes with the extra cli: "
    'pip install "fastbcd[cli]". Or store the table as CSV.'
)


def read_parquet(path: str) -> tuple[list[str], list[list[str]]]:
    """Return the names and the columns of a Parquet file, every value as Python writes it.

    Parameters
    ----------
    path : str
        The file.

    Raises
    ------
    ImportError
        Without polars.
    ValueError
        If it is no Parquet file, or holds lists or structures.
    OSError
        If it cannot be read.
    """
    try:
        import polars as pl
    except ImportError:
        raise ImportError(MISSING_EXTRA) from None
    with open(path, "rb") as file:
        try:
            frame = pl.read_parquet(file)
        except (pl.exceptions.PolarsError, OSError, ValueError) as error:
            raise ValueError(f"{path} is no Parquet file: {error}") from None
    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    if nested:
        raise ValueError(
            f"{path}: the column {nested[0]!r} holds {frame.schema[nested[0]]}. Store one number "
            "per column."
        )
    columns = [[_text(value) for value in frame[name].to_list()] for name in frame.columns]
    return frame.columns, columns


def _text(value: Any) -> str:
    return "" if value is None else str(value)
